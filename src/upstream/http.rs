//! A channel behind `http://` or `https://`.
//!
//! A request is built anew from an allow-list of headers ([`request`]), sent over a pooled connection ([`connect`]), led through
//! redirects ([`redirect`]) and its answer judged ([`response`]). HTTP/1.1, or HTTP/2 where TLS negotiates it.
//!
//! **Two pools.** Requests to the upstream's own origin and requests to anywhere else go through different clients, whose connectors
//! apply different rules about addresses. Which one is decided by comparing origins, for every hop, and a pool is never asked for an
//! origin of the other kind; so no redirect can ride on a connection that was made under the relaxed rule.
//!
//! **Without hyper.** Requests to the own origin over plain HTTP go past hyper's client ([`plain`]) as long as the answers are usual; the pool
//! of that way is a third one, of connections to the own origin only.
//!
//! **Once more.** A connection that brought responses before and now ends without one was closed by the peer while idle. GET and HEAD
//! are idempotent, so such a request is sent again, once. HEAD that is refused as a method (405, 501), or with 403 by a host that a
//! redirect led to (a URL signed for GET), is asked again as GET whose body is not read.

mod address;
mod connect;
mod credential;
mod head;
mod idle;
mod origin;
mod plain;
mod reach;
mod redirect;
mod request;
mod response;
mod tls;
mod web;

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::Url;

use super::body::Source;
use super::config::{self, Findings, UpstreamConfig};
use super::error::{FetchError, Invalid, RedirectFault, Unavailable};
use super::lead::{Unreachable, check_no_credential};
use super::{Ask, Failure, Head, Method};
use crate::conda::UpstreamPath;
use crate::semantics::{Conditions, Fields};

use connect::{ConnectError, Connector, Proven, Reach};
use credential::Credential;
use origin::Origin;
use plain::{Answered, Asking, Plain, Unanswered};
use reach::AllowedHosts;
use redirect::{Refused, Trail};
use response::Judge;

pub(super) use credential::read as read_secret;
pub(super) use idle::{Link, Pool};
pub(super) use tls::PlatformRoots;
pub use web::{Web, WebError};

#[cfg(test)]
mod tests;

/// What one slow reader may hold of an HTTP/2 connection: enough for 50 MB/s at a round trip of 20 ms.
const H2_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// The connection's window is never what runs out: otherwise a few slow readers would stop all others on the same connection.
const H2_CONNECTION_WINDOW_BYTES: u32 = i32::MAX as u32;

/// An HTTP/2 connection is pinged this often, idle or not, and given up if the answer takes half as long: a connection that a
/// firewall forgot would otherwise be used until TCP gives up, which takes a quarter of an hour.
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);

/// An upstream that is asked over HTTP.
pub(super) struct Http {
    origin: Origin,
    /// Origin, credential in the path if any, base path; no slash at the end. Never printed: see [`Credential`].
    base: String,
    /// How much of a URL at it is the origin.
    origin_bytes: usize,
    /// Origin and base path; no slash at the end.
    place: String,
    credential: Credential,
    /// `None` over TLS.
    plain: Option<Plain>,
    own: Client<Connector, Empty<Bytes>>,
    elsewhere: Client<Connector, Empty<Bytes>>,
    allowed: AllowedHosts,
    missing_statuses: Vec<StatusCode>,
    header_bytes_max: u32,
}

/// A response whose body is still to come.
struct Received {
    status: StatusCode,
    headers: Fields,
    header_bytes: usize,
    /// As HTTP framing has it.
    length: Option<u64>,
    body: Source,
}

/// Where a request is on its way.
struct Hop<'a> {
    place: Place<'a>,
    is_own: bool,
    /// The request has not left the upstream's own origin so far.
    is_trusted: bool,
}

/// What a hop asks for.
enum Place<'a> {
    /// The file of this path, below the base. Its URL is put together only for those who need one.
    File(Cow<'a, str>),
    /// A URL with the credential that stands in the path, if any.
    Url(String),
}

