//! A package that is published again under its name: the index decides which bytes are the package.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::origin::{Mood, Origin};
use crate::support::client::Reply;
use crate::support::gate::Gate;

const INDEX: &str = "noarch/repodata.json";
const PACKAGE: &str = "noarch/x-1.0-0.conda";

struct Stage {
    origin: Origin,
    gate: Gate,
}

impl Stage {
    async fn new() -> Self {
        let origin = Origin::start().await;
        let gate = Gate::builder().public_channel("main", &origin.url()).manual_clock().start().await;
        Self { origin, gate }
    }

    /// An index that names the package with these bytes.
    fn announce(&self, bytes: &str) {
        let sha256: String =
            digest(&SHA256, bytes.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let size = bytes.len();
        let record = format!(
            "{{\"name\":\"x\",\"version\":\"1.0\",\"build\":\"0\",\"build_number\":0,\"sha256\":\"{sha256}\",\"size\":{size}}}"
        );
        let index = format!(
            "{{\"info\":{{\"subdir\":\"noarch\"}},\"packages\":{{}},\"packages.conda\":{{\"x-1.0-0.conda\":{record}}}}}"
        );
        self.origin.put(INDEX, index, &[]);
    }

    async fn get(&self, file: &str) -> Reply {
        self.gate.get(&format!("/main/{file}")).await
    }

    /// Status of the cache, and the bytes.
    async fn package(&self) -> (String, String) {
        let reply = self.get(PACKAGE).await;
        assert_eq!((reply.status, reply.complete), (200, true), "{reply:?}");
        (reply.header("cache-status").unwrap().to_owned(), String::from_utf8(reply.body).unwrap())
    }
}

fn came(status: &str, bytes: &str) -> (String, String) {
    (format!("channelgate; {status}"), bytes.to_owned())
}

#[tokio::test]
async fn new_index_that_names_other_bytes_has_the_package_fetched_afresh() {
    let stage = Stage::new().await;
    stage.announce("first");
    stage.origin.put(PACKAGE, "first", &[]);
    assert_eq!(stage.get(INDEX).await.status, 200);
    assert_eq!(stage.package().await, came("fwd=miss; stored", "first"));

    stage.announce("second");
    stage.origin.put(PACKAGE, "second", &[]);
    assert_eq!(stage.package().await, came("hit", "first"), "nobody has heard of it yet");
    stage.gate.hands.as_ref().unwrap().advance(Duration::from_secs(60));
    assert_eq!(
        stage.get(INDEX).await.header("cache-status"),
        Some("channelgate; fwd=stale; fwd-status=200; stored")
    );
    assert_eq!(stage.package().await, came("fwd=stale; fwd-status=200; stored", "second"));
    assert_eq!(stage.package().await, came("hit", "second"));
    assert_eq!(stage.origin.asked(PACKAGE), ["GET", "GET"], "without conditions: the tag may be the same");
}

#[tokio::test]
async fn bytes_that_the_index_disowned_are_not_served_in_an_outage() {
    let stage = Stage::new().await;
    stage.announce("first");
    stage.origin.put(PACKAGE, "first", &[]);
    assert_eq!(stage.get(INDEX).await.status, 200);
    assert_eq!(stage.package().await, came("fwd=miss; stored", "first"));
    stage.announce("second");
    stage.gate.hands.as_ref().unwrap().advance(Duration::from_secs(60));
    assert_eq!(stage.get(INDEX).await.status, 200);
    stage.origin.turn(Mood::Status(503));
    assert_eq!(stage.get(PACKAGE).await.verdict(), "503 upstream_unavailable");
    stage.origin.turn(Mood::Well);
    assert_eq!(stage.get(PACKAGE).await.verdict(), "502 upstream_invalid", "the upstream has not caught up");
    stage.origin.put(PACKAGE, "second", &[]);
    stage.gate.hands.as_ref().unwrap().advance(Duration::from_secs(60));
    assert_eq!(stage.package().await.1, "second");
}

#[tokio::test]
async fn index_that_takes_its_word_back_finds_the_package_where_it_was() {
    let stage = Stage::new().await;
    stage.announce("first");
    stage.origin.put(PACKAGE, "first", &[]);
    assert_eq!(stage.get(INDEX).await.status, 200);
    assert_eq!(stage.package().await.1, "first");
    for (bytes, status) in [("second", 502), ("first", 200)] {
        stage.announce(bytes);
        stage.gate.hands.as_ref().unwrap().advance(Duration::from_secs(60));
        assert_eq!(stage.get(INDEX).await.status, 200);
        assert_eq!(stage.get(PACKAGE).await.status, status, "{bytes}");
    }
    assert_eq!(stage.package().await, came("hit", "first"));
}
