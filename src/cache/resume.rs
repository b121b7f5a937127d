//! An upstream's body that goes on when the upstream dies: the rest is asked for with `Range` and `If-Range`, at the same upstream and then
//! at the next, and whoever reads notices nothing.
//!
//! Only a file with a strong entity tag is continued, and only with a part, or a whole, that carries the very same tag and length: anything
//! else could be another version, and two halves of different versions are a file that nobody has ever published (RFC 9110 section 13.1.5).
//!
//! Bounds: [`FRUITLESS_MAX`] continuations in a row that bring less than [`FRUIT_BYTES`], with a growing pause before each but the first;
//! [`RESUMES_MAX`] in all. What an upstream may take to answer or to send on is its own timeouts.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};
use http_body::Body as _;

use super::meters::Meters;
use super::order::{BoxFuture, Order};
use crate::conda::UpstreamPath;
use crate::semantics::{ByteRange, EntityTag};
use crate::upstream::{self, Answer, Ask, BodyError, FetchError, Fetched, Lead, Method, Upstreams};

/// A body that goes on. What it promised it delivers to the byte, or fails with [`Lost`].
pub(super) struct Steady {
    version: Version,
    meters: Meters,
    source: Source,
    /// Bytes given out.
    received: u64,
    /// Bytes to pass over: the upstream sends from the start what is there already.
    skip: u64,
    /// Which upstream sends, or sent last.
    upstream: usize,
    resumes: u32,
    fruitless: u32,
    /// What `received` was when the latest continuation was asked for.
    resumed_at: u64,
}

/// Which file of whom is read, as far as a continuation has to fit it.
#[derive(Clone)]
struct Version {
    upstreams: Arc<Upstreams>,
    path: UpstreamPath,
    at: Option<Lead>,
    /// Strong.
    etag: Option<EntityTag>,
    length: Option<u64>,
}

enum Source {
    Body(Box<upstream::Body>),
    Resuming(BoxFuture<'static, Result<Continued, NotContinued>>),
    /// It ended, one way or the other.
    Nothing,
}

struct Continued {
    body: upstream::Body,
    skip: u64,
    upstream: usize,
}

enum NotContinued {
    /// Nobody answers.
    Unavailable,
    Lost(Lost),
}

/// A body cannot be continued.
pub(super) enum Lost {
    /// The rest cannot be had.
    Broken,
    /// The upstream has another version by now; here it is, from its first byte.
    Changed(Box<Fetched>),
}

/// Continuations in a row that bring next to nothing.
const FRUITLESS_MAX: u32 = 5;

/// What a continuation has to bring to be worth it: next to nothing would be any less.
const FRUIT_BYTES: u64 = 64 * 1024;

/// Continuations of one body.
const RESUMES_MAX: u32 = 64;

/// The pause before the second continuation in a row; it doubles with each.
const PAUSE: Duration = Duration::from_millis(100);

impl Steady {
    /// The body of `fetched`, which is an [`Answer::Whole`].
    pub(super) fn new(order: &Order, fetched: Box<Fetched>, meters: Meters) -> Self {
        let etag = fetched.validators.etag.filter(EntityTag::is_strong);
        Self {
            version: Version::of(order, etag, fetched.length),
            meters,
            source: Source::Body(Box::new(fetched.body)),
            received: 0,
            skip: 0,
            upstream: fetched.upstream,
            resumes: 0,
            fruitless: 0,
            resumed_at: 0,
        }
    }

    /// The rest from byte `received` on of a file that began as `head` says; the upstream is asked now.
    pub(super) fn rest(
        order: &Order,
        (etag, length): (Option<EntityTag>, Option<u64>),
        received: u64,
        meters: Meters,
    ) -> Self {
        let etag = etag.filter(EntityTag::is_strong);
        let mut rest = Self {
            version: Version::of(order, etag, length),
            meters,
            source: Source::Nothing,
            received,
            skip: 0,
            upstream: 0,
            resumes: 0,
            fruitless: 0,
            resumed_at: received,
        };
        rest.resume();
        rest
    }

    /// Which upstream sends.
    pub(super) fn upstream(&self) -> usize {
        self.upstream
    }

