//! `channelgate index …`: what is kept of a channel's indexes, what a token sees of them, and having them anew.

use std::fs;

use serde_json::json;

use super::cache::place_with;
use crate::support::gate::fixture_channel;
use crate::support::process::Place;

/// A gate's place with the private channel `main`, of a copy of the fixture channel, under these rules.
fn place(rules: &str) -> Place {
    let place = place_with("");
    let config = place.path("config/channelgate.toml");
    for directory in ["noarch", "linux-64", "label/dev/noarch"] {
        fs::create_dir_all(place.path(&format!("channel/{directory}"))).unwrap();
        for file in ["repodata.json", "repodata.json.zst"] {
            let from = fixture_channel().join(directory).join(file);
            if from.exists() {
                fs::copy(from, place.path(&format!("channel/{directory}/{file}"))).unwrap();
            }
        }
    }
    let upstream = format!("file://{}", place.path("channel").display());
    let text = fs::read_to_string(&config).unwrap();
    let channel = format!("[[channels]]\nname = \"main\"\nupstreams = [\"{upstream}\"]\n{rules}");
    fs::write(config, format!("{text}\n{channel}")).unwrap();
    place
}

const BLOCKING: &str = "[[channels.rules]]\npackages = \"plus\"\naction = \"block\"\n\
                        [[channels.rules]]\npackages = \"*\"\nquarantine = \"7d\"\n";

#[test]
fn indexes_are_fetched_anew_and_shown_with_what_they_name() {
    let place = place("");
    assert_eq!(place.must_json(&["index", "show", "main"]), json!([]));
    place.run(&["index", "refresh", "main"]).expect(64, "nothing is kept, so nothing is meant");
    let refreshed = place.must_json(&["index", "refresh", "main", "noarch", "linux-64/"]);
    let outcomes: Vec<_> = refreshed.as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, ["changed", "changed"]);

    let shown = place.must_json(&["index", "show", "main"]);
    let [linux, noarch] = &shown.as_array().unwrap()[..] else { panic!("{shown}") };
    assert_eq!((&linux["subdir"], &noarch["subdir"]), (&json!("linux-64"), &json!("noarch")));
    let text = fs::read(fixture_channel().join("noarch/repodata.json")).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let count =
        ["packages", "packages.conda"].map(|key| document[key].as_object().map_or(0, |map| map.len()));
    assert_eq!(noarch["records"], count.iter().sum::<usize>());
    assert_eq!(
        (&noarch["rewritten"], &noarch["views"], &noarch["label"]),
        (&json!(false), &json!(0), &json!(null))
    );
    assert!(noarch["generation"].is_string() && noarch.get("sees").is_none(), "{noarch}");
    assert!(place.must(&["index", "show", "main"]).contains("linux-64"));

    // All that is kept, and what came of each.
    let refreshed = place.must_json(&["index", "refresh", "main"]);
    let outcomes: Vec<_> = refreshed.as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, ["unchanged", "unchanged"]);
    let done =
        place.run(&["index", "refresh", "main", "osx-arm64", "noarch", "--json"]).expect(1, "one has none");
    assert_eq!(
        (&done.json()[0]["outcome"], &done.json()[1]["outcome"]),
        (&json!("failed"), &json!("unchanged"))
    );
}

#[test]
fn index_is_shown_as_a_token_sees_it_and_nothing_is_recorded_by_that() {
    let place = place(BLOCKING);
    place.must(&["org", "create", "acme"]);
    let token = place.must_json(&["token", "create", "acme", "--name", "ci", "--scopes", "repos"]);
    let id = token["id"].as_str().unwrap();
    place.must(&["index", "refresh", "main", "noarch"]);
    for _ in 0..2 {
        let shown = place.must_json(&["index", "show", "main", "--as", id]);
        let (records, sees) = (shown[0]["records"].as_u64().unwrap(), &shown[0]["sees"]);
        assert_eq!((&sees["decision"], &sees["quarantined"]), (&json!("permit"), &json!(0)), "{sees}");
        let (visible, blocked) = (sees["visible"].as_u64().unwrap(), sees["blocked"].as_u64().unwrap());
        assert!(blocked > 0 && visible > 0 && visible + blocked == records, "{shown}");
    }
    assert!(place.must(&["index", "show", "main", "--as", id]).contains("QUARANTINED"));

    place.must(&["group", "create", "acme", "others"]);
    place.must(&["group", "grant", "acme", "others", "main", "--yes"]);
    let shown = place.must_json(&["index", "show", "main", "--as", id]);
    assert_eq!(shown[0]["sees"]["decision"], "channel_forbidden");
}

#[test]
fn channels_tokens_and_directories_that_are_not_there_are_told() {
    let place = place("");
    let done = place.run(&["index", "show", "nothing"]).expect(64, "no such channel");
    assert!(done.err.contains("there is no channel") && done.err.contains("main"), "{done:?}");
    let nobody = "00000000-0000-0000-0000-000000000000";
    let done = place.run(&["index", "show", "main", "--as", nobody]).expect(1, "no such token");
    assert!(done.err.contains(nobody) && done.err.contains("token list"), "{done:?}");
    for directory in ["nowhere", "../noarch", "noarch/repodata.json", ""] {
        place.run(&["index", "refresh", "main", directory]).expect(64, directory);
    }
}
