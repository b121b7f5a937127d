//! Groups on the command line.

use serde_json::json;

use crate::support::process::{Place, channel, fixture_url, fixtures};

#[test]
fn group_has_users_and_grants() {
    let place = Place::new();
    place.must(&["org", "create", "acme"]);
    place.must(&["seat", "assign", "acme", "alice"]);
    let group = place.must_json(&["group", "create", "acme", "builders"]);
    assert_eq!((&group["org"], &group["name"]), (&"acme".into(), &"builders".into()));
    assert_eq!((&group["members"], &group["grants"]), (&json!([]), &json!([])));
    place.run(&["group", "create", "acme", "builders"]).expect(1, "twice");
    place.run(&["group", "create", "acme", "Builders"]).expect(64, "a name that cannot be");
    place.run(&["group", "create", "none", "builders"]).expect(1, "no organization");

    assert_eq!(place.must_json(&["group", "add", "acme", "builders", "alice"])["members"], json!(["alice"]));
    let done = place.run(&["group", "add", "acme", "builders", "bob"]).expect(1, "no seat");
    assert!(done.err.contains("has no seat"), "{done:?}");
    place.run(&["group", "add", "acme", "testers", "alice"]).expect(1, "no group");

    let grant = ["group", "grant", "acme", "builders", "main"];
    let done = place.run(&[&grant[..], &["--json"]].concat()).expect(0, "grant");
    assert_eq!(
        done.json()["grants"],
        json!([{"channel": "main", "permission": "read", "packages": [], "labels": []}])
    );
    assert!(done.err.contains("only granted groups") && done.err.contains("group unrestrict acme main"));
    let done = place.run(&[&grant[..], &["--permission", "write", "--json"]].concat()).expect(0, "more");
    assert_eq!(
        done.json()["grants"],
        json!([{"channel": "main", "permission": "write", "packages": [], "labels": []}])
    );
    assert!(done.err.is_empty(), "it is restricted already: {done:?}");
    let listed = place.must(&["group", "list", "acme"]);
    assert!(listed.contains("builders  alice  main (write)"), "{listed}");

    let remove = ["group", "remove", "acme", "builders", "alice"];
    place.run(&remove).expect(64, "nobody can be asked");
    assert_eq!(place.must_json(&[&remove[..], &["--yes"]].concat())["members"], json!([]));
    place.run(&[&remove[..], &["--yes"]].concat()).expect(1, "not in it");

    assert_eq!(place.must_json(&["group", "ungrant", "acme", "builders", "main"])["grants"], json!([]));
    place.run(&["group", "ungrant", "acme", "builders", "main"]).expect(1, "twice");
    let done = place.run(&["group", "list", "acme"]).expect(0, "list");
    assert!(done.err.contains("\"main\" is restricted to groups, and granted to none"), "{done:?}");
    let opened = place.must_json(&["group", "unrestrict", "acme", "main"]);
    assert_eq!(opened, json!({"org": "acme", "channel": "main", "groups": []}));
    let done = place.run(&["group", "unrestrict", "acme", "main"]).expect(1, "twice");
    assert!(done.err.contains("has not restricted channel \"main\""), "{done:?}");
    assert!(place.run(&["group", "list", "acme"]).expect(0, "list").err.is_empty());
}

#[test]
fn grant_is_for_packages_and_labels_where_it_says_so() {
    let place = Place::new();
    place.must(&["org", "create", "acme"]);
    place.must(&["group", "create", "acme", "builders"]);
    let grant = ["group", "grant", "acme", "builders", "main"];
    let narrowed = ["--packages", "scipy, NumPy*", "--labels", "main,dev"];
    let group = place.must_json(&[&grant[..], &narrowed].concat());
    let expected = json!([
        {"channel": "main", "permission": "read", "packages": ["numpy*", "scipy"], "labels": ["dev", "main"]}
    ]);
    assert_eq!(group["grants"], expected);
    assert_eq!(place.must_json(&["group", "list", "acme"])[0]["grants"], expected);
    let list = place.run(&["group", "list", "acme"]).expect(0, "list").out;
    assert!(list.contains("main (read, packages numpy* scipy, labels dev main)"), "{list}");
    // Each option may also be given again.
    let again = place.must_json(&[&grant[..], &["--packages", "a", "--packages", "b"]].concat());
    assert_eq!(again["grants"][0]["packages"], json!(["a", "b"]));
    assert_eq!(again["grants"][0]["labels"], json!([]), "another grant takes the place of the one before");
    let audit = place.must_json(&["audit"]);
    let last = audit.as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["before"]["grants"]["main"], &last["after"]["grants"]["main"]),
        (
            &json!({"permission": "read", "packages": ["numpy*", "scipy"], "labels": ["dev", "main"]}),
            &json!({"permission": "read", "packages": ["a", "b"], "labels": []})
        )
    );
}

#[test]
fn grant_is_refused_where_it_would_mislead() {
    let place = Place::with("");
    let closed = channel("other", "private", &fixture_url()) + "orgs = [\"beta\"]\n";
    place.configure(&(fixtures() + &closed));
    place.must(&["org", "create", "acme"]);
    place.must(&["group", "create", "acme", "builders"]);
    let grant = |more: &[&'static str]| place.run(&[&["group", "grant", "acme", "builders"], more].concat());
    for (option, value, told) in [
        ("--packages", "numpy>=1", "is no glob of package names"),
        ("--packages", "numpy,,scipy", "is no glob of package names"),
        ("--labels", "a/b", "cannot be a label"),
        ("--labels", "", "cannot be a label"),
    ] {
        let done = grant(&["main", option, value]).expect(64, value);
        assert!(done.err.contains(told) && done.out.is_empty(), "{done:?}");
    }
    let done = grant(&["open"]).expect(64, "public");
    assert!(done.err.contains("\"open\" is public"), "{done:?}");
    grant(&["main", "--permission", "all"]).expect(64, "no permission");
    grant(&["Main"]).expect(64, "no channel's name");
    assert_eq!(place.must_json(&["group", "list", "acme"])[0]["grants"], json!([]), "nothing was changed");

    let done = grant(&["mian"]).expect(0, "not configured");
    assert!(done.err.contains("there is no channel \"mian\" in the configuration (main, open, other)"));
    let done = grant(&["other"]).expect(0, "another organization's");
    assert!(done.err.contains("\"other\" is not open to organization \"acme\""), "{done:?}");
}
