//! The follower: reads the change feed for as long as the gate runs.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::era::Era;
use super::health::nanos;
use super::source::Feed;
use super::{CHANGES_PER_READ, Inner, Verifier};
use crate::store::{Changes, ErrorKind, FeedPosition, StoreError};

impl Verifier {
    /// Follows the store's change feed until `shutdown` ends. One follower is enough.
    pub async fn follow(self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.0.follow() => {}
        }
    }
}

/// A place in the feed, and the memory that knows everything before it.
pub(super) struct Following {
    era: Arc<Era>,
    feed: Feed,
}

impl Inner {
    async fn follow(&self) {
        let mut following = self.begin_following().await;
        loop {
            tokio::select! {
                () = following.feed.ready() => {}
                () = self.doubt.notified() => {}
            }
            self.beat(&mut following).await;
        }
    }

    /// Reads the feed once, as far as it goes, and takes note of whether that was possible.
    pub(super) async fn beat(&self, following: &mut Following) {
        if let Err(error) = self.hear(following).await {
            self.not_heard(&error).await;
        }
        self.meters.known.set(i64::try_from(self.era.load().known_len()).unwrap_or(i64::MAX));
    }

    /// Begins with the feed's present end and an empty memory: what was read before is of an unknown position.
    pub(super) async fn begin_following(&self) -> Following {
        loop {
            let asked_at = self.clock.uptime();
            match self.store.position().await {
                Ok(position) => {
                    let era = self.begin_era(position);
                    self.prove(asked_at);
                    return self.following(era);
                }
                Err(error) => {
                    self.lost(&error);
                    tokio::time::sleep(BEGIN_INTERVAL).await;
                }
            }
        }
    }

    fn following(&self, era: Arc<Era>) -> Following {
        Following { feed: self.store.watch(era.place()), era }
    }

    /// Applies all that the feed says.
    async fn hear(&self, following: &mut Following) -> Result<(), StoreError> {
        loop {
            // Before the poll: a change committed while the answer is on its way is not in it. And before the era is looked at: one that
            // begins after this remembers nothing that is older than this.
            let polled_at = self.clock.uptime();
            let era = self.era.load_full();
            if !Arc::ptr_eq(&era, &following.era) {
                // Everything was forgotten since, by somebody who saw the feed end elsewhere: its positions count now, not the old feed's.
                *following = self.following(era);
            }
            let seen = following.era.seen();
            let changes = not_before(seen, following.feed.poll().await?);
            self.contact.answered(polled_at);
            self.apply(&following.era, &changes);
            following.era.reach(following.feed.place());
            if !matches!(changes, Changes::Read { more: true, .. }) {
                self.prove(polled_at);
                return Ok(());
            }
        }
    }

    /// Applies every change that was committed before this call.
    pub(super) async fn catch_up(&self) -> Result<(), StoreError> {
        loop {
            // In this order, as in `hear`.
            let asked_at = self.clock.uptime();
            let era = self.era.load_full();
            let seen = era.seen();
            let changes = not_before(seen, self.store.changes_since(era.place(), CHANGES_PER_READ).await?);
            self.contact.answered(asked_at);
            self.apply(&era, &changes);
            if !matches!(changes, Changes::Read { more: true, .. }) {
                self.prove(asked_at);
                return Ok(());
            }
        }
    }

    /// Every verdict in memory is as good as read at `uptime`.
    fn prove(&self, uptime: Duration) {
        self.proof_nanos.fetch_max(nanos(uptime), Ordering::AcqRel);
        self.found(uptime);
    }

    /// The feed failed. If the store answers otherwise, verdicts are read again as they age; if not, the outage has begun.
    async fn not_heard(&self, error: &StoreError) {
        let asked_at = self.clock.uptime();
        match self.store.position().await {
            Ok(position) => {
                if !self.contact.is_up() {
                    // What was missed cannot be told, and nothing of before the outage may stand beside what is read now.
                    self.begin_era(position);
                }
                self.found(asked_at);
            }
            Err(_) => self.lost(error),
        }
    }

    /// A question that was put at `asked_at` was not answered. That tells of an outage if nothing else was heard of the store since; the
    /// follower finds out at once.
    pub(super) fn not_answered(&self, asked_at: Duration, error: &StoreError) {
        if error.kind() != ErrorKind::Unavailable {
            return;
        }
        if self.contact.heard().is_none_or(|heard| heard <= asked_at) {
            self.lost(error);
        }
        self.doubt.notify_one();
    }

    /// The store answered a question that was put at `asked_at`, and everything before that is applied.
    fn found(&self, asked_at: Duration) {
        self.contact.answered(asked_at);
        if self.contact.found(self.clock.now(), asked_at) {
            self.meters.store_up.set(1);
            self.news.notify_one();
            tracing::info!("the token store answers again");
        }
    }

    fn lost(&self, error: &StoreError) {
        if self.contact.lost(self.clock.now(), self.clock.uptime()) {
            self.meters.store_up.set(0);
            self.news.notify_one();
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "the token store is lost; known tokens go on for outage_grace");
        }
    }
}

/// What the feed says to a gate that has seen a reading of position `seen`: if it ends before that, something is lost that the reading
/// had, though the feed itself had not told of it yet.
fn not_before(seen: FeedPosition, changes: Changes) -> Changes {
    match changes {
        Changes::Read { position, more: false, .. } if position < seen => Changes::Lost { position },
        changes => changes,
    }
}

/// How often a store is tried that does not answer at the start.
const BEGIN_INTERVAL: Duration = Duration::from_millis(100);
