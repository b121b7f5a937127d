//! The change feed: written in the transaction of the change, read from a position on, and followed.
//!
//! Numbers are given under the lock that all changes hold, so their order is the order of commits, and a reader that has seen a number has
//! seen all before it.
//!
//! A follower remembers the last change that it read, and each reading begins with that one: if another is in its place, or none, the
//! feed is not the one that was read. That is so after a server was replaced by a standby that had not heard of the latest changes, even
//! if as many others were made since, and after a backup was restored. The follower is told that it lost the feed. So is whoever reads the
//! feed once, from the [`Place`] that a follower has reached.

use super::session::Session;
use super::statement::{Row, sql};
use super::{Failure, row};
use crate::clock::Timestamp;
use crate::store::{
    Backend, Change, Changes, FeedPosition, Place, Store, StoreError, Subject, embedded, postgres,
};

impl Store {
    /// The change feed's end.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn position(&self) -> Result<FeedPosition, StoreError> {
        self.call(async {
            let position = sql("SELECT position FROM feed").fetch_one(&mut self.reader().await?).await?;
            Ok(FeedPosition(position.read("position")?))
        })
        .await
    }

    /// At most `limit` changes behind `place`.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn changes_since(&self, place: impl Into<Place>, limit: u32) -> Result<Changes, StoreError> {
        let place = place.into();
        self.call(async { Ok(place.look(&mut self.reader().await?, limit).await?.0) }).await
    }

    /// Follows the change feed from `place` on.
    pub fn watch(&self, place: impl Into<Place>) -> Watch {
        let hearing = match &self.backend {
            Backend::Embedded(_) => Hearing::Embedded(embedded::Watch::new(self.config.poll_interval)),
            Backend::Postgres(_) => Hearing::Postgres(Box::new(postgres::Watch::new(&self.config))),
        };
        Watch { store: self.clone(), place: place.into(), hearing }
    }
}

/// A reader of the change feed that hears of new changes. Losing the store loses nothing: it goes on from its position.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    place: Place,
    hearing: Hearing,
}

#[derive(Debug)]
enum Hearing {
    Embedded(embedded::Watch),
    Postgres(Box<postgres::Watch>),
}

impl Watch {
    /// Returns when it is time to [`poll`](Self::poll). Cancelling it loses nothing.
    pub async fn ready(&mut self) {
        match &mut self.hearing {
            Hearing::Embedded(watch) => watch.ready().await,
            Hearing::Postgres(watch) => watch.ready().await,
        }
    }

    /// The changes since the last poll, every one that was committed before this call unless there are `more`. An answer without
    /// changes proves that the store is alive and that nothing changed.
    ///
    /// # Errors
    ///
    /// The store's failures; the next poll tries anew from the same position.
    pub async fn poll(&mut self) -> Result<Changes, StoreError> {
        let Self { store, place, hearing } = self;
        match (hearing, &store.backend) {
            (Hearing::Embedded(watch), Backend::Embedded(embedded)) => {
                watch.poll(store, embedded, place).await
            }
            (Hearing::Postgres(watch), Backend::Postgres(postgres)) => {
                watch.poll(store, postgres, place).await
            }
            // A watch is made by its own store.
            _ => Ok(place.unchanged()),
        }
    }

    /// How far it has read.
    pub const fn place(&self) -> Place {
        self.place
    }
}

impl Place {
    /// What it is told when nothing changed.
    pub(in crate::store) fn unchanged(&self) -> Changes {
        Changes::Read { changes: Vec::new(), position: self.position(), more: false }
    }

    /// What changed since the last time.
    pub(in crate::store) async fn read(&mut self, session: &mut Session) -> Result<Changes, Failure> {
        let (changes, place) = self.look(session, CHANGES_PER_POLL).await?;
        *self = place;
        Ok(changes)
    }

