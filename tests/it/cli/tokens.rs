//! The life of a token on the command line.

use std::time::Duration;

use channelgate::clock::Timestamp;

use crate::support::process::Place;

#[test]
fn reissue_replaces_the_previous_token_at_once_or_after_a_grace() {
    let place = Place::new();
    place.must(&["org", "create", "acme"]);
    let issue = |more: &[&'static str]| {
        let arguments = [&["token", "issue", "acme", "--site"], more].concat();
        place.run(&[&arguments[..], &["--json"]].concat())
    };
    let id = |token: &serde_json::Value| token["id"].as_str().unwrap().to_owned();
    let first = id(&issue(&[]).expect(0, "the first cuts nobody off").json());

    let done = issue(&[]).expect(64, "nobody can be asked");
    assert!(done.err.contains(&first) && done.err.contains("will stop working at once"), "{done:?}");
    assert!(done.err.contains("--yes") && done.out.is_empty(), "{done:?}");

    let before = Timestamp::from_millis(now_millis());
    let done = issue(&["--yes", "--grace", "24h"]).expect(0, "with a grace");
    let second = id(&done.json());
    assert!(done.err.contains(&format!("It replaces the site token (id {first})")), "{done:?}");
    let shown = place.must_json(&["token", "show", &first]);
    assert_eq!(shown["state"], "active");
    let ends: Timestamp = shown["ended_at"].as_str().unwrap().parse().unwrap();
    let grace = ends.since(before);
    assert!(grace > Duration::from_secs(86_390) && grace < Duration::from_secs(86_500), "{grace:?}");
    assert!(
        place.must(&["token", "show", &first]).contains("state         active, until it is replaced on ")
    );

    let listed = place.must(&["token", "list", "acme"]);
    assert_eq!(listed.matches(&ends.to_string()).count(), 1, "a list says when it ends: {listed}");

    let done = issue(&["--grace", "1h"]).expect(64, "a grace cuts off, too");
    assert!(done.err.contains("will stop working on 2"), "{done:?}");

    issue(&["--yes"]).expect(0, "without a grace");
    assert_eq!(place.must_json(&["token", "show", &second])["state"], "replaced");
    assert_eq!(place.must_json(&["token", "show", &first])["state"], "active", "its own grace goes on");
    // Ending what is in its grace is a revocation.
    place.must(&["token", "revoke", &first, "--yes"]);
    assert_eq!(place.must_json(&["token", "show", &first])["state"], "revoked");
}

