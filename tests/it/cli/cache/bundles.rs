//! `cache export` and `cache import`: across an air gap, and what is not let in.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use channelgate::cache::bundle::{BundleWriter, Member};
use channelgate::cache::{Facts, Part, Proof, Sha256};
use channelgate::clock::Timestamp;
use channelgate::conda::ChannelName;
use channelgate::semantics::CacheControl;

use super::{LOCKED, fixture, fixture_url, kept, object_file, place, place_with, warmed};
use crate::support::client;
use crate::support::process::{Place, channel};

/// A gate behind the gap: the same channel from upstreams that it never reaches.
fn beyond(lines: &str) -> Place {
    place_with(&format!(
        "network = \"offline\"\n{lines}\n{}",
        channel("main", "public", "https://unreachable.test/other")
    ))
}

/// A bundle of `place`, as bytes.
fn export(place: &Place) -> Vec<u8> {
    place.must(&["cache", "export", "bundle.tar"]);
    fs::read(place.path("bundle.tar")).unwrap()
}

/// Imports `bundle`; the exit status, what was printed, and what is kept then.
fn import(place: &Place, bundle: &[u8], arguments: &[&str]) -> (i32, String, Vec<String>) {
    fs::write(place.path("bundle.tar"), bundle).unwrap();
    let done = place.run(&[&["cache", "import", "bundle.tar"], arguments].concat());
    (done.code, format!("{}{}", done.out, done.err), kept(place))
}

/// A bundle of these files of the channel `main`, whatever they are.
fn forged(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    dated(files, 1_700_000_000, None)
}

/// The same, fetched and found current at one time and modified at another: seconds since the Unix epoch.
fn dated(files: &[(&str, Vec<u8>)], fetched_at: i64, last_modified: Option<u64>) -> Vec<u8> {
    let fetched_at = Timestamp::from_millis(fetched_at * 1_000);
    let member = |(path, body): &(&str, Vec<u8>)| {
        let facts = Facts {
            channel: ChannelName::parse("main").unwrap(),
            upstreams: "0123456789abcdef".parse().unwrap(),
            path: (*path).to_owned(),
            part: Part::File,
            length: body.len() as u64,
            sha256: Sha256::of(body),
            proof: Proof::Index,
            etag: None,
            last_modified: last_modified.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
            cache_control: CacheControl::default(),
            generation: None,
            upstream: "https://conda.test".to_owned(),
            fetched_at,
        };
        Member::new(facts, fetched_at).unwrap()
    };
    let mut members: Vec<_> = files.iter().map(|file| (member(file), &file.1)).collect();
    members.sort_by_key(|(member, _)| member.rank());
    let manifest: Vec<_> = members.iter().map(|(member, _)| member.clone()).collect();
    let mut bundle = BundleWriter::begin(Vec::new(), &manifest).unwrap();
    for (member, body) in members {
        bundle.add(&member, &body[..]).unwrap();
    }
    bundle.finish().unwrap()
}

#[tokio::test]
async fn air_gapped_gate_serves_what_another_gate_kept() {
    let (place, beyond) = (warmed(), beyond(""));
    let bundle = export(&place);
    let (code, words, kept_there) = import(&beyond, &bundle, &[]);
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("imported 7 objects"), "{words}");
    assert_eq!(kept_there, LOCKED);
    let (here, there) = (place.must_json(&["cache", "list"]), beyond.must_json(&["cache", "list"]));
    for (here, there) in here.as_array().unwrap().iter().zip(there.as_array().unwrap()) {
        for known in ["path", "sha256", "proof", "fetched_at", "validated_at", "upstream"] {
            assert_eq!(here[known], there[known], "{known}");
        }
        assert_eq!(there["current"], true, "filed under the channel as it is there");
    }

    let gate = beyond.serve();
    for name in LOCKED {
        let reply = client::ask(gate.data, "GET", &format!("/{name}"), &[]).await;
        assert_eq!((reply.status, reply.body), (200, fixture(name.strip_prefix("main/").unwrap())), "{name}");
    }
    let plain = client::ask(gate.data, "GET", "/main/noarch/repodata.json", &[]).await;
    assert_eq!(
        (plain.status, plain.body),
        (200, fixture("noarch/repodata.json")),
        "made of the one that came"
    );
    for (target, verdict) in [
        ("/main/linux-64/repodata_shards.msgpack.zst", "200"),
        ("/main/linux-64/libtiny-1.0-0.conda", "503 upstream_unavailable"),
    ] {
        assert_eq!(client::ask(gate.data, "GET", target, &[]).await.verdict(), verdict, "{target}");
    }
    let again = import(&beyond, &bundle, &["--json"]);
    assert!(again.0 == 0 && again.1.contains("\"present\": 7"), "{again:?}");
}

