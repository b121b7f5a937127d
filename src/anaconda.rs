//! The Anaconda-compatible face: what the unmodified `anaconda` tools ask for, on the data plane's address.
//!
//! It shares the address with the channels because the tools look their keys up by host and port. Channels cannot have the names of its
//! first segments ([`crate::conda::ChannelName`]), so that a path is either of this face or a channel's.
//!
//! # The life of a request to it
//!
//! ```text
//! bytes ─▶ Request, whose first segment is one of this face's (Anaconda::owns)
//!   1 the router finds the route            a refusal: 404, 405
//!   2 Asking                                asking     who asks, by the headers alone?     400, 503
//!   3 path, query, body                     parts      400, 408, 413
//!   4 the handler                           its file   rules are the model's: policy, account, token, store
//!   5 Verifier::catch_up                    asking     no later request is decided as before
//! answered ─▶ a line in the access log and a count, exactly once (receipt); a refusal in the form that the area's clients read (area)
//! ```
//!
//! | file | owns |
//! | --- | --- |
//! | `area` | which clients ask for a path, and the form of refusals that they can read |
//! | `asking` | who asks |
//! | `parts` | bodies of requests |
//! | `reply` | bodies of answers |
//! | `people` | how people sign in, and how they let programs act for them |
//! | `receipt` | the account of a request |
//! | `refusal` | statuses and sentences |
//! | `member` | the person who asks, and their seats |
//! | `organizations` | `anaconda token install`: organizations and individual tokens |
//! | `keys` | `anaconda login`: API keys |
//! | `authentications`, `signing_in` | `anaconda auth`, `anaconda org login`: tokens that people make |
//! | `packages` | `anaconda download` |
//!
//! To add a route: a file with a `router()`, its line in [`Anaconda::new`], a test in `tests/it/anaconda/`. The face decides nothing that
//! [`crate::policy`] does not, and it issues nothing but through the store. Of the data plane it has only what [`DataPlane`] gives it.

mod area;
mod asking;
mod authentications;
mod keys;
mod member;
mod organizations;
mod packages;
mod parts;
pub mod people;
mod receipt;
mod refusal;
mod reply;
mod signing_in;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use http_body::Body as _;
use ipnet::IpNet;
use tower_service::Service as _;

pub use self::receipt::Meters;

use self::area::Area;
use self::asking::Arrival;
use self::people::{People, Place};
use self::receipt::Receipt;
use self::refusal::Refusal;
use self::reply::Code;
use crate::clock::Clock;
use crate::face::{Ending, PackageEntry, RequestId, RequestIds, Verdict, client_address, shown_method};
use crate::keys::Keyring;
use crate::ledger::Ledger;
use crate::policy::{Caller, Channels, Standing};
use crate::server::RequestBody;
use crate::store::Store;
use crate::verify::Verifier;

/// The Anaconda-compatible face.
pub struct Anaconda {
    shared: Shared,
    router: axum::Router,
    request_ids: RequestIds,
}

/// What every route has at hand.
type Shared = Arc<Parts>;

/// What the face is made of.
pub struct Parts {
    store: Store,
    verifier: Verifier,
    ledger: Ledger,
    clock: Clock,
    meters: Meters,
    surroundings: ArcSwap<Surroundings>,
    data_plane: DataPlane,
    /// `None` where nobody can sign in.
    people: Option<Arc<People>>,
    /// `None` where no API key can be signed.
    keys: Option<Keyring>,
}

/// What a reload replaces.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The channels that there are.
    pub channels: Channels,
    /// Networks of proxies whose `X-Forwarded-For` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How clients reach the gate, without a slash at the end: `https://conda.example.org`.
    pub public_url: String,
    /// How browsers reach it.
    pub place: Place,
    /// The channel that a token has to be able to read before it takes the place of another one.
    pub default_channel: String,
}

/// A future in a box.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What comes of asking for a package's files.
pub type Listing = BoxFuture<Result<Vec<PackageEntry>, Verdict>>;

/// Whether a token of this standing would read a channel; if not, what it would be told.
pub type Probing = BoxFuture<Result<(), Verdict>>;

/// What the face has of the data plane, by value: it names nothing of it.
pub struct DataPlane {
    /// Says whether a token of this standing would be answered 200 for the index of `noarch` of the channel; if not, what it would be told.
    pub probe: Box<dyn Fn(Standing, String) -> Probing + Send + Sync>,
    /// The files of a package, by the channel with or without a label and the package's name, as the caller may see them.
    pub list: Box<dyn Fn(Caller, String, String) -> Listing + Send + Sync>,
    /// Answers a request for a file of a channel as if it had come there, account of the request included.
    pub read: Box<dyn Fn(http::request::Parts, SocketAddr) -> BoxFuture<Response<Body>> + Send + Sync>,
}

impl Parts {
    /// The parts of the face of a gate at which nobody can sign in.
    pub fn new(
        store: Store,
        verifier: Verifier,
        ledger: Ledger,
        clock: Clock,
        meters: Meters,
        surroundings: Surroundings,
        data_plane: DataPlane,
    ) -> Self {
        let surroundings = ArcSwap::from_pointee(surroundings);
        Self { store, verifier, ledger, clock, meters, surroundings, data_plane, people: None, keys: None }
    }

