//! A store that holds fifty times as much does no more for any question and any change: counted in bytes read and written, not in time.
//!
//! The few tokens and the many are made of the same parts: some that live, and dead ones of one name, of one user, of one organization,
//! so that whatever searches for the living among the dead shows. Each question is asked of a store just opened, whose memory is empty.
//! To show that the counting sees what it should, it is repeated with each index dropped.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use channelgate::account::{Grant, NewUser, Permission, Role};
use channelgate::auth::Carrier;
use channelgate::clock::{Clock, Timestamp};
use channelgate::metrics::Metrics;
use channelgate::store::{
    AuditFilter, Changes, Config, ErrorKind, FeedPosition, LastUse, NewToken, Store, SyncedTokens, Use, Used,
    Which,
};
use channelgate::token::{EndCause, TokenId, TokenState};
use channelgate::verify::{self, Verifier};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use uuid::Uuid;

use super::contract::{NOW, by, create, digest, revoked, scoped, site};
use super::embedded::Temporary;

/// Tokens in each of the five parts of the small store and of the large one; the audit has five times as many records.
const FEW: u32 = 200;
const MANY: u32 = 10_000;

/// What a question of the large store may read or write more than one of the small store: a level more in each tree, and neighbours that
/// are no longer on one page. Reading all entries of the narrowest index takes three times as much.
const SLACK_BYTES: u64 = 40 * 4_096;

fn id(number: u32) -> TokenId {
    TokenId(Uuid::from_u128(u128::from(number) << 96 | 7))
}

/// A store with `part` tokens in each of five parts. Each row is written as the program writes it; the parts are the reason for doing it here.
async fn filled(part: u32) -> Temporary {
    let place = Temporary::new().await;
    let store = place.open().await;
    create(&store, "acme").await;
    for user in ["ann", "bob"] {
        store.assign_seat("acme", user, Role::Member, &by(), NOW).await.unwrap();
    }
    let ann = NewUser { name: "ann".into(), email: None, password_hash: None };
    store.create_user(&ann, &by(), NOW).await.unwrap();
    store.create_group("acme", "dev", &by(), NOW).await.unwrap();
    store.insert_token(&scoped("acme", "one"), &digest("one"), &by(), NOW, Duration::ZERO).await.unwrap();
    store.close().await;
    let mut raw = place.raw().await;
    let now = NOW.as_millis();
    let ids = "CAST(unhex(printf('%08x000000000000000000000007', base.n + i)) AS BLOB)";
    let columns = "(id, digest, kind, organization_id, name, user_name, generation, scopes, created_at, expires_at, ended_at, end_cause, api_key)";
    let numbers =
        format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {part})");
    let parts = [
        // Living individual tokens, one for each user.
        format!(
            "'individual', o.id, NULL, printf('u%08d', i), 1, 'repos', {now} - 1000, {now} + 1000 * i, NULL, NULL, 0"
        ),
        // The others are dead: of one name, of one user's individual tokens, of one user's API keys, of the site.
        format!("'scoped', o.id, 'ci', NULL, i, 'repos', {now} - 900, NULL, {now} - 1, 'revoked', 0"),
        format!("'individual', o.id, NULL, 'bob', i, 'repos', {now} - 800, NULL, {now} - 1, 'replaced', 0"),
        format!(
            "'scoped', o.id, 'as ann ' || i, 'ann', 1, 'repos', {now} - 700, NULL, {now} - 1, 'revoked', 1"
        ),
        format!("'site', o.id, NULL, NULL, i, 'repos', {now} - 600, NULL, {now} - 1, 'replaced', 0"),
    ];
    let seats = format!(
        "{numbers} INSERT INTO seats SELECT o.id, printf('u%08d', i), 'member', {now} FROM n, organizations o"
    );
    run(&mut raw, "BEGIN").await;
    run(&mut raw, &seats).await;
    for (number, values) in (0..).zip(parts) {
        let base = number * part;
        let insert = format!(
            "{numbers} INSERT INTO tokens {columns} SELECT {ids}, randomblob(32), {values} \
             FROM n, organizations o, (SELECT {base} AS n) base"
        );
        run(&mut raw, &insert).await;
    }
    run(
        &mut raw,
        "INSERT INTO token_uses (token_id, used_at, carrier, address) SELECT id, created_at, 'path', '::1' FROM tokens",
    )
    .await;
    // A record each second until a moment ago; nobody verifies their chain. Half of it is another organization's, but for the end.
    let records = 5 * part;
    let audit = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {records}) INSERT INTO audit (seq, at, actor, action, organization, previous, hash) \
         SELECT last.seq + i, {now} - 1000 * ({records} - i), 'gate', 'token.create', CASE WHEN i <= {records} / 2 OR i > {records} - 10 THEN 'acme' ELSE 'zoo' END, \
         randomblob(32), randomblob(32) FROM n, (SELECT max(seq) AS seq FROM audit) last"
    );
    run(&mut raw, &audit).await;
    run(&mut raw, "COMMIT").await;
    raw.close().await.unwrap();
    place
}

