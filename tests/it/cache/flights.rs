//! Single flight: who rides on whose fetch, who keeps it going, what is proven, and what is asked for once more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use channelgate::cache::{
    Check, Expected, FillError, Inspect, Inspection, Landed, Order, Passed, Proof, Refused, Sha256,
};
use http_body_util::BodyExt as _;
use tokio::task::JoinSet;

use super::stage::{FILE, Got, LENGTH, Stage, Told, body, bytes_of, consume, honest, read, upstreams};
use crate::support::faulty::{Faulty, Gate, Reply};

const V1: &str = "\"v1\"";

/// 256 MiB take half a minute on a busy machine of two cores, for the 16 GiB that the clients read, and show nothing more.
const COLD_BYTES: usize = 32 << 20;
const CLIENTS: usize = 64;

/// A server that sends so much of the file, and the rest when the gate opens.
async fn halting(bytes: &[u8], first: usize, gate: &Gate) -> Faulty {
    let (bytes, gate) = (bytes.to_vec(), gate.clone());
    Faulty::start(move |_| {
        let (begin, rest) = bytes.split_at(first);
        Reply::new(200).header("ETag", V1).body(begin).until(&gate).body(rest)
    })
    .await
}

async fn always_honest(bytes: &[u8]) -> Faulty {
    let bytes = bytes.to_vec();
    Faulty::start(move |seen| honest(seen, &bytes, V1)).await
}

