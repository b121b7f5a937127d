//! Asking anew for what is served meanwhile: nobody waits for it, and nobody is told if it fails.
//!
//! That is so for `stale-while-revalidate`, and for what is served stale because its upstream has just failed: who asked first has waited for
//! that upstream, perhaps for half a minute, and all who come after are spared that while it goes on failing: for [`SPARED`] times as long as
//! the failure took, within [`TROUBLE_HOLDS`]. So an upstream that refuses at once is asked again at once, and what it has new when it is
//! back is served to the first who asks. While a failure holds, an attempt is made every [`RETRY_AFTER`] at most if somebody wants the file.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashSet;
use moka::sync;

use super::Cache;
use super::flight::{FillError, Landed};
use super::key::{Key, KeyDigest};
use super::order::{Check, Order};
use crate::upstream::FetchError;

/// Which objects are being asked for anew, and which ones that has failed for.
#[derive(Clone)]
pub(super) struct Refreshing {
    under_way: Arc<DashSet<KeyDigest>>,
    failed: sync::Cache<KeyDigest, Failure>,
}

/// The latest failure to ask for an object.
#[derive(Clone, Copy)]
struct Failure {
    /// On the clock that counts the machine's uptime.
    at: Duration,
    /// How long it keeps others from waiting for another.
    holds: Duration,
}

/// Whether asking for an object has failed of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Not that anybody knows.
    Unknown,
    /// It has.
    Recent {
        /// So long ago that it is time for another attempt.
        is_due: bool,
    },
}

/// At once. Beyond it the next request for the object tries again.
const UNDER_WAY_MAX: usize = 256;

/// Failures that are remembered. Some 100 bytes each.
const FAILED_MAX: u64 = 10_000;

/// How many times longer than it took a failure keeps others from waiting for another.
const SPARED: u32 = 10;

/// The least and the longest that it does: an upstream that is down is asked for an object twice a second, one that hangs has a minute.
const TROUBLE_HOLDS: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(60);

/// How long after a failure the next attempt is made.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Refreshing {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { under_way: Arc::default(), failed: sync::Cache::new(FAILED_MAX) }
    }

    /// Whether asking for this has failed of late.
    pub(super) fn trouble(&self, key: &Key, uptime: Duration) -> Trouble {
        let Some(failure) = self.failed.get(&key.digest()) else { return Trouble::Unknown };
        let ago = uptime.saturating_sub(failure.at);
        if ago < failure.holds { Trouble::Recent { is_due: ago >= RETRY_AFTER } } else { Trouble::Unknown }
    }

    /// Asking for it has failed, between these two moments.
    pub(super) fn failed(&self, key: &Key, asked: Duration, failed: Duration) {
        let took = failed.saturating_sub(asked);
        let holds = took.saturating_mul(SPARED).clamp(*TROUBLE_HOLDS.start(), *TROUBLE_HOLDS.end());
        self.failed.insert(key.digest(), Failure { at: failed, holds });
    }

    /// Asks `cache` for what `order` says, unless that is being done or has failed a moment ago.
    pub(super) fn begin(&self, cache: &Cache, order: Order) {
        let digest = order.key.digest();
        if self.trouble(&order.key, cache.clock.uptime()) == (Trouble::Recent { is_due: false })
            || self.under_way.len() >= UNDER_WAY_MAX
            || !self.under_way.insert(digest)
        {
            return;
        }
        let done = Done { under_way: Arc::clone(&self.under_way), digest };
        let cache = cache.clone();
        tokio::spawn(async move {
            let key = order.key.clone();
            let is_index = matches!(order.check, Check::Inspect(_));
            let asked = cache.clock.uptime();
            // What failed was counted and logged where it happened; the stale object goes on being served for its time.
            match ask(&cache, order).await {
                Ok(is_new) => {
                    cache.refreshing.failed.invalidate(&key.digest());
                    if is_new && is_index {
                        cache.forget_missing(&key);
                    }
                }
                // No failure, but news: the next request asks for itself, and is told.
                Err(FillError::Fetch(FetchError::Missing)) => {
                    cache.disk.remove(&key).await;
                    cache.refreshing.failed.invalidate(&key.digest());
                }
                Err(_) => cache.refreshing.failed(&key, asked, cache.clock.uptime()),
            }
            drop(done);
        });
    }
}

/// Asks, and waits for the end of what comes. True if that is another file than the one that was held.
async fn ask(cache: &Cache, order: Order) -> Result<bool, FillError> {
    match cache.flights.fetch(&cache.disk, order).await? {
        Landed::Filling(filling) => filling.whole().await.map(|_| true),
        landed => Ok(!matches!(landed, Landed::Current(_))),
    }
}

/// Takes the object off the list, however its refresh ends.
struct Done {
    under_way: Arc<DashSet<KeyDigest>>,
    digest: KeyDigest,
}

impl Drop for Done {
    fn drop(&mut self) {
        self.under_way.remove(&self.digest);
    }
}
