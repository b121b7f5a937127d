//! What a PostgreSQL server adds to the contract: many gates at once, outages, standbys, neighbours in its database.

use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::sync::Arc;
use std::time::Duration;

use channelgate::account::Subscription;
use channelgate::store::{
    AuditVerdict, Changes, Config, ErrorKind, Reading, Store, StoreError, Subject, Tampering,
};
use channelgate::token::TokenId;
use sqlx::migrate::{Migration, MigrationType};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqlSafeStr};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::contract::{NOW, by, create, digest, revoked, scoped};
use super::embedded::Temporary;
use crate::support::postgres::Cluster;

/// An empty database.
pub(crate) struct Fresh {
    pub(crate) config: Config,
}

impl Fresh {
    pub(crate) async fn new() -> Self {
        Self { config: config(Cluster::shared().database()) }
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.config).await.unwrap()
    }

    /// A connection of somebody else.
    async fn raw(&self) -> PgConnection {
        raw(&self.config.url).await
    }
}

fn config(url: String) -> Config {
    Config { url, ..Config::default() }
}

async fn raw(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

async fn run(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(connection).await.unwrap();
}

async fn insert(store: &Store, name: &str) -> TokenId {
    let token = scoped("acme", name);
    let issued = store.insert_token(&token, &digest(name), &by(), NOW, Duration::ZERO).await;
    issued.unwrap().record.id
}

/// The changes that a poll tells, of tokens by the names that [`insert`] gave them.
fn told(changes: &Changes, names: &[&str]) -> bool {
    let Changes::Read { changes, .. } = changes else { panic!("{changes:?}") };
    let expected: Vec<_> = names.iter().map(|name| Subject::Token(digest(name))).collect();
    changes.iter().map(|change| change.subject).collect::<Vec<_>>() == expected
}

/// Tries until it is so: what is waited for happens in another process.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let tried = timeout(Duration::from_secs(30), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    tried.await.unwrap_or_else(|_| panic!("{what}: not within 30 s"));
}

/// Every column as `table.column type`, `NOT NULL` where it is, with SQLite's names of the types.
async fn columns_of_postgres(connection: &mut PgConnection) -> Vec<String> {
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT table_name || '.' || column_name || ' ' || \
         CASE data_type WHEN 'bytea' THEN 'BLOB' WHEN 'text' THEN 'TEXT' WHEN 'bigint' THEN 'INTEGER' ELSE data_type END || \
         CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END || coalesce(' ' || nullif(collation_name, 'C'), '') \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'channelgate_migrations' ORDER BY 1",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    let mut columns = columns;
    columns.sort();
    columns
}

async fn columns_of_sqlite(place: &Temporary) -> Vec<String> {
    let mut columns: Vec<String> = sqlx::query_scalar(
        "SELECT t.name || '.' || c.name || ' ' || c.type || iif(c.\"notnull\", ' NOT NULL', '') \
         FROM sqlite_schema t, pragma_table_xinfo(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name <> '_sqlx_migrations'",
    )
    .fetch_all(&mut place.raw().await)
    .await
    .unwrap();
    columns.sort();
    columns
}

/// The first version on PostgreSQL, as it was released.
const FIRST: &str = include_str!("../../../src/store/postgres/migrations/0004_schema.sql");

