//! Token lookups in memory, in front of the store.
//!
//! # A lookup
//!
//! 1. [`Verifier::recall`]: a read lock on one of 256 shards and a clone of an `Arc`; no await, no allocation. A known token ends here,
//!    and so does a digest that the store did not know a moment ago. Metric `hit`, `unknown`.
//! 2. [`Verifier::lookup`]: asks the store once, however many requests ask for the digest meanwhile, and whether or not the first of
//!    them goes away (`flight.rs`). At most [`Config::store_queries_max`] questions are with the store; whoever gets no place within
//!    50 ms is told [`LookupError::Overloaded`]. Metrics `miss`, `unknown`, `unavailable`, `overloaded`.
//!
//! Verdicts on known tokens and on unknown digests live apart (`memory.rs`), each bounded, so garbage never evicts a verdict.
//! A verdict says what the store says of a token; whether the token serves *now* (expiry, grace) is [`crate::policy`]'s question.
//!
//! # How old a verdict may be
//!
//! [`Verifier::follow`] reads the store's change feed and makes it forget what changed, some 100 ms after another process changed it.
//! Each reading of the feed that leaves nothing unread is a **proof of life**: every verdict in memory is as good as read at that moment.
//! A verdict's age counts from the later of its own reading and the last proof, on a clock that counts suspended time. While the store
//! answers, a verdict older than [`Config::max_staleness`] is read again; so a feed that is broken costs queries, not safety. While the
//! store does not answer, a known token goes on for [`Config::outage_grace`]; an unknown digest is never refused then, for its token may
//! be valid: it is told that the store is unavailable, as everything is once the grace is over. When the store is back, the feed goes on
//! from the position it had reached, so everything missed is forgotten before the next proof of life.
//!
//! A change made by this process is applied by [`Verifier::catch_up`] before its maker goes on, so it holds for the next request.
//!
//! # Why no forgotten verdict comes back
//!
//! A reading may have left the store before a change that the feed tells of while the reading is on its way. Each reading carries the
//! feed position of its snapshot; see `era.rs` for the argument why a reading older than the feed is neither remembered nor given to a
//! request that came after the change.
//!
//! This module never reads HTTP and never decides. Read [`crate::policy`] next.

mod era;
mod flight;
mod follow;
mod health;
mod memory;
mod meters;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

pub use health::Health;
pub use meters::Meters;

use crate::clock::Clock;
use crate::policy::Standing;
use crate::store::{Changes, FeedPosition, Store, StoreError};
use crate::token::TokenDigest;
use era::Era;
use health::Contact;

/// How much is remembered, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Known tokens in memory; some 500 bytes each, and what groups make of them once for all tokens of the same groups. Default 1,000,000.
    pub known_max: usize,
    /// Unknown digests in memory; some 150 bytes each. Default 100,000.
    pub unknown_max: usize,
    /// Longest time for which a digest stays unknown without asking again. Default 1 m.
    pub unknown_ttl: Duration,
    /// Questions with the store at any time. Default 64.
    pub store_queries_max: usize,
    /// Store reachable: no verdict is older than this. Default 10 s.
    pub max_staleness: Duration,
    /// Store unreachable: known tokens go on for this long; zero refuses at once. Default 5 m.
    pub outage_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            known_max: 1_000_000,
            unknown_max: 100_000,
            unknown_ttl: Duration::from_secs(60),
            store_queries_max: 64,
            max_staleness: Duration::from_secs(10),
            outage_grace: Duration::from_secs(300),
        }
    }
}

/// What is known of a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This token, dead or alive.
    Known(Arc<Standing>),
    /// Nobody was issued it.
    Unknown,
}

/// Why nothing can be said of a digest. The request is refused for the moment (503), never as unauthorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The store does not answer, and nothing young enough is remembered.
    #[error("the token store does not answer")]
    StoreUnavailable {
        /// When asking again may help.
        retry_after: Duration,
    },
    /// Too many questions are with the store.
    #[error("too many unknown tokens are being looked up")]
    Overloaded {
        /// When asking again may help.
        retry_after: Duration,
    },
}

/// Looks tokens up. Clones share everything.
#[derive(Clone, Debug)]
pub struct Verifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    config: Config,
    meters: Meters,
    /// Everything remembered.
    era: ArcSwap<Era>,
    /// The uptime of the last proof of life, in nanoseconds.
    proof_nanos: AtomicU64,
    contact: Contact,
    queries: Arc<Semaphore>,
}

impl Verifier {
    /// A verifier that remembers nothing yet. Until [`follow`](Self::follow) runs, it reads every verdict again after
    /// [`Config::max_staleness`].
    pub fn new(store: Store, clock: Clock, config: Config, meters: Meters) -> Self {
        let era = Era::begin(FeedPosition::START, &config);
        let queries = Arc::new(Semaphore::new(config.store_queries_max.clamp(1, Semaphore::MAX_PERMITS)));
        let contact = Contact::new(clock.now());
        meters.store_up.set(1);
        Self(Arc::new(Inner {
            store,
            clock,
            config,
            meters,
            era: ArcSwap::from_pointee(era),
            proof_nanos: AtomicU64::new(0),
            contact,
            queries,
        }))
    }

