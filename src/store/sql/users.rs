//! Users, what they sign in with, and what ends when they are disabled.

use serde_json::{Value, json};

use super::change::{self, Change, Story};
use super::row::{self, decode, token_columns, user_columns};
use super::session::Session;
use super::statement::{Row, sql};
use super::{Failure, tokens};
use crate::account::{NewUser, Organization, PasswordHash, Seat, User, check_email, check_user};
use crate::clock::Timestamp;
use crate::store::{Actor, Conflict, DisabledUser, Identity, Sought, Store, StoreError};
use crate::token::{End, EndCause, TokenRecord};

impl Store {
    /// Makes a user known.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`](crate::store::ErrorKind::Conflict) if one of that name is, [`ErrorKind::Invalid`](crate::store::ErrorKind::Invalid) for a
    /// name or an address that nobody can have, or one that holds a token's value.
    pub async fn create_user(&self, user: &NewUser, by: &Actor, now: Timestamp) -> Result<User, StoreError> {
        check_user(&user.name)?;
        super::refuse_value(&user.name, "a user's name")?;
        if let Some(email) = &user.email {
            check_email(email)?;
            super::refuse_value(email, "a user's e-mail address")?;
        }
        self.call(async {
            let mut change = self.begin(by, now).await?;
            if find(change.session(), &user.name).await?.is_some() {
                return Err(Conflict::User(user.name.clone()).into());
            }
            let created = create(&mut change, user).await?;
            change.commit().await?;
            Ok(created)
        })
        .await
    }