#[tokio::test]
async fn schema_is_the_same_on_both_backends_and_by_every_way_to_it() {
    let place = Temporary::new().await;
    place.open().await;
    let expected = columns_of_sqlite(&place).await;
    assert!(expected.len() > 80, "{expected:#?}");
    let fresh = Fresh::new().await;
    fresh.open().await;
    assert_eq!(columns_of_postgres(&mut fresh.raw().await).await, expected);

    // From the first version on.
    let old = Fresh::new().await;
    let mut connection = old.raw().await;
    run(&mut connection, FIRST).await;
    run(
        &mut connection,
        "CREATE TABLE channelgate_migrations (version bigint PRIMARY KEY, description text NOT NULL, \
         installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL)",
    )
    .await;
    let first = Migration::new(4, "first".into(), MigrationType::Simple, FIRST.into_sql_str(), false);
    sqlx::query("INSERT INTO channelgate_migrations VALUES (4, 'first', now(), true, $1, 0)")
        .bind(&*first.checksum)
        .execute(&mut connection)
        .await
        .unwrap();
    create(&old.open().await, "acme").await;
    assert_eq!(columns_of_postgres(&mut connection).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_that_start_at_once_migrate_once() {
    let fresh = Fresh::new().await;
    let starts: Vec<_> = (0..8)
        .map(|number| {
            let config = fresh.config.clone();
            tokio::spawn(async move {
                let store = Store::open(&config).await.unwrap();
                let name = format!("org{number}");
                store.create_organization(&name, "", Subscription::default(), &by(), NOW).await.unwrap();
            })
        })
        .collect();
    for start in starts {
        start.await.unwrap();
    }
    assert_eq!(fresh.open().await.organizations(None, 100).await.unwrap().len(), 8);
}

#[tokio::test]
async fn databases_of_others_are_refused() {
    let others = Fresh::new().await;
    run(&mut others.raw().await, "CREATE TABLE groups (id bigint)").await;
    let refused = Store::open(&others.config).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    assert!(refused.to_string().contains("the tables of another program"), "{refused}");
    // A schema of its own is enough.
    run(&mut others.raw().await, "CREATE SCHEMA gate").await;
    let config = config(format!("{}?options[search_path]=gate", others.config.url));
    create(&Store::open(&config).await.unwrap(), "acme").await;
    assert!(Store::open(&config).await.unwrap().organization("acme").await.unwrap().is_some());

    let newer = Fresh::new().await;
    newer.open().await;
    let version = "INSERT INTO channelgate_migrations VALUES (9999, '', now(), true, '', 0)";
    run(&mut newer.raw().await, version).await;
    let refused = Store::open(&newer.config).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    assert!(refused.to_string().contains("schema 9999"), "{refused}");

    let tampered = Fresh::new().await;
    tampered.open().await;
    run(&mut tampered.raw().await, "ALTER TABLE tokens RENAME COLUMN scopes TO rights").await;
    let damaged = tampered.open().await.token(TokenId(uuid::Uuid::nil())).await.unwrap_err();
    assert_eq!(damaged.kind(), ErrorKind::Corrupt, "{damaged}");
}

#[tokio::test]
async fn servers_that_cannot_be_had_are_unavailable_with_a_way_out() {
    let here = Cluster::shared().database();
    let missing = here.replace("/test_", "/none_");
    for (url, advice) in [
        (missing.as_str(), "create the database"),
        ("postgres://gate@127.0.0.1:1/gate", "whether the server runs"),
        (&format!("{here}?sslmode=require"), "sslmode"),
    ] {
        let error = Store::open(&config(url.to_owned())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(advice), "{url}: {error}");
    }
}

/// News come by the notification: without it the feed would be looked at a minute later.
#[tokio::test]
async fn watch_is_woken_by_a_change_and_by_nothing_else() {
    let fresh = Fresh::new().await;
    let patient = Config { heartbeat: Duration::from_secs(60), ..fresh.config.clone() };
    let (gate, command) = (Store::open(&patient).await.unwrap(), fresh.open().await);
    create(&command, "acme").await;
    let mut watch = gate.watch(gate.position().await.unwrap());
    watch.ready().await;
    assert!(told(&watch.poll().await.unwrap(), &[]));
    for name in ["a", "b"] {
        assert!(timeout(Duration::from_millis(50), watch.ready()).await.is_err(), "there is no news");
        insert(&command, name).await;
        timeout(Duration::from_secs(20), watch.ready()).await.unwrap();
        assert!(told(&watch.poll().await.unwrap(), &[name]));
    }
}

/// Whoever listens is cut off, so the notification is lost; the change is not, and the next ones are heard again.
#[tokio::test]
async fn watch_that_lost_its_ear_loses_nothing() {
    let fresh = Fresh::new().await;
    let config = Config { heartbeat: Duration::from_millis(200), ..fresh.config.clone() };
    let (gate, command) = (Store::open(&config).await.unwrap(), fresh.open().await);
    create(&command, "acme").await;
    let mut watch = gate.watch(gate.position().await.unwrap());
    watch.ready().await;
    watch.poll().await.unwrap();
    let mut raw = fresh.raw().await;
    let listening = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    for name in ["a", "b"] {
        until("it listens", async || {
            watch.poll().await.unwrap();
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) {listening}")))
                .fetch_one(&mut raw)
                .await
                .unwrap();
            count > 0
        })
        .await;
        run(&mut raw, &format!("SELECT pg_terminate_backend(pid) {listening}")).await;
        insert(&command, name).await;
        until("it hears", async || {
            watch.ready().await;
            told(&watch.poll().await.unwrap(), &[name])
        })
        .await;
    }
}

#[tokio::test]
async fn server_that_is_down_is_an_outage_and_its_return_costs_nobody_a_failure() {
    let cluster = Cluster::start();
    let store = Store::open(&config(cluster.database())).await.unwrap();
    create(&store, "acme").await;
    let id = insert(&store, "a").await;
    let mut watch = store.watch(store.position().await.unwrap());
    watch.poll().await.unwrap();
    cluster.kill();
    let outage = |error: StoreError| assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    outage(store.token_by_digest(&digest("a")).await.unwrap_err());
    outage(store.end_token(id, &revoked(NOW), &by(), NOW).await.unwrap_err());
    outage(watch.poll().await.unwrap_err());
    cluster.resume();
    // At once, and where it stood: the first question, the first change, the first look at the feed.
    assert!(store.token_by_digest(&digest("a")).await.unwrap().standing.is_some());
    store.end_token(id, &revoked(NOW), &by(), NOW).await.unwrap();
    assert!(told(&watch.poll().await.unwrap(), &["a"]));
}

#[tokio::test]
async fn change_that_waits_for_another_gate_gives_up_in_time() {
    let fresh = Fresh::new().await;
    let config = Config { busy_timeout: Duration::from_millis(100), ..fresh.config.clone() };
    let (held, store) = (fresh.open().await, Store::open(&config).await.unwrap());
    create(&held, "acme").await;
    // Its transaction holds the lock of changes.
    let begun = held.begin_bootstrap(NOW).await.unwrap().unwrap();
    let busy = store.create_group("acme", "dev", &by(), NOW).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Unavailable, "{busy}");
    assert!(busy.to_string().contains("try again"), "{busy}");
    assert!(store.organization("acme").await.unwrap().is_some(), "nobody waits to read");
    drop(begun);
    until("it is free", async || store.create_group("acme", "dev", &by(), NOW).await.is_ok()).await;
}

