//! What the SQLite file adds to the contract: its place, its damage, its neighbours.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use channelgate::clock::Timestamp;
use channelgate::store::{
    AuditVerdict, Config, ErrorKind, FeedPosition, RequestKey, Store, StoreError, Tampering, Terms,
};
use channelgate::token::Minted;
use sqlx::migrate::{Migration, MigrationType};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr, SqliteConnection};

use super::contract::{NOW, by, create, digest, revoked, scoped, site};

/// A store's place in a directory that goes away.
pub(crate) struct Temporary {
    directory: tempfile::TempDir,
    pub(crate) config: Config,
}

impl Temporary {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config(&directory.path().join("var/gate.db"));
        Self { directory, config }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("var/gate.db")
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.config).await.unwrap()
    }

    /// A connection of somebody else.
    pub(crate) async fn raw(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.path()).connect().await.unwrap()
    }
}

fn config(path: &Path) -> Config {
    Config { url: format!("sqlite:{}", path.display()), ..Config::default() }
}

async fn refusal(path: &Path) -> StoreError {
    let error = Store::open(&config(path)).await.unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    error
}

/// A database with some tokens, closed.
async fn filled(place: &Temporary) {
    let store = place.open().await;
    create(&store, "acme").await;
    for number in 0..200 {
        let value = number.to_string();
        let token = scoped("acme", &format!("t{number}"));
        store.insert_token(&token, &digest(&value), &by(), NOW, Duration::ZERO).await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn files_are_their_owners_alone() {
    let place = Temporary::new().await;
    let store = place.open().await;
    create(&store, "acme").await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = place.path().parent().unwrap().to_owned();
    assert_eq!(mode(&directory), 0o700);
    let mut files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["gate.db", "gate.db-shm", "gate.db-wal"]);
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn urls_that_mean_nothing_are_refused() {
    for (url, kind) in [
        ("", ErrorKind::Invalid),
        ("sqlite:", ErrorKind::Invalid),
        ("sqlite::memory:", ErrorKind::Invalid),
        ("sqlite:a.db?mode=ro", ErrorKind::Invalid),
        ("mysql://host/db", ErrorKind::Invalid),
        ("a.db", ErrorKind::Invalid),
    ] {
        let error = Store::open(&Config { url: url.into(), ..Config::default() }).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{url}: {error}");
        assert!(error.to_string().contains("sqlite:PATH"), "{error}");
    }
    let place = Temporary::new().await;
    let url = format!("sqlite://{}", place.path().display());
    Store::open(&Config { url, ..Config::default() }).await.unwrap();
    assert!(place.path().exists());
}

#[tokio::test]
async fn places_that_cannot_hold_a_store_are_refused() {
    // The kernel lets nobody make directories there, not even root.
    let unwritable = refusal(Path::new("/sys/channelgate/gate.db")).await;
    assert_eq!(unwritable.kind(), ErrorKind::Unavailable, "{unwritable}");
    let place = Temporary::new().await;
    std::fs::create_dir_all(place.path()).unwrap();
    let directory = refusal(&place.path()).await;
    assert_eq!(directory.kind(), ErrorKind::Unsupported, "{directory}");
    std::fs::write(place.directory.path().join("file"), "").unwrap();
    let below_file = refusal(&place.directory.path().join("file/gate.db")).await;
    assert_eq!(below_file.kind(), ErrorKind::Unavailable, "{below_file}");
}

#[tokio::test]
async fn damaged_files_are_refused_and_left_alone() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("garbage header", |bytes| bytes[..100].fill(0xa5)),
        ("truncated", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut to one page", |bytes| bytes.truncate(4_096)),
        ("emptied", Vec::clear),
    ];
    for (name, damage) in damages {
        let place = Temporary::new().await;
        filled(&place).await;
        let mut bytes = std::fs::read(place.path()).unwrap();
        damage(&mut bytes);
        std::fs::write(place.path(), &bytes).unwrap();
        let error = refusal(&place.path()).await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error}");
        assert!(error.to_string().contains("restore it from a backup"), "{name}: {error}");
        assert_eq!(std::fs::read(place.path()).unwrap(), bytes, "{name}");
    }
    let place = Temporary::new().await;
    std::fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    std::fs::write(place.path(), "[store]\nurl = \"sqlite:var/gate.db\"\n".repeat(100)).unwrap();
    assert_eq!(refusal(&place.path()).await.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    let place = Temporary::new().await;
    std::fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    let options = SqliteConnectOptions::new().filename(place.path()).create_if_missing(true);
    let mut foreign = options.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE bookmarks (url TEXT)").execute(&mut foreign).await.unwrap();
    foreign.close().await.unwrap();
    let before = std::fs::read(place.path()).unwrap();
    let error = refusal(&place.path()).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("another program"), "{error}");
    assert_eq!(std::fs::read(place.path()).unwrap(), before);
}