#[tokio::test]
async fn channels_that_an_organization_restricts_are_bounded() {
    let place = Temporary::new().await;
    let store = place.open().await;
    for organization in ["acme", "zoo"] {
        create(&store, organization).await;
        store.create_group(organization, "dev", &by(), NOW).await.unwrap();
    }
    let mut raw = place.raw().await;
    let restricted = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
                      INSERT INTO restrictions SELECT o.id, 'c' || i FROM n, organizations o WHERE o.name = 'acme'";
    run(&mut raw, restricted).await;
    raw.close().await.unwrap();
    let grant = async |organization: &str, channel: &str| {
        let grant = Grant::whole(channel, Permission::Read);
        store.grant(organization, "dev", &grant, &by(), NOW).await
    };
    assert!(grant("acme", "last").await.unwrap().is_new);
    let (position, head) = (store.position().await.unwrap(), store.audit_head().await.unwrap());
    let refused = grant("acme", "beyond").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert_eq!(store.restriction("acme", "beyond").await.unwrap(), None);
    assert_eq!((store.position().await.unwrap(), store.audit_head().await.unwrap()), (position, head));
    assert!(grant("acme", "c1").await.unwrap().is_new, "it is restricted already");
    assert!(grant("zoo", "beyond").await.unwrap().is_new, "another organization's");
    store.unrestrict("acme", "c2", &by(), NOW).await.unwrap();
    assert!(grant("acme", "beyond").await.unwrap().is_new);
}

