//! A connection to either database, and whether a transaction is open on it.
//!
//! Knows no table. Dropping a session undoes the transaction that was begun and not committed.

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use crate::store::postgres::Lease;

/// What statements are run on.
#[derive(Debug)]
pub(in crate::store) enum Session {
    /// One of the connections to a database file.
    Sqlite(Held),
    /// One of the connections to a server.
    Postgres(Lease),
}

/// How a connection to a database file is held.
#[derive(Debug)]
pub(in crate::store) enum Held {
    /// Borrowed from a pool, without a transaction.
    Pooled(PoolConnection<Sqlite>),
    /// In nobody else's hands, without a transaction.
    Alone(SqliteConnection),
    /// Borrowed from a pool, with a transaction begun.
    Changing(Transaction<'static, Sqlite>),
}

impl Session {
    /// Makes what was done in the transaction true.
    pub(in crate::store) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(Held::Changing(transaction)) => transaction.commit().await,
            // Each statement was true at once.
            Self::Sqlite(Held::Pooled(_) | Held::Alone(_)) => Ok(()),
            Self::Postgres(lease) => lease.commit().await,
        }
    }
}

impl Held {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Pooled(connection) => connection,
            Self::Alone(connection) => connection,
            Self::Changing(transaction) => transaction,
        }
    }
}
