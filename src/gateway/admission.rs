//! Steps 1 to 5 of a request's life: from bytes to a decision. `serve` and `explain` both come through here.
//!
//! For a token in memory nothing here awaits, allocates or holds a lock across calls (`tests/alloc.rs`, `benches/admit.rs`).

use std::net::IpAddr;

use http::HeaderMap;

use crate::auth::{self, Carrier, CredentialError, Scratch};
use crate::clock::Timestamp;
use crate::conda::RequestTarget;
use crate::face::{Asker, Shown};
use crate::policy::{self, Caller, Channels, DenyReason, Permit};
use crate::token::TokenDigest;
use crate::verify::{LookupError, Verifier};

/// What came of a request's credential.
pub struct Admission<'t> {
    /// Where the credential stood, if there was one.
    pub carrier: Option<Carrier>,
    /// Who asks.
    pub caller: Caller,
    /// The digest of what they showed.
    pub digest: Option<TokenDigest>,
    /// Whether they may.
    pub decision: Result<Permit<'t>, DenyReason>,
}

/// Why no decision was reached.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The request contradicts itself.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Nobody could say what the token is.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

/// Decides whether the request for `target` with these headers, which `client` sends, may be served at `now`.
///
/// # Errors
///
/// A credential header that occurs twice, or a token not in memory and a store that does not answer or is not asked, whether the token has its
/// form or not.
pub async fn admit<'t>(
    target: &'t RequestTarget<'_>,
    headers: &HeaderMap,
    channels: &'t Channels,
    verifier: &Verifier,
    client: Option<IpAddr>,
    now: Timestamp,
) -> Result<Admission<'t>, AdmissionError> {
    let shown = {
        let mut scratch = Scratch::new();
        Shown::new(auth::extract(target, headers, &mut scratch)?, verifier)
    };
    let Asker { carrier, caller, digest } = shown.asker(verifier, client).await?;
    let decision = policy::decide(&caller, &channels.locate(target), now);
    Ok(Admission { carrier, caller, digest, decision })
}
