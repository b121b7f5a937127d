//! How does a store of a million tokens answer, beside one of a thousand?
//!
//! `cargo bench --bench million -- [--tokens N]`. Both stores are opened, and so given their schema, by the program itself; their tokens
//! are then written by SQL in one transaction, which takes a minute for a million instead of an hour. Every other one is individual, with
//! its seat; the audit has a record for each. All that is measured goes through the program: its store, its verifier, its binary.
//!
//! Figures are medians. The operating system's cache is warm, the program's own memory is not: each sample asks for another token, and
//! "start" opens the store anew. For what takes its time by nature, a sync of all tokens and a cancellation, what counts is how long others
//! wait meanwhile: another writer of this process, and one of another process (connections of its own), one change after another.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs
)]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use channelgate::account::{Subscription, SubscriptionState};
use channelgate::clock::{Clock, Timestamp};
use channelgate::metrics::Metrics;
use channelgate::store::{
    self, Actor, AuditFilter, FeedPosition, NewToken, Purpose, Store, StoreError, Which,
};
use channelgate::token::{End, EndCause, Minted, TokenDigest, TokenId, TokenState};
use channelgate::verify::{self, Lookup, Verifier};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};
use uuid::Uuid;

const FEW: u64 = 1_000;
const SAMPLES: u64 = 100;
/// How many tokens end within the month that is asked for, and how many records of the audit are of the hour that is asked for.
const WITHIN: u64 = 500;
const MONTH: Duration = Duration::from_secs(30 * 24 * 3_600);
const HOUR: Duration = Duration::from_secs(3_600);

fn main() {
    let tokens = tokens_asked_for();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let few = Place::filled(FEW).await;
        let began = Instant::now();
        let many = Place::filled(tokens).await;
        let bytes = std::fs::metadata(many.database()).unwrap().len();
        println!("made {tokens} tokens in {:.1} s: {} MiB", began.elapsed().as_secs_f64(), bytes >> 20);
        let (few, many) = (few.measure().await, many.measure().await);
        let million = format!("{tokens} tokens");
        println!("\n{:<44}{:>15}{million:>18}{:>9}", "", "1000 tokens", "ratio");
        for ((what, few), (_, many)) in few.iter().zip(&many) {
            let ratio = many.as_secs_f64() / few.as_secs_f64().max(1e-9);
            println!("{what:<44}{:>15}{:>18}{ratio:>9.1}", in_words(*few), in_words(*many));
        }
    });
}

/// `--tokens N`; cargo's own `--bench` is passed over.
fn tokens_asked_for() -> u64 {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 1_000_000,
        ["--tokens", number] => number.parse().expect("--tokens takes a number"),
        _ => panic!("usage: cargo bench --bench million -- [--tokens N], not {arguments:?}"),
    }
}

