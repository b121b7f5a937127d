//! How long indexes and metadata are served without asking, and what is asked then. The clock is moved by hand.

use std::time::Duration;

use super::origin::{Mood, Origin};
use crate::support::client::Reply;
use crate::support::faulty::{self, Faulty};
use crate::support::gate::Gate;

const FRESH: &str = "channelgate; hit";
const MISS: &str = "channelgate; fwd=miss; stored";
const REVALIDATED: &str = "channelgate; fwd=stale; fwd-status=304";
const REPLACED: &str = "channelgate; fwd=stale; fwd-status=200; stored";
const STALE: &str = "channelgate; fwd=stale; detail=upstream-failed";

/// One file of each kind that ages.
const FILES: [&str; 2] = ["channeldata.json", "noarch/repodata.json"];

/// An index, and so JSON like any other.
fn document(version: u32) -> String {
    format!(
        "{{\"info\":{{\"subdir\":\"noarch\"}},\"packages\":{{}},\"packages.conda\":{{}},\"version\":{version}}}"
    )
}

struct Stage {
    origin: Origin,
    gate: Gate,
}

impl Stage {
    async fn new(settings: &str, headers: &[(&str, &str)]) -> Self {
        let origin = Origin::start().await;
        for file in FILES {
            origin.put(file, document(1), headers);
        }
        let gate = Gate::builder()
            .public_channel("main", &origin.url())
            .settings(settings)
            .manual_clock()
            .start()
            .await;
        Self { origin, gate }
    }

    fn later(&self, seconds: u64) {
        self.gate.hands.as_ref().unwrap().advance(Duration::from_secs(seconds));
    }

    async fn get(&self, file: &str) -> Reply {
        self.gate.get(&format!("/main/{file}")).await
    }

    /// `Cache-Status` and the version that came.
    async fn fared(&self, file: &str) -> (String, u64) {
        let reply = self.get(file).await;
        assert_eq!((reply.status, reply.complete), (200, true), "{file}: {reply:?}");
        let status = reply.header("cache-status").unwrap().to_owned();
        (status, reply.json()["version"].as_u64().unwrap())
    }
}

fn fared(status: &str, version: u64) -> (String, u64) {
    (status.to_owned(), version)
}

#[tokio::test]
async fn silent_upstream_is_asked_again_after_the_configured_time() {
    let stage = Stage::new("", &[]).await;
    for file in FILES {
        assert_eq!(stage.fared(file).await, fared(MISS, 1), "{file}");
        stage.later(59);
        assert_eq!(stage.fared(file).await, fared(FRESH, 1), "{file}");
        stage.later(1);
        assert_eq!(stage.fared(file).await, fared(REVALIDATED, 1), "{file}");
        stage.later(59);
        assert_eq!(stage.fared(file).await, fared(FRESH, 1), "{file}: its age counts from the 304");
        stage.origin.put(file, document(2), &[]);
        stage.later(1);
        assert_eq!(stage.fared(file).await, fared(REPLACED, 2), "{file}");
        assert_eq!(stage.fared(file).await, fared(FRESH, 2), "{file}");
        assert_eq!(stage.origin.asked(file), ["GET", "GET if-none-match", "GET if-none-match"], "{file}");
    }
}

#[tokio::test]
async fn directives_of_the_upstream_outrank_the_configured_time() {
    for (name, directives, settings, fresh_for, told) in [
        ("max-age", "max-age=600", "", 600, Some("max-age=600")),
        ("shorter max-age", "max-age=5", "", 5, Some("max-age=5")),
        ("s-maxage", "max-age=600, s-maxage=7", "", 7, Some("max-age=600")),
        ("private is for others", "private, max-age=30", "", 30, Some("max-age=30")),
        ("silence", "public", "cache.revalidate_after = \"9s\"", 9, None),
    ] {
        let stage = Stage::new(settings, &[("Cache-Control", directives)]).await;
        for file in FILES {
            let first = stage.get(file).await;
            assert_eq!(first.header("cache-control"), told, "{name}, {file}");
            assert_eq!(first.header("age"), None, "{name}, {file}: it has just come");
            stage.later(fresh_for - 1);
            let second = stage.get(file).await;
            assert_eq!(second.header("cache-status"), Some(FRESH), "{name}, {file}");
            let age = told.map(|_| (fresh_for - 1).to_string());
            assert_eq!(second.header("age"), age.as_deref(), "{name}, {file}: clients take it off max-age");
            stage.later(1);
            assert_eq!(stage.fared(file).await, fared(REVALIDATED, 1), "{name}, {file}");
        }
    }
}

