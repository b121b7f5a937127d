//! HTTP/2 streams: each runs as a task, and each that its client leaves standing is reset.
//!
//! A stream can stall while its connection is well: the client grants it no window. hyper then keeps the response's
//! body, and with it the upstream, without polling it, so nobody would notice. [`StreamPace`] knows when a stream waits
//! for its client; [`Watched`] drops hyper's stream when that went on too long, which resets it. A timer exists only
//! while a stream waits for its client, one per stream. Must never touch streams that wait for us.
//! Read `outgoing` for the other half.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use prometheus::IntCounter;
use tokio::time::{Sleep, sleep_until};

use super::activity::Activity;
use super::pace::Pace;

tokio::task_local! {
    /// The pace of the stream whose task this is: how the response, made deep inside hyper's stream, finds it.
    static STREAM: Arc<StreamPace>;
}

/// How fast one stream's client takes its response.
#[derive(Debug)]
pub(super) struct StreamPace {
    activity: Arc<Activity>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pace: Pace,
    /// Bytes handed to hyper and not known to be taken.
    offered: u64,
    /// When judging began, and what the connection had moved by then.
    since: Option<(Instant, u64)>,
}

/// Spawns hyper's streams, each under watch.
#[derive(Clone, Debug)]
pub(super) struct StreamExecutor {
    pub(super) activity: Arc<Activity>,
    pub(super) reset_slow: IntCounter,
}

impl StreamPace {
    fn new(activity: Arc<Activity>) -> Arc<Self> {
        Arc::new(Self { activity, state: Mutex::default() })
    }

    /// The pace of the stream this code runs for; `None` over HTTP/1.
    pub(super) fn current() -> Option<Arc<Self>> {
        STREAM.try_with(Arc::clone).ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the next piece off `rest`; from now on we wait for the client to take it.
    pub(super) fn offer(&self, rest: &mut Bytes) -> Bytes {
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        let mut state = self.state();
        state.offered = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        state.pace.wait(Instant::now());
        piece
    }

    /// The client took what was offered, if anything was.
    pub(super) fn took(&self) {
        let mut state = self.state();
        let offered = std::mem::take(&mut state.offered);
        state.pace.took(offered, self.activity.floor(), Instant::now);
    }

    /// When to judge next; `None` if the client is not being waited for.
    fn judge_at(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state();
        let deadline = state.pace.deadline(self.activity.floor());
        match deadline {
            Some(_) => state.since.get_or_insert_with(|| (now, self.activity.moved().0)),
            None => {
                state.since = None;
                return None;
            }
        };
        deadline
    }

    /// Whether the stream is to be reset at `now`.
    ///
    /// Streams of one slow connection share it, and each may then get less than the floor although the client does what
    /// it can. A stream is spared, and judged anew, while its connection as a whole takes at least the floor and an
    /// even share of that would not be twice what the floor asks of a stream. A stream that stalls beside one that
    /// runs is thus reset; many streams over a thin line are not.
    fn is_stalled(&self, now: Instant) -> bool {
        let floor = self.activity.floor();
        let mut state = self.state();
        if state.pace.deadline(floor).is_none_or(|deadline| deadline > now) {
            return false;
        }
        let (moved, open) = self.activity.moved();
        let Some((since, moved_before)) = state.since.replace((now, moved)) else { return false };
        let moved = moved.saturating_sub(moved_before);
        let asked = floor.bytes_in(now.saturating_duration_since(since));
        let shares = moved >= asked && moved / u64::from(open.max(1)) < asked.saturating_mul(2);
        if shares {
            state.pace.forgive(now);
        }
        !shares
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let pace = StreamPace::new(Arc::clone(&self.activity));
        let watched =
            Watched { stream, pace: Arc::clone(&pace), timer: None, reset_slow: self.reset_slow.clone() };
        tokio::spawn(STREAM.scope(pace, watched));
    }
}

pin_project! {
    /// A stream that ends early when its client does not take what is ready.
    struct Watched<F> {
        #[pin]
        stream: F,
        pace: Arc<StreamPace>,
        timer: Option<Pin<Box<Sleep>>>,
        reset_slow: IntCounter,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            match this.timer {
                Some(timer) => ready!(timer.as_mut().poll(cx)),
                None => {
                    let Some(at) = this.pace.judge_at(Instant::now()) else { return Poll::Pending };
                    *this.timer = Some(Box::pin(sleep_until(at.into())));
                    continue;
                }
            }
            if this.pace.is_stalled(Instant::now()) {
                this.reset_slow.inc();
                return Poll::Ready(());
            }
            *this.timer = None;
        }
    }
}

/// The largest piece handed to hyper at once, the size of a DATA frame that every client accepts (RFC 9113 section
/// 6.5.2). hyper takes a whole piece as soon as one byte of window is there and then lets go of the body, so this is
/// also what a stalled stream can keep in memory.
const PIECE_BYTES: usize = 16 * 1024;
