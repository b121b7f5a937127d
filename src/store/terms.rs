//! On what terms a change is made: only while what it overwrites is as somebody saw it, and only once.
//!
//! Both are looked at inside the change's own transaction, under the write lock, so of several changes that rely on one version exactly
//! one is made, and a request that is repeated while the first one is under way waits for it.
//!
//! A [`Version`] stands for all that can be said of a thing but its last use, at one moment: whoever compares versions compares states, not
//! histories.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::account::{Group, Organization, Seat};
use crate::clock::Timestamp;
use crate::token::{Scope, TokenRecord};

/// The terms of a change; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What has to be there before it.
    pub expected: Option<Expected>,
    /// The key under which it is made once.
    pub key: Option<RequestKey>,
}

/// What has to be there before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Nothing,
    /// Something.
    Something,
    /// Something of one of these versions.
    OneOf(Vec<Version>),
}

impl Expected {
    /// True if what is there, in this version, is what is expected.
    pub fn is_met(&self, present: Option<Version>) -> bool {
        match self {
            Self::Nothing => present.is_none(),
            Self::Something => present.is_some(),
            Self::OneOf(versions) => present.is_some_and(|present| versions.contains(&present)),
        }
    }
}

/// A key that somebody chose for a request, so that repeating it is harmless. It is kept for [`RequestKey::KEPT_FOR`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The SHA-256 of the key and of who chose it.
    pub digest: [u8; 32],
    /// The organization of whoever chose it. Of each the latest [`RequestKey::KEPT_MAX`] are kept.
    pub organization: Uuid,
    /// The SHA-256 of the request.
    pub request: [u8; 32],
}

impl RequestKey {
    /// How long a key is remembered.
    pub const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);
    /// How many keys are remembered of an organization.
    pub const KEPT_MAX: u32 = 10_000;
}

/// One state of an organization, a seat, a group, a restriction or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version([u8; 16]);

impl Version {
    /// An organization's at `now`, which decides whether its subscription has ended.
    pub fn of_organization(organization: &Organization, now: Timestamp) -> Self {
        let subscription = &organization.subscription;
        Self::of(&json!({
            "id": organization.id,
            "title": organization.title,
            "subscription": subscription.state(now).as_str(),
            "ends_at": subscription.ends_at,
            "cancelled_at": subscription.cancelled_at,
        }))
    }

    /// A seat's.
    pub fn of_seat(seat: &Seat) -> Self {
        Self::of(&json!([seat.user, seat.role.as_str(), seat.assigned_at]))
    }

    /// A group's.
    pub fn of_group(group: &Group) -> Self {
        let grants = group
            .grants
            .iter()
            .map(|grant| (&grant.channel, grant.permission.as_str(), &grant.packages, &grant.labels));
        Self::of(&json!([group.id, group.members, grants.collect::<Vec<_>>()]))
    }

    /// That of the restriction of a channel to these groups.
    pub fn of_restriction(groups: &[String]) -> Self {
        Self::of(&json!(groups))
    }

    /// A token's at `now`, which decides whether it serves.
    pub fn of_token(record: &TokenRecord, now: Timestamp) -> Self {
        let end = record.end.as_ref();
        Self::of(&json!({
            "id": record.id.0,
            "group": record.group,
            "scopes": record.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
            "channels": record.channels,
            "expires_at": record.expires_at,
            "state": record.state(now).as_str(),
            "ended_at": end.map(|end| end.at),
            "reason": end.and_then(|end| end.reason.as_deref()),
        }))
    }

    /// The version that [`Version::to_hex`] wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
        let version = Self(number.to_be_bytes());
        (version.to_hex() == text).then_some(version)
    }

    /// 32 hexadecimal digits.
    pub fn to_hex(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    fn of(state: &Value) -> Self {
        let mut bytes = [0; 16];
        let digest = digest(&SHA256, state.to_string().as_bytes());
        bytes.iter_mut().zip(digest.as_ref()).for_each(|(byte, &of_digest)| *byte = of_digest);
        Self(bytes)
    }
}

#[cfg(test)]
mod tests;
