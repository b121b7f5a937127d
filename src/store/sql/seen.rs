//! First-seen artifacts.
//!
//! A page of digests goes in as one blob, from which the statement takes them apart: three statements a page, and not three for each digest.
//! Digests are written in order, so that two writers never wait for each other's rows crosswise.

use std::collections::{BTreeMap, HashMap};

use super::Failure;
use super::session::Session;
use super::statement::{Row, either, sql};
use crate::clock::Timestamp;
use crate::store::{Conflict, SeenDigest, SeenDirectory, Sighting, Store, StoreError};

/// The digests of a page as rows `(i, digest)`: `$1` is their bytes, `$2` their number.
macro_rules! asked {
    () => {
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2), \
         asked (i, digest) AS (SELECT i, substr($1, i * 32 + 1, 32) FROM n) "
    };
}

impl Store {
    /// What is recorded of a channel's directory (`linux-64/`, `label/dev/noarch/`); `None` if nothing ever was.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn seen_directory(
        &self,
        channel: &str,
        path: &str,
    ) -> Result<Option<SeenDirectory>, StoreError> {
        self.call(async { find(&mut self.reader().await?, channel, path).await }).await
    }

    /// Begins a directory's baseline, unless that was done before: then it is as it was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`](crate::store::ErrorKind::Conflict) if the store keeps as many directories as it can.
    pub async fn begin_baseline(
        &self,
        channel: &str,
        path: &str,
        now: Timestamp,
    ) -> Result<SeenDirectory, StoreError> {
        self.call(async {
            // Two that give themselves a number do so one after the other.
            let mut session = self.locked().await?;
            // Whoever was first has begun it.
            sql(
                "INSERT INTO seen_directories (number, channel, path, subdir, begun_at, counted_at) \
                 SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4, $4 FROM seen_directories HAVING count(*) < $5 \
                 ON CONFLICT DO NOTHING",
            )
            .bind(channel)
            .bind(path)
            .bind(subdir_of(path))
            .bind(now)
            .bind(DIRECTORIES_MAX)
            .execute(&mut session)
            .await?;
            let directory = find(&mut session, channel, path).await?;
            let directory = directory.ok_or(Conflict::SeenDirectories { max: DIRECTORIES_MAX })?;
            session.commit().await?;
            Ok(directory)
        })
        .await
    }

    /// Ends a directory's baseline: what is recorded from now on is new. Doing so again changes nothing.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn complete_baseline(
        &self,
        directory: &SeenDirectory,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.call(async {
            let mut session = self.writer().await?;
            sql("UPDATE seen_directories SET completed_at = $2 WHERE number = $1 AND completed_at IS NULL")
                .bind(directory.number)
                .bind(now)
                .execute(&mut session)
                .await?;
            Ok(session.commit().await?)
        })
        .await
    }

    /// What is recorded of each of a page of artifacts, in their order; records nothing.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn sightings(
        &self,
        directory: &SeenDirectory,
        digests: &[SeenDigest],
    ) -> Result<Vec<Option<Sighting>>, StoreError> {
        self.call(async { own(&mut self.reader().await?, directory, digests).await }).await
    }

    /// Records those of a page of artifacts that were not seen before, as part of the baseline or as first seen `now`, and returns what is
    /// recorded of each, in their order. What the same subdirectory knows of one under another label counts here too, as
    /// [`Sighting::elsewhere`] says. However many gates record one, it is recorded once.
    ///
    /// Takes the write lock for as long as a page takes: pause between pages.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn record_seen(
        &self,
        directory: &SeenDirectory,
        digests: &[SeenDigest],
        now: Timestamp,
    ) -> Result<Vec<Sighting>, StoreError> {
        self.call(async {
            // Not a change: no verdict on a token depends on it, and the audit is about what people do.
            let mut session = self.writer().await?;
            let is_open = is_open(&mut session, directory).await?;
            let known = own(&mut session, directory, digests).await?;
            let elsewhere = siblings(&mut session, directory, digests).await?;
            let new = Sighting { at: now, baseline: false };
            let new = if is_open { Sighting { at: directory.begun_at, baseline: true } } else { new };
            let mut by_sighting: BTreeMap<Sighting, Vec<SeenDigest>> = BTreeMap::new();
            for ((digest, known), place) in digests.iter().zip(&known).zip(0_i64..) {
                if known.is_none() {
                    let sighting =
                        elsewhere.get(&place).map_or(new, |seen| seen.elsewhere(directory.begun_at));
                    by_sighting.entry(sighting).or_default().push(*digest);
                }
            }
            for (sighting, digests) in by_sighting {
                insert(&mut session, directory, digests, sighting, now).await?;
            }
            // As it stands: another gate may have been faster.
            let sightings = own(&mut session, directory, digests).await?;
            let sightings: Option<Vec<_>> = sightings.into_iter().collect();
            let sightings = sightings.ok_or(sqlx::Error::RowNotFound)?;
            session.commit().await?;
            Ok(sightings)
        })
        .await
    }

    /// Takes it upon the caller to mark all that a directory lists and to drop what it no longer lists; false if somebody did so after
    /// `not_since`, or if the baseline is not complete.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn begin_count(
        &self,
        directory: &SeenDirectory,
        not_since: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.call(async {
            let mut session = self.writer().await?;
            let begun = sql(
                "UPDATE seen_directories SET counted_at = $3 WHERE number = $1 AND counted_at <= $2 AND completed_at IS NOT NULL",
            )
            .bind(directory.number)
            .bind(not_since)
            .bind(now)
            .execute(&mut session)
            .await?;
            session.commit().await?;
            Ok(begun > 0)
        })
        .await
    }

    /// Marks a page of artifacts as listed `now`.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn mark_listed(
        &self,
        directory: &SeenDirectory,
        digests: &[SeenDigest],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.call(async {
            let mut session = self.writer().await?;
            if !digests.is_empty() {
                sql(concat!(
                    asked!(),
                    "UPDATE seen SET listed_at = $4 WHERE directory = $3 AND listed_at < $4 \
                     AND digest IN (SELECT digest FROM asked)"
                ))
                .bind(joined(digests))
                .bind(count(digests))
                .bind(directory.number)
                .bind(now)
                .execute(&mut session)
                .await?;
            }
            Ok(session.commit().await?)
        })
        .await
    }

    /// Drops those of a page of a directory's artifacts, beginning behind `after`, that were last marked before `before`. Returns how many
    /// it dropped, and behind which the next page begins; `None` if there was none left.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn drop_unlisted(
        &self,
        directory: &SeenDirectory,
        after: Option<&SeenDigest>,
        before: Timestamp,
    ) -> Result<(u64, Option<SeenDigest>), StoreError> {
        self.call(async {
            let mut session = self.writer().await?;
            let last = sql("SELECT digest FROM \
                 (SELECT digest FROM seen WHERE directory = $1 AND digest > $2 ORDER BY digest LIMIT $3) AS page \
                 ORDER BY digest DESC LIMIT 1");
            let behind = after.map_or(&[][..], |digest| &digest.as_bytes()[..]);
            let last = last.bind(directory.number).bind(behind).bind(PAGE);
            let Some(last) = last.fetch_optional(&mut session).await? else { return Ok((0, None)) };
            let last: Vec<u8> = last.read("digest")?;
            let dropped = sql(
                "DELETE FROM seen WHERE directory = $1 AND digest > $2 AND digest <= $3 AND listed_at < $4",
            )
            .bind(directory.number)
            .bind(behind)
            .bind(last.as_slice())
            .bind(before)
            .execute(&mut session)
            .await?;
            session.commit().await?;
            let last = <[u8; 32]>::try_from(last).map_err(|_| sqlx::Error::RowNotFound)?;
            Ok((dropped, Some(SeenDigest::from_bytes(last))))
        })
        .await
    }
}

