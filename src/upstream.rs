//! Where a channel's files come from: an ordered list of upstreams behind one call, [`Upstreams::fetch`].
//!
//! ```text
//! Ask ─▶ upstream 1 ── answers, rightly or wrongly ─▶ Fetched | Missing | Invalid
//!            │
//!            └ no connection, no head in time, 408, 429, 5xx ─▶ upstream 2 ─▶ … ─▶ Unavailable
//! ```
//!
//! The first upstream that answers decides, whatever it answers. A 404 of the first is not looked up in the second, and a 401 or a
//! forbidden redirect of the first is not hidden by it: the list is one channel in several places, and a file that one of them
//! refuses must not be taken from another that may be someone else's. Only passing trouble, before the first byte, moves on.
//!
//! Order of steps for each upstream, all but the last within [`Timeouts::first_byte`]: wait for a turn
//! ([`Limits::concurrent_requests_max`]); connect ([`Timeouts::connect`], [`Timeouts::tls_handshake`]) or take a pooled connection;
//! ask, following redirects; judge the head; then hand out a [`Body`], which fails if it stalls ([`Timeouts::idle`]) or ends short. A
//! request is counted when its body is over, in `channelgate_upstream_requests_total` by [`Outcome`]. Every failure is logged once, at
//! `warn`, with the upstream's origin: never with a path, a query or a credential.
//!
//! This module is a port. It never sees a token of ours and knows no rule about who may read what. To add a kind of upstream, add a
//! variant to `Upstream`, a file beside `http.rs`, and a scheme in `config.rs`. Read `http.rs` next, then `directory.rs`.

mod body;
mod config;
mod directory;
mod error;
mod http;
mod identity;
mod lead;
mod meters;
mod plain_body;

use std::path::Path;
use std::sync::Arc;

use ::http::HeaderMap;
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::clock;
use crate::conda::UpstreamPath;
use crate::semantics::{CacheControl, Span, Validators};

pub use body::{Body, BodyError};
pub use config::{Auth, Limits, Mistake, SecretSource, Timeouts, UpstreamConfig, UpstreamConfigError};
pub use error::{FetchError, Invalid, RedirectFault, Unavailable};
pub use http::{Web, WebError};
pub use identity::{NotAnId, UpstreamsId};
pub use lead::{Lead, Unreachable};
pub use meters::{Meters, Outcome};

use body::{Source, Turn};
use directory::Directory;
use http::Http;
use meters::{Known, Tally};

/// The TLS settings of a client that trusts the platform's root certificates and those of `ca_file`.
///
/// # Errors
///
/// The file cannot be read as PEM, or there are no certificates at all.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    http::PlatformRoots::default().client_config(ca_file, true).map_err(|(_, problem)| problem)
}

/// The upstreams of one channel, in the order in which they are asked.
pub struct Upstreams {
    id: UpstreamsId,
    members: Vec<Member>,
}

/// One upstream and its share of the machine.
struct Member {
    known: Arc<Known>,
    kind: Upstream,
    turns: Arc<Semaphore>,
    timeouts: Timeouts,
}

/// An upstream, by kind.
enum Upstream {
    /// `http://` or `https://`.
    Http(Box<Http>),
    /// `file://`: a directory laid out as a channel.
    Directory(Directory),
}

/// What is asked of an upstream.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// How.
    pub method: Method,
    /// For what.
    pub path: &'a UpstreamPath,
    /// Where it is, if an index said that it is not at its path: only the upstream of that index is asked, and only for what is within its
    /// reach.
    pub at: Option<&'a Lead>,
    /// The headers of a client's request, from which `If-None-Match`, `If-Modified-Since` and, for GET, a single `Range` with its
    /// `If-Range` are taken, and nothing else. `None` asks for the whole file without conditions, as a cache does.
    pub conditions: Option<&'a HeaderMap>,
}

/// The methods that a channel is read with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The file.
    Get,
    /// What GET would say of it, without the bytes.
    Head,
}

