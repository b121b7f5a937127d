//! How long does it take to admit a known token, and what does it take to know one? Parse, extract, digest, recall, decide, with a million
//! tokens in memory.
//!
//! `cargo bench --bench admit -- [--tokens N]`. The tokens are written by SQL and read by the verifier, a few at a time, which takes minutes
//! for a million. They are asked for in an order that no cache can guess, from paths prepared beforehand. The figure to look at is the median
//! of the rounds; on a shared machine the minimum tells what the code costs. Bytes and allocations are counted by the allocator: a known
//! token's bytes are what a reading of it leaves in the process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use channelgate::clock::{Clock, Timestamp};
use channelgate::conda::{ChannelName, RequestTarget};
use channelgate::gateway::admission::admit;
use channelgate::metrics::Metrics;
use channelgate::policy::{Access, Channel, Channels};
use channelgate::store::{self, Actor, Store};
use channelgate::token::{Minted, TokenDigest};
use channelgate::verify::{self, Verifier};
use http::HeaderMap;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

/// A round admits this many, or all.
const ROUND: usize = 100_000;
const ROUNDS: usize = 30;

/// What a known token of a million may take.
const BYTES_MAX: f64 = 160.0;

/// How many tokens are read at a time.
const READERS: usize = 8;

/// The system's allocator, with what is allocated and how often.
struct Counting;

static BYTES: AtomicI64 = AtomicI64::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn count(bytes: i64) {
    BYTES.fetch_add(bytes, Ordering::Relaxed);
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "an allocator cannot be written without; it only counts and hands on")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() {
    let tokens = tokens_asked_for();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(bench(tokens));
}

/// `--tokens N`; cargo's own `--bench` is passed over.
fn tokens_asked_for() -> usize {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 1_000_000,
        ["--tokens", number] => number.parse().expect("--tokens takes a number"),
        _ => panic!("usage: cargo bench --bench admit -- [--tokens N], not {arguments:?}"),
    }
}

/// Scoped tokens of one organization: their paths, one behind the other, and their digests.
async fn fill(database: &str, tokens: usize, now: Timestamp) -> (String, Vec<TokenDigest>) {
    let mut raw =
        SqliteConnectOptions::new().filename(database).pragma("synchronous", "OFF").connect().await.unwrap();
    let organization: Vec<u8> = sqlx::query_scalar("SELECT id FROM organizations WHERE name = 'acme'")
        .fetch_one(&mut raw)
        .await
        .unwrap();
    let mut transaction = raw.begin().await.unwrap();
    let (mut paths, mut digests) = (String::new(), Vec::with_capacity(tokens));
    for number in 0..tokens {
        let minted = Minted::random().unwrap();
        sqlx::query(
            "INSERT INTO tokens (id, digest, kind, organization_id, name, scopes, created_at, expires_at) \
             VALUES (?, ?, 'scoped', ?, ?, 'conda:download', ?, ?)",
        )
        .bind(&Uuid::from_u128((number as u128) << 96 | 7).as_bytes()[..])
        .bind(&minted.digest().as_bytes()[..])
        .bind(&organization)
        .bind(format!("token {number}"))
        .bind(now.as_millis())
        .bind(now.plus(Duration::from_secs(24 * 3_600)).as_millis())
        .execute(&mut *transaction)
        .await
        .unwrap();
        digests.push(minted.digest());
        paths.push_str(&path(minted.expose()));
        tell("made", number + 1, tokens);
    }
    transaction.commit().await.unwrap();
    raw.close().await.unwrap();
    (paths, digests)
}

fn path(token: &str) -> String {
    format!("/t/{token}/conda-forge/linux-64/numpy-2.4.0-py313h1_0.conda")
}

/// Ten lines of progress.
fn tell(what: &str, done: usize, tokens: usize) {
    if done.is_multiple_of(tokens.div_ceil(10)) {
        println!("{what} {done} of {tokens}");
    }
}

