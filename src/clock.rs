//! Time as the rest of the program sees it: wall-clock timestamps for expiry, suspended-time-aware uptime for staleness.
//!
//! Rules never read a clock; they take a [`Timestamp`]. Components that must read one are handed a [`Clock`], which a test
//! replaces by a manual one; only for how long something is kept that can be had again, and which no test waits for, is there [`ticked`].
//! This module must never know what the times are for. Neighbour: [`crate::token`].

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::{Span, SpanRelativeTo};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// A point in wall-clock time, in milliseconds since the Unix epoch (UTC).
///
/// It counts from the first millisecond that an `i64` has, which no timestamp is: so `Option<Timestamp>` takes no more room than a
/// timestamp, of which every token in memory has two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

impl Timestamp {
    /// The timestamp `millis` milliseconds after the Unix epoch; the one after `i64::MIN` for that.
    pub const fn from_millis(millis: i64) -> Self {
        match NonZeroU64::new(millis.cast_unsigned() ^ SIGN) {
            Some(since_first) => Self(since_first),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        (self.0.get() ^ SIGN).cast_signed()
    }

    /// This time plus `duration`, saturating at the end of representable time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.as_millis().saturating_add(millis))
    }

    /// This time less `duration`, saturating at the beginning of representable time.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.as_millis().saturating_sub(millis))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.as_millis().saturating_sub(earlier.as_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    fn to_jiff(self) -> jiff::Timestamp {
        let millis = self.as_millis();
        let limit = if millis < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        jiff::Timestamp::from_millisecond(millis).unwrap_or(limit)
    }
}

/// Flipping it makes the order of signed numbers that of unsigned ones.
const SIGN: u64 = 1 << 63;

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp").field(&self.as_millis()).finish()
    }
}

/// RFC 3339 in UTC, to the second: `2027-01-31T12:00:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_jiff().strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// RFC 3339 with any offset, or a plain date, which means its first moment in UTC.
impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let text = text.trim();
        if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::from_millis(timestamp.as_millisecond()));
        }
        text.parse::<jiff::civil::Date>()
            .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC))
            .map(|zoned| Self::from_millis(zoned.timestamp().as_millisecond()))
            .map_err(|_| TimeError {
                given: text.to_owned(),
                expected: "a date (2027-01-31) or an RFC 3339 time (2027-01-31T12:00:00Z)",
            })
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A time or duration that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" is not {expected}")]
pub struct TimeError {
    given: String,
    expected: &'static str,
}

/// Reads a duration such as `500ms`, `10s`, `5m`, `24h`, `365d` or `1h 30m`; a day is 24 hours.
///
/// # Errors
///
/// What is not a non-negative duration with units.
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    let error =
        || TimeError { given: text.to_owned(), expected: "a duration such as 500ms, 10s, 5m, 24h or 365d" };
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    let span: Span = text.trim().parse().map_err(|_| error())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| error())?;
    Duration::try_from(duration).map_err(|_| error())
}

/// Writes a duration as [`parse_duration`] reads it, in its largest whole unit: `10s`, `5m`, `36h`, `30d`.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis >= size && millis.is_multiple_of(size) {
            return format!("{}{unit}", millis / size);
        }
    }
    format!("{millis}ms")
}

/// Where the present comes from.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Hands>),
    #[cfg(test)]
    Simulated(Simulated),
}

/// A clock that a simulation shows: the wall-clock time and the uptime.
#[cfg(test)]
#[derive(Clone)]
struct Simulated(Arc<dyn Fn() -> (Timestamp, Duration) + Send + Sync>);

#[cfg(test)]
impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Simulated")
    }
}

#[derive(Debug)]
struct Hands {
    now_millis: AtomicI64,
    uptime_millis: AtomicU64,
}

impl Clock {
    /// The operating system's clocks.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until its [`ManualClock`] moves it.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let hands = Arc::new(Hands {
            now_millis: AtomicI64::new(start.as_millis()),
            uptime_millis: AtomicU64::new(1_000_000),
        });
        (Self(Source::Manual(Arc::clone(&hands))), ManualClock(hands))
    }

    /// A clock that shows what `show` says at any moment.
    #[cfg(test)]
    pub(crate) fn simulated(show: impl Fn() -> (Timestamp, Duration) + Send + Sync + 'static) -> Self {
        Self(Source::Simulated(Simulated(Arc::new(show))))
    }

    /// The wall-clock time. It may jump; use it for expiry and for what people read, never for staleness.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                let time = clock_gettime(ClockId::Realtime);
                Timestamp::from_millis(
                    time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000),
                )
            }
            Source::Manual(hands) => Timestamp::from_millis(hands.now_millis.load(Ordering::SeqCst)),
            #[cfg(test)]
            Source::Simulated(Simulated(show)) => show().0,
        }
    }

    /// Time since boot, suspended time included (`CLOCK_BOOTTIME`): a machine that slept for an hour has aged an hour.
    pub fn uptime(&self) -> Duration {
        match &self.0 {
            Source::System => since_start(clock_gettime(ClockId::Boottime)),
            Source::Manual(hands) => Duration::from_millis(hands.uptime_millis.load(Ordering::SeqCst)),
            #[cfg(test)]
            Source::Simulated(Simulated(show)) => show().1,
        }
    }
}

/// How long the system runs, as its timer's last tick left it: up to 10 ms ago, and without the time that it was suspended
/// (`CLOCK_MONOTONIC_COARSE`). For what is kept for seconds and asked about with each request: a loop of `clock_gettime` took 5 ns a reading of it,
/// and 23 of an exact clock, of which a request reads a dozen.
pub fn ticked() -> Duration {
    since_start(clock_gettime(ClockId::MonotonicCoarse))
}

/// The wall clock's seconds since the Unix epoch, as of the last tick (`CLOCK_REALTIME_COARSE`): for `Date`.
pub fn second() -> u64 {
    since_start(clock_gettime(ClockId::RealtimeCoarse)).as_secs()
}

/// An instant of this tick, so at most 10 ms ago: for deadlines of seconds that begin with each request.
pub fn instant() -> Instant {
    thread_local! {
        static LAST: Cell<Option<(Duration, Instant)>> = const { Cell::new(None) };
    }
    let tick = ticked();
    match LAST.get() {
        Some((last, instant)) if last == tick => instant,
        _ => {
            let now = Instant::now();
            LAST.set(Some((tick, now)));
            now
        }
    }
}

fn since_start(time: Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Moves a [`Clock::manual`] forward.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Hands>);

impl ManualClock {
    /// Lets `duration` pass on both clocks.
    pub fn advance(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.0.now_millis.fetch_add(i64::try_from(millis).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.0.uptime_millis.fetch_add(millis, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