async fn find(session: &mut Session, channel: &str, path: &str) -> Result<Option<SeenDirectory>, Failure> {
    let row = sql(
        "SELECT number, begun_at, completed_at, counted_at FROM seen_directories WHERE channel = $1 AND path = $2",
    );
    let row = row.bind(channel).bind(path).fetch_optional(session).await?;
    let time = |row: &Row, column| row.read::<i64>(column).map(Timestamp::from_millis);
    let directory = |row: Row| {
        Ok::<_, sqlx::Error>(SeenDirectory {
            number: row.read("number")?,
            begun_at: time(&row, "begun_at")?,
            completed_at: row.read::<Option<i64>>("completed_at")?.map(Timestamp::from_millis),
            counted_at: time(&row, "counted_at")?,
        })
    };
    Ok(row.map(directory).transpose()?)
}

/// True while the directory's baseline is not complete. Whoever writes to the directory after that waits for whoever asked.
async fn is_open(session: &mut Session, directory: &SeenDirectory) -> Result<bool, Failure> {
    let directory = either(
        "SELECT completed_at FROM seen_directories WHERE number = $1",
        "SELECT completed_at FROM seen_directories WHERE number = $1 FOR NO KEY UPDATE",
    )
    .bind(directory.number);
    match directory.fetch_optional(session).await? {
        Some(row) => Ok(row.read::<Option<i64>>("completed_at")?.is_none()),
        None => Ok(false),
    }
}

