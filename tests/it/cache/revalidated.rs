//! The fault matrix of conditional requests: the gate holds a version of an index or of metadata, asks whether it is current, and the answer
//! fails in every way. Clients get a whole version or what is held, never a mixture; the cache keeps what they got; the upstream is asked as
//! often as it has to be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::stage::honest;
use crate::support::client;
use crate::support::faulty::{Faulty, Reply, Seen};
use crate::support::gate::Gate;

/// What becomes of the answer to the conditional request. What comes after it is honest, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// None: it is 304.
    Current,
    /// It is 304 of a version that the gate does not hold.
    OtherCurrent,
    /// None: it is the new version.
    New,
    /// The new one, of which the first byte is another.
    Flip,
    /// It ends cleanly after half of what it promised.
    Truncate,
    /// It has no tag, and does.
    TruncateUntagged,
    /// It has no tag, and always does.
    TruncateAlways,
    /// It stalls after half.
    Stall,
    /// It is reset after half.
    Reset,
    /// It is reset after half, and then the file is another one again.
    Changed,
    /// It is 503.
    Unavailable,
    /// It is 403.
    Forbidden,
}

/// Which version clients get, and the gate keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Version {
    Held = 1,
    New = 2,
    Newest = 3,
    /// The new one with the byte that is another.
    Flipped,
}

const INDEX: &str = "noarch/repodata.json";
const METADATA: &str = "channeldata.json";

/// Name of the row: fault, file; then which version it ends with, `fwd-status` or the detail, and the requests that came of it.
#[rustfmt::skip]
const MATRIX: [(Fault, &str, Version, &str, usize); 24] = {
    use {Fault::*, Version::{Flipped, Held, Newest}};
    const REVALIDATED: &str = "fwd-status=304";
    const REPLACED: &str = "fwd-status=200";
    const STALE: &str = "detail=upstream-failed";
    [
        (Current, INDEX, Held, REVALIDATED, 1),
        (Current, METADATA, Held, REVALIDATED, 1),
        // RFC 9111 section 4.3.4: it says nothing of what is held, so all of it is asked for.
        (OtherCurrent, INDEX, Version::New, REPLACED, 2),
        (OtherCurrent, METADATA, Version::New, REPLACED, 2),
        (Fault::New, INDEX, Version::New, REPLACED, 1),
        (Fault::New, METADATA, Version::New, REPLACED, 1),
        // An index is inspected. Of metadata nobody knows a digest: it is a version like any other.
        (Flip, INDEX, Held, STALE, 1),
        (Flip, METADATA, Flipped, REPLACED, 1),
        // The rest is asked for, and nobody notices.
        (Truncate, INDEX, Version::New, REPLACED, 2),
        (Truncate, METADATA, Version::New, REPLACED, 2),
        (Stall, INDEX, Version::New, REPLACED, 2),
        (Stall, METADATA, Version::New, REPLACED, 2),
        (Reset, INDEX, Version::New, REPLACED, 2),
        (Reset, METADATA, Version::New, REPLACED, 2),
        // It cannot be continued, and nobody has got a byte of it: it is fetched afresh, once.
        (TruncateUntagged, INDEX, Version::New, REPLACED, 2),
        (TruncateUntagged, METADATA, Version::New, REPLACED, 2),
        (TruncateAlways, INDEX, Held, STALE, 2),
        (TruncateAlways, METADATA, Held, STALE, 2),
        (Changed, INDEX, Newest, REPLACED, 2),
        (Changed, METADATA, Newest, REPLACED, 2),
        (Unavailable, INDEX, Held, STALE, 1),
        (Unavailable, METADATA, Held, STALE, 1),
        (Forbidden, INDEX, Held, STALE, 1),
        (Forbidden, METADATA, Held, STALE, 1),
    ]
};

/// How clients come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    One,
    /// Eight at once.
    Crowd,
    /// One that wants the end.
    Range,
    /// One that has the version that the gate holds.
    Conditional,
}

/// An index, and so JSON like any other.
fn document(version: Version) -> Vec<u8> {
    let number = if version == Version::Flipped { Version::New as u8 } else { version as u8 };
    let mut document = format!(
        "{{\"info\":{{\"subdir\":\"noarch\"}},\"packages\":{{}},\"packages.conda\":{{}},\"version\":{number}}}"
    )
    .into_bytes();
    if version == Version::Flipped {
        document[0] ^= 1;
    }
    document
}

fn tag(version: Version) -> String {
    format!("\"v{}\"", version as u8)
}

