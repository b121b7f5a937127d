//! Rows to records. A row that makes no sense is the database's damage, never a default.

use std::error::Error;
use std::sync::Arc;

use uuid::Uuid;

use super::statement::Row;
use crate::account::{Organization, Permission, Seat, Subscription, User};
use crate::auth::Carrier;
use crate::clock::Timestamp;
use crate::store::{LastUse, Refused, Used};
use crate::token::{End, EndCause, TokenDigest, TokenId, TokenName, TokenRecord, Warrant};

/// The columns that [`token`] reads, of `tokens` as `t` and `organizations` as `o`. A token ends with the subscription that it was issued
/// under, which its own row does not tell.
macro_rules! token_columns {
    () => {
        "t.id, t.kind, t.organization_id, o.name AS organization, t.name, t.user_name, t.scopes, t.channels, \
         t.generation, t.operator, t.api_key, t.ended_with_user, (SELECT g.name FROM groups g WHERE g.id = t.acts_as_group_id) AS group_name, \
         t.created_at, t.expires_at, t.ended_at, t.end_cause, t.end_reason, \
         (SELECT c.cancelled_at FROM cancellations c WHERE c.organization_id = t.organization_id \
         AND c.subscription_number = t.subscription_number) AS cancelled_at"
    };
}
pub(super) use token_columns;

/// The condition that a token of `tokens` as `t`, of an organization of `organizations` as `o`, lives at the moment given.
macro_rules! token_lives {
    ($now:literal) => {
        concat!(
            "t.ends_at > ",
            $now,
            " AND t.subscription_number = o.subscription_number AND o.cancelled_at IS NULL"
        )
    };
}
pub(super) use token_lives;

/// Reads a token.
pub(super) fn token(row: &Row) -> Result<TokenRecord, sqlx::Error> {
    let channels: Option<String> = row.read("channels")?;
    let end = match (time(row, "ended_at")?, row.read::<Option<String>>("end_cause")?) {
        (Some(at), Some(cause)) => {
            let cause = if row.is("ended_with_user")? {
                EndCause::UserDisabled
            } else {
                cause.parse().map_err(decode)?
            };
            Some(Box::new(End { cause, at, reason: row.read("end_reason")? }))
        }
        _ => None,
    };
    let warrant = Warrant {
        kind: row.read::<String>("kind")?.parse().map_err(decode)?,
        organization_id: uuid(row, "organization_id")?,
        organization: Arc::from(row.read::<&str>("organization")?),
        user: row.read::<Option<&str>>("user_name")?.map(Box::from),
        group: row.read::<Option<&str>>("group_name")?.map(Box::from),
        generation: row.count("generation")?,
        scopes: row.read::<String>("scopes")?.parse().map_err(decode)?,
        channels: channels.map(|json| serde_json::from_str(&json)).transpose().map_err(decode)?,
        operator: row.is("operator")?,
        api_key: row.is("api_key")?,
        end,
    };
    let record = TokenRecord {
        id: TokenId(uuid(row, "id")?),
        name: row.read::<Option<&str>>("name")?.map(TokenName::from),
        created_at: Timestamp::from_millis(row.read("created_at")?),
        expires_at: time(row, "expires_at")?,
        warrant: Arc::new(warrant),
    };
    Ok(match time(row, "cancelled_at")? {
        Some(at) => record.cancelled(at),
        None => record,
    })
}

/// Reads a token with its digest.
pub(super) fn token_and_digest(row: &Row) -> Result<(TokenRecord, TokenDigest), sqlx::Error> {
    Ok((token(row)?, digest(row, "digest")?))
}

/// Reads an organization.
pub(super) fn organization(row: &Row) -> Result<Organization, sqlx::Error> {
    Ok(Organization {
        id: uuid(row, "id")?,
        name: row.read("name")?,
        title: row.read("title")?,
        subscription: Subscription {
            ends_at: time(row, "subscription_ends_at")?,
            cancelled_at: time(row, "cancelled_at")?,
        },
        created_at: Timestamp::from_millis(row.read("created_at")?),
    })
}

/// Reads a digest.
pub(super) fn digest(row: &Row, column: &str) -> Result<TokenDigest, sqlx::Error> {
    let bytes: Vec<u8> = row.read(column)?;
    TokenDigest::from_bytes(&bytes).ok_or_else(|| decode("a digest has 32 bytes"))
}

/// Reads a seat.
pub(super) fn seat(row: &Row) -> Result<Seat, sqlx::Error> {
    Ok(Seat {
        user: row.read("user_name")?,
        role: row.read::<String>("role")?.parse().map_err(decode)?,
        assigned_at: Timestamp::from_millis(row.read("assigned_at")?),
    })
}

/// The columns that [`user`] reads, of `users` as `u`.
macro_rules! user_columns {
    () => {
        "u.name, u.email, CAST(CASE WHEN u.password_hash IS NULL THEN 0 ELSE 1 END AS bigint) AS has_password, u.created_at, u.disabled_at"
    };
}
pub(super) use user_columns;

/// Reads a user.
pub(super) fn user(row: &Row) -> Result<User, sqlx::Error> {
    Ok(User {
        name: row.read("name")?,
        email: row.read("email")?,
        has_password: row.is("has_password")?,
        created_at: Timestamp::from_millis(row.read("created_at")?),
        disabled_at: time(row, "disabled_at")?,
    })
}

/// Reads a permission.
pub(super) fn permission(row: &Row) -> Result<Permission, sqlx::Error> {
    row.read::<String>("permission")?.parse().map_err(decode)
}

/// What a column of texts says, where NULL is all of them, as no texts are here.
pub(super) fn texts(json: Option<String>) -> Result<Vec<String>, sqlx::Error> {
    json.map_or(Ok(Vec::new()), |json| serde_json::from_str(&json).map_err(decode))
}

/// What [`texts`] reads again.
pub(super) fn texts_or_all(texts: &[String]) -> Result<Option<String>, sqlx::Error> {
    let json = (!texts.is_empty()).then(|| serde_json::to_string(texts)).transpose();
    json.map_err(|error| sqlx::Error::Encode(error.into()))
}

/// Reads the columns of `token_uses`, all NULL where a token was never shown.
pub(super) fn last_use(row: &Row) -> Result<LastUse, sqlx::Error> {
    let used = match (time(row, "used_at")?, row.read::<Option<String>>("carrier")?) {
        (Some(at), Some(carrier)) => Some(Used {
            at,
            carrier: Carrier::named(&carrier)
                .ok_or_else(|| decode(format!("\"{carrier}\" is no carrier")))?,
            address: row.read::<String>("address")?.parse().map_err(decode)?,
        }),
        _ => None,
    };
    let refused = match (time(row, "refused_at")?, row.read("refused_code")?) {
        (Some(at), Some(code)) => {
            Some(Refused { at, code, count: u64::try_from(row.read::<i64>("refusals")?).map_err(decode)? })
        }
        _ => None,
    };
    Ok(LastUse { used, refused })
}

pub(super) fn uuid(row: &Row, column: &str) -> Result<Uuid, sqlx::Error> {
    Uuid::from_slice(&row.read::<Vec<u8>>(column)?).map_err(decode)
}

pub(super) fn time(row: &Row, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.read::<Option<i64>>(column)?.map(Timestamp::from_millis))
}

pub(super) fn decode(error: impl Into<Box<dyn Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