/// The first so many frames of a client's body; it is still interested then.
async fn taste(stage: &Stage, order: &Order, bytes: usize) -> channelgate::cache::Body {
    let Ok(Landed::Filling(filling)) = stage.fetch(order).await else { panic!("not on its way") };
    let mut body = filling.body(None);
    let mut got = 0;
    while got < bytes {
        got += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_of_one_cold_file_cause_one_request() {
    let bytes: Arc<[u8]> = body(COLD_BYTES, 1).into();
    let gate = Gate::default();
    let server = halting(&bytes, COLD_BYTES / 2, &gate).await;
    let stage = Arc::new(Stage::new());
    let order = stage.order(&upstreams(&[&server]), Check::Digests(Told::bytes(&bytes)));
    let waiting = Arc::new(AtomicUsize::new(CLIENTS));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (stage, order, bytes) = (Arc::clone(&stage), order.clone(), Arc::clone(&bytes));
        let waiting = Arc::clone(&waiting);
        clients.spawn(async move {
            let start = Instant::now();
            let Ok(Landed::Filling(filling)) = stage.fetch(&order).await else { panic!("not on its way") };
            let (mut body, mut first, mut at) = (filling.body(None), None, 0);
            while let Some(frame) = body.frame().await {
                let piece = frame.unwrap().into_data().unwrap();
                if first.is_none() {
                    first = Some(start.elapsed());
                    waiting.fetch_sub(1, Ordering::SeqCst);
                }
                assert!(bytes[at..at + piece.len()] == piece, "wrong bytes at {at}");
                at += piece.len();
            }
            assert_eq!(at, bytes.len());
            (filling.is_leader(), first.unwrap())
        });
    }
    // The server sends the second half only when everybody has bytes of the first, one more included who comes while they read.
    while waiting.load(Ordering::SeqCst) > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let start = Instant::now();
    let late = taste(&stage, &order, 1).await;
    let late_took = start.elapsed();
    gate.open();
    drop(late);
    let mut times = clients.join_all().await;
    times.sort();
    let leader = times.iter().find(|(is_leader, _)| *is_leader).unwrap().1;
    let (median, last) = (times[CLIENTS / 2].1, times[CLIENTS - 2].1);
    println!(
        "first byte: leader {leader:?}; followers from the start {median:?}, at most {last:?}; a late one {late_took:?}"
    );
    stage.idle().await;
    assert_eq!(server.seen().len(), 1);
    assert_eq!(stage.meters.followers.get(), CLIENTS as u64);
    let kept = stage.disk.find(&order.key).await.unwrap();
    assert_eq!(kept.facts().proof, Proof::Index);
    assert!(bytes_of(&kept) == *bytes);
}

#[tokio::test]
async fn leader_that_leaves_at_half_disturbs_nobody() {
    let (bytes, gate) = (body(LENGTH, 1), Gate::default());
    let server = halting(&bytes, LENGTH / 2, &gate).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::None);
    let leader = taste(&stage, &order, 1).await;
    let follower = taste(&stage, &order, 1).await;
    drop(leader);
    gate.open();
    let Got::Whole(rest) = read(follower, || {}).await else { panic!("aborted") };
    assert!(bytes.ends_with(&rest));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn fetch_that_nobody_wants_goes_on_only_if_more_than_half_is_there() {
    for (name, first, goes_on) in [("a quarter", LENGTH / 4, false), ("three quarters", LENGTH * 3 / 4, true)]
    {
        let (bytes, gate) = (body(LENGTH, 1), Gate::default());
        let server = halting(&bytes, first, &gate).await;
        let stage = Stage::new();
        let order = stage.order(&upstreams(&[&server]), Check::None);
        let wanted = if goes_on { LENGTH / 2 + 1 } else { 1 };
        drop(taste(&stage, &order, wanted).await);
        if goes_on {
            gate.open();
        }
        stage.idle().await;
        assert_eq!(stage.kept(&order).await.is_some_and(|kept| kept == bytes), goes_on, "{name}");
        assert_eq!(server.seen().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn question_that_nobody_wants_answered_is_given_up() {
    let server = Faulty::start(|_| Reply::nothing().stall()).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::None);
    let given_up = tokio::time::timeout(Duration::from_millis(50), stage.fetch(&order)).await;
    assert!(given_up.is_err());
    stage.idle().await;
}

#[tokio::test]
async fn order_for_what_is_there_by_now_asks_nobody() {
    let bytes = body(LENGTH, 1);
    let server = always_honest(&bytes).await;
    let stage = Stage::new();
    for check in [Check::None, Check::Digests(Told::bytes(&bytes)), Check::Named(Sha256::of(&bytes))] {
        let order = stage.order(&upstreams(&[&server]), check);
        assert_eq!(stage.download(&order, None).await, Got::Whole(bytes.clone()));
        stage.idle().await;
    }
    assert_eq!(server.seen().len(), 1);
}

/// A server that sends a flipped byte so many times, and a small file.
async fn flipping(small: &[u8], times: usize) -> Faulty {
    let (small, count) = (small.to_vec(), AtomicUsize::new(0));
    Faulty::start(move |_| {
        let mut sent = small.clone();
        sent[7] ^= u8::from(count.fetch_add(1, Ordering::SeqCst) < times);
        Reply::new(200).header("ETag", V1).body(sent)
    })
    .await
}

#[tokio::test]
async fn small_file_that_is_bad_once_is_fetched_afresh_unnoticed() {
    let small = body(1_000, 1);
    let server = flipping(&small, 1).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::Digests(Told::bytes(&small)));
    assert_eq!(stage.download(&order, None).await, Got::Whole(small.clone()));
    assert_eq!(stage.meters.verification_failures.get(), 1);
    // A body that was begun before rides on, too: its response has the same head.
    let server = flipping(&small, 1).await;
    let order = stage.order(&upstreams(&[&server]), order.check);
    let Ok(Landed::Filling(filling)) = stage.fetch(&order).await else { panic!("not on its way") };
    assert_eq!(read(filling.body(None), || {}).await, Got::Whole(small));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn file_that_is_bad_twice_is_refused_and_not_asked_for_in_a_loop() {
    let small = body(1_000, 1);
    let server = flipping(&small, 2).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::Named(Sha256::of(&small)));
    for _ in 0..3 {
        assert!(matches!(stage.fetch_whole(&order).await, Err(FillError::Corrupt)));
    }
    assert_eq!(server.seen().len(), 2);
    stage.hands.advance(Duration::from_secs(11));
    assert_eq!(stage.download(&order, None).await, Got::Whole(small));
}

#[tokio::test]
async fn file_that_was_published_again_is_no_bad_one() {
    let (before, after) = (body(LENGTH, 1), body(LENGTH + 5, 2));
    let server = always_honest(&after).await;
    let stage = Stage::new();
    let told = Told::revised(&before, &after);
    let order = stage.order(&upstreams(&[&server]), Check::Digests(Arc::clone(&told) as _));
    assert_eq!(stage.download(&order, None).await, Got::Whole(after));
    assert_eq!((told.asked_anew(), server.seen().len()), (1, 1));
    assert_eq!(stage.meters.verification_failures.get(), 0);
}

#[tokio::test]
async fn file_that_no_index_names_is_kept_and_marked() {
    let bytes = body(LENGTH, 1);
    let server = always_honest(&bytes).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::Digests(Told::nothing()));
    let Ok(object) = stage.fetch_whole(&order).await else { panic!("not kept") };
    assert_eq!((object.facts().proof, bytes_of(&object)), (Proof::Unproven, bytes));
    assert_eq!(object.facts().upstream, server.url(""));
}

#[tokio::test]
async fn held_object_is_confirmed_once_for_all_who_ask() {
    let bytes = body(LENGTH, 1);
    let server = always_honest(&bytes).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::None);
    let held = stage.hold(&bytes, V1, &order).await;
    stage.hands.advance(Duration::from_secs(90));
    let order = Order { held: Some(held.clone()), ..order };
    let (first, second) = tokio::join!(stage.fetch(&order), stage.fetch(&order));
    for landed in [first, second] {
        let (Ok(Landed::Current(object)) | Ok(Landed::Whole(object))) = landed else { panic!("not current") };
        assert_eq!(object.validated_at().since(held.validated_at()), Duration::from_secs(90));
    }
    assert_eq!(server.seen().len(), 1);
    assert_eq!(server.seen()[0].header("If-None-Match"), Some(V1));
}

