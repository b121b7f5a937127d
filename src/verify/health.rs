//! Whether the store answers.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::Inner;
use crate::clock::Timestamp;
use crate::store::FeedPosition;

/// How the verifier and its store are, for load balancers and people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The store answers.
    pub store_up: bool,
    /// Since when it does or does not.
    pub since: Timestamp,
    /// It does not, and known tokens still go on.
    pub inside_grace: bool,
    /// How much of the change feed is applied.
    pub feed_position: FeedPosition,
    /// How long ago the feed last proved that nothing was missed; `None` before the first time.
    pub last_proof_age: Option<Duration>,
    /// It proved that within [`Config::max_staleness`](super::Config::max_staleness), or the verifier is not older than that. If it did not
    /// although the store answers, every verdict is read again as it reaches that age.
    pub feed_proven: bool,
}

impl Inner {
    pub(super) fn health(&self) -> Health {
        let proof = self.proof();
        let store_up = self.contact.is_up();
        let heard = self.contact.heard();
        Health {
            store_up,
            since: self.contact.since(),
            inside_grace: !store_up && heard.is_some_and(|heard| self.age(heard) < self.config.outage_grace),
            feed_position: self.era.load().settled(),
            last_proof_age: (proof > Duration::ZERO).then(|| self.age(proof)),
            feed_proven: self.age(proof.max(self.begun_at)) < self.config.max_staleness,
        }
    }
}

/// Whether the last attempt to reach the store succeeded. The follower writes it, and every question to the store; every request reads it.
#[derive(Debug)]
pub(super) struct Contact {
    up: AtomicBool,
    since_millis: AtomicI64,
    /// The uptime at which the latest question was put that the store answered, in nanoseconds.
    heard_nanos: AtomicU64,
    /// The uptime at which the store was lost, in nanoseconds.
    lost_nanos: AtomicU64,
}

impl Contact {
    /// A store is taken to be up until it was tried: the gate opened it a moment ago.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            up: AtomicBool::new(true),
            since_millis: AtomicI64::new(now.as_millis()),
            heard_nanos: AtomicU64::new(0),
            lost_nanos: AtomicU64::new(0),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    pub(super) fn since(&self) -> Timestamp {
        Timestamp::from_millis(self.since_millis.load(Ordering::Acquire))
    }

    /// The store is lost. True if this is news.
    pub(super) fn lost(&self, now: Timestamp, uptime: Duration) -> bool {
        // First, so that whoever finds it lost finds since when.
        self.lost_nanos.store(nanos(uptime), Ordering::Release);
        self.set(false, now)
    }

    /// The store answered a question that was put at `asked_at`. True if it is back by that: an answer that was on its way when the store
    /// was lost says nothing of afterwards.
    pub(super) fn found(&self, now: Timestamp, asked_at: Duration) -> bool {
        nanos(asked_at) >= self.lost_nanos.load(Ordering::Acquire) && self.set(true, now)
    }

    fn set(&self, up: bool, now: Timestamp) -> bool {
        let news = self.up.swap(up, Ordering::AcqRel) != up;
        if news {
            self.since_millis.store(now.as_millis(), Ordering::Release);
        }
        news
    }

    /// The store answered a question that was put at `asked_at`.
    pub(super) fn answered(&self, asked_at: Duration) {
        self.heard_nanos.fetch_max(nanos(asked_at), Ordering::AcqRel);
    }

    /// When the latest question was put that the store answered.
    pub(super) fn heard(&self) -> Option<Duration> {
        let nanos = self.heard_nanos.load(Ordering::Acquire);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }
}

/// An uptime as an atomic number.
pub(super) fn nanos(uptime: Duration) -> u64 {
    u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX)
}
