//! What commands print: the same objects as JSON and as text.
//!
//! Text is for people: no cell of it can move the cursor, whatever a title or a reason holds. Nothing here holds a token's value but
//! [`TokenView::with_value`].

use serde::Serialize;

use crate::account::Organization;
use crate::clock::Timestamp;
use crate::token::{Scope, TokenRecord, TokenState};

/// An organization, as printed.
#[derive(Debug, Serialize)]
pub(super) struct OrganizationView<'a> {
    id: uuid::Uuid,
    name: &'a str,
    title: &'a str,
    subscription_ends: Option<Timestamp>,
    created_at: Timestamp,
}

impl<'a> From<&'a Organization> for OrganizationView<'a> {
    fn from(organization: &'a Organization) -> Self {
        Self {
            id: organization.id,
            name: &organization.name,
            title: &organization.title,
            subscription_ends: organization.subscription.ends_at,
            created_at: organization.created_at,
        }
    }
}

impl OrganizationView<'_> {
    /// All there is to know of it, a line each.
    pub(super) fn to_text(&self) -> String {
        details(&[
            ("name", self.name.to_owned()),
            ("title", self.title.to_owned()),
            ("subscription", self.subscription()),
            ("created", self.created_at.to_string()),
            ("id", self.id.to_string()),
        ])
    }

    fn subscription(&self) -> String {
        self.subscription_ends.map_or_else(|| "no end".to_owned(), |at| format!("ends {at}"))
    }
}

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
    scopes: Vec<&'static str>,
    /// Empty where it is not confined.
    channels: &'a [String],
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    state: &'static str,
    /// In the future for a token that was issued again with a grace and still serves.
    ended_at: Option<Timestamp>,
    reason: Option<&'a str>,
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
            scopes: record.scopes.iter().map(Scope::as_str).collect(),
            channels: record.channels.as_deref().unwrap_or_default(),
            created_at: record.created_at,
            expires_at: record.expires_at,
            state: state(record, now),
            ended_at: record.end.as_ref().map(|end| end.at),
            reason: record.end.as_ref().and_then(|end| end.reason.as_deref()),
        }
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
            ("scopes", self.scopes.join(" ")),
            ("channels", self.channels_in_words()),
            ("created", self.created_at.to_string()),
            ("expires", moment_or_never(self.expires_at)),
            ("state", self.state_in_words()),
        ])
    }

    /// A row of [`token_table`].
    fn row(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.kind.to_owned(),
            self.name_in_words(),
            self.state.to_owned(),
            moment_or_never(self.ended_at.or(self.expires_at)),
            self.scopes.join(" "),
            self.channels_in_words(),
        ]
    }

    fn name_in_words(&self) -> String {
        self.name.or(self.user).unwrap_or("-").to_owned()
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
    let header = ["ID", "KIND", "NAME", "STATE", "ENDS", "SCOPES", "CHANNELS"];
    table(&header, tokens.iter().map(TokenView::row))
}

/// Organizations for people.
pub(super) fn organization_table(organizations: &[OrganizationView<'_>]) -> String {
    let rows = organizations.iter().map(|organization| {
        vec![
            organization.name.to_owned(),
            organization.title.to_owned(),
            organization.subscription(),
            organization.id.to_string(),
        ]
    });
    table(&["NAME", "TITLE", "SUBSCRIPTION", "ID"], rows)
}

/// Columns as wide as their widest cell.
fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
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
