//! What the SQLite file adds to the contract: its place, its damage, its neighbours.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use channelgate::store::{Config, ErrorKind, Store, StoreError};
use channelgate::token::Minted;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::contract::{NOW, create, digest, revoked, scoped, site};

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
    async fn raw(&self) -> SqliteConnection {
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
        store.insert_token(&token, &digest(&value), NOW, Duration::ZERO).await.unwrap();
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
        ("postgres://host/db", ErrorKind::Invalid),
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
    let error = store.insert_token(&site("acme"), &digest("x"), NOW, Duration::ZERO).await.unwrap_err();
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
    assert!(place.open().await.token_by_digest(&digest("1")).await.unwrap().record.is_some());
    for (name, store) in [("busy", &quick), ("slow", &patient)] {
        let began = Instant::now();
        let error = store.insert_token(&site("acme"), &digest(name), NOW, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{name}: {error}");
        assert!(began.elapsed() < Duration::from_secs(2), "{name}: {:?}", began.elapsed());
        assert!(store.token_by_digest(&digest("1")).await.unwrap().record.is_some(), "{name}");
    }
    lock.rollback().await.unwrap();
    quick.insert_token(&site("acme"), &digest("busy"), NOW, Duration::ZERO).await.unwrap();
    // The one that gave up left nothing behind, neither a lock nor a token.
    let mut tried = patient.insert_token(&site("acme"), &digest("slow"), NOW, Duration::ZERO).await;
    for _ in 0..20 {
        if tried.is_ok() {
            break;
        }
        tried = patient.insert_token(&site("acme"), &digest("slow"), NOW, Duration::ZERO).await;
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
    assert!(store.token_by_digest(&digest("1")).await.unwrap().record.is_some());
    place.open().await.insert_token(&site("acme"), &digest("new"), NOW, Duration::ZERO).await.unwrap();
    let heard = watch.poll().await.unwrap();
    assert!(matches!(heard, channelgate::store::Changes::Read { changes, .. } if changes.len() == 1));
}

/// The files as they are while the process runs are what a power failure or a kill leaves.
#[tokio::test]
async fn acknowledged_changes_survive_a_kill() {
    let place = Temporary::new().await;
    let store = place.open().await;
    create(&store, "acme").await;
    let issued = store.insert_token(&site("acme"), &digest("a"), NOW, Duration::ZERO).await.unwrap().record;
    store.end_token(issued.id, &revoked(NOW), NOW).await.unwrap();
    let begun = store.begin_bootstrap(NOW).await.unwrap();
    let after = Temporary::new().await;
    std::fs::create_dir_all(after.path().parent().unwrap()).unwrap();
    for end in ["", "-wal"] {
        let copy = |path: PathBuf| PathBuf::from(format!("{}{end}", path.display()));
        std::fs::copy(copy(place.path()), copy(after.path())).unwrap();
    }
    drop(begun);
    let record = after.open().await.token(issued.id).await.unwrap().unwrap();
    assert_eq!(record.end, Some(revoked(NOW)));
    // What was not committed is not there.
    assert_eq!(after.open().await.organization("default").await.unwrap(), None);
}

#[tokio::test]
async fn values_of_tokens_are_in_no_file() {
    let place = Temporary::new().await;
    let store = place.open().await;
    create(&store, "acme").await;
    let minted = Minted::random().unwrap();
    store.insert_token(&site("acme"), &minted.digest(), NOW, Duration::ZERO).await.unwrap();
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

#[test]
fn opening_reads_no_more_of_a_large_store() {
    // Alone in a process, so that what the process reads is what this test reads.
    if std::env::var_os(ALONE).is_none() {
        let name = "store::embedded::opening_reads_no_more_of_a_large_store";
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&alone.stdout);
        assert!(alone.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let place = Temporary::new().await;
        filled(&place).await;
        let mut raw = place.raw().await;
        let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
                    INSERT INTO tokens (id, digest, kind, organization_id, name, scopes, created_at) \
                    SELECT randomblob(16), randomblob(32), 'scoped', (SELECT id FROM organizations), 'n' || i, \
                    'repos', i FROM n";
        sqlx::raw_sql(many).execute(&mut raw).await.unwrap();
        raw.close().await.unwrap();
        assert!(std::fs::metadata(place.path()).unwrap().len() > 20_000_000);
        let before = bytes_read();
        let store = place.open().await;
        let opened = bytes_read() - before;
        assert!(opened < 300_000, "opening read {opened} bytes");
        let before = bytes_read();
        assert_eq!(store.tokens("acme", None, 10).await.unwrap().len(), 10);
        assert!(store.token_by_digest(&digest("1")).await.unwrap().record.is_some());
        let asked = bytes_read() - before;
        assert!(asked < 300_000, "a page and a lookup read {asked} bytes");
    });
}

fn bytes_read() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

const ALONE: &str = "CHANNELGATE_TEST_ALONE";
