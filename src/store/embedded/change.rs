//! A change under way: one transaction that holds the write lock, tells the feed, and writes its record into the audit.

use serde_json::{Value, json};
use sqlx::sqlite::Sqlite;
use sqlx::{SqliteConnection, Transaction};

use super::{Embedded, audit, feed};
use crate::account::{Group, Organization, Seat};
use crate::clock::Timestamp;
use crate::store::{Actor, Subject};
use crate::token::{Scope, TokenRecord};

/// What is being changed, by whom and when. Dropping it undoes it.
#[derive(Debug)]
pub(super) struct Change {
    transaction: Transaction<'static, Sqlite>,
    pub(super) by: Actor,
    pub(super) now: Timestamp,
    changes_kept: u32,
}

/// What the audit tells of a change, besides who and when.
#[derive(Debug, Default)]
pub(super) struct Story<'s> {
    pub(super) action: &'static str,
    pub(super) organization: Option<&'s str>,
    pub(super) target: Option<String>,
    pub(super) user: Option<&'s str>,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

impl Embedded {
    /// Begins a change. The write lock is taken at once: a transaction that read first and then wrote could fail half-way.
    pub(super) async fn begin(&self, by: &Actor, now: Timestamp) -> Result<Change, sqlx::Error> {
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Change { transaction, by: by.clone(), now, changes_kept: self.config.changes_kept })
    }
}

impl Change {
    /// The connection that holds the lock.
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// Makes verifiers forget `subject`.
    pub(super) async fn tell(&mut self, subject: Subject) -> Result<(), sqlx::Error> {
        feed::append(&mut self.transaction, &subject, self.now, self.changes_kept).await
    }

    /// Writes the change's record.
    pub(super) async fn record(&mut self, story: Story<'_>) -> Result<(), sqlx::Error> {
        audit::append(&mut self.transaction, &self.by, self.now, story).await
    }

    /// Makes it true.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

/// An organization as the audit tells of it.
pub(super) fn organization(organization: &Organization) -> Value {
    json!({
        "title": organization.title,
        "subscription_ends_at": organization.subscription.ends_at,
        "cancelled_at": organization.subscription.cancelled_at,
    })
}

/// A seat as the audit tells of it.
pub(super) fn seat(seat: &Seat) -> Value {
    json!({ "role": seat.role.as_str(), "assigned_at": seat.assigned_at })
}

/// A group as the audit tells of it.
pub(super) fn group(group: &Group) -> Value {
    let grants: serde_json::Map<_, _> =
        group.grants.iter().map(|grant| (grant.channel.clone(), grant.permission.as_str().into())).collect();
    json!({ "members": group.members, "grants": grants })
}

/// A token as the audit tells of it.
pub(super) fn token(record: &TokenRecord) -> Value {
    let end = record.end.as_ref();
    json!({
        "kind": record.kind.as_str(),
        "name": record.name,
        "group": record.group,
        "generation": record.generation,
        "scopes": record.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "channels": record.channels,
        "expires_at": record.expires_at,
        "ended_at": end.map(|end| end.at),
        "end_cause": end.map(|end| end.cause.as_str()),
        "end_reason": end.and_then(|end| end.reason.as_deref()),
    })
}
