//! Organizations.

use uuid::Uuid;

use super::change::{self, Change, Story};
use super::session::Session;
use super::statement::sql;
use super::{Failure, row};
use crate::account::{Organization, Subscription, check_name};
use crate::clock::Timestamp;
use crate::store::{Actor, Cancelled, Conflict, Sought, Store, StoreError, Subject, Version};

impl Store {
    /// Creates an organization.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::store::ErrorKind::Invalid) for a name that cannot be or a title that holds a token's value, [`ErrorKind::Conflict`](crate::store::ErrorKind::Conflict) for a name that is taken.
    pub async fn create_organization(
        &self,
        name: &str,
        title: &str,
        subscription: Subscription,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Organization, StoreError> {
        check_name(name, "an organization's name")?;
        super::refuse_value(title, "an organization's title")?;
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let present = find(change.session(), name).await?;
            change.overwrites(present.as_ref().map(|present| Version::of_organization(present, now)))?;
            if present.is_some() {
                return Err(Conflict::Organization(name.to_owned()).into());
            }
            let organization = create(&mut change, name, title, subscription).await?;
            change.commit().await?;
            Ok(organization)
        })
        .await
    }

    /// At most `limit` organizations by name, beginning behind the name `after`.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn organizations(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Organization>, StoreError> {
        self.call(async {
            let rows = sql(concat!(
                "SELECT ",
                organization_columns!(),
                " FROM organizations WHERE name > $1 ORDER BY name LIMIT $2"
            ))
            .bind(after.unwrap_or_default())
            .bind(limit)
            .fetch_all(&mut self.reader().await?)
            .await?;
            Ok(rows.iter().map(row::organization).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The organization of this name.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn organization(&self, name: &str) -> Result<Option<Organization>, StoreError> {
        self.call(async { Ok(find(&mut self.reader().await?, name).await?) }).await
    }

    /// Renews an organization's subscription until `until`; one that was cancelled begins anew. No token's expiry moves, and none that ended comes back:
    /// [`sync_tokens`](Self::sync_tokens) moves the expiry of the living, and the dead are issued again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization, [`ErrorKind::Invalid`](crate::store::ErrorKind::Invalid) for an end that has passed.
    pub async fn renew_organization(
        &self,
        name: &str,
        until: Timestamp,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Organization, StoreError> {
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let before = demand(change.session(), name).await?;
            change.overwrites(Some(Version::of_organization(&before, now)))?;
            let subscription = Subscription::renewed(until, now)?;
            if before.subscription == subscription {
                return Ok(before);
            }
            let after = resubscribe(&mut change, &before, subscription).await?;
            let story = Story {
                action: "org.renew",
                organization: Some(name),
                before: Some(change::organization(&before)),
                after: Some(change::organization(&after)),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(after)
        })
        .await
    }

    /// Cancels an organization's subscription: every living token of it ends now. Cancelling again changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization.
    pub async fn cancel_organization(
        &self,
        name: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Cancelled, StoreError> {
        let cancelled = self.call(async {
            let mut change = self.begin(by, now).await?;
            let before = demand(change.session(), name).await?;
            change.overwrites(Some(Version::of_organization(&before, now)))?;
            if before.subscription.cancelled_at.is_some() {
                return Ok((before, None));
            }
            let organization = resubscribe(&mut change, &before, before.subscription.cancelled(now)).await?;
            // This row ends all tokens that were issued under the subscription, however many they are.
            let number = sql(
                "INSERT INTO cancellations (organization_id, subscription_number, cancelled_at) \
                 SELECT id, subscription_number, cancelled_at FROM organizations WHERE id = $1 RETURNING subscription_number",
            )
            .bind(organization.id)
            .fetch_one(change.session())
            .await?
            .read("subscription_number")?;
            change.tell(Subject::Organization(organization.id)).await?;
            let story = Story {
                action: "org.cancel",
                organization: Some(name),
                before: Some(change::organization(&before)),
                after: Some(change::organization(&organization)),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok((organization, Some(number)))
        });
        let (organization, number) = cancelled.await?;
        let tokens_ended = match number {
            Some(number) => self.tokens_ended(organization.id, number, now).await?,
            None => 0,
        };
        Ok(Cancelled { organization, tokens_ended })
    }

    /// How many tokens lived when their subscription was cancelled. Nothing can change that any more, so nobody needs to wait for the
    /// counting.
    async fn tokens_ended(
        &self,
        organization: Uuid,
        subscription_number: i64,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        self.call_on_all(async {
            let count = sql(
                "SELECT count(*) AS count FROM tokens WHERE organization_id = $1 AND subscription_number = $2 AND ends_at > $3",
            )
            .bind(organization)
            .bind(subscription_number)
            .bind(at);
            let count = count.fetch_one(&mut self.patient_reader().await?).await?;
            Ok(count.read::<i64>("count")?.unsigned_abs())
        })
        .await
    }
}

/// The columns that are read of an organization.
macro_rules! organization_columns {
    () => {
        "id, name, title, subscription_ends_at, cancelled_at, created_at"
    };
}
use organization_columns;

/// The organization of this name.
pub(super) async fn find(session: &mut Session, name: &str) -> Result<Option<Organization>, sqlx::Error> {
    let row =
        sql(concat!("SELECT ", organization_columns!(), " FROM organizations WHERE name = $1")).bind(name);
    row.fetch_optional(session).await?.as_ref().map(row::organization).transpose()
}

/// The organization of this name, which must be there.
pub(super) async fn demand(session: &mut Session, name: &str) -> Result<Organization, Failure> {
    find(session, name).await?.ok_or_else(|| Sought::Organization(name.to_owned()).into())
}

/// Creates an organization whose name is free.
pub(super) async fn create(
    change: &mut Change,
    name: &str,
    title: &str,
    subscription: Subscription,
) -> Result<Organization, sqlx::Error> {
    let organization = Organization {
        id: Uuid::new_v4(),
        name: name.to_owned(),
        title: title.to_owned(),
        subscription,
        created_at: change.now,
    };
    sql(
        "INSERT INTO organizations (id, name, title, subscription_ends_at, cancelled_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(organization.id)
    .bind(&organization.name)
    .bind(&organization.title)
    .bind(subscription.ends_at)
    .bind(subscription.cancelled_at)
    .bind(organization.created_at)
    .execute(change.session())
    .await?;
    let story = Story {
        action: "org.create",
        organization: Some(name),
        after: Some(change::organization(&organization)),
        ..Story::default()
    };
    change.record(story).await?;
    change.makes(organization.id);
    Ok(organization)
}

async fn resubscribe(
    change: &mut Change,
    organization: &Organization,
    subscription: Subscription,
) -> Result<Organization, sqlx::Error> {
    // One that was cancelled is over; what follows it is another one.
    let begins_anew = organization.subscription.cancelled_at.is_some() && subscription.cancelled_at.is_none();
    sql(
        "UPDATE organizations SET subscription_ends_at = $1, cancelled_at = $2, subscription_number = subscription_number + $3 \
         WHERE id = $4",
    )
    .bind(subscription.ends_at)
    .bind(subscription.cancelled_at)
    .bind(begins_anew)
    .bind(organization.id)
    .execute(change.session())
    .await?;
    Ok(Organization { subscription, ..organization.clone() })
}
