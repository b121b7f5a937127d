//! Tokens in SQLite.

use std::time::Duration;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::row::token_columns;
use super::{Embedded, Failure, feed, organizations, row};
use crate::clock::Timestamp;
use crate::store::{Conflict, Ended, FeedPosition, Issued, NewToken, Purpose, Reading, Sought, StoreError};
use crate::token::{End, EndCause, TokenDigest, TokenId, TokenRecord, TokenState, check_token_name};

impl Embedded {
    pub(in crate::store) async fn insert_token(
        &self,
        token: &NewToken,
        digest: &TokenDigest,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Issued, StoreError> {
        if let Some(name) = token.purpose.name() {
            check_token_name(name)?;
        }
        self.call(async {
            let mut transaction = self.begin().await?;
            let issued =
                insert(&mut transaction, token, digest, now, grace, self.config.changes_kept).await?;
            transaction.commit().await?;
            Ok(issued)
        })
        .await
    }

    pub(in crate::store) async fn end_token(
        &self,
        id: TokenId,
        end: &End,
        now: Timestamp,
    ) -> Result<Ended, StoreError> {
        self.call(async {
            let mut transaction = self.begin().await?;
            let row = sqlx::query(concat!(
                "SELECT t.digest, ",
                token_columns!(),
                " FROM tokens t JOIN organizations o ON o.id = t.organization_id WHERE t.id = ?"
            ))
            .bind(&id.0.as_bytes()[..])
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or(Sought::Token(id))?;
            let mut record = row::token(&row)?;
            let was_dead = record.state(now) != TokenState::Live;
            if !was_dead && record.end.as_ref().is_none_or(|present| end.at < present.at) {
                set_end(&mut transaction, id, end).await?;
                feed::append(&mut transaction, &row::digest(&row)?, now, self.config.changes_kept).await?;
                transaction.commit().await?;
                record.end = Some(end.clone());
            }
            Ok(Ended { record, was_dead })
        })
        .await
    }

    pub(in crate::store) async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        self.call(async { Ok(find(&mut *self.reader().await?, id).await?) }).await
    }

    pub(in crate::store) async fn token_by_name(
        &self,
        organization: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<TokenRecord>, StoreError> {
        self.call(async {
            let row = sqlx::query(concat!(
                "SELECT ",
                token_columns!(),
                " FROM organizations o JOIN tokens t ON t.organization_id = o.id",
                " WHERE o.name = ?1 AND t.name = ?2",
                " ORDER BY (t.ended_at IS NULL OR t.ended_at > ?3) AND (t.expires_at IS NULL OR t.expires_at > ?3) DESC,",
                " t.created_at DESC, t.id DESC LIMIT 1"
            ))
            .bind(organization)
            .bind(name)
            .bind(now.as_millis())
            .fetch_optional(&mut *self.reader().await?)
            .await?;
            record(row)
        })
        .await
    }

    pub(in crate::store) async fn tokens(
        &self,
        organization: &str,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<TokenRecord>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let organization = organizations::demand(&mut reader, organization).await?;
            let (created_at, id) = match after {
                None => (i64::MIN, Uuid::nil()),
                Some(id) => {
                    let last = find(&mut reader, id).await?.ok_or(Sought::Token(id))?;
                    (last.created_at.as_millis(), id.0)
                }
            };
            let rows = sqlx::query(concat!(
                "SELECT ",
                token_columns!(),
                " FROM tokens t JOIN organizations o ON o.id = t.organization_id",
                " WHERE t.organization_id = ? AND (t.created_at, t.id) > (?, ?)",
                " ORDER BY t.created_at, t.id LIMIT ?"
            ))
            .bind(&organization.id.as_bytes()[..])
            .bind(created_at)
            .bind(&id.as_bytes()[..])
            .bind(limit)
            .fetch_all(&mut *reader)
            .await?;
            Ok(rows.iter().map(row::token).collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::store) async fn token_by_digest(
        &self,
        digest: &TokenDigest,
    ) -> Result<Reading, StoreError> {
        self.call(async {
            // One statement, so one moment.
            let row = sqlx::query(concat!(
                "SELECT f.position, t.id IS NOT NULL AS found, ",
                token_columns!(),
                " FROM feed f LEFT JOIN tokens t ON t.digest = ?",
                " LEFT JOIN organizations o ON o.id = t.organization_id"
            ))
            .bind(&digest.as_bytes()[..])
            .fetch_one(&mut *self.reader().await?)
            .await?;
            let found: bool = sqlx::Row::try_get(&row, "found")?;
            let position = FeedPosition(sqlx::Row::try_get(&row, "position")?);
            Ok(Reading { record: found.then(|| row::token(&row)).transpose()?, position })
        })
        .await
    }
}

/// Adds a token, and ends the one whose place it takes.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    token: &NewToken,
    digest: &TokenDigest,
    now: Timestamp,
    grace: Duration,
    changes_kept: u32,
) -> Result<Issued, Failure> {
    let organization = organizations::demand(connection, &token.organization).await?;
    let known = sqlx::query("SELECT 1 FROM tokens WHERE digest = ?").bind(&digest.as_bytes()[..]);
    if known.fetch_optional(&mut *connection).await?.is_some() {
        return Err(Conflict::TokenValue.into());
    }
    let replaced = match &token.purpose {
        Purpose::Site => replace_site(connection, organization.id, now, grace, changes_kept).await?,
        Purpose::Scoped { name } => {
            if living_name(connection, organization.id, name, now).await? {
                let organization = token.organization.clone();
                return Err(Conflict::TokenName { organization, name: name.clone() }.into());
            }
            None
        }
    };
    let record = TokenRecord {
        id: TokenId(Uuid::new_v4()),
        kind: token.purpose.kind(),
        organization_id: organization.id,
        organization: organization.name.into(),
        name: token.purpose.name().map(str::to_owned),
        user: None,
        scopes: token.scopes,
        channels: token.channels.clone(),
        created_at: now,
        expires_at: token.expires_at,
        end: None,
    };
    insert_row(connection, &record, digest).await?;
    feed::append(connection, digest, now, changes_kept).await?;
    Ok(Issued { record, replaced })
}

/// The current site token of an organization: the one that nobody has ended, though it may have expired.
pub(super) async fn current_site(
    connection: &mut SqliteConnection,
    organization: Uuid,
) -> Result<Option<(TokenRecord, TokenDigest)>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "SELECT t.digest, ",
        token_columns!(),
        " FROM tokens t JOIN organizations o ON o.id = t.organization_id",
        " WHERE t.organization_id = ? AND t.kind = 'site' AND t.ended_at IS NULL"
    ))
    .bind(&organization.as_bytes()[..])
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row::token(&row)?, row::digest(&row)?))).transpose()
}