async fn run(connection: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

/// What is asked of a store, by name. Those that change something come last, and the one that ends everything at the end.
const QUESTIONS: [&str; 32] = [
    "start",
    "lookup",
    "lookup of what nobody was issued",
    "show",
    "find by name",
    "first page",
    "middle page",
    "last page",
    "expiring, first page",
    "expiring, middle page",
    "tokens of a user",
    "seats of a user",
    "audit, first page",
    "audit, middle page",
    "audit of an organization, middle page",
    "audit since",
    "audit of an organization since",
    "audit head",
    "issue scoped",
    "issue scoped again",
    "issue site",
    "issue site again",
    "issue individual",
    "issue individual again",
    "revoke",
    "sync site",
    "sync user",
    "join group",
    "disable user",
    "remove seat",
    "note uses",
    "cancel",
];

async fn ask(store: &Store, question: &str, part: u32) {
    let insert = async |token: NewToken, value: &str| {
        store.insert_token(&token, &digest(value), &by(), NOW, Duration::ZERO).await.unwrap()
    };
    let page = async |after| assert_eq!(store.tokens("acme", after, 10).await.unwrap().len(), 10);
    let soon = async |after| {
        let until = NOW.plus(Duration::from_secs(3_600 * 24 * 365));
        assert_eq!(store.expiring_tokens("acme", until, after, 10, NOW).await.unwrap().len(), 10);
    };
    let audit = async |filter: AuditFilter| {
        assert_eq!(store.audit(&AuditFilter { limit: 10, ..filter }).await.unwrap().len(), 10);
    };
    let sync = async |which| store.sync_tokens("acme", &which, &by(), NOW).await.unwrap();
    let acme = || Some("acme".to_owned());
    let middle = i64::from(part * 5 / 2);
    let since = Some(NOW.minus(Duration::from_secs(u64::from(part * 5 / 2) - 1)));
    match question {
        "start" => start(store).await,
        "lookup" => assert!(store.token_by_digest(&digest("one")).await.unwrap().standing.is_some()),
        "lookup of what nobody was issued" => {
            assert!(store.token_by_digest(&digest("none")).await.unwrap().standing.is_none());
        }
        "show" => {
            assert!(store.token(id(part / 2)).await.unwrap().is_some());
            assert!(store.last_use(id(part / 2)).await.unwrap().used.is_some());
        }
        "find by name" => assert!(store.token_by_name("acme", "ci").await.unwrap().is_some()),
        "first page" => page(None).await,
        "middle page" => page(Some(id(part * 5 / 2))).await,
        "last page" => page(Some(id(part * 5 - 11))).await,
        "expiring, first page" => soon(None).await,
        "expiring, middle page" => {
            let number = part / 2;
            soon(Some((NOW.plus(Duration::from_secs(number.into())), id(number)))).await;
        }
        "tokens of a user" => {
            assert_eq!(store.tokens_of_user("ann", None, None, 10, NOW).await.unwrap(), []);
        }
        "seats of a user" => assert_eq!(store.seats_of("ann").await.unwrap().len(), 1),
        "audit, first page" => audit(AuditFilter::default()).await,
        "audit, middle page" => audit(AuditFilter { after: middle, ..AuditFilter::default() }).await,
        "audit of an organization, middle page" => {
            audit(AuditFilter { organization: acme(), after: middle + 20, ..AuditFilter::default() }).await;
        }
        "audit since" => audit(AuditFilter { since, ..AuditFilter::default() }).await,
        "audit of an organization since" => {
            audit(AuditFilter { organization: acme(), since, ..AuditFilter::default() }).await;
        }
        "audit head" => assert!(store.audit_head().await.unwrap().seq > middle),
        "issue scoped" => drop(insert(scoped("acme", "new"), "new").await),
        "issue scoped again" => {
            assert_eq!(insert(scoped("acme", "ci"), "ci").await.record.generation, part + 1);
        }
        "issue site" => assert_eq!(insert(site("acme"), "site").await.record.generation, part + 1),
        "issue site again" => assert!(insert(site("acme"), "site again").await.replaced.is_some()),
        "issue individual" => {
            let issued = insert(NewToken::individual("acme", "bob"), "bob").await;
            assert_eq!((issued.record.generation, issued.replaced), (part + 1, None));
        }
        "issue individual again" => {
            let user = format!("u{:08}", part / 2);
            assert!(insert(NewToken::individual("acme", user), "again").await.replaced.is_some());
        }
        "revoke" => {
            let ended = store.end_token(id(part / 3), &revoked(NOW), &by(), NOW).await.unwrap();
            assert!(!ended.was_dead);
        }
        "sync site" => assert_eq!(sync(Which::Site).await, SyncedTokens { synced: vec![], next: None }),
        "sync user" => assert_eq!(sync(Which::User(format!("u{:08}", part / 4))).await.synced.len(), 1),
        "join group" => drop(store.add_member("acme", "dev", "ann", &by(), NOW).await.unwrap()),
        "disable user" => {
            let disabled = store.disable_user("ann", &by(), NOW).await.unwrap();
            assert_eq!((disabled.keys_ended, disabled.user.disabled_at), (vec![], Some(NOW)));
        }
        "remove seat" => assert_eq!(store.remove_seat("acme", "ann", &by(), NOW).await.unwrap().ended, []),
        "note uses" => {
            let used =
                Used { at: NOW, carrier: Carrier::Path, address: std::net::Ipv4Addr::LOCALHOST.into() };
            let news = LastUse { used: Some(used), refused: None };
            store.record_uses(&[Use { token: id(part / 2), news }]).await.unwrap();
        }
        "cancel" => {
            let cancelled = store.cancel_organization("acme", &by(), NOW).await.unwrap();
            assert!(cancelled.tokens_ended > u64::from(part) / 2);
        }
        other => panic!("{other}?"),
    }
}

/// All that a start asks of the store.
async fn start(store: &Store) {
    store.begin_bootstrap(Timestamp::from_millis(0)).await.unwrap();
    let meters = verify::Meters::register(Metrics::new().unwrap().registry()).unwrap();
    let verifier = Verifier::new(store.clone(), Clock::system(), verify::Config::default(), meters);
    verifier.catch_up().await.unwrap();
    let mut watch = store.watch(store.position().await.unwrap());
    watch.poll().await.unwrap();
    store.changes_since(FeedPosition::START, 1_000).await.unwrap();
}

/// Bytes that this process has read and written.
fn moved() -> (u64, u64) {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let figure = |name| io.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap();
    (figure("rchar: "), figure("wchar: "))
}

/// What each question reads and writes, the opening of the store included.
async fn costs(config: &Config, part: u32) -> Vec<(u64, u64)> {
    let mut costs = Vec::new();
    for question in QUESTIONS {
        let before = moved();
        let store = Store::open(config).await.unwrap();
        ask(&store, question, part).await;
        let after = moved();
        store.close().await;
        costs.push((after.0 - before.0, after.1 - before.1));
    }
    costs
}

/// Those questions that cost more than the same ones of the small store, in words.
fn growth(few: &[(u64, u64)], many: &[(u64, u64)]) -> Vec<String> {
    let grown = |few: u64, many: u64| many > few + SLACK_BYTES;
    let told = QUESTIONS.iter().zip(few.iter().zip(many)).filter(|(question, (few, many))| {
        // Whoever cancels is told how many tokens that ended. They are counted behind the change: nobody waits for it.
        let reads_more = grown(few.0, many.0) && **question != "cancel";
        reads_more || grown(few.1, many.1)
    });
    told.map(|(question, (few, many))| format!("{question}: {few:?} bytes of few, {many:?} of many"))
        .collect()
}

/// Lets somebody's hand into the file at `path`.
async fn alter(path: &Path, sql: &str) -> Vec<String> {
    let mut raw = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let rows: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    rows
}

#[test]
fn nothing_that_is_asked_of_a_store_grows_with_it() {
    // Alone in a process, so that what the process reads is what this test reads.
    if std::env::var_os(ALONE).is_none() {
        let name = "store::size::nothing_that_is_asked_of_a_store_grows_with_it";
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&alone.stdout);
        let words = String::from_utf8_lossy(&alone.stderr);
        assert!(alone.status.success() && said.contains("1 passed"), "{said}{words}");
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let few = filled(FEW).await;
        let few = costs(&few.config, FEW).await;
        let large = filled(MANY).await;
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join("gate.db");
        let config = Config { url: format!("sqlite:{}", copy.display()), ..large.config.clone() };
        std::fs::copy(large.path(), &copy).unwrap();
        let grown = growth(&few, &costs(&config, MANY).await);
        assert!(grown.is_empty(), "{grown:#?}");

        let indexes = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('tokens', 'audit', 'seats')";
        for index in alter(&large.path(), indexes).await {
            std::fs::copy(large.path(), &copy).unwrap();
            alter(&copy, &format!("DROP INDEX {index}")).await;
            let grown = growth(&few, &costs(&config, MANY).await);
            println!("without {index}: {grown:#?}");
            assert!(!grown.is_empty(), "nothing needs the index {index}");
        }
    });
}

