//! The tables of a store as rows of values, page by page in the order of their keys, which is the same in both databases.

use std::collections::BTreeMap;

use crate::store::sql::Failure;
use crate::store::sql::row::decode;
use crate::store::sql::session::Session;
use crate::store::sql::statement::{Row, Statement, Value, composed, either};

/// A table that belongs to what a store holds.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Its primary key.
    key: &'static [&'static str],
    /// Which of its rows belong to it; all without.
    condition: Option<&'static str>,
    /// The rows that make room for others, by what is unique among the rest: they are brought up to date first.
    pub(super) first: Option<&'static str>,
    /// Rows are only ever added to it.
    pub(super) is_appended: bool,
}

/// All of them; a row only refers to rows of tables before its own. Not `gates`, which is about those who use the store.
pub(super) const TABLES: [Table; 21] = [
    Table { condition: Some("name <> 'migrating_from'"), ..table("meta", &["name"]) },
    // Early: it is by the audit that a copy is told from another store.
    Table { is_appended: true, ..table("audit", &["seq"]) },
    table("organizations", &["id"]),
    table("cancellations", &["organization_id", "subscription_number"]),
    table("seats", &["organization_id", "user_name"]),
    table("users", &["name"]),
    table("identities", &["issuer", "subject"]),
    table("sessions", &["digest"]),
    table("device_authorizations", &["device_digest"]),
    table("signing_keys", &["kid"]),
    table("groups", &["id"]),
    table("group_members", &["group_id", "user_name"]),
    table("restrictions", &["organization_id", "channel"]),
    table("grants", &["group_id", "channel"]),
    Table { first: Some("ended_at IS NOT NULL"), ..table("tokens", &["id"]) },
    table("token_uses", &["token_id"]),
    table("request_keys", &["digest"]),
    table("seen_directories", &["number"]),
    table("seen", &["directory", "digest"]),
    table("changes", &["seq"]),
    table("feed", &["only"]),
];

const fn table(name: &'static str, key: &'static [&'static str]) -> Table {
    Table { name, key, condition: None, first: None, is_appended: false }
}

/// A table with its columns, as a database has them. Their order is that of their names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    table: &'static str,
    columns: Vec<(String, Kind)>,
    key: &'static [&'static str],
    condition: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    Text,
    Bytes,
}

/// The values of a row, in the order of its columns; of a key, in its own.
pub(super) type Values = Vec<Value>;

/// Rows by their keys.
pub(super) type Page = BTreeMap<Values, Values>;