#[tokio::test]
async fn audit_cannot_be_rewritten_and_tampering_is_found() {
    let fresh = Fresh::new().await;
    let store = fresh.open().await;
    create(&store, "acme").await;
    insert(&store, "a").await;
    let mut raw = fresh.raw().await;
    for with in ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"] {
        let refused = sqlx::raw_sql(AssertSqlSafe(with.to_owned())).execute(&mut raw).await.unwrap_err();
        assert!(refused.to_string().contains("only ever appended to"), "{refused}");
    }
    assert!(
        matches!(store.verify_audit(None).await.unwrap(), AuditVerdict::Intact { head } if head.seq == 2)
    );
    run(&mut raw, "DROP TRIGGER audit_is_not_rewritten ON audit; UPDATE audit SET actor = 'x' WHERE seq = 2")
        .await;
    let verdict = store.verify_audit(None).await.unwrap();
    assert_eq!(verdict, AuditVerdict::Tampered { seq: 2, how: Tampering::Altered });
}

/// A standby that heard of no change since some moment, and the primary.
async fn parted(primary: &Cluster, standby: &Cluster) {
    standby.sql("postgres", "ALTER SYSTEM SET primary_conninfo = ''");
    standby.sql("postgres", "SELECT pg_reload_conf()");
    until("nothing follows", async || {
        primary.sql("postgres", "SELECT count(*) FROM pg_stat_replication") == "0"
    })
    .await;
}

