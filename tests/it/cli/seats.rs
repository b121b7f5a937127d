//! Seats and individual tokens on the command line.

use serde_json::Value;

use crate::support::process::Place;

#[test]
fn seat_is_assigned_listed_and_removed_with_its_tokens() {
    let place = Place::new();
    place.must(&["org", "create", "acme"]);
    let seat = place.must_json(&["seat", "assign", "acme", "alice"]);
    assert_eq!(
        (&seat["org"], &seat["user"], &seat["role"]),
        (&"acme".into(), &"alice".into(), &"member".into())
    );
    let seat = place.must_json(&["seat", "assign", "acme", "alice", "--role", "admin"]);
    assert_eq!(seat["role"], "admin", "again changes the role");
    assert!(
        place
            .must(&["seat", "assign", "acme", "bob@example.org"])
            .contains("user          bob@example.org\n")
    );
    let listed = place.must(&["seat", "list", "acme"]);
    assert!(listed.starts_with("USER") && listed.contains("alice") && listed.contains("admin"), "{listed}");
    assert_eq!(place.must_json(&["seat", "list", "acme"]).as_array().unwrap().len(), 2);

    place.must(&["group", "create", "acme", "builders"]);
    place.must(&["group", "add", "acme", "builders", "alice"]);
    let individual = place.must_json(&["token", "issue", "acme", "--user", "alice"]);
    assert_eq!((&individual["kind"], &individual["user"]), (&"individual".into(), &"alice".into()));
    assert_eq!(individual["scopes"], serde_json::json!(["repos"]));
    let scoped = ["token", "create", "acme", "--name", "ci", "--scopes", "repos", "--user", "alice"];
    let scoped = place.must_json(&scoped);
    assert_eq!((&scoped["user"], &scoped["group"]), (&"alice".into(), &Value::Null));

    let remove = ["seat", "remove", "acme", "alice"];
    let done = place.run(&remove).expect(64, "nobody can be asked");
    assert!(done.err.contains("will stop working at once") && done.err.contains("--yes"), "{done:?}");
    let done = place.run(&[&remove[..], &["--yes", "--json"]].concat()).expect(0, "remove");
    assert_eq!(done.json()["tokens_ended"].as_array().unwrap().len(), 2);
    assert_eq!(done.json()["groups_left"], serde_json::json!(["builders"]));
    assert!(done.err.contains("ended with the seat") && done.err.contains("left the groups builders"));
    for token in [&individual, &scoped] {
        let shown = place.must_json(&["token", "show", token["id"].as_str().unwrap()]);
        assert_eq!(shown["state"], "seat_removed");
    }
    let done = place.run(&[&remove[..], &["--yes"]].concat()).expect(1, "twice");
    assert!(done.err.contains("has no seat"), "{done:?}");
    place.must(&["seat", "assign", "acme", "alice"]);
    let shown = place.must_json(&["token", "show", individual["id"].as_str().unwrap()]);
    assert_eq!(shown["state"], "seat_removed", "a new seat brings no token back");
}

#[test]
fn individual_token_needs_a_seat_and_is_replaced_when_issued_again() {
    let place = Place::new();
    place.must(&["org", "create", "acme"]);
    let issue = ["token", "issue", "acme", "--user", "alice"];
    let done = place.run(&issue).expect(1, "no seat");
    assert!(done.err.contains("has no seat") && done.err.contains("`channelgate seat assign acme alice`"));
    let create = ["token", "create", "acme", "--name", "x", "--scopes", "repos"];
    place.run(&[&create[..], &["--user", "alice"]].concat()).expect(1, "no seat");
    let done = place.run(&[&create[..], &["--group", "none"]].concat()).expect(1, "no group");
    assert!(done.err.contains("has no group \"none\""), "{done:?}");
    place.run(&[&create[..], &["--group", "g", "--user", "alice"]].concat()).expect(64, "both");
    place.run(&["token", "issue", "acme", "--site", "--user", "alice"]).expect(64, "both");
    place.run(&["seat", "assign", "acme", "no body"]).expect(64, "a name that cannot be");
    place.run(&["seat", "assign", "acme", "alice", "--role", "owner"]).expect(64, "no role");
    place.run(&["seat", "assign", "none", "alice"]).expect(1, "no organization");
    place.run(&["seat", "list", "none"]).expect(1, "no organization");

    place.must(&["seat", "assign", "acme", "alice"]);
    let first = place.must_json(&issue);
    let done = place.run(&issue).expect(64, "cuts alice off");
    assert!(done.err.contains("token of user \"alice\"") && done.err.contains("--yes"), "{done:?}");
    let second = place.must_json(&[&issue[..], &["--yes"]].concat());
    assert_eq!(second["generation"], 2);
    assert_eq!(place.must_json(&["token", "show", first["id"].as_str().unwrap()])["state"], "replaced");
    let shown = place.must(&["token", "show", second["id"].as_str().unwrap()]);
    assert!(
        shown.contains("acts as       user alice\n") && shown.contains("last use      never\n"),
        "{shown}"
    );
}