    /// Gives a user a password in place of the one they had, and signs out all their browsers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the user.
    pub async fn set_password(
        &self,
        name: &str,
        hash: &PasswordHash,
        by: &Actor,
        now: Timestamp,
    ) -> Result<User, StoreError> {
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let before = demand(change.session(), name).await?;
            sql("UPDATE users SET password_hash = $2 WHERE name = $1")
                .bind(name)
                .bind(hash.as_str())
                .execute(change.session())
                .await?;
            let sessions = end_sessions(change.session(), name).await?;
            let after = User { has_password: true, ..before.clone() };
            tell(&mut change, "user.set_password", &before, &after, &[("sessions_ended", json!(sessions))])
                .await?;
            change.commit().await?;
            Ok(after)
        })
        .await
    }

    /// Keeps a user from signing in: all their browsers are signed out, their API keys end ([`EndCause::UserDisabled`]), and whatever they
    /// let in and has not come yet is denied. Their seats stay, and so do tokens that were issued for those. Disabling again changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the user.
    pub async fn disable_user(
        &self,
        name: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<DisabledUser, StoreError> {
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let before = demand(change.session(), name).await?;
            if before.is_disabled() {
                return Ok(DisabledUser { user: before, keys_ended: Vec::new(), sessions_ended: 0 });
            }
            sql("UPDATE users SET disabled_at = $2 WHERE name = $1")
                .bind(name)
                .bind(now)
                .execute(change.session())
                .await?;
            let keys_ended = end_keys(&mut change, name).await?;
            let sessions_ended = end_sessions(change.session(), name).await?;
            sql("UPDATE device_authorizations SET state = 'denied' WHERE user_name = $1 AND state = 'approved'")
                .bind(name)
                .execute(change.session())
                .await?;
            let user = User { disabled_at: Some(now), ..before.clone() };
            let keys: Vec<_> = keys_ended.iter().map(|record| record.id.to_string()).collect();
            let ended = [("tokens", json!(keys)), ("sessions_ended", json!(sessions_ended))];
            tell(&mut change, "user.disable", &before, &user, &ended).await?;
            change.commit().await?;
            Ok(DisabledUser { user, keys_ended, sessions_ended })
        })
        .await
    }

    /// Lets a disabled user sign in again. No key and no session that ended comes back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the user.
    pub async fn enable_user(&self, name: &str, by: &Actor, now: Timestamp) -> Result<User, StoreError> {
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let before = demand(change.session(), name).await?;
            if !before.is_disabled() {
                return Ok(before);
            }
            sql("UPDATE users SET disabled_at = NULL WHERE name = $1")
                .bind(name)
                .execute(change.session())
                .await?;
            let after = User { disabled_at: None, ..before.clone() };
            tell(&mut change, "user.enable", &before, &after, &[]).await?;
            change.commit().await?;
            Ok(after)
        })
        .await
    }

    /// The user of this name.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        self.call(async { Ok(find(&mut self.reader().await?, name).await?) }).await
    }

    /// At most `limit` users by name, beginning behind the name `after`.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn users(&self, after: Option<&str>, limit: u32) -> Result<Vec<User>, StoreError> {
        self.call(async {
            let rows = sql(concat!(
                "SELECT ",
                user_columns!(),
                " FROM users u WHERE u.name > $1 ORDER BY u.name LIMIT $2"
            ));
            let rows = rows.bind(after.unwrap_or_default()).bind(limit);
            let rows = rows.fetch_all(&mut self.reader().await?).await?;
            Ok(rows.iter().map(row::user).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The user of this name, and what is kept of their password.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn password_of(&self, name: &str) -> Result<Option<(User, Option<PasswordHash>)>, StoreError> {
        self.call(async {
            let row =
                sql(concat!("SELECT u.password_hash, ", user_columns!(), " FROM users u WHERE u.name = $1"));
            let row = row.bind(name).fetch_optional(&mut self.reader().await?).await?;
            Ok(row.as_ref().map(user_and_hash).transpose()?)
        })
        .await
    }

    /// The seats of a user with their organizations, the oldest first.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn seats_of(&self, user: &str) -> Result<Vec<(Organization, Seat)>, StoreError> {
        self.call(async {
            let rows = sql(
                "SELECT o.id, o.name, o.title, o.subscription_ends_at, o.cancelled_at, o.created_at, \
                 s.user_name, s.role, s.assigned_at FROM seats s JOIN organizations o ON o.id = s.organization_id \
                 WHERE s.user_name = $1 ORDER BY s.assigned_at, o.name LIMIT $2",
            );
            let rows = rows.bind(user).bind(SEATS_SHOWN).fetch_all(&mut self.reader().await?).await?;
            let seat = |row| Ok((row::organization(row)?, row::seat(row)?));
            Ok(rows.iter().map(seat).collect::<Result<_, sqlx::Error>>()?)
        })
        .await
    }

    /// The user whom an OpenID provider calls this.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn user_of_identity(&self, issuer: &str, subject: &str) -> Result<Option<User>, StoreError> {
        self.call(async { Ok(of_identity(&mut self.reader().await?, issuer, subject).await?) }).await
    }

    /// Who a user is at OpenID providers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the user.
    pub async fn identities(&self, user: &str) -> Result<Vec<Identity>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            demand(&mut reader, user).await?;
            let rows = sql(
                "SELECT issuer, subject, bound_at FROM identities WHERE user_name = $1 ORDER BY issuer LIMIT $2",
            );
            let rows = rows.bind(user).bind(IDENTITIES_SHOWN).fetch_all(&mut reader).await?;
            Ok(rows.iter().map(identity).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Says that who an OpenID provider calls `subject` is this user, who is made known, without a password, if they only have a seat.
    /// Saying it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`](crate::store::ErrorKind::Conflict) if the provider's subject is another user, the user another subject, or disabled;
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) if nobody of that name has a seat.
    pub async fn bind_identity(
        &self,
        issuer: &str,
        subject: &str,
        user: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<User, StoreError> {
        check_user(user)?;
        self.call(async {
            let mut change = self.begin(by, now).await?;
            if let Some(present) = of_identity(change.session(), issuer, subject).await? {
                if present.name != user {
                    return Err(Conflict::Identity(user.to_owned()).into());
                }
                return Ok(present);
            }
            let has_seat = sql("SELECT 1 FROM seats WHERE user_name = $1 LIMIT 1").bind(user);
            if has_seat.fetch_optional(change.session()).await?.is_none() {
                return Err(Sought::AnySeat(user.to_owned()).into());
            }
            let known = match find(change.session(), user).await? {
                Some(known) => known,
                None => {
                    let new = NewUser { name: user.to_owned(), email: None, password_hash: None };
                    create(&mut change, &new).await?
                }
            };
            if known.is_disabled() {
                return Err(Conflict::UserDisabled(known.name).into());
            }
            let other =
                sql("SELECT 1 FROM identities WHERE issuer = $1 AND user_name = $2").bind(issuer).bind(user);
            if other.fetch_optional(change.session()).await?.is_some() {
                return Err(Conflict::Identity(user.to_owned()).into());
            }
            sql("INSERT INTO identities (issuer, subject, user_name, bound_at) VALUES ($1, $2, $3, $4)")
                .bind(issuer)
                .bind(subject)
                .bind(user)
                .bind(now)
                .execute(change.session())
                .await?;
            let story = Story {
                action: "user.bind",
                user: Some(user),
                after: Some(json!({ "issuer": issuer, "subject": subject })),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(known)
        })
        .await
    }

    /// Forgets who a user is at OpenID providers, so that the next one who signs in with the user's name there becomes it. Returns those
    /// that were forgotten.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the user.
    pub async fn unbind_identities(
        &self,
        user: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Vec<Identity>, StoreError> {
        self.call(async {
            let mut change = self.begin(by, now).await?;
            demand(change.session(), user).await?;
            let rows = sql("DELETE FROM identities WHERE user_name = $1 RETURNING issuer, subject, bound_at")
                .bind(user);
            let rows = rows.fetch_all(change.session()).await?;
            let mut gone = rows.iter().map(identity).collect::<Result<Vec<_>, _>>()?;
            if gone.is_empty() {
                return Ok(gone);
            }
            gone.sort_by(|one, other| one.issuer.cmp(&other.issuer));
            let told: Vec<_> =
                gone.iter().map(|gone| json!({ "issuer": gone.issuer, "subject": gone.subject })).collect();
            let story = Story {
                action: "user.unbind",
                user: Some(user),
                before: Some(json!({ "identities": told })),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(gone)
        })
        .await
    }
}

/// The user of this name.
pub(super) async fn find(session: &mut Session, name: &str) -> Result<Option<User>, sqlx::Error> {
    let row = sql(concat!("SELECT ", user_columns!(), " FROM users u WHERE u.name = $1")).bind(name);
    row.fetch_optional(session).await?.as_ref().map(row::user).transpose()
}

/// The user of this name, who must be known.
async fn demand(session: &mut Session, name: &str) -> Result<User, Failure> {
    find(session, name).await?.ok_or_else(|| Sought::User(name.to_owned()).into())
}

/// The user of this name, who must be known and not disabled.
pub(super) async fn demand_enabled(session: &mut Session, name: &str) -> Result<User, Failure> {
    let user = demand(session, name).await?;
    if user.is_disabled() { Err(Conflict::UserDisabled(user.name).into()) } else { Ok(user) }
}

async fn of_identity(
    session: &mut Session,
    issuer: &str,
    subject: &str,
) -> Result<Option<User>, sqlx::Error> {
    let row = sql(concat!(
        "SELECT ",
        user_columns!(),
        " FROM identities i JOIN users u ON u.name = i.user_name WHERE i.issuer = $1 AND i.subject = $2"
    ));
    row.bind(issuer).bind(subject).fetch_optional(session).await?.as_ref().map(row::user).transpose()
}

async fn create(change: &mut Change, new: &NewUser) -> Result<User, sqlx::Error> {
    let user = User {
        name: new.name.clone(),
        email: new.email.clone(),
        has_password: new.password_hash.is_some(),
        created_at: change.now,
        disabled_at: None,
    };
    sql("INSERT INTO users (name, password_hash, email, created_at) VALUES ($1, $2, $3, $4)")
        .bind(&user.name)
        .bind(new.password_hash.as_ref().map(PasswordHash::as_str))
        .bind(&user.email)
        .bind(user.created_at)
        .execute(change.session())
        .await?;
    let story = Story {
        action: "user.create",
        user: Some(&user.name),
        after: Some(change::user(&user)),
        ..Story::default()
    };
    change.record(story).await?;
    Ok(user)
}

/// Writes the record of a change to a user, with what else came of it.
async fn tell(
    change: &mut Change,
    action: &'static str,
    before: &User,
    after: &User,
    further: &[(&str, Value)],
) -> Result<(), sqlx::Error> {
    let mut told = change::user(after);
    if let Some(told) = told.as_object_mut() {
        told.extend(further.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }
    let story = Story {
        action,
        user: Some(&after.name),
        before: Some(change::user(before)),
        after: Some(told),
        ..Story::default()
    };
    change.record(story).await
}

/// Ends the living API keys of a user.
async fn end_keys(change: &mut Change, user: &str) -> Result<Vec<TokenRecord>, sqlx::Error> {
    let rows = sql(concat!(
        "SELECT t.digest, ",
        token_columns!(),
        " FROM tokens t JOIN organizations o ON o.id = t.organization_id",
        " WHERE t.user_name = $1 AND t.api_key = 1 AND ",
        row::token_lives!("$2"),
        " ORDER BY t.created_at, t.id"
    ));
    let rows = rows.bind(user).bind(change.now).fetch_all(change.session()).await?;
    let end = End { cause: EndCause::UserDisabled, at: change.now, reason: None };
    let mut ended = Vec::with_capacity(rows.len());
    for row in &rows {
        let (record, digest) = row::token_and_digest(row)?;
        ended.push(tokens::set_end(change, record, &digest, &end).await?);
    }
    Ok(ended)
}

/// Signs out all browsers of a user, and says how many.
async fn end_sessions(session: &mut Session, user: &str) -> Result<u64, sqlx::Error> {
    sql("DELETE FROM sessions WHERE user_name = $1").bind(user).execute(session).await
}

fn user_and_hash(row: &Row) -> Result<(User, Option<PasswordHash>), sqlx::Error> {
    let hash: Option<String> = row.read("password_hash")?;
    let parse =
        |text: String| PasswordHash::parse(&text).ok_or_else(|| decode("it is no hash of a password"));
    Ok((row::user(row)?, hash.map(parse).transpose()?))
}

fn identity(row: &Row) -> Result<Identity, sqlx::Error> {
    Ok(Identity {
        issuer: row.read("issuer")?,
        subject: row.read("subject")?,
        bound_at: Timestamp::from_millis(row.read("bound_at")?),
    })
}

/// The most seats of a user that are looked at.
const SEATS_SHOWN: u32 = 1_000;

/// The most identities of a user that are shown.
const IDENTITIES_SHOWN: u32 = 100;