#[tokio::test]
async fn replica_answers_while_it_is_not_behind() {
    let primary = Cluster::start();
    let url = primary.database();
    let heartbeat = Duration::from_secs(30);
    let plain = Store::open(&config(url.clone())).await.unwrap();
    create(&plain, "acme").await;
    let id = insert(&plain, "a").await;
    let standby = primary.standby();
    let database = url.rsplit_once('/').unwrap().1.to_owned();
    let read_url = Some(standby.url(&database));
    // A quarter of it is the standby's.
    let query_timeout = Duration::from_secs(20);
    let gate = Config { read_url, heartbeat, query_timeout, ..config(url.clone()) };
    let store = Store::open(&gate).await.unwrap();
    let look_up = async |name: &str| store.token_by_digest(&digest(name)).await.unwrap();
    let is_by_standby = |reading: &Reading| !reading.current;

    let nothing_told = look_up("a").await;
    assert!(
        !is_by_standby(&nothing_told),
        "before the feed was read nobody knows what the standby must know"
    );
    let mut watch = store.watch(store.position().await.unwrap());
    watch.poll().await.unwrap();
    let by_standby = look_up("a").await;
    assert!(is_by_standby(&by_standby));
    assert_eq!((by_standby.standing, by_standby.position), (nothing_told.standing, nothing_told.position));
    assert!(!is_by_standby(&look_up("none").await), "what it does not know is asked of the primary");

    parted(&primary, &standby).await;
    store.end_token(id, &revoked(NOW), &by(), NOW).await.unwrap();
    insert(&store, "b").await;
    assert!(look_up("b").await.standing.is_some(), "one that the standby has not heard of yet");
    assert!(told(&watch.poll().await.unwrap(), &["a", "b"]));
    let revoked_now = look_up("a").await;
    assert!(!is_by_standby(&revoked_now));
    assert_eq!(revoked_now.standing.unwrap().token.end.as_deref(), Some(&revoked(NOW)));

    standby.kill();
    assert!(look_up("a").await.standing.is_some(), "without it the primary answers");
    // A standby is no place to keep a store.
    standby.resume();
    let refused = Store::open(&config(standby.url(&database))).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(refused.to_string().contains("primary"), "{refused}");
}

/// Another standby was promoted, which had not heard of the last change; this one had, and does not follow the new primary. Its position is as
/// high, and what it says is not true any more.
#[tokio::test]
async fn replica_of_a_lost_history_does_not_answer() {
    let primary = Cluster::start();
    let url = primary.database();
    let plain = Store::open(&config(url.clone())).await.unwrap();
    create(&plain, "acme").await;
    let id = insert(&plain, "a").await;
    let promoted = primary.standby();
    parted(&primary, &promoted).await;
    let left_behind = primary.standby();
    let database = url.rsplit_once('/').unwrap().1.to_owned();
    insert(&plain, "lost").await;
    let at_standby = "SELECT position FROM feed";
    until("it has it", async || left_behind.sql(&database, at_standby) == "2").await;
    primary.kill();
    promoted.promote();
    let gate = Config {
        read_url: Some(left_behind.url(&database)),
        heartbeat: Duration::from_secs(30),
        query_timeout: Duration::from_secs(20),
        ..config(promoted.url(&database))
    };
    let store = Store::open(&gate).await.unwrap();
    store.end_token(id, &revoked(NOW), &by(), NOW).await.unwrap();
    let mut watch = store.watch(store.position().await.unwrap());
    watch.poll().await.unwrap();
    assert_eq!(store.position().await.unwrap().as_number(), 2, "the position is the standby's");
    let reading = store.token_by_digest(&digest("a")).await.unwrap();
    assert_eq!(reading.standing.unwrap().token.end.as_deref(), Some(&revoked(NOW)));
}

/// An address behind which the server changes, as behind a name or a virtual address.
async fn relay(to: SocketAddr) -> (SocketAddr, watch::Sender<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, target) = watch::channel(to);
    tokio::spawn(async move {
        while let Ok((mut inside, _)) = listener.accept().await {
            let to = *target.borrow();
            tokio::spawn(async move {
                if let Ok(mut outside) = TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
                }
            });
        }
    });
    (address, sender)
}