#[tokio::test]
async fn no_cache_is_asked_each_time_and_no_store_is_not_kept() {
    let stage = Stage::new("", &[("Cache-Control", "no-cache")]).await;
    for file in FILES {
        assert_eq!(stage.fared(file).await, fared(MISS, 1), "{file}");
        assert_eq!(stage.fared(file).await, fared(REVALIDATED, 1), "{file}");
    }
    let stage = Stage::new("", &[("Cache-Control", "no-store")]).await;
    let file = "channeldata.json";
    for _ in 0..2 {
        assert_eq!(stage.fared(file).await, fared("channelgate; fwd=bypass; detail=no-store", 1));
    }
    assert_eq!(stage.origin.asked(file), ["GET", "GET"]);
}

#[tokio::test]
async fn stale_while_revalidate_serves_at_once_and_asks_besides() {
    for (settings, directives) in [
        ("cache.stale_while_revalidate = \"10s\"", "max-age=60"),
        ("", "max-age=60, stale-while-revalidate=10"),
    ] {
        let stage = Stage::new(settings, &[("Cache-Control", directives)]).await;
        for file in FILES {
            assert_eq!(stage.fared(file).await, fared(MISS, 1), "{file}");
            stage.origin.put(file, document(2), &[("Cache-Control", directives)]);
            stage.later(69);
            assert_eq!(stage.fared(file).await, fared("channelgate; hit; detail=refreshing", 1), "{file}");
            // The refresh is under way or done.
            while stage.fared(file).await != fared(FRESH, 2) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            assert_eq!(stage.origin.asked(file), ["GET", "GET if-none-match"], "{file}");
            stage.later(71);
            assert_eq!(stage.fared(file).await, fared(REVALIDATED, 2), "{file}: too old to be served first");
        }
    }
}

#[tokio::test]
async fn stale_if_error_serves_for_its_time_whatever_is_wrong() {
    for mood in [Mood::Status(503), Mood::Status(500), Mood::Status(403), Mood::Status(418)] {
        let stage = Stage::new("cache.stale_if_error = \"1h\"", &[]).await;
        for file in FILES {
            stage.origin.turn(Mood::Well);
            assert_eq!(stage.fared(file).await, fared(MISS, 1), "{file}, {mood:?}");
            stage.origin.turn(mood);
            stage.later(60);
            assert_eq!(stage.fared(file).await, fared(STALE, 1), "{file}, {mood:?}");
            stage.later(3_599);
            assert_eq!(stage.fared(file).await, fared(STALE, 1), "{file}, {mood:?}");
            stage.later(1);
            let code = if mood == Mood::Status(503) || mood == Mood::Status(500) {
                "503 upstream_unavailable"
            } else {
                "502 upstream_invalid"
            };
            assert_eq!(stage.get(file).await.verdict(), code, "{file}, {mood:?}: beyond all");
            stage.origin.turn(Mood::Well);
            assert_eq!(stage.fared(file).await, fared(REVALIDATED, 1), "{file}, {mood:?}: it was kept");
        }
    }
    let stage = Stage::new("", &[("Cache-Control", "max-age=60, stale-if-error=5")]).await;
    let file = FILES[0];
    assert_eq!(stage.fared(file).await, fared(MISS, 1));
    stage.origin.turn(Mood::Status(503));
    stage.later(65);
    assert_eq!(
        stage.get(file).await.status,
        503,
        "the upstream's own directive outranks the configured time"
    );
}