#[tokio::test]
async fn a_newer_versions_database_is_refused() {
    let place = Temporary::new().await;
    filled(&place).await;
    let mut raw = place.raw().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'from the future', TRUE, x'00', 0)";
    sqlx::raw_sql(newer).execute(&mut raw).await.unwrap();
    let error = refusal(&place.path()).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("newer version"), "{error}");
    let edited =
        "DELETE FROM _sqlx_migrations WHERE version = 9999; UPDATE _sqlx_migrations SET checksum = x'00'";
    sqlx::raw_sql(edited).execute(&mut raw).await.unwrap();
    assert_eq!(refusal(&place.path()).await.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn damage_found_later_is_told_from_an_outage() {
    let place = Temporary::new().await;
    filled(&place).await;
    let store = place.open().await;
    let mut raw = place.raw().await;
    sqlx::raw_sql("PRAGMA foreign_keys = OFF; UPDATE tokens SET scopes = 'whatever'")
        .execute(&mut raw)
        .await
        .unwrap();
    let error = store.token_by_digest(&digest("1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    sqlx::raw_sql("DROP TABLE changes").execute(&mut raw).await.unwrap();
    let error =
        store.insert_token(&site("acme"), &digest("x"), &by(), NOW, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_locked_file_makes_changes_wait_and_readers_not() {
    let place = Temporary::new().await;
    filled(&place).await;
    let quick = Config { busy_timeout: Duration::from_millis(100), ..place.config.clone() };
    let patient = Config {
        busy_timeout: Duration::from_secs(5),
        query_timeout: Duration::from_millis(300),
        ..place.config.clone()
    };
    let (quick, patient) = (Store::open(&quick).await.unwrap(), Store::open(&patient).await.unwrap());
    let mut raw = place.raw().await;
    let lock = raw.begin_with("BEGIN IMMEDIATE").await.unwrap();
    // A third may open it meanwhile.
    assert!(place.open().await.token_by_digest(&digest("1")).await.unwrap().standing.is_some());
    for (name, store) in [("busy", &quick), ("slow", &patient)] {
        let began = Instant::now();
        let error =
            store.insert_token(&site("acme"), &digest(name), &by(), NOW, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{name}: {error}");
        assert!(began.elapsed() < Duration::from_secs(2), "{name}: {:?}", began.elapsed());
        assert!(store.token_by_digest(&digest("1")).await.unwrap().standing.is_some(), "{name}");
    }
    lock.rollback().await.unwrap();
    quick.insert_token(&site("acme"), &digest("busy"), &by(), NOW, Duration::ZERO).await.unwrap();
    // The one that gave up left nothing behind, neither a lock nor a token.
    let mut tried = patient.insert_token(&site("acme"), &digest("slow"), &by(), NOW, Duration::ZERO).await;
    for _ in 0..20 {
        if tried.is_ok() {
            break;
        }
        tried = patient.insert_token(&site("acme"), &digest("slow"), &by(), NOW, Duration::ZERO).await;
    }
    tried.unwrap();
}

#[tokio::test]
async fn a_file_moved_or_replaced_is_unavailable_until_it_is_back() {
    let place = Temporary::new().await;
    filled(&place).await;
    let store = place.open().await;
    let mut watch = store.watch(store.position().await.unwrap());
    watch.poll().await.unwrap();
    let (home, away) = (place.directory.path().join("var"), place.directory.path().join("away"));
    std::fs::rename(&home, &away).unwrap();
    let gone = store.token_by_digest(&digest("1")).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Unavailable, "{gone}");
    assert_eq!(watch.poll().await.unwrap_err().kind(), ErrorKind::Unavailable);
    // Another file in its place.
    filled(&place).await;
    let replaced = store.token_by_digest(&digest("1")).await.unwrap_err();
    assert_eq!(replaced.kind(), ErrorKind::Unavailable, "{replaced}");
    assert_eq!(watch.poll().await.unwrap_err().kind(), ErrorKind::Unavailable);
    std::fs::remove_dir_all(&home).unwrap();
    std::fs::rename(&away, &home).unwrap();
    assert!(store.token_by_digest(&digest("1")).await.unwrap().standing.is_some());
    place.open().await.insert_token(&site("acme"), &digest("new"), &by(), NOW, Duration::ZERO).await.unwrap();
    let heard = watch.poll().await.unwrap();
    assert!(matches!(heard, channelgate::store::Changes::Read { changes, .. } if changes.len() == 1));
}

/// The files as they are while the process runs are what a power failure or a kill leaves.
#[tokio::test]
async fn acknowledged_changes_survive_a_kill() {
    let place = Temporary::new().await;
    let store = place.open().await;
    create(&store, "acme").await;
    let issued =
        store.insert_token(&site("acme"), &digest("a"), &by(), NOW, Duration::ZERO).await.unwrap().record;
    store.end_token(issued.id, &revoked(NOW), &by(), NOW).await.unwrap();
    let begun = store.begin_bootstrap(NOW).await.unwrap();
    let after = Temporary::new().await;
    std::fs::create_dir_all(after.path().parent().unwrap()).unwrap();
    for end in ["", "-wal"] {
        let copy = |path: PathBuf| PathBuf::from(format!("{}{end}", path.display()));
        std::fs::copy(copy(place.path()), copy(after.path())).unwrap();
    }
    drop(begun);
    let record = after.open().await.token(issued.id).await.unwrap().unwrap();
    assert_eq!(record.end.as_deref(), Some(&revoked(NOW)));
    // What was not committed is not there.
    assert_eq!(after.open().await.organization("default").await.unwrap(), None);
}

#[tokio::test]
async fn values_of_tokens_are_in_no_file() {
    let place = Temporary::new().await;
    let store = place.open().await;
    create(&store, "acme").await;
    let minted = Minted::random().unwrap();
    store.insert_token(&site("acme"), &minted.digest(), &by(), NOW, Duration::ZERO).await.unwrap();
    let mut digests = 0;
    for entry in std::fs::read_dir(place.path().parent().unwrap()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!has(minted.expose().as_bytes()));
        assert!(!has(&minted.expose().as_bytes()[3..19]), "not even a part of it");
        digests += usize::from(has(minted.digest().as_bytes()));
    }
    assert!(digests > 0, "the search finds what is there");
}

/// A database as the first version left it: its schema, its driver's table of migrations, an organization, tokens, changes.
#[tokio::test]
async fn database_of_the_first_schema_is_migrated_with_its_data() {
    const FIRST: &str = include_str!("../../../src/store/embedded/migrations/0001_tokens.sql");
    let place = Temporary::new().await;
    std::fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    let options = SqliteConnectOptions::new().filename(place.path()).create_if_missing(true);
    let mut raw = options.connect().await.unwrap();
    sqlx::raw_sql(FIRST).execute(&mut raw).await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
         installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL, \
         execution_time BIGINT NOT NULL)",
    )
    .execute(&mut raw)
    .await
    .unwrap();
    let checksum = Migration::new(1, "".into(), MigrationType::Simple, FIRST.into_sql_str(), false).checksum;
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (1, 'first', '2026-01-01', TRUE, ?, 0)")
        .bind(&*checksum)
        .execute(&mut raw)
        .await
        .unwrap();
    sqlx::raw_sql(
        "INSERT INTO meta VALUES ('bootstrapped_at', '1');
         INSERT INTO organizations VALUES (zeroblob(16), 'acme', 'Acme', 1900000000000, 5);
         INSERT INTO tokens (id, digest, kind, organization_id, name, scopes, channels, created_at, expires_at, ended_at, end_cause, end_reason)
         VALUES (x'01010101010101010101010101010101', randomblob(32), 'site', zeroblob(16), NULL, 'repos', NULL, 10, NULL, 20, 'replaced', NULL),
                (x'02020202020202020202020202020202', randomblob(32), 'scoped', zeroblob(16), 'ci', 'conda:download', '[\"x\"]', 11, 99, 12, 'revoked', 'leaked'),
                (x'03030303030303030303030303030303', randomblob(32), 'site', zeroblob(16), NULL, 'repos', NULL, 20, 90, NULL, NULL, NULL),
                (x'04040404040404040404040404040404', randomblob(32), 'scoped', zeroblob(16), 'ci', 'all', NULL, 21, NULL, NULL, NULL, NULL);
         INSERT INTO changes SELECT row_number() OVER (ORDER BY created_at), created_at, digest FROM tokens;
         UPDATE feed SET position = 4, pruned = 1; DELETE FROM changes WHERE seq = 1",
    )
    .execute(&mut raw)
    .await
    .unwrap();
    raw.close().await.unwrap();

    let store = place.open().await;
    let acme = store.organization("acme").await.unwrap().unwrap();
    assert_eq!((acme.title.as_str(), acme.created_at.as_millis()), ("Acme", 5));
    let ends_at = acme.subscription.ends_at.map(Timestamp::as_millis);
    assert_eq!((ends_at, acme.subscription.cancelled_at), (Some(1_900_000_000_000), None));
    let tokens: Vec<_> =
        store.tokens("acme", None, 10).await.unwrap().into_iter().map(|listed| listed.record).collect();
    let told = tokens.iter().map(|token| {
        (token.kind.as_str(), token.generation, token.end.as_ref().map(|end| end.cause.as_str()))
    });
    let expected = [
        ("site", 1, Some("replaced")),
        ("scoped", 1, Some("revoked")),
        ("site", 2, None),
        ("scoped", 2, None),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(tokens[1].channels.as_deref(), Some(&["x".to_owned()][..]));
    assert_eq!(tokens[1].end.as_ref().unwrap().reason.as_deref(), Some("leaked"));
    assert_eq!(tokens[2].expires_at.map(Timestamp::as_millis), Some(90));
    let changes = store.changes_since(FeedPosition::from_number(1), 10).await.unwrap();
    assert!(matches!(changes, channelgate::store::Changes::Read { changes, .. } if changes.len() == 3));
    assert!(store.begin_bootstrap(NOW).await.unwrap().is_none(), "it was bootstrapped");
    // It goes on from there, and is not migrated twice.
    let next = store.insert_token(&site("acme"), &digest("new"), &by(), NOW, Duration::ZERO).await.unwrap();
    assert_eq!((next.record.generation, next.replaced), (3, None), "the previous one had expired");
    store.close().await;
    assert_eq!(place.open().await.tokens("acme", None, 10).await.unwrap().len(), 5);
}

/// Of an organization the latest 10,000 keys of requests are kept, and none of another is lost for it.
#[tokio::test]
async fn keys_of_requests_are_bounded() {
    let place = Temporary::new().await;
    let store = place.open().await;
    create(&store, "acme").await;
    let mut raw = place.raw().await;
    sqlx::raw_sql(AssertSqlSafe(format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
         INSERT INTO request_keys SELECT unhex(printf('%064x', n)), zeroblob(16), zeroblob(32), zeroblob(16), {0} - 10000 + n FROM n;
         INSERT INTO request_keys VALUES (randomblob(32), x'11111111111111111111111111111111', zeroblob(32), zeroblob(16), {0} - 20000)",
        NOW.as_millis()
    )))
    .execute(&mut raw)
    .await
    .unwrap();
    let key = |number: u8| RequestKey {
        digest: [number; 32],
        organization: uuid::Uuid::nil(),
        request: [number; 32],
    };
    let on = |number| store.on(Terms { expected: None, key: Some(key(number)) });
    let made = on(0xaa).create_group("acme", "dev", &by(), NOW).await.unwrap();
    let count = async |raw: &mut sqlx::SqliteConnection, condition: &str| -> i64 {
        let query = format!("SELECT count(*) FROM request_keys WHERE {condition}");
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(raw).await.unwrap()
    };
    assert_eq!(count(&mut raw, "organization_id = zeroblob(16)").await, 10_000);
    assert_eq!(count(&mut raw, "organization_id <> zeroblob(16)").await, 1);
    assert_eq!(count(&mut raw, "digest = unhex(printf('%064x', 1))").await, 0, "the oldest is gone");
    let again = on(0xaa).create_group("acme", "dev", &by(), NOW).await.unwrap_err();
    assert!(matches!(again, StoreError::Repeated { made: id } if id == made.id), "{again}");
    let other = RequestKey { request: [1; 32], ..key(0xaa) };
    let other = store.on(Terms { expected: None, key: Some(other) });
    let other = other.create_group("acme", "ops", &by(), NOW).await.unwrap_err();
    assert!(matches!(other, StoreError::KeyReused), "{other}");
    // A day later one more makes all of that day go.
    let later = Timestamp::from_millis(NOW.as_millis() + 24 * 3_600_000 + 1);
    on(0xbb).create_group("acme", "ops", &by(), later).await.unwrap();
    assert_eq!(count(&mut raw, "organization_id = zeroblob(16)").await, 1);
}

/// A store with some records in its audit, and somebody at its file who took the triggers away.
async fn tampered(with: &str) -> (AuditVerdict, AuditVerdict) {
    let place = Temporary::new().await;
    let store = place.open().await;
    create(&store, "acme").await;
    for number in 0..5 {
        let token = scoped("acme", &format!("t{number}"));
        store.insert_token(&token, &digest(&number.to_string()), &by(), NOW, Duration::ZERO).await.unwrap();
    }
    let head = store.audit_head().await.unwrap();
    assert_eq!(head.seq, 6);
    let mut raw = place.raw().await;
    let refused = sqlx::raw_sql(AssertSqlSafe(with.to_owned())).execute(&mut raw).await.unwrap_err();
    assert!(refused.to_string().contains("only ever appended to"), "{refused}");
    let freely = format!("DROP TRIGGER audit_is_not_rewritten; DROP TRIGGER audit_is_not_shortened; {with}");
    sqlx::raw_sql(AssertSqlSafe(freely)).execute(&mut raw).await.unwrap();
    (store.verify_audit(None).await.unwrap(), store.verify_audit(Some(head.hash)).await.unwrap())
}

#[tokio::test]
async fn audit_tampered_with_names_the_first_record() {
    use Tampering::{Altered, Missing};
    for (with, seq, how) in [
        ("UPDATE audit SET actor = 'somebody else' WHERE seq = 3", 3, Altered),
        ("UPDATE audit SET at = at + 1 WHERE seq = 1", 1, Altered),
        ("UPDATE audit SET origin = '::1' WHERE seq = 6", 6, Altered),
        ("UPDATE audit SET user_name = '' WHERE seq = 2", 2, Altered),
        ("UPDATE audit SET after = NULL WHERE seq > 3", 4, Altered),
        ("UPDATE audit SET after = 'no json' WHERE seq = 5", 5, Altered),
        ("UPDATE audit SET target = before, before = target WHERE seq = 4", 4, Altered),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 2", 2, Altered),
        ("UPDATE audit SET previous = zeroblob(32) WHERE seq = 2", 2, Altered),
        ("DELETE FROM audit WHERE seq = 1", 1, Missing),
        ("DELETE FROM audit WHERE seq IN (3, 4)", 3, Missing),
        ("UPDATE audit SET seq = 7 WHERE seq = 6", 6, Missing),
    ] {
        let expected = AuditVerdict::Tampered { seq, how };
        assert_eq!(tampered(with).await, (expected, expected), "{with}");
    }
}

/// A record that is sound in itself, but was written into another chain.
#[tokio::test]
async fn audit_with_a_record_of_another_chain_names_it() {
    let (place, other) = (Temporary::new().await, Temporary::new().await);
    for (place, first) in [(&place, "acme"), (&other, "zoo")] {
        let store = place.open().await;
        for name in [first, "second", "third"] {
            create(&store, name).await;
        }
        store.close().await;
    }
    let mut raw = place.raw().await;
    let theirs = format!(
        "DROP TRIGGER audit_is_not_shortened; ATTACH '{}' AS other; DELETE FROM main.audit WHERE seq = 2; \
         INSERT INTO main.audit SELECT * FROM other.audit WHERE seq = 2",
        other.path().display()
    );
    sqlx::raw_sql(AssertSqlSafe(theirs)).execute(&mut raw).await.unwrap();
    let verdict = place.open().await.verify_audit(None).await.unwrap();
    assert_eq!(verdict, AuditVerdict::Tampered { seq: 2, how: Tampering::Unchained });
}

/// Without a head that somebody noted, a chain that ends earlier is a chain.
#[tokio::test]
async fn audit_cut_is_found_by_its_head() {
    for (with, left) in [("DELETE FROM audit WHERE seq > 4", 4), ("DELETE FROM audit", 0)] {
        let (alone, with_head) = tampered(with).await;
        assert!(matches!(alone, AuditVerdict::Intact { head } if head.seq == left), "{alone:?}");
        assert!(matches!(with_head, AuditVerdict::Cut { head } if head.seq == left), "{with_head:?}");
    }
}

/// A full disk, and other failures of the system, make SQLite end the transaction by itself.
#[tokio::test]
async fn a_transaction_that_the_database_ended_by_itself_leaves_the_store_usable() {
    let place = Temporary::new().await;
    filled(&place).await;
    let store = place.open().await;
    let mut raw = place.raw().await;
    let full = "CREATE TRIGGER full BEFORE INSERT ON tokens BEGIN SELECT RAISE(ROLLBACK, 'as if the disk were full'); END";
    sqlx::raw_sql(full).execute(&mut raw).await.unwrap();
    let insert = async |name: &str| {
        store.insert_token(&scoped("acme", name), &digest(name), &by(), NOW, Duration::ZERO).await
    };
    let failed = insert("a").await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Corrupt, "{failed}");
    sqlx::raw_sql("DROP TRIGGER full").execute(&mut raw).await.unwrap();
    insert("b").await.unwrap();
    assert_eq!(store.token_by_name("acme", "a").await.unwrap(), None);
}
