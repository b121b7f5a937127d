//! Indexes: one that leads away from the gate is not served in any form; a clean one is, byte for byte, and is inspected once a version.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::client;
use crate::support::faulty::{Faulty, Reply};
use crate::support::gate::Gate;

/// From the cache, where nothing is fresh, so that the upstream is asked each time.
pub(super) const CACHED: &str = "cache.revalidate_after = \"0s\"";

/// Past the cache, where indexes are spooled.
const SPOOLED: &str = "cache.enabled = false";

/// A shard's name; what is in it does not have to fit it where nothing is kept, for the gate is no client.
const SHARD: &str = "shards/7b257ca3da3286f051d2735e28cd4174744c46b7e7b2257eadb5b263f485aeb1.msgpack.zst";

/// The forms of an index, by file name below the platform directory.
const FORMS: [&str; 9] = [
    "repodata.json",
    "repodata.json.zst",
    "repodata.json.bz2",
    "current_repodata.json",
    "current_repodata.json.zst",
    "repodata_from_packages.json",
    "repodata_shards.msgpack.zst",
    SHARD,
    // Beside the index, where some upstreams keep them.
    "7b257ca3da3286f051d2735e28cd4174744c46b7e7b2257eadb5b263f485aeb1.msgpack.zst",
];

pub(super) fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A document in the form of a file of this name.
pub(super) fn encode(form: &str, document: &Value) -> Vec<u8> {
    let json = document.to_string().into_bytes();
    match form.rsplit('.').next().unwrap() {
        "bz2" => bz2(&json),
        "zst" if form.contains("msgpack") => zst(&rmp_serde::to_vec_named(document).unwrap()),
        "zst" => zst(&json),
        _ => json,
    }
}

/// An index in a form, with these members of `info` and of its one record.
pub(super) fn index(form: &str, info: &Value, record: &Value) -> Vec<u8> {
    let record = merged(json!({ "name": "x", "version": "1.0", "build": "0", "sha256": "00" }), record);
    let packages = json!({ "x-1.0-0.conda": record });
    let info = merged(json!({ "subdir": "linux-64" }), info);
    let document = if form.starts_with("repodata_shards") {
        json!({
            "info": merged(json!({ "base_url": "", "shards_base_url": "./shards/" }), &info),
            "repodata_version": 2, "removed": [], "shards": {},
        })
    } else if form.contains("msgpack") {
        json!({ "packages": {}, "packages.conda": packages, "removed": [], "info": info })
    } else {
        json!({ "info": info, "packages": {}, "packages.conda": packages, "repodata_version": 1 })
    };
    encode(form, &document)
}

fn merged(mut onto: Value, from: &Value) -> Value {
    for (key, value) in from.as_object().unwrap() {
        onto[key] = value.clone();
    }
    onto
}

/// What an upstream holds, by path; changed while it runs.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<HashMap<String, Reply>>>);

impl Shelf {
    pub(super) fn put(&self, path: &str, reply: Reply) {
        self.0.lock().unwrap().insert(path.to_owned(), reply);
    }

    pub(super) async fn serve(&self) -> Faulty {
        let shelf = Arc::clone(&self.0);
        Faulty::start(move |seen| {
            let held = shelf.lock().unwrap().get(&seen.target).cloned();
            let reply = held.unwrap_or_else(|| Reply::new(404));
            match (reply.tag(), seen.header("if-none-match")) {
                (Some(tag), Some(known)) if tag == known => Reply::new(304).header("ETag", tag).unannounced(),
                _ => reply,
            }
        })
        .await
    }
}

async fn gate_of(upstream: &Faulty, settings: &str) -> Gate {
    Gate::builder().settings(settings).public_channel("main", &upstream.url("")).start().await
}

