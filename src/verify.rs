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
//! A network that shows too many tokens that nobody was issued gets no more questions asked ([`Config::wrong_per_second_max`]), and is told
//! [`LookupError::TooManyWrong`]; tokens that memory knows, or knew before something of them changed, are served to it as to anybody
//! (`guesses.rs`). Metric `limited`.
//!
//! Verdicts on known tokens and on unknown digests live apart (`memory.rs`), each bounded, so garbage never evicts a verdict.
//! A verdict says what the store says of a token; whether the token serves *now* (expiry, grace) is [`crate::policy`]'s question.
//!
//! # How old a verdict may be
//!
//! [`Verifier::follow`] reads the store's change feed and makes it forget what changed, some 100 ms after another process changed it.
//! Each reading of the feed that leaves nothing unread is a **proof of life**: every verdict in memory is as good as read at the moment at
//! which that reading was *begun*. A verdict's age counts from the later of the beginning of its own reading and the last proof, on a clock
//! that counts suspended time and that nobody sets; so a gate that was stopped finds everything aged when it goes on, answers that waited
//! for it included. A verdict is acted on while its age is below the bound that applies:
//!
//! | the store | bound | what happens at it |
//! | --- | --- | --- |
//! | answers, and so does its feed | [`Config::max_staleness`] | never reached: each proof makes everything young |
//! | answers, its feed does not | [`Config::max_staleness`] | the verdict is read again: queries, not safety, are the price |
//! | does not answer | [`Config::outage_grace`] | 503; an unknown digest is told so at once, for its token may be valid |
//!
//! Whether the store answers is known by trying: the follower tries always, and a request whose question fails tells of the outage if
//! nothing else was heard of the store since the question was put (`follow.rs`). Until somebody has tried in vain the first bound applies;
//! that takes at most a poll and two calls that time out. So a grace of zero is strict from then on, and bounds below twice the store's
//! timeout are held, but answered with 503 where a slower store would have been waited for.
//!
//! When the store is back, the feed goes on from the position it had reached, and the store counts as answering only when everything
//! missed is applied: by the follower, or by the first reading that gets through, which reads the feed before it is told. If the feed is
//! broken then, everything is forgotten instead. An answer that was under way when the store was lost brings nothing back.
//!
//! A change made by this process is applied by [`Verifier::catch_up`] before its maker goes on, so it holds for the next request.
//!
//! What the bound does not cover: what was decided before. A request that waited for its upstream is decided again before its answer
//! begins; downloads that run then finish, or are judged again within the same bounds (`verify.cut_streams`, [`Verifier::review`]).
//!
//! `simulation.rs` holds all this in ten thousand schedules of changes, outages, faults of the feed, replicas, stops and restored stores.
//!
//! # Why no forgotten verdict comes back
//!
//! A reading may have left the store before a change that the feed tells of while the reading is on its way. Each reading carries the
//! feed position of its snapshot; see `era.rs` for the argument why a reading older than the feed is neither remembered nor given to a
//! request that came after the change. A feed that ends before the position of a reading is another one, of an older store that was
//! restored: everything is forgotten.
//!
//! This module never reads HTTP and never decides. Read [`crate::policy`] next.

mod era;
mod flight;
mod follow;
mod guesses;
mod health;
mod memory;
mod meters;
#[cfg(test)]
mod simulation;
mod source;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore};

pub use health::Health;
pub use meters::Meters;

use crate::clock::Clock;
use crate::policy::Standing;
use crate::store::{Changes, FeedPosition, Store, StoreError};
use crate::token::{ApiKeyCheck, ApiKeySet, Secret, TokenDigest};
use era::Era;
use guesses::Guesses;
use health::Contact;
use source::Source;

/// How much is remembered, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Known tokens in memory; some 160 bytes each, some 130 more each that belongs to a user or acts as one, and what groups make of them
    /// once for all tokens of the same groups. Default 1,000,000.
    pub known_max: usize,
    /// Unknown digests in memory; some 150 bytes each. Default 100,000.
    pub unknown_max: usize,
    /// Longest time for which a digest stays unknown without asking again. Default 1 m.
    pub unknown_ttl: Duration,
    /// Questions with the store at any time. Default 64.
    pub store_queries_max: usize,
    /// Tokens that nobody was issued and the store is asked about, for each network and second; 0 is no limit. Default 100.
    pub wrong_per_second_max: u32,
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
            wrong_per_second_max: 100,
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

