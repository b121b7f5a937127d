//! How far a client is behind in taking what is ready for it: the arithmetic of the minimum drain rate.
//!
//! Pure: every instant is an argument. It must never count the time spent waiting for our own source, so its callers
//! say exactly when the wait for the client begins ([`Pace::wait`]) and what ended it ([`Pace::took`]). `socket` calls
//! it for a whole connection, `streams` for one HTTP/2 stream.

use std::time::{Duration, Instant};

/// The least a client has to take of what is ready for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    /// Bytes per second, at least one.
    pub(super) rate: u64,
    /// How far behind that rate a client may fall.
    pub(super) window: Duration,
}

impl Floor {
    /// The bytes a client at the floor takes in `time`.
    pub(super) fn bytes_in(&self, time: Duration) -> u64 {
        let bytes = u128::from(self.rate).saturating_mul(time.as_nanos()) / NANOS;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// The time a client at the floor needs for `bytes`.
    fn time_for(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes).saturating_mul(NANOS) / u128::from(self.rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A leaky bucket of waiting time: waiting for the client fills it, each byte it takes empties it at the floor's rate.
///
/// It never holds less than nothing: having been fast once buys no right to stall later, so a client that stops is
/// found after exactly [`Floor::window`], whatever went before.
#[derive(Debug, Default)]
pub(super) struct Pace {
    behind: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    /// From `now` on we wait for the client. A wait that already runs goes on.
    pub(super) fn wait(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// The client took `bytes`, which ends a running wait. The clock is asked only if there is one.
    pub(super) fn took(&mut self, bytes: u64, floor: &Floor, now: impl FnOnce() -> Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.behind += now().saturating_duration_since(since);
        }
        if !self.behind.is_zero() {
            self.behind = self.behind.saturating_sub(floor.time_for(bytes));
        }
    }

    /// When the client will have fallen behind by the whole window if it goes on taking nothing; `None` while nobody
    /// waits for it.
    pub(super) fn deadline(&self, floor: &Floor) -> Option<Instant> {
        self.waiting_since.map(|since| since + floor.window.saturating_sub(self.behind))
    }

    /// Forgives what has gone by; a running wait counts anew from `now`.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.behind = Duration::ZERO;
        if let Some(since) = &mut self.waiting_since {
            *since = now;
        }
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests;
