//! A response's body on its way out: what hyper polls in place of the responder's.
//!
//! It holds what must be let go when the response ends (the place among the requests in flight, the connection's
//! "serving"), and for an HTTP/2 stream it tells its [`Pace`](super::pace::Pace) whether we wait for our own source or
//! for the client. Must never buffer more than the frame it is handing out. Read `streams` next.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use prometheus::IntGauge;

use super::BoxError;
use super::activity::Activity;
use super::streams::StreamPace;
use crate::clock;

pin_project! {
    /// A response body with everything that lives as long as it does.
    pub(super) struct Outgoing<B> {
        #[pin]
        body: B,
        open: Open,
        stream: Option<Arc<StreamPace>>,
        // The part of an HTTP/2 frame that was not handed out yet.
        rest: Bytes,
        // Whether the client can tell a broken body from a whole one by its framing.
        framed: bool,
    }
}

/// A request between its head and the end of its response.
#[derive(Debug)]
pub(super) struct Open {
    activity: Arc<Activity>,
    answered: bool,
    /// It has a place among the requests in flight.
    is_in_flight: bool,
}

/// The requests of a listener that are in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    taken: AtomicUsize,
    gauge: IntGauge,
}

impl<B> Outgoing<B> {
    pub(super) fn new(body: B, mut open: Open, stream: Option<Arc<StreamPace>>, framed: bool) -> Self {
        open.answered = true;
        Self { body, open, stream, rest: Bytes::new(), framed }
    }
}

impl<B> Body for Outgoing<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let Some(stream) = this.stream {
            // Being polled again is hyper's way to say that the last frame is on its way.
            stream.took();
            if !this.rest.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(stream.offer(this.rest)))));
            }
        }
        let frame = match ready!(this.body.poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                if !*this.framed {
                    this.open.activity.reset_on_close();
                }
                return Poll::Ready(Some(Err(error.into())));
            }
            None => return Poll::Ready(None),
        };
        let Some(stream) = this.stream else { return Poll::Ready(Some(Ok(frame))) };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                *this.rest = data;
                Frame::data(stream.offer(this.rest))
            }
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

impl Open {
    /// `body`: whether the request announces one.
    pub(super) fn begin(activity: &Arc<Activity>, body: bool) -> Self {
        activity.request_begun(body);
        Self { activity: Arc::clone(activity), answered: false, is_in_flight: false }
    }

    /// Takes a place among at most `max` requests in flight; false if there is none.
    pub(super) fn take_place(&mut self, max: usize) -> bool {
        self.is_in_flight = self.activity.in_flight().take(max);
        self.is_in_flight
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.activity.request_ended(self.answered, clock::instant);
        if self.is_in_flight {
            self.activity.in_flight().give_back();
        }
    }
}

impl InFlight {
    /// None yet. `gauge` shows how many there are.
    pub(super) fn new(gauge: IntGauge) -> Self {
        Self { taken: AtomicUsize::new(0), gauge }
    }

    fn take(&self, max: usize) -> bool {
        if self.taken.fetch_add(1, Ordering::Relaxed) >= max {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.gauge.inc();
        true
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
    }
}
