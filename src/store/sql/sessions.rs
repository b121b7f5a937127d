//! Signed-in browsers. That one begins is in the audit, because a person signed in; how they end is not.

use std::net::IpAddr;

use serde_json::json;

use super::change::Story;
use super::row::{self, user_columns};
use super::statement::sql;
use super::users;
use crate::clock::Timestamp;
use crate::store::{Actor, SESSIONS_MAX, SignIn, SignedIn, Store, StoreError};
use crate::token::TokenDigest;

impl Store {
    /// Signs a browser in. Of one user's the [`SESSIONS_MAX`] latest stay signed in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the user, [`ErrorKind::Conflict`](crate::store::ErrorKind::Conflict) if they are disabled.
    #[expect(clippy::too_many_arguments, reason = "they are one session")]
    pub async fn begin_session(
        &self,
        digest: &TokenDigest,
        user: &str,
        how: SignIn,
        address: IpAddr,
        expires_at: Timestamp,
        by: &Actor,
        now: Timestamp,
    ) -> Result<SignedIn, StoreError> {
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let user = users::demand_enabled(change.session(), user).await?;
            sql("DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions WHERE expires_at <= $1 LIMIT $2)")
                .bind(now)
                .bind(PURGED_AT_ONCE)
                .execute(change.session())
                .await?;
            sql(
                "DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions WHERE user_name = $1 \
                 ORDER BY created_at DESC, digest LIMIT 9223372036854775807 OFFSET $2)",
            )
            .bind(&user.name)
            .bind(SESSIONS_MAX - 1)
            .execute(change.session())
            .await?;
            sql("INSERT INTO sessions (digest, user_name, created_at, expires_at, address) VALUES ($1, $2, $3, $4, $5)")
                .bind(digest)
                .bind(&user.name)
                .bind(now)
                .bind(expires_at)
                .bind(address.to_string())
                .execute(change.session())
                .await?;
            let story = Story {
                action: "user.sign_in",
                user: Some(&user.name),
                after: Some(json!({ "by": how.as_str(), "address": address.to_string() })),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(SignedIn { user, expires_at })
        })
        .await
    }

    /// Who is signed in by this cookie: nobody once it expired, or its user was disabled.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn session(
        &self,
        digest: &TokenDigest,
        now: Timestamp,
    ) -> Result<Option<SignedIn>, StoreError> {
        self.call(async {
            let row = sql(concat!(
                "SELECT s.expires_at, ",
                user_columns!(),
                " FROM sessions s JOIN users u ON u.name = s.user_name",
                " WHERE s.digest = $1 AND s.expires_at > $2 AND u.disabled_at IS NULL"
            ));
            let row = row.bind(digest).bind(now).fetch_optional(&mut self.reader().await?).await?;
            let Some(row) = row else { return Ok(None) };
            let expires_at = Timestamp::from_millis(row.read("expires_at")?);
            Ok(Some(SignedIn { user: row::user(&row)?, expires_at }))
        })
        .await
    }

    /// Signs a browser out. One that is not signed in stays so.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn end_session(&self, digest: &TokenDigest) -> Result<(), StoreError> {
        self.call(async {
            let mut session = self.writer().await?;
            sql("DELETE FROM sessions WHERE digest = $1").bind(digest).execute(&mut session).await?;
            Ok(session.commit().await?)
        })
        .await
    }
}

/// How many that have expired are removed by whoever begins one.
const PURGED_AT_ONCE: u32 = 100;
