//! A credential's bytes while they are being checked, and the digest that outlives them.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

use super::mint;

/// A credential as it came, borrowed from its request. It has no `Debug`, no `Display` and no owner: it can be digested and dropped.
#[derive(Clone, Copy)]
pub struct Secret<'r>(&'r [u8]);

impl<'r> Secret<'r> {
    /// Longest credential that is looked at, in bytes; a longer one is unknown.
    pub const BYTES_MAX: usize = 256;

    /// Wraps a credential's bytes.
    pub fn new(bytes: &'r [u8]) -> Self {
        Self(bytes)
    }

    /// Its SHA-256, under which it is known.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.0)
    }

    /// False for what this gate cannot have issued or imported: the wrong characters or length, or a wrong checksum in its own format.
    /// Garbage costs no memory and no store query.
    pub fn is_plausible(&self) -> bool {
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
