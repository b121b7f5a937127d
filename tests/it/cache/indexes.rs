//! Indexes in the cache: never an older representation beside a newer one, and the packages are what the index says.

use std::sync::Arc;
use std::time::Duration;

use channelgate::cache::{Hashing, Part};
use serde_json::{Value, json};

use super::origin::{Mood, Origin};
use crate::support::client::{self, Reply};
use crate::support::faulty::{self, Faulty};
use crate::support::gate::Gate;

const JSON: &str = "noarch/repodata.json";
const ZST: &str = "noarch/repodata.json.zst";
const BZ2: &str = "noarch/repodata.json.bz2";
const SHARDS: &str = "noarch/repodata_shards.msgpack.zst";
const PACKAGE: &str = "noarch/x-1-0.conda";

fn sha256(bytes: &[u8]) -> String {
    let mut hashing = Hashing::new();
    hashing.update(bytes);
    hashing.finish().to_string()
}

/// An index that promises these bytes under the package's name.
fn naming(package: &[u8]) -> Vec<u8> {
    let record = json!({ "name": "x", "sha256": sha256(package), "size": package.len() });
    document(&json!({ "packages.conda": { "x-1-0.conda": record } }))
}

/// A state of an index, told from others by its number.
fn generation(number: u32) -> Vec<u8> {
    document(&json!({ "packages": { format!("y-{number}-0.tar.bz2"): { "name": "y" } } }))
}