#[tokio::test]
async fn object_that_the_index_disowns_is_not_confirmed_by_the_upstream() {
    let (before, after) = (body(LENGTH, 0), body(LENGTH, 1));
    let sent = after.clone();
    // One that has published another file under the same tag.
    let server = Faulty::start(move |seen| honest(seen, &sent, V1)).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::Digests(Told::bytes(&after)));
    let held = stage.hold(&before, V1, &order).await;
    let order = Order { held: Some(held), ..order };
    assert_eq!(stage.download(&order, None).await, Got::Whole(after));
}

#[tokio::test]
async fn confirmation_of_another_version_is_none() {
    let (v0, v1) = (body(LENGTH, 0), body(LENGTH, 1));
    let sent = v1.clone();
    let server = Faulty::start(move |seen| match seen.header("If-None-Match") {
        Some(_) => Reply::new(304).header("ETag", V1),
        None => honest(seen, &sent, V1),
    })
    .await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::None);
    let held = stage.hold(&v0, "\"v0\"", &order).await;
    let order = Order { held: Some(held), ..order };
    assert_eq!(stage.download(&order, None).await, Got::Whole(v1));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn file_of_no_known_length_is_kept_when_it_ends_cleanly() {
    let bytes = body(LENGTH, 1);
    let sent = bytes.clone();
    let server = Faulty::start(move |_| Reply::new(200).body(&sent).chunked()).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::None);
    assert_eq!(stage.download(&order, None).await, Got::Whole(bytes.clone()));
    stage.idle().await;
    assert_eq!(stage.kept(&order).await, Some(bytes));

    let server = Faulty::start(|_| Reply::new(200).body(body(LENGTH, 1)).chunked().close()).await;
    let order = stage.order(&upstreams(&[&server]), Check::None);
    // Whether its head was served before it broke is chance.
    let got = stage.download(&order, None).await;
    assert!(matches!(got, Got::Aborted(_) | Got::Refused(_)), "{got:?}");
    stage.idle().await;
    assert_eq!(stage.kept(&order).await, None);
}

#[tokio::test]
async fn body_is_continued_only_by_its_strong_tag() {
    for (tag, requests) in [("\"v1\"", 2), ("W/\"v1\"", 1)] {
        let bytes = body(LENGTH, 1);
        let gate = Gate::default();
        let (sent, opens) = (bytes.clone(), gate.clone());
        let server = Faulty::start(move |seen| match seen.header("Range") {
            Some(_) => honest(seen, &sent, tag),
            None => Reply::new(200)
                .header("ETag", tag)
                .body(&sent[..LENGTH / 2])
                .announce(LENGTH as u64)
                .until(&opens)
                .reset(),
        })
        .await;
        let stage = Stage::new();
        let order = stage.order(&upstreams(&[&server]), Check::None);
        let body = taste(&stage, &order, 1).await;
        gate.open();
        let is_whole = matches!(read(body, || {}).await, Got::Whole(_));
        assert_eq!((is_whole, server.seen().len()), (requests == 2, requests), "{tag}");
    }
}

#[tokio::test]
async fn next_upstream_continues_what_the_first_began() {
    let bytes = body(LENGTH, 1);
    let sent = bytes.clone();
    let dying = Faulty::start(move |seen| match seen.header("Range") {
        Some(_) => Reply::new(503),
        None => Reply::new(200).header("ETag", V1).body(&sent[..9_999]).announce(LENGTH as u64).close(),
    })
    .await;
    let other = always_honest(&bytes).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&dying, &other]), Check::Digests(Told::bytes(&bytes)));
    assert_eq!(stage.download(&order, None).await, Got::Whole(bytes));
    assert_eq!((dying.seen().len(), other.seen().len()), (2, 1));
    assert_eq!(other.seen()[0].header("Range"), Some("bytes=9999-"));
    assert_eq!(other.seen()[0].header("If-Range"), Some(V1));
    assert_eq!(stage.meters.resumes.get(), 1);
}

