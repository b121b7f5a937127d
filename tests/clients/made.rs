//! What the gate makes, in the hands of a real client: shards of an upstream that has none, and views that show a part.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::client::{Attempt, Carrier};
use crate::gate::Gate;
use crate::recorder::{Recorder, Seen};

/// The fixture channel with nothing but `repodata.json` for an index, and many more records than those of its packages.
fn upstream_with_json_alone() -> TempDir {
    let upstream = tempfile::tempdir().unwrap();
    for subdir in ["linux-64", "noarch"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/channel").join(subdir);
        let to = upstream.path().join(subdir);
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
            if name.to_str().is_some_and(|name| name.ends_with(".conda") || name.ends_with(".tar.bz2")) {
                fs::copy(path, to.join(name)).unwrap();
            } else if name == "repodata.json" {
                let mut document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
                fill(document["packages.conda"].as_object_mut().unwrap(), subdir);
                fs::write(to.join(name), document.to_string()).unwrap();
            }
        }
    }
    upstream
}

/// Records of packages that nobody asks for.
fn fill(records: &mut Map<String, Value>, subdir: &str) {
    for number in 0..3_000 {
        let name = format!("filler{}", number / 3);
        let version = format!("1.{}", number % 3);
        let record = json!({
            "build": "0", "build_number": 0, "depends": ["libtiny >=1.0", format!("filler{} >=1.0", number / 5)],
            "license": "CC0-1.0", "md5": format!("{number:032x}"), "name": name, "sha256": format!("{:064x}", number * 7919),
            "size": 1_000 + number, "subdir": subdir, "timestamp": 1_767_225_600_000_i64, "version": version,
        });
        records.insert(format!("{name}-{version}-0.conda"), record);
    }
}

fn is_package(path: &str) -> bool {
    path.ends_with(".conda") || path.ends_with(".tar.bz2")
}

fn bytes_of_indexes(seen: &Seen) -> usize {
    seen.iter().filter(|(path, _)| !is_package(path)).map(|(_, bytes)| bytes).sum()
}

#[test]
fn upstream_with_json_alone_is_read_by_shards_and_packages_are_asked_for_with_the_token() {
    let upstream = upstream_with_json_alone();
    let place = upstream.path().display();
    let gate =
        Gate::with_channels(&format!("[[channels]]\nname = \"demo\"\nupstreams = [\"file://{place}\"]\n"));
    let recorder = Recorder::before(&gate.origin);
    let token = gate.create_token("shards");
    let run = |shards| {
        let attempt = Attempt { carrier: Carrier::Path, token: &token.value, shards, ..Attempt::at(&gate) };
        let outcome = Attempt { origin: &recorder.origin, ..attempt }.run();
        let expected = ["epoch=1!2.0", "hello-noarch=1.0", "libtiny=1.1", "plus=1.0+cu118", "tinyapp=2.0"];
        assert_eq!(outcome.installed(), expected, "shards: {shards}");
        assert_eq!(outcome.file("share/tinyapp/version.txt"), "tinyapp 2.0\n");
        let seen = recorder.take();
        let prefix = format!("/t/{}/demo/", token.value);
        for path in seen.keys() {
            assert!(path.starts_with(&prefix), "asked for without the token, shards: {shards}: {path}");
        }
        assert_eq!(seen.keys().filter(|path| is_package(path)).count(), expected.len(), "{:?}", seen.keys());
        seen
    };

    let (sharded, whole) = (run(true), run(false));

    let asked = |seen: &Seen, part: &str| seen.keys().filter(|path| path.contains(part)).count();
    assert_eq!(asked(&sharded, "/repodata_shards.msgpack.zst"), 2, "{:?}", sharded.keys());
    assert!(asked(&sharded, "/shards/") >= 5, "{:?}", sharded.keys());
    assert_eq!(asked(&sharded, "/repodata.json"), 0, "{:?}", sharded.keys());
    assert_eq!(asked(&whole, "shards"), 0, "{:?}", whole.keys());
    let (by_shards, by_json) = (bytes_of_indexes(&sharded), bytes_of_indexes(&whole));
    println!(
        "bytes of indexes to py-rattler, 6,009 records: by shards {by_shards}, by repodata.json {by_json}"
    );
    for (path, bytes) in sharded.iter().chain(&whole).filter(|(path, _)| !is_package(path)) {
        println!("{bytes:>9} {}", path.replace(&token.value, "<TOKEN>"));
    }
    assert!(by_shards < by_json, "shards cost {by_shards} bytes, the whole index {by_json}");
    assert!(!gate.log().contains(&token.value), "the gate's log holds a token");
}

#[test]
fn view_installs_what_it_may_and_the_client_is_told_of_what_it_may_not() {
    let upstream = upstream_with_json_alone();
    let place = upstream.path().display();
    let gate = Gate::with_channels(&format!(
        "[[channels]]\nname = \"demo\"\nupstreams = [\"file://{place}\"]\n\
         [[channels.rules]]\npackages = \"plus\"\naction = \"block\"\nreason = \"its license is not cleared\"\n\
         [[channels]]\nname = \"whole\"\naccess = \"public\"\nupstreams = [\"file://{place}\"]\n"
    ));
    for command in [
        "seat assign default alice",
        "group create default dev",
        "group add default dev alice",
        "group grant default dev demo --packages tinyapp,lib*,hello-noarch,plus --yes",
    ] {
        gate.run(&command.split(' ').collect::<Vec<_>>());
    }
    let issued: Value = gate.command(&["token", "issue", "default", "--user", "alice", "--json"]);
    let token = issued["token"].as_str().unwrap();
    let here = || Attempt { carrier: Carrier::Path, token, ..Attempt::at(&gate) };

    for shards in [true, false] {
        let outcome = Attempt { shards, specs: &["tinyapp"], ..here() }.run();
        assert_eq!(
            outcome.installed(),
            ["hello-noarch=1.0", "libtiny=1.1", "tinyapp=2.0"],
            "shards: {shards}"
        );

        // By name: the solver says that there is no such package.
        for hidden in ["plus", "epoch"] {
            let outcome = Attempt { shards, specs: &[hidden], ..here() }.run();
            let (words, answer) = outcome.refused();
            assert!(
                words.contains("No candidates were found") && words.contains(hidden),
                "{hidden}: {words}"
            );
            assert!(!words.contains(token), "the client prints the token");
            assert_eq!(answer.status, 200, "the index itself is there");
            assert!(!answer.body.contains(&format!("\"{hidden}-")), "{hidden}");
        }
    }

    // By a lock file that was made where all is shown: the answer says why. (What the client says names the URL of its lock file, and the
    // token that a person wrote into it.)
    for (name, ask, status, words_of_client, words_of_gate) in [
        ("plus", "noarch/plus-1.0+cu118-0.conda", 451, "451", "its license is not cleared"),
        ("epoch", "noarch/epoch-1!2.0-0.conda", 404, "404", "not_found"),
    ] {
        let outcome = Attempt { locked_at: Some("whole"), specs: &[name], ask, ..here() }.run();
        let (words, answer) = outcome.refused();
        assert!(words.contains(words_of_client) && words.contains(name), "{name}: {words}");
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(answer.content_type.as_deref(), Some("application/problem+json"), "{name}");
        assert!(answer.body.contains(words_of_gate) && !answer.body.contains(token), "{}", answer.body);
    }
    let outcome = Attempt { locked_at: Some("whole"), specs: &["tinyapp"], ..here() }.run();
    assert_eq!(outcome.installed().len(), 3, "what may be seen installs by a lock file as well");
    assert!(!gate.log().contains(token), "the gate's log holds a token");
}
