//! What one connection is doing and since when, and what that means for its life.
//!
//! One [`Activity`] is shared by the parts of a connection: the socket reports bytes written and refused, the reader
//! reports bytes received, the service reports requests and the ends of their responses. Nothing here has a timer:
//! [`Activity::verdict`] says at `now` whether the connection goes on and when to look again, so that a connection
//! costs one timer that is set a few times a minute, not one per request or frame. Must never do I/O.
//! Read `connection` next, which asks for the verdicts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Config;
use super::outgoing::InFlight;
use super::pace::{Floor, Pace};
use super::request_line::Begun;

/// The limits one connection lives under, drawn from [`Config`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    header_read_timeout: Duration,
    keep_alive_timeout: Duration,
    cancelled_requests_max: u32,
    floor: Floor,
}

impl Limits {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            header_read_timeout: config.header_read_timeout,
            keep_alive_timeout: config.keep_alive_timeout,
            cancelled_requests_max: config.http2_cancelled_requests_max,
            floor: Floor { rate: config.drain_rate_min, window: config.drain_window },
        }
    }

    /// The floor of [`Config::drain_rate_min`].
    pub(super) fn floor(&self) -> &Floor {
        &self.floor
    }

    /// No deadline that begins after now can pass earlier than this from now.
    fn look_again(&self) -> Duration {
        self.header_read_timeout.min(self.keep_alive_timeout).min(self.floor.window)
    }
}

/// How a connection frames its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Why a connection is ended by us before its client ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The head of a request took longer than [`Config::header_read_timeout`].
    HeaderTimeout,
    /// Nothing was asked for [`Config::keep_alive_timeout`].
    Idle,
    /// The client took less than [`Config::drain_rate_min`] of what was ready.
    SlowClient,
    /// We had ended, and the client went on sending what nobody reads.
    Unread,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on; the next verdict is due then.
    Look(Instant),
    /// It is told to end: what runs is finished, nothing new is begun.
    Close(Ended),
    /// It is dropped now.
    Cut(Ended),
}

/// The state of one connection, shared by its parts. The lock is held for a few instructions at a time and, but for
/// HTTP/2 streams, only ever wanted by one task.
#[derive(Debug)]
pub(super) struct Activity {
    limits: Limits,
    in_flight: Arc<InFlight>,
    /// Told to end.
    closing: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    protocol: Protocol,
    phase: Phase,
    /// Responses begun and not ended.
    open: u32,
    begun: Begun,
    /// No response is open, and all bytes of those that were are handed over.
    settled: bool,
    /// Requests whose client went away before they were answered.
    cancelled: u32,
    /// Request bytes will arrive that nobody reads.
    unread: bool,
    /// The socket is to be closed by a reset, so that no end can look like a clean one.
    reset: bool,
    written: u64,
    pace: Pace,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// A request head is awaited (of a new connection) or arriving.
    Head { since: Instant },
    /// Responses are being made or sent.
    Serving,
    /// Kept alive between requests.
    Idle { since: Instant },
    /// We have ended; what the client still sends is discarded, so that it reads our last response before a reset.
    Lingering { since: Instant },
}

impl Activity {
    /// Of a connection whose requests are among those `in_flight`.
    pub(super) fn new(limits: Limits, in_flight: Arc<InFlight>, now: Instant) -> Arc<Self> {
        let state = State {
            protocol: Protocol::Http1,
            phase: Phase::Head { since: now },
            open: 0,
            begun: Begun::default(),
            settled: true,
            cancelled: 0,
            unread: false,
            reset: false,
            written: 0,
            pace: Pace::default(),
        };
        Arc::new(Self { limits, in_flight, closing: AtomicBool::new(false), state: Mutex::new(state) })
    }

    /// All requests in flight of the connection's listener.
    pub(super) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves numbers here, which are whole whatever happened.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The floor of [`Config::drain_rate_min`].
    pub(super) fn floor(&self) -> &Floor {
        self.limits.floor()
    }

    /// The transport is ready (TLS is negotiated): the time for the first request's head begins.
    pub(super) fn opened(&self, now: Instant) {
        self.state().phase = Phase::Head { since: now };
    }

    /// When the head of the first request must be there.
    pub(super) fn head_deadline(&self, now: Instant) -> Instant {
        now + self.limits.header_read_timeout
    }

    /// The connection turned out to speak `protocol`.
    pub(super) fn speaks(&self, protocol: Protocol) {
        self.state().protocol = protocol;
    }

    /// Bytes arrived from the client. `false` if the connection must end because it cancels what it asks for.
    pub(super) fn received(&self, now: impl FnOnce() -> Instant) -> bool {
        let mut state = self.state();
        match (state.protocol, state.phase) {
            (Protocol::Http1, Phase::Idle { .. }) => state.phase = Phase::Head { since: now() },
            (Protocol::Http2, _) => return !state.floods(&self.limits),
            (Protocol::Http1, _) => {}
        }
        true
    }

