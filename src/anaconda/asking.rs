//! Who asks, as far as the headers tell: the same memory and rules as on the other faces.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::Shared;
use super::refusal::Refusal;
use crate::auth::{self, Carrier, Scratch};
use crate::clock::Timestamp;
use crate::face::{Asker, Shown};
use crate::policy::{Caller, Standing};
use crate::token::TokenDigest;

/// What a request is known by when it arrives.
#[derive(Clone)]
pub(super) struct Arrival {
    /// When.
    pub(super) at: Timestamp,
    /// From where.
    pub(super) client: IpAddr,
    /// From where the connection comes: a proxy's address, if one is in front.
    pub(super) peer: SocketAddr,
    /// Who turned out to ask; for the log.
    pub(super) asker: Arc<OnceLock<(Option<Carrier>, Arc<Standing>)>>,
}

/// Somebody who asks, by the credential in the headers. Whether they may is not decided yet.
pub(super) struct Asking {
    pub(super) shared: Shared,
    pub(super) arrival: Arrival,
    /// When the request came.
    pub(super) now: Timestamp,
    pub(super) carrier: Option<Carrier>,
    pub(super) caller: Caller,
    /// The digest of what they showed.
    pub(super) digest: Option<TokenDigest>,
}

impl FromRequestParts<Shared> for Arrival {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _shared: &Shared) -> Result<Self, Refusal> {
        // Every request that comes to the router has one.
        parts.extensions.get::<Self>().cloned().ok_or(Refusal::Overloaded)
    }
}

impl FromRequestParts<Shared> for Asking {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Refusal> {
        let arrival = Arrival::from_request_parts(parts, shared).await?;
        let shown = {
            let mut scratch = Scratch::new();
            let credential = auth::extract_from_headers(&parts.headers, &mut scratch);
            Shown::new(credential.map_err(Refusal::Credential)?, &shared.verifier)
        };
        let Asker { carrier, caller, digest } =
            shown.asker(&shared.verifier, Some(arrival.client)).await.map_err(Refusal::Lookup)?;
        if let Caller::Known(standing) = &caller {
            let _ = arrival.asker.set((carrier, Arc::clone(standing)));
        }
        Ok(Self { shared: Arc::clone(shared), now: arrival.at, arrival, carrier, caller, digest })
    }
}

impl Asking {
    /// The token did what it was shown for.
    pub(super) fn used(&self) {
        if let (Caller::Known(standing), Some(carrier)) = (&self.caller, self.carrier) {
            self.shared.ledger.used(standing.token.id, self.now, carrier, self.arrival.client);
        }
    }
}

/// Lets everything this gate decides from now on know of a change that was just made.
///
/// # Errors
///
/// The store did not say what changed.
pub(super) async fn settle(shared: &Shared) -> Result<(), Refusal> {
    shared.verifier.catch_up().await.map_err(|error| {
        tracing::warn!(%error, "a change by a person is not yet applied to what this gate remembers");
        Refusal::Unsettled
    })
}
