//! Tokens: their format, what is kept of them, what they are good for.
//!
//! A token's value exists in two places only: in the request that carries it, as a [`Secret`] that cannot be printed or kept, and in
//! the answer that issues it, as a [`Minted`] value. Everything else knows its SHA-256, the [`TokenDigest`]. A value has 190 bits from
//! the operating system's random source, so a plain fast digest is as good as a slow one. An API key has a signature of 256 bits instead.
//!
//! This module is pure but for the random source; it never holds a secret longer than the digest takes. Read [`crate::policy`] next.

mod api_key;
mod mint;
mod name;
mod record;
mod scope;
mod secret;

pub use api_key::{ApiKeyCheck, ApiKeyClaims, ApiKeySet, SignError, SigningKey};
pub use mint::{Minted, RandomError, is_importable, mask_values};
pub use name::{TokenName, TokenNameError, check_token_name};
pub use record::{
    DeadAtBirth, End, EndCause, TokenId, TokenKind, TokenRecord, TokenState, UnknownWord, Warrant,
    scoped_expiry,
};
pub use scope::{Scope, ScopeError, Scopes};
pub use secret::{Secret, TokenDigest};

#[cfg(test)]
mod tests;