fn document(members: &Value) -> Vec<u8> {
    let mut document = json!({ "info": { "subdir": "noarch" } });
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    document.to_string().into_bytes()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// A document in the coding that a path names.
fn coded(path: &str, document: &[u8]) -> Vec<u8> {
    match path.rsplit('.').next().unwrap() {
        "zst" => zst(document),
        "bz2" => bz2(document),
        _ => document.to_vec(),
    }
}

async fn gate_of(origin: &Origin) -> Gate {
    Gate::builder().public_channel("main", &origin.url()).manual_clock().start().await
}

async fn get(gate: &Gate, path: &str) -> Reply {
    gate.get(&format!("/main/{path}")).await
}

/// The document that a representation is of.
async fn document_at(gate: &Gate, path: &str) -> Vec<u8> {
    let reply = get(gate, path).await;
    assert_eq!((reply.status, reply.complete), (200, true), "{path}: {}", reply.verdict());
    assert_eq!(reply.header("content-length").unwrap(), reply.body.len().to_string(), "{path}");
    if path.ends_with(".zst") { zstd::decode_all(&reply.body[..]).unwrap() } else { reply.body }
}

fn later(gate: &Gate, seconds: u64) {
    gate.hands.as_ref().unwrap().advance(Duration::from_secs(seconds));
}

#[tokio::test]
async fn lagging_representation_is_made_of_the_newer_one_until_the_upstream_has_caught_up() {
    for (newer, lagging) in
        [(JSON, ZST), (ZST, JSON), ("noarch/current_repodata.json", "noarch/current_repodata.json.zst")]
    {
        let origin = Origin::start().await;
        let gate = gate_of(&origin).await;
        for path in [newer, lagging] {
            origin.put(path, coded(path, &generation(1)), &[]);
            assert_eq!(document_at(&gate, path).await, generation(1), "{path}");
        }
        origin.put(newer, coded(newer, &generation(2)), &[]);
        later(&gate, 61);
        assert_eq!(document_at(&gate, newer).await, generation(2), "{newer}");

        let first = get(&gate, lagging).await;
        for _ in 0..2 {
            let again = get(&gate, lagging).await;
            assert_eq!(document_at(&gate, lagging).await, generation(2), "{lagging} beside {newer}");
            assert_eq!((again.header("etag"), &again.body), (first.header("etag"), &first.body), "{lagging}");
        }
        assert_ne!(first.header("etag"), get(&gate, newer).await.header("etag"), "{lagging}");
        let tag = first.header("etag").unwrap().to_owned();
        let known = gate.ask("GET", &format!("/main/{lagging}"), &[("if-none-match", &tag)]).await;
        assert_eq!(known.status, 304, "{lagging}");
        assert_eq!(origin.asked(lagging), ["GET", "GET if-none-match"], "{lagging} was asked for once more");

        let caught_up = coded(lagging, &generation(3));
        origin.put(lagging, &caught_up, &[]);
        later(&gate, 61);
        assert_eq!(get(&gate, lagging).await.body, caught_up, "{lagging}: the upstream's own bytes");
        assert_eq!(document_at(&gate, newer).await, generation(3), "{newer} lags now");
    }
}

#[tokio::test]
async fn representation_that_cannot_be_made_is_missing_until_the_upstream_has_caught_up() {
    let origin = Origin::start().await;
    let gate = gate_of(&origin).await;
    for path in [JSON, BZ2] {
        origin.put(path, coded(path, &generation(1)), &[]);
        assert_eq!(get(&gate, path).await.status, 200);
    }
    origin.put(JSON, generation(2), &[]);
    later(&gate, 61);
    assert_eq!(document_at(&gate, JSON).await, generation(2));
    assert_eq!(get(&gate, BZ2).await.verdict(), "404 not_found");
    origin.put(BZ2, bz2(&generation(2)), &[]);
    later(&gate, 61);
    assert_eq!(get(&gate, BZ2).await.body, bz2(&generation(2)));
}

#[tokio::test]
async fn dates_of_the_upstream_tell_which_generation_is_newer() {
    let origin = Origin::start().await;
    let gate = gate_of(&origin).await;
    let (old, new) = ("Tue, 01 Sep 2026 10:00:00 GMT", "Tue, 01 Sep 2026 11:00:00 GMT");
    origin.put(ZST, zst(&generation(2)), &[("Last-Modified", new)]);
    origin.put(JSON, generation(1), &[("Last-Modified", old)]);
    assert_eq!(document_at(&gate, ZST).await, generation(2));
    later(&gate, 10);
    // Fetched later, and older all the same.
    assert_eq!(document_at(&gate, JSON).await, generation(2));
    // The upstream goes back to what it had.
    origin.put(ZST, zst(&generation(1)), &[("Last-Modified", old)]);
    later(&gate, 61);
    assert_eq!(document_at(&gate, ZST).await, generation(1));
    assert_eq!(document_at(&gate, JSON).await, generation(1));
}

#[tokio::test]
async fn dead_upstream_leaves_one_generation_in_all_representations() {
    for (newer, lagging) in [(JSON, ZST), (ZST, JSON)] {
        let origin = Origin::start().await;
        let gate = gate_of(&origin).await;
        for path in [newer, lagging] {
            origin.put(path, coded(path, &generation(1)), &[]);
            assert_eq!(document_at(&gate, path).await, generation(1), "{path}");
        }
        origin.put(newer, coded(newer, &generation(2)), &[]);
        later(&gate, 61);
        assert_eq!(document_at(&gate, newer).await, generation(2), "{newer}");
        origin.turn(Mood::Status(503));
        for hours in [0, 1, 22] {
            later(&gate, hours * 3_600);
            assert_eq!(document_at(&gate, lagging).await, generation(2), "{lagging} after {hours} h");
            assert_eq!(document_at(&gate, newer).await, generation(2), "{newer} after {hours} h");
        }
    }
}

/// One representation was asked for before the upstream died, another is asked for after.
#[tokio::test]
async fn dead_upstream_leaves_what_was_never_asked_for_to_be_made() {
    let origin = Origin::start().await;
    let gate = gate_of(&origin).await;
    origin.put(ZST, zst(&generation(1)), &[]);
    assert_eq!(document_at(&gate, ZST).await, generation(1));
    drop(origin);
    assert_eq!(document_at(&gate, JSON).await, generation(1));
    gate.reload("network = \"offline\"\n", "");
    later(&gate, 3_600);
    assert_eq!(document_at(&gate, JSON).await, generation(1));
    assert_eq!(document_at(&gate, ZST).await, generation(1));
    assert_eq!(get(&gate, "noarch/current_repodata.json.zst").await.verdict(), "404 not_found");
}

#[tokio::test]
async fn lagging_representation_is_made_once_for_all_who_ask_at_once() {
    let origin = Origin::start().await;
    let gate = Arc::new(gate_of(&origin).await);
    for path in [JSON, ZST] {
        origin.put(path, coded(path, &generation(1)), &[]);
        assert_eq!(document_at(&gate, path).await, generation(1));
    }
    origin.put(JSON, generation(2), &[]);
    later(&gate, 61);
    assert_eq!(document_at(&gate, JSON).await, generation(2));
    let clients: Vec<_> = (0..32)
        .map(|n| {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { document_at(&gate, if n % 2 == 0 { ZST } else { JSON }).await })
        })
        .collect();
    for client in clients {
        assert_eq!(client.await.unwrap(), generation(2));
    }
    assert_eq!(origin.asked(JSON).len(), 2);
    assert_eq!(parts(&gate, Part::Made).await, 1);
    assert!(origin.asked(ZST).len() <= 3, "{:?}", origin.asked(ZST));
}

