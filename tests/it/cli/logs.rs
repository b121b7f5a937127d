//! The log on standard error: one line a request, for people or as JSON.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::client;
use crate::support::process::Place;

/// What an access line says, whatever came of the request.
const ALWAYS: &[&str] = &[
    "bytes",
    "cache",
    "client",
    "code",
    "first_byte_ms",
    "level",
    "method",
    "outcome",
    "path",
    "request_id",
    "status",
    "target",
    "timestamp",
    "total_ms",
];

async fn requests(place: &Place, gate: &crate::support::process::Process) -> [String; 3] {
    let token = place.bootstrap_token();
    let mut ids = [const { String::new() }; 3];
    let targets = [
        format!("/t/{token}/main/noarch/repodata.json"),
        "/main/noarch/repodata.json".to_owned(),
        "/open/%2e%2e/secret".to_owned(),
    ];
    for (id, target) in ids.iter_mut().zip(targets) {
        let reply = client::ask(gate.data, "GET", &target, &[]).await;
        id.push_str(reply.header("x-request-id").unwrap());
    }
    ids
}

#[tokio::test]
async fn json_log_is_an_object_a_line_with_every_field() {
    let place = Place::with("log.format = \"json\"");
    place.must(&["org", "create", "default"]);
    place.serve().terminate();
    let gate = place.serve();
    let ids = requests(&place, &gate).await;
    let done = gate.terminate();
    let (ready, lines): (Vec<&str>, Vec<&str>) =
        done.err.lines().partition(|line| line.starts_with("channelgate ready "));
    assert_eq!(ready.len(), 1);
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let access = |id: &str| {
        let mut found = lines.iter().filter(|line| line["request_id"] == id);
        let line = found.next().unwrap_or_else(|| panic!("{id} is not in {lines:?}"));
        assert!(found.next().is_none(), "two lines for one request");
        line
    };
    let keys = |line: &Value| -> BTreeSet<String> { line.as_object().unwrap().keys().cloned().collect() };
    let expected =
        |more: &[&str]| ALWAYS.iter().chain(more).map(|&key| key.to_owned()).collect::<BTreeSet<_>>();

    let served = access(&ids[0]);
    assert_eq!(keys(served), expected(&["token", "org", "carrier", "channel"]));
    let index =
        std::fs::metadata(crate::support::gate::fixture_channel().join("noarch/repodata.json")).unwrap();
    for (key, value) in [
        ("method", "GET".into()),
        ("path", "/t/<TOKEN>/main/noarch/repodata.json".into()),
        ("status", 200.into()),
        ("code", "ok".into()),
        ("outcome", "served".into()),
        ("token", place.must_json(&["token", "list", "default"])[0]["id"].clone()),
        ("org", "default".into()),
        ("carrier", "path".into()),
        ("channel", "main".into()),
        ("bytes", index.len().into()),
        ("client", "127.0.0.1".into()),
        ("level", "INFO".into()),
        ("target", "access".into()),
    ] {
        assert_eq!(served[key], value, "{key}: {served}");
    }
    assert!(served["first_byte_ms"].as_f64().unwrap() <= served["total_ms"].as_f64().unwrap(), "{served}");
    assert!(served["cache"].is_string() && served["timestamp"].is_string(), "{served}");

    let refused = access(&ids[1]);
    assert_eq!(keys(refused), expected(&[]));
    assert_eq!((&refused["status"], &refused["code"]), (&401.into(), &"token_missing".into()));
    let unreadable = access(&ids[2]);
    assert_eq!(keys(unreadable), expected(&[]));
    assert_eq!((&unreadable["path"], &unreadable["code"]), (&"<unparsable>".into(), &"path_invalid".into()));
}

#[tokio::test]
async fn human_log_is_a_plain_line_a_request() {
    let place = Place::new();
    let gate = place.serve();
    let [served, ..] = requests(&place, &gate).await;
    let done = gate.terminate();
    let lines: Vec<&str> = done.err.lines().filter(|line| line.contains(&served)).collect();
    let [line] = lines[..] else { panic!("{done:?}") };
    for field in [
        "INFO access: ",
        "method=\"GET\"",
        "path=/t/<TOKEN>/main/noarch/repodata.json",
        "status=200",
        "org=default",
    ] {
        assert!(line.contains(field), "{field}: {line}");
    }
    assert!(!done.err.contains('\u{1b}'), "no colour where there is no terminal");
}

#[tokio::test]
async fn level_leaves_out_what_is_less_important() {
    let place = Place::with("log.level = \"warn\"\ncache.directory = \"var/cache\"");
    place.serve().terminate();
    let gate = place.serve();
    requests(&place, &gate).await;
    let done = gate.terminate();
    assert_eq!(done.err.lines().count(), 1, "the ready line alone: {done:?}");
}