    /// At most `limit` changes, and how far one has read then. One statement, so one moment.
    async fn look(&self, session: &mut Session, limit: u32) -> Result<(Changes, Self), Failure> {
        let rows =
            sql("SELECT f.position, f.pruned, c.seq, c.at AS changed_at, c.digest AS changed_digest, \
             c.organization_id AS changed_organization \
             FROM feed f LEFT JOIN changes c ON c.seq >= $1 ORDER BY c.seq LIMIT $2")
            .bind(self.position().0)
            .bind(limit.max(1).saturating_add(1))
            .fetch_all(session)
            .await?;
        let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let end = FeedPosition(first.read("position")?);
        let pruned: i64 = first.read("pruned")?;
        let mut changes: Vec<_> =
            rows.iter().filter_map(|row| change(row).transpose()).collect::<Result<_, _>>()?;
        let is_known = changes.first().is_some_and(|first| first.position == self.position());
        let known = is_known.then(|| changes.remove(0));
        changes.truncate(limit.max(1) as usize);
        let is_another = self.last().is_some() && self.last() != known;
        if self.position().0 < pruned || self.position() > end || is_another {
            return Ok((Changes::Lost { position: end }, end.into()));
        }
        let last = changes.last().copied();
        let position = last.map_or(end, |last| last.position);
        let more = position < end;
        let place = last.or(known).filter(|last| last.position == position);
        let place = place.map_or(position.into(), Self::behind);
        Ok((Changes::Read { changes, position, more }, place))
    }
}

/// True if this database's feed holds that change: it has everything before it as well, and is no other feed.
pub(in crate::store) async fn holds(session: &mut Session, change: &Change) -> Result<bool, Failure> {
    let row = sql(
        "SELECT seq, at AS changed_at, digest AS changed_digest, organization_id AS changed_organization \
         FROM changes WHERE seq = $1",
    );
    let row = row.bind(change.position.0).fetch_optional(session).await?;
    let there = row.as_ref().map(self::change).transpose()?.flatten();
    Ok(there.as_ref() == Some(change))
}

/// Appends a change to the feed, in the transaction that makes it, and drops those that are too many.
pub(super) async fn append(
    session: &mut Session,
    subject: &Subject,
    at: Timestamp,
    changes_kept: u32,
) -> Result<(), sqlx::Error> {
    let feed = sql("UPDATE feed SET position = position + 1, \
         pruned = CASE WHEN pruned > position + 1 - $1 THEN pruned ELSE position + 1 - $1 END RETURNING position, pruned")
    .bind(changes_kept.max(1))
    .fetch_one(session)
    .await?;
    let (digest, organization) = match subject {
        Subject::Token(digest) => (Some(digest), None),
        Subject::Organization(id) => (None, Some(*id)),
    };
    sql("INSERT INTO changes (seq, at, digest, organization_id) VALUES ($1, $2, $3, $4)")
        .bind(feed.read::<i64>("position")?)
        .bind(at)
        .bind(digest)
        .bind(organization)
        .execute(session)
        .await?;
    sql("DELETE FROM changes WHERE seq <= $1").bind(feed.read::<i64>("pruned")?).execute(session).await?;
    if let Session::Postgres(_) = session {
        // Sent when the transaction commits; several of one transaction are one.
        sql(postgres::ANNOUNCE).execute(session).await?;
    }
    Ok(())
}

/// The change of a row; `None` in the one row of a feed without changes.
pub(super) fn change(row: &Row) -> Result<Option<Change>, sqlx::Error> {
    let Some(seq) = row.read("seq")? else { return Ok(None) };
    let is_of_token = row.read::<Option<Vec<u8>>>("changed_digest")?.is_some();
    let subject = if is_of_token {
        Subject::Token(row::digest(row, "changed_digest")?)
    } else {
        Subject::Organization(row::uuid(row, "changed_organization")?)
    };
    Ok(Some(Change {
        position: FeedPosition(seq),
        at: Timestamp::from_millis(row.read("changed_at")?),
        subject,
    }))
}

/// Bounds the memory and the time of one poll.
const CHANGES_PER_POLL: u32 = 1_000;
