//! The upstream is killed after a first pass: all that was asked for goes on being served, and nothing is made up.

use std::time::Duration;

use super::origin::{Origin, files_below};
use crate::support::gate::{Gate, fixture_channel};

#[tokio::test]
async fn killed_upstream_leaves_all_that_was_asked_for() {
    let origin = Origin::of(&fixture_channel()).await;
    let gate = Gate::builder().public_channel("main", &origin.url()).manual_clock().start().await;
    let files: Vec<_> =
        files_below(&fixture_channel()).into_iter().filter(|file| !file.contains("/.")).collect();
    let is_package = |file: &str| file.ends_with(".conda") || file.ends_with(".tar.bz2");
    let (kept_back, asked): (Vec<_>, Vec<_>) =
        files.iter().enumerate().partition(|(index, file)| is_package(file) && index % 2 == 0);
    assert!(!kept_back.is_empty() && asked.len() > 5, "{files:?}");
    let mut first = Vec::new();
    for (_, file) in &asked {
        let reply = gate.get(&format!("/main/{file}")).await;
        assert_eq!(reply.status, 200, "{file}");
        first.push(reply);
    }

    drop(origin);
    for passed in [Duration::from_secs(1), Duration::from_secs(23 * 3_600)] {
        gate.hands.as_ref().unwrap().advance(passed);
        for ((_, file), first) in asked.iter().zip(&first) {
            let reply = gate.get(&format!("/main/{file}")).await;
            assert_eq!((reply.status, &reply.body), (200, &first.body), "{file} after {passed:?}");
            for header in ["etag", "last-modified", "content-type", "content-length"] {
                assert_eq!(reply.header(header), first.header(header), "{file} after {passed:?}: {header}");
            }
            let status = reply.header("cache-status").unwrap();
            let is_lasting = is_package(file) || file.contains("/shards/");
            let expected = if is_lasting || passed < Duration::from_secs(60) {
                "channelgate; hit"
            } else {
                "channelgate; fwd=stale; detail=upstream-failed"
            };
            assert_eq!(status, expected, "{file} after {passed:?}");
        }
        for (_, file) in &kept_back {
            let reply = gate.get(&format!("/main/{file}")).await;
            assert_eq!(reply.verdict(), "503 upstream_unavailable", "{file}");
            assert!(reply.header("retry-after").is_some(), "{file}");
        }
    }
}

#[tokio::test]
async fn cache_outlives_the_gate() {
    let origin = Origin::of(&fixture_channel()).await;
    let gate = Gate::builder().public_channel("main", &origin.url()).start().await;
    let target = "/main/noarch/hello-noarch-1.0-0.conda";
    let first = gate.get(target).await;
    assert_eq!(first.status, 200);
    drop(origin);
    let gate = gate.restart().await;
    let again = gate.get(target).await;
    assert_eq!((again.header("cache-status"), &again.body), (Some("channelgate; hit"), &first.body));
    assert_eq!(again.header("etag"), first.header("etag"));
}
