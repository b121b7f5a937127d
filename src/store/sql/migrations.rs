//! The schema's history, and what of it a database lacks.
//!
//! A migration that was released is never edited: its checksum is kept in the databases it was applied to. A gate may be running while a
//! newer command line migrates its store, so a migration only adds. Both databases have the same versions, and after each the same tables
//! and columns; PostgreSQL's history begins with version 4.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType};

use super::Failure;
use crate::store::StoreError;

/// A database being migrated: its history, where it keeps what was applied, and its name for messages.
pub(in crate::store) struct Migrating<'m> {
    /// Version, description, text.
    pub(in crate::store) history: &'m [(i64, &'static str, &'static str)],
    /// The table of what was applied.
    pub(in crate::store) table: &'static str,
    /// The store's name.
    pub(in crate::store) store: &'m str,
}

/// The migrations that a database lacks; it may have none that this program does not know. `has_table` says whether any was applied.
pub(in crate::store) async fn missing(
    connection: &mut impl Migrate,
    migrating: &Migrating<'_>,
    has_table: bool,
) -> Result<Vec<Migration>, Failure> {
    let migration = |(version, description, text): &(i64, &'static str, &'static str)| {
        let text = (*text).into_sql_str();
        Migration::new(*version, (*description).into(), MigrationType::Simple, text, false)
    };
    let mut missing: Vec<_> = migrating.history.iter().map(migration).collect();
    if !has_table {
        return Ok(missing);
    }
    let applied = connection.list_applied_migrations(migrating.table).await;
    for applied in applied.map_err(|error| failure(migrating, error))? {
        let version = applied.version;
        let newer = || failure(migrating, MigrateError::VersionMissing(version));
        let place = missing.iter().position(|known| known.version == version).ok_or_else(newer)?;
        if missing.remove(place).checksum != applied.checksum {
            return Err(failure(migrating, MigrateError::VersionMismatch(version)));
        }
    }
    Ok(missing)
}

/// Applies migrations in the transaction that is open.
pub(in crate::store) async fn apply_all(
    connection: &mut impl Migrate,
    migrating: &Migrating<'_>,
    missing: &[Migration],
) -> Result<(), Failure> {
    connection.ensure_migrations_table(migrating.table).await.map_err(|error| failure(migrating, error))?;
    for migration in missing {
        connection.apply(migrating.table, migration).await.map_err(|error| failure(migrating, error))?;
    }
    Ok(())
}

fn failure(migrating: &Migrating<'_>, error: MigrateError) -> Failure {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Failure::Sql(error),
        MigrateError::VersionMissing(version) => StoreError::unsupported(
            migrating.store,
            format!(
                "was made by a newer version of this program (schema {version}); use that version or a newer one"
            ),
        )
        .into(),
        error => StoreError::corrupt(migrating.store, error).into(),
    }
}
