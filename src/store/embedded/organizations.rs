//! Organizations in SQLite.

use sqlx::SqliteConnection;
use uuid::Uuid;

use super::change::{self, Change, Story};
use super::{Embedded, Failure, row};
use crate::account::{Organization, Subscription, check_name};
use crate::clock::Timestamp;
use crate::store::{Actor, Cancelled, Conflict, Sought, StoreError, Subject, Version};

impl Embedded {
    pub(in crate::store) async fn create_organization(
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
            let present = find(change.connection(), name).await?;
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

    pub(in crate::store) async fn organizations(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Organization>, StoreError> {
        self.call(async {
            let rows = sqlx::query("SELECT * FROM organizations WHERE name > ? ORDER BY name LIMIT ?")
                .bind(after.unwrap_or_default())
                .bind(limit)
                .fetch_all(&mut *self.reader().await?)
                .await?;
            Ok(rows.iter().map(row::organization).collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::store) async fn organization(
        &self,
        name: &str,
    ) -> Result<Option<Organization>, StoreError> {
        self.call(async { Ok(find(&mut *self.reader().await?, name).await?) }).await
    }

    pub(in crate::store) async fn renew_organization(
        &self,
        name: &str,
        until: Timestamp,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Organization, StoreError> {
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let before = demand(change.connection(), name).await?;
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

    pub(in crate::store) async fn cancel_organization(
        &self,
        name: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Cancelled, StoreError> {
        let cancelled = self.call(async {
            let mut change = self.begin(by, now).await?;
            let before = demand(change.connection(), name).await?;
            change.overwrites(Some(Version::of_organization(&before, now)))?;
            if before.subscription.cancelled_at.is_some() {
                return Ok((before, None));
            }
            let organization = resubscribe(&mut change, &before, before.subscription.cancelled(now)).await?;
            // This row ends all tokens that were issued under the subscription, however many they are.
            let number: i64 = sqlx::query_scalar(
                "INSERT INTO cancellations (organization_id, subscription_number, cancelled_at) \
                 SELECT id, subscription_number, cancelled_at FROM organizations WHERE id = ? RETURNING subscription_number",
            )
            .bind(&organization.id.as_bytes()[..])
            .fetch_one(change.connection())
            .await?;
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
            let count = sqlx::query_scalar(
                "SELECT count(*) FROM tokens WHERE organization_id = ? AND subscription_number = ? AND ends_at > ?",
            )
            .bind(&organization.as_bytes()[..])
            .bind(subscription_number)
            .bind(at.as_millis());
            let count: i64 = count.fetch_one(&mut *self.reader().await?).await?;
            Ok(count.unsigned_abs())
        })
        .await
    }
}

/// The organization of this name.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<Option<Organization>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM organizations WHERE name = ?").bind(name);
    row.fetch_optional(connection).await?.as_ref().map(row::organization).transpose()
}

/// The organization of this name, which must be there.
pub(super) async fn demand(connection: &mut SqliteConnection, name: &str) -> Result<Organization, Failure> {
    find(connection, name).await?.ok_or_else(|| Sought::Organization(name.to_owned()).into())
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
    sqlx::query(
        "INSERT INTO organizations (id, name, title, subscription_ends_at, cancelled_at, created_at) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(&organization.id.as_bytes()[..])
    .bind(&organization.name)
    .bind(&organization.title)
    .bind(subscription.ends_at.map(Timestamp::as_millis))
    .bind(subscription.cancelled_at.map(Timestamp::as_millis))
    .bind(organization.created_at.as_millis())
    .execute(change.connection())
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
    sqlx::query(
        "UPDATE organizations SET subscription_ends_at = ?, cancelled_at = ?, subscription_number = subscription_number + ? \
         WHERE id = ?",
    )
    .bind(subscription.ends_at.map(Timestamp::as_millis))
    .bind(subscription.cancelled_at.map(Timestamp::as_millis))
    .bind(i64::from(begins_anew))
    .bind(&organization.id.as_bytes()[..])
    .execute(change.connection())
    .await?;
    Ok(Organization { subscription, ..organization.clone() })
}