#[tokio::test]
async fn upstream_that_hangs_is_waited_for_once_and_not_by_each() {
    let stage = Stage::new("upstream.first_byte_timeout = \"200ms\"", &[]).await;
    let file = FILES[0];
    assert_eq!(stage.fared(file).await, fared(MISS, 1));
    stage.origin.turn(Mood::Hanging);
    stage.later(60);
    let waited = async {
        while stage.origin.asked(file).len() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stage.later(30);
    };
    let (first, ()) = tokio::join!(stage.fared(file), waited);
    assert_eq!(first, fared(STALE, 1));
    let asked = stage.origin.asked(file).len();
    for _ in 0..20 {
        assert_eq!(stage.fared(file).await, fared(STALE, 1));
    }
    assert_eq!(stage.origin.asked(file).len(), asked, "nobody else asked, so nobody else waited");
    // An attempt in the background, of which one learns nothing but that it succeeded.
    stage.origin.turn(Mood::Well);
    stage.later(5);
    assert_eq!(stage.fared(file).await, fared(STALE, 1));
    while stage.fared(file).await != fared(FRESH, 1) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn upstream_that_refused_at_once_is_asked_by_the_next_who_comes() {
    let stage = Stage::new("", &[]).await;
    for file in FILES {
        assert_eq!(stage.fared(file).await, fared(MISS, 1), "{file}");
        stage.later(60);
        stage.origin.turn(Mood::Status(503));
        assert_eq!(stage.fared(file).await, fared(STALE, 1), "{file}");
        stage.origin.put(file, document(2), &[]);
        stage.origin.turn(Mood::Well);
        stage.later(1);
        let (_, version) = stage.fared(file).await;
        assert_eq!(version, 2, "{file}: what is new is served to the first who asks");
    }
}

#[tokio::test]
async fn file_that_the_upstream_has_no_longer_is_dropped() {
    let stage = Stage::new("", &[]).await;
    for file in FILES {
        assert_eq!(stage.fared(file).await, fared(MISS, 1), "{file}");
        stage.origin.remove(file);
        assert_eq!(stage.fared(file).await, fared(FRESH, 1), "{file}: nobody was asked");
        stage.later(60);
        assert_eq!(stage.get(file).await.verdict(), "404 not_found", "{file}");
        stage.origin.turn(Mood::Status(503));
        stage.later(10);
        let gone = if file.ends_with("repodata.json") { 404 } else { 503 };
        assert_eq!(stage.get(file).await.status, gone, "{file}: what was dropped is not served stale");
        stage.origin.turn(Mood::Well);
    }
}

#[tokio::test]
async fn package_is_served_from_the_disk_whatever_its_age() {
    let stage = Stage::new("", &[]).await;
    let file = "noarch/x-1.0-0.conda";
    stage.origin.put(file, "bytes", &[("Cache-Control", "max-age=1")]);
    assert_eq!(stage.get(file).await.header("cache-status"), Some(MISS));
    stage.later(365 * 24 * 3_600);
    stage.origin.turn(Mood::Status(503));
    let hit = stage.get(file).await;
    assert_eq!((hit.header("cache-status"), hit.body.as_slice()), (Some(FRESH), b"bytes".as_slice()));
    assert_eq!(stage.origin.asked(file), ["GET"]);
}

#[tokio::test]
async fn head_of_a_file_that_is_not_here_asks_for_no_bytes() {
    let stage = Stage::new("", &[]).await;
    let file = "noarch/x-1.0-0.conda";
    stage.origin.put(file, "bytes", &[]);
    let head = stage.gate.head(&format!("/main/{file}")).await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
    assert_eq!(head.header("cache-status"), Some("channelgate; fwd=miss"));
    assert_eq!(stage.get(file).await.header("cache-status"), Some(MISS));
    let held = stage.gate.head(&format!("/main/{file}")).await;
    assert_eq!((held.header("cache-status"), held.header("content-length")), (Some(FRESH), Some("5")));
    assert_eq!(stage.origin.asked(file), ["HEAD", "GET"]);
}

#[tokio::test]
async fn cached_file_has_a_strong_tag_and_a_date_whatever_the_upstream_sends() {
    let bare = Faulty::start(|_| faulty::Reply::new(200).header("ETag", "W/\"weak\"").body("bytes")).await;
    let gate = Gate::builder().public_channel("bare", &bare.url("")).manual_clock().start().await;
    let file = "/bare/noarch/x-1.0-0.conda";
    assert_eq!(gate.get(file).await.status, 200);
    let hit = gate.get(file).await;
    assert_eq!(hit.header("cache-status"), Some(FRESH));
    let tag = hit.header("etag").unwrap();
    assert_eq!(tag, "\"sha256-277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9\"");
    assert_eq!(hit.header("last-modified"), Some("Fri, 01 Jan 2027 00:00:00 GMT"), "when it came");
    assert_eq!(hit.header("accept-ranges"), Some("bytes"));
    for (name, headers, status, body) in [
        ("its tag", vec![("if-none-match", tag)], 304, ""),
        ("another", vec![("if-none-match", "\"x\"")], 200, "bytes"),
        ("a part", vec![("range", "bytes=1-2")], 206, "yt"),
        ("the end", vec![("range", "bytes=-2")], 206, "es"),
        ("if-range", vec![("range", "bytes=1-2"), ("if-range", tag)], 206, "yt"),
        ("if-range fails", vec![("range", "bytes=1-2"), ("if-range", "\"x\"")], 200, "bytes"),
        ("behind the end", vec![("range", "bytes=5-")], 416, ""),
    ] {
        let reply = gate.ask("GET", file, &headers).await;
        assert_eq!((reply.status, reply.body.as_slice()), (status, body.as_bytes()), "{name}");
    }
}
