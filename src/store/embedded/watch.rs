//! How changes of a database file are heard of.
//!
//! `PRAGMA data_version`, asked on one connection that is kept for it, changes when any other connection committed, in this process or
//! another one. Asking costs a look at shared memory; only when it changed is the feed read, on the same connection and after the
//! version: what is committed between the two is read now and again, harmlessly, never missed.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use super::Embedded;
use crate::store::sql::{Failure, Held, Session, sql};
use crate::store::{Changes, Place, Store, StoreError};

/// A follower of the feed.
#[derive(Debug)]
pub(in crate::store) struct Watch {
    pinned: Option<Pinned>,
    interval: Interval,
}

/// The connection whose `data_version` is compared. A new connection's cannot be compared with the old one's.
#[derive(Debug)]
struct Pinned {
    session: Session,
    /// As of which the feed is read; `None` before the first reading.
    version: Option<i64>,
}

impl Watch {
    /// One that looks at the file this often.
    pub(in crate::store) fn new(poll_interval: Duration) -> Self {
        let mut interval = tokio::time::interval(poll_interval.max(Duration::from_millis(1)));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { pinned: None, interval }
    }

    pub(in crate::store) async fn ready(&mut self) {
        self.interval.tick().await;
    }

    pub(in crate::store) async fn poll(
        &mut self,
        store: &Store,
        embedded: &Embedded,
        place: &mut Place,
    ) -> Result<Changes, StoreError> {
        // Taken out: a failure or a cancellation leaves none, and the next poll opens another.
        let pinned = self.pinned.take();
        let polled = store.call(async {
            let mut pinned = match pinned {
                Some(pinned) => pinned,
                None => {
                    Pinned { session: Session::Sqlite(Held::Alone(embedded.alone().await?)), version: None }
                }
            };
            let version: i64 =
                sql("PRAGMA data_version").fetch_one(&mut pinned.session).await?.read("data_version")?;
            if pinned.version == Some(version) {
                return Ok::<_, Failure>((place.unchanged(), pinned));
            }
            let changes = place.read(&mut pinned.session).await?;
            let unread = matches!(changes, Changes::Read { more: true, .. });
            pinned.version = (!unread).then_some(version);
            Ok((changes, pinned))
        });
        let (changes, pinned) = polled.await?;
        self.pinned = Some(pinned);
        Ok(changes)
    }
}