/// The new primary had not heard of the last changes, and as many others were made there before the follower came back.
#[tokio::test]
async fn watch_is_told_that_a_promotion_lost_changes_and_goes_on_if_it_lost_none() {
    for loses in [false, true] {
        let primary = Cluster::start();
        let url = primary.database();
        let (address, target) = relay(primary.address()).await;
        let through = url.replace(&primary.address().to_string(), &address.to_string());
        let store = Store::open(&config(through)).await.unwrap();
        create(&store, "acme").await;
        let mut watch = store.watch(store.position().await.unwrap());
        watch.poll().await.unwrap();
        let standby = primary.standby();
        let database = url.rsplit_once('/').unwrap().1.to_owned();
        let at_standby = standby.url(&database);
        insert(&store, "a").await;
        until("it has it", async || standby.sql(&database, "SELECT position FROM feed") == "1").await;
        if loses {
            parted(&primary, &standby).await;
            insert(&store, "b").await;
            assert!(told(&watch.poll().await.unwrap(), &["a", "b"]));
        } else {
            assert!(told(&watch.poll().await.unwrap(), &["a"]));
        }
        primary.kill();
        standby.promote();
        let other = Store::open(&config(at_standby)).await.unwrap();
        for name in ["c", "d"] {
            insert(&other, name).await;
        }
        target.send_replace(standby.address());
        let mut heard = None;
        until("it is back", async || {
            heard = watch.poll().await.ok();
            heard.is_some()
        })
        .await;
        let heard = heard.unwrap();
        if loses {
            assert_eq!(heard, Changes::Lost { position: other.position().await.unwrap() });
            assert!(told(&watch.poll().await.unwrap(), &[]));
        } else {
            assert!(told(&heard, &["c", "d"]));
        }
        insert(&store, "e").await;
        assert!(told(&watch.poll().await.unwrap(), &["e"]));
    }
}

#[tokio::test]
async fn server_is_known_by_its_certificate() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let data = cluster.data_directory();
    let owner = std::fs::metadata(&data).unwrap();
    let keep = |name: &str, text: String| {
        let path = data.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        path
    };
    let root = keep("server.crt", issued.cert.pem());
    keep("server.key", issued.signing_key.serialize_pem());
    let wrong_root = keep("other.crt", other.cert.pem());
    cluster.sql("postgres", "ALTER SYSTEM SET ssl = on");
    cluster.kill();
    cluster.resume();
    let by =
        |root: &std::path::Path| config(format!("{url}?sslmode=verify-full&sslrootcert={}", root.display()));
    let store = Store::open(&by(&root)).await.unwrap();
    create(&store, "acme").await;
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'channelgate'";
    assert_eq!(cluster.sql("postgres", encrypted), "t");
    let refused = Store::open(&by(&wrong_root)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(refused.to_string().contains("sslrootcert"), "{refused}");
}

/// A call that is given up in the middle leaves neither a lock nor a connection that answers somebody else's question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_given_up_in_the_middle_leave_no_trace() {
    let fresh = Fresh::new().await;
    let store = Arc::new(fresh.open().await);
    create(&store, "acme").await;
    insert(&store, "known").await;
    for round in 0..60_u64 {
        let name = format!("t{round}");
        let given_up = Duration::from_micros(round * 100);
        let (token, by) = (scoped("acme", &name), by());
        let value = digest(&name);
        let _ = timeout(given_up, store.insert_token(&token, &value, &by, NOW, Duration::ZERO)).await;
        let _ = timeout(given_up, store.token_by_digest(&digest("known"))).await;
        let found = store.token_by_digest(&digest("known")).await.unwrap().standing.unwrap();
        assert_eq!(found.token.name.as_deref(), Some("known"));
    }
    insert(&store, "last").await;
    store.close().await;
    let closed = store.position().await.unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::Unavailable, "{closed}");
    until("the connections are gone", async || {
        let mut raw = fresh.raw().await;
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'channelgate'",
        )
        .fetch_one(&mut raw)
        .await
        .unwrap();
        raw.close().await.unwrap();
        count == 0
    })
    .await;
}
