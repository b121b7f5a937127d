//! The token store: what survives the process.
//!
//! [`Store`] is the port; [`Embedded`] keeps it in one SQLite file on a local disk, for one machine. A second backend is a variant here,
//! a file beside `embedded.rs`, and one line in the contract suite (`tests/it/store.rs`), which says what every backend must do.
//!
//! What holds for all of them:
//!
//! - Only digests of tokens are kept, never values. Tokens are never deleted: a dead one is refused by name, not as unknown.
//! - A change is one transaction; when the call returns `Ok`, it survives a power failure. When it returns
//!   [`ErrorKind::Unavailable`], it may or may not have been made: ending a token again is harmless, inserting one again is a conflict.
//! - Whatever can alter a verdict appends to the **change feed** in the same transaction, in the order of commits. A reader that
//!   remembers verdicts follows the feed by a [`Watch`] and forgets what changed. The feed keeps a bounded number of changes; a reader
//!   that fell behind them is told so ([`Changes::Lost`]).
//! - Every call has a timeout ([`Config::query_timeout`]). `now` is an argument: a store reads no clock.
//!
//! This module never caches, decides or logs. Read [`crate::verify`] next.

mod embedded;
mod error;
mod record;

use std::time::Duration;

pub use embedded::Embedded;
pub use error::{Conflict, ErrorKind, Sought, StoreError};
pub use record::{Change, Changes, Ended, FeedPosition, Issued, NewToken, Purpose, Reading};

use crate::account::{Organization, Subscription};
use crate::clock::Timestamp;
use crate::token::{End, TokenDigest, TokenId, TokenRecord};

/// Where the store is and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `sqlite:PATH`; a relative path is relative to the working directory. Default `sqlite:var/channelgate.db`.
    pub url: String,
    /// Longest time for one call, waiting for a connection included. Default 2 s.
    pub query_timeout: Duration,
    /// How long a change waits for another process's change to end before it gives up; below `query_timeout`. Default 1 s.
    pub busy_timeout: Duration,
    /// Connections for reading; each is a thread. Changes have one of their own. Default 4.
    pub connections_max: u32,
    /// How often the change feed is looked at. Default 100 ms.
    pub poll_interval: Duration,
    /// How many changes the feed keeps. Default 100,000, some 6 MB.
    pub changes_kept: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "sqlite:var/channelgate.db".to_owned(),
            query_timeout: Duration::from_secs(2),
            busy_timeout: Duration::from_secs(1),
            connections_max: 4,
            poll_interval: Duration::from_millis(100),
            changes_kept: 100_000,
        }
    }
}

/// A token store. Clones share their connections.
#[derive(Clone, Debug)]
pub enum Store {
    /// One SQLite file.
    Embedded(Embedded),
}

impl Store {
    /// Opens the store that `config` names; creates it, readable by its owner only, where there is none.
    ///
    /// The time this takes does not depend on how much the store holds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a URL that means nothing, [`ErrorKind::Unsupported`] for a network file system, another program's
    /// database or one of a newer version, [`ErrorKind::Corrupt`] for a damaged one, [`ErrorKind::Unavailable`] otherwise.
    pub async fn open(config: &Config) -> Result<Self, StoreError> {
        Embedded::open(config).await.map(Self::Embedded)
    }

    /// Ends all connections after the calls in progress.
    pub async fn close(&self) {
        match self {
            Self::Embedded(embedded) => embedded.close().await,
        }
    }

