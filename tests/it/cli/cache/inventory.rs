//! `cache list`, `stats`, `purge`, `scrub`.

use std::fs;

use super::{LOCKED, fixture, fixture_url, kept, object_file, place, place_with, warmed};
use crate::support::client;
use crate::support::process::{Place, channel};

#[test]
fn what_is_kept_is_listed_with_what_is_known_of_it() {
    let place = warmed();
    assert_eq!(kept(&place), LOCKED);
    let list = place.must_json(&["cache", "list", "libtiny-*"]);
    let [object] = &list.as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!(object["sha256"], "1c5b11ddc881720730bec3fb136a10dac326c160fc0689a1dc6745e1979c45b6");
    assert_eq!((&object["bytes"], &object["proof"]), (&884.into(), &"index".into()));
    assert_eq!(object["current"], true);
    for (arguments, count) in [
        (&["--channel", "main"][..], 7),
        (&["--channel", "none"], 0),
        (&["main/noarch/*"], 4),
        (&["*.conda", "repodata*"], 7),
        (&["tiny"], 0),
    ] {
        let list = place.must_json(&[&["cache", "list"], arguments].concat());
        assert_eq!(list.as_array().unwrap().len(), count, "{arguments:?}");
    }
    let text = place.must(&["cache", "list"]);
    assert!(text.contains("884 B") && text.contains("main/linux-64/libtiny-1.1-0.conda"), "{text}");
    let stats = place.must_json(&["cache", "stats"]);
    assert_eq!((&stats["objects"], &stats["channels"]["main"]["objects"]), (&7.into(), &7.into()));
    assert_eq!(stats["capacity"], 20_u64 << 30);
    assert!(stats["bytes"].as_u64().unwrap() >= 7 * 512, "{stats}");
    assert!(place.must(&["cache", "stats"]).contains("of 20.0 GiB"));
}

#[test]
fn objects_of_other_upstreams_are_told_apart() {
    let place = warmed();
    let config = place.path("config/channelgate.toml");
    let text = fs::read_to_string(&config).unwrap().replace(&fixture_url(), "https://conda.test/elsewhere");
    fs::write(&config, text).unwrap();
    let list = place.must_json(&["cache", "list"]);
    assert!(list.as_array().unwrap().iter().all(|object| object["current"] == false), "{list}");
    let stats = place.must_json(&["cache", "stats"]);
    assert_eq!(
        (&stats["channels"]["main"]["objects"], &stats["outdated"]["objects"]),
        (&0.into(), &7.into())
    );
    assert!(place.must(&["cache", "list"]).contains("(outdated)"));
}

#[test]
fn purge_removes_what_is_meant_and_nothing_else() {
    let place = warmed();
    let purge =
        |arguments: &[&str]| place.must_json(&[&["cache", "purge"], arguments].concat())["objects"].clone();
    assert_eq!(purge(&["--older-than", "1h"]), 0);
    assert_eq!(purge(&["--channel", "other"]), 0);
    assert_eq!(kept(&place), LOCKED);
    assert_eq!(purge(&["libtiny-*", "main/noarch/plus*"]), 2);
    assert_eq!(kept(&place).len(), 5);
    assert_eq!(purge(&["--channel", "main", "--older-than", "0s", "*.conda"]), 3);
    assert_eq!(kept(&place), ["main/linux-64/repodata.json.zst", "main/noarch/repodata.json.zst"]);
    assert_eq!(purge(&["--everything"]), 2);
    assert_eq!(place.must_json(&["cache", "stats"])["bytes"], 0, "what was made of indexes is gone, too");
}

#[test]
fn scrub_removes_what_is_damaged_and_says_so() {
    let place = warmed();
    let package = fixture("linux-64/libtiny-1.1-0.conda");
    let sound = place.must_json(&["cache", "scrub"]);
    assert_eq!((&sound["sound"], &sound["damaged"]), (&7.into(), &serde_json::json!([])));

    let file = object_file(&place, &package);
    let mut bytes = fs::read(&file).unwrap();
    bytes[package.len() / 2] ^= 1;
    fs::write(&file, bytes).unwrap();
    let done = place.run(&["cache", "scrub", "--json"]).expect(1, "scrub");
    assert_eq!(done.json()["damaged"], serde_json::json!(["main/linux-64/libtiny-1.1-0.conda"]));
    assert!(done.err.contains("is damaged and was removed"), "{done:?}");
    assert!(!file.exists());
    place.run(&["cache", "scrub"]).expect(0, "scrub again");
}

#[tokio::test]
async fn commands_work_beside_a_running_gate() {
    let place = place();
    let gate = place.serve();
    let target = "/main/linux-64/libtiny-1.1-0.conda";
    let status = async || {
        let reply = client::ask(gate.data, "GET", target, &[]).await;
        assert_eq!(reply.body, fixture("linux-64/libtiny-1.1-0.conda"));
        reply.header("cache-status").unwrap().to_owned()
    };
    place.must(&["cache", "warm", "--spec", "libtiny", "--channel", "main", "--subdir", "linux-64"]);
    assert_eq!(status().await, "channelgate; hit", "the gate finds what a command brought");
    place.must(&["cache", "purge", "libtiny-*"]);
    assert_eq!(status().await, "channelgate; fwd=miss; stored", "and notices what one removed");
    assert_eq!(status().await, "channelgate; hit");
    let listed = place.must_json(&["cache", "list", "libtiny-*"]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "a command finds what the gate brought");
}

#[test]
fn cache_that_cannot_be_opened_is_told_with_the_way_out() {
    let place = place_with("cache.directory = \"occupied\"\n");
    fs::write(place.path("occupied"), "a file").unwrap();
    let done = place.run(&["cache", "stats"]).expect(1, "stats");
    assert!(done.err.contains("occupied") && done.err.contains("cache.directory"), "{done:?}");
}

#[test]
fn cache_that_is_off_can_be_looked_at_and_emptied() {
    let place = warmed();
    let config = place.path("config/channelgate.toml");
    let text = format!("cache.enabled = false\n{}", fs::read_to_string(&config).unwrap());
    fs::write(&config, text).unwrap();
    assert_eq!(kept(&place), LOCKED);
    assert_eq!(place.must_json(&["cache", "purge", "--everything"])["objects"], 7);
    let other: Place = place_with(&channel("other", "public", "file:nowhere"));
    assert_eq!(kept(&other), [""; 0]);
}
