//! The life of a subscription on the command line: renew, sync, cancel; and what runs out soon.

use crate::support::process::Place;

#[test]
fn renewal_moves_no_token_and_sync_does() {
    let place = Place::new();
    place.must(&["org", "create", "acme", "--subscription-ends", "2100-01-01"]);
    place.must(&["seat", "assign", "acme", "alice"]);
    let site = place.must_json(&["token", "issue", "acme", "--site"]);
    place.must(&["token", "issue", "acme", "--user", "alice"]);
    let done = place.run(&["org", "renew", "acme", "--until", "2110-01-01", "--json"]).expect(0, "renew");
    assert_eq!(done.json()["subscription_ends"], "2110-01-01T00:00:00Z");
    assert_eq!(done.json()["subscription"], "active");
    assert!(done.err.contains("`channelgate token sync acme`"), "{done:?}");
    let expiry = |index: usize| place.must_json(&["token", "list", "acme"])[index]["expires_at"].clone();
    assert_eq!((expiry(0), expiry(1)), ("2100-01-31T00:00:00Z".into(), "2100-01-31T00:00:00Z".into()));

    let done = place.run(&["token", "sync", "acme", "--site", "--json"]).expect(0, "the site token");
    let synced = done.json();
    assert_eq!(synced.as_array().unwrap().len(), 1);
    assert_eq!((&synced[0]["id"], &synced[0]["expires_at"]), (&site["id"], &"2110-01-31T00:00:00Z".into()));
    assert_eq!(synced[0]["previous_expires_at"], "2100-01-31T00:00:00Z");
    assert_eq!((expiry(0), expiry(1)), ("2110-01-31T00:00:00Z".into(), "2100-01-31T00:00:00Z".into()));

    let done = place.run(&["token", "sync", "acme", "--user", "alice"]).expect(0, "a user's token");
    let words = "expires on 2110-01-31T00:00:00Z; before, it was on 2100-01-31T00:00:00Z";
    assert!(done.out.is_empty() && done.err.contains(words), "{done:?}");
    let done = place.run(&["token", "sync", "acme", "--all"]).expect(0, "all");
    assert!(done.err.contains("nothing was changed"), "{done:?}");
    place.run(&["token", "sync", "acme", "--all", "--site"]).expect(64, "one of them");
    place.run(&["token", "sync", "none"]).expect(1, "no organization");
    place.run(&["org", "renew", "none", "--until", "2110-01-01"]).expect(1, "no organization");
    let done = place.run(&["org", "renew", "acme", "--until", "2020-01-01"]).expect(64, "over already");
    assert!(done.err.contains("2020-01-01T00:00:00Z would be over already"), "{done:?}");
}

#[test]
fn cancelling_is_confirmed_and_ends_every_token() {
    let place = Place::new();
    place.must(&["org", "create", "default"]);
    place.must(&["token", "issue", "default", "--site"]);
    place.create_token("ci");
    let done = place.run(&["org", "cancel", "default"]).expect(64, "nobody can be asked");
    assert!(done.err.contains("all its tokens will stop working at once") && done.err.contains("--yes"));
    assert_eq!(place.must_json(&["org", "show", "default"])["subscription"], "active");

    let done = place.run(&["org", "cancel", "default", "--yes", "--json"]).expect(0, "cancel");
    assert_eq!(done.json()["subscription"], "cancelled");
    assert!(done.json()["cancelled_at"].is_string());
    assert!(done.err.contains("ended with the subscription: 2."), "{done:?}");
    let listed = place.must_json(&["token", "list", "default"]);
    assert!(
        listed.as_array().unwrap().iter().all(|token| token["state"] == "subscription_ended"),
        "{listed}"
    );
    place.run(&["org", "cancel", "default"]).expect(0, "again cuts nobody off");
    let shown = place.must(&["org", "list"]);
    assert!(shown.contains("cancelled on 2"), "{shown}");

    let create = ["token", "create", "default", "--name", "new", "--scopes", "repos"];
    for arguments in [&["token", "issue", "default", "--site"][..], &create, &["token", "sync", "default"]] {
        let done = place.run(arguments).expect(1, arguments);
        assert!(done.err.contains("was cancelled on") && done.err.contains("renew it first"), "{done:?}");
    }
    place.must(&["org", "renew", "default", "--until", "2100-01-01"]);
    place.must(&["token", "sync", "default"]);
    let listed = place.must_json(&["token", "list", "default"]);
    assert!(
        listed.as_array().unwrap().iter().all(|token| token["state"] == "subscription_ended"),
        "{listed}"
    );
    place.run(&["org", "cancel", "none", "--yes"]).expect(1, "no organization");
}

#[test]
fn list_names_living_tokens_that_run_out_soon() {
    let place = Place::new();
    place.must(&["org", "create", "default"]);
    for (name, life) in [("week", "7d"), ("month", "29d"), ("year", "365d"), ("dead", "1d")] {
        let create =
            ["token", "create", "default", "--name", name, "--scopes", "repos", "--expires-in", life];
        place.must(&create);
    }
    place.must(&["token", "issue", "default", "--site"]);
    place.must(&["token", "revoke", "--name", "dead", "--org", "default", "--yes"]);
    place.must(&["token", "issue", "default", "--site", "--grace", "24h", "--yes"]);
    let names = |within: &str| {
        let listed = place.must_json(&["token", "list", "default", "--expiring", within]);
        let tokens = listed.as_array().unwrap().iter();
        tokens.map(|token| token["name"].as_str().unwrap_or("site").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("30d"), ["site", "week", "month"], "the replaced one, in its grace");
    assert_eq!(names("8d"), ["site", "week"]);
    assert!(names("1h").is_empty());
    let listed = place.must(&["token", "list", "default"]);
    for column in ["GEN", "STATE", "ENDS", "LAST USE"] {
        assert!(listed.lines().next().unwrap().contains(column), "{listed}");
    }
    let sites: Vec<_> = place.must_json(&["token", "list", "default"]).as_array().unwrap().clone();
    let generations: Vec<_> = sites
        .iter()
        .filter(|token| token["kind"] == "site")
        .map(|token| token["generation"].clone())
        .collect();
    assert_eq!(generations, [1, 2]);
    assert!(sites.iter().all(|token| token["last_use"].is_null() && token["last_refusal"].is_null()));
}
