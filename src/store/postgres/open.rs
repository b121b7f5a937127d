//! Opening the store on a server: its URL, its limits, whether the database is ours and of which version.
//!
//! Migrations are applied under an advisory lock in one transaction: of several gates that start at once one applies them, and the others
//! find them applied. Where none is missing, no lock is taken. A database, or the schema of it that the connection's `search_path` names
//! first, that holds tables and none of ours is another program's.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::timeout;
use url::Url;

use super::pool::{Pool, Side};
use super::replica::Replica;
use super::{Postgres, meaning};
use crate::store::sql::{Failure, Migrating, TIMED_OUT, apply_all, missing};
use crate::store::{Config, StoreError};

impl Postgres {
    pub(in crate::store) async fn open(config: &Config) -> Result<Self, StoreError> {
        let (options, name) = options(&config.url, "store.url", config)?;
        let replica = match &config.read_url {
            None => None,
            Some(url) => {
                let (options, _) = self::options(url, "store.read_url", config)?;
                let patience = config.query_timeout / 4;
                let pool =
                    Pool::new(options, Side::Replica, config.connections_max.max(1) as usize, patience);
                Some(Replica::new(pool, patience, config.heartbeat))
            }
        };
        match timeout(OPENED_WITHIN, adopt(&options, &name)).await {
            Ok(Ok(())) => {}
            Ok(Err(Failure::Store(error))) => return Err(error),
            Ok(Err(Failure::Sql(error))) => return Err(meaning(&name, error)),
            Err(elapsed) => return Err(StoreError::unavailable(&name, TIMED_OUT, elapsed)),
        }
        let pool = |connections| Pool::new(options.clone(), Side::Primary, connections, config.query_timeout);
        Ok(Self {
            writer: pool(1),
            readers: pool(config.connections_max.max(1) as usize),
            replica,
            name: name.into(),
            options,
        })
    }
}

/// What is wrong with a URL of a PostgreSQL server, if anything is.
///
/// # Errors
///
/// The problem, without anything of the URL, which may hold a password.
pub fn check_postgres_url(url: &str) -> Result<(), &'static str> {
    parse(url).map(|_| ())
}

fn parse(url: &str) -> Result<PgConnectOptions, &'static str> {
    let parsed = Url::parse(url).map_err(|_| "is no URL; it must be postgres://USER@HOST/DATABASE")?;
    if parsed.query_pairs().any(|(parameter, _)| !is_known(&parameter)) {
        return Err("has a parameter that this program does not know");
    }
    PgConnectOptions::from_str(url)
        .map_err(|_| "has a parameter with a value that this program does not know")
}

/// How to connect, and the server's name without user and password. The limits hold on the server's side, for a client that went away.
fn options(url: &str, key: &str, config: &Config) -> Result<(PgConnectOptions, String), StoreError> {
    let options = parse(url).map_err(|problem| StoreError::Url { url: key.into(), problem })?;
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    let name = format!("postgres://{place}:{}/{database}", options.get_port());
    let options = match options.get_application_name() {
        None => options.application_name("channelgate"),
        Some(_) => options,
    };
    let options = options.disable_statement_logging();
    let options = limited(options, "statement_timeout", config.query_timeout);
    let options = limited(options, "lock_timeout", config.busy_timeout);
    let options = limited(options, "idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION);
    let options = limited(options, "tcp_user_timeout", UNANSWERED);
    let options = options.options([
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "2"),
    ]);
    Ok((options, name))
}

/// With a limit of the server's, in milliseconds.
pub(super) fn limited(options: PgConnectOptions, limit: &str, duration: Duration) -> PgConnectOptions {
    options.options([(limit, duration.as_millis().max(1))])
}

/// The driver warns of others with their values, and goes on.
fn is_known(parameter: &str) -> bool {
    const KNOWN: [&str; 11] = [
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "host",
        "port",
        "dbname",
        "user",
        "password",
        "application_name",
        "options",
    ];
    KNOWN.contains(&parameter) || (parameter.starts_with("options[") && parameter.ends_with(']'))
}

/// Makes sure that the database is ours and of this version; brings an older one up to it.
async fn adopt(options: &PgConnectOptions, name: &str) -> Result<(), Failure> {
    // A migration takes as long as it takes, and waits for that of another gate.
    let options = limited(options.clone(), "statement_timeout", OPENED_WITHIN);
    let options = limited(options, "lock_timeout", OPENED_WITHIN);
    let mut connection = options.connect().await?;
    let encoding: String =
        sqlx::query_scalar("SELECT current_setting('server_encoding')").fetch_one(&mut connection).await?;
    if encoding != "UTF8" {
        let problem = format!("has a database in the encoding {encoding}; create one with ENCODING 'UTF8'");
        return Err(StoreError::unsupported(name, problem).into());
    }
    let migrating = Migrating { history: &HISTORY, table: MIGRATIONS_TABLE, store: name };
    let is_ours = is_ours(&mut connection, name).await?;
    if !missing(&mut connection, &migrating, is_ours).await?.is_empty() {
        let standby: bool =
            sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut connection).await?;
        if standby {
            return Err(sqlx::Error::Configuration("the server is a standby".into()).into());
        }
        let mut transaction = connection.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(7163384699739922805)").execute(&mut *transaction).await?;
        let is_ours = self::is_ours(&mut transaction, name).await?;
        let missing = missing(&mut *transaction, &migrating, is_ours).await?;
        apply_all(&mut *transaction, &migrating, &missing).await?;
        transaction.commit().await?;
    }
    Ok(connection.close().await?)
}

/// True if the schema holds our tables; it may hold none.
async fn is_ours(connection: &mut PgConnection, name: &str) -> Result<bool, Failure> {
    let (schema, ours, others): (Option<String>, i64, i64) = sqlx::query_as(
        "SELECT current_schema()::text, count(*) FILTER (WHERE c.relname = $1), count(*) FILTER (WHERE c.relname <> $1) \
         FROM pg_catalog.pg_class c WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p') \
         AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
    )
    .bind(MIGRATIONS_TABLE)
    .fetch_one(connection)
    .await?;
    match (schema, ours, others) {
        (None, _, _) => Err(StoreError::unsupported(
            name,
            "has no schema to keep tables in; create the one that its search_path names",
        )
        .into()),
        (Some(_), 0, 1..) => Err(StoreError::unsupported(
            name,
            "holds the tables of another program; name another database, or another schema by ?options[search_path]=SCHEMA",
        )
        .into()),
        (Some(_), ours, _) => Ok(ours > 0),
    }
}

/// The schema's history, which begins where SQLite's was when PostgreSQL came.
const HISTORY: [(i64, &str, &str); 5] = [
    (4, "the schema as it was when PostgreSQL came", include_str!("migrations/0004_schema.sql")),
    (5, "grants of packages and labels", include_str!("migrations/0005_views.sql")),
    (6, "when artifacts were first seen", include_str!("migrations/0006_seen.sql")),
    (7, "the gates", include_str!("migrations/0007_gates.sql")),
    (8, "people who sign in, and API keys", include_str!("migrations/0008_people.sql")),
];

/// Where it is kept which migrations were applied. Not under the driver's usual name: other programs use that.
const MIGRATIONS_TABLE: &str = "channelgate_migrations";

/// How long connecting and migrating may take.
const OPENED_WITHIN: Duration = Duration::from_secs(300);

/// How long the server waits for a client in the middle of a change before it undoes it.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(5);

/// How long the server waits for the network's acknowledgement before it takes the client for dead.
const UNANSWERED: Duration = Duration::from_secs(20);
