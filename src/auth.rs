//! Where a request carries its credential, and which one decides when it carries several.
//!
//! | carrier | form |
//! | --- | --- |
//! | path | `/t/<TOKEN>/…` |
//! | `Authorization` | `token <T>`, `Bearer <T>`, `Basic` (the token as password, or as user without one) |
//! | `X-API-Key` | `<T>` |
//! | `X-Auth` | `<T>` |
//!
//! The path decides, then `Authorization`, then the others: conda's plugins send a path token and an API key together. An empty token
//! position, a blank header and the placeholders that clients print (`*****`, `<TOKEN>`) are no credential and yield to the next carrier.
//! Anything else that is present counts, even if it is nonsense or a scheme without a token: a bad credential is refused, never taken for
//! anonymity.
//!
//! This module decides nothing; read [`crate::policy`] next. To add a carrier: [`Carrier`], [`extract`], a row in the tests and in the
//! README.

mod credential;
mod extract;

pub use credential::{Carrier, Credential, CredentialError, Scratch};
pub use extract::{X_API_KEY, X_AUTH, extract, extract_from_headers};

#[cfg(test)]
mod tests;