impl Http {
    /// Checks everything there is to check, so that all mistakes are told at once.
    pub(super) fn new(
        config: &UpstreamConfig,
        roots: &PlatformRoots,
        findings: &mut Findings,
    ) -> Option<Self> {
        let url = findings.take("url", config::http_url(&config.url));
        let origin = url.as_ref().and_then(Origin::of);
        let allowed = allowed_hosts(config, findings);
        let missing_statuses = missing_statuses(config, findings);
        let credential = findings.take("auth", Credential::load(config.auth.as_ref()));
        let is_https = origin.as_ref().is_some_and(|origin| origin.is_https);
        let tls = if is_https || config.ca_file.is_some() || !allowed.is_empty() {
            match roots.client_config(config.ca_file.as_deref(), is_https) {
                Ok(tls) => Some(TlsConnector::from(std::sync::Arc::new(tls))),
                Err((key, problem)) => {
                    findings.add(key, problem);
                    return None;
                }
            }
        } else {
            None
        };
        let (url, origin, credential) = (url?, origin?, credential?);
        let timeouts = config.timeouts;
        let connector = |reach| Connector::new(reach, tls.clone(), timeouts.connect, timeouts.tls_handshake);
        let plain = (!is_https && config.fast_paths.are_open()).then(|| {
            let idle_max = config.limits.pooled_connections_max;
            Plain::new(connector(Reach::Own), &origin, idle_max, timeouts.pooled)
        });
        let path = url.path().trim_end_matches('/');
        let base = format!("{origin}{}{path}", credential.path());
        let place = format!("{origin}{path}");
        Some(Self {
            plain,
            own: client(config, connector(Reach::Own)),
            elsewhere: client(
                config,
                connector(Reach::Elsewhere { allowed: allowed.clone(), own: origin.clone() }),
            ),
            origin_bytes: origin.to_string().len(),
            origin,
            base,
            place,
            credential,
            allowed,
            missing_statuses,
            header_bytes_max: config.limits.header_bytes_max,
        })
    }

    /// The origin, for logs.
    pub(super) fn name(&self) -> String {
        self.origin.to_string()
    }

    /// Where a file is, without the gate's credential.
    pub(super) fn url_of(&self, path: &UpstreamPath) -> Option<Url> {
        Url::parse(&format!("{}/{}", self.place, path.encoded())).ok()
    }

    /// Whether an index may point to `url`. Of the addresses behind the name the connector judges.
    pub(super) fn reaches(&self, url: &Url) -> Result<(), Unreachable> {
        self.check(url).map(|_| ())
    }

    fn check(&self, url: &Url) -> Result<Origin, Unreachable> {
        let origin = Origin::of(url).ok_or(Unreachable::Malformed)?;
        check_no_credential(url)?;
        if origin == self.origin {
            Ok(origin)
        } else if self.origin.is_https && !origin.is_https {
            Err(Unreachable::Downgrade)
        } else if self.allowed.allow(&origin) {
            Ok(origin)
        } else {
            Err(Unreachable::Host)
        }
    }

