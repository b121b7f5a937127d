//! A store's first moments in SQLite.

use std::time::Duration;

use sqlx::sqlite::Sqlite;
use sqlx::{SqliteConnection, Transaction};

use super::{Embedded, organizations, tokens};
use crate::account::Subscription;
use crate::clock::Timestamp;
use crate::store::{NewToken, Purpose, StoreError};
use crate::token::{Scope, Scopes, TokenDigest, TokenRecord, TokenState};

/// The transaction that holds them.
#[derive(Debug)]
pub(in crate::store) struct Bootstrap {
    embedded: Embedded,
    transaction: Transaction<'static, Sqlite>,
    now: Timestamp,
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
            let mut transaction = self.begin().await?;
            if is_done(&mut transaction).await? {
                return Ok(None);
            }
            let organization = organizations::find(&mut transaction, ORGANIZATION).await?;
            if let Some(organization) = organization
                && let Some((site, _)) = tokens::current_site(&mut transaction, organization.id).await?
                && site.state(now) == TokenState::Live
            {
                // Somebody issued it and handed it out; replacing it would cut them off.
                mark_done(&mut transaction, now).await?;
                transaction.commit().await?;
                return Ok(None);
            }
            Ok(Some(transaction))
        });
        let transaction = begun.await?;
        Ok(transaction.map(|transaction| Bootstrap { embedded: self.clone(), transaction, now }))
    }
}

impl Bootstrap {
    pub(in crate::store) async fn commit(self, digest: &TokenDigest) -> Result<TokenRecord, StoreError> {
        let Self { embedded, mut transaction, now } = self;
        let changes_kept = embedded.config.changes_kept;
        let committed = embedded.call(async {
            let organization = match organizations::find(&mut transaction, ORGANIZATION).await? {
                Some(organization) => organization,
                None => {
                    let subscription = Subscription::default();
                    organizations::insert(&mut transaction, ORGANIZATION, ORGANIZATION, subscription, now)
                        .await?
                }
            };
            let token = NewToken {
                organization: organization.name,
                purpose: Purpose::Site,
                scopes: Scopes::of(&[Scope::Repos]),
                channels: None,
                expires_at: organization.subscription.token_expiry(),
            };
            let issued =
                tokens::insert(&mut transaction, &token, digest, now, Duration::ZERO, changes_kept).await?;
            mark_done(&mut transaction, now).await?;
            transaction.commit().await?;
            Ok(issued.record)
        });
        committed.await
    }
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
