//! Organizations in SQLite.

use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{Embedded, Failure, row};
use crate::account::{Organization, Subscription, check_name};
use crate::clock::Timestamp;
use crate::store::{Conflict, Sought, StoreError};

impl Embedded {
    pub(in crate::store) async fn create_organization(
        &self,
        name: &str,
        title: &str,
        subscription: Subscription,
        now: Timestamp,
    ) -> Result<Organization, StoreError> {
        check_name(name, "an organization's name")?;
        self.call(async {
            let mut transaction = self.begin().await?;
            if find(&mut transaction, name).await?.is_some() {
                return Err(Conflict::Organization(name.to_owned()).into());
            }
            let organization = insert(&mut transaction, name, title, subscription, now).await?;
            transaction.commit().await?;
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

/// Adds an organization whose name is free.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    name: &str,
    title: &str,
    subscription: Subscription,
    now: Timestamp,
) -> Result<Organization, sqlx::Error> {
    let organization = Organization {
        id: Uuid::new_v4(),
        name: name.to_owned(),
        title: title.to_owned(),
        subscription,
        created_at: now,
    };
    sqlx::query(
        "INSERT INTO organizations (id, name, title, subscription_ends_at, created_at) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(&organization.id.as_bytes()[..])
    .bind(&organization.name)
    .bind(&organization.title)
    .bind(subscription.ends_at.map(Timestamp::as_millis))
    .bind(now.as_millis())
    .execute(connection)
    .await?;
    Ok(organization)
}
