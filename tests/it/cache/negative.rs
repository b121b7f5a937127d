//! Files that are missing: remembered for seconds, so that a crowd asks the upstream once.

use std::time::Duration;

use super::origin::{Mood, Origin};
use crate::support::gate::Gate;

async fn stage(settings: &str) -> (Origin, Gate) {
    let origin = Origin::start().await;
    let builder = Gate::builder().public_channel("main", &origin.url()).settings(settings);
    (origin, builder.manual_clock().start().await)
}

fn later(gate: &Gate, seconds: u64) {
    gate.hands.as_ref().unwrap().advance(Duration::from_secs(seconds));
}

#[tokio::test]
async fn missing_file_is_asked_for_once_in_ten_seconds() {
    let (origin, gate) = stage("").await;
    for file in ["noarch/x-1.0-0.conda", "channeldata.json"] {
        for _ in 0..5 {
            assert_eq!(gate.get(&format!("/main/{file}")).await.verdict(), "404 not_found", "{file}");
        }
        later(&gate, 9);
        origin.put(file, "come", &[]);
        assert_eq!(gate.get(&format!("/main/{file}")).await.status, 404, "{file}: not asked yet");
        assert_eq!(origin.asked(file), ["GET"], "{file}");
        later(&gate, 1);
        assert_eq!(gate.get(&format!("/main/{file}")).await.body, b"come", "{file}");
        assert_eq!(origin.asked(file), ["GET", "GET"], "{file}");
    }
}

#[tokio::test]
async fn head_of_a_missing_file_is_remembered_too() {
    let (origin, gate) = stage("").await;
    let file = "/main/noarch/x-1.0-0.conda";
    assert_eq!(gate.head(file).await.status, 404);
    assert_eq!(gate.get(file).await.status, 404);
    assert_eq!(origin.asked("noarch/x-1.0-0.conda"), ["HEAD"]);
}

#[tokio::test]
async fn zero_remembers_no_missing_file() {
    let (origin, gate) = stage("cache.negative_ttl = \"0s\"").await;
    for _ in 0..3 {
        assert_eq!(gate.get("/main/noarch/x-1.0-0.conda").await.status, 404);
    }
    assert_eq!(origin.asked("noarch/x-1.0-0.conda").len(), 3);
}

#[tokio::test]
async fn failures_are_not_remembered_as_missing() {
    let (origin, gate) = stage("").await;
    let file = "noarch/x-1.0-0.conda";
    origin.put(file, "bytes", &[]);
    for (mood, status) in [(Mood::Status(503), 503), (Mood::Status(403), 502), (Mood::Well, 200)] {
        origin.turn(mood);
        assert_eq!(gate.get(&format!("/main/{file}")).await.status, status, "{mood:?}");
    }
}

/// conda and rattler first ask for the sharded index, and go on to the next one at 404 only.
#[tokio::test]
async fn missing_index_is_asked_for_each_time_and_stays_missing_in_an_outage() {
    let (origin, gate) = stage("").await;
    let shards = "/main/noarch/repodata_shards.msgpack.zst";
    for _ in 0..3 {
        assert_eq!(gate.get(shards).await.status, 404);
    }
    assert_eq!(
        origin.asked("noarch/repodata_shards.msgpack.zst").len(),
        3,
        "an index may come at any moment"
    );
    origin.turn(Mood::Status(503));
    later(&gate, 3_600);
    assert_eq!(gate.get(shards).await.status, 404, "as the upstream said last");
    let asked = origin.asked("noarch/repodata_shards.msgpack.zst").len();
    for _ in 0..10 {
        assert_eq!(gate.get(shards).await.status, 404);
    }
    let asked_since = origin.asked("noarch/repodata_shards.msgpack.zst").len() - asked;
    assert_eq!(asked_since, 0, "an upstream that fails is not waited for by each");
    assert_eq!(
        gate.get("/main/linux-64/repodata_shards.msgpack.zst").await.status,
        503,
        "it said nothing of this"
    );
    later(&gate, 24 * 3_600);
    assert_eq!(gate.get(shards).await.status, 503, "too long ago");
}

#[tokio::test]
async fn index_that_comes_while_the_old_one_is_served_drops_what_was_missing() {
    let (origin, gate) = stage("cache.negative_ttl = \"1h\"\ncache.stale_while_revalidate = \"1h\"").await;
    let (index, package) = ("noarch/repodata.json", "noarch/x-1.0-0.conda");
    let document = |record: &str| format!("{{\"packages\":{{{record}}},\"packages.conda\":{{}}}}");
    origin.put(index, document(""), &[]);
    assert_eq!(gate.get(&format!("/main/{index}")).await.status, 200);
    assert_eq!(gate.get(&format!("/main/{package}")).await.status, 404);
    origin.put(package, "come", &[]);
    let named = document("\"y-1.0-0.tar.bz2\":{\"name\":\"y\"}");
    origin.put(index, &named, &[]);
    later(&gate, 61);
    while gate.get(&format!("/main/{index}")).await.body != named.as_bytes() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let start = std::time::Instant::now();
    while gate.get(&format!("/main/{package}")).await.status != 200 {
        assert!(start.elapsed() < Duration::from_secs(5), "it is missing still");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
