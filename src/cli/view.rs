//! What commands print, as text; as JSON it is what [`crate::face::view`] says.
//!
//! Text is for people: no cell of it can move the cursor, whatever a title or a reason holds.

use crate::clock::Timestamp;
use crate::face::view::{RefusedView, TokenView, UsedView};

impl TokenView<'_> {
    /// The token in one line.
    pub(super) fn to_line(&self) -> String {
        let Self { kind, id, org, .. } = self;
        let name = self.name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
        format!(
            "{kind} token{name} ({id}) of organization {org}: {}, scopes {}, channels {}",
            self.state_in_words(),
            self.scopes.join(" "),
            self.channels_in_words()
        )
    }

    /// All there is to know of it, a line each.
    pub(super) fn to_text(&self) -> String {
        details(&[
            ("id", self.id.to_string()),
            ("kind", if self.api_key { format!("{}, an API key", self.kind) } else { self.kind.to_owned() }),
            ("name", self.name_in_words()),
            ("organization", self.org.to_owned()),
            ("acts as", self.acts_as_in_words()),
            ("generation", self.generation.to_string()),
            ("scopes", self.scopes.join(" ")),
            ("channels", self.channels_in_words()),
            ("created", self.created_at.to_string()),
            ("expires", moment_or_never(self.expires_at)),
            ("state", self.state_in_words()),
            ("last use", self.last_use_in_words()),
            ("refusals", self.refusals_in_words()),
        ])
    }

    /// A row of [`token_table`].
    fn row(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.kind.to_owned(),
            self.name_in_words(),
            self.generation.to_string(),
            self.state.to_owned(),
            moment_or_never(self.ended_at.into_iter().chain(self.expires_at).min()),
            self.last_use_in_words(),
            self.scopes.join(" "),
            self.channels_in_words(),
        ]
    }

    fn name_in_words(&self) -> String {
        self.name.or(self.user).unwrap_or("-").to_owned()
    }

    fn acts_as_in_words(&self) -> String {
        match (self.user, self.group) {
            (Some(user), _) => format!("user {user}"),
            (None, Some(group)) => format!("group {group}"),
            (None, None) if self.operator => "operator of the gate".to_owned(),
            (None, None) => "nobody".to_owned(),
        }
    }

    fn last_use_in_words(&self) -> String {
        let words =
            |UsedView { at, carrier, address }: &UsedView| format!("{at} by {carrier} from {address}");
        self.last_use.as_ref().and_then(Option::as_ref).map_or_else(|| "never".to_owned(), words)
    }

    fn refusals_in_words(&self) -> String {
        let words =
            |RefusedView { at, code, count }: &RefusedView<'_>| format!("{count}, latest {at} ({code})");
        self.last_refusal.as_ref().and_then(Option::as_ref).map_or_else(|| "none".to_owned(), words)
    }

    fn state_in_words(&self) -> String {
        let state = self.state;
        let ended = match self.ended_at {
            None => String::new(),
            Some(at) if state == ACTIVE => format!(", until it is replaced on {at}"),
            Some(at) => format!(" since {at}"),
        };
        let reason = self.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("{state}{ended}{reason}")
    }

    fn channels_in_words(&self) -> String {
        if self.channels.is_empty() { "all".to_owned() } else { self.channels.join(",") }
    }
}

fn moment_or_never(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.to_string())
}

const ACTIVE: &str = "active";

/// Tokens for people.
pub(super) fn token_table(tokens: &[TokenView<'_>]) -> String {
    let header = ["ID", "KIND", "NAME", "GEN", "STATE", "ENDS", "LAST USE", "SCOPES", "CHANNELS"];
    table(&header, tokens.iter().map(TokenView::row))
}

/// Columns as wide as their widest cell.
pub(super) fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines = vec![header.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>()];
    lines.extend(rows.map(|row| row.iter().map(|cell| printable(cell)).collect()));
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut padded = String::new();
        for (cell, &width) in line.iter().zip(&widths) {
            padded.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}

/// One thing, a named line for each of its properties.
pub(super) fn details(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines.iter().map(|(name, value)| format!("{name:<width$}  {}\n", printable(value))).collect()
}

/// `text` on one line of any terminal.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{FFFD}")
}