    /// The next bytes; `None` at the end of the file. May be given up and asked again.
    pub(super) fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Lost>>> {
        loop {
            match &mut self.source {
                Source::Nothing => return Poll::Ready(None),
                Source::Body(body) => match ready!(Pin::new(&mut **body).poll_frame(context)) {
                    Some(Ok(frame)) => {
                        if let Some(chunk) = self.fresh(frame.into_data().unwrap_or_default()) {
                            return Poll::Ready(Some(Ok(chunk)));
                        }
                    }
                    None if self.version.length.is_none_or(|length| length == self.received) => {
                        self.source = Source::Nothing;
                        return Poll::Ready(None);
                    }
                    // More than was announced: whatever it is, it is not that file.
                    Some(Err(BodyError::Long)) => return self.lost(Lost::Broken),
                    Some(Err(_)) | None => {
                        if !self.resume() {
                            return self.lost(Lost::Broken);
                        }
                    }
                },
                Source::Resuming(resuming) => match ready!(resuming.as_mut().poll(context)) {
                    Ok(Continued { body, skip, upstream }) => {
                        (self.skip, self.upstream) = (skip, upstream);
                        self.source = Source::Body(Box::new(body));
                    }
                    Err(NotContinued::Unavailable) => {
                        if !self.resume() {
                            return self.lost(Lost::Broken);
                        }
                    }
                    Err(NotContinued::Lost(lost)) => return self.lost(lost),
                },
            }
        }
    }

    /// What of a chunk is new.
    fn fresh(&mut self, mut chunk: Bytes) -> Option<Bytes> {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
        chunk.advance(skipped);
        self.skip = self.skip.saturating_sub(skipped as u64);
        self.received = self.received.saturating_add(chunk.len() as u64);
        (!chunk.is_empty()).then_some(chunk)
    }

    fn lost(&mut self, lost: Lost) -> Poll<Option<Result<Bytes, Lost>>> {
        self.source = Source::Nothing;
        Poll::Ready(Some(Err(lost)))
    }

    /// Asks for the rest; false if that is not to be done.
    fn resume(&mut self) -> bool {
        if self.received.saturating_sub(self.resumed_at) >= FRUIT_BYTES {
            self.fruitless = 0;
        }
        let Some(etag) = self.version.etag.clone() else { return false };
        if self.fruitless >= FRUITLESS_MAX || self.resumes >= RESUMES_MAX {
            return false;
        }
        let pause = match self.fruitless {
            0 => Duration::ZERO,
            fruitless => PAUSE.saturating_mul(1 << (fruitless - 1).min(16)),
        };
        // The same upstream first: it has that version. Then each in its turn.
        let start = self.upstream.saturating_add(self.fruitless as usize);
        self.fruitless += 1;
        self.resumes += 1;
        self.resumed_at = self.received;
        self.meters.resumes.inc();
        let (version, received) = (self.version.clone(), self.received);
        self.source = Source::Resuming(Box::pin(async move {
            tokio::time::sleep(pause).await;
            version.continued(&etag, received, start).await
        }));
        true
    }
}

impl Version {
    fn of(order: &Order, etag: Option<EntityTag>, length: Option<u64>) -> Self {
        let Order { upstreams, path, at, .. } = order;
        Self { upstreams: Arc::clone(upstreams), path: path.clone(), at: at.clone(), etag, length }
    }

    /// The rest from byte `received` on, if it is of this version.
    async fn continued(
        &self,
        etag: &EntityTag,
        received: u64,
        start: usize,
    ) -> Result<Continued, NotContinued> {
        let Ok(range) = HeaderValue::try_from(ByteRange::From(received).to_string()) else {
            return Err(NotContinued::Lost(Lost::Broken));
        };
        let headers = HeaderMap::from_iter([(RANGE, range), (IF_RANGE, etag.as_header().clone())]);
        let ask =
            Ask { method: Method::Get, path: &self.path, at: self.at.as_ref(), conditions: Some(&headers) };
        let fetched = match self.upstreams.fetch_from(start, &ask).await {
            Ok(fetched) => fetched,
            Err(FetchError::Unavailable(_)) => return Err(NotContinued::Unavailable),
            Err(FetchError::Missing | FetchError::Invalid(_)) => {
                return Err(NotContinued::Lost(Lost::Broken));
            }
        };
        let is_same = fetched.validators.etag.as_ref() == Some(etag);
        let skip = match fetched.answer {
            Answer::Part { span, total } => {
                let is_rest = span.start == received
                    && total.or(self.length).is_some_and(|length| length == span.end)
                    && self.length.is_none_or(|length| length == span.end);
                (is_same && is_rest).then_some(0)
            }
            Answer::Whole if is_same && fetched.length == self.length => Some(received),
            Answer::Whole => return Err(NotContinued::Lost(Lost::Changed(fetched))),
            Answer::NotModified | Answer::NotSatisfiable { .. } => None,
        };
        match skip {
            Some(skip) => Ok(Continued { body: fetched.body, skip, upstream: fetched.upstream }),
            None => Err(NotContinued::Lost(Lost::Broken)),
        }
    }
}
