//! Keys of requests in SQLite: which were carried out, and what they made.

use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use super::{Failure, row};
use crate::clock::Timestamp;
use crate::store::{RequestKey, StoreError};

/// Fails if a request with this key was carried out and is remembered.
pub(super) async fn refuse_repetition(
    connection: &mut SqliteConnection,
    key: &RequestKey,
    now: Timestamp,
) -> Result<(), Failure> {
    let found = sqlx::query("SELECT request, made FROM request_keys WHERE digest = ? AND made_at > ?")
        .bind(&key.digest[..])
        .bind(now.minus(RequestKey::KEPT_FOR).as_millis())
        .fetch_optional(connection)
        .await?;
    let Some(found) = found else { return Ok(()) };
    let request: Vec<u8> = found.try_get("request")?;
    Err(if request == key.request {
        StoreError::Repeated { made: row::uuid(&found, "made")? }.into()
    } else {
        StoreError::KeyReused.into()
    })
}

/// Remembers a request that is being carried out, and forgets those that are old or too many.
pub(super) async fn keep(
    connection: &mut SqliteConnection,
    key: &RequestKey,
    made: Uuid,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let organization = &key.organization.as_bytes()[..];
    sqlx::query(
        "INSERT INTO request_keys (digest, organization_id, request, made, made_at) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (digest) DO UPDATE SET request = excluded.request, made = excluded.made, made_at = excluded.made_at",
    )
    .bind(&key.digest[..])
    .bind(organization)
    .bind(&key.request[..])
    .bind(&made.as_bytes()[..])
    .bind(now.as_millis())
    .execute(&mut *connection)
    .await?;
    // Whoever stops sending keys keeps their last ones, a bounded number.
    sqlx::query("DELETE FROM request_keys WHERE organization_id = ? AND made_at <= ?")
        .bind(organization)
        .bind(now.minus(RequestKey::KEPT_FOR).as_millis())
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "DELETE FROM request_keys WHERE digest IN (SELECT digest FROM request_keys WHERE organization_id = ? \
         ORDER BY made_at DESC LIMIT -1 OFFSET ?)",
    )
    .bind(organization)
    .bind(RequestKey::KEPT_MAX)
    .execute(connection)
    .await?;
    Ok(())
}
