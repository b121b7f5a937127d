//! A store's first moments.

use std::time::Duration;

use super::change::Change;
use super::session::Session;
use super::statement::sql;
use super::{Failure, organizations, tokens};
use crate::account::{Organization, Subscription};
use crate::clock::Timestamp;
use crate::store::{Actor, NewToken, Store, StoreError};
use crate::token::{TokenDigest, TokenRecord, TokenState};

/// A store's first moments, begun and not yet committed; dropping it undoes them.
///
/// Mint a token, write it where its owner finds it (flushed to the disk), then commit. If writing fails, drop this: the next start tries
/// again. If the process dies between the two, the next start mints another token and overwrites the file. Once committed, the file is
/// written and its token known.
#[derive(Debug)]
pub struct Bootstrap {
    store: Store,
    change: Change,
}

impl Store {
    /// Begins what happens once in a store's life: organization `default` and its site token. `None` if it happened, or if `default`
    /// has a living site token or no subscription already.
    ///
    /// Until the [`Bootstrap`] is committed or dropped, it holds the store's write lock: other changes wait, so be quick.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn begin_bootstrap(&self, now: Timestamp) -> Result<Option<Bootstrap>, StoreError> {
        let begun = self.call(async {
            // Every start but the first ends here, without the lock.
            if is_done(&mut self.reader().await?).await? {
                return Ok(None);
            }
            let mut change = self.begin(&Actor::gate(), now).await?;
            if is_done(change.session()).await? {
                return Ok(None);
            }
            let organization = organizations::find(change.session(), ORGANIZATION).await?;
            if let Some(organization) = organization
                && is_served(&mut change, &organization).await?
            {
                mark_done(change.session(), now).await?;
                change.commit().await?;
                return Ok(None);
            }
            Ok(Some(change))
        });
        Ok(begun.await?.map(|change| Bootstrap { store: self.clone(), change }))
    }
}

impl Bootstrap {
    /// Creates organization `default`, where it is missing, and keeps its site token under `digest`.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn commit(self, digest: &TokenDigest) -> Result<TokenRecord, StoreError> {
        let Self { store, mut change } = self;
        let committed = store.call(async {
            if organizations::find(change.session(), ORGANIZATION).await?.is_none() {
                organizations::create(&mut change, ORGANIZATION, ORGANIZATION, Subscription::default())
                    .await?;
            }
            let site = NewToken::site(ORGANIZATION);
            let issued = tokens::insert(&mut change, &site, digest, Duration::ZERO).await?;
            let now = change.now;
            mark_done(change.session(), now).await?;
            change.commit().await?;
            Ok(issued.record)
        });
        committed.await
    }
}

/// True if somebody saw to the organization already: they issued its site token and handed it out, and replacing it would cut people off;
/// or they ended its subscription.
async fn is_served(change: &mut Change, organization: &Organization) -> Result<bool, Failure> {
    let site = tokens::current(change.session(), organization.id, None).await?;
    let is_alive = site.is_some_and(|(site, _)| site.state(change.now) == TokenState::Live);
    Ok(is_alive || organization.subscription.token_expiry(change.now).is_err())
}

async fn is_done(session: &mut Session) -> Result<bool, sqlx::Error> {
    let row = sql("SELECT 1 FROM meta WHERE name = 'bootstrapped_at'");
    Ok(row.fetch_optional(session).await?.is_some())
}

async fn mark_done(session: &mut Session, now: Timestamp) -> Result<(), sqlx::Error> {
    let row = sql("INSERT INTO meta (name, value) VALUES ('bootstrapped_at', $1)");
    row.bind(now.as_millis().to_string()).execute(session).await.map(drop)
}

const ORGANIZATION: &str = "default";
