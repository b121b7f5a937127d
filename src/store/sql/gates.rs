//! The gates over one store.

use std::time::Duration;

use super::row::{self, decode};
use super::statement::{Row, sql};
use crate::clock::Timestamp;
use crate::store::{Beat, FeedPosition, Gate, GateState, GateStatus, Store, StoreError};

impl Store {
    /// Writes down what a gate says of itself. Gates that have said nothing for a day are forgotten, and those of its name after a minute.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn record_beat(&self, gate: &Gate, beat: &Beat) -> Result<(), StoreError> {
        self.call(async {
            // Not a change: no verdict depends on it, and the audit is about what people do.
            let mut session = self.writer().await?;
            // The condition tells SQLite's parser that `ON CONFLICT` is no join.
            sql(
                "INSERT INTO gates (id, name, version, started_at, state, feed_position, behind, proof_age, beat_at) \
                 SELECT $1, $2, $3, $4, $5, $6, CASE WHEN f.position > $6 THEN f.position - $6 ELSE 0 END, $7, $8 \
                 FROM feed f WHERE 1 = 1 \
                 ON CONFLICT (id) DO UPDATE SET state = excluded.state, feed_position = excluded.feed_position, \
                 behind = excluded.behind, proof_age = excluded.proof_age, beat_at = excluded.beat_at",
            )
            .bind(gate.id)
            .bind(&gate.name)
            .bind(&gate.version)
            .bind(gate.started_at)
            .bind(beat.state.as_str())
            .bind(beat.position.0)
            .bind(beat.proof_age.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)))
            .bind(beat.at)
            .execute(&mut session)
            .await?;
            sql("DELETE FROM gates WHERE beat_at < $1 OR (beat_at < $2 AND name = $3 AND id <> $4)")
                .bind(beat.at.minus(KEPT))
                .bind(beat.at.minus(SUCCEEDED_AFTER))
                .bind(&gate.name)
                .bind(gate.id)
                .execute(&mut session)
                .await?;
            Ok(session.commit().await?)
        })
        .await
    }

    /// At most `limit` gates by name, each as it last said of itself.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn gates(&self, limit: u32) -> Result<Vec<GateStatus>, StoreError> {
        self.call(async {
            let rows = sql(
                "SELECT id, name, version, started_at, state, feed_position, behind, proof_age, beat_at FROM gates \
                 ORDER BY name, started_at, id LIMIT $1",
            );
            let rows = rows.bind(limit).fetch_all(&mut self.reader().await?).await?;
            Ok(rows.iter().map(status).collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn status(row: &Row) -> Result<GateStatus, sqlx::Error> {
    let time = |column| Ok::<_, sqlx::Error>(Timestamp::from_millis(row.read(column)?));
    let state: String = row.read("state")?;
    let proof_age: Option<i64> = row.read("proof_age")?;
    Ok(GateStatus {
        gate: Gate {
            id: row::uuid(row, "id")?,
            name: row.read("name")?,
            version: row.read("version")?,
            started_at: time("started_at")?,
        },
        beat: Beat {
            at: time("beat_at")?,
            state: GateState::of_str(&state).ok_or_else(|| decode(format!("\"{state}\" is no state")))?,
            position: FeedPosition(row.read("feed_position")?),
            proof_age: proof_age.map(|age| Duration::from_millis(u64::try_from(age).unwrap_or(0))),
        },
        behind: u64::try_from(row.read::<i64>("behind")?).map_err(decode)?,
    })
}

/// How long a gate is remembered that says nothing any more.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How long where another one of its name lives.
const SUCCEEDED_AFTER: Duration = Duration::from_secs(60);
