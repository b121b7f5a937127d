//! The body of a request: bounded in bytes and time, and discarded if nobody reads it.
//!
//! A GET with a small body must not cost its connection, so what a responder leaves unread is read and thrown away, up
//! to the same bounds; beyond them the connection ends after the response. Must never hold more than one frame.
//! Read `outgoing` next, the other direction.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::activity::Activity;

/// The body of a request, for a responder to read or to leave.
///
/// It yields an error, and then nothing, when more than [`Config::request_body_max`](super::Config::request_body_max)
/// bytes came or [`Config::request_body_timeout`](super::Config::request_body_timeout) passed since the request's
/// head. Read it before responding: one that is kept beyond the response still counts against the same timeout, but
/// ends the connection when it is dropped unread.
#[derive(Debug)]
pub struct RequestBody {
    /// `None` once it ended or failed.
    unread: Option<Unread>,
}

/// Why a request's body cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// It is longer than allowed.
    #[error("the request body is longer than {max} bytes")]
    TooLong {
        /// The limit, [`Config::request_body_max`](super::Config::request_body_max).
        max: u64,
    },
    /// It did not arrive in time.
    #[error("the request body did not arrive within {timeout:?}")]
    TimedOut {
        /// The limit, [`Config::request_body_timeout`](super::Config::request_body_timeout).
        timeout: Duration,
    },
    /// The connection failed or the framing is wrong.
    #[error("the request body broke off")]
    Broken(#[source] hyper::Error),
}

#[derive(Debug)]
struct Unread {
    incoming: Incoming,
    max: u64,
    left: u64,
    timeout: Duration,
    deadline: Instant,
    /// Made when the body has to be waited for.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether leaving it unread is worth reading it: not where the client waits for `100 Continue` (it has not sent
    /// anything and will not), and not over HTTP/2 (the stream is reset, the connection stays).
    discard: bool,
    activity: Arc<Activity>,
}

impl RequestBody {
    pub(super) fn new(
        incoming: Incoming,
        max: u64,
        timeout: Duration,
        discard: bool,
        activity: &Arc<Activity>,
    ) -> Self {
        if incoming.is_end_stream() {
            return Self { unread: None };
        }
        Self {
            unread: Some(Unread {
                incoming,
                max,
                left: max,
                timeout,
                deadline: Instant::now() + timeout,
                timer: None,
                discard,
                activity: Arc::clone(activity),
            }),
        }
    }

    /// No body.
    pub(super) fn none() -> Self {
        Self { unread: None }
    }

    /// Whether the body is known to be longer than allowed before a byte of it is read.
    pub(super) fn declares_too_much(&self) -> bool {
        self.unread.as_ref().is_some_and(|unread| unread.incoming.size_hint().lower() > unread.max)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Some(unread) = &mut self.unread else { return Poll::Ready(None) };
        match ready!(unread.poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => {
                unread.activity.left_unread();
                self.unread = None;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.unread = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.unread.as_ref().is_none_or(|unread| unread.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.unread.as_ref().map_or_else(|| SizeHint::with_exact(0), |unread| unread.incoming.size_hint())
    }
}

impl Unread {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let max = self.max;
        if self.incoming.size_hint().lower() > self.left {
            return Poll::Ready(Some(Err(RequestBodyError::TooLong { max })));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(self.deadline)));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(RequestBodyError::TimedOut { timeout: self.timeout })));
        };
        let Some(frame) = frame else { return Poll::Ready(None) };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Poll::Ready(Some(Err(RequestBodyError::Broken(error)))),
        };
        match self.left.checked_sub(frame_bytes(&frame)) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => Poll::Ready(Some(Err(RequestBodyError::TooLong { max }))),
        }
    }

    /// Reads to the end within the bounds. `false` if that was not to be.
    async fn discard(&mut self) -> bool {
        loop {
            if self.incoming.size_hint().lower() > self.left {
                return false;
            }
            match timeout_at(self.deadline, self.incoming.frame()).await {
                Ok(Some(Ok(frame))) => match self.left.checked_sub(frame_bytes(&frame)) {
                    Some(left) => self.left = left,
                    None => return false,
                },
                Ok(None) => return true,
                Ok(Some(Err(_))) | Err(_) => return false,
            }
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(mut unread) = self.unread.take() else { return };
        if unread.incoming.is_end_stream() {
            return;
        }
        match Handle::try_current() {
            // Beside the response, not before it: the client may read the response first and send the rest then.
            Ok(runtime) if unread.discard => {
                runtime.spawn(async move {
                    if !unread.discard().await {
                        unread.activity.left_unread();
                    }
                });
            }
            _ => unread.activity.left_unread(),
        }
    }
}

fn frame_bytes(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}
