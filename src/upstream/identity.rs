//! What tells one channel's set of upstreams from another, so that bytes of the one are never taken for bytes of the other.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};

use super::config::{self, UpstreamConfig};

/// A short digest of a list of upstreams: their kinds and URLs in the order in which they are asked, and nothing secret.
///
/// It changes with every change of a URL or of the order. How the gate proves itself to an upstream, and what it trusts, is no part of it:
/// a new password does not make other files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamsId([u8; 8]);

impl UpstreamsId {
    /// The identity of upstreams that were built from `configs`.
    pub(super) fn of(configs: &[UpstreamConfig]) -> Self {
        let mut context = Context::new(&SHA256);
        for config in configs {
            let identity = config::identity(&config.url);
            context.update(&(identity.len() as u64).to_le_bytes());
            context.update(identity.as_bytes());
        }
        let digest = context.finish();
        Self(digest.as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// An identity of these bytes: as read from where it was kept, or made up by a test.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// 16 lower-case hexadecimal digits.
impl fmt::Display for UpstreamsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for UpstreamsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamsId({self})")
    }
}

/// Reads what [`Display`](fmt::Display) writes, and nothing else.
impl FromStr for UpstreamsId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        if text.len() != 16 || !text.bytes().all(is_digit) {
            return Err(NotAnId);
        }
        u64::from_str_radix(text, 16).map(|id| Self(id.to_be_bytes())).map_err(|_| NotAnId)
    }
}

/// A text that is no [`UpstreamsId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the identity of a set of upstreams: expected 16 hexadecimal digits")]
pub struct NotAnId;

#[cfg(test)]
mod tests;