fn in_words(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// A directory with a store of some size and a configuration.
struct Place {
    directory: tempfile::TempDir,
    tokens: u64,
    now: Timestamp,
}

type Figures = Vec<(String, Duration)>;

impl Place {
    async fn filled(tokens: u64) -> Self {
        assert!(tokens >= FEW && tokens.is_multiple_of(2), "--tokens must be even, and {FEW} at the least");
        let place = Self { directory: tempfile::tempdir().unwrap(), tokens, now: Clock::system().now() };
        let store = place.open().await;
        let by = Actor::gate();
        for name in ["acme", "zoo"] {
            let ends_at = place.now.plus(12 * MONTH);
            let subscription = Subscription::until(Some(ends_at));
            store.create_organization(name, name, subscription, &by, place.now).await.unwrap();
        }
        store.close().await;
        let mut raw = SqliteConnectOptions::new()
            .filename(place.database())
            .pragma("cache_size", "-400000")
            .pragma("synchronous", "OFF")
            .connect()
            .await
            .unwrap();
        place.fill(&mut raw).await;
        raw.close().await.unwrap();
        place
    }

    /// Token number `i` has the id `i << 96 | 7`. Some end within a month, the others in half a year; some records of the audit are of the last
    /// hour, the others older.
    async fn fill(&self, raw: &mut SqliteConnection) {
        let Self { tokens, now, .. } = self;
        let (now, month, hour) = (now.as_millis(), MONTH.as_millis(), HOUR.as_millis());
        let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <";
        let statements = [
            "BEGIN".to_owned(),
            format!(
                "{numbers} {tokens}) INSERT INTO seats SELECT o.id, printf('u%09d', i), 'member', {now} \
                 FROM n, organizations o WHERE o.name = 'acme' AND i % 2 = 1"
            ),
            format!(
                "{numbers} {tokens}) INSERT INTO tokens (id, digest, kind, organization_id, name, user_name, scopes, created_at, expires_at) \
                 SELECT CAST(unhex(printf('%08x000000000000000000000007', i)) AS BLOB), randomblob(32), \
                 CASE i % 2 WHEN 1 THEN 'individual' ELSE 'scoped' END, o.id, \
                 CASE i % 2 WHEN 0 THEN 'token ' || i END, CASE i % 2 WHEN 1 THEN printf('u%09d', i) END, 'repos', \
                 {now} - {tokens} + i, {now} + CASE WHEN i % ({tokens} / {WITHIN}) = 0 THEN {month} / 2 ELSE 6 * {month} END + i \
                 FROM n, organizations o WHERE o.name = 'acme'"
            ),
            "INSERT INTO token_uses (token_id, used_at, carrier, address) SELECT id, created_at, 'path', '::1' FROM tokens"
                .to_owned(),
            format!(
                "{numbers} {tokens}) INSERT INTO audit (seq, at, actor, action, organization, target, after, previous, hash) \
                 SELECT last.seq + i, {now} - 10 * ({tokens} - i) - CASE WHEN i > {tokens} - {WITHIN} THEN 0 ELSE 2 * {hour} END, \
                 'cli:root@host', 'token.create', 'acme', hex(randomblob(16)), '{{\"kind\":\"scoped\",\"scopes\":[\"repos\"]}}', \
                 randomblob(32), randomblob(32) FROM n, (SELECT max(seq) AS seq FROM audit) last"
            ),
            "COMMIT".to_owned(),
        ];
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *raw).await.unwrap();
        }
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(raw).await.unwrap();
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join("channelgate.db")
    }

    async fn open(&self) -> Store {
        let url = format!("sqlite:{}", self.database().display());
        Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap()
    }

    /// A token far from the one of the sample before; of odd numbers individual, of even ones scoped.
    fn token(&self, sample: u64, individual: bool) -> u64 {
        1 + (sample * 7_919) * 2 % self.tokens + u64::from(!individual)
    }

    async fn measure(&self) -> Figures {
        println!("\n{} tokens:", self.tokens);
        let mut figures = vec![("start: store and verifier".to_owned(), self.start().await)];
        figures.push(("start: the binary's ready line".to_owned(), self.ready_line()));
        figures.extend(self.questions().await);
        figures.extend(self.changes().await);
        figures.extend(self.sync().await);
        figures.extend(self.cancel().await);
        figures
    }

    async fn start(&self) -> Duration {
        let mut samples = Vec::new();
        for _ in 0..20 {
            let began = Instant::now();
            let store = self.open().await;
            store.position().await.unwrap();
            store.audit_head().await.unwrap();
            verifier(&store).catch_up().await.unwrap();
            store.watch(FeedPosition::START).poll().await.unwrap();
            samples.push(began.elapsed());
            store.close().await;
        }
        median(samples)
    }

    fn ready_line(&self) -> Duration {
        let config = self.directory.path().join("channelgate.toml");
        let at = self.directory.path().display();
        let text = format!(
            "data_dir = \"{at}\"\nlisten.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\ncache.enabled = false\n\
             store.url = \"sqlite:{}\"\n",
            self.database().display()
        );
        std::fs::write(&config, text).unwrap();
        let start = |_| {
            let began = Instant::now();
            let mut gate = Command::new(env!("CARGO_BIN_EXE_channelgate"))
                .arg("--config")
                .arg(&config)
                .arg("serve")
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(gate.stderr.take().unwrap()).lines().map_while(Result::ok);
            let ready = lines.find(|line| line.starts_with("channelgate ready "));
            let took = began.elapsed();
            gate.kill().unwrap();
            gate.wait().unwrap();
            assert!(ready.is_some(), "the gate did not become ready");
            took
        };
        median((0..5).map(start).collect())
    }

    async fn questions(&self) -> Figures {
        let store = self.open().await;
        let id = |number: u64| TokenId(Uuid::from_u128(u128::from(number) << 96 | 7));
        let mut figures = Vec::new();
        let digests = self.digests().await;
        let verifier = verifier(&store);
        let mut samples = Vec::new();
        for digest in &digests {
            let began = Instant::now();
            assert!(verifier.recall(digest).is_none(), "it was not asked for yet");
            assert!(matches!(verifier.lookup(digest, None).await.unwrap(), Lookup::Known(_)));
            samples.push(began.elapsed());
        }
        figures.push(("cold lookup by digest".to_owned(), median(samples)));

        let mut samples = Vec::new();
        for sample in 0..SAMPLES {
            let id = id(self.token(sample, true));
            let began = Instant::now();
            let token = store.token(id).await.unwrap().unwrap();
            assert!(store.last_use(id).await.unwrap().used.is_some());
            samples.push(began.elapsed());
            assert_eq!(token.state(self.now), TokenState::Live);
        }
        figures.push(("show".to_owned(), median(samples)));

        let pages =
            [("first", None), ("middle", Some(id(self.tokens / 2))), ("last", Some(id(self.tokens - 100)))];
        for (name, after) in pages {
            let mut samples = Vec::new();
            for _ in 0..SAMPLES {
                let began = Instant::now();
                assert_eq!(store.tokens("acme", after, 100).await.unwrap().len(), 100);
                samples.push(began.elapsed());
            }
            figures.push((format!("list, {name} page of 100"), median(samples)));
        }

        let (mut expiring, mut since) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            let began = Instant::now();
            let soon = store.expiring_tokens("acme", self.now.plus(MONTH), None, 1_000, self.now).await;
            assert!(soon.unwrap().len() >= usize::try_from(WITHIN).unwrap());
            expiring.push(began.elapsed());
            let filter = AuditFilter { since: Some(self.now.minus(HOUR)), ..AuditFilter::default() };
            let began = Instant::now();
            let records = store.audit(&filter).await.unwrap().len();
            since.push(began.elapsed());
            assert!((WITHIN..1_000).contains(&u64::try_from(records).unwrap()), "{records}");
        }
        figures.push((format!("list --expiring, {WITHIN} of them"), median(expiring)));
        figures.push((format!("audit --since, {WITHIN} of them"), median(since)));
        store.close().await;
        figures
    }

    /// The digests of some tokens, far from each other.
    async fn digests(&self) -> Vec<TokenDigest> {
        let mut raw = SqliteConnectOptions::new().filename(self.database()).connect().await.unwrap();
        let mut digests = Vec::new();
        for sample in 0..SAMPLES {
            let number = i64::try_from(self.token(sample, sample % 2 == 0)).unwrap();
            let row = sqlx::query("SELECT digest FROM tokens WHERE rowid = ?").bind(number);
            let digest: Vec<u8> = row.fetch_one(&mut raw).await.unwrap().get("digest");
            digests.push(TokenDigest::from_bytes(&digest).unwrap());
        }
        raw.close().await.unwrap();
        digests
    }

    async fn changes(&self) -> Figures {
        let store = self.open().await;
        let by = Actor::gate();
        let (mut created, mut issued, mut revoked) = (Vec::new(), Vec::new(), Vec::new());
        for sample in 0..SAMPLES {
            let began = Instant::now();
            let token = insert(&store, scoped("acme", &format!("new {sample}"))).await.unwrap();
            created.push(began.elapsed());
            let user = format!("u{:09}", self.token(sample, true));
            let began = Instant::now();
            insert(&store, NewToken::individual("acme", user)).await.unwrap();
            issued.push(began.elapsed());
            let end = End { cause: EndCause::Revoked, at: self.now, reason: None };
            let began = Instant::now();
            assert!(!store.end_token(token, &end, &by, self.now).await.unwrap().was_dead);
            revoked.push(began.elapsed());
        }
        store.close().await;
        vec![
            ("create a scoped token".to_owned(), median(created)),
            ("issue an individual token again".to_owned(), median(issued)),
            ("revoke".to_owned(), median(revoked)),
        ]
    }

    async fn sync(&self) -> Figures {
        let store = self.open().await;
        let by = Actor::gate();
        store.renew_organization("acme", self.now.plus(24 * MONTH), &by, self.now).await.unwrap();
        let others = [Other::beginning(store.clone()), Other::beginning(self.open().await)];
        let mut rest = Some(Which::All);
        let (mut synced, mut calls, began) = (0, 0_u32, Instant::now());
        while let Some(which) = rest {
            let page = store.sync_tokens("acme", &which, &by, self.now).await.unwrap();
            synced += page.synced.len();
            calls += 1;
            rest = page.next;
        }
        let took = began.elapsed();
        println!("  a sync of {synced} tokens took {:.2} s in {calls} calls", took.as_secs_f64());
        let mut figures = vec![("sync, each 1,000 tokens".to_owned(), took / calls)];
        for (who, other) in WHO.into_iter().zip(others) {
            figures.push((
                format!("sync: longest wait of another {who}"),
                other.longest_wait("sync", who).await,
            ));
        }
        store.close().await;
        figures
    }

    async fn cancel(&self) -> Figures {
        let store = self.open().await;
        let others = [Other::beginning(store.clone()), Other::beginning(self.open().await)];
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        let cancelled = store.cancel_organization("acme", &Actor::gate(), self.now).await.unwrap();
        let took = began.elapsed();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(matches!(
            cancelled.organization.subscription.state(self.now),
            SubscriptionState::Cancelled(_)
        ));
        assert!(cancelled.tokens_ended >= self.tokens);
        println!("  a cancellation ended {} tokens", cancelled.tokens_ended);
        let mut figures = vec![("cancel, with the count of its tokens".to_owned(), took)];
        for (who, other) in WHO.into_iter().zip(others) {
            let wait = other.longest_wait("cancel", who).await;
            figures.push((format!("cancel: longest wait of another {who}"), wait));
        }
        let digest = self.digests().await[0];
        let began = Instant::now();
        let reading = store.token_by_digest(&digest).await.unwrap().standing.unwrap();
        figures.push(("cold lookup after the cancellation".to_owned(), began.elapsed()));
        assert!(matches!(reading.token.state(self.now), TokenState::Ended(_)));
        store.close().await;
        figures
    }
}