/// What the server says to the `nth` request after the gate has its version.
fn reply(fault: Fault, nth: usize, seen: &Seen) -> Reply {
    let new = document(Version::New);
    let (all, half) = (new.len() as u64, &new[..new.len() / 2]);
    let begun = || Reply::new(200).header("ETag", &tag(Version::New)).body(half).announce(all);
    match (fault, nth) {
        (Fault::Current, 0) => honest(seen, &document(Version::Held), &tag(Version::Held)),
        (Fault::OtherCurrent, 0) => Reply::new(304).header("ETag", &tag(Version::New)),
        (Fault::Flip, 0) => honest(seen, &document(Version::Flipped), &tag(Version::New)),
        (Fault::Truncate, 0) => begun().close(),
        (Fault::TruncateUntagged, 0) | (Fault::TruncateAlways, _) => {
            Reply::new(200).body(half).announce(all).close()
        }
        (Fault::Stall, 0) => begun().stall(),
        (Fault::Reset | Fault::Changed, 0) => begun().reset(),
        (Fault::Changed, _) => honest(seen, &document(Version::Newest), &tag(Version::Newest)),
        (Fault::Unavailable, _) => Reply::new(503),
        (Fault::Forbidden, _) => Reply::new(403),
        _ => honest(seen, &new, &tag(Version::New)),
    }
}

/// What was wrong with a row.
async fn row(
    (fault, file, version, status, requests): (Fault, &str, Version, &str, usize),
    manner: Manner,
) -> Vec<String> {
    // Nothing until the gate has the first version; then the fault, then an outage.
    let faulty = Arc::new(Mutex::new(None));
    let (count, mood) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&faulty));
    let server = Faulty::start(move |seen| match *mood.lock().unwrap() {
        None => honest(seen, &document(Version::Held), &tag(Version::Held)),
        Some(fault) => reply(fault, count.fetch_add(1, Ordering::SeqCst), seen),
    })
    .await;
    let gate = Gate::builder()
        .public_channel("main", &server.url(""))
        .settings("upstream.idle_timeout = \"200ms\"")
        .manual_clock()
        .start()
        .await;
    let hands = gate.hands.as_ref().unwrap();
    let target = format!("/main/{file}");
    assert_eq!(gate.get(&target).await.body, document(Version::Held));
    let before = server.seen().len();
    *faulty.lock().unwrap() = Some(fault);
    hands.advance(Duration::from_secs(61));

    let headers: &'static [(&str, &str)] = match manner {
        Manner::One | Manner::Crowd => &[],
        Manner::Range => &[("range", "bytes=-9")],
        Manner::Conditional => &[("if-none-match", "\"v1\"")],
    };
    let mut clients = JoinSet::new();
    for _ in 0..if manner == Manner::Crowd { 8 } else { 1 } {
        let (address, target) = (gate.data(), target.clone());
        clients.spawn(async move { client::ask(address, "GET", &target, headers).await });
    }
    let replies = clients.join_all().await;

    let mut wrong = Vec::new();
    let whole = document(version);
    let expected: (u16, &[u8]) = match manner {
        Manner::One | Manner::Crowd => (200, &whole),
        Manner::Range => (206, &whole[whole.len() - 9..]),
        Manner::Conditional if version == Version::Held => (304, &[]),
        Manner::Conditional => (200, &whole),
    };
    for reply in &replies {
        let fared = reply.header("cache-status").unwrap_or_default();
        // Of a crowd one asks; who comes when it is over is served what came of it.
        let is_as_told = fared.contains(status) || manner == Manner::Crowd;
        if (reply.status, reply.body.as_slice(), reply.complete) != (expected.0, expected.1, true)
            || !is_as_told
        {
            wrong.push(format!("{} {fared}: {}", reply.status, String::from_utf8_lossy(&reply.body)));
        }
    }
    let asked = server.seen().split_off(before);
    if asked.len() != requests {
        wrong.push(format!("{} requests, not {requests}", asked.len()));
    }
    if asked.first().and_then(|first| first.header("if-none-match")) != Some("\"v1\"") {
        wrong.push("it was not asked under the tag of what is held".to_owned());
    }

    *faulty.lock().unwrap() = Some(Fault::Unavailable);
    hands.advance(Duration::from_secs(61));
    let kept = gate.get(&target).await;
    if (kept.status, &kept.body) != (200, &whole) {
        wrong.push(format!("kept: {} {}", kept.status, String::from_utf8_lossy(&kept.body)));
    }
    wrong.into_iter().map(|wrong| format!("{fault:?} x {file} x {manner:?}: {wrong}")).collect()
}

async fn rows_of(manner: Manner) {
    let mut wrong = Vec::new();
    for of_row in MATRIX {
        wrong.extend(row(of_row, manner).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_fault_of_a_revalidation_gives_one_client_a_wrong_file() {
    rows_of(Manner::One).await;
}

#[tokio::test]
async fn no_fault_of_a_revalidation_gives_a_crowd_a_wrong_file() {
    rows_of(Manner::Crowd).await;
}

#[tokio::test]
async fn no_fault_of_a_revalidation_gives_a_wrong_part() {
    rows_of(Manner::Range).await;
}

#[tokio::test]
async fn no_fault_of_a_revalidation_gives_a_wrong_answer_to_who_has_the_file() {
    rows_of(Manner::Conditional).await;
}
