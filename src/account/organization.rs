//! An organization and its subscription.

use std::time::Duration;

use uuid::Uuid;

use crate::clock::Timestamp;

/// How long tokens outlive the end of the subscription they were issued under: 30 days, as at Anaconda.
pub const AFTER_SUBSCRIPTION: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Somebody who hands out tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: Uuid,
    /// Its name, unique in this gate.
    pub name: String,
    /// What people call it; the name where they gave nothing else.
    pub title: String,
    /// Until when it has paid.
    pub subscription: Subscription,
    /// When it was created.
    pub created_at: Timestamp,
}

/// An organization's subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// When it ends; `None` where there is no end.
    pub ends_at: Option<Timestamp>,
}

impl Subscription {
    /// When a site or individual token issued under this subscription expires: 30 days after its end.
    pub fn token_expiry(&self) -> Option<Timestamp> {
        self.ends_at.map(|end| end.plus(AFTER_SUBSCRIPTION))
    }
}

/// A name of an organization, user, group or token that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" cannot be {what}: it must match [a-z0-9_][a-z0-9_.-]* and have at most 64 characters")]
pub struct NameError {
    given: String,
    what: &'static str,
}

/// Checks the name of an organization: it stands in URLs and configuration files, so it is as plain as a channel's.
///
/// # Errors
///
/// `what` it cannot be, such as "an organization's name".
pub fn check_name(name: &str, what: &'static str) -> Result<(), NameError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let mut bytes = name.bytes();
    let good = bytes.next().is_some_and(plain)
        && bytes.all(|byte| plain(byte) || matches!(byte, b'.' | b'-'))
        && name.len() <= 64;
    if good { Ok(()) } else { Err(NameError { given: name.to_owned(), what }) }
}
