//! The follower: reads the change feed for as long as the gate runs.

use std::error::Error;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Inner, Verifier};
use crate::store::{Changes, StoreError, Watch};

impl Verifier {
    /// Follows the store's change feed until `shutdown` ends. One follower is enough.
    pub async fn follow(self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.0.follow() => {}
        }
    }
}

impl Inner {
    async fn follow(&self) {
        let mut watch = self.begin_watch().await;
        loop {
            watch.ready().await;
            self.beat(&mut watch).await;
        }
    }

    /// Reads the feed once, as far as it goes, and takes note of whether that was possible.
    pub(super) async fn beat(&self, watch: &mut Watch) {
        if let Err(error) = self.hear(watch).await {
            self.not_heard(&error).await;
        }
        self.meters.known.set(i64::try_from(self.era.load().known_len()).unwrap_or(i64::MAX));
    }

    /// Begins with the feed's present end and an empty memory: what was read before is of an unknown position.
    pub(super) async fn begin_watch(&self) -> Watch {
        loop {
            let asked_at = self.clock.uptime();
            match self.store.position().await {
                Ok(position) => {
                    self.begin_era(position);
                    self.prove(asked_at);
                    return self.store.watch(position);
                }
                Err(error) => {
                    self.set_contact(Err(&error));
                    tokio::time::sleep(BEGIN_INTERVAL).await;
                }
            }
        }
    }

    /// Applies all that the feed says.
    async fn hear(&self, watch: &mut Watch) -> Result<(), StoreError> {
        loop {
            // Before the poll: a change committed while the answer is on its way is not in it.
            let polled_at = self.clock.uptime();
            let changes = watch.poll().await?;
            self.apply(&self.era.load_full(), &changes);
            if !matches!(changes, Changes::Read { more: true, .. }) {
                self.prove(polled_at);
                return Ok(());
            }
        }
    }

    /// Every verdict in memory is as good as read at `uptime`.
    fn prove(&self, uptime: Duration) {
        let nanos = u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX);
        self.proof_nanos.fetch_max(nanos, Ordering::AcqRel);
        self.set_contact(Ok(()));
    }

    /// The feed failed. If the store answers otherwise, verdicts are read again as they age; if not, the outage has begun.
    async fn not_heard(&self, error: &StoreError) {
        match self.store.position().await {
            Ok(_) => self.set_contact(Ok(())),
            Err(_) => self.set_contact(Err(error)),
        }
    }

    fn set_contact(&self, contact: Result<(), &StoreError>) {
        if !self.contact.set(contact.is_ok(), self.clock.now()) {
            return;
        }
        self.meters.store_up.set(i64::from(contact.is_ok()));
        match contact {
            Ok(()) => tracing::info!("the token store answers again"),
            Err(error) => {
                let cause = error.source().map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, cause, "the token store is lost; known tokens go on for outage_grace");
            }
        }
    }
}

/// How often a store is tried that does not answer at the start.
const BEGIN_INTERVAL: Duration = Duration::from_millis(100);
