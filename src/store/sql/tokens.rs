//! Tokens.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::change::{self, Change, Story};
use super::row::{token_columns, token_lives};
use super::session::Session;
use super::statement::{Row, sql};
use super::{Failure, groups, organizations, row, seats, users};
use crate::account::Organization;
use crate::clock::Timestamp;
use crate::conda::redact::MASK;
use crate::store::{
    Actor, ActsAs, Conflict, Ended, Issued, Listed, NewToken, Purpose, Sought, Store, StoreError, Subject,
    Version,
};
use crate::token::{
    End, EndCause, TokenDigest, TokenId, TokenName, TokenRecord, TokenState, Warrant, check_token_name,
    mask_values,
};

impl Store {
    /// Keeps a new token under its digest.
    ///
    /// A site or individual token takes the place of the previous one of its organization or user, which ends
    /// ([`Replaced`](crate::token::EndCause::Replaced)) at `now` plus `grace`; one before it, still in its own grace, ends by its own date.
    /// Its expiry is what the subscription gives at this moment.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization, or the seat or group that it needs; [`ErrorKind::Conflict`](crate::store::ErrorKind::Conflict) for a scoped token whose
    /// name a living token has, unless it [takes its place](NewToken::replaces_namesake), any token whose value is known, any token of an
    /// organization whose subscription is cancelled or over for too long, and any that acts as a user who is disabled; [`ErrorKind::Invalid`](crate::store::ErrorKind::Invalid) for a name that cannot be or holds a token's value.
    pub async fn insert_token(
        &self,
        token: &NewToken,
        digest: &TokenDigest,
        by: &Actor,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Issued, StoreError> {
        if let Some(name) = token.purpose.name() {
            check_token_name(name)?;
            super::refuse_value(name, "a token's name")?;
        }
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let issued = insert(&mut change, token, digest, grace).await?;
            change.commit().await?;
            Ok(issued)
        })
        .await
    }

    /// Ends a token. A dead token stays as it died, and an end never moves to a later time. Values of tokens in the reason are masked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without such a token.
    pub async fn end_token(
        &self,
        id: TokenId,
        end: &End,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Ended, StoreError> {
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let row = sql(concat!(
                "SELECT t.digest, ",
                token_columns!(),
                " FROM tokens t JOIN organizations o ON o.id = t.organization_id WHERE t.id = $1"
            ))
            .bind(id.0)
            .fetch_optional(change.session())
            .await?
            .ok_or(Sought::Token(id))?;
            let (before, digest) = row::token_and_digest(&row)?;
            change.overwrites(Some(Version::of_token(&before, now)))?;
            let was_dead = before.state(now) != TokenState::Live;
            if was_dead || before.end.as_ref().is_some_and(|present| end.at >= present.at) {
                return Ok(Ended { record: before, was_dead });
            }
            let end = End {
                reason: end.reason.as_deref().map(|reason| without_values(reason, &digest)),
                ..end.clone()
            };
            let record = set_end(&mut change, before.clone(), &digest, &end).await?;
            let story = Story {
                action: "token.revoke",
                organization: Some(&record.organization),
                target: Some(id.to_string()),
                user: record.user.as_deref(),
                before: Some(change::token(&before)),
                after: Some(change::token(&record)),
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(Ended { record, was_dead })
        })
        .await
    }

    /// The token of this id.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        self.call(async { Ok(find(&mut self.reader().await?, id).await?) }).await
    }

    /// The digest of the token of this id.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn token_digest(&self, id: TokenId) -> Result<Option<TokenDigest>, StoreError> {
        self.call(async {
            let row = sql("SELECT digest FROM tokens WHERE id = $1").bind(id.0);
            let row = row.fetch_optional(&mut self.reader().await?).await?;
            Ok(row.as_ref().map(|row| row::digest(row, "digest")).transpose()?)
        })
        .await
    }

    /// The organization's latest token of this name. If one lives, it is this one: a name is given again only when its bearer is dead.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn token_by_name(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<Option<TokenRecord>, StoreError> {
        self.call(async {
            let latest = latest_named(&mut self.reader().await?, organization, name).await?;
            Ok(latest.map(|(record, _)| record))
        })
        .await
    }

    /// The token whose place a new one would take: the living site token, or the living individual one of `user`. Not one in its grace.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization.
    pub async fn living_token(
        &self,
        organization: &str,
        user: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<TokenRecord>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let id = organizations::demand(&mut reader, organization).await?.id;
            let current = current(&mut reader, id, user).await?.map(|(record, _)| record);
            Ok(current.filter(|record| record.state(now) == TokenState::Live))
        })
        .await
    }

    /// At most `limit` tokens of an organization, oldest first, beginning behind the token `after`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization or the token to begin behind.
    pub async fn tokens(
        &self,
        organization: &str,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<Listed>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let organization = organizations::demand(&mut reader, organization).await?;
            let (created_at, id) = behind(&mut reader, after).await?;
            let rows = sql(concat!(
                "SELECT u.used_at, u.carrier, u.address, u.refused_at, u.refused_code, u.refusals, ",
                token_columns!(),
                " FROM tokens t JOIN organizations o ON o.id = t.organization_id LEFT JOIN token_uses u ON u.token_id = t.id",
                " WHERE t.organization_id = $1 AND (t.created_at, t.id) > ($2, $3)",
                " ORDER BY t.created_at, t.id LIMIT $4"
            ))
            .bind(organization.id)
            .bind(created_at)
            .bind(id)
            .bind(limit)
            .fetch_all(&mut reader)
            .await?;
            Ok(rows.iter().map(listed).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// At most `limit` living tokens that belong to a user or act as one, of one organization or of all in which they have a seat, oldest
    /// first, beginning behind the token `after`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization or the token to begin behind.
    pub async fn tokens_of_user(
        &self,
        user: &str,
        organization: Option<&str>,
        after: Option<TokenId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let organization = match organization {
                None => None,
                Some(name) => Some(organizations::demand(&mut reader, name).await?.id),
            };
            let (created_at, id) = behind(&mut reader, after).await?;
            let rows = sql(concat!(
                "SELECT u.used_at, u.carrier, u.address, u.refused_at, u.refused_code, u.refusals, ",
                token_columns!(),
                " FROM seats s JOIN organizations o ON o.id = s.organization_id",
                " JOIN tokens t ON t.organization_id = s.organization_id AND t.user_name = s.user_name",
                " LEFT JOIN token_uses u ON u.token_id = t.id",
                " WHERE s.user_name = $1 AND s.organization_id = coalesce($2, s.organization_id)",
                " AND (t.created_at, t.id) > ($3, $4) AND ",
                token_lives!("$5"),
                " ORDER BY t.created_at, t.id LIMIT $6"
            ))
            .bind(user)
            .bind(organization)
            .bind(created_at)
            .bind(id)
            .bind(now)
            .bind(limit)
            .fetch_all(&mut reader)
            .await?;
            Ok(rows.iter().map(listed).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// At most `limit` living tokens of an organization that end at `until` or before, the soonest first, beginning behind the token of
    /// the id that ends at the moment in `after`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization.
    pub async fn expiring_tokens(
        &self,
        organization: &str,
        until: Timestamp,
        after: Option<(Timestamp, TokenId)>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let organization = organizations::demand(&mut reader, organization).await?;
            let (ends_at, id) = after.map_or((now, TokenId(Uuid::max())), |after| after);
            let rows = sql(concat!(
                "SELECT u.used_at, u.carrier, u.address, u.refused_at, u.refused_code, u.refusals, ",
                token_columns!(),
                " FROM organizations o JOIN tokens t ON t.organization_id = o.id LEFT JOIN token_uses u ON u.token_id = t.id",
                " WHERE o.id = $1 AND (t.ends_at, t.id) > ($2, $3) AND t.ends_at <= $4 AND ",
                token_lives!("$5"),
                " ORDER BY t.ends_at, t.id LIMIT $6"
            ))
            .bind(organization.id)
            .bind(ends_at)
            .bind(id.0)
            .bind(until)
            .bind(now)
            .bind(limit)
            .fetch_all(&mut reader)
            .await?;
            Ok(rows.iter().map(listed).collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// Adds a token, and ends the one whose place it takes.
pub(super) async fn insert(
    change: &mut Change,
    token: &NewToken,
    digest: &TokenDigest,
    grace: Duration,
) -> Result<Issued, Failure> {
    let now = change.now;
    let organization = organizations::demand(change.session(), &token.organization).await?;
    let present = match &token.purpose {
        Purpose::Scoped { .. } => None,
        Purpose::Site | Purpose::Individual { .. } => {
            let current = current(change.session(), organization.id, token.purpose.user()).await?;
            current.map(|(record, _)| record).filter(|record| record.state(now) == TokenState::Live)
        }
    };
    change.overwrites(present.map(|record| Version::of_token(&record, now)))?;
    let known = sql("SELECT 1 FROM tokens WHERE digest = $1").bind(digest);
    if known.fetch_optional(change.session()).await?.is_some() {
        return Err(Conflict::TokenValue.into());
    }
    if let Some(user) = token.purpose.user() {
        seats::demand(change.session(), organization.id, &organization.name, user).await?;
        // One who only has a seat is no user yet.
        if users::find(change.session(), user).await?.is_some_and(|user| user.is_disabled()) {
            return Err(Conflict::UserDisabled(user.to_owned()).into());
        }
    }
    let subscribed = expiry(&organization, now)?;
    let mut group = None;
    let (expires_at, replaced) = match &token.purpose {
        Purpose::Site | Purpose::Individual { .. } => {
            (subscribed, replace(change, organization.id, token.purpose.user(), grace).await?)
        }
        Purpose::Scoped { name, acts_as } => {
            let replaced = replace_namesake(change, &organization.name, name, token).await?;
            if let Some(ActsAs::Group(name)) = acts_as {
                group =
                    Some(groups::demand(change.session(), organization.id, &organization.name, name).await?);
            }
            (token.expires_at, replaced)
        }
    };
    let warrant = Warrant {
        kind: token.purpose.kind(),
        organization_id: organization.id,
        organization: organization.name.into(),
        user: token.purpose.user().map(Box::from),
        group: group.as_ref().map(|group| group.name.as_str().into()),
        generation: generation(change.session(), organization.id, &token.purpose).await?,
        scopes: token.scopes,
        channels: token.channels.as_deref().map(Box::from),
        operator: token.purpose.is_operators(),
        api_key: token.api_key.is_some(),
        end: None,
    };
    let record = TokenRecord {
        id: token.api_key.unwrap_or_else(|| TokenId(Uuid::new_v4())),
        name: token.purpose.name().map(TokenName::from),
        created_at: now,
        expires_at,
        warrant: Arc::new(warrant),
    };
    insert_row(change.session(), &record, group.map(|group| group.id), digest).await?;
    change.tell(Subject::Token(*digest)).await?;
    let story = Story {
        action: match &token.purpose {
            Purpose::Site | Purpose::Individual { .. } => "token.issue",
            Purpose::Scoped { .. } if token.imported => "token.import",
            Purpose::Scoped { .. } => "token.create",
        },
        organization: Some(&record.organization),
        target: Some(record.id.to_string()),
        user: record.user.as_deref(),
        before: replaced.before.as_ref().map(|(id, before)| json!({ "replaced": id, "token": before })),
        after: Some(change::token(&record)),
    };
    change.record(story).await?;
    change.makes(record.id.0);
    Ok(Issued { record, replaced: replaced.living })
}

/// When a site or individual token of the organization expires that is issued or synced now.
pub(super) fn expiry(organization: &Organization, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    organization
        .subscription
        .token_expiry(now)
        .map_err(|source| StoreError::Subscription { organization: organization.name.clone(), source }.into())
}

/// The current site token of an organization, or the current individual token of a user: the one that nobody has ended, though it may
/// have expired.
pub(super) async fn current(
    session: &mut Session,
    organization: Uuid,
    user: Option<&str>,
) -> Result<Option<(TokenRecord, TokenDigest)>, sqlx::Error> {
    let query = match user {
        None => sql(concat!(
            "SELECT t.digest, ",
            token_columns!(),
            " FROM tokens t JOIN organizations o ON o.id = t.organization_id",
            " WHERE t.organization_id = $1 AND t.subscription_number = o.subscription_number",
            " AND t.kind = 'site' AND t.ended_at IS NULL"
        ))
        .bind(organization),
        Some(user) => sql(concat!(
            "SELECT t.digest, ",
            token_columns!(),
            " FROM tokens t JOIN organizations o ON o.id = t.organization_id",
            " WHERE t.organization_id = $1 AND t.subscription_number = o.subscription_number AND t.user_name = $2",
            " AND t.kind = 'individual' AND t.ended_at IS NULL"
        ))
        .bind(organization)
        .bind(user.to_owned()),
    };
    query.fetch_optional(session).await?.as_ref().map(row::token_and_digest).transpose()
}

/// Ends what a user's seat carries: the individual token, and the scoped ones that act as the user. Returns those that lived.
pub(super) async fn end_of_user(
    change: &mut Change,
    organization: Uuid,
    user: &str,
    end: &End,
) -> Result<Vec<TokenRecord>, sqlx::Error> {
    let rows = sql(concat!("SELECT ", token_columns!(), of_user!(), " ORDER BY t.created_at, t.id"));
    let rows = rows.bind(organization).bind(user).bind(change.now);
    let rows = rows.fetch_all(change.session()).await?;
    tell_of_user(change, organization, user).await?;
    // All at once: whoever lets machines act as them may have thousands.
    sql(concat!(
        "UPDATE tokens SET ended_at = $4, end_cause = $5, end_reason = $6 WHERE id IN (SELECT t.id",
        of_user!(),
        ")"
    ))
    .bind(organization)
    .bind(user)
    .bind(change.now)
    .bind(end.at)
    .bind(kept_cause(end.cause))
    .bind(&end.reason)
    .execute(change.session())
    .await?;
    let ended = |row| Ok(row::token(row)?.ended(end.clone()));
    rows.iter().map(ended).collect()
}

/// Makes verifiers forget the living tokens of a user.
pub(super) async fn tell_of_user(
    change: &mut Change,
    organization: Uuid,
    user: &str,
) -> Result<(), sqlx::Error> {
    let rows = sql(concat!("SELECT t.digest", of_user!(), " ORDER BY t.created_at, t.id LIMIT $4"))
        .bind(organization)
        .bind(user)
        .bind(change.now)
        .bind(TOLD_ONE_BY_ONE + 1);
    let rows = rows.fetch_all(change.session()).await?;
    if rows.len() > TOLD_ONE_BY_ONE as usize {
        return change.tell(Subject::Organization(organization)).await;
    }
    for row in &rows {
        change.tell(Subject::Token(row::digest(row, "digest")?)).await?;
    }
    Ok(())
}

/// The living tokens that belong to a user or act as one, of organization `$1` and user `$2` at `$3`.
macro_rules! of_user {
    () => {
        concat!(
            " FROM tokens t JOIN organizations o ON o.id = t.organization_id",
            " WHERE t.organization_id = $1 AND t.user_name = $2 AND ",
            token_lives!("$3")
        )
    };
}
use of_user;

/// What a new token takes the place of.
#[derive(Default)]
struct Replacement {
    /// What it was, for the audit.
    before: Option<(String, Value)>,
    /// What it is, if it lived.
    living: Option<TokenRecord>,
}

/// Ends the current site or individual token, if there is one.
async fn replace(
    change: &mut Change,
    organization: Uuid,
    user: Option<&str>,
    grace: Duration,
) -> Result<Replacement, sqlx::Error> {
    let Some((record, digest)) = current(change.session(), organization, user).await? else {
        return Ok(Replacement::default());
    };
    let was_alive = record.state(change.now) == TokenState::Live;
    let before = Some((record.id.to_string(), change::token(&record)));
    let end = End { cause: EndCause::Replaced, at: change.now.plus(grace), reason: None };
    let record = set_end(change, record, &digest, &end).await?;
    Ok(Replacement { before, living: was_alive.then_some(record) })
}

/// Ends the living token of the new one's name, if it may take its place; without one nothing is to do.
async fn replace_namesake(
    change: &mut Change,
    organization: &str,
    name: &str,
    token: &NewToken,
) -> Result<Replacement, Failure> {
    let namesake = latest_named(change.session(), organization, name).await?;
    let Some((record, digest)) = namesake.filter(|(record, _)| record.state(change.now) == TokenState::Live)
    else {
        return Ok(Replacement::default());
    };
    let is_of_same = record.user.is_some() && record.user.as_deref() == token.purpose.user();
    if !(token.replaces_namesake && is_of_same) {
        let (organization, name) = (organization.to_owned(), name.to_owned());
        return Err(Conflict::TokenName { organization, name }.into());
    }
    let before = Some((record.id.to_string(), change::token(&record)));
    let end = End { cause: EndCause::Replaced, at: change.now, reason: None };
    let living = set_end(change, record, &digest, &end).await?;
    Ok(Replacement { before, living: Some(living) })
}

/// How many times such a token will have been issued with the next one.
async fn generation(
    session: &mut Session,
    organization: Uuid,
    purpose: &Purpose,
) -> Result<u32, sqlx::Error> {
    let (query, key) = match purpose {
        Purpose::Site => (
            "SELECT coalesce(max(generation), 0) AS latest FROM tokens WHERE organization_id = $1 AND kind = 'site'",
            None,
        ),
        Purpose::Individual { user } => (
            "SELECT coalesce(max(generation), 0) AS latest FROM tokens WHERE organization_id = $1 AND user_name = $2 AND kind = 'individual'",
            Some(user),
        ),
        Purpose::Scoped { name, .. } => (
            "SELECT coalesce(max(generation), 0) AS latest FROM tokens WHERE organization_id = $1 AND name = $2",
            Some(name),
        ),
    };
    let mut query = sql(query).bind(organization);
    if let Some(key) = key {
        query = query.bind(key.clone());
    }
    Ok(query.fetch_one(session).await?.count("latest")?.saturating_add(1))
}

async fn insert_row(
    session: &mut Session,
    record: &TokenRecord,
    group: Option<Uuid>,
    digest: &TokenDigest,
) -> Result<(), sqlx::Error> {
    let channels = record.channels.as_ref().map(serde_json::to_string).transpose();
    sql(
        "INSERT INTO tokens (id, digest, kind, organization_id, name, user_name, acts_as_group_id, generation, scopes, \
         channels, operator, api_key, created_at, expires_at, subscription_number) \
         SELECT $1, $2, $3, id, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, subscription_number FROM organizations WHERE id = $4",
    )
    .bind(record.id.0)
    .bind(digest)
    .bind(record.kind.as_str())
    .bind(record.organization_id)
    .bind(record.name.as_deref())
    .bind(record.user.as_deref())
    .bind(group)
    .bind(record.generation)
    .bind(record.scopes.to_string())
    .bind(channels.map_err(|error| sqlx::Error::Encode(error.into()))?)
    .bind(record.operator)
    .bind(record.api_key)
    .bind(record.created_at)
    .bind(record.expires_at)
    .execute(session)
    .await?;
    Ok(())
}

/// Ends a token, makes verifiers forget it, and returns it as it is then.
pub(super) async fn set_end(
    change: &mut Change,
    record: TokenRecord,
    digest: &TokenDigest,
    end: &End,
) -> Result<TokenRecord, sqlx::Error> {
    sql("UPDATE tokens SET ended_at = $1, end_cause = $2, end_reason = $3, ended_with_user = $4 WHERE id = $5")
        .bind(end.at)
        .bind(kept_cause(end.cause))
        .bind(&end.reason)
        .bind(end.cause == EndCause::UserDisabled)
        .bind(record.id.0)
        .execute(change.session())
        .await?;
    change.tell(Subject::Token(*digest)).await?;
    Ok(record.ended(end.clone()))
}

/// The word that is kept of a cause: what ended with its user was revoked, to a gate that does not know better.
fn kept_cause(cause: EndCause) -> &'static str {
    match cause {
        EndCause::UserDisabled => EndCause::Revoked.as_str(),
        EndCause::Revoked | EndCause::Replaced | EndCause::SubscriptionEnded | EndCause::SeatRemoved => {
            cause.as_str()
        }
    }
}

/// Why a token is ended, with its value and all others masked. One that was imported is known by its digest only.
fn without_values(reason: &str, digest: &TokenDigest) -> String {
    let words = reason.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let value =
        words.filter(|word| !word.is_empty()).find(|word| TokenDigest::of(word.as_bytes()) == *digest);
    let masked = value.map_or(Cow::Borrowed(reason), |value| Cow::Owned(reason.replace(value, MASK)));
    mask_values(&masked).into_owned()
}

async fn find(session: &mut Session, id: TokenId) -> Result<Option<TokenRecord>, sqlx::Error> {
    let row = sql(concat!(
        "SELECT ",
        token_columns!(),
        " FROM tokens t JOIN organizations o ON o.id = t.organization_id WHERE t.id = $1"
    ))
    .bind(id.0)
    .fetch_optional(session)
    .await?;
    row.as_ref().map(row::token).transpose()
}

/// The latest token of a name: if one of that name lives, it is this one.
async fn latest_named(
    session: &mut Session,
    organization: &str,
    name: &str,
) -> Result<Option<(TokenRecord, TokenDigest)>, sqlx::Error> {
    let row = sql(concat!(
        "SELECT t.digest, ",
        token_columns!(),
        " FROM organizations o JOIN tokens t ON t.organization_id = o.id",
        " WHERE o.name = $1 AND t.name = $2 ORDER BY t.generation DESC LIMIT 1"
    ))
    .bind(organization)
    .bind(name)
    .fetch_optional(session)
    .await?;
    row.as_ref().map(row::token_and_digest).transpose()
}

/// Where a list by age begins that goes on behind a token.
async fn behind(session: &mut Session, after: Option<TokenId>) -> Result<(i64, Uuid), Failure> {
    match after {
        None => Ok((i64::MIN, Uuid::nil())),
        Some(id) => {
            let last = find(session, id).await?.ok_or(Sought::Token(id))?;
            Ok((last.created_at.as_millis(), id.0))
        }
    }
}

fn listed(row: &Row) -> Result<Listed, sqlx::Error> {
    Ok(Listed { record: row::token(row)?, last_use: row::last_use(row)? })
}

/// How many tokens of a user are told of by themselves; of more the whole organization is told.
const TOLD_ONE_BY_ONE: u32 = 100;
