//! What a standby may answer: lookups of tokens, and those only if it is not behind.
//!
//! A reading carries the position of the feed that it knows. It counts if it knows everything that this gate was told of, and was told lately:
//! so no reading is older than the last proof of the feed's life. By the number alone that cannot be said: where another standby was promoted,
//! one that does not follow the new primary may stand at a position as high, behind changes that were lost. So the standby has to have the
//! last change that this gate was told of. Whatever else comes back, including that a token is unknown, is asked of
//! the primary. A standby that fails is left alone for a moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::pool::Pool;
use crate::clock::Clock;
use crate::store::sql::{Failure, Session, holds};
use crate::store::{Change, Changes, Place, Reading};

/// A standby.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    pool: Pool,
    clock: Clock,
    /// For how long it has to answer.
    patience: Duration,
    /// For how long what the primary told proves that a reading is fresh.
    fresh_for: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The last change that the primary told of, and when it was asked.
    told: Option<(Duration, Change)>,
    /// Until when it is left alone.
    resting_until: Option<Duration>,
}

impl Replica {
    pub(super) fn new(pool: Pool, patience: Duration, heartbeat: Duration) -> Self {
        let fresh_for = heartbeat.saturating_mul(2);
        Self { pool, clock: Clock::system(), patience, fresh_for, state: Arc::default() }
    }

    /// What the primary told a follower of the feed, who asked at that moment and has reached this place.
    pub(super) fn told(&self, asked_at: Duration, changes: &Changes, place: Place) {
        // While there is more to read, nobody knows where the end is.
        let is_all = !matches!(changes, Changes::Read { more: true, .. });
        self.state().told = place.last().filter(|_| is_all).map(|last| (asked_at, last));
    }

    /// What it knows, if that can be used.
    pub(super) async fn ask(
        &self,
        read: impl AsyncFnOnce(&mut Session) -> Result<Reading, Failure>,
    ) -> Option<Reading> {
        let last = self.askable()?;
        let asked = tokio::time::timeout(self.patience, async {
            let mut session = Session::Postgres(self.pool.acquire().await?);
            if !holds(&mut session, &last).await? {
                return Ok(None);
            }
            read(&mut session).await.map(Some)
        });
        match asked.await {
            Ok(Ok(reading)) => {
                let reading = reading.filter(|reading| reading.standing.is_some())?;
                Some(Reading { current: false, ..reading })
            }
            Ok(Err::<_, Failure>(_)) | Err(_) => {
                self.state().resting_until = Some(self.clock.uptime() + RESTS_FOR);
                None
            }
        }
    }

    /// The change that it must have; `None` if it is of no use to ask now.
    fn askable(&self) -> Option<Change> {
        let now = self.clock.uptime();
        let state = self.state();
        let (asked_at, last) = state.told?;
        let is_resting = state.resting_until.is_some_and(|until| now < until);
        (!is_resting && now.saturating_sub(asked_at) < self.fresh_for).then_some(last)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For how long a standby that failed is not asked again.
const RESTS_FOR: Duration = Duration::from_secs(1);
