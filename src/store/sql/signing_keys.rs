//! The keys that API keys are signed with, encrypted: what they are is the business of [`crate::keys`].
//!
//! No change: no verdict depends on them, for a token is known by its digest.

use super::statement::{Row, sql};
use crate::clock::Timestamp;
use crate::store::{SealedKey, Store, StoreError};

impl Store {
    /// The signing keys that still verify something, the newest first.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn signing_keys(&self, now: Timestamp) -> Result<Vec<SealedKey>, StoreError> {
        self.call(async {
            let rows = sql("SELECT kid, sealed, created_at, signs_until, verifies_until FROM signing_keys \
                 WHERE verifies_until > $1 ORDER BY signs_until DESC, kid LIMIT $2");
            let rows = rows.bind(now).bind(KEYS_MAX).fetch_all(&mut self.reader().await?).await?;
            Ok(rows.iter().map(key).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Adds a signing key in place of the newest one, which has to be of the name `replaces`; `None` if there is to be none that verifies
    /// anything. True if it was so: of several gates that try, one has its key added. Keys that verify nothing any more are removed.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn add_signing_key(
        &self,
        key: &SealedKey,
        replaces: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.call(async {
            let mut session = self.locked().await?;
            sql("DELETE FROM signing_keys WHERE verifies_until <= $1").bind(now).execute(&mut session).await?;
            let newest = sql("SELECT kid FROM signing_keys ORDER BY signs_until DESC, kid LIMIT 1");
            let newest = newest.fetch_optional(&mut session).await?;
            let newest: Option<String> = newest.map(|row| row.read("kid")).transpose()?;
            if newest.as_deref() != replaces {
                return Ok(false);
            }
            sql("INSERT INTO signing_keys (kid, sealed, created_at, signs_until, verifies_until) VALUES ($1, $2, $3, $4, $5)")
                .bind(&key.kid)
                .bind(&*key.sealed)
                .bind(key.created_at)
                .bind(key.signs_until)
                .bind(key.verifies_until)
                .execute(&mut session)
                .await?;
            session.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Keeps a signing key for as long as something that it signed may be shown; never shorter than before.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn touch_verifies_until(&self, kid: &str, until: Timestamp) -> Result<(), StoreError> {
        self.call(async {
            let mut session = self.writer().await?;
            sql("UPDATE signing_keys SET verifies_until = $2 WHERE kid = $1 AND verifies_until < $2")
                .bind(kid)
                .bind(until)
                .execute(&mut session)
                .await?;
            Ok(session.commit().await?)
        })
        .await
    }
}

fn key(row: &Row) -> Result<SealedKey, sqlx::Error> {
    let time = |column| Ok::<_, sqlx::Error>(Timestamp::from_millis(row.read(column)?));
    Ok(SealedKey {
        kid: row.read("kid")?,
        sealed: row.read("sealed")?,
        created_at: time("created_at")?,
        signs_until: time("signs_until")?,
        verifies_until: time("verifies_until")?,
    })
}

/// The most keys that are read; a new one comes at most once a day.
const KEYS_MAX: u32 = 1_000;