/// How many objects of this part there are.
async fn parts(gate: &Gate, part: Part) -> usize {
    let mut walk = gate.app.cache().unwrap().disk().walk();
    let mut count = 0;
    while let Some(entry) = walk.next().await {
        count += usize::from(entry.facts.part == part);
    }
    count
}

#[tokio::test]
async fn bad_index_leaves_the_one_before_until_it_is_too_old() {
    let origin = Origin::start().await;
    let gate = gate_of(&origin).await;
    origin.put(JSON, generation(1), &[]);
    assert_eq!(document_at(&gate, JSON).await, generation(1));
    origin.put(JSON, document(&json!({ "info": { "base_url": "https://elsewhere.test" } })), &[]);
    for hours in [1, 22] {
        later(&gate, hours * 3_600);
        let reply = get(&gate, JSON).await;
        assert_eq!((reply.status, &reply.body), (200, &generation(1)), "after {hours} h");
        assert!(reply.header("cache-status").unwrap().contains("fwd=stale"), "after {hours} h");
    }
    later(&gate, 3 * 3_600);
    assert_eq!(get(&gate, JSON).await.verdict(), "502 upstream_invalid");
}

#[tokio::test]
async fn shard_is_what_its_name_says() {
    let origin = Origin::start().await;
    let gate = gate_of(&origin).await;
    let shard =
        zst(&rmp_serde::to_vec_named(&json!({ "packages": {}, "packages.conda": {}, "removed": [] }))
            .unwrap());
    let path = format!("noarch/shards/{}.msgpack.zst", sha256(&shard));
    let other = format!("noarch/shards/{}.msgpack.zst", sha256(b"other"));
    origin.put(&path, &shard, &[]);
    origin.put(&other, &shard, &[]);
    let reply = get(&gate, &other).await;
    assert_eq!(reply.verdict(), "502 upstream_invalid");
    assert!(reply.json()["detail"].as_str().unwrap().contains("digest"), "{}", reply.json());
    for _ in 0..2 {
        assert_eq!(get(&gate, &path).await.body, shard);
        later(&gate, 1_000_000);
    }
    assert_eq!(origin.asked(&path), ["GET"]);
}

#[tokio::test]
async fn package_is_what_the_index_says() {
    let (good, bad) = (b"the package".as_slice(), b"the package?".as_slice());
    for (name, index) in [("zst", ZST), ("json", JSON), ("bz2", BZ2)] {
        let origin = Origin::start().await;
        let gate = gate_of(&origin).await;
        origin.put(index, coded(index, &naming(good)), &[]);
        origin.put(PACKAGE, bad, &[]);
        assert_eq!(get(&gate, PACKAGE).await.verdict(), "502 upstream_invalid", "{name}");
        origin.put(PACKAGE, good, &[]);
        later(&gate, 11);
        assert_eq!(get(&gate, PACKAGE).await.body, good, "{name}");
        assert_eq!(origin.asked(index)[0], "GET", "{name}: nobody asked for the index but the gate");
        assert_eq!(proof(&gate, PACKAGE).await, "index", "{name}");
    }
}

/// How a cached file was proven.
async fn proof(gate: &Gate, path: &str) -> &'static str {
    let mut walk = gate.app.cache().unwrap().disk().walk();
    while let Some(entry) = walk.next().await {
        if entry.facts.path == path && entry.facts.part == Part::File {
            return entry.facts.proof.as_str();
        }
    }
    panic!("{path} is not in the cache")
}

#[tokio::test]
async fn index_is_fetched_once_for_many_packages() {
    let origin = Origin::start().await;
    let gate = gate_of(&origin).await;
    let file = |n: usize| (format!("z-{n}-0.conda"), format!("package {n}"));
    let records: Value = (0..20)
        .map(|n| (file(n).0, json!({ "sha256": sha256(file(n).1.as_bytes()) })))
        .collect::<serde_json::Map<_, _>>()
        .into();
    origin.put(ZST, zst(&document(&json!({ "packages.conda": records }))), &[]);
    for n in 0..20 {
        origin.put(&format!("noarch/{}", file(n).0), file(n).1, &[]);
    }
    let asks: Vec<_> = (0..20).map(|n| format!("noarch/{}", file(n).0)).collect();
    let replies = futures_of(&gate, &asks).await;
    for (n, reply) in replies.into_iter().enumerate() {
        assert_eq!(reply.body, file(n).1.as_bytes());
    }
    assert_eq!(origin.asked(ZST), ["GET"]);
    assert_eq!(origin.asked(JSON), Vec::<String>::new());
    assert_eq!(proof(&gate, "noarch/z-7-0.conda").await, "index");
}