    /// Where a request begins: at the file's path, or where an index said that it is.
    fn start<'a>(&self, ask: &Ask<'a>) -> Result<(Place<'a>, bool), Failure> {
        let Some(lead) = ask.at else { return Ok((Place::File(ask.path.encoded()), true)) };
        let origin = self.check(lead.url()).map_err(|fault| {
            let origin = Origin::of(lead.url()).map_or_else(String::new, |origin| origin.to_string());
            Failure::new(FetchError::Invalid(Invalid::Lead(fault)), format!("an index leads to {origin}"))
        })?;
        if origin == self.origin {
            // Its path is that of a file of the upstream's: a credential that stands in the path stands in this one, too.
            let url = format!("{origin}{}{}", self.credential.path(), lead.url().path());
            return Ok((Place::Url(url), true));
        }
        Ok((Place::Url(lead.url().as_str().to_owned()), false))
    }

    /// The base as it stands in a request to its origin.
    fn base_path(&self) -> &str {
        self.base.get(self.origin_bytes..).unwrap_or_default()
    }

    fn url_at<'p>(&self, place: &'p Place<'_>) -> Cow<'p, str> {
        match place {
            Place::File(path) => format!("{}/{path}", self.base).into(),
            Place::Url(url) => url.into(),
        }
    }

    /// Asks, and judges the answer's head, which has to be there at `deadline`.
    pub(super) async fn fetch(&self, ask: &Ask<'_>, deadline: Instant) -> Result<(Head, Source), Failure> {
        let (mut headers, asked) = request::headers(ask);
        let (mut response, hop) = self.follow(ask, ask.method, &headers, deadline).await?;
        if response.status == StatusCode::PARTIAL_CONTENT && !fits_if_range(ask, &response.headers) {
            // It knows ranges but not If-Range: the client would put two versions together. The whole is the answer then.
            headers.remove(RANGE);
            headers.remove(IF_RANGE);
            (response, _) = Box::pin(self.follow(ask, ask.method, &headers, deadline)).await?;
        }
        if ask.method == Method::Head && refuses_head(response.status, &hop) {
            (response, _) = Box::pin(self.follow(ask, Method::Get, &headers, deadline)).await?;
            if let Some(length) = response.length
                && !response.headers.contains(&CONTENT_LENGTH)
            {
                // Of GET it is not said twice.
                response.headers.push(CONTENT_LENGTH, length.into());
            }
        }
        let judge = Judge {
            asked,
            missing_statuses: &self.missing_statuses,
            header_bytes_max: self.header_bytes_max,
        };
        let Received { status, headers, header_bytes, length, body } = response;
        let judged = judge.head(status, headers, header_bytes, length)?;
        let has_body = ask.method == Method::Get && judged.length != Some(0) && !is_bodyless(status);
        Ok((judged, if has_body { body } else { Source::Nothing }))
    }

    /// Sends the request to where it belongs and on to where it is redirected.
    async fn follow<'a>(
        &self,
        ask: &Ask<'a>,
        method: Method,
        headers: &HeaderMap,
        deadline: Instant,
    ) -> Result<(Received, Hop<'a>), Failure> {
        let (place, is_own) = self.start(ask)?;
        let mut hop = Hop { place, is_own, is_trusted: is_own };
        let mut trail = None;
        loop {
            let response = self.send(&hop, method, headers, deadline).await?;
            if !redirect::is_redirect(response.status) {
                return Ok((response, hop));
            }
            let trail = match &mut trail {
                Some(trail) => trail,
                None => trail.insert(Trail::new(
                    Url::parse(&self.url_at(&hop.place)).map_err(|error| Failure::new(malformed(), error))?,
                )),
            };
            let (url, origin) = trail.next(&response.headers, &self.origin, &self.allowed)?;
            Uri::try_from(url.as_str()).map_err(|_| Refused::from(RedirectFault::Malformed))?;
            let is_own = origin == self.origin;
            let place = Place::Url(url.as_str().to_owned());
            hop = Hop { place, is_own, is_trusted: hop.is_trusted && is_own };
        }
    }

    /// One request and the head of its response; sent again if the connection had died while idle.
    async fn send(
        &self,
        hop: &Hop<'_>,
        method: Method,
        headers: &HeaderMap,
        deadline: Instant,
    ) -> Result<Received, Failure> {
        if hop.is_own
            && let Some(plain) = self.plain.as_ref().filter(|plain| !plain.takes_detour())
        {
            return self.send_plain(plain, hop, method, headers, deadline).await;
        }
        let client = if hop.is_own { &self.own } else { &self.elsewhere };
        let uri =
            Uri::try_from(&*self.url_at(&hop.place)).map_err(|error| Failure::new(malformed(), error))?;
        let mut is_second = false;
        loop {
            let mut request = Request::new(Empty::new());
            *request.uri_mut() = uri.clone();
            *request.method_mut() = method.into();
            *request.headers_mut() = headers.clone();
            for (name, value) in &request::ALWAYS {
                request.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            if hop.is_trusted {
                self.credential.add_to(request.headers_mut());
            }
            match timeout_at(deadline, client.request(request)).await.map_err(|_| late())? {
                Ok(response) => {
                    if let Some(proven) = response.extensions().get::<Proven>() {
                        proven.mark();
                    }
                    return Ok(response.into());
                }
                Err(error) if !is_second && died_idle(&error) => is_second = true,
                Err(error) => return Err(failure(error)),
            }
        }
    }

    /// The same over a connection of our own.
    async fn send_plain(
        &self,
        plain: &Plain,
        hop: &Hop<'_>,
        method: Method,
        headers: &HeaderMap,
        deadline: Instant,
    ) -> Result<Received, Failure> {
        let target = match &hop.place {
            Place::File(path) => [self.base_path(), "/", path],
            // Whatever is at the own origin begins as the base does.
            Place::Url(url) => {
                let target = url.get(self.origin_bytes..).filter(|target| target.starts_with('/'));
                [target.unwrap_or("/"), "", ""]
            }
        };
        let credential = self.credential.header().filter(|_| hop.is_trusted);
        match plain.send(&Asking { method, target, headers, credential, deadline }).await {
            Ok(Answered::Usual(head, body)) => Ok(Received {
                status: head.status,
                headers: head.headers,
                header_bytes: head.header_bytes,
                length: Some(body.left()),
                body: Source::Plain(body),
            }),
            Ok(Answered::Hypers(response)) => Ok(response.into()),
            Err(Unanswered::Late) => Err(late().into()),
            Err(Unanswered::Connect(error)) => Err(Failure::new(reason(Some(&error), None), error)),
            Err(Unanswered::Hypers(error)) => Err(Failure::new(reason(None, Some(&error)), error)),
            Err(Unanswered::Closed(error)) => Err(Failure::new(reason(None, None), error)),
        }
    }
}

