//! First-seen artifacts in SQLite.
//!
//! A page of digests goes in as one blob, from which the statement takes them apart: three statements a page, and not three for each digest.
//! Digests are written in order, so that two writers never wait for each other's rows crosswise.

use std::collections::{BTreeMap, HashMap};

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Embedded, Failure};
use crate::clock::Timestamp;
use crate::store::{Conflict, SeenDigest, SeenDirectory, Sighting, StoreError};

/// The digests of a page as rows `(i, digest)`: `$1` is their bytes, `$2` their number.
macro_rules! asked {
    () => {
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2), \
         asked (i, digest) AS (SELECT i, substr($1, i * 32 + 1, 32) FROM n) "
    };
}

impl Embedded {
    pub(in crate::store) async fn seen_directory(
        &self,
        channel: &str,
        path: &str,
    ) -> Result<Option<SeenDirectory>, StoreError> {
        self.call(async { find(&mut *self.reader().await?, channel, path).await }).await
    }

    pub(in crate::store) async fn begin_baseline(
        &self,
        channel: &str,
        path: &str,
        now: Timestamp,
    ) -> Result<SeenDirectory, StoreError> {
        self.call(async {
            let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
            // Whoever was first has begun it.
            sqlx::query(
                "INSERT INTO seen_directories (number, channel, path, subdir, begun_at, counted_at) \
                 SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4, $4 FROM seen_directories HAVING count(*) < $5 \
                 ON CONFLICT DO NOTHING",
            )
            .bind(channel)
            .bind(path)
            .bind(subdir_of(path))
            .bind(now.as_millis())
            .bind(DIRECTORIES_MAX)
            .execute(&mut *transaction)
            .await?;
            let directory = find(&mut transaction, channel, path).await?;
            let directory = directory.ok_or(Conflict::SeenDirectories { max: DIRECTORIES_MAX })?;
            transaction.commit().await?;
            Ok(directory)
        })
        .await
    }

