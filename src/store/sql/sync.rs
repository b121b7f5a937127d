//! Bringing the expiry of living tokens to what the subscription gives now.
//!
//! An organization may have a million of them. One call looks at a page of them in one short transaction, and leaves the lock alone for a
//! while before it returns if there are more: other processes can only try for the lock now and then, and must find it free.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::change::{Change, Story};
use super::row::{token_columns, token_lives};
use super::statement::sql;
use super::{organizations, row, tokens};
use crate::clock::Timestamp;
use crate::store::{Actor, Store, StoreError, Subject, Synced, SyncedTokens, Which};
use crate::token::{TokenDigest, TokenRecord, TokenState};

impl Store {
    /// Sets the expiry of living site and individual tokens to what the subscription gives now. One that was issued again and is in its grace is
    /// left alone. Returns those whose expiry moved.
    ///
    /// One call looks at a bounded number of tokens, so that nobody waits long for it; [`SyncedTokens::next`] tells where to go on. Each call is
    /// one change.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization, [`ErrorKind::Conflict`](crate::store::ErrorKind::Conflict) if its subscription is cancelled or over for too long.
    pub async fn sync_tokens(
        &self,
        organization: &str,
        which: &Which,
        by: &Actor,
        now: Timestamp,
    ) -> Result<SyncedTokens, StoreError> {
        let synced = self.call(async {
            let mut change = self.begin(by, now).await?;
            let organization = organizations::demand(change.session(), organization).await?;
            let expires_at = tokens::expiry(&organization, now)?;
            let (found, next) = find(&mut change, organization.id, which).await?;
            let synced = set_expiry(&mut change, found, which, expires_at).await?;
            if synced.is_empty() {
                return Ok(SyncedTokens { synced, next });
            }
            if is_of_many(which) {
                change.tell(Subject::Organization(organization.id)).await?;
            }
            let before: serde_json::Map<_, _> =
                synced.iter().map(|synced| (synced.record.id.to_string(), json!(synced.before))).collect();
            let story = Story {
                action: "token.sync",
                organization: Some(&organization.name),
                user: match which {
                    Which::User(user) => Some(user),
                    Which::Site | Which::All | Which::Behind(_) => None,
                },
                before: Some(json!({ "expires_at": before })),
                after: Some(json!({ "expires_at": expires_at })),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(SyncedTokens { synced, next })
        });
        let synced = synced.await?;
        if synced.next.is_some() {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(synced)
    }
}

/// Tokens with their digests.
type Found = Vec<(TokenRecord, TokenDigest)>;

/// The first of the living tokens that are meant, and which the rest is. One that was issued again is not meant: its end is set already.
async fn find(
    change: &mut Change,
    organization: Uuid,
    which: &Which,
) -> Result<(Found, Option<Which>), sqlx::Error> {
    match which {
        Which::Site => Ok((current(change, organization, None).await?, None)),
        Which::User(user) => Ok((current(change, organization, Some(user)).await?, None)),
        Which::Behind(user) => individual(change, organization, user).await,
        Which::All => {
            let mut found = current(change, organization, None).await?;
            // No user's name is empty.
            let (individual, rest) = individual(change, organization, "").await?;
            found.extend(individual);
            Ok((found, rest))
        }
    }
}

/// The current site or individual token, if it lives.
async fn current(change: &mut Change, organization: Uuid, user: Option<&str>) -> Result<Found, sqlx::Error> {
    let now = change.now;
    let current = tokens::current(change.session(), organization, user).await?;
    Ok(current.into_iter().filter(|(record, _)| record.state(now) == TokenState::Live).collect())
}

/// A page of the living individual tokens whose users come behind `user`.
async fn individual(
    change: &mut Change,
    organization: Uuid,
    user: &str,
) -> Result<(Found, Option<Which>), sqlx::Error> {
    let rows = sql(concat!(
        "SELECT t.digest, ",
        token_columns!(),
        " FROM organizations o JOIN tokens t ON t.organization_id = o.id WHERE o.id = $1 AND t.user_name > $2",
        " AND t.kind = 'individual' AND t.ended_at IS NULL AND ",
        token_lives!("$3"),
        " ORDER BY t.user_name LIMIT $4"
    ))
    .bind(organization)
    .bind(user.to_owned())
    .bind(change.now)
    .bind(TOKENS_PER_CALL)
    .fetch_all(change.session())
    .await?;
    let found = rows.iter().map(row::token_and_digest).collect::<Result<Found, _>>()?;
    let is_full = rows.len() >= TOKENS_PER_CALL as usize;
    let last = found.last().filter(|_| is_full).and_then(|(last, _)| last.user.as_deref());
    let rest = last.map(|user| Which::Behind(user.to_owned()));
    Ok((found, rest))
}

/// Sets the expiry of those that have another one.
async fn set_expiry(
    change: &mut Change,
    found: Found,
    which: &Which,
    expires_at: Option<Timestamp>,
) -> Result<Vec<Synced>, sqlx::Error> {
    let mut synced = Vec::new();
    for (mut record, digest) in found {
        if record.expires_at == expires_at {
            continue;
        }
        sql("UPDATE tokens SET expires_at = $1 WHERE id = $2")
            .bind(expires_at)
            .bind(record.id.0)
            .execute(change.session())
            .await?;
        if !is_of_many(which) {
            change.tell(Subject::Token(digest)).await?;
        }
        let before = std::mem::replace(&mut record.expires_at, expires_at);
        synced.push(Synced { record, before });
    }
    Ok(synced)
}

/// True if the feed tells of it as of a change of the organization.
fn is_of_many(which: &Which) -> bool {
    matches!(which, Which::All | Which::Behind(_))
}

/// Bounds the time for which one call holds the lock, to some 50 ms.
const TOKENS_PER_CALL: u32 = 1_000;

/// For how long the lock is left alone before the next call. SQLite tries for a lock every 100 ms at the least: whoever waits for it in
/// another process gets it now.
const PAUSE: Duration = Duration::from_millis(110);
