//! Keys of requests in SQLite: which were carried out, and what they made.

use uuid::Uuid;

use super::session::Session;
use super::statement::sql;
use super::{Failure, row};
use crate::clock::Timestamp;
use crate::store::{RequestKey, StoreError};

/// Fails if a request with this key was carried out and is remembered.
pub(super) async fn refuse_repetition(
    session: &mut Session,
    key: &RequestKey,
    now: Timestamp,
) -> Result<(), Failure> {
    let found = sql("SELECT request, made FROM request_keys WHERE digest = $1 AND made_at > $2")
        .bind(key.digest)
        .bind(now.minus(RequestKey::KEPT_FOR))
        .fetch_optional(session)
        .await?;
    let Some(found) = found else { return Ok(()) };
    let request: Vec<u8> = found.read("request")?;
    Err(if request == key.request {
        StoreError::Repeated { made: row::uuid(&found, "made")? }.into()
    } else {
        StoreError::KeyReused.into()
    })
}

/// Remembers a request that is being carried out, and forgets those that are old or too many.
pub(super) async fn keep(
    session: &mut Session,
    key: &RequestKey,
    made: Uuid,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let organization = key.organization;
    sql(
        "INSERT INTO request_keys (digest, organization_id, request, made, made_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (digest) DO UPDATE SET request = excluded.request, made = excluded.made, made_at = excluded.made_at",
    )
    .bind(key.digest)
    .bind(organization)
    .bind(key.request)
    .bind(made)
    .bind(now)
    .execute(session)
    .await?;
    // Whoever stops sending keys keeps their last ones, a bounded number.
    sql("DELETE FROM request_keys WHERE organization_id = $1 AND made_at <= $2")
        .bind(organization)
        .bind(now.minus(RequestKey::KEPT_FOR))
        .execute(session)
        .await?;
    sql(
        "DELETE FROM request_keys WHERE digest IN (SELECT digest FROM request_keys WHERE organization_id = $1 \
         ORDER BY made_at DESC LIMIT 9223372036854775807 OFFSET $2)",
    )
    .bind(organization)
    .bind(RequestKey::KEPT_MAX)
    .execute(session)
    .await?;
    Ok(())
}