impl From<Method> for ::http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
        }
    }
}

/// An upstream's answer. The bytes are still to come. It is handed on in a box, because it passes through many hands.
pub struct Fetched {
    /// What the body is of the file.
    pub answer: Answer,
    /// `ETag` and `Last-Modified`; what has not the form of one is left out.
    pub validators: Validators,
    /// Bytes of the body, or for HEAD of the body that GET would bring; `None` if the upstream did not say.
    pub length: Option<u64>,
    /// Freshness directives.
    pub cache_control: CacheControl,
    /// Which upstream answered, counted from 0.
    pub upstream: usize,
    /// The bytes; none for HEAD, 304 and 416.
    pub body: Body,
}

/// What an upstream's body is of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All of it (200). Also the answer to a range from an upstream that does not do ranges, or where `If-Range` failed: whoever
    /// asked has to cut the part out.
    Whole,
    /// The part asked for (206).
    Part {
        /// Which bytes.
        span: Span,
        /// Of how many; `None` if the upstream does not know.
        total: Option<u64>,
    },
    /// The client has it already (304). Only where a condition was asked.
    NotModified,
    /// The range lies behind the end (416). Only where a range was asked.
    NotSatisfiable {
        /// The length of the file; `None` if the upstream did not say.
        total: Option<u64>,
    },
}

/// What the head of an answer says, before there is a body.
struct Head {
    answer: Answer,
    validators: Validators,
    length: Option<u64>,
    cache_control: CacheControl,
}

/// A failure on its way into the log: what the caller is told, what is counted, and what the system said.
struct Failure {
    error: FetchError,
    outcome: Outcome,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Upstreams {
    /// The upstreams of one channel. Reads credentials and certificates now: to take up changed ones, make new `Upstreams`.
    ///
    /// # Errors
    ///
    /// Lists everything that is wrong, with all upstreams.
    pub fn new(configs: &[UpstreamConfig], meters: Meters) -> Result<Self, UpstreamConfigError> {
        Ok(Self { id: UpstreamsId::of(configs), members: config::build(configs, &meters)? })
    }

    /// What tells these upstreams from others.
    pub fn id(&self) -> UpstreamsId {
        self.id
    }

    /// Asks one upstream after the other until one answers; see the module's page for what counts as an answer.
    ///
    /// # Errors
    ///
    /// [`FetchError`], as soon as an upstream answers wrongly or has no such file, or after the last one did not answer.
    pub fn fetch(&self, ask: &Ask<'_>) -> impl Future<Output = Result<Box<Fetched>, FetchError>> {
        self.fetch_from(0, ask)
    }

    /// As [`Upstreams::fetch`], but the first that is asked is the one with number `start`, and after the last comes the first: for whoever
    /// goes on with a body that one of them has begun. A number too high counts on from the first.
    ///
    /// # Errors
    ///
    /// As [`Upstreams::fetch`].
    pub async fn fetch_from(&self, start: usize, ask: &Ask<'_>) -> Result<Box<Fetched>, FetchError> {
        let mut last = FetchError::Unavailable(Unavailable::Connect);
        if let Some(lead) = ask.at {
            let member = self.members.get(lead.upstream()).ok_or(FetchError::Missing)?;
            return member.fetch(lead.upstream(), ask).await;
        }
        let count = self.members.len();
        let start = start.checked_rem(count).unwrap_or(0);
        for (index, member) in self.members.iter().enumerate().cycle().skip(start).take(count) {
            match member.fetch(index, ask).await {
                Err(FetchError::Unavailable(reason)) => last = FetchError::Unavailable(reason),
                decided => return decided,
            }
        }
        Err(last)
    }

    /// The URL at which an index is that one of them sends, without a credential; `None` if there is none of that number.
    pub fn url_of(&self, index: usize, path: &UpstreamPath) -> Option<Url> {
        match &self.members.get(index)?.kind {
            Upstream::Http(http) => http.url_of(path),
            Upstream::Directory(directory) => directory.url_of(path),
        }
    }

    /// What a reference means in an index at `here`, which is a URL that [`Self::url_of`] gave for the same number.
    ///
    /// # Errors
    ///
    /// [`Unreachable`], if the gate does not fetch from there.
    pub fn resolve(&self, index: usize, here: &Url, reference: &str) -> Result<Lead, Unreachable> {
        let member = self.members.get(index).ok_or(Unreachable::Malformed)?;
        let mut url = here.join(reference).map_err(|_| Unreachable::Malformed)?;
        url.set_fragment(None);
        let url = match &member.kind {
            Upstream::Http(http) => http.reaches(&url).map(|()| url)?,
            Upstream::Directory(directory) => directory.relative(&url)?,
        };
        Ok(Lead::new(index, url))
    }

    /// The number of the first of them that has this name, as [`Self::name`] tells it.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.known.name == name)
    }

