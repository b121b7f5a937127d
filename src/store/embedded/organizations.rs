//! Organizations in SQLite.

use serde_json::json;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::change::{self, Change, Story};
use super::{Embedded, Failure, row};
use crate::account::{Organization, Subscription, check_name};
use crate::clock::Timestamp;
use crate::store::{Actor, Cancelled, Conflict, Sought, StoreError, Subject};
use crate::token::EndCause;

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
        self.call(async {
            let mut change = self.begin(by, now).await?;
            if find(change.connection(), name).await?.is_some() {
                return Err(Conflict::Organization(name.to_owned()).into());
            }
            let organization = create(&mut change, name, title, subscription).await?;
            change.commit().await?;
            Ok(organization)
        })
        .await
    }

    pub(in crate::store) async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        self.call(async {
            let rows = sqlx::query("SELECT * FROM organizations ORDER BY name")
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
        self.call_on_all(async {
            let mut change = self.begin(by, now).await?;
            let before = demand(change.connection(), name).await?;
            if before.subscription.cancelled_at.is_some() {
                return Ok(Cancelled { organization: before, tokens_ended: 0 });
            }
            let organization = resubscribe(&mut change, &before, before.subscription.cancelled(now)).await?;
            let ended = sqlx::query(
                "UPDATE tokens SET ended_at = ?1, end_cause = ?2, end_reason = NULL WHERE organization_id = ?3 \
                 AND (ended_at IS NULL OR ended_at > ?1) AND (expires_at IS NULL OR expires_at > ?1)",
            )
            .bind(now.as_millis())
            .bind(EndCause::SubscriptionEnded.as_str())
            .bind(&organization.id.as_bytes()[..]);
            let tokens_ended = ended.execute(change.connection()).await?.rows_affected();
            change.tell(Subject::Organization(organization.id)).await?;
            let mut after = change::organization(&organization);
            if let Some(after) = after.as_object_mut() {
                after.insert("tokens_ended".to_owned(), json!(tokens_ended));
            }
            let story = Story {
                action: "org.cancel",
                organization: Some(name),
                before: Some(change::organization(&before)),
                after: Some(after),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(Cancelled { organization, tokens_ended })
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
    Ok(organization)
}

async fn resubscribe(
    change: &mut Change,
    organization: &Organization,
    subscription: Subscription,
) -> Result<Organization, sqlx::Error> {
    sqlx::query("UPDATE organizations SET subscription_ends_at = ?, cancelled_at = ? WHERE id = ?")
        .bind(subscription.ends_at.map(Timestamp::as_millis))
        .bind(subscription.cancelled_at.map(Timestamp::as_millis))
        .bind(&organization.id.as_bytes()[..])
        .execute(change.connection())
        .await?;
    Ok(Organization { subscription, ..organization.clone() })
}