/// Has the verifier read every token from the store.
async fn read(verifier: &Verifier, digests: &Arc<[TokenDigest]>) {
    let next = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (verifier, digests, next) = (verifier.clone(), Arc::clone(digests), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(digest) = digests.get(number) else { break };
                    verifier.lookup(digest, None).await.unwrap();
                    tell("read", number + 1, digests.len());
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
}

async fn bench(tokens: usize) {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("{}/channelgate.db", directory.path().display());
    let url = format!("sqlite:{database}");
    let store = Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap();
    let clock = Clock::system();
    store.create_organization("acme", "Acme", Default::default(), &Actor::gate(), clock.now()).await.unwrap();
    let made = Instant::now();
    let (paths, digests) = fill(&database, tokens, clock.now()).await;
    println!("made {tokens} tokens in {:.1} s", made.elapsed().as_secs_f64());

    // Longer than the bench: nobody follows the feed here, so nothing else would keep the verdicts young.
    let config = verify::Config {
        max_staleness: Duration::from_secs(3_600),
        known_max: tokens * 2,
        ..verify::Config::default()
    };
    let meters = verify::Meters::register(Metrics::new().unwrap().registry()).unwrap();
    let queries = meters.store_queries.clone();
    let verifier = Verifier::new(store, clock.clone(), config, meters);
    let digests = Arc::from(digests);
    let (before, begun) = (BYTES.load(Ordering::Relaxed), Instant::now());
    read(&verifier, &digests).await;
    let bytes = (BYTES.load(Ordering::Relaxed) - before) as f64 / tokens as f64;
    println!(
        "read them in {:.1} s: {bytes:.1} bytes a known token, its record included",
        begun.elapsed().as_secs_f64()
    );
    drop(digests);

    let channels = Channels::new(["conda-forge", "repo/main", "repo/r", "repo/msys2"].map(|name| Channel {
        name: ChannelName::parse(name).unwrap(),
        access: Access::Private { organizations: Vec::new() },
        rules: std::sync::Arc::default(),
    }));
    let headers = HeaderMap::new();
    let asked = queries.get();

    // 7,919 is prime to usual numbers of tokens: neighbours far apart. The paths themselves lie in order, as a request's bytes do that were
    // read a moment ago: what is measured is the gate's memory, not the bench's.
    let path_bytes = paths.len() / tokens;
    let of = |number: usize| &paths[number * path_bytes..(number + 1) * path_bytes];
    let shuffled: String = (0..tokens).map(|step| of(step * 7_919 % tokens)).collect();
    drop(paths);

    let (round, mut step, mut rounds) = (ROUND.min(tokens), 0, Vec::with_capacity(ROUNDS));
    let mut allocations = 0;
    for _ in 0..ROUNDS {
        let (allocated, began) = (ALLOCATIONS.load(Ordering::Relaxed), Instant::now());
        for _ in 0..round {
            let path = &shuffled[step * path_bytes..(step + 1) * path_bytes];
            step = (step + 1) % tokens;
            let target = RequestTarget::parse(path).unwrap();
            let admission = admit(&target, &headers, &channels, &verifier, None, clock.now()).await.unwrap();
            assert!(black_box(admission).decision.is_ok());
        }
        rounds.push(began.elapsed().as_nanos() as f64 / round as f64);
        allocations += ALLOCATIONS.load(Ordering::Relaxed) - allocated;
    }
    assert_eq!(queries.get(), asked, "a known token was asked of the store");
    rounds.sort_by(f64::total_cmp);
    let (least, median, most) = (rounds[0], rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
    println!(
        "admit, known token, {tokens} known: median {median:.0} ns, least {least:.0} ns, most {most:.0} ns; \
         {:.4} allocations each",
        allocations as f64 / (round * ROUNDS) as f64
    );
    let verdict = |is_within: bool| if is_within { "within" } else { "over" };
    println!("{} the bound of 1 µs", verdict(median <= 1_000.0));
    println!("{} the bound of {BYTES_MAX:.0} bytes a known token", verdict(bytes <= BYTES_MAX));
}
