//! A change under way: one transaction that holds the write lock, tells the feed, and writes its record into the audit.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::session::Session;
use super::{Failure, audit, feed, keys};
use crate::account::{Grant, Group, Organization, Seat, User};
use crate::clock::Timestamp;
use crate::store::{Actor, Expected, Store, StoreError, Subject, Terms, Version};
use crate::token::{Scope, TokenRecord};

/// What is being changed, by whom and when. Dropping it undoes it.
#[derive(Debug)]
pub(super) struct Change {
    session: Session,
    pub(super) by: Actor,
    pub(super) now: Timestamp,
    terms: Arc<Terms>,
    /// The id of what it makes.
    made: Option<Uuid>,
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

impl Store {
    /// Begins a change, unless it was carried out before.
    pub(super) async fn begin(&self, by: &Actor, now: Timestamp) -> Result<Change, Failure> {
        let mut session = self.locked().await?;
        if let Some(key) = &self.terms.key {
            keys::refuse_repetition(&mut session, key, now).await?;
        }
        let (by, terms) = (by.clone(), Arc::clone(&self.terms));
        Ok(Change { session, by, now, terms, made: None, changes_kept: self.config.changes_kept })
    }
}

impl Change {
    /// The connection that holds the lock.
    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Refuses the change unless what it overwrites, which has this version, is what is expected.
    pub(super) fn overwrites(&self, present: Option<Version>) -> Result<(), StoreError> {
        match &self.terms.expected {
            Some(expected) if !expected.is_met(present) => Err(StoreError::Outdated),
            _ => Ok(()),
        }
    }

    /// The same for a part of something, that has no version of its own: one that is given is that of the whole.
    pub(super) fn overwrites_part(&self, is_there: bool, whole: Version) -> Result<(), StoreError> {
        match &self.terms.expected {
            Some(Expected::OneOf(_)) => self.overwrites(Some(whole)),
            _ => self.overwrites(is_there.then_some(whole)),
        }
    }

    /// Says that it makes the thing of this id.
    pub(super) fn makes(&mut self, id: Uuid) {
        self.made = Some(id);
    }

    /// Makes verifiers forget `subject`.
    pub(super) async fn tell(&mut self, subject: Subject) -> Result<(), sqlx::Error> {
        feed::append(&mut self.session, &subject, self.now, self.changes_kept).await
    }

    /// Writes the change's record.
    pub(super) async fn record(&mut self, story: Story<'_>) -> Result<(), sqlx::Error> {
        audit::append(&mut self.session, &self.by, self.now, story).await
    }

    /// Makes it true.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        if let (Some(key), Some(made)) = (&self.terms.key, self.made) {
            keys::keep(&mut self.session, key, made, self.now).await?;
        }
        self.session.commit().await
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

/// A group as the audit tells of it: of its members and grants those that `other`, the group before or after the change, has not. A record
/// of all of them would make the audit of a large group grow with the square of its size.
pub(super) fn group(group: &Group, other: &Group) -> Value {
    // The store reads both in order.
    let is_only_here = |member: &&String| other.members.binary_search(member).is_err();
    let has_other = |grant: &Grant| {
        let place = other.grants.binary_search_by(|present| present.channel.cmp(&grant.channel));
        place.is_ok_and(|place| other.grants.get(place) == Some(grant))
    };
    let grants = group.grants.iter().filter(|grant| !has_other(grant));
    let grants: serde_json::Map<_, _> =
        grants.map(|grant| (grant.channel.clone(), self::grant(grant))).collect();
    json!({ "members": group.members.iter().filter(is_only_here).collect::<Vec<_>>(), "grants": grants })
}

/// A grant as the audit tells of it: the permission alone, if it is for everything.
pub(super) fn grant(grant: &Grant) -> Value {
    let permission = grant.permission.as_str();
    if grant.is_whole() {
        return permission.into();
    }
    json!({ "permission": permission, "packages": grant.packages, "labels": grant.labels })
}

/// A token as the audit tells of it.
pub(super) fn token(record: &TokenRecord) -> Value {
    let end = record.end.as_ref();
    let mut token = json!({
        "kind": record.kind.as_str(),
        "name": record.name.as_deref(),
        "group": record.group,
        "generation": record.generation,
        "scopes": record.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "channels": record.channels,
        "expires_at": record.expires_at,
        "ended_at": end.map(|end| end.at),
        "end_cause": end.map(|end| end.cause.as_str()),
        "end_reason": end.and_then(|end| end.reason.as_deref()),
    });
    for (is_so, word) in [(record.operator, "operator"), (record.api_key, "api_key")] {
        if let Some(token) = token.as_object_mut().filter(|_| is_so) {
            token.insert(word.to_owned(), true.into());
        }
    }
    token
}

/// A user as the audit tells of them.
pub(super) fn user(user: &User) -> Value {
    json!({ "email": user.email, "has_password": user.has_password, "disabled_at": user.disabled_at })
}