#[tokio::test]
async fn sync_of_many_tokens_is_one_bounded_change_after_another() {
    const USERS: u32 = 1_500;
    let place = filled(USERS).await;
    let (store, other) = (place.open().await, place.open().await);
    let sync = async |which| store.sync_tokens("acme", &which, &by(), NOW).await.unwrap();
    let mut synced = HashSet::new();
    let mut rest = Some(Which::All);
    let mut calls = 0;
    while let Some(which) = rest {
        let head = store.audit_head().await.unwrap().seq;
        let page = sync(which).await;
        assert!(page.synced.len() <= 1_000, "{}", page.synced.len());
        assert_eq!(store.audit_head().await.unwrap().seq, head + 1, "one record a call");
        for token in page.synced {
            assert_eq!(token.record.expires_at, None);
            assert!(token.before.is_some() && synced.insert(token.record.id), "{token:?}");
        }
        // Between two calls there is room for others.
        let name = format!("meanwhile {calls}");
        other.insert_token(&scoped("acme", &name), &digest(&name), &by(), NOW, Duration::ZERO).await.unwrap();
        rest = page.next;
        calls += 1;
    }
    assert_eq!((synced.len(), calls), (USERS as usize, 2));
    assert_eq!(sync(Which::All).await.synced, []);
    // Whoever cancels meanwhile ends it.
    other.cancel_organization("acme", &by(), NOW).await.unwrap();
    let late = store.sync_tokens("acme", &Which::Behind("u".into()), &by(), NOW).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict, "{late}");
}

#[tokio::test]
async fn seat_with_thousands_of_tokens_is_removed_at_once() {
    const TOKENS: u32 = 5_000;
    let place = filled(TOKENS).await;
    alter(&place.path(), "UPDATE tokens SET ended_at = NULL, end_cause = NULL WHERE name LIKE 'as ann %'")
        .await;
    let store = place.open().await;
    let position = store.position().await.unwrap();
    store.add_member("acme", "dev", "ann", &by(), NOW).await.unwrap();
    let removed = store.remove_seat("acme", "ann", &by(), NOW).await.unwrap();
    assert_eq!(removed.ended.len(), TOKENS as usize);
    let ended = store.token(removed.ended[99].id).await.unwrap();
    assert_eq!(ended.as_ref(), removed.ended.get(99));
    assert!(
        matches!(ended.unwrap().state(NOW), TokenState::Ended(end) if end.cause == EndCause::SeatRemoved)
    );
    assert!(store.token_by_digest(&digest("one")).await.unwrap().standing.unwrap().token.end.is_none());
    let changes = store.changes_since(position, 9).await.unwrap();
    assert!(
        matches!(changes, Changes::Read { changes, .. } if changes.len() == 2),
        "one row for each change"
    );
}

const ALONE: &str = "CHANNELGATE_TEST_ALONE";
