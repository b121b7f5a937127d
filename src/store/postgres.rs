//! The store on a PostgreSQL server, for as many gates as one likes.
//!
//! A gate holds one connection for changes, a few for reading, one for following the feed and one for listening. Every change takes one
//! advisory lock first and holds it until it is committed, so changes happen one after the other in the whole fleet, as they do in one
//! SQLite file; readers wait for nobody. What is done in them is in `store/sql.rs`.
//!
//! Every wait has an end: connecting, waiting for a connection, for a lock, for an answer, and on the server's side a statement or a
//! transaction that nobody waits for any more. A connection on which an answer is outstanding is never used again. A server that is a standby
//! is refused: nothing can be changed there, and its past would pass for the present.
//!
//! # What high availability asks of the server
//!
//! - An acknowledged change must survive the loss of the primary: a synchronous standby (`synchronous_standby_names`). The gate raises
//!   `synchronous_commit` to `on` where it is `off` and leaves every other setting alone. Where a standby serves `read_url`,
//!   `remote_apply` spares most lookups the second question.
//! - The address in `store.url` must lead to the primary after a failover (a virtual address, a name, a proxy that pools sessions). Every new
//!   connection asks the server whether it is the primary, so a gate that is led to a standby goes on by its outage grace.
//! - The feed goes on after a promotion: it is part of the database. If the new primary had not heard of the latest changes, which is
//!   possible with asynchronous standbys only, whoever follows the feed is told that it was lost and forgets all it remembers
//!   (`sql/feed.rs`).
//! - Poolers that hand a connection to another client after each transaction do not work with `LISTEN`; the gate hears of changes then
//!   by looking at the feed each [`Config::poll_interval`].
//!
//! Read `pool.rs` for connections, `watch.rs` for how changes are heard of, `replica.rs` for what a standby may answer.

mod open;
mod pool;
mod replica;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

pub use open::check_postgres_url;
pub(super) use pool::Lease;
use pool::Pool;
use replica::Replica;
pub(super) use watch::{ANNOUNCE, Watch};

use super::error::StoreError;
use super::sql::{Failure, Session, TIMED_OUT, sql};
use super::{Changes, Place, Reading};

/// The store on a server. Clones share their connections.
#[derive(Clone, Debug)]
pub(super) struct Postgres {
    writer: Pool,
    readers: Pool,
    replica: Option<Replica>,
    /// How to make one more connection.
    options: PgConnectOptions,
    /// The server and the database, without user and password.
    name: Arc<str>,
}

impl Postgres {
    /// True if the URL is one of PostgreSQL's.
    pub(super) fn is_meant(url: &str) -> bool {
        url.starts_with("postgres:") || url.starts_with("postgresql:")
    }

    pub(super) async fn close(&self) {
        if let Some(replica) = &self.replica {
            replica.close().await;
        }
        self.readers.close().await;
        self.writer.close().await;
    }

    /// A connection to read with.
    pub(super) async fn reader(&self) -> Result<Session, Failure> {
        Ok(Session::Postgres(self.readers.acquire().await?))
    }

    /// One more connection, for statements that take so long.
    pub(super) async fn patient_reader(&self, patience: Duration) -> Result<Session, Failure> {
        let options = open::limited(self.options.clone(), "statement_timeout", patience);
        Ok(Session::Postgres(Lease::alone(&options).await?))
    }

    /// The same, on which everything is of one moment.
    pub(super) async fn snapshot(&self, patience: Duration) -> Result<Session, Failure> {
        let mut session = self.patient_reader(patience).await?;
        sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut session).await?;
        // Between two readings another store may be written to.
        sql("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut session).await?;
        Ok(session)
    }

    /// One more connection, in nobody else's hands.
    async fn alone(&self) -> Result<Session, Failure> {
        Ok(Session::Postgres(Lease::alone(&self.options).await?))
    }

    /// A transaction.
    pub(super) async fn begin(&self) -> Result<Session, Failure> {
        let mut lease = self.writer.acquire().await?;
        lease.begin().await?;
        Ok(Session::Postgres(lease))
    }

    /// A transaction that holds the lock of changes: every statement behind it sees all changes before it.
    pub(super) async fn begin_locked(&self) -> Result<Session, Failure> {
        let mut session = self.begin().await?;
        sql("SELECT pg_advisory_xact_lock(7163384699739922804)").fetch_all(&mut session).await?;
        Ok(session)
    }

    /// What the replica knows of a token, if there is one that knows it and all that this gate was told of.
    pub(super) async fn replicated(
        &self,
        read: impl AsyncFnOnce(&mut Session) -> Result<Reading, Failure>,
    ) -> Option<Reading> {
        self.replica.as_ref()?.ask(read).await
    }

    /// Says that a follower of the feed was told this by the primary.
    fn told(&self, asked_at: Duration, changes: &Changes, place: Place) {
        if let Some(replica) = &self.replica {
            replica.told(asked_at, changes, place);
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn meaning(&self, error: sqlx::Error) -> StoreError {
        meaning(&self.name, error)
    }
}

/// What an error of PostgreSQL or its driver means. The codes are those of
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn meaning(store: &str, error: sqlx::Error) -> StoreError {
    let advice = match &error {
        sqlx::Error::Database(database) => match database.code().as_deref() {
            Some(code) => match of_code(code) {
                Some(advice) => advice,
                None => return StoreError::corrupt(store, error),
            },
            None => UNKNOWN,
        },
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::RowNotFound => return StoreError::corrupt(store, error),
        sqlx::Error::PoolTimedOut => TIMED_OUT,
        sqlx::Error::Tls(_) => UNTRUSTED,
        // So the driver tells of a certificate that is not believed.
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => UNTRUSTED,
        sqlx::Error::Configuration(_) => "store.url must lead to the primary; see whether it was moved",
        _ => "see whether the server runs and can be reached from here",
    };
    StoreError::unavailable(store, advice, error)
}

/// What to do about an error of this code; `None` if the database is not as this program made it.
fn of_code(code: &str) -> Option<&'static str> {
    let advice = match code {
        "55P03" => "another gate or command is changing it; try again",
        "57014" => TIMED_OUT,
        "25006" => "it can only be read; store.url must lead to the primary",
        "42501" => "grant its user the right to use and create tables in its schema",
        "3D000" => "create the database; its owner should be the user in its URL",
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "57" => "see whether the server runs and can be reached from here",
            "28" => "look at the user and the password in its URL, and at the server's pg_hba.conf",
            "40" => "another gate or command was changing it; try again",
            "53" => "the server has no room: connections, memory or disk; look at its log",
            // A missing table or a broken rule of the schema: somebody else's hand was in it.
            "22" | "23" | "42" | "P0" | "XX" => return None,
            _ => UNKNOWN,
        },
    };
    Some(advice)
}

const UNTRUSTED: &str = "look at sslmode and sslrootcert in its URL, and at the server's certificate";

const UNKNOWN: &str = "look at the server's log";

#[cfg(test)]
mod tests;
