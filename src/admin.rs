//! The admin plane: whether the gate lives, what it counts, and the API for what the command line does.
//!
//! It listens on an address of its own and is never reachable through the data plane.
//!
//! # The life of a request to the API
//!
//! ```text
//! bytes ─▶ Request
//!   1 the router finds the route            a problem: 404, 405
//!   2 Admitted<Deed>                        admitted   who asks, and may they?       401, 403, 404, 503
//!   3 At, Asked, Json                       parts      path, query, body             400, 404, 408, 413, 415, 422
//!   4 the handler                           tokens, …  conditions, rules of minting  400, 403, 409
//!   5 the store, in one transaction         store      what is there, and the change 404, 409, 412, 422, 503
//!   6 Verifier::catch_up                    admitted   no later request is decided as before
//!   7 the object as it is now               reply
//! answered ─▶ a line in the access log and a count, exactly once (receipt)
//! ```
//!
//! A route is declared once: the same attribute makes it and describes it (`document`). To add one: a function in `admin/<resource>.rs`, its
//! name in that file's `router`, a test in `tests/it/admin/<resource>.rs`. What a token may do is decided in [`crate::policy`]; statuses of
//! refusals are in `refusal`.

mod admitted;
mod audit;
mod conditions;
mod document;
mod groups;
mod organizations;
mod pages;
mod paging;
mod parts;
mod receipt;
mod refusal;
mod reply;
mod seats;
mod tokens;
mod word;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;
use ipnet::IpNet;
use tokio::sync::Semaphore;
use tower_service::Service as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::receipt::Meters;

use self::admitted::{Arrival, RunningKeys};
use self::receipt::Receipt;
use self::refusal::Refusal;
use crate::clock::Clock;
use crate::face::{
    PROBLEM_MEDIA_TYPE, Problem, RequestId, RequestIds, Verdict, client_address, shown_method,
};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::policy::Channels;
use crate::server::{RequestBody, Shutdown};
use crate::store::Store;
use crate::verify::Verifier;

/// The admin plane.
pub struct Admin {
    metrics: Metrics,
    shared: Shared,
    router: axum::Router,
    request_ids: RequestIds,
}

/// What every route has at hand.
type Shared = Arc<Parts>;

/// What the admin plane is made of.
pub struct Parts {
    store: Store,
    verifier: Verifier,
    ledger: Ledger,
    clock: Clock,
    meters: Meters,
    surroundings: ArcSwap<Surroundings>,
    draining: Shutdown,
    running: RunningKeys,
    /// Checks of the whole audit.
    verifications: Semaphore,
}

/// What a reload replaces.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The channels that there are.
    pub channels: Channels,
    /// Networks of proxies whose `X-Forwarded-For` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Parts {
    /// The parts of the admin plane of a gate, which is not ready once `draining` has begun.
    pub fn new(
        store: Store,
        verifier: Verifier,
        ledger: Ledger,
        clock: Clock,
        meters: Meters,
        surroundings: Surroundings,
        draining: Shutdown,
    ) -> Self {
        Self {
            store,
            verifier,
            ledger,
            clock,
            meters,
            surroundings: ArcSwap::from_pointee(surroundings),
            draining,
            running: RunningKeys::default(),
            verifications: Semaphore::new(1),
        }
    }

    /// True if everybody may read the channel of this name.
    fn is_public(&self, channel: &str) -> bool {
        let surroundings = self.surroundings.load();
        surroundings.channels.iter().any(|known| known.name.as_str() == channel && known.is_public())
    }
}

impl Admin {
    /// The admin plane of the gate that these belong to.
    pub fn new(parts: Parts, metrics: Metrics) -> Self {
        let request_ids = RequestIds::starting_at("a", parts.clock.now().as_millis());
        let shared = Arc::new(parts);
        let (router, mut document) = OpenApiRouter::with_openapi(document::base())
            .routes(routes!(describe))
            .merge(organizations::router())
            .merge(seats::router())
            .merge(tokens::router())
            .merge(groups::router())
            .merge(audit::router())
            .split_for_parts();
        document::complete(&mut document);
        // The document is made of strings and maps by string, which always serialize.
        let document = Description(Bytes::from(serde_json::to_vec(&document).unwrap_or_default()));
        let router = router
            .method_not_allowed_fallback(async || Refusal::Method)
            .fallback(async || Refusal::Route)
            .route_layer(from_fn(tell_route))
            .layer(axum::Extension(document))
            .with_state(Arc::clone(&shared));
        Self { metrics, shared, router, request_ids }
    }

