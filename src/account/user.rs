//! Users: the people who sign in.

use super::password::PasswordHash;
use crate::clock::Timestamp;

/// A person whom the gate knows by a name. What they may follows from their seats, which name them too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, which is the one of their seats.
    pub name: String,
    /// Where they can be reached.
    pub email: Option<String>,
    /// True if they can sign in by a password.
    pub has_password: bool,
    /// Since when they are known.
    pub created_at: Timestamp,
    /// Since when they can no longer sign in, nor use an API key.
    pub disabled_at: Option<Timestamp>,
}

impl User {
    /// True if they can neither sign in nor use an API key.
    pub fn is_disabled(&self) -> bool {
        self.disabled_at.is_some()
    }
}

/// A user to be kept.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name.
    pub name: String,
    /// Where they can be reached.
    pub email: Option<String>,
    /// What is kept of their password; without, they sign in by an OpenID provider only.
    pub password_hash: Option<PasswordHash>,
}

/// Something that is no e-mail address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no e-mail address; it must be like name@example.org and have at most 254 characters")]
pub struct EmailError(String);

/// Checks an e-mail address, as far as it can be checked without writing to it.
///
/// # Errors
///
/// One that nobody can have: RFC 5321 allows 254 characters; what is quoted or not ASCII, hardly anybody has.
pub fn check_email(text: &str) -> Result<(), EmailError> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"(),:;<>@[\\]".contains(&byte);
    let good = text.len() <= 254
        && text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && !host.is_empty() && name.bytes().chain(host.bytes()).all(plain)
        });
    if good { Ok(()) } else { Err(EmailError(text.chars().take(254).flat_map(char::escape_debug).collect())) }
}
