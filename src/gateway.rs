//! The data plane: the life of a request, in one function.
//!
//! ```text
//! bytes ─▶ Request
//!   1 RequestTarget::parse(path)            conda     borrows         target | 400
//!   2 auth::extract(&target, &headers)      auth      borrows         credential | none | 400
//!   3 secret.digest()                       token     32 bytes        the secret goes out of scope here
//!   4 verifier.recall(&digest) | lookup     verify    memory          Known | Unknown   (awaits only on a miss)
//!   5 policy::decide(&caller, &asked, now)  policy    pure            Permit | DenyReason
//!   6 fetch(&permit)                        cache / index / upstream  Served; what took long is decided again
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
mod listing;
mod notices;
mod probe;
mod receipt;
mod refusal;
mod respond;
mod routes;
mod served;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{AUTHORIZATION, FORWARDED, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use ipnet::IpNet;

pub use self::body::Body;
pub use self::host::{HostError, check as check_host};
pub use self::refusal::Refusal;
pub use self::respond::verdict;
pub use self::routes::Routes;
pub use self::streams::Streams;

use self::admission::Admission;
use self::receipt::{Asking, Books, Receipt};
use self::served::{Asked, Served};
use crate::auth;
use crate::clock::{Clock, Timestamp};
use crate::conda::{RequestTarget, redact};
use crate::face::{self, RequestIds, shown_method};
use crate::index::{Indexes, Inspector};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::policy::{self, Caller};
use crate::server::Reply;
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
    books: Arc<Books>,
    request_ids: RequestIds,
    /// `None` lets downloads finish, whatever becomes of their token.
    streams: Option<Streams>,
}

impl Gateway {
    /// A data plane over these parts.
    pub fn new(
        routing: Routing,
        verifier: Verifier,
        ledger: Ledger,
        clock: Clock,
        metrics: Metrics,
        streams: Option<Streams>,
    ) -> Self {
        let request_ids = RequestIds::starting_at("", clock.now().as_millis());
        let routing = ArcSwap::from_pointee(routing);
        let books = Arc::new(Books { metrics, ledger, clock: clock.clone() });
        Self { routing, verifier, clock, books, request_ids, streams }
    }

