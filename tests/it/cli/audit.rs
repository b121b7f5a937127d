//! The audit on the command line, and completions.

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use crate::support::process::Place;

fn actions(records: &Value) -> Vec<&str> {
    records.as_array().unwrap().iter().map(|record| record["action"].as_str().unwrap()).collect()
}

#[test]
fn every_change_is_told_with_who_and_what() {
    let place = Place::new();
    assert_eq!(place.must_json(&["audit"]), serde_json::json!([]));
    place.must(&["org", "create", "default"]);
    place.must(&["org", "create", "beta"]);
    place.must(&["seat", "assign", "default", "alice"]);
    let token = place.must_json(&["token", "issue", "default", "--user", "alice"]);
    place.must(&["org", "cancel", "default", "--yes"]);

    let records = place.must_json(&["audit", "--org", "default"]);
    assert_eq!(actions(&records), ["org.create", "seat.assign", "token.issue", "org.cancel"]);
    let issue = &records[2];
    assert_eq!((&issue["org"], &issue["user"]), (&"default".into(), &"alice".into()));
    assert_eq!(issue["target"], token["id"]);
    let actor = issue["actor"].as_str().unwrap();
    assert!(actor.starts_with("cli:") && actor.contains('@'), "{actor}");
    assert!(issue["at"].as_str().unwrap().ends_with('Z') && issue["address"].is_null());
    assert!(issue["before"].is_null() && issue["after"].is_object(), "{issue}");
    assert!(!records.to_string().contains(token["token"].as_str().unwrap()), "no value is written down");

    assert_eq!(place.must_json(&["audit"]).as_array().unwrap().len(), 5);
    assert_eq!(place.must_json(&["audit", "--since", "1h"]).as_array().unwrap().len(), 5);
    assert_eq!(place.must_json(&["audit", "--since", "2000-01-01"]).as_array().unwrap().len(), 5);
    assert_eq!(place.must_json(&["audit", "--since", "2100-01-01T00:00:00Z"]), serde_json::json!([]));
    let table = place.must(&["audit", "--org", "beta"]);
    assert!(table.starts_with("NO") && table.lines().count() == 2 && table.contains("org.create"), "{table}");
    place.run(&["audit", "--org", "none"]).expect(1, "no organization");
    let done = place.run(&["audit", "--since", "soon"]).expect(64, "no moment");
    assert!(done.err.contains("how long ago (24h, 30d)"), "{done:?}");
}

#[tokio::test]
async fn tampering_and_a_cut_are_found() {
    let place = Place::new();
    for name in ["one", "two", "three"] {
        place.must(&["org", "create", name]);
    }
    let verdict = place.must_json(&["audit", "verify"]);
    assert_eq!((&verdict["intact"], &verdict["records"]), (&true.into(), &3.into()));
    let head = verdict["head"].as_str().unwrap().to_owned();
    let done = place.run(&["audit", "verify", "--head", &head]).expect(0, "the head");
    assert!(done.out.contains("intact") && done.out.contains(&head), "{done:?}");
    place.must(&["org", "create", "four"]);
    place.run(&["audit", "verify", "--head", &head]).expect(0, "an earlier head");
    place.run(&["audit", "verify", "--head", "abc"]).expect(64, "no hash");
    place.run(&["audit", "--org", "one", "verify"]).expect(64, "a part of it");
    assert_eq!(
        place.run(&["audit", "--yes", "--json", "verify"]).expect(0, "flags before").json()["records"],
        4
    );

    // Whoever owns the file can take the triggers away that keep the audit append-only.
    let rewrite = async |statements: &str| {
        let options = SqliteConnectOptions::new().filename(place.path("var/channelgate.db"));
        let mut connection = options.connect().await.unwrap();
        let freely = format!(
            "DROP TRIGGER IF EXISTS audit_is_not_rewritten; DROP TRIGGER IF EXISTS audit_is_not_shortened; {statements}"
        );
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(freely))).await.unwrap();
        connection.close().await.unwrap();
    };
    let latest = place.must_json(&["audit", "verify"])["head"].as_str().unwrap().to_owned();
    rewrite("DELETE FROM audit WHERE seq = 4").await;
    place.run(&["audit", "verify"]).expect(0, "a cut leaves a whole chain");
    let done = place.run(&["audit", "verify", "--head", &latest, "--json"]).expect(1, "but not the head");
    assert_eq!((&done.json()["intact"], &done.json()["first_bad"]), (&false.into(), &4.into()));

    rewrite("UPDATE audit SET target = 'another' WHERE seq = 2").await;
    let done = place.run(&["audit", "verify"]).expect(1, "tampered with");
    assert!(done.out.contains("not intact") && done.out.contains("record 2 was tampered with"), "{done:?}");
    assert_eq!(place.run(&["audit", "verify", "--json"]).expect(1, "as JSON").json()["first_bad"], 2);
}

#[test]
fn shells_are_given_completions() {
    let place = Place::empty();
    for (shell, words) in [
        ("bash", "complete -F _channelgate"),
        ("zsh", "#compdef channelgate"),
        ("fish", "complete -c channelgate"),
    ] {
        let script = place.must(&["completions", shell]);
        assert!(script.contains(words) && script.contains("unrestrict"), "{shell}: {script}");
    }
    place.run(&["completions", "tcsh"]).expect(64, "another shell");
}