/// All of them at once.
async fn futures_of(gate: &Gate, paths: &[String]) -> Vec<Reply> {
    let address = gate.data();
    let asking: Vec<_> = paths
        .iter()
        .map(|path| {
            let target = format!("/main/{path}");
            tokio::spawn(async move { crate::support::client::ask(address, "GET", &target, &[]).await })
        })
        .collect();
    let mut replies = Vec::new();
    for asked in asking {
        replies.push(asked.await.unwrap());
    }
    replies
}

#[tokio::test]
async fn packages_of_a_channel_without_an_index_are_served_unproven() {
    let origin = Origin::start().await;
    let gate = gate_of(&origin).await;
    for n in 0..5 {
        let path = format!("noarch/w-{n}-0.conda");
        origin.put(&path, "bytes", &[]);
        assert_eq!(get(&gate, &path).await.status, 200);
        assert_eq!(proof(&gate, &path).await, "unproven");
    }
    for index in [ZST, JSON, BZ2] {
        assert_eq!(origin.asked(index), ["GET"], "{index}: not with every package");
    }
}

#[tokio::test]
async fn package_that_was_published_again_is_no_bad_one() {
    let (first, second) = (b"first".as_slice(), b"second, and longer".as_slice());
    let origin = Origin::start().await;
    let gate = gate_of(&origin).await;
    origin.put(ZST, zst(&naming(first)), &[]);
    assert_eq!(document_at(&gate, ZST).await, naming(first));
    // The index that is held is fresh, and says otherwise.
    origin.put(ZST, zst(&naming(second)), &[]);
    origin.put(PACKAGE, second, &[]);
    assert_eq!(get(&gate, PACKAGE).await.body, second);
    assert_eq!(proof(&gate, PACKAGE).await, "index");

    // And once more, with the old one in the cache: it is served for as long as the index names it.
    let third = b"third".as_slice();
    origin.put(ZST, zst(&naming(third)), &[]);
    origin.put(PACKAGE, third, &[]);
    assert_eq!(get(&gate, PACKAGE).await.body, second);
    later(&gate, 61);
    assert_eq!(document_at(&gate, ZST).await, naming(third));
    assert_eq!(get(&gate, PACKAGE).await.body, third);
}

#[tokio::test]
async fn shards_that_are_held_prove_packages_without_any_other_index() {
    let (good, bad) = (b"the package".as_slice(), b"the package?".as_slice());
    let origin = Origin::start().await;
    let gate = gate_of(&origin).await;
    let record = json!({ "name": "x", "sha256": sha256(good) });
    let shard =
        zst(&rmp_serde::to_vec_named(&json!({ "packages.conda": { "x-1-0.conda": record } })).unwrap());
    let shard_path = format!("noarch/shards/{}.msgpack.zst", sha256(&shard));
    let index = json!({ "info": { "subdir": "noarch" }, "shards": { "x": sha256(&shard) } });
    origin.put(SHARDS, zst(&rmp_serde::to_vec_named(&index).unwrap()), &[]);
    origin.put(&shard_path, &shard, &[]);
    origin.put(PACKAGE, bad, &[]);
    for path in [SHARDS, &shard_path] {
        assert_eq!(get(&gate, path).await.status, 200, "{path}");
    }
    assert_eq!(get(&gate, PACKAGE).await.verdict(), "502 upstream_invalid");
    origin.put(PACKAGE, good, &[]);
    later(&gate, 11);
    assert_eq!(get(&gate, PACKAGE).await.body, good);
    assert_eq!(proof(&gate, PACKAGE).await, "index");
    assert_eq!(origin.asked(ZST), Vec::<String>::new());
    let asked = origin.asked(SHARDS);
    assert!(
        asked.len() > 1 && asked[1..].iter().all(|ask| ask == "GET if-none-match"),
        "before it was called bad: {asked:?}"
    );
}