    /// Cuts running downloads when the right to them ends, until `shutdown`; returns at once where they may finish.
    pub async fn guard_streams(&self, shutdown: impl Future<Output = ()>) {
        let Some(streams) = &self.streams else { return };
        let may = |caller: &Caller, target: &RequestTarget<'_>| {
            let routing = self.routing.load();
            policy::decide(caller, &routing.routes.channels().locate(target), self.clock.now()).is_ok()
        };
        tokio::select! {
            () = shutdown => {}
            () = streams.keep(&self.verifier, &self.clock, may) => {}
        }
    }

    /// Puts a new configuration in place; requests under way finish with the old one.
    pub fn reconfigure(&self, routing: Routing) {
        self.routing.store(Arc::new(routing));
    }

    /// Answers one request.
    pub async fn answer(&self, request: &Parts, peer: SocketAddr) -> Response<Body> {
        let is_legible = host::check(request);
        self.reply(&request.method, request.uri.path(), &request.headers, is_legible, peer).await.into()
    }

    /// Answers one that says once, and legibly, which host it is for. `headers` are those of [`FIELDS`] that it has.
    pub fn express(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> impl Future<Output = Reply<Body>> {
        self.reply(method, path, headers, Ok(()), peer)
    }

    async fn reply(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        host: Result<(), HostError>,
        peer: SocketAddr,
    ) -> Reply<Body> {
        let routing = self.routing.load_full();
        // In this order: a stop of the gate between the two counts towards the decision's age.
        let decided_at = self.clock.uptime();
        let now = self.clock.now();
        let target = RequestTarget::parse_within(path, routing.config.path_bytes_max);
        let mut body = self.open(Asking {
            at: now,
            begun_at: decided_at,
            request_id: self.request_ids.next(),
            client: face::client_address(peer, headers, &routing.config.trusted_proxies),
            method: shown_method(method),
            path: target.as_ref().map_or_else(|_| redact::UNPARSABLE.to_owned(), redact::path),
        });
        if let Err(error) = host {
            return respond::refuse(&Refusal::Host(error), "", method, body);
        }
        if *method != Method::GET && *method != Method::HEAD {
            return respond::refuse(&Refusal::Method, "", method, body);
        }
        let target = match target {
            Ok(target) => target,
            Err(error) => return respond::refuse(&Refusal::Path(error), "", method, body),
        };
        if path == "/" {
            return respond::root(method, body);
        }
        match self.serve(&target, method, headers, &routing, (decided_at, now), body.receipt()).await {
            Ok(served) => respond::ok(served, method, body),
            Err(refusal) => respond::refuse(&refusal, target.asked_channel(), method, body),
        }
    }

    /// Answers a request that there is no room for.
    pub fn overloaded(&self, request: &Parts, peer: SocketAddr) -> Response<Body> {
        let method = &request.method;
        let trusted = &self.routing.load().config.trusted_proxies;
        let asking = Asking {
            at: self.clock.now(),
            begun_at: self.clock.uptime(),
            request_id: self.request_ids.next(),
            client: face::client_address(peer, &request.headers, trusted),
            method: shown_method(method),
            path: redact::raw_path(request.uri.path()),
        };
        respond::refuse(&Refusal::Overloaded, "", method, self.open(asking)).into()
    }

    /// Answers a head that could not be parsed, as `status` says. Nothing else is known of the request: not its
    /// method, and of the client only the address it connects from.
    pub fn malformed(&self, status: StatusCode, peer: SocketAddr) -> Response<Body> {
        let asking = Asking {
            at: self.clock.now(),
            begun_at: self.clock.uptime(),
            request_id: self.request_ids.next(),
            client: peer.ip().to_canonical(),
            method: "other",
            path: redact::UNPARSABLE.to_owned(),
        };
        let refusal = match status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG => Refusal::HeadTooLong,
            _ => Refusal::Unparsable,
        };
        respond::refuse(&refusal, "", &Method::GET, self.open(asking)).into()
    }

    /// The body of the response that is to be made to whoever asks so.
    fn open(&self, asking: Asking) -> Body {
        Body::awaited(Receipt::open(&self.books, asking))
    }

    /// Steps 2 to 6. It is decided as of these readings of the two clocks, the uptime first.
    async fn serve(
        &self,
        target: &RequestTarget<'_>,
        method: &Method,
        headers: &HeaderMap,
        routing: &Routing,
        (decided_at, now): (Duration, Timestamp),
        receipt: &mut Receipt,
    ) -> Result<Box<Served>, Refusal> {
        let channels = routing.routes.channels();
        let client = Some(receipt.client());
        let admit = |now| admission::admit(target, headers, channels, &self.verifier, client, now);
        let undecided = |error| {
            let kind = channels.locate(target).location.file().map(|file| file.kind());
            Refusal::undecided(error, kind)
        };
        let admission = admit(now).await.map_err(undecided)?;
        let Admission { carrier, caller, digest, decision } = admission;
        receipt.caller(carrier, caller);
        let permit = decision.map_err(Refusal::Denied)?;
        receipt.channel(permit.channel().name.clone());
        let asked = Asked { permit: &permit, method, headers };
        let served = match notices::due(&permit, now) {
            None => fetch::fetch(asked, routing, now, &self.books.metrics).await?,
            Some(ending) => {
                let merged = notices::merged(&ending, asked, routing, now, &self.books.metrics);
                Box::pin(merged).await
            }
        };
        let ready_at = self.clock.uptime();
        if ready_at.saturating_sub(decided_at) > DECISION_AGE_MAX {
            // The upstream took its time, or the gate was stopped meanwhile: what was decided before it may no longer hold.
            Box::pin(admit(self.clock.now())).await.map_err(undecided)?.decision.map_err(Refusal::Denied)?;
        } else {
            receipt.ready(ready_at);
        }
        if let (Some(streams), Some(digest)) = (&self.streams, digest) {
            let oldest = decided_at.saturating_sub(self.verifier.config().max_staleness);
            let as_of = self.verifier.reviewed(&digest).map_or(oldest, |verdict| verdict.as_of);
            receipt.hold(streams.begin(digest, target, as_of));
        }
        Ok(served)
    }
}

/// All that is looked at of a request's fields, but for `Host`.
pub static FIELDS: [HeaderName; 9] = [
    AUTHORIZATION,
    auth::X_API_KEY,
    auth::X_AUTH,
    RANGE,
    IF_RANGE,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    face::X_FORWARDED_FOR,
    FORWARDED,
];

/// How long before the answer begins its request was decided, at most: about as long as a change takes to be heard of.
const DECISION_AGE_MAX: Duration = Duration::from_millis(100);