#[test]
fn revocation_by_id_and_by_name_happens_once() {
    let place = Place::new();
    place.must(&["org", "create", "default"]);
    let (_, by_id) = place.create_token("one");
    let (_, by_name) = place.create_token("two");
    let done = place.run(&["token", "revoke", &by_id, "--yes", "--reason", "leaked"]).expect(0, "by id");
    assert!(done.out.is_empty() && done.err.contains(&format!("token \"one\" (id {by_id})")), "{done:?}");
    assert!(done.err.contains("is revoked"), "{done:?}");
    let done = place.run(&["token", "revoke", "--name", "two", "--org", "default", "--yes", "--json"]);
    assert_eq!(done.expect(0, "by name").json()["id"], by_name);

    let again = place
        .run(&["token", "revoke", &by_id, "--reason", "another"])
        .expect(0, "a dead one cuts nobody off");
    assert!(again.err.contains("did not serve any more; nothing was changed"), "{again:?}");
    assert_eq!(place.must_json(&["token", "show", &by_id])["reason"], "leaked");

    // The name is free again, and means the living token.
    let (_, new) = place.create_token("two");
    assert_eq!(
        place.must_json(&["token", "revoke", "--name", "two", "--org", "default", "--yes"])["id"],
        new
    );
    let listed = place.must_json(&["token", "list", "default"]);
    let states: Vec<_> =
        listed.as_array().unwrap().iter().map(|token| token["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["revoked"; 3], "oldest first, none forgotten");
}

#[test]
fn channels_that_a_token_cannot_read_yet_are_told() {
    let place = Place::with("");
    place.configure(
        "[[channels]]\nname = \"team/main\"\norgs = [\"acme\"]\nupstreams = [\"http://127.0.0.1:1/c\"]\n\
         [[channels]]\nname = \"repo\"\nupstreams = [\"http://127.0.0.1:1/c\"]",
    );
    place.must(&["org", "create", "beta"]);
    let create = |name: &str, channels: &str| {
        let arguments =
            ["token", "create", "beta", "--name", name, "--scopes", "repos", "--channels", channels];
        place.run(&arguments).expect(0, channels)
    };
    let done = create("typo", "repo,team/mian");
    let expected = "there is no channel \"team/mian\" in the configuration (team/main, repo)";
    assert!(done.err.contains(expected) && done.out.lines().count() == 1, "{done:?}");
    let done = create("closed", "team/main");
    assert!(done.err.contains("channel \"team/main\" is not open to organization \"beta\""), "{done:?}");
    let done = create("good", "repo");
    assert!(!done.err.contains("channel \"") && !done.err.contains("configuration"), "{done:?}");
}

#[test]
fn imported_token_is_known_and_never_shown() {
    let place = Place::new();
    place.must(&["org", "create", "acme"]);
    let value = "xy-72b914cc-c105-4ec7-a969-ab21d23480ed";
    let import =
        ["token", "import", "acme", "--name", "legacy", "--scopes", "repos", "--expires-in", "30d", "--json"];
    let done = place.run_with(&import, &format!("{value}\n")).expect(0, "import");
    let token = done.json();
    assert_eq!((&token["kind"], &token["name"]), (&"scoped".into(), &"legacy".into()));
    let verified = place.run_with(&["token", "verify", "--json"], value).expect(0, "verify").json();
    assert_eq!(verified, token);
    place.must(&["token", "revoke", "--name", "legacy", "--org", "acme", "--yes"]);
    assert_eq!(place.run_with(&["token", "verify", "--json"], value).json()["state"], "revoked");
    for (value, detail) in [
        ("xy-00000000-c105-4ec7-a969-ab21d23480ed", "has not issued this token"),
        ("cg-00000000000000000000000000000000000000", "its form or checksum is wrong"),
    ] {
        let done = place.run_with(&["token", "verify", "--json"], value).expect(0, value);
        assert_eq!(done.json()["state"], "unknown");
        assert!(done.json()["detail"].as_str().unwrap().contains(detail), "{done:?}");
    }
}

fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// An operator's token is made by the command line alone, acts for nobody else, and is shown for what it is.
#[test]
fn operators_tokens_are_made_and_shown_as_such() {
    let place = Place::new();
    place.must(&["org", "create", "acme"]);
    place.must(&["seat", "assign", "acme", "ann"]);
    let create = ["token", "create", "acme", "--name", "op", "--scopes", "api"];
    let token = place.must_json(&[&create[..], &["--operator"]].concat());
    assert_eq!(token["operator"], true);
    let id = token["id"].as_str().unwrap();
    assert_eq!(place.must_json(&["token", "show", id])["operator"], true);
    assert!(place.must(&["token", "show", id]).contains("operator of the gate"));
    let audit = place.must_json(&["audit", "--org", "acme"]);
    assert_eq!(audit.as_array().unwrap().last().unwrap()["after"]["operator"], true);
    let plain = place.must_json(&["token", "create", "acme", "--name", "plain", "--scopes", "api"]);
    assert_eq!(plain.get("operator"), None);
    for also in [["--user", "ann"], ["--group", "dev"]] {
        let wish = [&create[..], &["--operator"], &also[..]].concat();
        assert!(place.run(&wish).expect(64, also).err.contains("cannot be used with"));
    }
}