#[tokio::test]
async fn table_that_is_lost_is_made_again_of_the_index_that_is_held() {
    let origin = Origin::start().await;
    let gate = gate_of(&origin).await;
    origin.put(ZST, zst(&naming(b"the package")), &[]);
    origin.put(PACKAGE, "another", &[]);
    assert_eq!(get(&gate, ZST).await.status, 200);
    let disk = gate.app.cache().unwrap().disk().clone();
    let mut walk = disk.walk();
    while let Some(entry) = walk.next().await {
        if entry.facts.part == Part::Digests {
            assert!(disk.remove(&entry.facts.key()).await);
        }
    }
    assert_eq!(parts(&gate, Part::Digests).await, 0);
    assert_eq!(get(&gate, PACKAGE).await.verdict(), "502 upstream_invalid");
    assert_eq!(parts(&gate, Part::Digests).await, 1);
}

#[tokio::test]
async fn file_that_was_missing_is_asked_for_again_when_a_new_index_comes() {
    let origin = Origin::start().await;
    let gate = gate_of(&origin).await;
    origin.put(ZST, zst(&generation(1)), &[]);
    assert_eq!(get(&gate, ZST).await.status, 200);
    later(&gate, 58);
    assert_eq!(get(&gate, PACKAGE).await.status, 404);
    origin.put(PACKAGE, "the package", &[]);
    origin.put(ZST, zst(&naming(b"the package")), &[]);
    assert_eq!(get(&gate, PACKAGE).await.status, 404, "remembered");
    later(&gate, 3);
    assert_eq!(get(&gate, ZST).await.status, 200);
    assert_eq!(get(&gate, PACKAGE).await.status, 200);
}

#[tokio::test]
async fn package_that_was_published_again_reaches_clients_that_ask_for_no_index() {
    let origin = Origin::start().await;
    let gate = gate_of(&origin).await;
    origin.put(PACKAGE, "before", &[]);
    origin.put(ZST, zst(&naming(b"before")), &[]);
    assert_eq!(get(&gate, PACKAGE).await.body, b"before");
    origin.put(PACKAGE, "after", &[]);
    origin.put(ZST, zst(&naming(b"after")), &[]);
    later(&gate, 59);
    for _ in 0..3 {
        assert_eq!(get(&gate, PACKAGE).await.body, b"before");
    }
    assert_eq!(origin.asked(ZST), ["GET"], "the index is fresh: nobody asks for it");
    later(&gate, 2);
    let start = std::time::Instant::now();
    while get(&gate, PACKAGE).await.body != b"after" {
        assert!(
            start.elapsed() < Duration::from_secs(8),
            "the package is served that the index has disowned"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(origin.asked(ZST), ["GET", "GET if-none-match"]);
    assert_eq!(origin.asked(PACKAGE), ["GET", "GET"]);
}

#[tokio::test]
async fn index_that_hangs_is_waited_for_once_and_not_by_each_package() {
    let hanging = Faulty::start(|seen| match seen.target.contains("repodata") {
        true => faulty::Reply::nothing().stall(),
        false => faulty::Reply::new(200).header("ETag", "\"x\"").body("bytes"),
    })
    .await;
    let gate = Gate::builder()
        .public_channel("main", &hanging.url(""))
        .settings("index.wait_timeout = \"1s\"")
        .start()
        .await;
    let start = std::time::Instant::now();
    for number in 0..6 {
        assert_eq!(get(&gate, &format!("noarch/x-{number}-0.conda")).await.body, b"bytes");
    }
    assert!(start.elapsed() >= Duration::from_secs(1), "the first waits");
    assert!(start.elapsed() < Duration::from_secs(3), "each waits: {:?}", start.elapsed());
}

#[tokio::test]
async fn indexes_that_stall_hold_up_no_other_channel() {
    let stalling = Faulty::start(|_| {
        let begin = generation(1)[..9].to_vec();
        faulty::Reply::new(200)
            .header("ETag", "\"x\"")
            .body(begin)
            .announce(generation(1).len() as u64)
            .stall()
    })
    .await;
    let origin = Origin::start().await;
    origin.put(JSON, generation(1), &[]);
    let gate = Gate::builder()
        .public_channel("stalling", &stalling.url(""))
        .public_channel("main", &origin.url())
        .settings("index = { inspections_max = 1, wait_timeout = \"2s\" }")
        .start()
        .await;
    let stalled = tokio::spawn({
        let address = gate.data();
        async move { client::ask(address, "GET", "/stalling/noarch/repodata.json", &[]).await }
    });
    let fills = async || {
        let page = client::ask(gate.admin(), "GET", "/metrics", &[]).await;
        String::from_utf8(page.body).unwrap().contains("channelgate_cache_fills_total 1")
    };
    while !fills().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(document_at(&gate, JSON).await, generation(1));
    stalled.abort();
}
