//! Running downloads of a token that ends: they finish, or are cut (`verify.cut_streams`).

use std::time::{Duration, Instant};

use channelgate::store::Actor;
use channelgate::token::{End, EndCause};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client;
use crate::support::faulty::{self, Faulty, Reply};
use crate::support::gate::{Gate, Issued};

const CUT: &str = "verify.cut_streams = true";
const PAST_CACHE: &str = "verify.cut_streams = true\ncache.enabled = false";
const PATIENCE: Duration = Duration::from_secs(20);

/// More than sockets hold, so that a client that does not read leaves most of it behind.
const LENGTH: usize = 24 << 20;

/// An upstream with one file, whose second half comes when the gate opens.
async fn upstream(rest: &faulty::Gate) -> Faulty {
    let rest = rest.clone();
    Faulty::start(move |seen| {
        if seen.target != "/big.bin" {
            return Reply::new(404);
        }
        let half = vec![b'x'; LENGTH / 2];
        let reply = Reply::new(200).header("ETag", "\"big\"").announce(LENGTH as u64);
        reply.body(&half).until(&rest).body(&half)
    })
    .await
}

async fn start(upstream: &Faulty, settings: &str) -> Gate {
    Gate::builder().channel("main", &upstream.url("")).settings(settings).start().await
}

/// A client that has read the head and the first bytes of a body.
struct Client(TcpStream);

