//! A credential's bytes while they are being checked, and the digest that outlives them.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

use super::mint;
use crate::conda::redact::{SIGNED_PART_CHARS_MIN, SIGNED_PREFIX};

/// A credential as it came, borrowed from its request. It has no `Debug`, no `Display` and no owner: it can be digested and dropped.
#[derive(Clone, Copy)]
pub struct Secret<'r>(&'r [u8]);

impl<'r> Secret<'r> {
    /// Longest credential that is looked at, in bytes; a longer one is unknown, unless it has the form of an API key.
    pub const BYTES_MAX: usize = 256;

    /// Longest API key, in bytes.
    pub const API_KEY_BYTES_MAX: usize = 1_024;

    /// Wraps a credential's bytes.
    pub fn new(bytes: &'r [u8]) -> Self {
        Self(bytes)
    }

    /// Its SHA-256, under which it is known.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.0)
    }

    /// False for what this gate cannot have issued or imported: the wrong characters or length, or a wrong checksum in its own format.
    /// Garbage costs no memory and no store query. What has the form of an API key has yet to be [checked](super::ApiKeySet::check).
    pub fn is_plausible(&self) -> bool {
        self.is_plain() || self.is_api_key_shaped()
    }

    /// True for three parts of base64url between full stops that begin as every JSON Web Token does (RFC 7515, section 3.1).
    pub fn is_api_key_shaped(&self) -> bool {
        if self.0.len() > Self::API_KEY_BYTES_MAX || !self.0.starts_with(SIGNED_PREFIX.as_bytes()) {
            return false;
        }
        let mut parts = self.0.split(|&byte| byte == b'.');
        let is_base64url = |part: &[u8]| {
            part.len() >= SIGNED_PART_CHARS_MIN
                && part.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        parts.by_ref().take(3).filter(|part| is_base64url(part)).count() == 3 && parts.next().is_none()
    }

    pub(super) fn bytes(&self) -> &'r [u8] {
        self.0
    }

    /// Like [`is_plausible`](Self::is_plausible), of all that is no API key.
    pub(super) fn is_plain(&self) -> bool {
        let shaped = (20..=Self::BYTES_MAX).contains(&self.0.len())
            && self.0.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
        shaped && (!self.0.starts_with(mint::PREFIX.as_bytes()) || mint::has_valid_checksum(self.0))
    }
}

/// The SHA-256 of a token's value: what the store keeps and every lookup uses.
///
/// Knowing it opens nothing. Lookups compare digests, so their timing tells about digests only, which an attacker cannot steer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Digests a token's value.
    pub fn of(value: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, value).as_ref());
        Self(bytes)
    }

    /// A digest read back from the store; `None` if it has not 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The first four bytes, enough to tell digests apart in a test's output.
impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "TokenDigest({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}