#[test]
fn bundle_may_be_of_some_objects_only() {
    let place = warmed();
    let exported = place.must_json(&["cache", "export", "some.tar", "--channel", "main", "*.conda"]);
    assert_eq!(exported["objects"], 5);
    let beyond = beyond("");
    let bundle = fs::read(place.path("some.tar")).unwrap();
    let (code, words, kept) = import(&beyond, &bundle, &["--channel", "main"]);
    assert_eq!((code, kept.len()), (0, 5), "{words}");
    let list = beyond.must_json(&["cache", "list"]);
    assert_eq!(list[0]["proof"], "unproven", "without an index nothing proves a package");
    let (code, words, kept) = import(&super::place(), &bundle, &["--channel", "other"]);
    assert!(code == 64 && words.contains("there is no channel \"other\"") && kept.is_empty(), "{words}");
}

#[test]
fn only_a_plain_file_is_replaced_by_a_bundle() {
    let place = warmed();
    let pipe = place.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    std::os::unix::fs::symlink(&pipe, place.path("link")).unwrap();
    for target in ["pipe", "link", "var"] {
        let done = place.run(&["cache", "export", target]).expect(64, target);
        assert!(done.err.contains(&format!("{target} is no plain file")), "{done:?}");
    }
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&fs::metadata(&pipe).unwrap().file_type()));
    fs::write(place.path("bundle.tar"), "of yesterday").unwrap();
    place.must(&["cache", "export", "bundle.tar"]);
}

#[test]
fn damaged_object_is_left_out_of_a_bundle() {
    let place = warmed();
    let package = fixture("linux-64/libtiny-1.1-0.conda");
    let file = object_file(&place, &package);
    let mut bytes = fs::read(&file).unwrap();
    bytes[0] ^= 1;
    fs::write(&file, bytes).unwrap();
    let done = place.run(&["cache", "export", "bundle.tar"]).expect(1, "export");
    assert!(done.out.contains("left out main/linux-64/libtiny-1.1-0.conda"), "{done:?}");
    let (code, words, kept) = import(&beyond(""), &fs::read(place.path("bundle.tar")).unwrap(), &[]);
    assert_eq!((code, kept.len()), (0, 6), "{words}");
}