    pub(in crate::store) async fn complete_baseline(
        &self,
        directory: &SeenDirectory,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.call(async {
            let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query(
                "UPDATE seen_directories SET completed_at = $2 WHERE number = $1 AND completed_at IS NULL",
            )
            .bind(directory.number)
            .bind(now.as_millis())
            .execute(&mut *transaction)
            .await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    pub(in crate::store) async fn sightings(
        &self,
        directory: &SeenDirectory,
        digests: &[SeenDigest],
    ) -> Result<Vec<Option<Sighting>>, StoreError> {
        self.call(async { own(&mut *self.reader().await?, directory, digests).await }).await
    }

    pub(in crate::store) async fn record_seen(
        &self,
        directory: &SeenDirectory,
        digests: &[SeenDigest],
        now: Timestamp,
    ) -> Result<Vec<Sighting>, StoreError> {
        self.call(async {
            // Not a change: no verdict on a token depends on it, and the audit is about what people do.
            let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
            let known = own(&mut transaction, directory, digests).await?;
            let elsewhere = siblings(&mut transaction, directory, digests).await?;
            let new = Sighting { at: now, baseline: false };
            let new = if is_open(&mut transaction, directory).await? {
                Sighting { at: directory.begun_at, baseline: true }
            } else {
                new
            };
            let mut by_sighting: BTreeMap<Sighting, Vec<SeenDigest>> = BTreeMap::new();
            for ((digest, known), place) in digests.iter().zip(&known).zip(0_i64..) {
                if known.is_none() {
                    let sighting =
                        elsewhere.get(&place).map_or(new, |seen| seen.elsewhere(directory.begun_at));
                    by_sighting.entry(sighting).or_default().push(*digest);
                }
            }
            for (sighting, digests) in by_sighting {
                insert(&mut transaction, directory, digests, sighting, now).await?;
            }
            // As it stands: another gate may have been faster.
            let sightings = own(&mut transaction, directory, digests).await?;
            let sightings: Option<Vec<_>> = sightings.into_iter().collect();
            let sightings = sightings.ok_or(sqlx::Error::RowNotFound)?;
            transaction.commit().await?;
            Ok(sightings)
        })
        .await
    }

    pub(in crate::store) async fn begin_count(
        &self,
        directory: &SeenDirectory,
        not_since: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.call(async {
            let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
            let begun = sqlx::query(
                "UPDATE seen_directories SET counted_at = $3 WHERE number = $1 AND counted_at <= $2 AND completed_at IS NOT NULL",
            )
            .bind(directory.number)
            .bind(not_since.as_millis())
            .bind(now.as_millis())
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(begun.rows_affected() > 0)
        })
        .await
    }

    pub(in crate::store) async fn mark_listed(
        &self,
        directory: &SeenDirectory,
        digests: &[SeenDigest],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.call(async {
            let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
            if !digests.is_empty() {
                sqlx::query(concat!(
                    asked!(),
                    "UPDATE seen SET listed_at = $4 WHERE directory = $3 AND listed_at < $4 \
                     AND digest IN (SELECT digest FROM asked)"
                ))
                .bind(joined(digests))
                .bind(count(digests))
                .bind(directory.number)
                .bind(now.as_millis())
                .execute(&mut *transaction)
                .await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    pub(in crate::store) async fn drop_unlisted(
        &self,
        directory: &SeenDirectory,
        after: Option<&SeenDigest>,
        before: Timestamp,
    ) -> Result<(u64, Option<SeenDigest>), StoreError> {
        self.call(async {
            let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
            let last = sqlx::query(
                "SELECT max(digest) AS digest FROM \
                 (SELECT digest FROM seen WHERE directory = $1 AND digest > $2 ORDER BY digest LIMIT $3) AS page",
            );
            let behind = after.map_or(&[][..], |digest| &digest.as_bytes()[..]);
            let last = last.bind(directory.number).bind(behind).bind(PAGE);
            let last = last.fetch_one(&mut *transaction).await?;
            let Some(last) = last.try_get::<Option<Vec<u8>>, _>("digest")? else { return Ok((0, None)) };
            let dropped = sqlx::query(
                "DELETE FROM seen WHERE directory = $1 AND digest > $2 AND digest <= $3 AND listed_at < $4",
            )
            .bind(directory.number)
            .bind(behind)
            .bind(&last[..])
            .bind(before.as_millis())
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            let last = <[u8; 32]>::try_from(last).map_err(|_| sqlx::Error::RowNotFound)?;
            Ok((dropped.rows_affected(), Some(SeenDigest::from_bytes(last))))
        })
        .await
    }
}

async fn find(
    connection: &mut SqliteConnection,
    channel: &str,
    path: &str,
) -> Result<Option<SeenDirectory>, Failure> {
    let row = sqlx::query(
        "SELECT number, begun_at, completed_at, counted_at FROM seen_directories WHERE channel = $1 AND path = $2",
    );
    let row = row.bind(channel).bind(path).fetch_optional(connection).await?;
    let time = |row: &SqliteRow, column| row.try_get::<i64, _>(column).map(Timestamp::from_millis);
    let directory = |row: SqliteRow| {
        Ok::<_, sqlx::Error>(SeenDirectory {
            number: row.try_get("number")?,
            begun_at: time(&row, "begun_at")?,
            completed_at: row.try_get::<Option<i64>, _>("completed_at")?.map(Timestamp::from_millis),
            counted_at: time(&row, "counted_at")?,
        })
    };
    Ok(row.map(directory).transpose()?)
}

/// True while the directory's baseline is not complete.
async fn is_open(connection: &mut SqliteConnection, directory: &SeenDirectory) -> Result<bool, Failure> {
    let open = sqlx::query("SELECT 1 FROM seen_directories WHERE number = $1 AND completed_at IS NULL");
    Ok(open.bind(directory.number).fetch_optional(connection).await?.is_some())
}

/// What the directory itself knows of each digest.
async fn own(
    connection: &mut SqliteConnection,
    directory: &SeenDirectory,
    digests: &[SeenDigest],
) -> Result<Vec<Option<Sighting>>, Failure> {
    let mut known = vec![None; digests.len()];
    if digests.is_empty() {
        return Ok(known);
    }
    let rows = sqlx::query(concat!(
        asked!(),
        "SELECT asked.i, seen.at, seen.baseline FROM asked \
         JOIN seen ON seen.directory = $3 AND seen.digest = asked.digest"
    ));
    let rows = rows.bind(joined(digests)).bind(count(digests)).bind(directory.number);
    for row in rows.fetch_all(connection).await? {
        let (place, sighting) = sighting(&row)?;
        if let Some(known) = usize::try_from(place).ok().and_then(|place| known.get_mut(place)) {
            *known = Some(sighting);
        }
    }
    Ok(known)
}

/// The earliest that the same subdirectory under other labels knows of each digest, by its place in the page.
async fn siblings(
    connection: &mut SqliteConnection,
    directory: &SeenDirectory,
    digests: &[SeenDigest],
) -> Result<HashMap<i64, Sighting>, Failure> {
    let mut earliest = HashMap::new();
    if digests.is_empty() {
        return Ok(earliest);
    }
    let rows = sqlx::query(concat!(
        asked!(),
        "SELECT asked.i, seen.at, seen.baseline FROM seen_directories AS this \
         JOIN seen_directories AS other \
         ON other.channel = this.channel AND other.subdir = this.subdir AND other.number <> this.number \
         CROSS JOIN asked \
         JOIN seen ON seen.directory = other.number AND seen.digest = asked.digest \
         WHERE this.number = $3"
    ));
    let rows = rows.bind(joined(digests)).bind(count(digests)).bind(directory.number);
    for row in rows.fetch_all(connection).await? {
        let (place, sighting) = sighting(&row)?;
        let known = earliest.entry(place).or_insert(sighting);
        *known = sighting.min(*known);
    }
    Ok(earliest)
}

async fn insert(
    connection: &mut SqliteConnection,
    directory: &SeenDirectory,
    mut digests: Vec<SeenDigest>,
    sighting: Sighting,
    now: Timestamp,
) -> Result<(), Failure> {
    digests.sort_unstable();
    sqlx::query(concat!(
        asked!(),
        "INSERT INTO seen (directory, digest, at, baseline, listed_at) \
         SELECT $3, digest, $4, $5, $6 FROM asked WHERE true ORDER BY i ON CONFLICT DO NOTHING"
    ))
    .bind(joined(&digests))
    .bind(count(&digests))
    .bind(directory.number)
    .bind(sighting.at.as_millis())
    .bind(i64::from(sighting.baseline))
    .bind(now.as_millis())
    .execute(connection)
    .await?;
    Ok(())
}

fn sighting(row: &SqliteRow) -> Result<(i64, Sighting), sqlx::Error> {
    let at = Timestamp::from_millis(row.try_get("at")?);
    Ok((row.try_get("i")?, Sighting { at, baseline: row.try_get::<i64, _>("baseline")? != 0 }))
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
