//! Steps 1 to 5 of a request's life: from bytes to a decision. `serve` and `explain` both come through here.
//!
//! For a token in memory nothing here awaits, allocates or holds a lock across calls (`tests/alloc.rs`, `benches/admit.rs`).

use http::HeaderMap;

use crate::auth::{self, Carrier, Credential, CredentialError, Scratch};
use crate::clock::Timestamp;
use crate::conda::RequestTarget;
use crate::policy::{self, Caller, Channels, DenyReason, Permit};
use crate::token::TokenDigest;
use crate::verify::{Lookup, LookupError, Verifier};

/// What came of a request's credential.
pub struct Admission<'t> {
    /// Where the credential stood, if there was one.
    pub carrier: Option<Carrier>,
    /// Who asks.
    pub caller: Caller,
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

/// A credential once its secret is out of scope.
#[derive(Clone, Copy)]
enum Shown {
    Nothing { masked: bool },
    Nonsense,
    Digest(TokenDigest),
}

/// Decides whether the request for `target` with these headers may be served at `now`.
///
/// # Errors
///
/// A credential header that occurs twice, or a store that does not answer and a token not in memory, whether it has a token's form or not.
pub async fn admit<'t>(
    target: &'t RequestTarget<'_>,
    headers: &HeaderMap,
    channels: &'t Channels,
    verifier: &Verifier,
    now: Timestamp,
) -> Result<Admission<'t>, AdmissionError> {
    let (carrier, shown, remembered) = remember(target, headers, verifier)?;
    let caller = match (shown, remembered) {
        (Shown::Nothing { masked }, _) => Caller::Anonymous { masked },
        (Shown::Nonsense, _) => caller(verifier.lookup_implausible()?),
        (Shown::Digest(_), Some(lookup)) => caller(lookup),
        (Shown::Digest(digest), None) => caller(verifier.lookup(&digest).await?),
    };
    let decision = policy::decide(&caller, &channels.locate(target), now);
    Ok(Admission { carrier, caller, decision })
}

/// The part that sees the secret; it ends before anything can await.
fn remember(
    target: &RequestTarget<'_>,
    headers: &HeaderMap,
    verifier: &Verifier,
) -> Result<(Option<Carrier>, Shown, Option<Lookup>), CredentialError> {
    let mut scratch = Scratch::new();
    let (secret, carrier) = match auth::extract(target, headers, &mut scratch)? {
        Credential::Absent { masked } => return Ok((None, Shown::Nothing { masked }, None)),
        Credential::Presented { secret, carrier } => (secret, carrier),
    };
    let digest = secret.digest();
    let remembered = verifier.recall(&digest);
    // Only what memory does not know is screened: the checksum costs a second digest.
    let shown =
        if remembered.is_some() || secret.is_plausible() { Shown::Digest(digest) } else { Shown::Nonsense };
    Ok((Some(carrier), shown, remembered))
}

fn caller(lookup: Lookup) -> Caller {
    match lookup {
        Lookup::Known(token) => Caller::Known(token),
        Lookup::Unknown => Caller::Unknown,
    }
}