impl From<Response<Incoming>> for Received {
    fn from(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            header_bytes: response::header_bytes(&head.headers),
            headers: head.headers.into(),
            length: body.size_hint().exact(),
            body: Source::Http(body),
        }
    }
}

/// False if a part is not of the version that the client has the other part of.
fn fits_if_range(ask: &Ask<'_>, headers: &Fields) -> bool {
    let validators = response::validators(|name| headers.get(name).cloned());
    ask.conditions.is_none_or(|conditions| Conditions::of(conditions).if_range_holds(&validators))
}

fn allowed_hosts(config: &UpstreamConfig, findings: &mut Findings) -> AllowedHosts {
    let entries = config.allowed_hosts.iter().filter_map(|entry| {
        let parsed = entry.parse().map_err(|problem: &str| format!("entry {entry:?} {problem}"));
        findings.take("allowed_hosts", parsed)
    });
    AllowedHosts::new(entries.collect())
}

fn missing_statuses(config: &UpstreamConfig, findings: &mut Findings) -> Vec<StatusCode> {
    let statuses = config.missing_statuses.iter().filter_map(|&status| match status {
        401 => Some(StatusCode::UNAUTHORIZED),
        403 => Some(StatusCode::FORBIDDEN),
        _ => {
            findings.add("missing_statuses", format!("lists {status}; expected 401 or 403"));
            None
        }
    });
    statuses.collect()
}

fn client(config: &UpstreamConfig, connector: Connector) -> Client<Connector, Empty<Bytes>> {
    // The read buffer keeps hyper's own limit: a smaller one costs up to three times the processor time on large bodies.
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(config.timeouts.pooled)
        .pool_max_idle_per_host(config.limits.pooled_connections_max)
        .http2_initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(config.limits.header_bytes_max)
        .http2_keep_alive_interval(H2_PING_INTERVAL)
        .http2_keep_alive_timeout(H2_PING_INTERVAL / 2)
        .http2_keep_alive_while_idle(true)
        .build(connector)
}

fn refuses_head(status: StatusCode, hop: &Hop<'_>) -> bool {
    match status {
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => true,
        StatusCode::FORBIDDEN => !hop.is_own,
        _ => false,
    }
}

fn is_bodyless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_MODIFIED | StatusCode::RANGE_NOT_SATISFIABLE)
}

fn late() -> FetchError {
    FetchError::Unavailable(Unavailable::Timeout)
}

fn malformed() -> FetchError {
    FetchError::Invalid(Invalid::Malformed)
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Directory => FetchError::Missing.into(),
            Refused::Fault { fault, target } => {
                let error = FetchError::Invalid(Invalid::Redirect(fault));
                match target {
                    Some(target) => Self::new(error, format!("it leads to {target}")),
                    None => error.into(),
                }
            }
        }
    }
}

/// True if the connection had brought a response before, and what came now cannot have been one.
fn died_idle(error: &legacy::Error) -> bool {
    let mut extensions = http::Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extensions);
    }
    extensions.get::<Proven>().is_some_and(Proven::is_marked)
        && cause::<hyper::Error>(error).is_none_or(|error| !error.is_parse())
}

/// Whose fault a request without a response was.
fn failure(error: legacy::Error) -> Failure {
    let reason = reason(cause(&error), cause(&error));
    Failure::new(reason, error)
}

fn reason(connect: Option<&ConnectError>, hyper: Option<&hyper::Error>) -> FetchError {
    match (connect, hyper) {
        (Some(ConnectError::Forbidden(_)), _) => {
            FetchError::Invalid(Invalid::Redirect(RedirectFault::Address))
        }
        (Some(ConnectError::Handshake(_) | ConnectError::HandshakeTimeout(_)), _) => {
            FetchError::Unavailable(Unavailable::Handshake)
        }
        (Some(_), _) => FetchError::Unavailable(Unavailable::Connect),
        (None, Some(error)) if error.is_parse_too_large() => FetchError::Invalid(Invalid::HeadersTooLarge),
        (None, Some(error)) if error.is_parse() => malformed(),
        (None, _) => FetchError::Unavailable(Unavailable::Closed),
    }
}

/// The first of the error's sources that is an `E`.
fn cause<E: Error + 'static>(error: &legacy::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}