/// What the gate counted under a verdict on an index.
pub(super) async fn counted(gate: &Gate, verdict: &str) -> u64 {
    let page = client::ask(gate.admin(), "GET", "/metrics", &[]).await;
    let page = String::from_utf8(page.body).unwrap();
    let line = format!("channelgate_index_inspections_total{{verdict=\"{verdict}\"}} ");
    page.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn index_that_leads_elsewhere_is_refused_in_every_form() {
    for settings in [CACHED, SPOOLED] {
        let shelf = Shelf::default();
        let upstream = shelf.serve().await;
        let gate = gate_of(&upstream, settings).await;
        let away = "https://elsewhere.test/secret-path/";
        let nothing = json!({});
        for (name, info, record) in [
            ("base_url", json!({ "base_url": away }), nothing.clone()),
            ("base_url without scheme", json!({ "base_url": "//elsewhere.test/" }), nothing.clone()),
            ("shards_base_url", json!({ "shards_base_url": away }), nothing.clone()),
            ("subdir", json!({ "subdir": away }), nothing.clone()),
            ("record's url", nothing.clone(), json!({ "url": format!("{away}x-1.0-0.conda") })),
            ("record's fn", nothing.clone(), json!({ "fn": "/../x-1.0-0.conda" })),
        ] {
            for form in FORMS {
                if form.starts_with("repodata_shards") && name.starts_with("record") {
                    continue;
                }
                let path = format!("/linux-64/{form}");
                for etag in [None, Some("\"v2\"")] {
                    let reply = Reply::new(200).body(index(form, &info, &record));
                    shelf.put(&path, etag.into_iter().fold(reply, |reply, etag| reply.header("ETag", etag)));
                    for method in ["GET", "HEAD", "GET"] {
                        let answer = gate.ask(method, &format!("/main{path}"), &[]).await;
                        assert_eq!(answer.status, 502, "{name}, {form}, {method}");
                        if method == "GET" {
                            assert_eq!(answer.code(), "upstream_invalid", "{name}, {form}");
                            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                            assert!(detail.contains("leads to"), "{name}, {form}: {detail}");
                            assert!(!detail.contains("secret-path"), "{name}, {form}: {detail}");
                        }
                        assert_eq!(answer.header("retry-after"), None, "{name}, {form}");
                    }
                }
            }
        }
        assert_eq!(counted(&gate, "passed").await, 0);
        let ranged = gate.ask("GET", "/main/linux-64/repodata.json", &[("range", "bytes=0-9")]).await;
        assert_eq!(ranged.verdict(), "502 upstream_invalid", "not even a part of it");
    }
}

#[tokio::test]
async fn clean_index_arrives_byte_for_byte() {
    for settings in [CACHED, SPOOLED] {
        let shelf = Shelf::default();
        let upstream = shelf.serve().await;
        let gate = gate_of(&upstream, settings).await;
        for form in FORMS
            .into_iter()
            .filter(|form| settings == SPOOLED || !SHARD.ends_with(form.rsplit('/').next().unwrap()))
        {
            let path = format!("/linux-64/{form}");
            let bytes = index(form, &json!({}), &json!({}));
            for reply in [
                Reply::new(200),
                Reply::new(200).header("ETag", "W/\"weak\""),
                Reply::new(200).header("ETag", "\"v1\""),
                Reply::new(200).header("ETag", "\"v1\"").chunked(),
                Reply::new(200).header("ETag", "\"v3\"").unannounced(),
            ] {
                shelf.put(&path, reply.clone().body(&bytes));
                for round in ["inspected", "remembered"] {
                    let answer = gate.get(&format!("/main{path}")).await;
                    assert_eq!((answer.status, answer.complete), (200, true), "{form}, {round}, {reply:?}");
                    assert_eq!(answer.body, bytes, "{form}, {round}, {reply:?}");
                    let head = gate.head(&format!("/main{path}")).await;
                    assert_eq!(
                        (head.status, head.header("etag")),
                        (200, answer.header("etag")),
                        "{form}, {round}, {reply:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn clean_index_is_inspected_once_a_version() {
    let shelf = Shelf::default();
    let upstream = shelf.serve().await;
    let gate = gate_of(&upstream, SPOOLED).await;
    let path = "/linux-64/repodata.json";
    let target = format!("/main{path}");
    let put = |etag: &str, record: Value| {
        shelf.put(path, Reply::new(200).header("ETag", etag).body(index(path, &json!({}), &record)));
    };
    let asked = || upstream.seen().len();

    put("\"v1\"", json!({}));
    assert_eq!((gate.get(&target).await.status, counted(&gate, "passed").await, asked()), (200, 1, 1));
    assert_eq!((gate.get(&target).await.status, counted(&gate, "passed").await, asked()), (200, 1, 2));
    assert_eq!(counted(&gate, "remembered").await, 1);
    let known = gate.ask("GET", &target, &[("if-none-match", "\"v1\"")]).await;
    assert_eq!((known.status, asked()), (304, 3));
    assert_eq!((gate.head(&target).await.status, counted(&gate, "passed").await, asked()), (200, 1, 4));
    let part = gate.ask("GET", &target, &[("range", "bytes=-3"), ("if-range", "\"v1\"")]).await;
    assert_eq!((part.status, part.body.len(), counted(&gate, "passed").await), (206, 3, 1));

    put("\"v2\"", json!({ "depends": ["y"] }));
    assert_eq!((gate.get(&target).await.status, counted(&gate, "passed").await), (200, 2), "another version");
    put("\"v4\"", json!({ "url": "https://elsewhere.test/x.conda" }));
    assert_eq!(gate.get(&target).await.verdict(), "502 upstream_invalid", "another version");
    assert_eq!(counted(&gate, "leads_elsewhere").await, 2, "as it is, and as what others could be made of");
}

/// Not a version's name is trusted, but the bytes that were read: an upstream may give one name twice.
#[tokio::test]
async fn other_bytes_under_the_same_tag_are_never_served_unread() {
    let path = "/linux-64/repodata.json";
    let clean = index(path, &json!({}), &json!({ "url": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }));
    let evil = index(path, &json!({}), &json!({ "url": "https://elsewhere.test/x.cond" }));
    assert_eq!(clean.len(), evil.len());
    let is_evil = Arc::new(AtomicBool::new(false));
    let turned = Arc::clone(&is_evil);
    let body = move || if turned.load(Ordering::SeqCst) { evil.clone() } else { clean.clone() };
    // It knows no conditions, as simple servers do not.
    let upstream = Faulty::start(move |_| Reply::new(200).header("ETag", "\"v1\"").body(body())).await;
    let gate = gate_of(&upstream, SPOOLED).await;
    let target = format!("/main{path}");
    assert_eq!(gate.get(&target).await.status, 200);
    is_evil.store(true, Ordering::SeqCst);
    assert_eq!(gate.get(&target).await.verdict(), "502 upstream_invalid");
}

/// What is kept for later gives way to what is needed now, and nothing goes beyond the disk space that is allowed.
#[tokio::test]
async fn indexes_take_no_more_disk_than_they_may() {
    let shelf = Shelf::default();
    let upstream = shelf.serve().await;
    let gate = gate_of(&upstream, &format!("{SPOOLED}\nindex.spool_max = \"192 KiB\"")).await;
    let big = |bytes| index("x.json", &json!({}), &json!({ "summary": "x".repeat(bytes) }));
    for (path, bytes) in [
        ("/linux-64/repodata.json", 60_000),
        ("/noarch/repodata.json", 100_000),
        ("/osx-64/repodata.json", 400_000),
    ] {
        shelf.put(path, Reply::new(200).header("ETag", "\"v1\"").body(big(bytes)));
    }
    for _ in 0..3 {
        assert_eq!(gate.get("/main/linux-64/repodata.json").await.status, 200);
        assert_eq!(gate.get("/main/noarch/repodata.json").await.status, 200);
        assert_eq!(gate.get("/main/osx-64/repodata.json").await.verdict(), "503 overloaded");
    }
}

#[tokio::test]
async fn version_without_a_strong_tag_is_inspected_each_time() {
    let shelf = Shelf::default();
    let upstream = shelf.serve().await;
    let gate = gate_of(&upstream, SPOOLED).await;
    let path = "/linux-64/repodata.json";
    let mut passed = 0;
    for etag in [None, Some("W/\"weak\""), Some("not a tag")] {
        let reply = Reply::new(200).header("Last-Modified", "Tue, 01 Sep 2026 10:00:00 GMT");
        let reply = etag.into_iter().fold(reply, |reply, etag| reply.header("ETag", etag));
        shelf.put(path, reply.body(index(path, &json!({}), &json!({}))));
        for _ in 0..2 {
            assert_eq!(gate.get(&format!("/main{path}")).await.status, 200, "{etag:?}");
            passed += 1;
            assert_eq!(counted(&gate, "passed").await, passed, "{etag:?}");
        }
    }
}

/// A tag is one upstream's word about one file.
#[tokio::test]
async fn what_passed_in_one_place_has_not_passed_in_another() {
    let shelf = Shelf::default();
    let upstream = shelf.serve().await;
    let gate = Gate::builder()
        .public_channel("main", &upstream.url(""))
        .public_channel("other", &upstream.url("/other"))
        .start()
        .await;
    let clean = |reply: Reply| reply.header("ETag", "\"v1\"").body(index("x.json", &json!({}), &json!({})));
    for path in ["/linux-64/repodata.json", "/label/dev/linux-64/repodata.json", "/noarch/repodata.json"] {
        shelf.put(path, clean(Reply::new(200)));
        shelf.put(&format!("/other{path}"), clean(Reply::new(200)));
    }
    for (nth, target) in [
        "main/linux-64/repodata.json",
        "main/label/dev/linux-64/repodata.json",
        "main/noarch/repodata.json",
        "other/noarch/repodata.json",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(gate.get(&format!("/{target}")).await.status, 200);
        assert_eq!(counted(&gate, "passed").await, nth as u64 + 1, "{target}");
    }
}

#[tokio::test]
async fn bad_index_is_a_refusal_and_a_dying_upstream_is_passing_trouble() {
    for settings in [CACHED, SPOOLED] {
        const WRONG: &str = "502 upstream_invalid";
        const PASSING: &str = "503 upstream_unavailable";
        let shelf = Shelf::default();
        let upstream = shelf.serve().await;
        let gate = gate_of(
            &upstream,
            &format!("{settings}\nupstream.idle_timeout = \"300ms\"\nindex.compressed_bytes_max = \"8 KiB\"\nindex.decompressed_bytes_max = \"40 KiB\""),
        )
        .await;
        let good = index("x.json", &json!({}), &json!({}));
        let half = &good[..good.len() / 2];
        let long = good.len() as u64 + 10;
        let large = index("x.json", &json!({}), &json!({ "depends": vec!["y >=1"; 10_000] }));
        let incompressible: Vec<String> =
            (0..2_000_u32).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761))).collect();
        let large_zst = zst(&index("x.json", &json!({}), &json!({ "depends": incompressible })));
        let ok = || Reply::new(200);
        for (name, file, reply, expected, verdict) in [
            ("no JSON", "repodata.json", ok().body("<html>"), WRONG, "malformed"),
            ("empty", "repodata.json", ok(), WRONG, "truncated"),
            ("half a document", "repodata.json", ok().body(half), WRONG, "truncated"),
            (
                "two documents",
                "repodata.json",
                ok().body([good.clone(), good.clone()].concat()),
                WRONG,
                "malformed",
            ),
            ("no zstd", "repodata.json.zst", ok().body(&good), WRONG, "malformed"),
            ("half a frame", "repodata.json.zst", ok().body(&zst(&good)[..40]), WRONG, "truncated"),
            ("no bzip2", "repodata.json.bz2", ok().body(&good), WRONG, "malformed"),
            ("no MessagePack", SHARD, ok().body(zst(b"\xc1")), WRONG, "malformed"),
            ("too large", "repodata.json", ok().body(&large), WRONG, "over_limit"),
            ("too large, unannounced", "repodata.json", ok().body(&large).unannounced(), WRONG, "over_limit"),
            ("too large unpacked", "repodata.json.zst", ok().body(zst(&large)), WRONG, "over_limit"),
            ("too large packed", "repodata.json.zst", ok().body(&large_zst), WRONG, "over_limit"),
            ("closes", "repodata.json", ok().body(&good).announce(long).close(), PASSING, "not_read"),
            ("resets", "repodata.json", ok().body(half).announce(long).reset(), PASSING, "not_read"),
            ("stalls", "repodata.json", ok().body(half).announce(long).stall(), PASSING, "not_read"),
            ("chunks break off", "repodata.json", ok().body(half).chunked().close(), PASSING, "not_read"),
            (
                "zstd breaks off",
                "repodata.json.zst",
                ok().body(zst(&good)).announce(long).close(),
                PASSING,
                "not_read",
            ),
        ] {
            shelf.put(&format!("/linux-64/{file}"), reply);
            let before = counted(&gate, verdict).await;
            let answer = gate.get(&format!("/main/linux-64/{file}")).await;
            assert_eq!((answer.verdict().as_str(), answer.complete), (expected, true), "{name}");
            assert_eq!(answer.header("retry-after").is_some(), answer.status == 503, "{name}");
            assert_eq!(counted(&gate, verdict).await, before + 1, "{name}");
        }
    }
}

#[tokio::test]
async fn index_that_cannot_be_kept_is_passing_trouble_of_the_gate() {
    let shelf = Shelf::default();
    let upstream = shelf.serve().await;
    let gate = gate_of(&upstream, SPOOLED).await;
    // Where the directory should be, a file is.
    let place = gate.directory.path().join("var/cache");
    std::fs::write(&place, "in the way").unwrap();
    let path = "/linux-64/repodata.json";
    shelf.put(path, Reply::new(200).header("ETag", "\"v1\"").body(index(path, &json!({}), &json!({}))));
    shelf.put("/linux-64/x.conda", Reply::new(200).body("x"));
    let target = format!("/main{path}");
    let answer = gate.get(&target).await;
    assert_eq!(answer.verdict(), "503 overloaded");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(counted(&gate, "not_kept").await, 1);
    assert_eq!(gate.get("/main/linux-64/x.conda").await.status, 200, "the rest goes on");
    std::fs::remove_file(&place).unwrap();
    assert_eq!(gate.get(&target).await.status, 200, "and the index, once there is room");
}

/// What is kept during an inspection has no name, and is gone with its response.
#[tokio::test]
async fn inspection_leaves_nothing_behind() {
    let gate = Gate::builder().settings(SPOOLED).fixtures().start().await;
    for target in ["/open/noarch/repodata.json", "/open/linux-64/repodata.json.zst"] {
        assert_eq!(gate.get(target).await.status, 200);
    }
    assert_eq!(std::fs::read_dir(gate.directory.path().join("var/cache")).unwrap().count(), 0);
}

#[tokio::test]
async fn inspection_that_has_to_wait_too_long_is_passing_trouble() {
    // With the cache a channel may have begun two for each that may be at work.
    for (settings, slow) in [(CACHED, &["linux-64", "osx-64"][..]), (SPOOLED, &["linux-64"])] {
        let shelf = Shelf::default();
        let upstream = shelf.serve().await;
        let gate = gate_of(
            &upstream,
            &format!("{settings}\nindex.inspections_max = 1\nindex.wait_timeout = \"100ms\""),
        )
        .await;
        let good = index("x.json", &json!({}), &json!({}));
        shelf.put("/noarch/repodata.json", Reply::new(200).body(&good));
        let address = gate.data();
        let mut first = JoinSet::new();
        for subdir in slow {
            let begun = Reply::new(200).body(&good[..10]);
            shelf.put(
                &format!("/{subdir}/repodata.json"),
                begun.wait(Duration::from_millis(500)).body(&good[10..]),
            );
            let target = format!("/main/{subdir}/repodata.json");
            first.spawn(async move { client::ask(address, "GET", &target, &[]).await });
        }
        while upstream.seen().len() < slow.len() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        let second = gate.get("/main/noarch/repodata.json").await;
        assert_eq!(second.verdict(), "503 overloaded");
        assert_eq!(counted(&gate, "busy").await, 1);
        assert!(first.join_all().await.iter().all(|first| first.status == 200));
        assert_eq!(gate.get("/main/noarch/repodata.json").await.status, 200);
    }
}

/// A new version is asked for by many at once; those who waited for a place get what the first one proved good.
#[tokio::test]
async fn version_that_many_ask_for_is_inspected_as_often_as_there_are_places() {
    for (settings, remembered) in [("", 0), (SPOOLED, 9)] {
        let shelf = Shelf::default();
        let upstream = shelf.serve().await;
        let gate = gate_of(&upstream, &format!("{settings}\nindex.inspections_max = 1")).await;
        let path = "/linux-64/repodata.json";
        let good = index(path, &json!({}), &json!({}));
        shelf.put(
            path,
            Reply::new(200)
                .header("ETag", "\"v1\"")
                .body(&good[..10])
                .wait(Duration::from_millis(100))
                .body(&good[10..]),
        );
        let address = gate.data();
        let clients: Vec<_> = (0..10)
            .map(|_| {
                tokio::spawn(
                    async move { client::ask(address, "GET", "/main/linux-64/repodata.json", &[]).await },
                )
            })
            .collect();
        for client in clients {
            let answer = client.await.unwrap();
            assert_eq!((answer.status, &answer.body), (200, &good));
        }
        assert_eq!((counted(&gate, "passed").await, counted(&gate, "remembered").await), (1, remembered));
    }
}
