//! The fault matrix: an upstream that fails in every way, against clients that come in every way. No client gets a complete wrong file, the
//! cache never holds one, and the upstream is asked as often as it has to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use channelgate::cache::{Check, Order};
use channelgate::semantics::{ByteRange, Span};

use super::stage::{Got, LENGTH, Stage, Told, body, hasty, honest, part, read_and_tell, upstreams};
use crate::support::faulty::{Faulty, Gate, Reply, Seen};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// One byte of the first answer is another.
    Flip,
    /// One byte of every answer is another.
    FlipAlways,
    /// The first answer ends cleanly after half of what it promised.
    Truncate,
    /// It stalls after half.
    Stall,
    /// It is reset after half.
    Reset,
    /// It is reset after half, and the rest comes with another tag.
    WrongTag,
    /// It is another length than the index says.
    WrongLength,
    /// It is reset after half, and then the file is another one.
    Changed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// One client wants all of it.
    Cold,
    /// Two do, the second while the first is served.
    Follower,
    /// One wants the last third.
    Range,
    /// The cache holds an older version.
    Revalidate,
}

/// What the clients get, as far as it is the same for all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Right,
    Aborted,
    Refused,
}

const V1: &str = "\"v1\"";
const V2: &str = "\"v2\"";
const HALF: usize = LENGTH / 2;

/// Name of the row: fault, manner; then what becomes of it: the clients, whether the right file is kept, and the upstream's requests.
#[rustfmt::skip]
const MATRIX: [(Fault, Manner, Outcome, bool, usize); 32] = {
    use {Fault::*, Manner::*, Outcome::*};
    [
        // The last bytes are held back, the connection is cut, and the file is fetched afresh, once.
        (Flip, Cold, Aborted, true, 2),
        (Flip, Follower, Aborted, true, 2),
        (Flip, Range, Aborted, true, 2),
        (Flip, Revalidate, Aborted, true, 2),
        (FlipAlways, Cold, Aborted, false, 2),
        (FlipAlways, Follower, Aborted, false, 2),
        (FlipAlways, Range, Aborted, false, 2),
        (FlipAlways, Revalidate, Aborted, false, 2),
        // The rest is asked for, and nobody notices.
        (Truncate, Cold, Right, true, 2),
        (Truncate, Follower, Right, true, 2),
        (Truncate, Range, Right, true, 2),
        (Truncate, Revalidate, Right, true, 2),
        (Stall, Cold, Right, true, 2),
        (Stall, Follower, Right, true, 2),
        (Stall, Range, Right, true, 2),
        (Stall, Revalidate, Right, true, 2),
        (Reset, Cold, Right, true, 2),
        (Reset, Follower, Right, true, 2),
        (Reset, Range, Right, true, 2),
        (Reset, Revalidate, Right, true, 2),
        // A part of another version is not taken, and the whole that is asked for instead is another version: it is only for those who have
        // got no byte, as who wants the end has not.
        (WrongTag, Cold, Aborted, false, 3),
        (WrongTag, Follower, Aborted, false, 3),
        (WrongTag, Range, Right, true, 3),
        (WrongTag, Revalidate, Aborted, false, 3),
        // Seen in the head, before a byte is wasted.
        (WrongLength, Cold, Refused, false, 2),
        (WrongLength, Follower, Refused, false, 2),
        (WrongLength, Range, Refused, false, 2),
        (WrongLength, Revalidate, Refused, false, 2),
        (Changed, Cold, Aborted, false, 2),
        (Changed, Follower, Aborted, false, 2),
        (Changed, Range, Right, true, 2),
        (Changed, Revalidate, Aborted, false, 2),
    ]
};

/// What the server says to its `nth` request.
fn reply(fault: Fault, nth: usize, seen: &Seen, gate: &Gate) -> Reply {
    let (v1, v2) = (body(LENGTH, 1), body(LENGTH, 2));
    let begun = || Reply::new(200).header("ETag", V1).body(&v1[..HALF]).announce(LENGTH as u64);
    match (fault, nth) {
        (Fault::Flip, 0) | (Fault::FlipAlways, _) => {
            let mut flipped = v1;
            flipped[1_000] ^= 1;
            let (most, last) = flipped.split_at(LENGTH - 1);
            Reply::new(200).header("ETag", V1).body(most).until(gate).body(last)
        }
        (Fault::Truncate, 0) => begun().until(gate).close(),
        (Fault::Stall, 0) => begun().stall(),
        (Fault::Reset | Fault::WrongTag | Fault::Changed, 0) => begun().until(gate).reset(),
        (Fault::WrongTag, 1) => {
            let rest = Span { start: HALF as u64, end: LENGTH as u64 };
            part(Reply::new(206).header("ETag", V2), &v2, rest)
        }
        (Fault::WrongTag | Fault::Changed, _) => honest(seen, &v2, V2),
        (Fault::WrongLength, _) => Reply::new(200).header("ETag", V1).body(&v1[..LENGTH - 1]),
        (Fault::Flip | Fault::Truncate | Fault::Stall | Fault::Reset, _) => honest(seen, &v1, V1),
    }
}