const WHO: [&str; 2] = ["writer", "process"];

/// Somebody who changes something else all the time.
struct Other {
    stop: Arc<AtomicBool>,
    changes: tokio::task::JoinHandle<Vec<(Duration, Result<TokenId, StoreError>)>>,
}

impl Other {
    fn beginning(store: Store) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let changes = tokio::spawn(async move {
            let mut changes = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let name = Uuid::new_v4().to_string();
                let began = Instant::now();
                let outcome = insert(&store, scoped("zoo", &name)).await;
                changes.push((began.elapsed(), outcome));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            changes
        });
        Self { stop, changes }
    }

    async fn longest_wait(self, meanwhile: &str, who: &str) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let changes = self.changes.await.unwrap();
        let failed = changes.iter().filter(|(_, outcome)| outcome.is_err()).count();
        let half = median(changes.iter().map(|(took, _)| *took).collect());
        println!(
            "  {meanwhile}: another {who} made {} changes, {failed} failed; median {}",
            changes.len(),
            in_words(half)
        );
        changes.iter().map(|(took, _)| *took).max().unwrap()
    }
}

fn scoped(organization: &str, name: &str) -> NewToken {
    let purpose = Purpose::Scoped { name: name.to_owned(), acts_as: None };
    NewToken { purpose, ..NewToken::site(organization) }
}

async fn insert(store: &Store, token: NewToken) -> Result<TokenId, StoreError> {
    let digest = Minted::random().unwrap().digest();
    let now = Clock::system().now();
    let issued = store.insert_token(&token, &digest, &Actor::gate(), now, Duration::ZERO).await?;
    Ok(issued.record.id)
}

fn verifier(store: &Store) -> Verifier {
    let meters = verify::Meters::register(Metrics::new().unwrap().registry()).unwrap();
    Verifier::new(store.clone(), Clock::system(), verify::Config::default(), meters)
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}
