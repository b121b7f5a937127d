//! The token store: what survives the process.
//!
//! [`Store`] is the port. What it does is written once, in `store/sql.rs`, for two databases: one SQLite file on a local disk, for one
//! machine (`store/embedded.rs`), and a PostgreSQL server, for as many gates as one likes (`store/postgres.rs`, which also says what
//! high availability asks of the server). The contract suite (`tests/it/store/contract.rs`) has one line for each, and says what holds for
//! all of them.
//!
//! What holds for all of them:
//!
//! - Only digests of tokens are kept, never values. Tokens are never deleted: a dead one is refused by name, not as unknown.
//! - A change is one transaction; when the call returns `Ok`, it survives a power failure. When it returns
//!   [`ErrorKind::Unavailable`], it may or may not have been made: ending a token again is harmless, inserting one again is a conflict.
//! - Whatever can alter a verdict appends to the **change feed** in the same transaction, in the order of commits. A reader that
//!   remembers verdicts follows the feed by a [`Watch`] and forgets what changed. The feed keeps a bounded number of changes; a reader
//!   that fell behind them is told so ([`Changes::Lost`]).
//! - Every change also appends one record to the **audit** ([`AuditRecord`]), in the same transaction: who, what, before, after. A call that
//!   changes nothing leaves none.
//! - A token never comes back to life: no call moves an end, and none moves the expiry of a token that is dead.
//! - What is not a change, because no verdict on a token depends on it, is neither in the feed nor in the audit: the last use of tokens,
//!   when artifacts were first seen, that a device asks to be let in, that a browser is signed out, what API keys are signed with.
//! - Every call has a timeout ([`Config::query_timeout`]). `now` is an argument: a store reads no clock.
//!
//! This module never caches, decides or logs. Read [`crate::verify`] next.

mod audit;
mod embedded;
mod error;
mod gate;
mod people;
mod postgres;
mod record;
mod seen;
mod sql;
mod terms;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use audit::{AuditFilter, AuditHash, AuditHashError, AuditHead, AuditRecord, AuditVerdict, Tampering};
pub use error::{Conflict, ErrorKind, Sought, StoreError};
pub use gate::{Beat, Gate, GateState, GateStatus};
pub use people::{
    Approval, DEVICE_ATTEMPTS_MAX, DEVICES_MAX, DEVICES_OF_ADDRESS_MAX, Device, DeviceState, DisabledUser,
    Identity, NewDevice, Poll, SESSIONS_MAX, SealedKey, SignIn, SignedIn,
};
pub use postgres::check_postgres_url;
pub use record::{
    Actor, ActsAs, Cancelled, Change, Changes, Ended, FeedPosition, Issued, LastUse, Listed, NewToken, Place,
    Placed, Purpose, Reading, Refused, RemovedSeat, Restriction, Subject, Synced, SyncedTokens, Use, Used,
    Which,
};
pub use seen::{SeenDigest, SeenDirectory, Sighting};
pub use sql::{Bootstrap, CopiedTable, Copying, Watch};
pub use terms::{Expected, RequestKey, Terms, Version};

use embedded::Embedded;
use postgres::Postgres;

/// Where the store is and how long it may take.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// `sqlite:PATH`; a relative path is relative to the working directory. Or `postgres://user:password@host:port/database`.
    /// Default `sqlite:var/channelgate.db`.
    pub url: String,
    /// A PostgreSQL standby that follows the server of `url`; lookups of tokens are asked of it first. Default none.
    pub read_url: Option<String>,
    /// Longest time for one call, waiting for a connection included. Default 2 s.
    pub query_timeout: Duration,
    /// How long a change waits for another process's change to end before it gives up; below `query_timeout`. Default 1 s.
    pub busy_timeout: Duration,
    /// Connections for reading, to each server; in SQLite each is a thread. Changes have one of their own, and so has the feed, which
    /// has another one on PostgreSQL to listen with. Default 4.
    pub connections_max: u32,
    /// How often the change feed is looked at, on PostgreSQL only while the gate cannot listen for news. Default 100 ms.
    pub poll_interval: Duration,
    /// On PostgreSQL: how often the feed is looked at without any news, and the way that news take is tried. Default 1 s.
    pub heartbeat: Duration,
    /// How many changes the feed keeps. Default 100,000, some 6 MB.
    pub changes_kept: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "sqlite:var/channelgate.db".to_owned(),
            read_url: None,
            query_timeout: Duration::from_secs(2),
            busy_timeout: Duration::from_secs(1),
            connections_max: 4,
            poll_interval: Duration::from_millis(100),
            heartbeat: Duration::from_secs(1),
            changes_kept: 100_000,
        }
    }
}

/// Without the URLs, which may hold a password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("query_timeout", &self.query_timeout)
            .field("busy_timeout", &self.busy_timeout)
            .field("connections_max", &self.connections_max)
            .field("poll_interval", &self.poll_interval)
            .field("heartbeat", &self.heartbeat)
            .field("changes_kept", &self.changes_kept)
            .finish_non_exhaustive()
    }
}

/// A token store. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
    config: Arc<Config>,
    /// On which changes are made.
    terms: Arc<Terms>,
}

/// The database that holds it.
#[derive(Clone, Debug)]
enum Backend {
    /// One SQLite file.
    Embedded(Embedded),
    /// A PostgreSQL server.
    Postgres(Postgres),
}

impl Store {
    /// Opens the store that `config` names; creates it where there is none: a file readable by its owner only, or the tables in a database
    /// that must be there.
    ///
    /// The time this takes does not depend on how much the store holds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a URL that means nothing, [`ErrorKind::Unsupported`] for a network file system, another program's
    /// database, one of a newer version or an unfinished copy of another store, [`ErrorKind::Corrupt`] for a damaged one, [`ErrorKind::Unavailable`] otherwise.
    pub async fn open(config: &Config) -> Result<Self, StoreError> {
        let store = Self::open_unfinished(config).await?;
        match store.unfinished_from().await? {
            None => Ok(store),
            Some(source) => Err(StoreError::unsupported(
                store.name(),
                format!("is an unfinished copy of {source}; end it with `channelgate store migrate`"),
            )),
        }
    }

    /// The same, also of a store to which another one is being copied ([`copy_to`](Self::copy_to)): what it says is not true yet.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub async fn open_unfinished(config: &Config) -> Result<Self, StoreError> {
        let backend = if Postgres::is_meant(&config.url) {
            Backend::Postgres(Postgres::open(config).await?)
        } else if config.read_url.is_some() {
            return Err(StoreError::Url {
                url: "store.read_url".into(),
                problem: "names a replica, which only a store on PostgreSQL has; leave it out",
            });
        } else {
            Backend::Embedded(Embedded::open(config).await?)
        };
        Ok(Self { backend, config: Arc::new(config.clone()), terms: Arc::default() })
    }

    /// The same store, by which changes are made on these terms only. Reading is as before.
    ///
    /// A change through it fails with [`ErrorKind::Outdated`] if what it would overwrite is not what is expected. One with a key that was
    /// carried out before fails with [`StoreError::Repeated`], or, if it was another request then, with [`StoreError::KeyReused`]. In all
    /// three cases nothing is changed.
    #[must_use]
    pub fn on(&self, terms: Terms) -> Self {
        Self { terms: Arc::new(terms), ..self.clone() }
    }

    /// Ends all connections after the calls in progress.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.close().await,
            Backend::Postgres(postgres) => postgres.close().await,
        }
    }
}