impl Layout {
    /// The table as this database has it.
    pub(super) async fn read(table: &Table, session: &mut Session) -> Result<Self, Failure> {
        let statement = either(
            "SELECT name, lower(type) AS kind FROM pragma_table_xinfo($1) WHERE hidden = 0",
            "SELECT column_name::text AS name, data_type::text AS kind FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = $1 AND is_generated = 'NEVER'",
        );
        let rows = statement.bind(table.name).fetch_all(session).await?;
        let mut columns = rows.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        columns.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self { table: table.name, columns, key: table.key, condition: table.condition })
    }

    /// At most `limit` rows behind the key `after` and up to the key `until`, of those that are `such`.
    pub(super) async fn page(
        &self,
        session: &mut Session,
        after: Option<&Values>,
        until: Option<&Values>,
        such: Option<&str>,
        limit: usize,
    ) -> Result<Page, Failure> {
        let mut conditions: Vec<String> =
            self.condition.into_iter().chain(such).map(ToOwned::to_owned).collect();
        let mut values = Values::new();
        for (key, is) in [(after, ">"), (until, "<=")] {
            if let Some(key) = key {
                conditions.push(format!(
                    "({}) {is} ({})",
                    self.key_list(),
                    placeholders(values.len(), key.len())
                ));
                values.extend(key.iter().cloned());
            }
        }
        let such = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        let (columns, key) = (self.column_list(), self.key_list());
        let text = format!("SELECT {columns} FROM \"{}\"{such} ORDER BY {key} LIMIT {limit}", self.table);
        let rows = bound(composed(text), values).fetch_all(session).await?;
        rows.iter().map(|row| Ok(self.keyed(self.values(row)?))).collect()
    }

    /// Writes rows, each over the one of its key.
    pub(super) async fn write(
        &self,
        session: &mut Session,
        rows: &[&Values],
        appended: bool,
    ) -> Result<(), Failure> {
        let others: Vec<_> =
            self.columns.iter().filter(|(name, _)| !self.key.contains(&name.as_str())).collect();
        let update = match (appended, others.is_empty()) {
            (true, _) => String::new(),
            (false, true) => format!(" ON CONFLICT ({}) DO NOTHING", self.key_list()),
            (false, false) => {
                let set = others
                    .iter()
                    .map(|(name, _)| format!("\"{name}\" = excluded.\"{name}\""))
                    .collect::<Vec<_>>();
                format!(" ON CONFLICT ({}) DO UPDATE SET {}", self.key_list(), set.join(", "))
            }
        };
        for rows in rows.chunks(ROWS_PER_STATEMENT) {
            let width = self.columns.len();
            let tuples: Vec<_> =
                (0..rows.len()).map(|row| format!("({})", placeholders(row * width, width))).collect();
            let (columns, tuples) = (self.column_list(), tuples.join(", "));
            let text = format!("INSERT INTO \"{}\" ({columns}) VALUES {tuples}{update}", self.table);
            let values = rows.iter().flat_map(|row| row.iter().cloned());
            bound(composed(text), values).execute(session).await?;
        }
        Ok(())
    }

    /// Removes the row of a key.
    pub(super) async fn remove(&self, session: &mut Session, key: &Values) -> Result<(), Failure> {
        let text = format!(
            "DELETE FROM \"{}\" WHERE ({}) = ({})",
            self.table,
            self.key_list(),
            placeholders(0, key.len())
        );
        bound(composed(text), key.iter().cloned()).execute(session).await?;
        Ok(())
    }

    fn values(&self, row: &Row) -> Result<Values, sqlx::Error> {
        let value = |(name, kind): &(String, Kind)| {
            Ok(match kind {
                Kind::Integer => Value::Integer(row.read(name)?),
                Kind::Text => Value::Text(row.read(name)?),
                Kind::Bytes => Value::Bytes(row.read(name)?),
            })
        };
        self.columns.iter().map(value).collect()
    }

    /// A row with its key.
    fn keyed(&self, values: Values) -> (Values, Values) {
        let of_key = |part: &&str| {
            let place = self.columns.iter().position(|(name, _)| name == part);
            place.and_then(|place| values.get(place)).cloned()
        };
        (self.key.iter().filter_map(of_key).collect(), values)
    }

    fn column_list(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        names.join(", ")
    }

    fn key_list(&self) -> String {
        let names: Vec<_> = self.key.iter().map(|name| format!("\"{name}\"")).collect();
        names.join(", ")
    }
}

fn column(row: &Row) -> Result<(String, Kind), sqlx::Error> {
    let kind = match row.read::<String>("kind")?.as_str() {
        "integer" | "bigint" => Kind::Integer,
        "text" => Kind::Text,
        "blob" | "bytea" => Kind::Bytes,
        other => return Err(decode(format!("\"{other}\" is no type of ours"))),
    };
    Ok((row.read("name")?, kind))
}

/// `$3, $4` for two behind two.
fn placeholders(behind: usize, count: usize) -> String {
    let all: Vec<_> = (behind + 1..=behind + count).map(|number| format!("${number}")).collect();
    all.join(", ")
}

fn bound(statement: Statement, values: impl IntoIterator<Item = Value>) -> Statement {
    values.into_iter().fold(statement, Statement::bind)
}

/// Stays far below the number of values that a statement may have in either database.
const ROWS_PER_STATEMENT: usize = 50;