    /// Creates an organization.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a name that cannot be, [`ErrorKind::Conflict`] for one that is taken.
    pub async fn create_organization(
        &self,
        name: &str,
        title: &str,
        subscription: Subscription,
        now: Timestamp,
    ) -> Result<Organization, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.create_organization(name, title, subscription, now).await,
        }
    }

    /// All organizations, by name.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.organizations().await,
        }
    }

    /// The organization of this name.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn organization(&self, name: &str) -> Result<Option<Organization>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.organization(name).await,
        }
    }

    /// Keeps a new token under its digest.
    ///
    /// A site token takes the place of the organization's previous one, which ends ([`Replaced`](crate::token::EndCause::Replaced)) at
    /// `now` plus `grace`; one before it, still in its own grace, ends by its own date.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization, [`ErrorKind::Conflict`] for a scoped token whose name a living token has or
    /// any token whose value is known, [`ErrorKind::Invalid`] for a name that cannot be.
    pub async fn insert_token(
        &self,
        token: &NewToken,
        digest: &TokenDigest,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Issued, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.insert_token(token, digest, now, grace).await,
        }
    }

    /// Ends a token. A dead token stays as it died, and an end never moves to a later time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without such a token.
    pub async fn end_token(&self, id: TokenId, end: &End, now: Timestamp) -> Result<Ended, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.end_token(id, end, now).await,
        }
    }

    /// The token of this id.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.token(id).await,
        }
    }

    /// The organization's token of this name: the living one, else the latest.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn token_by_name(
        &self,
        organization: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<TokenRecord>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.token_by_name(organization, name, now).await,
        }
    }

    /// At most `limit` tokens of an organization, oldest first, beginning behind the token `after`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization or the token to begin behind.
    pub async fn tokens(
        &self,
        organization: &str,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<TokenRecord>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.tokens(organization, after, limit).await,
        }
    }

    /// The token of this digest and the feed's position, both of one moment.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn token_by_digest(&self, digest: &TokenDigest) -> Result<Reading, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.token_by_digest(digest).await,
        }
    }

    /// The change feed's end.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn position(&self) -> Result<FeedPosition, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.position().await,
        }
    }

    /// At most `limit` changes behind `position`.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn changes_since(&self, position: FeedPosition, limit: u32) -> Result<Changes, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.changes_since(position, limit).await,
        }
    }

    /// Follows the change feed from `position` on.
    pub fn watch(&self, position: FeedPosition) -> Watch {
        match self {
            Self::Embedded(embedded) => Watch(Source::Embedded(embedded.watch(position))),
        }
    }

    /// Begins what happens once in a store's life: organization `default` and its site token. `None` if it happened, or if `default`
    /// has a living site token already.
    ///
    /// Until the [`Bootstrap`] is committed or dropped, it holds the store's write lock: other changes wait, so be quick.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn begin_bootstrap(&self, now: Timestamp) -> Result<Option<Bootstrap>, StoreError> {
        match self {
            Self::Embedded(embedded) => {
                Ok(embedded.begin_bootstrap(now).await?.map(|begun| Bootstrap(Begun::Embedded(begun))))
            }
        }
    }
}

/// A reader of the change feed that hears of new changes. Losing the store loses nothing: it goes on from its position.
#[derive(Debug)]
pub struct Watch(Source);

#[derive(Debug)]
enum Source {
    Embedded(embedded::Watch),
}

impl Watch {
    /// Returns when it is time to [`poll`](Self::poll). Cancelling it loses nothing.
    pub async fn ready(&mut self) {
        match &mut self.0 {
            Source::Embedded(watch) => watch.ready().await,
        }
    }

    /// The changes since the last poll, every one that was committed before this call unless there are `more`. An answer without
    /// changes proves that the store is alive and that nothing changed.
    ///
    /// # Errors
    ///
    /// The store's failures; the next poll tries anew from the same position.
    pub async fn poll(&mut self) -> Result<Changes, StoreError> {
        match &mut self.0 {
            Source::Embedded(watch) => watch.poll().await,
        }
    }
}

/// A store's first moments, begun and not yet committed; dropping it undoes them.
///
/// Mint a token, write it where its owner finds it (flushed to the disk), then commit. If writing fails, drop this: the next start tries
/// again. If the process dies between the two, the next start mints another token and overwrites the file. Once committed, the file is
/// written and its token known.
#[derive(Debug)]
pub struct Bootstrap(Begun);

#[derive(Debug)]
enum Begun {
    Embedded(embedded::Bootstrap),
}

impl Bootstrap {
    /// Creates organization `default`, where it is missing, and keeps its site token under `digest`.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn commit(self, digest: &TokenDigest) -> Result<TokenRecord, StoreError> {
        match self.0 {
            Begun::Embedded(begun) => begun.commit(digest).await,
        }
    }
}
