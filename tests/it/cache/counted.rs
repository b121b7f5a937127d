//! What is counted: how each request fared, and where the bytes came from.

use std::time::Duration;

use super::origin::{Mood, Origin};
use crate::support::client;
use crate::support::gate::Gate;

async fn metric(gate: &Gate, line: &str) -> u64 {
    let page = client::ask(gate.admin(), "GET", "/metrics", &[]).await;
    let text = String::from_utf8(page.body).unwrap();
    let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn requests_are_counted_by_how_they_fared() {
    let origin = Origin::start().await;
    let gate = Gate::builder().public_channel("main", &origin.url()).manual_clock().start().await;
    let later = |seconds| gate.hands.as_ref().unwrap().advance(Duration::from_secs(seconds));
    let (file, private) = ("channeldata.json", "notices.json");
    origin.put(file, "{}", &[]);
    origin.put(private, "{}", &[("Cache-Control", "no-store")]);
    let ask = async |file: &str| gate.get(&format!("/main/{file}")).await.status;
    let counted = async |status: &str| {
        metric(&gate, &format!("channelgate_cache_requests_total{{status=\"{status}\"}}")).await
    };
    for (status, passed, mood, file, code) in [
        ("miss", 0, Mood::Well, file, 200),
        ("hit", 0, Mood::Well, file, 200),
        ("revalidated", 60, Mood::Well, file, 200),
        ("stale", 60, Mood::Status(503), file, 200),
        ("failed", 0, Mood::Status(503), private, 503),
        ("bypass", 0, Mood::Well, private, 200),
        ("missing", 0, Mood::Well, "rss.xml", 404),
        ("negative", 0, Mood::Well, "rss.xml", 404),
    ] {
        later(passed);
        origin.turn(mood);
        let before = counted(status).await;
        assert_eq!((ask(file).await, counted(status).await), (code, before + 1), "{status}");
    }
    gate.reload("network = \"offline\"\n", "");
    assert_eq!((ask("index.html").await, counted("absent").await), (503, 1));
    later(24 * 3_600);
    assert_eq!((ask(file).await, counted("offline").await), (200, 1));
}

#[tokio::test]
async fn bytes_are_counted_by_where_they_came_from() {
    let origin = Origin::start().await;
    let gate = Gate::builder().public_channel("main", &origin.url()).start().await;
    let body = vec![7_u8; 300_000];
    origin.put("channeldata.json", &body, &[]);
    origin.put("rss.xml", &body, &[("Cache-Control", "no-store")]);
    let from = async |source: &str| {
        metric(&gate, &format!("channelgate_body_bytes_total{{source=\"{source}\"}}")).await
    };
    for (file, source) in
        [("channeldata.json", "kept"), ("channeldata.json", "kept"), ("rss.xml", "upstream")]
    {
        let before = (from("memory").await + from("disk").await, from("upstream").await);
        assert_eq!(gate.get(&format!("/main/{file}")).await.body, body, "{file}");
        let after = (from("memory").await + from("disk").await, from("upstream").await);
        let expected = if source == "kept" { (300_000, 0) } else { (0, 300_000) };
        assert_eq!((after.0 - before.0, after.1 - before.1), expected, "{file}");
    }
    assert!(metric(&gate, "channelgate_cache_bytes").await >= 300_000);
    assert_eq!(metric(&gate, "channelgate_cache_objects").await, 1);
}
