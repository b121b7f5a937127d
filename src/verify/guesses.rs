//! Who shows tokens that nobody was issued, faster than mistakes are made.
//!
//! A token that memory does not know costs a question to the store, so whoever makes tokens up could keep the gate and its store busy with
//! them. Each network may be wrong so often a second and has some seconds of that saved up; when it has spent all, nothing is asked on its
//! behalf until some is left again. Tokens that memory knows are not concerned, whoever else shows what from the same address.
//!
//! A state machine in bounded memory with the time as an argument. What is kept of a network is the moment at which it has paid for all its
//! wrong tokens (the generic cell rate algorithm).

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hashlink::LruCache;

/// The networks that were wrong lately.
#[derive(Debug)]
pub(super) struct Guesses {
    /// What each wrong token costs; nothing if there is no limit.
    interval: Duration,
    paid_at: Mutex<LruCache<IpAddr, Duration>>,
}

impl Guesses {
    /// Nobody was wrong yet. `per_second`: how often each network may be; 0 is no limit.
    pub(super) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
        Self { interval, paid_at: Mutex::new(LruCache::new(NETWORKS_MAX)) }
    }

    /// Whether a question may be asked for `network`.
    ///
    /// # Errors
    ///
    /// It has been wrong too often: how long until it may.
    pub(super) fn check(&self, network: IpAddr, now: Duration) -> Result<(), Duration> {
        let paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(&paid_at) = paid_at.peek(&network) else { return Ok(()) };
        let due = paid_at.saturating_sub(now);
        if due <= SAVED { Ok(()) } else { Err(due.saturating_sub(SAVED)) }
    }

    /// What was asked for `network` was wrong.
    pub(super) fn was_wrong(&self, network: IpAddr, now: Duration) {
        if self.interval.is_zero() {
            return;
        }
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let before = paid_at.peek(&network).copied().unwrap_or_default();
        // However many were asked at once: nobody waits for longer than it took to save up.
        let after = before.max(now).saturating_add(self.interval).min(now.saturating_add(SAVED * 2));
        paid_at.insert(network, after);
    }
}

/// What a network has saved up when it was not wrong for so long.
const SAVED: Duration = Duration::from_secs(2);

/// How many networks are remembered; who was wrong longest ago is forgotten first.
const NETWORKS_MAX: usize = 10_000;

#[cfg(test)]
mod tests;