    /// Puts a new configuration in place.
    pub fn reconfigure(&self, surroundings: Surroundings) {
        self.shared.surroundings.store(Arc::new(surroundings));
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<RequestBody>, peer: SocketAddr) -> Response<Body> {
        let path = request.uri().path();
        if path.strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return self.answer_api(request, peer).await;
        }
        let (method, id) = (request.method().clone(), self.request_ids.next());
        let problem = |refusal: Refusal| problem(&refusal.verdict(), id, HeaderMap::new());
        let Some(page) = pages::page(path, &self.shared.verifier, &self.shared.draining, &self.metrics)
        else {
            return with_body(problem(Refusal::Route), &method);
        };
        if matches!(method, Method::GET | Method::HEAD) {
            return with_body(page, &method);
        }
        let mut response = problem(Refusal::Method);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        with_body(response, &method)
    }

    /// Answers a head that could not be parsed, with the status that says why.
    pub fn malformed(&self, status: StatusCode) -> Response<Body> {
        let detail = "The request is malformed: its head is not valid HTTP, or longer than this gate reads.";
        let verdict = Verdict::plain(status, "request_invalid", "Malformed request", detail.to_owned());
        with_body(problem(&verdict, self.request_ids.next(), HeaderMap::new()), &Method::GET)
    }

    /// Answers a request that there is no room for.
    pub fn overloaded(&self) -> Response<Body> {
        let id = self.request_ids.next();
        with_body(problem(&Verdict::overloaded(1), id, HeaderMap::new()), &Method::GET)
    }

    async fn answer_api(&self, request: Request<RequestBody>, peer: SocketAddr) -> Response<Body> {
        let trusted = &self.shared.surroundings.load().trusted_proxies;
        let arrival = Arrival {
            at: self.shared.clock.now(),
            client: client_address(peer, request.headers(), trusted),
            asker: Arc::new(OnceLock::new()),
        };
        let method = request.method().clone();
        let mut receipt = Receipt::open(
            &self.shared.meters,
            &self.shared.ledger,
            &arrival,
            self.request_ids.next(),
            shown_method(&method),
        );
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(arrival);
        let response =
            self.router.clone().call(request).await.unwrap_or_else(|never: Infallible| match never {});

        let route = response.extensions().get::<Route>().map(|route| Arc::clone(&route.0));
        let verdict = response.extensions().get::<Arc<Verdict>>().cloned();
        let (status, code) = (response.status(), verdict.as_ref().map_or("ok", |verdict| verdict.code));
        let mut response = match verdict {
            Some(verdict) => {
                let (parts, _) = response.into_parts();
                with_body(problem(&verdict, receipt.request_id(), parts.headers), &method)
            }
            None => response,
        };
        if let Some(id) = receipt.request_id().to_header() {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let bytes = response.body().size_hint().exact().unwrap_or_default();
        receipt.answered(route, status, code, bytes);
        response
    }
}

/// The API's description.
#[derive(Clone)]
struct Description(Bytes);

/// Describe this API
///
/// Needs no token.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "description", operation_id = "describe",
    responses((status = 200, description = "This document (OpenAPI 3.1).", body = Object)))]
async fn describe(axum::Extension(Description(document)): axum::Extension<Description>) -> Response<Body> {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, document).into_response()
}

/// The operation that needs no token.
const DESCRIBE: &str = "describe";

/// The route that answered, as the description has it.
#[derive(Clone)]
struct Route(Arc<str>);

async fn tell_route(route: Option<MatchedPath>, request: Request, next: Next) -> Response<Body> {
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(Route(route.as_str().into()));
    }
    response
}

/// The problem that a verdict is told as; of `headers`, which the router made, only `Allow` is kept.
fn problem(verdict: &Verdict, request_id: RequestId, headers: HeaderMap) -> Response<Bytes> {
    let Verdict { status, code, title, detail, .. } = verdict;
    let json = Problem::new(status.as_u16(), code, title, detail, request_id.as_str()).to_json();
    let mut response = Response::new(Bytes::from(json));
    *response.status_mut() = *status;
    let own = response.headers_mut();
    own.insert(CONTENT_TYPE, PROBLEM_MEDIA_TYPE);
    own.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(allow) = headers.get(ALLOW) {
        own.insert(ALLOW, allow.clone());
    }
    if let Some(id) = request_id.to_header() {
        own.insert(X_REQUEST_ID, id);
    }
    verdict.extend(own);
    response
}

/// The response with its body, but to HEAD.
fn with_body(response: Response<Bytes>, method: &Method) -> Response<Body> {
    let (mut parts, bytes) = response.into_parts();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    Response::from_parts(parts, if *method == Method::HEAD { Body::empty() } else { Body::from(bytes) })
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
