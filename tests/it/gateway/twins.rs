//! Every fast path beside its slow twin: two gates that differ in `listen.fast_paths` alone answer the same, byte for byte, also where the
//! upstream, the client or the disk fails.

use std::fmt::Write as _;
use std::time::Duration;

use crate::support::client::{Connection, Reply as Answer};
use crate::support::faulty::{Faulty, Reply};
use crate::support::gate::Gate;

/// Below, at and above what passes at once, is read with a head, fills a pipe, and fits a blank.
const SIZES: [usize; 12] = [
    0,
    1,
    1_000,
    16 << 10,
    30 << 10,
    33_000,
    64 << 10,
    (64 << 10) + 1,
    300_000,
    1 << 20,
    (1 << 20) + 17,
    5 << 20,
];

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at / 65_521) as u8).collect()
}

/// Files by their sizes, and misbehaviour by name.
fn script(target: &str) -> Reply {
    let file = target.rsplit('/').next().unwrap_or_default();
    let name = file.strip_suffix(".conda").unwrap_or(file);
    let (kind, size) = name.split_once('-').unwrap_or((name, "0"));
    let size = size.parse().unwrap_or(0);
    let whole = Reply::new(200).header("ETag", "\"1\"").body(pattern(size));
    let after = Duration::from_millis(30);
    match kind {
        "plain" => whole,
        "closing" => whole.header("Connection", "close").close(),
        "chunked" => whole.chunked(),
        "short" => whole.wait(after).announce(size as u64 * 2).close(),
        "reset" => whole.wait(after).announce(size as u64 * 2).reset(),
        "long" => Reply::new(200).body(pattern(size + 9)).announce(size as u64),
        "stalled" => whole.announce(size as u64 * 2).stall(),
        _ => Reply::new(404).body("no"),
    }
}

struct Twins {
    upstream: Faulty,
    fast: Gate,
    slow: Gate,
}

impl Twins {
    async fn start(settings: &str) -> Self {
        let upstream = Faulty::start(|seen| script(&seen.target)).await;
        let gate = async |fast_paths: &str| {
            Gate::builder()
                .settings(&format!("listen.fast_paths = \"{fast_paths}\"\n{settings}"))
                .public_channel("open", &upstream.url(""))
                .start()
                .await
        };
        let (fast, slow) = (gate("always").await, gate("off").await);
        Self { upstream, fast, slow }
    }

    async fn uncached() -> Self {
        Self::start("cache.enabled = false").await
    }

    async fn cached() -> Self {
        Self::start("cache.enabled = true").await
    }

    fn both(&self) -> [&Gate; 2] {
        [&self.fast, &self.slow]
    }
}

fn target(name: &str) -> String {
    format!("/open/noarch/{name}.conda")
}

/// All that a client is told, but for what differs from one request to the next.
fn told(answer: &Answer) -> String {
    let mut told = format!("{} {}\n", answer.status, answer.complete);
    let mut fields: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id" | "last-modified" | "age"))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    // Fields of different names have no order (RFC 9110 section 5.3).
    fields.sort();
    for field in fields {
        writeln!(told, "{field}").unwrap();
    }
    told
}

async fn assert_same(twins: &Twins, name: &str, headers: &[(&str, &str)]) {
    let mut answers = Vec::new();
    for gate in twins.both() {
        let mut connection = Connection::open(gate.data()).await;
        answers.push(connection.ask("GET", &target(name), headers).await);
    }
    let [fast, slow] = &answers[..] else { unreachable!() };
    assert_eq!(told(fast), told(slow), "{name} {headers:?}");
    // The body of a problem names the request.
    let is_same = if fast.status >= 400 { fast.verdict() == slow.verdict() } else { fast.body == slow.body };
    assert!(is_same, "{name} {headers:?}: {} and {} bytes", fast.body.len(), slow.body.len());
}

#[tokio::test]
async fn bodies_of_every_size_are_the_same() {
    for twins in [Twins::uncached().await, Twins::cached().await] {
        for size in SIZES {
            for _filled_then_held in 0..2 {
                assert_same(&twins, &format!("plain-{size}"), &[]).await;
            }
            let body = twins.fast.get(&target(&format!("plain-{size}"))).await.body;
            assert!(body == pattern(size), "{size}");
        }
        for range in ["bytes=0-0", "bytes=70000-", "bytes=100-299999", "bytes=-65536", "bytes=9999999-"] {
            assert_same(&twins, "plain-300000", &[("range", range)]).await;
        }
        assert_same(&twins, "plain-300000", &[("if-none-match", "\"1\"")]).await;
        assert_same(&twins, "missing-1", &[]).await;
    }
}

#[tokio::test]
async fn responses_of_every_framing_are_the_same() {
    let twins = Twins::uncached().await;
    for kind in ["plain", "closing", "chunked", "long"] {
        for size in [0, 5, 40_000, 2 << 20] {
            for _again in 0..2 {
                assert_same(&twins, &format!("{kind}-{size}"), &[]).await;
            }
        }
    }
}

