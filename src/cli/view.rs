//! What commands print: the same objects as JSON and as text.
//!
//! Text is for people: no cell of it can move the cursor, whatever a title or a reason holds. Nothing here holds a token's value but
//! [`TokenView::with_value`].

use std::net::IpAddr;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::store::{LastUse, Refused, Synced, Used};
use crate::token::{Scope, TokenRecord, TokenState};

/// A token, as printed. Its value is there once, where it is issued.
#[derive(Debug, Serialize)]
pub(super) struct TokenView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    id: uuid::Uuid,
    kind: &'static str,
    name: Option<&'a str>,
    org: &'a str,
    user: Option<&'a str>,
    /// The group it acts as.
    group: Option<&'a str>,
    generation: u32,
    scopes: Vec<&'static str>,
    /// Empty where it is not confined.
    channels: &'a [String],
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    state: &'static str,
    /// In the future for a token that was issued again with a grace and still serves.
    ended_at: Option<Timestamp>,
    reason: Option<&'a str>,
    /// Where it was asked for.
    #[serde(flatten)]
    shown: Option<ShownView<'a>>,
}

/// When a token was last shown to the gate, as printed.
#[derive(Debug, Serialize)]
struct ShownView<'a> {
    last_use: Option<UsedView>,
    last_refusal: Option<RefusedView<'a>>,
}

/// A request that a token opened, as printed.
#[derive(Debug, Serialize)]
struct UsedView {
    at: Timestamp,
    carrier: &'static str,
    address: IpAddr,
}

/// Refused requests of a token, as printed.
#[derive(Debug, Serialize)]
struct RefusedView<'a> {
    at: Timestamp,
    code: &'a str,
    /// How many there were.
    count: u64,
}

/// A token that was synced, as printed.
#[derive(Debug, Serialize)]
pub(super) struct SyncedView<'a> {
    #[serde(flatten)]
    token: TokenView<'a>,
    previous_expires_at: Option<Timestamp>,
}

impl<'a> SyncedView<'a> {
    /// The token as it stands at `now`.
    pub(super) fn new(synced: &'a Synced, now: Timestamp) -> Self {
        Self { token: TokenView::new(&synced.record, now), previous_expires_at: synced.before }
    }
}

impl<'a> TokenView<'a> {
    /// A token as it stands at `now`.
    pub(super) fn new(record: &'a TokenRecord, now: Timestamp) -> Self {
        Self {
            token: None,
            id: record.id.0,
            kind: record.kind.as_str(),
            name: record.name.as_deref(),
            org: &record.organization,
            user: record.user.as_deref(),
            group: record.group.as_deref(),
            generation: record.generation,
            scopes: record.scopes.iter().map(Scope::as_str).collect(),
            channels: record.channels.as_deref().unwrap_or_default(),
            created_at: record.created_at,
            expires_at: record.expires_at,
            state: state(record, now),
            ended_at: record.end.as_ref().map(|end| end.at),
            reason: record.end.as_ref().and_then(|end| end.reason.as_deref()),
            shown: None,
        }
    }

    /// The same with when it was last shown.
    pub(super) fn with_use(self, last_use: &'a LastUse) -> Self {
        let used =
            |&Used { at, carrier, address }: &Used| UsedView { at, carrier: carrier.as_str(), address };
        let refused = |Refused { at, code, count }: &'a Refused| RefusedView { at: *at, code, count: *count };
        let shown = ShownView {
            last_use: last_use.used.as_ref().map(used),
            last_refusal: last_use.refused.as_ref().map(refused),
        };
        Self { shown: Some(shown), ..self }
    }

    /// The same with its value.
    pub(super) fn with_value(self, value: &'a str) -> Self {
        Self { token: Some(value), ..self }
    }

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
            ("kind", self.kind.to_owned()),
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
            (None, None) => "nobody".to_owned(),
        }
    }

    fn last_use_in_words(&self) -> String {
        let words =
            |UsedView { at, carrier, address }: &UsedView| format!("{at} by {carrier} from {address}");
        self.shown
            .as_ref()
            .and_then(|shown| shown.last_use.as_ref())
            .map_or_else(|| "never".to_owned(), words)
    }

    fn refusals_in_words(&self) -> String {
        let words =
            |RefusedView { at, code, count }: &RefusedView<'_>| format!("{count}, latest {at} ({code})");
        self.shown
            .as_ref()
            .and_then(|shown| shown.last_refusal.as_ref())
            .map_or_else(|| "none".to_owned(), words)
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

/// The word for a token's state. A replaced token in its grace still serves: `active`, with `ended_at` in the future.
fn state(record: &TokenRecord, now: Timestamp) -> &'static str {
    match record.state(now) {
        TokenState::Live => ACTIVE,
        TokenState::Expired(_) => "expired",
        TokenState::Ended(end) => end.cause.as_str(),
    }
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