/// What is known of a digest, and since when it can be out of date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What is known.
    pub lookup: Lookup,
    /// The uptime at which it was certainly true.
    pub as_of: Duration,
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
    /// Too many tokens that nobody was issued were shown by the same network.
    #[error("too many tokens that nobody was issued were shown from this address")]
    TooManyWrong {
        /// When asking again may help.
        retry_after: Duration,
    },
}

/// Looks tokens up. Clones share everything.
#[derive(Clone, Debug)]
pub struct Verifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Source,
    clock: Clock,
    config: Config,
    meters: Meters,
    /// Everything remembered.
    era: ArcSwap<Era>,
    /// The uptime of the last proof of life, in nanoseconds.
    proof_nanos: AtomicU64,
    contact: Contact,
    queries: Arc<Semaphore>,
    guesses: Guesses,
    /// The uptime at which this was made.
    begun_at: Duration,
    /// Told when a question was not answered, for the follower.
    doubt: Notify,
    /// Told when something was forgotten, or the store is lost or back, for [`Verifier::news`].
    news: Notify,
    /// What verifies API keys.
    api_keys: OnceLock<Arc<ArcSwap<ApiKeySet>>>,
}

impl Verifier {
    /// A verifier that remembers nothing yet. Until [`follow`](Self::follow) runs, it reads every verdict again after
    /// [`Config::max_staleness`].
    pub fn new(store: Store, clock: Clock, config: Config, meters: Meters) -> Self {
        Self::over(Source::Store(store), clock, config, meters)
    }

    fn over(store: Source, clock: Clock, config: Config, meters: Meters) -> Self {
        let era = Era::begin(FeedPosition::START, &config);
        let queries = Arc::new(Semaphore::new(config.store_queries_max.clamp(1, Semaphore::MAX_PERMITS)));
        let contact = Contact::new(clock.now());
        meters.store_up.set(1);
        Self(Arc::new(Inner {
            store,
            guesses: Guesses::new(config.wrong_per_second_max),
            begun_at: clock.uptime(),
            clock,
            config,
            meters,
            era: ArcSwap::from_pointee(era),
            proof_nanos: AtomicU64::new(0),
            contact,
            queries,
            doubt: Notify::new(),
            news: Notify::new(),
            api_keys: OnceLock::new(),
        }))
    }

    /// What memory says of a digest, if it is young enough to act on.
    pub fn recall(&self, digest: &TokenDigest) -> Option<Lookup> {
        let found = self.0.remembered(digest, self.0.config.max_staleness).map(|verdict| verdict.lookup);
        match &found {
            Some(Lookup::Known(_)) => self.0.meters.hit.inc(),
            Some(Lookup::Unknown) => self.0.meters.unknown.inc(),
            None => {}
        }
        found
    }

    /// What the store says of a digest that [`recall`](Self::recall) does not answer for, and that `network` shows; `None` is not limited.
    ///
    /// # Errors
    ///
    /// Nothing can be said for the moment.
    pub async fn lookup(&self, digest: &TokenDigest, network: Option<IpAddr>) -> Result<Lookup, LookupError> {
        let outcome = match self.0.may_ask(digest, network) {
            Ok(()) => self.0.lookup(digest, self.0.config.max_staleness, network).await,
            Err(error) => Err(error),
        };
        let outcome = outcome.map(|verdict| verdict.lookup);
        let meters = &self.0.meters;
        match &outcome {
            Ok(Lookup::Known(_)) => meters.miss.inc(),
            Ok(Lookup::Unknown) => meters.unknown.inc(),
            Err(LookupError::StoreUnavailable { .. }) => meters.unavailable.inc(),
            Err(LookupError::Overloaded { .. }) => meters.overloaded.inc(),
            Err(LookupError::TooManyWrong { .. }) => meters.limited.inc(),
        }
        outcome
    }

    /// Screens API keys by these from now on, the set that is current at each moment. Without them each is looked up like any token.
    pub fn screen_api_keys_by(&self, keys: Arc<ArcSwap<ApiKeySet>>) {
        // Only the first call counts: there is one set for as long as the gate runs.
        let _ = self.0.api_keys.set(keys);
    }

    /// False for a secret that no token of this gate can have, and for an API key that somebody else signed. Asks nobody.
    pub fn is_plausible(&self, secret: &Secret<'_>) -> bool {
        if !secret.is_api_key_shaped() {
            return secret.is_plausible();
        }
        let Some(keys) = self.0.api_keys.get() else { return true };
        match keys.load().check(secret, self.0.clock.now()) {
            // What has expired is refused by its name.
            ApiKeyCheck::Genuine(_) | ApiKeyCheck::Expired => true,
            // Another gate may have signed it with a key that this one has not read.
            ApiKeyCheck::Unknown => true,
            ApiKeyCheck::Forged => false,
        }
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
        self.0.catch_up().await
    }

