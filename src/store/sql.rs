//! What a store does, once for both databases.
//!
//! An operation is written here as statements of SQL that SQLite and PostgreSQL both understand; where they do not, the two texts stand
//! side by side ([`statement::either`]). It is run in a [`Session`], which is a connection to either. Everything here relies on this of a
//! database: a change holds the one lock that all changes take, so changes happen one after the other, in the order of the feed's numbers;
//! and a statement sees one moment.
//!
//! This module must never know where a database is, how connections are made, or what its errors mean: that is `store/embedded.rs` and
//! `store/postgres.rs`. Read `change.rs` for what each change does besides what it is about, `feed.rs` for how changes are heard of,
//! `transfer.rs` for how a store is copied to another database.

mod audit;
mod bootstrap;
mod change;
mod devices;
mod feed;
mod gates;
mod groups;
mod keys;
mod lookup;
mod migrations;
mod organizations;
mod row;
mod seats;
mod seen;
mod session;
mod sessions;
mod signing_keys;
mod statement;
mod sync;
mod tokens;
mod transfer;
mod users;
mod uses;

use std::future::Future;
use std::time::Duration;

pub use bootstrap::Bootstrap;
pub use feed::Watch;
pub(super) use feed::holds;
pub(super) use migrations::{Migrating, apply_all, missing};
pub(super) use session::{Held, Session};
pub(super) use statement::sql;
pub use transfer::{CopiedTable, Copying};

use super::error::{Conflict, Sought, StoreError};
use super::{Backend, Store};
use crate::account::EndsInThePast;
use crate::token::mask_values;

impl Store {
    /// Runs one call under the query timeout, and gives its failures their meaning.
    pub(super) fn call<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> impl Future<Output = Result<T, StoreError>> {
        self.call_within(self.config.query_timeout, work)
    }

    /// The same for counting the tokens of an organization, of which there may be millions. Nobody waits for it.
    fn call_on_all<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> impl Future<Output = Result<T, StoreError>> {
        self.call_within(self.config.query_timeout.saturating_mul(ALL_TOKENS_FACTOR), work)
    }

    fn call_within<T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> impl Future<Output = Result<T, StoreError>> {
        // What a call holds while it waits for a server is kilobytes, and would be part of whatever waits for the call.
        let work = Box::pin(work);
        async move {
            let checked = async {
                self.check().await?;
                work.await
            };
            match tokio::time::timeout(timeout, checked).await {
                Ok(outcome) => outcome.map_err(|failure| self.meaning(failure)),
                Err(elapsed) => Err(StoreError::unavailable(self.name(), TIMED_OUT, elapsed)),
            }
        }
    }

    /// Succeeds unless the database is known to be another one than was opened.
    async fn check(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.check().await,
            Backend::Postgres(_) => Ok(()),
        }
    }

    /// A connection to read with: every statement sees what was committed before it.
    pub(super) async fn reader(&self) -> Result<Session, Failure> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.reader().await,
            Backend::Postgres(postgres) => postgres.reader().await,
        }
    }

    /// The same for a statement that takes as long as [`call_on_all`](Self::call_on_all) allows.
    async fn patient_reader(&self) -> Result<Session, Failure> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.reader().await,
            Backend::Postgres(postgres) => {
                let patience = self.config.query_timeout.saturating_mul(ALL_TOKENS_FACTOR);
                postgres.patient_reader(patience).await
            }
        }
    }

    /// A connection on which everything is of one moment, with as much time for each statement.
    async fn snapshot(&self) -> Result<Session, Failure> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.snapshot().await,
            Backend::Postgres(postgres) => {
                postgres.snapshot(self.config.query_timeout.saturating_mul(ALL_TOKENS_FACTOR)).await
            }
        }
    }

    /// A transaction that writes something that is no change: it waits for no change on PostgreSQL, and none waits for it.
    async fn writer(&self) -> Result<Session, Failure> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.begin().await,
            Backend::Postgres(postgres) => postgres.begin().await,
        }
    }

    /// A transaction that holds the lock of changes.
    async fn locked(&self) -> Result<Session, Failure> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.begin().await,
            Backend::Postgres(postgres) => postgres.begin_locked().await,
        }
    }

    /// What a failure means to whoever asked.
    fn meaning(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::Store(error) => error,
            Failure::Sql(error) => match &self.backend {
                Backend::Embedded(embedded) => embedded.meaning(error),
                Backend::Postgres(postgres) => postgres.meaning(error),
            },
        }
    }

    /// The store's name for messages, without secrets.
    pub(super) fn name(&self) -> String {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.name(),
            Backend::Postgres(postgres) => postgres.name().to_owned(),
        }
    }
}

/// A failure on its way to becoming a [`StoreError`].
#[derive(Debug)]
pub(super) enum Failure {
    /// Of the database or its driver.
    Sql(sqlx::Error),
    /// One that has its meaning.
    Store(StoreError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Conflict> for Failure {
    fn from(conflict: Conflict) -> Self {
        Self::Store(conflict.into())
    }
}

impl From<EndsInThePast> for Failure {
    fn from(error: EndsInThePast) -> Self {
        Self::Store(error.into())
    }
}

impl From<Sought> for Failure {
    fn from(sought: Sought) -> Self {
        Self::Store(sought.into())
    }
}

/// Refuses `text` as `what` if it holds the value of a token.
fn refuse_value(text: &str, what: &'static str) -> Result<(), StoreError> {
    if mask_values(text) == text { Ok(()) } else { Err(StoreError::Revealing(what)) }
}

/// How many times longer than one call it may take to count all tokens of an organization.
const ALL_TOKENS_FACTOR: u32 = 30;

/// What to do about a call that took too long.
pub(super) const TIMED_OUT: &str =
    "it takes too long; look at the load of the machine and its disk, and at the way to it, and try again";
