//! Whether the store answers.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
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
}

impl Inner {
    pub(super) fn health(&self) -> Health {
        let proof = self.proof();
        let last_proof_age = (proof > Duration::ZERO).then(|| self.age(proof));
        let store_up = self.contact.is_up();
        Health {
            store_up,
            since: self.contact.since(),
            inside_grace: !store_up && last_proof_age.is_some_and(|age| age < self.config.outage_grace),
            feed_position: self.era.load().settled(),
            last_proof_age,
        }
    }
}

/// Whether the last attempt to reach the store succeeded. Only the follower writes it; every request reads it.
#[derive(Debug)]
pub(super) struct Contact {
    up: AtomicBool,
    since_millis: AtomicI64,
}

impl Contact {
    /// A store is taken to be up until it was tried: the gate opened it a moment ago.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { up: AtomicBool::new(true), since_millis: AtomicI64::new(now.as_millis()) }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    pub(super) fn since(&self) -> Timestamp {
        Timestamp::from_millis(self.since_millis.load(Ordering::Acquire))
    }

    /// True if this is news.
    pub(super) fn set(&self, up: bool, now: Timestamp) -> bool {
        let news = self.up.swap(up, Ordering::AcqRel) != up;
        if news {
            self.since_millis.store(now.as_millis(), Ordering::Release);
        }
        news
    }
}