    /// The same where people sign in, and get API keys.
    #[must_use]
    pub fn with_people(self, people: Option<People>, keys: Option<Keyring>) -> Self {
        Self { people: people.map(Arc::new), keys, ..self }
    }
}

impl Anaconda {
    /// The face of the gate that these belong to.
    pub fn new(parts: Parts) -> Self {
        let request_ids = RequestIds::starting_at("f", parts.clock.now().as_millis());
        let shared = Arc::new(parts);
        let router = axum::Router::new()
            .merge(people::router())
            .merge(organizations::router())
            .merge(keys::router())
            .merge(authentications::router())
            .merge(packages::router())
            .method_not_allowed_fallback(async || Refusal::Method)
            .fallback(async || Refusal::Route)
            .route_layer(from_fn(tell_route))
            .with_state(Arc::clone(&shared));
        Self { shared, router, request_ids }
    }

    /// Puts a new configuration in place.
    pub fn reconfigure(&self, surroundings: Surroundings) {
        self.shared.surroundings.store(Arc::new(surroundings));
    }

    /// True if a path is this face's and no channel's. It looks at a few bytes: every request for a channel passes here.
    pub fn owns(path: &str) -> bool {
        area::owns(path)
    }

    /// Answers one request for a path that the face owns.
    pub async fn answer(&self, request: Request<RequestBody>, peer: SocketAddr) -> Response<Body> {
        let trusted = &self.shared.surroundings.load().trusted_proxies;
        let arrival = Arrival {
            at: self.shared.clock.now(),
            client: client_address(peer, request.headers(), trusted),
            peer,
            asker: Arc::new(OnceLock::new()),
        };
        let asker = Arc::clone(&arrival.asker);
        let (method, area) = (request.method().clone(), Area::of(request.uri().path()));
        let mut receipt = Receipt::open(
            &self.shared.meters,
            &self.shared.ledger,
            &arrival,
            self.request_ids.next(),
            shown_method(&method),
        );
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(arrival);
        let mut response =
            self.router.clone().call(request).await.unwrap_or_else(|never: Infallible| match never {});
        if response.extensions().get::<reply::HandedOver>().is_some() {
            receipt.handed_over();
            return response;
        }
        let route = response.extensions().get::<Route>().map(|route| Arc::clone(&route.0));
        let verdict = response.extensions_mut().remove::<Arc<Verdict>>();
        let code = match &verdict {
            Some(verdict) => verdict.code,
            None => response.extensions().get::<Code>().map_or("ok", |code| code.0),
        };
        if let Some(verdict) = verdict {
            let (parts, _) = response.into_parts();
            response = refused(area, &verdict, receipt.request_id(), &parts.headers, &method);
        }
        complete(response.headers_mut(), receipt.request_id());
        if area == Area::Client
            && let Some((_, standing)) = asker.get()
            && let Some(ending) = Ending::of(standing, receipt.at())
            && let Ok(sentence) = HeaderValue::try_from(ending.sentence)
        {
            response.headers_mut().insert(CONDA_TOKEN_WARNING, sentence);
        }
        let bytes = response.body().size_hint().exact().unwrap_or_default();
        receipt.answered(route, response.status(), code, bytes);
        response
    }
}

/// The route that answered, as it is declared.
#[derive(Clone)]
struct Route(Arc<str>);

async fn tell_route(route: Option<MatchedPath>, request: Request, next: Next) -> Response<Body> {
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(Route(route.as_str().into()));
    }
    response
}

/// The answer that a verdict is told as, in the form that the area's clients read; of `headers`, which the router made, only `Allow` is kept.
fn refused(
    area: Area,
    verdict: &Verdict,
    request_id: RequestId,
    headers: &HeaderMap,
    method: &Method,
) -> Response<Body> {
    let (media_type, bytes) = area.told(verdict, request_id.as_str());
    let mut response =
        Response::new(if *method == Method::HEAD { Body::empty() } else { Body::from(Bytes::clone(&bytes)) });
    *response.status_mut() = verdict.status;
    if let Some(reason) = area.reason(verdict) {
        response.extensions_mut().insert(reason);
    }
    let own = response.headers_mut();
    own.insert(CONTENT_TYPE, media_type);
    own.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    if let Some(allow) = headers.get(ALLOW) {
        own.insert(ALLOW, allow.clone());
    }
    if area == Area::Page {
        people::dress(own);
    }
    verdict.extend(own);
    response
}

/// What every answer carries, unless it says otherwise itself: nobody keeps it, nothing in it runs, nobody is told where it was read.
fn complete(headers: &mut HeaderMap, request_id: RequestId) {
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Some(id) = request_id.to_header() {
        headers.insert(X_REQUEST_ID, id);
    }
}

/// anaconda-client shows it to the person.
const CONDA_TOKEN_WARNING: HeaderName = HeaderName::from_static("conda-token-warning");

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
