//! A body on its way from an upstream.
//!
//! It is read only as fast as it is polled: nothing is fetched ahead of the reader, but for what the operating system and the
//! HTTP connection hold. It must never end cleanly when it is short: the gateway then could not tell a client that a package
//! is torn. What it promised ([`Body::remaining`]) it delivers to the byte or fails.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

use super::meters::{Outcome, Tally};
use super::plain_body::{PlainBody, Waits};
use crate::passage::Lane;
use crate::reading::Reader;

/// One of the upstream's [`super::Limits::concurrent_requests_max`] places, or as much of another bound; free again when it is dropped.
pub(super) enum Turn {
    /// The body's alone.
    Own(#[expect(dead_code, reason = "held to be dropped")] OwnedSemaphorePermit),
    /// Of those, too, who read a file for it.
    Shared(#[expect(dead_code, reason = "held to be dropped")] Arc<OwnedSemaphorePermit>),
}

/// The bytes of a [`super::Fetched`] answer; empty for HEAD, 304 and 416.
///
/// An error ends it; what comes after one is not defined. Dropping it early abandons the upstream's response.
pub struct Body {
    source: Source,
    /// Bytes still to come; `None` if the upstream did not say.
    remaining: Option<u64>,
    watch: IdleWatch,
    tally: Tally,
    /// Held while bytes may come.
    turn: Option<Turn>,
}

/// Where bytes come from.
pub(super) enum Source {
    Nothing,
    Http(Incoming),
    Plain(Box<PlainBody>),
    File(Reader),
}

/// Why a body that had begun did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It ended, and this many bytes were still to come.
    #[error("the upstream's body ended {missing} bytes short")]
    Short {
        /// Bytes that never came.
        missing: u64,
    },
    /// More bytes came than were announced.
    #[error("the upstream's body is longer than announced")]
    Long,
    /// Nothing came for [`super::Timeouts::idle`] although it was waited for.
    #[error("the upstream's body stalled for {} s", .idle.as_secs_f32())]
    Stalled {
        /// How long was waited.
        idle: Duration,
    },
    /// The connection broke, or its framing did.
    #[error("the upstream's body broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file could not be read on.
    #[error("the upstream's file cannot be read")]
    File(#[source] std::io::Error),
}

impl Body {
    /// A body of `length` bytes, more than none, if that is known, from `source`.
    pub(super) fn new(source: Source, length: Option<u64>, idle: Duration, tally: Tally, turn: Turn) -> Self {
        Self { source, remaining: length, watch: IdleWatch::new(idle), tally, turn: Some(turn) }
    }

    /// No body: the request is over.
    pub(super) fn none(outcome: Outcome, mut tally: Tally) -> Self {
        tally.settle(outcome);
        let watch = IdleWatch::new(Duration::MAX);
        Self { source: Source::Nothing, remaining: Some(0), watch, tally, turn: None }
    }

    /// The same bytes once more, from a copy that was made of them: a file of `length` bytes. `space` is what the copy takes of some
    /// bound, given back when nobody needs it any more.
    pub fn again_from(self, file: Arc<std::fs::File>, length: u64, space: Arc<OwnedSemaphorePermit>) -> Self {
        let source = if length == 0 { Source::Nothing } else { Source::File(Reader::new(file, 0, None)) };
        Self {
            source,
            remaining: Some(length),
            watch: IdleWatch::new(COPY_IDLE),
            turn: Some(Turn::Shared(space)),
            ..self
        }
    }

    /// How many bytes are still to come; `None` if the upstream did not say, so that only its framing tells the end.
    pub fn remaining(&self) -> Option<u64> {
        self.remaining
    }

    /// Bytes may pass along `lane` to the client instead of through this process, where they come over a socket of our own.
    pub fn lend(&mut self, lane: &Lane) {
        if let Source::Plain(plain) = &mut self.source {
            plain.lend(lane);
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let polled = match &mut self.source {
            Source::Nothing => Poll::Ready(None),
            Source::Http(incoming) => poll_incoming(incoming, cx),
            Source::Plain(plain) => {
                let mut waits = Waits::ForUpstream;
                let polled = plain.poll_piece(&mut waits, cx);
                if polled.is_pending() && waits == Waits::ForClient {
                    // A slow client is not the upstream's fault.
                    self.watch.rest();
                    return Poll::Pending;
                }
                polled.map(|piece| piece.map(|piece| piece.map_err(|error| BodyError::Broken(error.into()))))
            }
            Source::File(file) => file
                .poll_piece(self.remaining.unwrap_or(0), cx)
                .map(|piece| piece.map(|piece| piece.map_err(BodyError::File))),
        };
        match polled {
            Poll::Ready(ready) => {
                self.watch.rest();
                Poll::Ready(ready)
            }
            Poll::Pending => self.watch.poll_stalled(cx).map(|error| Some(Err(error))),
        }
    }

    /// Holds a chunk, or the end, against what was promised.
    fn account(&mut self, chunk: Option<Result<Bytes, BodyError>>) -> Option<Result<Bytes, BodyError>> {
        match (chunk, self.remaining) {
            (Some(Ok(chunk)), Some(remaining)) => match remaining.checked_sub(chunk.len() as u64) {
                Some(left) => {
                    self.remaining = Some(left);
                    Some(Ok(chunk))
                }
                None => Some(Err(BodyError::Long)),
            },
            (None, Some(missing)) if missing > 0 => Some(Err(BodyError::Short { missing })),
            (chunk, _) => chunk,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let chunk = ready!(self.poll_chunk(cx));
        let chunk = self.account(chunk);
        match &chunk {
            Some(Ok(_)) if self.remaining != Some(0) => {}
            Some(Ok(_)) | None => {
                self.tally.settle(Outcome::Ok);
                self.turn = None;
            }
            Some(Err(error)) => {
                self.tally.fail(error);
                self.source = Source::Nothing;
                self.turn = None;
            }
        }
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The next data of an HTTP response; trailers are dropped.
fn poll_incoming(incoming: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
    loop {
        match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Ok(chunk) = frame.into_data() {
                    return Poll::Ready(Some(Ok(chunk)));
                }
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(BodyError::Broken(error.into())))),
            None => return Poll::Ready(None),
        }
    }
}

/// A local disk that gives nothing for this long is broken.
const COPY_IDLE: Duration = Duration::from_secs(30);

/// Measures how long bytes are waited for. It runs only while somebody waits: a slow reader is not the upstream's fault.
struct IdleWatch {
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl IdleWatch {
    fn new(idle: Duration) -> Self {
        Self { idle, timer: None, is_waiting: false }
    }

    fn rest(&mut self) {
        self.is_waiting = false;
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let idle = self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
        if !self.is_waiting {
            self.is_waiting = true;
            timer.as_mut().reset(Instant::now() + idle);
        }
        timer.as_mut().poll(cx).map(|()| BodyError::Stalled { idle })
    }
}
