//! A request whose token may do what it asks for, and what a handler needs to carry it out.
//!
//! This is the first thing that every handler takes, so nothing of a request is looked at, its body least of all, before it is known who
//! asks. The deed is part of the type: a handler that takes `Admitted<Reads>` is one that `api:read` opens.

use std::collections::HashSet;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::Shared;
use super::conditions;
use super::refusal::Refusal;
use crate::auth::{self, Carrier, Scratch};
use crate::clock::Timestamp;
use crate::face::{Asker, Shown};
use crate::policy::{ApiPermit, Caller, Deed, Mint, Standing, check_mint, decide_api};
use crate::store::{Actor, Expected, RequestKey, Store, Terms};

/// A kind of deed, as a type.
pub(super) trait Does: Send + Sync + 'static {
    /// The same as a value.
    const DEED: Deed;
}

/// Looking at something.
pub(super) struct Reads;

/// Changing seats or tokens.
pub(super) struct Writes;

/// Changing groups.
pub(super) struct ModifiesGroups;

/// Changing organizations.
pub(super) struct Operates;

impl Does for Reads {
    const DEED: Deed = Deed::Read;
}

impl Does for Writes {
    const DEED: Deed = Deed::Write;
}

impl Does for ModifiesGroups {
    const DEED: Deed = Deed::ModifyGroups;
}

impl Does for Operates {
    const DEED: Deed = Deed::Operate;
}

/// What a request is known by when it arrives.
#[derive(Clone)]
pub(super) struct Arrival {
    /// When.
    pub(super) at: Timestamp,
    /// From where.
    pub(super) client: IpAddr,
    /// Who turned out to ask; for the log.
    pub(super) asker: Arc<OnceLock<(Option<Carrier>, Arc<Standing>)>>,
}

/// A request that may be carried out.
pub(super) struct Admitted<D> {
    pub(super) shared: Shared,
    pub(super) permit: ApiPermit,
    /// Who makes the change, for the audit.
    pub(super) by: Actor,
    /// When the request came.
    pub(super) now: Timestamp,
    pub(super) headers: HeaderMap,
    /// The path as it was asked for.
    pub(super) path: String,
    method: Method,
    deed: PhantomData<D>,
}

impl<D: Does> FromRequestParts<Shared> for Admitted<D> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Refusal> {
        let arrival = parts.extensions.get::<Arrival>().cloned().ok_or(Refusal::Overloaded)?;
        let shown = {
            let mut scratch = Scratch::new();
            let credential = auth::extract_from_headers(&parts.headers, &mut scratch);
            Shown::new(credential.map_err(Refusal::Credential)?, &shared.verifier)
        };
        // Whoever reaches this plane is no crowd: an operator is not to pay for what comes to the other one through the same proxy.
        let Asker { carrier, caller, .. } =
            shown.asker(&shared.verifier, None).await.map_err(Refusal::Lookup)?;
        if let Caller::Known(standing) = &caller {
            let _ = arrival.asker.set((carrier, Arc::clone(standing)));
        }
        let params = RawPathParams::from_request_parts(parts, shared).await;
        let organization = match &params {
            Ok(params) => params.iter().find(|(name, _)| *name == "org").map(|(_, value)| value),
            Err(_) => return Err(Refusal::Path),
        };
        let now = arrival.at;
        let permit = decide_api(&caller, D::DEED, organization, now).map_err(Refusal::Denied)?;
        let id = permit.standing().token.id;
        if let Some(carrier) = carrier {
            shared.ledger.used(id, now, carrier, arrival.client);
        }
        Ok(Self {
            shared: Arc::clone(shared),
            permit,
            by: Actor { name: format!("token:{id}"), from: Some(arrival.client) },
            now,
            headers: parts.headers.clone(),
            path: parts.uri.path().to_owned(),
            method: parts.method.clone(),
            deed: PhantomData,
        })
    }
}

impl<D: Does> Admitted<D> {
    /// The store, for reading.
    pub(super) fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The store, for a change on the conditions of this request.
    ///
    /// # Errors
    ///
    /// Conditions that no change can have.
    pub(super) fn changing(&self) -> Result<Store, Refusal> {
        Ok(self.shared.store.on(Terms { expected: self.expected()?, key: None }))
    }

    /// The store, for something new on the conditions of this request, made once under its Idempotency-Key. `body` is the digest of the
    /// request's body. What comes back has to be kept until the request is answered.
    ///
    /// # Errors
    ///
    /// Conditions and keys that cannot be, and a key whose request is being carried out.
    pub(super) fn creating(&self, body: &[u8; 32]) -> Result<(Store, Option<Running>), Refusal> {
        let expected = self.expected()?;
        let Some(key) = conditions::idempotency_key(&self.headers)? else {
            return Ok((self.shared.store.on(Terms { expected, key: None }), None));
        };
        let token = &self.permit.standing().token;
        let digest = digest_of(&[token.id.0.as_bytes(), key]);
        let request = digest_of(&[self.method.as_str().as_bytes(), self.path.as_bytes(), body]);
        let running = Running::begin(&self.shared, digest).ok_or(Refusal::KeyInUse)?;
        let key = RequestKey { digest, organization: token.organization_id, request };
        Ok((self.shared.store.on(Terms { expected, key: Some(key) }), Some(running)))
    }

    /// Makes sure that the token may make the one that is wanted.
    ///
    /// # Errors
    ///
    /// It would give away what it has not.
    pub(super) fn may_mint(&self, wanted: &Mint<'_>) -> Result<(), Refusal> {
        let standing = self.permit.standing();
        check_mint(&standing.token, wanted)
            .map_err(|overreach| Refusal::Overreach(Arc::clone(standing), overreach))
    }

    /// Lets everything this gate decides from now on know of the change.
    ///
    /// # Errors
    ///
    /// The store did not say what changed.
    pub(super) async fn settle(&self) -> Result<(), Refusal> {
        self.shared.verifier.catch_up().await.map_err(|error| {
            tracing::warn!(%error, "a change through the admin API is not yet applied to what this gate remembers");
            Refusal::Unsettled
        })
    }

    fn expected(&self) -> Result<Option<Expected>, Refusal> {
        conditions::expected(&self.headers)
    }
}

/// A request with a key, while it is being carried out.
pub(super) struct Running {
    shared: Shared,
    digest: [u8; 32],
}

impl Running {
    fn begin(shared: &Shared, digest: [u8; 32]) -> Option<Self> {
        let is_first = keys(&shared.running).insert(digest);
        is_first.then(|| Self { shared: Arc::clone(shared), digest })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        keys(&self.shared.running).remove(&self.digest);
    }
}

/// The keys of requests that are being carried out; as many as there are requests in flight, which the listener bounds.
pub(super) type RunningKeys = Mutex<HashSet<[u8; 32]>>;

fn keys(running: &RunningKeys) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The SHA-256 of these, each behind its length.
fn digest_of(pieces: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for piece in pieces {
        context.update(&(piece.len() as u64).to_be_bytes());
        context.update(piece);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
