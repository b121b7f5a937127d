//! The store in one SQLite file, for one machine.
//!
//! One connection writes, a few read; each is a thread of its own, so nothing here blocks the runtime. The journal is a write-ahead log
//! (readers never wait for the writer), `synchronous = FULL`: an acknowledged revocation survives a power failure, which `NORMAL` does
//! not promise in this mode. Several processes may use the file at once, such as a gate and the command line beside it; every change is
//! one `BEGIN IMMEDIATE` transaction, so that they queue at its beginning and never fail at its end.
//!
//! The file is never opened but through SQLite: closing any other descriptor of it would drop this process's locks on it
//! (<https://sqlite.org/howtocorrupt.html>, section 2.2).
//!
//! Every call first makes sure that the path still leads to the file that was opened. A file that was moved, deleted or replaced would
//! go on answering through the open connections, from the past; it counts as unavailable until it is back.
//!
//! Read `open.rs` for what happens at the start, `feed.rs` for how changes are heard of.

mod audit;
mod bootstrap;
mod change;
mod feed;
mod filesystem;
mod groups;
mod keys;
mod open;
mod organizations;
mod row;
mod seats;
mod seen;
mod sync;
mod tokens;
mod uses;

use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqlitePool};

pub(super) use bootstrap::Bootstrap;
pub(super) use feed::Watch;

use super::error::{Conflict, Sought, StoreError};
use super::{Config, Terms};
use crate::account::EndsInThePast;
use crate::token::mask_values;

/// The store in one SQLite file. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Embedded {
    writer: SqlitePool,
    readers: SqlitePool,
    /// How to make one more reading connection.
    reading: SqliteConnectOptions,
    file: Arc<DatabaseFile>,
    config: Arc<Config>,
    /// On which changes are made.
    terms: Arc<Terms>,
}

/// The file that was opened.
#[derive(Debug)]
struct DatabaseFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Embedded {
    pub(super) fn on(&self, terms: Terms) -> Self {
        Self { terms: Arc::new(terms), ..self.clone() }
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Runs one call under the query timeout, on the file that was opened, and gives its failures their meaning.
    async fn call<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, StoreError> {
        self.call_within(self.config.query_timeout, work).await
    }

    /// The same for counting the tokens of an organization, of which there may be millions. Nobody waits for it.
    async fn call_on_all<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, StoreError> {
        self.call_within(self.config.query_timeout.saturating_mul(ALL_TOKENS_FACTOR), work).await
    }

    async fn call_within<T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StoreError> {
        let path = self.path();
        let checked = async {
            self.file.check().await?;
            work.await
        };
        match tokio::time::timeout(timeout, checked).await {
            Ok(outcome) => outcome.map_err(|failure| failure.into_error(path)),
            Err(elapsed) => Err(StoreError::unavailable(path, TIMED_OUT, elapsed)),
        }
    }

    /// A connection to read with.
    async fn reader(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        self.readers.acquire().await
    }

    fn path(&self) -> &Path {
        &self.file.path
    }
}

impl DatabaseFile {
    /// Succeeds if the path still leads to the file that was opened.
    async fn check(&self) -> Result<(), StoreError> {
        match tokio::fs::metadata(&self.path).await {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(StoreError::unavailable(
                &self.path,
                "restart to use the file that is there now",
                "the file was replaced since it was opened",
            )),
            Err(error) => {
                Err(StoreError::unavailable(&self.path, "put the file back and make it readable", error))
            }
        }
    }
}

/// A failure on its way to becoming a [`StoreError`].
enum Failure {
    Sql(sqlx::Error),
    Store(StoreError),
}

impl Failure {
    fn into_error(self, file: &Path) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sql(error) => meaning(file, error),
        }
    }
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

/// What an error of SQLite or its driver means. The codes are those of <https://sqlite.org/rescode.html>.
fn meaning(file: &Path, error: sqlx::Error) -> StoreError {
    let extended = match &error {
        sqlx::Error::Database(database) => database.code().and_then(|code| code.parse::<i32>().ok()),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::RowNotFound => {
            return StoreError::corrupt(file, error);
        }
        sqlx::Error::PoolTimedOut => return StoreError::unavailable(file, TIMED_OUT, error),
        _ => None,
    };
    match extended.map(|code| code & 0xff) {
        Some(SQLITE_BUSY | SQLITE_LOCKED) => {
            StoreError::unavailable(file, "another process is writing to it; try again", error)
        }
        Some(SQLITE_FULL) => StoreError::unavailable(file, "make room on its disk", error),
        Some(SQLITE_PERM | SQLITE_READONLY | SQLITE_CANTOPEN) => StoreError::unavailable(
            file,
            "make the file and its directory writable for the user that the program runs as",
            error,
        ),
        // A missing table or a broken rule of the schema: somebody else's hand was in it.
        Some(SQLITE_CORRUPT | SQLITE_NOTADB | SQLITE_ERROR | SQLITE_CONSTRAINT) => {
            StoreError::corrupt(file, error)
        }
        _ => StoreError::unavailable(file, "look at its disk and the system's log", error),
    }
}

/// Refuses `text` as `what` if it holds the value of a token.
fn refuse_value(text: &str, what: &'static str) -> Result<(), StoreError> {
    if mask_values(text) == text { Ok(()) } else { Err(StoreError::Revealing(what)) }
}

/// How many times longer than one call it may take to count all tokens of an organization.
const ALL_TOKENS_FACTOR: u32 = 30;

const TIMED_OUT: &str = "it takes too long; look at the load of the machine and its disk, and try again";

const SQLITE_ERROR: i32 = 1;
const SQLITE_PERM: i32 = 3;
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_READONLY: i32 = 8;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_NOTADB: i32 = 26;

#[cfg(test)]
mod tests;
