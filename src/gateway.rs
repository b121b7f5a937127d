//! The data plane: the life of a request, in one function.
//!
//! ```text
//! bytes ─▶ Request
//!   1 RequestTarget::parse(path)            conda     borrows         target | 400
//!   2 auth::extract(&target, &headers)      auth      borrows         credential | none | 400
//!   3 secret.digest()                       token     32 bytes        the secret goes out of scope here
//!   4 verifier.recall(&digest) | lookup     verify    memory          Known | Unknown   (awaits only on a miss)
//!   5 policy::decide(&caller, &asked, now)  policy    pure            Permit | DenyReason
//!   6 fetch(&permit)                        cache / index / upstream  Served
//!   7 respond::ok | respond::refuse         gateway                   Response
//! body ends or is dropped ─▶ access-log line and counters, exactly once (receipt); the token's last use is noted at 5 (ledger)
//! ```
//!
//! Steps 1 to 5 are [`admission::admit`], which `explain` shares. Every step takes what the one before made, so that no byte leaves
//! without a [`Permit`](crate::policy::Permit). This module contains no rules: those are in [`crate::policy`]; the statuses are in `respond`.

pub mod admission;
mod body;
mod fetch;
mod host;
mod receipt;
mod refusal;
mod respond;
mod routes;
mod served;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use ipnet::IpNet;

pub use self::body::Body;
pub use self::host::HostError;
pub use self::refusal::Refusal;
pub use self::respond::verdict;
pub use self::routes::Routes;

use self::admission::Admission;
use self::receipt::{Asking, Receipt};
use self::served::{Asked, Served};
use crate::clock::Clock;
use crate::conda::{RequestTarget, redact};
use crate::face::{self, RequestIds, shown_method};
use crate::index::{Indexes, Inspector};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::verify::Verifier;

/// What the data plane may be told by the configuration, besides its routes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest path that is looked at, in bytes; longer ones are 400.
    pub path_bytes_max: usize,
    /// Networks of proxies whose `X-Forwarded-For` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Config {
    fn default() -> Self {
        Self { path_bytes_max: 4_096, trusted_proxies: Vec::new() }
    }
}

/// Everything that a reload replaces.
pub struct Routing {
    /// Settings.
    pub config: Config,
    /// The channels and their upstreams.
    pub routes: Routes,
    /// The inspection of indexes that are not kept.
    pub inspector: Inspector,
    /// Their indexes, and the cache that keeps them and all other files.
    pub indexes: Indexes,
    /// Whether other files than indexes are kept; else they pass on as they come.
    pub keeps: bool,
}

/// The data plane. Clients' requests go in, responses come out.
pub struct Gateway {
    routing: ArcSwap<Routing>,
    verifier: Verifier,
    clock: Clock,
    metrics: Metrics,
    ledger: Ledger,
    request_ids: RequestIds,
}

impl Gateway {
    /// A data plane over these parts.
    pub fn new(routing: Routing, verifier: Verifier, ledger: Ledger, clock: Clock, metrics: Metrics) -> Self {
        let request_ids = RequestIds::starting_at("", clock.now().as_millis());
        Self { routing: ArcSwap::from_pointee(routing), verifier, ledger, clock, metrics, request_ids }
    }

    /// Puts a new configuration in place; requests under way finish with the old one.
    pub fn reconfigure(&self, routing: Routing) {
        self.routing.store(Arc::new(routing));
    }

    /// Answers one request.
    pub async fn answer(&self, request: &Parts, peer: SocketAddr) -> Response<Body> {
        let routing = self.routing.load_full();
        let (method, headers) = (&request.method, &request.headers);
        let path = request.uri.path();
        let target = RequestTarget::parse_within(path, routing.config.path_bytes_max);
        let mut receipt = Receipt::open(
            &self.metrics,
            &self.ledger,
            Asking {
                at: self.clock.now(),
                request_id: self.request_ids.next(),
                client: face::client_address(peer, headers, &routing.config.trusted_proxies),
                method: shown_method(method),
                path: target.as_ref().map_or_else(|_| redact::UNPARSABLE.to_owned(), redact::path),
            },
        );
        if let Err(error) = host::check(request) {
            return respond::refuse(&Refusal::Host(error), "", method, receipt);
        }
        if *method != Method::GET && *method != Method::HEAD {
            return respond::refuse(&Refusal::Method, "", method, receipt);
        }
        let target = match target {
            Ok(target) => target,
            Err(error) => return respond::refuse(&Refusal::Path(error), "", method, receipt),
        };
        if path == "/" {
            return respond::root(method, receipt);
        }
        match self.serve(&target, method, headers, &routing, &mut receipt).await {
            Ok(served) => respond::ok(served, method, receipt),
            Err(refusal) => respond::refuse(&refusal, target.asked_channel(), method, receipt),
        }
    }

    /// Answers a request that there is no room for.
    pub fn overloaded(&self, request: &Parts, peer: SocketAddr) -> Response<Body> {
        let method = &request.method;
        let trusted = &self.routing.load().config.trusted_proxies;
        let asking = Asking {
            at: self.clock.now(),
            request_id: self.request_ids.next(),
            client: face::client_address(peer, &request.headers, trusted),
            method: shown_method(method),
            path: redact::raw_path(request.uri.path()),
        };
        respond::refuse(&Refusal::Overloaded, "", method, Receipt::open(&self.metrics, &self.ledger, asking))
    }

    /// Answers a head that could not be parsed, as `status` says. Nothing else is known of the request: not its
    /// method, and of the client only the address it connects from.
    pub fn malformed(&self, status: StatusCode, peer: SocketAddr) -> Response<Body> {
        let asking = Asking {
            at: self.clock.now(),
            request_id: self.request_ids.next(),
            client: peer.ip().to_canonical(),
            method: "other",
            path: redact::UNPARSABLE.to_owned(),
        };
        let refusal = match status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG => Refusal::HeadTooLong,
            _ => Refusal::Unparsable,
        };
        respond::refuse(&refusal, "", &Method::GET, Receipt::open(&self.metrics, &self.ledger, asking))
    }

    /// Steps 2 to 6.
    async fn serve(
        &self,
        target: &RequestTarget<'_>,
        method: &Method,
        headers: &HeaderMap,
        routing: &Routing,
        receipt: &mut Receipt,
    ) -> Result<Served, Refusal> {
        let admission =
            admission::admit(target, headers, routing.routes.channels(), &self.verifier, self.clock.now())
                .await?;
        let Admission { carrier, caller, decision } = admission;
        receipt.caller(carrier, &caller);
        let permit = decision.map_err(Refusal::Denied)?;
        receipt.channel(permit.channel().name.clone());
        let asked = Asked { permit: &permit, method, headers };
        fetch::fetch(asked, routing, self.clock.now(), &self.metrics).await
    }
}
