//! A token's name, kept where the token is if it is as short as most are.

use std::fmt;
use std::ops::Deref;

/// The name of a token. A short one needs no memory of its own: of a million tokens, that is half as much as they have themselves.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenName(Kept);

#[derive(Clone, PartialEq, Eq)]
enum Kept {
    /// The first so many bytes; the others are zero.
    Here(u8, [u8; SHORT_BYTES_MAX]),
    /// One that is longer.
    Elsewhere(Box<str>),
}

/// As many as make the one kind as large as the other, in words.
const SHORT_BYTES_MAX: usize = 22;

impl From<&str> for TokenName {
    fn from(name: &str) -> Self {
        let mut bytes = [0; SHORT_BYTES_MAX];
        match (u8::try_from(name.len()), bytes.get_mut(..name.len())) {
            (Ok(length), Some(place)) => {
                place.copy_from_slice(name.as_bytes());
                Self(Kept::Here(length, bytes))
            }
            _ => Self(Kept::Elsewhere(name.into())),
        }
    }
}

impl Deref for TokenName {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            // They were a name's before, so both steps always succeed.
            Kept::Here(length, bytes) => {
                let name = bytes.get(..usize::from(*length)).unwrap_or_default();
                str::from_utf8(name).unwrap_or_default()
            }
            Kept::Elsewhere(name) => name,
        }
    }
}

impl fmt::Debug for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

/// A name that a token cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a token's name must have 1 to 128 characters, none of them a control character, and no space at its ends"
)]
pub struct TokenNameError;

/// Checks a token's name. It is for people: anaconda-client makes names such as `binstar_client:alice@laptop`.
///
/// # Errors
///
/// One that could not be printed or typed again.
pub fn check_token_name(name: &str) -> Result<(), TokenNameError> {
    let good = (1..=128).contains(&name.chars().count())
        && !name.chars().any(char::is_control)
        && name.trim() == name;
    if good { Ok(()) } else { Err(TokenNameError) }
}