async fn row(fault: Fault, manner: Manner) -> (Vec<Outcome>, bool, usize) {
    let gate = Gate::default();
    let (count, opens) = (Arc::new(AtomicUsize::new(0)), gate.clone());
    let server =
        Faulty::start(move |seen| reply(fault, count.fetch_add(1, Ordering::SeqCst), seen, &opens)).await;
    let (v0, v1, v2) = (body(LENGTH, 0), body(LENGTH, 1), body(LENGTH, 2));
    let becomes_another = matches!(fault, Fault::WrongTag | Fault::Changed);
    let told = Told::revised(&v1, if becomes_another { &v2 } else { &v1 });
    let stage = Stage::new();
    let upstreams = if fault == Fault::Stall { hasty(&[&server]) } else { upstreams(&[&server]) };
    let mut order = stage.order(&upstreams, Check::Digests(told));
    if manner == Manner::Revalidate {
        let held = stage.hold(&v0, "\"v0\"", &order).await;
        order = Order { held: Some(held), ..order };
    }
    let range = (manner == Manner::Range).then_some(ByteRange::From(2 * LENGTH as u64 / 3));
    // The server goes on when everybody has what can be had before.
    let is_fed = range.is_none() || matches!(fault, Fault::Flip | Fault::FlipAlways);
    let clients = if manner == Manner::Follower { 2 } else { 1 };
    let waiting = Arc::new(AtomicUsize::new(clients));
    let ready = || {
        if waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
            gate.open();
        }
    };
    let client = async || match stage.fetch(&order).await {
        Ok(landed) => read_and_tell(landed, range, is_fed, ready).await,
        Err(error) => Got::Refused(error.to_string()),
    };
    let got = match clients {
        2 => Vec::from(<[Got; 2]>::from(tokio::join!(client(), client()))),
        _ => vec![client().await],
    };
    stage.idle().await;
    let is_right = |bytes: &[u8]| {
        let from = range.map_or(0, |_| 2 * LENGTH / 3);
        [&v1, &v2].iter().take(if becomes_another { 2 } else { 1 }).any(|version| bytes == &version[from..])
    };
    let outcomes = got.iter().map(|got| match got {
        Got::Whole(bytes) => {
            assert!(is_right(bytes), "a client got a complete wrong file");
            Outcome::Right
        }
        Got::Aborted(_) => Outcome::Aborted,
        Got::Refused(_) => Outcome::Refused,
    });
    let outcomes = outcomes.collect();
    let kept = stage.kept(&order).await;
    let is_kept = kept.as_ref().is_some_and(|kept| *kept == v1 || becomes_another && *kept == v2);
    match kept {
        Some(kept) if !is_kept => assert!(manner == Manner::Revalidate && kept == v0, "a wrong file is kept"),
        _ => {}
    }
    (outcomes, is_kept, server.seen().len())
}

async fn rows_of(manner: Manner) {
    let mut wrong = Vec::new();
    for (fault, _, outcome, is_kept, requests) in MATRIX.into_iter().filter(|row| row.1 == manner) {
        let (outcomes, was_kept, asked) = row(fault, manner).await;
        if outcomes.iter().any(|got| *got != outcome) || was_kept != is_kept || asked != requests {
            wrong.push(format!(
                "{fault:?} x {manner:?}: clients {outcomes:?}, kept {was_kept}, {asked} requests; \
                 expected {outcome:?}, kept {is_kept}, {requests} requests"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_fault_gives_one_client_a_wrong_file() {
    rows_of(Manner::Cold).await;
}

#[tokio::test]
async fn no_fault_gives_a_follower_a_wrong_file() {
    rows_of(Manner::Follower).await;
}

#[tokio::test]
async fn no_fault_gives_anybody_a_wrong_part() {
    rows_of(Manner::Range).await;
}

#[tokio::test]
async fn no_fault_gives_a_wrong_file_for_an_older_one() {
    rows_of(Manner::Revalidate).await;
}