#[test]
fn bad_bundle_changes_nothing() {
    let place = warmed();
    let good = export(&place);
    let package = fixture("noarch/plus-1.0+cu118-0.conda");
    let at = good.windows(package.len()).position(|window| window == package).unwrap();
    let mut altered = good.clone();
    altered[at + package.len() / 2] ^= 1;
    let mut renamed = good.clone();
    let at =
        good.windows(30).rposition(|window| window == &b"main/noarch/plus-1.0+cu118-0.conda"[..30]).unwrap();
    renamed[at..at + 5].copy_from_slice(b"../..");
    for (name, bundle, code, words) in [
        ("altered", altered, 1, "main/noarch/plus-1.0+cu118-0.conda is damaged"),
        ("cut off", good[..good.len() - 2_048].to_vec(), 1, "cut off"),
        ("cut off in a body", good[..good.len() / 2].to_vec(), 1, "cut off"),
        ("renamed", renamed, 1, "bundle.tar is not imported"),
        ("no bundle", b"PK\x03\x04".repeat(400), 1, "this is no bundle"),
        ("nothing", Vec::new(), 1, "this is no bundle"),
    ] {
        let beyond = beyond("");
        let (found, said, kept) = import(&beyond, &bundle, &[]);
        assert_eq!(found, code, "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
        assert_eq!(kept, [""; 0], "{name}: nothing half imported is left");
    }
    let small = beyond("cache.capacity = \"4 KiB\"");
    let (code, said, kept) = import(&small, &good, &[]);
    assert!(code == 1 && said.contains("cache.capacity") && kept.is_empty(), "{said}");
    let other = place_with(&channel("other", "public", &fixture_url()));
    let (code, said, kept) = import(&other, &good, &[]);
    assert!(code == 1 && said.contains("not configured here: main") && kept.is_empty(), "{said}");
}

#[test]
fn forged_objects_are_refused_one_by_one() {
    let index = fixture("noarch/repodata.json.zst");
    let hello = fixture("noarch/hello-noarch-1.0-0.conda");
    let elsewhere = br#"{"info":{"base_url":"https://evil.test/"},"packages":{}}"#.to_vec();
    let shard = format!("linux-64/shards/{}.msgpack.zst", "0".repeat(64));
    let bundle = forged(&[
        ("noarch/repodata.json.zst", index),
        ("noarch/hello-noarch-1.0-0.conda", hello),
        ("noarch/plus-1.0+cu118-0.conda", b"not what the index names".to_vec()),
        ("linux-64/repodata.json", elsewhere),
        (&shard, b"\x80".to_vec()),
    ]);
    let beyond = beyond("");
    let (code, said, kept) = import(&beyond, &bundle, &[]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(kept, ["main/noarch/hello-noarch-1.0-0.conda", "main/noarch/repodata.json.zst"], "{said}");
    assert!(
        said.contains("plus-1.0+cu118-0.conda: its bytes are not those that its channel's index names"),
        "{said}"
    );
    assert!(said.contains("linux-64/repodata.json: the index is refused: "), "{said}");
    assert!(said.contains(&format!("{shard}: ")), "{said}");
    assert_eq!(fs::read_dir(beyond.path("var/cache/partial")).unwrap().count(), 0, "no draft is left");
}

#[test]
fn newer_index_is_not_replaced_by_an_older_one() {
    let place = place();
    place.must(&["cache", "warm", "--spec", "plus", "--channel", "main", "--subdir", "noarch"]);
    let older = br#"{"packages":{},"packages.conda":{}}"#.to_vec();
    let bundle = forged(&[("noarch/repodata.json.zst", zstd::encode_all(&older[..], 0).unwrap())]);
    let before = place.must_json(&["cache", "list", "repodata*"]);
    let (code, said, _) = import(&place, &bundle, &["--json"]);
    assert!(code == 0 && said.contains("\"present\": 1"), "{said}");
    assert_eq!(place.must_json(&["cache", "list", "repodata*"])[0]["sha256"], before[0]["sha256"]);
}

#[tokio::test]
async fn index_of_tomorrow_does_not_outlast_the_upstreams_own() {
    let place = place();
    let forged_index = br#"{"packages":{},"packages.conda":{}}"#.to_vec();
    // The year 2096.
    let bundle = dated(&[("noarch/repodata.json", forged_index.clone())], 4_000_000_000, Some(4_000_000_000));
    let (code, said, _) = import(&place, &bundle, &[]);
    assert_eq!(code, 0, "{said}");
    let listed = &place.must_json(&["cache", "list"])[0];
    for time in ["fetched_at", "validated_at", "used_at"] {
        assert!(listed[time].as_str().unwrap() < "2090", "{listed}");
    }
    let gate = place.serve();
    // The upstream's own representation is newer than what came by hand, and so is the other one from then on.
    let compressed = client::ask(gate.data, "GET", "/main/noarch/repodata.json.zst", &[]).await;
    assert_eq!(compressed.body, fixture("noarch/repodata.json.zst"), "not made of what came by hand");
    let plain = client::ask(gate.data, "GET", "/main/noarch/repodata.json", &[]).await;
    assert_eq!(plain.body, fixture("noarch/repodata.json"));
}
