//! Opening the database file: where it may be, whose it is, whether it is whole and of which version.
//!
//! A missing file is made under another name and put in place complete, so a file of ours never is half made and never is empty: an
//! empty one is a loss, and beginning anew in silence would turn every token into an unknown one. Nothing here reads more than a few
//! pages, however large the file. A truncated file is found by SQLite itself, which compares the page count in the header with the
//! file's size when it first reads.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Access;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{DatabaseFile, Embedded, Failure, filesystem, meaning};
use crate::store::sql::{Migrating, apply_all, missing};
use crate::store::{Config, StoreError};

impl Embedded {
    pub(in crate::store) async fn open(config: &Config) -> Result<Self, StoreError> {
        let path = path_of(&config.url)?;
        let exists = on_blocking_thread(path.clone(), prepare_place).await?;
        if !exists {
            create(&path, config).await?;
        }
        let file = on_blocking_thread(path, examine).await?;

        let writing = options(&file.path, config).journal_mode(SqliteJournalMode::Wal);
        let reading = options(&file.path, config).pragma("query_only", "ON");
        adopt(&file.path, config, &writing).await?;

        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(config.query_timeout)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                // A transaction that SQLite ended by itself, as on a full disk, cannot be ended again: the driver would take the
                // connection for one with an open transaction for ever, and refuse to begin another. The ping lets what is under way end.
                .after_release(|connection, _| {
                    Box::pin(async move {
                        connection.ping().await?;
                        Ok(!connection.is_in_transaction())
                    })
                })
        };
        Ok(Self {
            writer: pool(1).connect_lazy_with(writing),
            readers: pool(config.connections_max.max(1)).connect_lazy_with(reading.clone()),
            reading,
            file: Arc::new(file),
        })
    }
}

/// The file that a URL names, as an absolute path.
fn path_of(url: &str) -> Result<PathBuf, StoreError> {
    let error = |problem| StoreError::Url { url: format!("store.url \"{url}\"").into(), problem };
    let path = url.strip_prefix("sqlite:").ok_or_else(|| {
        error(
            "names no store that this version knows; it must be sqlite:PATH or postgres://USER@HOST/DATABASE",
        )
    })?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains(":memory:") {
        return Err(error("names no file; it must be sqlite:PATH"));
    }
    if path.contains(['?', '#', '%']) {
        return Err(error("has parameters or escapes; it must be sqlite:PATH with a plain path"));
    }
    std::path::absolute(path).map_err(|_| error("is relative, and there is no working directory"))
}

/// Makes the directory where it is missing and refuses one that cannot hold a store. True if there is a file already.
fn prepare_place(path: &Path) -> Result<bool, StoreError> {
    let directory = directory_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
        StoreError::unavailable(path.display(), "its directory cannot be made; name another one", error)
    })?;
    // The file's own place, if it is a link to somewhere else.
    let exists = path.symlink_metadata().is_ok();
    let place = if exists { path } else { directory };
    let kind = filesystem::network_kind(place)
        .map_err(|error| StoreError::unavailable(path.display(), "its file system does not answer", error))?;
    if let Some(kind) = kind {
        return Err(StoreError::unsupported(
            path.display(),
            format!(
                "is on a network file system ({kind}), where its locks do not work; put it on a local disk"
            ),
        ));
    }
    writable(directory, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| StoreError::unavailable(path.display(), "make its directory writable", error))?;
    Ok(exists)
}

