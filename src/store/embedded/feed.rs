//! The change feed in SQLite, and how changes are heard of.
//!
//! `PRAGMA data_version`, asked on one connection that is kept for it, changes when any other connection committed, in this process or
//! another one. Asking costs a look at shared memory; only when it changed is the feed read, on the same connection and after the
//! version: what is committed between the two is read now and again, harmlessly, never missed.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{ConnectOptions, Row, SqliteConnection};
use tokio::time::{Interval, MissedTickBehavior};

use super::{Embedded, Failure, row};
use crate::clock::Timestamp;
use crate::store::{Change, Changes, FeedPosition, StoreError, Subject};

impl Embedded {
    pub(in crate::store) async fn position(&self) -> Result<FeedPosition, StoreError> {
        self.call(async {
            let position = sqlx::query_scalar("SELECT position FROM feed");
            Ok(FeedPosition(position.fetch_one(&mut *self.reader().await?).await?))
        })
        .await
    }

    pub(in crate::store) async fn changes_since(
        &self,
        position: FeedPosition,
        limit: u32,
    ) -> Result<Changes, StoreError> {
        self.call(async { read(&mut *self.reader().await?, position, limit).await }).await
    }

    pub(in crate::store) fn watch(&self, position: FeedPosition) -> Watch {
        let mut interval = tokio::time::interval(self.config.poll_interval.max(Duration::from_millis(1)));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Watch { embedded: self.clone(), position, pinned: None, interval }
    }
}

/// A follower of the feed.
#[derive(Debug)]
pub(in crate::store) struct Watch {
    embedded: Embedded,
    position: FeedPosition,
    pinned: Option<Pinned>,
    interval: Interval,
}

/// The connection whose `data_version` is compared. A new connection's cannot be compared with the old one's.
#[derive(Debug)]
struct Pinned {
    connection: SqliteConnection,
    /// As of which the feed is read; `None` before the first reading.
    version: Option<i64>,
}

impl Watch {
    pub(in crate::store) async fn ready(&mut self) {
        self.interval.tick().await;
    }

    pub(in crate::store) async fn poll(&mut self) -> Result<Changes, StoreError> {
        // Taken out: a failure or a cancellation leaves none, and the next poll opens another.
        let pinned = self.pinned.take();
        let (position, reading) = (self.position, &self.embedded.reading);
        let polled = self.embedded.call(async {
            let mut pinned = match pinned {
                Some(pinned) => pinned,
                None => Pinned { connection: reading.connect().await?, version: None },
            };
            let version: i64 =
                sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut pinned.connection).await?;
            if pinned.version == Some(version) {
                return Ok((Changes::Read { changes: Vec::new(), position, more: false }, pinned));
            }
            let changes = read(&mut pinned.connection, position, CHANGES_PER_POLL).await?;
            let unread = matches!(changes, Changes::Read { more: true, .. });
            pinned.version = (!unread).then_some(version);
            Ok((changes, pinned))
        });
        let (changes, pinned) = polled.await?;
        self.pinned = Some(pinned);
        let (Changes::Read { position, .. } | Changes::Lost { position }) = &changes;
        self.position = *position;
        Ok(changes)
    }
}

/// Appends a change to the feed, in the transaction that makes it, and drops those that are too many.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    subject: &Subject,
    at: Timestamp,
    changes_kept: u32,
) -> Result<(), sqlx::Error> {
    let feed = sqlx::query(
        "UPDATE feed SET position = position + 1, pruned = max(pruned, position + 1 - ?) RETURNING position, pruned",
    )
    .bind(changes_kept.max(1))
    .fetch_one(&mut *connection)
    .await?;
    let (digest, organization) = match subject {
        Subject::Token(digest) => (Some(&digest.as_bytes()[..]), None),
        Subject::Organization(id) => (None, Some(&id.as_bytes()[..])),
    };
    sqlx::query("INSERT INTO changes (seq, at, digest, organization_id) VALUES (?, ?, ?, ?)")
        .bind(feed.try_get::<i64, _>("position")?)
        .bind(at.as_millis())
        .bind(digest)
        .bind(organization)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM changes WHERE seq <= ?")
        .bind(feed.try_get::<i64, _>("pruned")?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Reads the feed behind `position`. One statement, so one moment.
async fn read(
    connection: &mut SqliteConnection,
    position: FeedPosition,
    limit: u32,
) -> Result<Changes, Failure> {
    let rows = sqlx::query(
        "SELECT f.position, f.pruned, c.seq, c.at, c.digest, c.organization_id FROM feed f LEFT JOIN changes c ON c.seq > ? \
         WHERE f.only = 1 ORDER BY c.seq LIMIT ?",
    )
    .bind(position.0)
    .bind(limit.max(1))
    .fetch_all(connection)
    .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let end = FeedPosition(first.try_get("position")?);
    let pruned: i64 = first.try_get("pruned")?;
    if position.0 < pruned || position > end {
        return Ok(Changes::Lost { position: end });
    }
    let changes: Vec<_> = rows.iter().filter_map(|row| change(row).transpose()).collect::<Result<_, _>>()?;
    let read = changes.last().map_or(end, |last| last.position);
    Ok(Changes::Read { changes, position: read, more: read < end })
}

/// The change of a row; `None` in the one row of a feed without changes.
fn change(row: &SqliteRow) -> Result<Option<Change>, sqlx::Error> {
    let Some(seq) = row.try_get("seq")? else { return Ok(None) };
    let is_of_token = row.try_get::<Option<Vec<u8>>, _>("digest")?.is_some();
    let subject = if is_of_token {
        Subject::Token(row::digest(row)?)
    } else {
        Subject::Organization(row::uuid(row, "organization_id")?)
    };
    Ok(Some(Change { position: FeedPosition(seq), at: Timestamp::from_millis(row.try_get("at")?), subject }))
}

/// Bounds the memory and the time of one poll.
const CHANGES_PER_POLL: u32 = 1_000;