#[tokio::test]
async fn upstream_that_dies_each_time_is_given_up() {
    let bytes = body(LENGTH, 1);
    let server = Faulty::start(move |seen| match seen.header("Range") {
        Some(_) => Reply::nothing().reset(),
        None => Reply::new(200).header("ETag", V1).body(&bytes[..LENGTH / 2]).announce(LENGTH as u64).close(),
    })
    .await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::None);
    assert_eq!(stage.download(&order, None).await, Got::Aborted(LENGTH / 2));
    assert_eq!(stage.meters.resumes.get(), 5);
    stage.idle().await;
    assert_eq!(stage.kept(&order).await, None);
}

#[tokio::test]
async fn head_is_told_of_what_is_under_way_and_begins_nothing() {
    let (bytes, gate) = (body(LENGTH, 1), Gate::default());
    let server = halting(&bytes, LENGTH / 2, &gate).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::None);
    assert!(stage.flights.under_way(&order.key).is_none());
    let body = taste(&stage, &order, 1).await;
    let head = stage.flights.under_way(&order.key).unwrap().head().clone();
    assert_eq!(head.length, Some(LENGTH as u64));
    assert_eq!(head.validators.etag.unwrap().as_header(), V1);
    gate.open();
    read(body, || {}).await;
    stage.idle().await;
    assert!(stage.flights.under_way(&order.key).is_none());
    assert_eq!((server.seen().len(), server.seen()[0].target.ends_with(FILE)), (1, true));
}

/// Counts bytes and says what it was told to say.
struct Inspector {
    says: Result<Passed, Refused>,
    turn: Result<(), io::ErrorKind>,
}

struct OneFile(Result<Passed, Refused>, usize);

impl Inspect for Inspector {
    fn begin(&self, _: usize) -> io::Result<Box<dyn Inspection>> {
        self.turn?;
        Ok(Box::new(OneFile(self.says.clone(), 0)))
    }
}

impl Inspection for OneFile {
    fn chunk(&mut self, chunk: &Bytes) -> Result<(), Refused> {
        self.1 += chunk.len();
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<Passed, Refused> {
        assert_eq!(self.1, LENGTH);
        self.0
    }
}

#[tokio::test]
async fn file_to_be_inspected_lands_when_it_has_passed() {
    let bytes = body(LENGTH, 1);
    let generation = Some(Sha256::of(b"document"));
    let server = always_honest(&bytes).await;
    let inspector = |says, turn| Check::Inspect(Arc::new(Inspector { says, turn }));
    let rows = [
        (inspector(Err(Refused::new("it leads elsewhere")), Ok(())), "it leads elsewhere"),
        (
            inspector(Ok(Passed::default()), Err(io::ErrorKind::TimedOut)),
            "too many files are being inspected",
        ),
        (
            inspector(Ok(Passed::default()), Err(io::ErrorKind::Other)),
            "the file could not be kept in the cache: the cache's disk fails",
        ),
    ];
    for (check, reason) in rows {
        let stage = Stage::new();
        let order = stage.order(&upstreams(&[&server]), check);
        assert_eq!(stage.download(&order, None).await, Got::Refused(reason.to_owned()));
        stage.idle().await;
        assert_eq!(stage.kept(&order).await, None);
    }
    let stage = Stage::new();
    let order = stage
        .order(&upstreams(&[&server]), inspector(Ok(Passed { generation, ..Passed::default() }), Ok(())));
    let (first, second) = tokio::join!(stage.fetch(&order), stage.fetch(&order));
    for landed in [first, second] {
        let Ok(Landed::Whole(object)) = landed else { panic!("served before its inspection") };
        assert_eq!((object.facts().proof, object.facts().generation), (Proof::Inspected, generation));
    }
}

#[tokio::test]
async fn empty_file_is_proven_before_it_is_served() {
    let server = Faulty::start(|_| Reply::new(200)).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::Digests(Told::bytes(b"")));
    assert_eq!(stage.download(&order, None).await, Got::Whole(Vec::new()));
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::Named(Sha256::of(b"not empty")));
    assert!(matches!(stage.download(&order, None).await, Got::Refused(_)));
    assert!(Expected::default().fits(Sha256::of(b"anything"), 8));
}

#[tokio::test]
async fn missing_file_is_missing_for_all() {
    let server = Faulty::start(|_| Reply::new(404)).await;
    let stage = Stage::new();
    let order = stage.order(&upstreams(&[&server]), Check::None);
    let (first, second) = tokio::join!(stage.fetch(&order), stage.fetch(&order));
    for landed in [first, second] {
        assert!(matches!(landed, Err(FillError::Fetch(channelgate::upstream::FetchError::Missing))));
    }
    assert_eq!(server.seen().len(), 1);
    let Ok(landed) =
        stage.fetch(&stage.order(&upstreams(&[&always_honest(b"there").await]), Check::None)).await
    else {
        panic!("another key is another file")
    };
    assert_eq!(consume(landed, None).await, Got::Whole(b"there".to_vec()));
}