    /// What memory says of a digest, if it is young enough to act on.
    pub fn recall(&self, digest: &TokenDigest) -> Option<Lookup> {
        let found = self.0.recall(digest);
        match &found {
            Some(Lookup::Known(_)) => self.0.meters.hit.inc(),
            Some(Lookup::Unknown) => self.0.meters.unknown.inc(),
            None => {}
        }
        found
    }

    /// What the store says of a digest that [`recall`](Self::recall) does not answer for.
    ///
    /// # Errors
    ///
    /// Nothing can be said for the moment.
    pub async fn lookup(&self, digest: &TokenDigest) -> Result<Lookup, LookupError> {
        let outcome = self.0.lookup(digest).await;
        let meters = &self.0.meters;
        match &outcome {
            Ok(Lookup::Known(_)) => meters.miss.inc(),
            Ok(Lookup::Unknown) => meters.unknown.inc(),
            Err(LookupError::StoreUnavailable { .. }) => meters.unavailable.inc(),
            Err(LookupError::Overloaded { .. }) => meters.overloaded.inc(),
        }
        outcome
    }

    /// What is said of a secret that no token can have: unknown, without asking the store. In an outage the answer is that of any other
    /// digest that memory does not know, so that it never tells whether a secret has the form of a token.
    ///
    /// # Errors
    ///
    /// The store does not answer.
    pub fn lookup_implausible(&self) -> Result<Lookup, LookupError> {
        if self.0.contact.is_up() {
            Ok(Lookup::Unknown)
        } else {
            self.0.meters.unavailable.inc();
            Err(LookupError::StoreUnavailable { retry_after: RETRY_AFTER })
        }
    }

    /// Applies every change that was committed before this call. Call it after a change and before acknowledging it.
    ///
    /// # Errors
    ///
    /// The store's failures; the change is made nevertheless, and applied when the feed is next read.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        loop {
            let era = self.0.era.load_full();
            let changes = self.0.store.changes_since(era.settled(), CHANGES_PER_READ).await?;
            self.0.apply(&era, &changes);
            if matches!(changes, Changes::Read { more: false, .. } | Changes::Lost { .. }) {
                return Ok(());
            }
        }
    }

    /// Whether the store answers, and how well this is placed if it does not.
    pub fn health(&self) -> Health {
        self.0.health()
    }
}

impl Inner {
    fn recall(&self, digest: &TokenDigest) -> Option<Lookup> {
        // Before memory is read: what is remembered after a proof of life was seen is at least as young as that proof.
        let proof = Duration::from_nanos(self.proof_nanos.load(Ordering::Acquire));
        let era = self.era.load();
        let store_up = self.contact.is_up();
        if let Some((standing, read_at)) = era.recall_known(digest) {
            let bound = if store_up { self.config.max_staleness } else { self.config.outage_grace };
            return (self.age(read_at.max(proof)) < bound).then_some(Lookup::Known(standing));
        }
        if !store_up {
            return None;
        }
        let read_at = era.recall_unknown(digest)?;
        let young = self.age(read_at.max(proof)) < self.config.max_staleness
            && self.age(read_at) < self.config.unknown_ttl;
        young.then_some(Lookup::Unknown)
    }

    /// The known token that may go on although the store does not answer.
    fn recall_in_outage(&self, digest: &TokenDigest) -> Option<Lookup> {
        let proof = self.proof();
        let (standing, read_at) = self.era.load().recall_known(digest)?;
        (self.age(read_at.max(proof)) < self.config.outage_grace).then_some(Lookup::Known(standing))
    }

    fn proof(&self) -> Duration {
        Duration::from_nanos(self.proof_nanos.load(Ordering::Acquire))
    }

    fn age(&self, since: Duration) -> Duration {
        self.clock.uptime().saturating_sub(since)
    }

    /// Makes memory forget what changed, and measures how long that took.
    fn apply(&self, era: &Arc<Era>, changes: &Changes) {
        match changes {
            Changes::Read { changes, position, .. } => {
                // What another reader of the feed settled is forgotten already, and may have been read anew since.
                let settled = era.settled();
                let known = changes.partition_point(|change| change.position <= settled);
                let news = changes.get(known..).unwrap_or_default();
                era.forget(news, *position);
                let now = self.clock.now();
                for change in news {
                    self.meters.revocation_lag.observe(now.since(change.at).as_secs_f64());
                }
            }
            Changes::Lost { position } => self.begin_era(*position),
        }
    }

    /// Forgets everything. Readings on their way belong to the old era and are never seen by the new one.
    fn begin_era(&self, position: FeedPosition) {
        let old = self.era.swap(Arc::new(Era::begin(position, &self.config)));
        // A million verdicts take a while to free.
        tokio::task::spawn_blocking(move || drop(old));
    }
}

/// Bounds the memory and the time of one reading of the feed.
const CHANGES_PER_READ: u32 = 1_000;

/// What a client is told to wait before it asks again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