/// Ends the current site token, if there is one; returns it if it was alive.
async fn replace_site(
    connection: &mut SqliteConnection,
    organization: Uuid,
    now: Timestamp,
    grace: Duration,
    changes_kept: u32,
) -> Result<Option<TokenRecord>, Failure> {
    let Some((mut record, digest)) = current_site(connection, organization).await? else { return Ok(None) };
    let was_alive = record.state(now) == TokenState::Live;
    let end = End { cause: EndCause::Replaced, at: now.plus(grace), reason: None };
    set_end(connection, record.id, &end).await?;
    feed::append(connection, &digest, now, changes_kept).await?;
    record.end = Some(end);
    Ok(was_alive.then_some(record))
}

/// True if a living token of the organization has this name.
async fn living_name(
    connection: &mut SqliteConnection,
    organization: Uuid,
    name: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT 1 FROM tokens WHERE organization_id = ?1 AND name = ?2 \
         AND (ended_at IS NULL OR ended_at > ?3) AND (expires_at IS NULL OR expires_at > ?3) LIMIT 1",
    )
    .bind(&organization.as_bytes()[..])
    .bind(name)
    .bind(now.as_millis())
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

async fn insert_row(
    connection: &mut SqliteConnection,
    record: &TokenRecord,
    digest: &TokenDigest,
) -> Result<(), sqlx::Error> {
    let channels = record.channels.as_ref().map(serde_json::to_string).transpose();
    sqlx::query(
        "INSERT INTO tokens (id, digest, kind, organization_id, name, user_name, scopes, channels, created_at, expires_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&record.id.0.as_bytes()[..])
    .bind(&digest.as_bytes()[..])
    .bind(record.kind.as_str())
    .bind(&record.organization_id.as_bytes()[..])
    .bind(&record.name)
    .bind(&record.user)
    .bind(record.scopes.to_string())
    .bind(channels.map_err(|error| sqlx::Error::Encode(error.into()))?)
    .bind(record.created_at.as_millis())
    .bind(record.expires_at.map(Timestamp::as_millis))
    .execute(connection)
    .await?;
    Ok(())
}

async fn set_end(connection: &mut SqliteConnection, id: TokenId, end: &End) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE tokens SET ended_at = ?, end_cause = ?, end_reason = ? WHERE id = ?")
        .bind(end.at.as_millis())
        .bind(end.cause.as_str())
        .bind(&end.reason)
        .bind(&id.0.as_bytes()[..])
        .execute(connection)
        .await?;
    Ok(())
}

async fn find(connection: &mut SqliteConnection, id: TokenId) -> Result<Option<TokenRecord>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "SELECT ",
        token_columns!(),
        " FROM tokens t JOIN organizations o ON o.id = t.organization_id WHERE t.id = ?"
    ))
    .bind(&id.0.as_bytes()[..])
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(row::token).transpose()
}

fn record(row: Option<SqliteRow>) -> Result<Option<TokenRecord>, Failure> {
    Ok(row.as_ref().map(row::token).transpose()?)
}