    /// A request's head is complete. `body`: whether it announces a body.
    pub(super) fn request_begun(&self, body: bool) {
        let mut state = self.state();
        state.begun = Begun { requests: state.begun.requests + 1, body };
        state.settled = false;
        state.open += 1;
        state.phase = Phase::Serving;
    }

    /// A response ended, or its request was given up (`answered` is false).
    pub(super) fn request_ended(&self, answered: bool, now: impl FnOnce() -> Instant) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
        if !answered {
            state.cancelled = state.cancelled.saturating_add(1);
        }
        if state.open == 0 && matches!(state.phase, Phase::Serving) {
            state.phase = Phase::Idle { since: now() };
        }
    }

    /// The requests so far.
    pub(super) fn begun(&self) -> Begun {
        self.state().begun
    }

    /// hyper has nothing left to write.
    pub(super) fn handed_over(&self) {
        let mut state = self.state();
        state.settled |= state.open == 0;
    }

    /// Whether nothing that hyper writes now can belong to a request.
    pub(super) fn settled(&self) -> bool {
        self.state().settled
    }

    /// The client may go on sending what nobody reads: the rest of a body that was given up, or what follows a
    /// malformed head.
    pub(super) fn left_unread(&self) {
        self.state().unread = true;
    }

    /// The connection ends by a reset, not by an end of stream.
    pub(super) fn reset_on_close(&self) {
        self.state().reset = true;
    }

    /// Whether [`Activity::reset_on_close`] was asked for.
    pub(super) fn resets(&self) -> bool {
        self.state().reset
    }

    /// The socket took `bytes` from us.
    pub(super) fn wrote(&self, bytes: usize) {
        let mut state = self.state();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        state.written = state.written.saturating_add(bytes);
        state.pace.took(bytes, &self.limits.floor, Instant::now);
    }

    /// The socket takes no more: the client has not taken what it was sent.
    pub(super) fn blocked(&self) {
        self.state().pace.wait(Instant::now());
    }

    /// Bytes the socket took so far, and responses that are open: what a connection moves and how many share it.
    pub(super) fn moved(&self) -> (u64, u32) {
        let state = self.state();
        (state.written, state.open)
    }

    /// Our side of the connection is to be shut. Whether to linger: read and discard until the client ends too, because
    /// closing with unread input makes the kernel send a reset that can destroy the response on its way. An HTTP/2
    /// connection with anything to say to its client ends differently, so nothing is done for those that fail.
    pub(super) fn lingers(&self, now: Instant) -> bool {
        let mut state = self.state();
        let unread = state.unread || matches!(state.phase, Phase::Head { .. });
        let lingers = unread && state.protocol == Protocol::Http1;
        if lingers {
            state.phase = Phase::Lingering { since: now };
        }
        lingers
    }

    /// Whether the connection was told to end.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Whether it was, and has nothing left to do.
    pub(super) fn is_closing_idly(&self) -> bool {
        self.is_closing() && matches!(self.state().phase, Phase::Idle { .. })
    }

    /// The connection was told to end.
    pub(super) fn closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// What is to become of the connection at `now`.
    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        let limits = &self.limits;
        let state = self.state();
        let slow = state.pace.deadline(&limits.floor);
        if slow.is_some_and(|deadline| deadline <= now) {
            return Verdict::Cut(Ended::SlowClient);
        }
        let phase = match state.phase {
            Phase::Head { since } => {
                Some((since + limits.header_read_timeout, Verdict::Cut(Ended::HeaderTimeout)))
            }
            Phase::Lingering { since } => {
                Some((since + limits.header_read_timeout, Verdict::Cut(Ended::Unread)))
            }
            // A connection told to end and with nothing left to do should have ended by itself.
            Phase::Idle { since } if self.is_closing() => {
                Some((since + limits.keep_alive_timeout + limits.floor.window, Verdict::Cut(Ended::Idle)))
            }
            Phase::Idle { since } => Some((since + limits.keep_alive_timeout, Verdict::Close(Ended::Idle))),
            Phase::Serving => None,
        };
        match phase {
            Some((deadline, verdict)) if deadline <= now => verdict,
            phase => {
                let deadlines = [phase.map(|(deadline, _)| deadline), slow];
                let again = now + limits.look_again();
                Verdict::Look(deadlines.into_iter().flatten().fold(again, Instant::min))
            }
        }
    }
}

impl State {
    /// Whether the client mostly cancels what it asks for (CVE-2023-44487 "rapid reset", spread out so that each
    /// request is begun before it is cancelled).
    fn floods(&self, limits: &Limits) -> bool {
        self.cancelled > limits.cancelled_requests_max && u64::from(self.cancelled) * 2 > self.begun.requests
    }
}

#[cfg(test)]
mod tests;
