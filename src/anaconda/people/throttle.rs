//! Who has failed too often to be let try again at once.
//!
//! A state machine in bounded memory, with the time as an argument. Every attempt counts as a failure when it begins, so that many at once
//! gain nothing; one that succeeds, or that was never decided, is taken back. After some free failures each further one doubles the wait.
//! It knows nothing of what is tried: [`Policy`] says how patient it is.
//!
//! When it is full, what failed longest ago is forgotten. To make the gate forget somebody, an attacker has to fail with as many others as
//! there is room for, each from an address that is throttled itself.

use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hashlink::LruCache;

use crate::clock::Timestamp;

/// How patient a throttle is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// Failures that cost nothing.
    pub(super) free: u32,
    /// What has to be waited after the first one that does; twice as long after each further one.
    pub(super) wait: Duration,
    /// The longest wait.
    pub(super) wait_max: Duration,
    /// Failures are forgotten when there was none for so long.
    pub(super) forget: Duration,
    /// How many are remembered at once.
    pub(super) remembered_max: usize,
}

/// Remembers who failed.
pub(super) struct Throttle<K> {
    policy: Policy,
    known: Mutex<LruCache<K, Failures>>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl<K: Eq + Hash> Throttle<K> {
    /// Knows nobody yet.
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, known: Mutex::new(LruCache::new(policy.remembered_max)) }
    }

    /// Begins an attempt.
    ///
    /// # Errors
    ///
    /// It comes too early: how long is still to be waited. It does not count then.
    pub(super) fn begin(&self, key: K, now: Timestamp) -> Result<(), Duration> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get_mut(&key).filter(|failures| now.since(failures.last) < self.policy.forget);
        let count = before.as_ref().map_or(0, |failures| failures.count);
        if let Some(failures) = before {
            // Of two that arrive together the later one may begin first, and clocks are put back: neither is a reason to wait.
            failures.last = failures.last.min(now);
            let until = failures.last.plus(self.wait(count));
            if now < until {
                return Err(until.since(now));
            }
        }
        known.insert(key, Failures { count: count.saturating_add(1), last: now });
        Ok(())
    }

    /// The attempt succeeded: what this one failed before is forgotten.
    pub(super) fn succeeded(&self, key: &K) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// The attempt was no failure, and says nothing of earlier ones.
    pub(super) fn take_back(&self, key: &K) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_none_left = known.get_mut(key).is_some_and(|failures| {
            failures.count = failures.count.saturating_sub(1);
            failures.count == 0
        });
        if is_none_left {
            known.remove(key);
        }
    }

    /// What has to be waited after so many failures.
    fn wait(&self, count: u32) -> Duration {
        let Some(beyond) = count.checked_sub(self.policy.free).filter(|&beyond| beyond > 0) else {
            return Duration::ZERO;
        };
        let doubled = 1_u32.checked_shl(beyond - 1).unwrap_or(u32::MAX);
        self.policy.wait.saturating_mul(doubled).min(self.policy.wait_max)
    }
}

#[cfg(test)]
mod tests;