    /// What memory says of a digest whose verdict was acted on before and still is. It is read again when it has reached half of
    /// [`Config::max_staleness`], so that there is time for it: `None` says that [`review`](Self::review) has to.
    pub fn reviewed(&self, digest: &TokenDigest) -> Option<Verdict> {
        self.0.remembered(digest, self.0.config.max_staleness / 2)
    }

    /// The same, from the store if it has to be. Counted as a question to the store, not as a lookup: nobody asks.
    ///
    /// # Errors
    ///
    /// Nothing can be said for the moment.
    pub async fn review(&self, digest: &TokenDigest) -> Result<Verdict, LookupError> {
        self.0.lookup(digest, self.0.config.max_staleness / 2, None).await
    }

    /// The uptime from which on a verdict of `as_of` may no longer be acted on, as the store is now.
    pub fn serves_until(&self, as_of: Duration) -> Duration {
        as_of.saturating_add(self.0.bound(self.0.config.max_staleness))
    }

    /// Returns when something was forgotten since the last time, or the store was lost or came back. For one who waits.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }

    /// How much is remembered, and for how long.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Whether the store answers, and how well this is placed if it does not.
    pub fn health(&self) -> Health {
        self.0.health()
    }
}

impl Inner {
    /// Whether the store may be asked about a digest that `network` shows.
    fn may_ask(&self, digest: &TokenDigest, network: Option<IpAddr>) -> Result<(), LookupError> {
        match network {
            Some(network) if !self.era.load().was_known(digest) => self
                .guesses
                .check(network, self.clock.uptime())
                .map_err(|retry_after| LookupError::TooManyWrong { retry_after }),
            _ => Ok(()),
        }
    }

    /// What memory says of a digest, if it is younger than `staleness`, or than the grace while the store does not answer.
    fn remembered(&self, digest: &TokenDigest, staleness: Duration) -> Option<Verdict> {
        // Before memory is read: what is remembered after a proof of life was seen is at least as young as that proof.
        let proof = self.proof();
        let era = self.era.load();
        let store_up = self.contact.is_up();
        if let Some((standing, read_at)) = era.recall_known(digest) {
            let bound = if store_up { staleness } else { self.config.outage_grace };
            let as_of = read_at.max(proof);
            return (self.age(as_of) < bound).then_some(Verdict { lookup: Lookup::Known(standing), as_of });
        }
        if !store_up {
            return None;
        }
        let read_at = era.recall_unknown(digest)?;
        let as_of = read_at.max(proof);
        let young = self.age(as_of) < staleness && self.age(read_at) < self.config.unknown_ttl;
        young.then_some(Verdict { lookup: Lookup::Unknown, as_of })
    }

    /// The verdict on a known token that may be acted on although the store did not answer.
    fn remembered_in_outage(&self, digest: &TokenDigest) -> Option<Verdict> {
        let proof = self.proof();
        let (standing, read_at) = self.era.load().recall_known(digest)?;
        let as_of = read_at.max(proof);
        let young = self.age(as_of) < self.config.outage_grace;
        young.then_some(Verdict { lookup: Lookup::Known(standing), as_of })
    }

    /// How old a verdict on a known token may be: `staleness`, unless the store does not answer.
    fn bound(&self, staleness: Duration) -> Duration {
        if self.contact.is_up() { staleness } else { self.config.outage_grace }
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
                if era.is_torn() {
                    self.begin_era(*position);
                    return;
                }
                if !news.is_empty() {
                    self.news.notify_one();
                }
                let now = self.clock.now();
                for change in news {
                    self.meters.revocation_lag.observe(now.since(change.at).as_secs_f64());
                }
            }
            Changes::Lost { position } => {
                self.begin_era(*position);
            }
        }
    }

    /// Forgets everything. Readings on their way belong to the old era and are never seen by the new one.
    fn begin_era(&self, position: FeedPosition) -> Arc<Era> {
        let era = Arc::new(self.era.load().next(position, &self.config));
        let old = self.era.swap(Arc::clone(&era));
        self.news.notify_one();
        if old.known_len() > FREED_AT_ONCE_MAX {
            // A million verdicts take a while to go through and to free.
            tokio::task::spawn_blocking(move || old.end());
        } else {
            old.end();
        }
        era
    }
}

/// How many verdicts are freed where they are forgotten; more are freed beside the runtime.
const FREED_AT_ONCE_MAX: usize = 1_000;

/// Bounds the memory and the time of one reading of the feed.
const CHANGES_PER_READ: u32 = 1_000;

/// What a client is told to wait before it asks again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
