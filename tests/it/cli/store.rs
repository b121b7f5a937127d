//! `channelgate store migrate`, and a gate over the copy.

use serde_json::Value;

use crate::support::client;
use crate::support::postgres::Cluster;
use crate::support::process::{Place, Process, fixtures};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gate_over_the_migrated_store_serves_the_tokens_of_the_old_one() {
    let place = Place::new();
    place.serve().terminate().expect(0, "the gate ends well");
    let (token, _) = place.create_token("kept");
    let (dead, id) = place.create_token("dead");
    place.must(&["token", "revoke", &id, "--yes"]);
    let to = Cluster::shared().database();
    let tables = place.must_json(&["store", "migrate", "--from", "sqlite:var/channelgate.db", "--to", &to]);
    let tokens = tables.as_array().unwrap().iter().find(|table| table["table"] == "tokens").unwrap();
    assert_eq!((&tokens["rows"], &tokens["written"]), (&Value::from(3), &Value::from(3)));
    assert_eq!(tokens["sha256"].as_str().unwrap().len(), 64);
    let again = place
        .run(&["store", "migrate", "--from", "sqlite:var/channelgate.db", "--to", &to])
        .expect(0, "again");
    assert!(again.out.starts_with("TABLE  "), "{again:?}");
    assert!(again.err.contains("tokens: the same, 3 rows") && again.err.contains("store.url"), "{again:?}");

    place.configure(&format!("store.url = {to:?}\n{}", fixtures()));
    let gate: Process = place.serve();
    let target = |token: &str| format!("/t/{token}/main/noarch/repodata.json");
    assert_eq!(client::ask(gate.data, "GET", &target(&token), &[]).await.verdict(), "200");
    assert_eq!(client::ask(gate.data, "GET", &target(&dead), &[]).await.verdict(), "401 token_revoked");
    let audit = place.run(&["audit", "verify"]).expect(0, "the audit is whole");
    assert!(audit.out.contains("intact"), "{audit:?}");
    gate.terminate().expect(0, "the gate ends well");
}

#[test]
fn mistakes_of_a_migration_are_named() {
    let place = Place::new();
    let refused =
        place.run(&["store", "migrate", "--from", "sqlite:var/none.db", "--to", "sqlite:var/new.db"]);
    let refused = refused.expect(64, "a file that is not there");
    assert!(refused.err.contains("there is no file var/none.db"), "{refused:?}");
    let refused = place.run(&["store", "migrate", "--from", "sqlite:var/a.db", "--to", "sqlite:var/a.db"]);
    assert!(refused.expect(64, "onto itself").err.contains("are the same store"));
}