/// Looks at the file that is there, without opening it.
fn examine(path: &Path) -> Result<DatabaseFile, StoreError> {
    let unreadable = |error: io::Error| {
        StoreError::unavailable(path.display(), "make the file readable and writable", error)
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(StoreError::unsupported(path.display(), "is not a file; name a file in store.url"));
    }
    if metadata.len() == 0 {
        return Err(StoreError::corrupt(path.display(), "the file is empty"));
    }
    writable(path, Access::READ_OK | Access::WRITE_OK).map_err(unreadable)?;
    Ok(DatabaseFile { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
}

/// Makes a complete database under another name and puts it in place, unless another process was faster.
async fn create(path: &Path, config: &Config) -> Result<(), StoreError> {
    let failed =
        |error: io::Error| StoreError::unavailable(path.display(), "make its directory writable", error);
    let directory = directory_of(path);
    let temporary = tempfile::Builder::new()
        .prefix(".channelgate-")
        .suffix(".new")
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(directory)
        .map_err(failed)?
        .into_temp_path();
    let initialized = async {
        // In its final mode from the beginning: openers that had to switch it would find it locked by each other.
        let options = options(&temporary, config).journal_mode(SqliteJournalMode::Wal);
        let mut connection = options.connect().await?;
        migrate(path, &mut connection).await?;
        Ok::<_, Failure>(connection.close().await?)
    };
    initialized.await.map_err(|failure| told(path, failure))?;
    match temporary.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error.error)),
        _ => {}
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

/// Makes sure that the database is ours and of this version; brings an older one up to it.
async fn adopt(path: &Path, config: &Config, writing: &SqliteConnectOptions) -> Result<(), StoreError> {
    let adopted = async {
        // Before anything is written, even the journal's mode: it may be somebody else's.
        let mut connection = options(path, config).connect().await?;
        let owner: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut connection).await?;
        if owner != APPLICATION_ID {
            return Err(StoreError::unsupported(
                path.display(),
                "is the database of another program; name another file in store.url",
            )
            .into());
        }
        connection.close().await?;

        let mut connection = writing.connect().await?;
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await?;
        if journal != "wal" {
            return Err(StoreError::unsupported(
                path.display(),
                "is on a file system without shared memory; put it on a local disk",
            )
            .into());
        }
        migrate(path, &mut connection).await?;
        Ok::<_, Failure>(connection.close().await?)
    };
    adopted.await.map_err(|failure| told(path, failure))
}

/// Applies the migrations that are missing, all or none. Where none is, no lock is taken.
async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), Failure> {
    let store = path.display().to_string();
    let migrating = Migrating { history: &HISTORY, table: MIGRATIONS_TABLE, store: &store };
    let is_there = has_table(connection).await?;
    if missing(connection, &migrating, is_there).await?.is_empty() {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let is_there = has_table(&mut transaction).await?;
    let missing = missing(&mut *transaction, &migrating, is_there).await?;
    apply_all(&mut *transaction, &migrating, &missing).await?;
    Ok(transaction.commit().await?)
}

async fn has_table(connection: &mut SqliteConnection) -> Result<bool, Failure> {
    let table = sqlx::query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?");
    Ok(table.bind(MIGRATIONS_TABLE).fetch_optional(connection).await?.is_some())
}

/// The schema's history.
const HISTORY: [(i64, &str, &str); 8] = [
    (1, "organizations, tokens and the feed", include_str!("migrations/0001_tokens.sql")),
    (2, "seats, groups, the audit and last use", include_str!("migrations/0002_model.sql")),
    (3, "operators' tokens and the keys of requests", include_str!("migrations/0003_api.sql")),
    (4, "subscriptions of tokens, indexes for millions", include_str!("migrations/0004_size.sql")),
    (5, "grants of packages and labels", include_str!("migrations/0005_views.sql")),
    (6, "when artifacts were first seen", include_str!("migrations/0006_seen.sql")),
    (7, "the gates", include_str!("migrations/0007_gates.sql")),
    (8, "people who sign in, and API keys", include_str!("migrations/0008_people.sql")),
];

fn told(path: &Path, failure: Failure) -> StoreError {
    match failure {
        Failure::Store(error) => error,
        Failure::Sql(error) => meaning(path, error),
    }
}

fn options(path: &Path, config: &Config) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(config.busy_timeout)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .disable_statement_logging()
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn writable(path: &Path, access: Access) -> io::Result<()> {
    rustix::fs::access(path, access).map_err(io::Error::from)
}

async fn on_blocking_thread<T: Send + 'static>(
    path: PathBuf,
    work: fn(&Path) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let name = path.clone();
    tokio::task::spawn_blocking(move || work(&path))
        .await
        .unwrap_or_else(|error| Err(StoreError::unavailable(name.display(), "restart the program", error)))
}

/// Where the driver keeps which migrations were applied.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

/// "cgat", in the header of every database of ours.
const APPLICATION_ID: i64 = 0x6367_6174;
