//! The store in one SQLite file, for one machine.
//!
//! One connection writes, a few read; each is a thread of its own, so nothing here blocks the runtime. The journal is a write-ahead log
//! (readers never wait for the writer), `synchronous = FULL`: an acknowledged revocation survives a power failure, which `NORMAL` does
//! not promise in this mode. Several processes may use the file at once, such as a gate and the command line beside it; every change is
//! one `BEGIN IMMEDIATE` transaction, so that they queue at its beginning and never fail at its end.
//!
//! What is done with it is in `store/sql.rs`. The file is never opened but through SQLite: closing any other descriptor of it would drop this process's locks on it
//! (<https://sqlite.org/howtocorrupt.html>, section 2.2).
//!
//! Every call first makes sure that the path still leads to the file that was opened. A file that was moved, deleted or replaced would
//! go on answering through the open connections, from the past; it counts as unavailable until it is back.
//!
//! Read `open.rs` for what happens at the start, `watch.rs` for how changes are heard of.

mod filesystem;
mod open;
mod watch;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{ConnectOptions, SqliteConnection};

pub(super) use watch::Watch;

use super::error::StoreError;
use super::sql::{Failure, Held, Session, TIMED_OUT};

/// The store in one SQLite file. Clones share their connections.
#[derive(Clone, Debug)]
pub(super) struct Embedded {
    writer: SqlitePool,
    readers: SqlitePool,
    /// How to make one more reading connection.
    reading: SqliteConnectOptions,
    file: Arc<DatabaseFile>,
}

/// The file that was opened.
#[derive(Debug)]
struct DatabaseFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Embedded {
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Succeeds if the path still leads to the file that was opened.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        self.file.check().await
    }

    /// A connection to read with.
    pub(super) async fn reader(&self) -> Result<Session, Failure> {
        Ok(Session::Sqlite(Held::Pooled(self.readers.acquire().await?)))
    }

    /// A transaction that holds the write lock. It is taken at once: a transaction that read first and then wrote could fail half-way.
    pub(super) async fn begin(&self) -> Result<Session, Failure> {
        Ok(Session::Sqlite(Held::Changing(self.writer.begin_with("BEGIN IMMEDIATE").await?)))
    }

    /// One more connection to read with, in nobody else's hands.
    async fn alone(&self) -> Result<SqliteConnection, Failure> {
        Ok(self.reading.connect().await?)
    }

    /// A connection on which everything is of the moment of its first reading.
    pub(super) async fn snapshot(&self) -> Result<Session, Failure> {
        Ok(Session::Sqlite(Held::Changing(self.readers.begin().await?)))
    }

    pub(super) fn meaning(&self, error: sqlx::Error) -> StoreError {
        meaning(&self.file.path, error)
    }

    pub(super) fn name(&self) -> String {
        self.file.path.display().to_string()
    }
}

impl DatabaseFile {
    /// Succeeds if the path still leads to the file that was opened.
    async fn check(&self) -> Result<(), StoreError> {
        match tokio::fs::metadata(&self.path).await {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(StoreError::unavailable(
                self.path.display(),
                "restart to use the file that is there now",
                "the file was replaced since it was opened",
            )),
            Err(error) => Err(StoreError::unavailable(
                self.path.display(),
                "put the file back and make it readable",
                error,
            )),
        }
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
            return StoreError::corrupt(file.display(), error);
        }
        sqlx::Error::PoolTimedOut => return StoreError::unavailable(file.display(), TIMED_OUT, error),
        _ => None,
    };
    match extended.map(|code| code & 0xff) {
        Some(SQLITE_BUSY | SQLITE_LOCKED) => {
            StoreError::unavailable(file.display(), "another process is writing to it; try again", error)
        }
        Some(SQLITE_FULL) => StoreError::unavailable(file.display(), "make room on its disk", error),
        Some(SQLITE_PERM | SQLITE_READONLY | SQLITE_CANTOPEN) => StoreError::unavailable(
            file.display(),
            "make the file and its directory writable for the user that the program runs as",
            error,
        ),
        // A missing table or a broken rule of the schema: somebody else's hand was in it.
        Some(SQLITE_CORRUPT | SQLITE_NOTADB | SQLITE_ERROR | SQLITE_CONSTRAINT) => {
            StoreError::corrupt(file.display(), error)
        }
        _ => StoreError::unavailable(file.display(), "look at its disk and the system's log", error),
    }
}

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