impl Client {
    async fn begin(gate: &Gate, token: &Issued) -> Self {
        let mut stream = TcpStream::connect(gate.data()).await.unwrap();
        let head =
            format!("GET /t/{}/main/big.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", token.value);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 4096];
        stream.read_exact(&mut first).await.unwrap();
        assert!(first.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&first));
        Self(stream)
    }

    /// True if everything came that was announced.
    async fn finishes(mut self) -> bool {
        let mut received = 4096;
        let mut chunk = vec![0; 1 << 18];
        let reading = async {
            while let Ok(bytes @ 1..) = self.0.read(&mut chunk).await {
                received += bytes;
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("it does not end");
        received > LENGTH
    }
}

/// Ends a token as another process does.
async fn revoke(gate: &Gate, token: &Issued) {
    let now = gate.app.clock().now();
    let end = End { cause: EndCause::Revoked, at: now, reason: None };
    gate.store().end_token(token.id, &end, &Actor::gate(), now).await.unwrap();
}

async fn count(gate: &Gate, metric: &str) -> u64 {
    let text = String::from_utf8(client::ask(gate.admin(), "GET", "/metrics", &[]).await.body).unwrap();
    let line = text.lines().find(|line| line.starts_with(metric));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

async fn until_cut(gate: &Gate, streams: u64) {
    let began = Instant::now();
    while count(gate, "channelgate_streams_cut_total").await < streams {
        assert!(began.elapsed() < PATIENCE, "nothing is cut");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(count(gate, "channelgate_streams_cut_total").await, streams);
}

async fn tokens(gate: &Gate) -> [Issued; 2] {
    [gate.scoped("a", "repos", None, None).await, gate.scoped("b", "repos", None, None).await]
}

/// Filled into the cache, and passed through: the upstream is silent, so nothing but the cut ends the one, and the other goes on.
#[tokio::test]
async fn download_on_its_way_is_cut_with_its_token_and_no_other() {
    for settings in [CUT, PAST_CACHE] {
        let rest = faulty::Gate::default();
        let upstream = upstream(&rest).await;
        let gate = start(&upstream, settings).await;
        let [a, b] = tokens(&gate).await;
        let (cut, kept) = (Client::begin(&gate, &a).await, Client::begin(&gate, &b).await);
        revoke(&gate, &a).await;
        assert!(!cut.finishes().await, "{settings}");
        until_cut(&gate, 1).await;
        rest.open();
        assert!(kept.finishes().await, "{settings}");
        assert_eq!(count(&gate, "channelgate_requests_total{outcome=\"aborted\"}").await, 1, "{settings}");
    }
}

/// The file is whole in the cache, and the client takes its time.
#[tokio::test]
async fn download_of_a_kept_file_is_cut_with_its_token_and_no_other() {
    let rest = faulty::Gate::default();
    rest.open();
    let upstream = upstream(&rest).await;
    let gate = start(&upstream, CUT).await;
    let [a, b] = tokens(&gate).await;
    assert!(Client::begin(&gate, &b).await.finishes().await);
    let (cut, kept) = (Client::begin(&gate, &a).await, Client::begin(&gate, &b).await);
    revoke(&gate, &a).await;
    until_cut(&gate, 1).await;
    assert!(!cut.finishes().await);
    assert!(kept.finishes().await);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn download_finishes_whatever_becomes_of_its_token_unless_told_otherwise() {
    let rest = faulty::Gate::default();
    let upstream = upstream(&rest).await;
    let gate = start(&upstream, "").await;
    let [a, _] = tokens(&gate).await;
    let running = Client::begin(&gate, &a).await;
    gate.end(&a, EndCause::Revoked).await;
    assert_eq!(gate.get(&format!("/t/{}/main/big.bin", a.value)).await.verdict(), "401 token_revoked");
    rest.open();
    assert!(running.finishes().await);
    assert_eq!(count(&gate, "channelgate_streams_cut_total").await, 0);
}

/// What no change tells of: the token's own expiry, and the end of an outage's grace.
#[tokio::test]
async fn download_is_cut_when_its_token_expires_and_when_nobody_can_vouch_for_it_any_more() {
    let rest = faulty::Gate::default();
    let upstream = upstream(&rest).await;
    let gate = Gate::builder().channel("main", &upstream.url("")).settings(CUT).manual_clock();
    let gate = gate.start().await;
    let hands = gate.hands.clone().unwrap();
    let expiring = gate.scoped("a", "repos", None, Some("2027-01-01T00:01:00Z")).await;
    let lasting = gate.scoped("b", "repos", None, None).await;
    let (expired, lost) = (Client::begin(&gate, &expiring).await, Client::begin(&gate, &lasting).await);
    hands.advance(Duration::from_secs(59));
    assert_eq!(count(&gate, "channelgate_streams_cut_total").await, 0);
    hands.advance(Duration::from_secs(1));
    until_cut(&gate, 1).await;
    assert!(!expired.finishes().await);

    let file = gate.directory.path().join("var/channelgate.db");
    std::fs::rename(&file, file.with_extension("away")).unwrap();
    let began = Instant::now();
    while gate.app.verifier().health().store_up {
        assert!(began.elapsed() < PATIENCE, "the outage is not noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    hands.advance(Duration::from_secs(298));
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(count(&gate, "channelgate_streams_cut_total").await, 1, "the grace is not over");
    hands.advance(Duration::from_secs(2));
    until_cut(&gate, 2).await;
    assert!(!lost.finishes().await);
}

/// An upstream that takes its time must not make an old decision good.
#[tokio::test]
async fn request_is_decided_again_before_an_answer_that_took_long() {
    let rest = faulty::Gate::default();
    let waiting = rest.clone();
    let upstream = Faulty::start(move |_| Reply::new(200).until(&waiting).body("late")).await;
    let gate = start(&upstream, "").await;
    let [a, b] = tokens(&gate).await;
    let ask = |token: &Issued| {
        let (data, target) = (gate.data(), format!("/t/{}/main/{}.bin", token.value, token.id));
        tokio::spawn(async move { client::ask(data, "GET", &target, &[]).await.verdict() })
    };
    let (revoked, valid) = (ask(&a), ask(&b));
    while upstream.seen().len() < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    gate.end(&a, EndCause::Revoked).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    rest.open();
    assert_eq!(revoked.await.unwrap(), "401 token_revoked");
    assert_eq!(valid.await.unwrap(), "200");
}
