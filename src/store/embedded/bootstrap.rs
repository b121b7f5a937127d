//! A store's first moments in SQLite.

use std::time::Duration;

use sqlx::SqliteConnection;

use super::change::Change;
use super::{Embedded, Failure, organizations, tokens};
use crate::account::{Organization, Subscription};
use crate::clock::Timestamp;
use crate::store::{Actor, NewToken, StoreError};
use crate::token::{TokenDigest, TokenRecord, TokenState};

/// The transaction that holds them.
#[derive(Debug)]
pub(in crate::store) struct Bootstrap {
    embedded: Embedded,
    change: Change,
}

impl Embedded {
    pub(in crate::store) async fn begin_bootstrap(
        &self,
        now: Timestamp,
    ) -> Result<Option<Bootstrap>, StoreError> {
        let begun = self.call(async {
            // Every start but the first ends here, without the lock.
            if is_done(&mut *self.reader().await?).await? {
                return Ok(None);
            }
            let mut change = self.begin(&Actor::gate(), now).await?;
            if is_done(change.connection()).await? {
                return Ok(None);
            }
            let organization = organizations::find(change.connection(), ORGANIZATION).await?;
            if let Some(organization) = organization
                && is_served(&mut change, &organization).await?
            {
                mark_done(change.connection(), now).await?;
                change.commit().await?;
                return Ok(None);
            }
            Ok(Some(change))
        });
        Ok(begun.await?.map(|change| Bootstrap { embedded: self.clone(), change }))
    }
}

impl Bootstrap {
    pub(in crate::store) async fn commit(self, digest: &TokenDigest) -> Result<TokenRecord, StoreError> {
        let Self { embedded, mut change } = self;
        let committed = embedded.call(async {
            if organizations::find(change.connection(), ORGANIZATION).await?.is_none() {
                organizations::create(&mut change, ORGANIZATION, ORGANIZATION, Subscription::default())
                    .await?;
            }
            let site = NewToken::site(ORGANIZATION);
            let issued = tokens::insert(&mut change, &site, digest, Duration::ZERO).await?;
            let now = change.now;
            mark_done(change.connection(), now).await?;
            change.commit().await?;
            Ok(issued.record)
        });
        committed.await
    }
}

/// True if somebody saw to the organization already: they issued its site token and handed it out, and replacing it would cut people off;
/// or they ended its subscription.
async fn is_served(change: &mut Change, organization: &Organization) -> Result<bool, Failure> {
    let site = tokens::current(change.connection(), organization.id, None).await?;
    let is_alive = site.is_some_and(|(site, _)| site.state(change.now) == TokenState::Live);
    Ok(is_alive || organization.subscription.token_expiry(change.now).is_err())
}

async fn is_done(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT 1 FROM meta WHERE name = 'bootstrapped_at'");
    Ok(row.fetch_optional(connection).await?.is_some())
}

async fn mark_done(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    let row = sqlx::query("INSERT INTO meta (name, value) VALUES ('bootstrapped_at', ?)");
    row.bind(now.as_millis().to_string()).execute(connection).await.map(drop)
}

const ORGANIZATION: &str = "default";
