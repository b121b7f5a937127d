//! A statement for either database, with the values it is run with, and the rows it gives.
//!
//! Both take `$1` for the first value. Values and columns are integers (`INTEGER`, `bigint`), texts (`TEXT`, `text`) and bytes (`BLOB`,
//! `bytea`); whatever else there is, such as a truth, is one of these. Statements name their columns: the plan of a `SELECT *` that a
//! running gate has prepared breaks on PostgreSQL when a newer version's migration adds one.

use sqlx::query::Query;
use sqlx::{
    AssertSqlSafe, Database, Decode, Encode, Postgres, Row as _, SqlSafeStr as _, SqlStr, Sqlite, Type,
};
use uuid::Uuid;

use super::row::decode;
use super::session::Session;
use crate::clock::Timestamp;
use crate::token::TokenDigest;

/// A text of SQL and its values.
#[derive(Debug)]
pub(in crate::store) struct Statement {
    sqlite: SqlStr,
    postgres: SqlStr,
    values: Vec<Value>,
}

/// A statement that both databases understand.
pub(in crate::store) fn sql(text: &'static str) -> Statement {
    either(text, text)
}

/// A statement in the dialect of each.
pub(in crate::store) fn either(sqlite: &'static str, postgres: &'static str) -> Statement {
    Statement { sqlite: sqlite.into_sql_str(), postgres: postgres.into_sql_str(), values: Vec::new() }
}

/// A statement that both databases understand, put together of names of tables and columns; never of values.
pub(in crate::store) fn composed(text: String) -> Statement {
    let text = AssertSqlSafe(text).into_sql_str();
    Statement { sqlite: text.clone(), postgres: text, values: Vec::new() }
}

impl Statement {
    /// With the next value.
    pub(in crate::store) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it, and says how many rows it touched.
    pub(in crate::store) async fn execute(self, session: &mut Session) -> Result<u64, sqlx::Error> {
        match session {
            Session::Sqlite(held) => {
                let query = prepared::<Sqlite>(self.sqlite, self.values);
                Ok(query.execute(held.connection()).await?.rows_affected())
            }
            Session::Postgres(lease) => {
                let query = prepared::<Postgres>(self.postgres, self.values);
                Ok(lease.run(async |connection| query.execute(connection).await).await?.rows_affected())
            }
        }
    }

    /// All rows.
    pub(in crate::store) async fn fetch_all(self, session: &mut Session) -> Result<Vec<Row>, sqlx::Error> {
        match session {
            Session::Sqlite(held) => {
                let query = prepared::<Sqlite>(self.sqlite, self.values);
                Ok(query.fetch_all(held.connection()).await?.into_iter().map(Row::Sqlite).collect())
            }
            Session::Postgres(lease) => {
                let query = prepared::<Postgres>(self.postgres, self.values);
                let rows = lease.run(async |connection| query.fetch_all(connection).await).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// The first row, if there is one.
    pub(in crate::store) async fn fetch_optional(
        self,
        session: &mut Session,
    ) -> Result<Option<Row>, sqlx::Error> {
        match session {
            Session::Sqlite(held) => {
                let query = prepared::<Sqlite>(self.sqlite, self.values);
                Ok(query.fetch_optional(held.connection()).await?.map(Row::Sqlite))
            }
            Session::Postgres(lease) => {
                let query = prepared::<Postgres>(self.postgres, self.values);
                let row = lease.run(async |connection| query.fetch_optional(connection).await).await?;
                Ok(row.map(Row::Postgres))
            }
        }
    }

    /// The first row, which must be there.
    pub(in crate::store) async fn fetch_one(self, session: &mut Session) -> Result<Row, sqlx::Error> {
        self.fetch_optional(session).await?.ok_or(sqlx::Error::RowNotFound)
    }
}

fn prepared<D>(text: SqlStr, values: Vec<Value>) -> Query<'static, D, D::Arguments>
where
    D: Database,
    Option<i64>: Encode<'static, D> + Type<D>,
    Option<String>: Encode<'static, D> + Type<D>,
    Option<Vec<u8>>: Encode<'static, D> + Type<D>,
{
    values.into_iter().fold(sqlx::query::<D>(text), |query, value| match value {
        Value::Integer(integer) => query.bind(integer),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
    })
}

/// What a statement is run with; each may be NULL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum Value {
    /// An integer, a time (milliseconds since the Unix epoch) or a truth (0 or 1).
    Integer(Option<i64>),
    /// A text.
    Text(Option<String>),
    /// Bytes: an id, a digest.
    Bytes(Option<Vec<u8>>),
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(Some(integer))
    }
}

impl From<Option<i64>> for Value {
    fn from(integer: Option<i64>) -> Self {
        Self::Integer(integer)
    }
}

impl From<u32> for Value {
    fn from(integer: u32) -> Self {
        Self::Integer(Some(integer.into()))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Integer(Some(truth.into()))
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::Integer(Some(time.as_millis()))
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(time: Option<Timestamp>) -> Self {
        Self::Integer(time.map(Timestamp::as_millis))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<&Option<String>> for Value {
    fn from(text: &Option<String>) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Uuid> for Value {
    fn from(id: Uuid) -> Self {
        Self::Bytes(Some(id.as_bytes().to_vec()))
    }
}

impl From<Option<Uuid>> for Value {
    fn from(id: Option<Uuid>) -> Self {
        Self::Bytes(id.map(|id| id.as_bytes().to_vec()))
    }
}

impl From<&TokenDigest> for Value {
    fn from(digest: &TokenDigest) -> Self {
        Self::Bytes(Some(digest.as_bytes().to_vec()))
    }
}

impl From<Option<&TokenDigest>> for Value {
    fn from(digest: Option<&TokenDigest>) -> Self {
        Self::Bytes(digest.map(|digest| digest.as_bytes().to_vec()))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl From<[u8; 32]> for Value {
    fn from(digest: [u8; 32]) -> Self {
        Self::Bytes(Some(digest.to_vec()))
    }
}

/// What a statement gives. Its columns are read by their names.
#[derive(Debug)]
pub(in crate::store) enum Row {
    /// Of a database file.
    Sqlite(sqlx::sqlite::SqliteRow),
    /// Of a server.
    Postgres(sqlx::postgres::PgRow),
}

impl Row {
    /// The value of a column: an integer, a text or bytes, or an option of one.
    pub(in crate::store) fn read<'r, T>(&'r self, column: &str) -> Result<T, sqlx::Error>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// A truth.
    pub(in crate::store) fn is(&self, column: &str) -> Result<bool, sqlx::Error> {
        Ok(self.read::<i64>(column)? != 0)
    }

    /// A number that is never negative.
    pub(in crate::store) fn count(&self, column: &str) -> Result<u32, sqlx::Error> {
        u32::try_from(self.read::<i64>(column)?).map_err(decode)
    }
}