/// What the directory itself knows of each digest.
async fn own(
    session: &mut Session,
    directory: &SeenDirectory,
    digests: &[SeenDigest],
) -> Result<Vec<Option<Sighting>>, Failure> {
    let mut known = vec![None; digests.len()];
    if digests.is_empty() {
        return Ok(known);
    }
    let rows = sql(concat!(
        asked!(),
        "SELECT CAST(asked.i AS bigint) AS i, seen.at, seen.baseline FROM asked \
         JOIN seen ON seen.directory = $3 AND seen.digest = asked.digest"
    ));
    let rows = rows.bind(joined(digests)).bind(count(digests)).bind(directory.number);
    for row in rows.fetch_all(session).await? {
        let (place, sighting) = sighting(&row)?;
        if let Some(known) = usize::try_from(place).ok().and_then(|place| known.get_mut(place)) {
            *known = Some(sighting);
        }
    }
    Ok(known)
}

/// The earliest that the same subdirectory under other labels knows of each digest, by its place in the page.
async fn siblings(
    session: &mut Session,
    directory: &SeenDirectory,
    digests: &[SeenDigest],
) -> Result<HashMap<i64, Sighting>, Failure> {
    let mut earliest = HashMap::new();
    if digests.is_empty() {
        return Ok(earliest);
    }
    let rows = sql(concat!(
        asked!(),
        "SELECT CAST(asked.i AS bigint) AS i, seen.at, seen.baseline FROM seen_directories AS this \
         JOIN seen_directories AS other \
         ON other.channel = this.channel AND other.subdir = this.subdir AND other.number <> this.number \
         CROSS JOIN asked \
         JOIN seen ON seen.directory = other.number AND seen.digest = asked.digest \
         WHERE this.number = $3"
    ));
    let rows = rows.bind(joined(digests)).bind(count(digests)).bind(directory.number);
    for row in rows.fetch_all(session).await? {
        let (place, sighting) = sighting(&row)?;
        let known = earliest.entry(place).or_insert(sighting);
        *known = sighting.min(*known);
    }
    Ok(earliest)
}

async fn insert(
    session: &mut Session,
    directory: &SeenDirectory,
    mut digests: Vec<SeenDigest>,
    sighting: Sighting,
    now: Timestamp,
) -> Result<(), Failure> {
    digests.sort_unstable();
    sql(concat!(
        asked!(),
        "INSERT INTO seen (directory, digest, at, baseline, listed_at) \
         SELECT $3, digest, $4, $5, $6 FROM asked WHERE true ORDER BY i ON CONFLICT DO NOTHING"
    ))
    .bind(joined(&digests))
    .bind(count(&digests))
    .bind(directory.number)
    .bind(sighting.at)
    .bind(sighting.baseline)
    .bind(now)
    .execute(session)
    .await?;
    Ok(())
}

fn sighting(row: &Row) -> Result<(i64, Sighting), sqlx::Error> {
    let at = Timestamp::from_millis(row.read("at")?);
    Ok((row.read("i")?, Sighting { at, baseline: row.read::<i64>("baseline")? != 0 }))
}

fn joined(digests: &[SeenDigest]) -> Vec<u8> {
    digests.iter().flat_map(|digest| *digest.as_bytes()).collect()
}

fn count(digests: &[SeenDigest]) -> i64 {
    i64::try_from(digests.len()).unwrap_or(i64::MAX)
}

/// The last segment of a directory's path.
fn subdir_of(path: &str) -> &str {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path)
}

/// How many directories are recorded at most.
const DIRECTORIES_MAX: u32 = 100_000;

/// How many rows are looked at in one go.
const PAGE: i64 = SeenDigest::PAGE as i64;