    /// The origin or directory of one of them, for people; empty if there is none of that number.
    pub fn name(&self, index: usize) -> &str {
        self.members.get(index).map_or("", |member| &member.known.name)
    }
}

impl Member {
    async fn fetch(&self, index: usize, ask: &Ask<'_>) -> Result<Box<Fetched>, FetchError> {
        let mut tally = Tally::new(Arc::clone(&self.known));
        let (turn, head, source) = match self.ask(ask).await {
            Ok(answered) => answered,
            Err(failure) => {
                tally.settle(failure.outcome);
                failure.log(&self.known.name);
                return Err(failure.error);
            }
        };
        let body = match (source, head.answer) {
            (Source::Nothing, Answer::NotModified) => Body::none(Outcome::NotModified, tally),
            (Source::Nothing, Answer::NotSatisfiable { .. }) => Body::none(Outcome::NotSatisfiable, tally),
            (Source::Nothing, _) => Body::none(Outcome::Ok, tally),
            (source, _) => Body::new(source, head.length, self.timeouts.idle, tally, turn),
        };
        let Head { answer, validators, length, cache_control } = head;
        Ok(Box::new(Fetched { answer, validators, length, cache_control, upstream: index, body }))
    }

    /// All that has to happen before [`Timeouts::first_byte`] is over.
    async fn ask(&self, ask: &Ask<'_>) -> Result<(Turn, Head, Source), Failure> {
        let deadline = Instant::from_std(clock::instant()) + self.timeouts.first_byte;
        let turn = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(turn) => turn,
            Err(_) => match timeout_at(deadline, Arc::clone(&self.turns).acquire_owned()).await {
                Ok(Ok(turn)) => turn,
                Ok(Err(_)) | Err(_) => return Err(FetchError::Unavailable(Unavailable::Busy).into()),
            },
        };
        match &self.kind {
            // A request takes several steps, each of which looks at the deadline in the way that costs it least.
            Upstream::Http(http) => {
                http.fetch(ask, deadline).await.map(|(head, source)| (Turn::Own(turn), head, source))
            }
            Upstream::Directory(directory) => {
                let turn = Arc::new(turn);
                let late = |_| FetchError::Unavailable(Unavailable::Timeout);
                let answered = timeout_at(deadline, directory.fetch(ask, &turn)).await.map_err(late)?;
                answered.map(|(head, source)| (Turn::Shared(turn), head, source))
            }
        }
    }
}

impl Failure {
    fn new(error: FetchError, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { error, outcome: error.into(), cause: Some(cause.into()) }
    }

    /// Missing, because a symlink leads out of the directory.
    fn escaped() -> Self {
        Self { error: FetchError::Missing, outcome: Outcome::Escaped, cause: None }
    }

    fn log(&self, upstream: &str) {
        if self.error == FetchError::Missing {
            return;
        }
        let cause = self.cause.as_deref().map(|cause| meters::chain(cause)).unwrap_or_default();
        tracing::warn!(upstream, outcome = self.outcome.as_str(), error = %self.error, cause, "upstream failed");
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self { error, outcome: error.into(), cause: None }
    }
}
