//! Rows to records. A row that makes no sense is the database's damage, never a default.

use std::error::Error;
use std::sync::Arc;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::account::{Organization, Subscription};
use crate::clock::Timestamp;
use crate::token::{End, TokenDigest, TokenId, TokenRecord};

/// The columns that [`token`] reads, of `tokens` as `t` and `organizations` as `o`.
macro_rules! token_columns {
    () => {
        "t.id, t.kind, t.organization_id, o.name AS organization, t.name, t.user_name, t.scopes, t.channels, \
         t.created_at, t.expires_at, t.ended_at, t.end_cause, t.end_reason"
    };
}
pub(super) use token_columns;

/// Reads a token.
pub(super) fn token(row: &SqliteRow) -> Result<TokenRecord, sqlx::Error> {
    let channels: Option<String> = row.try_get("channels")?;
    let end = match (time(row, "ended_at")?, row.try_get::<Option<String>, _>("end_cause")?) {
        (Some(at), Some(cause)) => {
            Some(End { cause: cause.parse().map_err(decode)?, at, reason: row.try_get("end_reason")? })
        }
        _ => None,
    };
    Ok(TokenRecord {
        id: TokenId(uuid(row, "id")?),
        kind: row.try_get::<String, _>("kind")?.parse().map_err(decode)?,
        organization_id: uuid(row, "organization_id")?,
        organization: Arc::from(row.try_get::<String, _>("organization")?),
        name: row.try_get("name")?,
        user: row.try_get("user_name")?,
        scopes: row.try_get::<String, _>("scopes")?.parse().map_err(decode)?,
        channels: channels.map(|json| serde_json::from_str(&json)).transpose().map_err(decode)?,
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        expires_at: time(row, "expires_at")?,
        end,
    })
}

/// Reads an organization.
pub(super) fn organization(row: &SqliteRow) -> Result<Organization, sqlx::Error> {
    Ok(Organization {
        id: uuid(row, "id")?,
        name: row.try_get("name")?,
        title: row.try_get("title")?,
        subscription: Subscription { ends_at: time(row, "subscription_ends_at")? },
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
    })
}

/// Reads a digest.
pub(super) fn digest(row: &SqliteRow) -> Result<TokenDigest, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get("digest")?;
    TokenDigest::from_bytes(&bytes).ok_or_else(|| decode("a digest has 32 bytes"))
}

fn uuid(row: &SqliteRow, column: &str) -> Result<Uuid, sqlx::Error> {
    Uuid::from_slice(&row.try_get::<Vec<u8>, _>(column)?).map_err(decode)
}

fn time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_millis))
}

fn decode(error: impl Into<Box<dyn Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