/// One connection takes bodies that pass, bodies that are copied, heads and refusals in turn.
#[tokio::test]
async fn connection_is_kept_alive_and_pipelined() {
    for twins in [Twins::uncached().await, Twins::cached().await] {
        for gate in twins.both() {
            let mut connection = Connection::open(gate.data()).await;
            for size in SIZES.into_iter().chain(SIZES.into_iter().rev()) {
                let answer = connection.ask("GET", &target(&format!("plain-{size}")), &[]).await;
                assert!(
                    (answer.status, answer.complete) == (200, true) && answer.body == pattern(size),
                    "{size}"
                );
                let head = connection.ask("HEAD", &target(&format!("plain-{size}")), &[]).await;
                assert_eq!(head.header("content-length"), Some(size.to_string().as_str()));
                assert_eq!(connection.ask("GET", "/open/%2e%2e/x", &[]).await.status, 400);
            }
            let asked = [(1 << 20) + 17, 1_000, 300_000, 0, 5 << 20, 64 << 10];
            for size in asked {
                connection.send("GET", &target(&format!("plain-{size}")), &[]).await;
            }
            for size in asked {
                let answer = connection.answer("GET").await;
                assert!(answer.complete && answer.body == pattern(size), "pipelined {size}");
            }
        }
    }
}

#[tokio::test]
async fn body_that_breaks_off_never_ends_cleanly() {
    let twins = Twins::uncached().await;
    for kind in ["short", "reset"] {
        for size in [10, 40_000, 300_000, 3 << 20] {
            for gate in twins.both() {
                let answer = gate.get(&target(&format!("{kind}-{size}"))).await;
                assert_eq!((answer.status, answer.complete), (200, false), "{kind} {size}");
                // Of a body that is reset, bytes may be lost on the way to the gate; none is ever another.
                assert!(pattern(size).starts_with(&answer.body), "{kind} {size}");
                if kind == "short" {
                    assert_eq!(answer.body.len(), size, "{kind}");
                }
                assert_eq!(gate.get(&target("plain-300000")).await.body.len(), 300_000, "and it goes on");
            }
        }
    }
}

/// Sockets that take only a part at once, at every place.
#[tokio::test]
async fn slow_reader_gets_every_byte() {
    for twins in [Twins::uncached().await, Twins::cached().await] {
        for gate in twins.both() {
            // Into the cache, if there is one.
            gate.get(&target("plain-5242880")).await;
            let mut connection = Connection::open(gate.data()).await;
            connection.send("GET", &target("plain-5242880"), &[]).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let answer = connection.answer("GET").await;
            assert!(answer.complete && answer.body == pattern(5 << 20));
        }
    }
}

/// A client that leaves takes its upstream's connection with it, and what was in the pipe is nobody else's.
#[tokio::test]
async fn client_that_leaves_spoils_nothing() {
    let twins = Twins::uncached().await;
    for gate in twins.both() {
        for _ in 0..20 {
            let mut connection = Connection::open(gate.data()).await;
            connection.send("GET", &target("plain-5242880"), &[]).await;
            connection.read_head().await;
            drop(connection);
            let answer = gate.get(&target("plain-1048593")).await;
            assert!(answer.complete && answer.body == pattern((1 << 20) + 17));
        }
        let mut stalled = Connection::open(gate.data()).await;
        stalled.send("GET", &target("stalled-300000"), &[]).await;
        stalled.read_head().await;
        drop(stalled);
        assert!(gate.get(&target("plain-5242880")).await.body == pattern(5 << 20));
    }
}

#[tokio::test]
async fn bytes_and_outcomes_are_counted_the_same() {
    for twins in [Twins::uncached().await, Twins::cached().await] {
        let mut counted = Vec::new();
        for gate in twins.both() {
            for name in ["plain-300000", "plain-300000", "plain-5", "short-300000", "missing-0"] {
                gate.get(&target(name)).await;
            }
            let metrics = crate::support::client::ask(gate.admin(), "GET", "/metrics", &[]).await;
            let text = String::from_utf8(metrics.body).unwrap();
            let told: Vec<String> = text
                .lines()
                .filter(|line| {
                    line.starts_with("channelgate_requests_total")
                        || line.starts_with("channelgate_body_bytes_total")
                        || line.starts_with("channelgate_upstream_requests_total")
                })
                .map(str::to_owned)
                .collect();
            counted.push(told);
        }
        assert_eq!(counted[0], counted[1]);
    }
}

/// An upstream whose answers are not usual keeps being asked over few connections.
#[tokio::test]
async fn unusual_upstream_is_left_to_the_library() {
    let twins = Twins::uncached().await;
    let before = twins.upstream.connections();
    for _ in 0..20 {
        let answer = twins.fast.get(&target("chunked-40000")).await;
        assert!(answer.complete && answer.body == pattern(40_000));
    }
    let made = twins.upstream.connections() - before;
    assert!(made <= 4, "{made} connections for 20 requests");
}
