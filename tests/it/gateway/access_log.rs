//! The access log: one line a request, when its response is over, with everything an operator asks for.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client::{Connection, ask};
use crate::support::faulty::{Faulty, Reply};
use crate::support::process::{Place, Process, channel};

/// The lines with this field, once there is one.
async fn lines(gate: &Process, field: &str, value: &str) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let said = gate.words();
        let found: Vec<Value> = said
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|line| line["target"] == "access" && line[field] == value)
            .collect();
        if !found.is_empty() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "no line with {field} {value}: {said}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn start() -> (Faulty, Place, Process) {
    let upstream = Faulty::start(|seen| match seen.target.rsplit('/').next().unwrap_or_default() {
        "stalls.conda" => Reply::nothing().stall(),
        "short.conda" => Reply::new(200).body("half").wait(Duration::from_millis(30)).announce(8).close(),
        _ => Reply::new(200).header("ETag", "\"1\"").body("all of it"),
    })
    .await;
    let place = Place::empty();
    place.configure(&format!(
        "log.format = \"json\"\nlisten.trusted_proxies = [\"127.0.0.1\"]\n{}{}",
        channel("main", "private", &upstream.url("")),
        channel("open", "public", &upstream.url(""))
    ));
    let gate = place.serve();
    (upstream, place, gate)
}

#[tokio::test]
async fn every_request_has_one_line_that_tells_its_story() {
    let (_upstream, place, gate) = start().await;
    let token = place.bootstrap_token();
    let authorization = format!("Bearer {token}");
    let bearer = [("authorization", authorization.as_str()), ("x-forwarded-for", "192.0.2.66, 203.0.113.5")];
    // Target, headers; path, status, code, outcome, carrier, channel, bytes, client.
    for (method, target, headers, told) in [
        (
            "GET",
            format!("/t/{token}/main/noarch/x.conda?q"),
            &[][..],
            ["/t/<TOKEN>/main/noarch/x.conda", "200", "ok", "served", "path", "main", "9", "127.0.0.1"],
        ),
        (
            "GET",
            "/main/noarch/x.conda".into(),
            &bearer[..],
            ["/main/noarch/x.conda", "200", "ok", "served", "bearer", "main", "9", "203.0.113.5"],
        ),
        (
            "HEAD",
            "/open/noarch/x.conda".into(),
            &[][..],
            ["/open/noarch/x.conda", "200", "ok", "served", "", "open", "0", "127.0.0.1"],
        ),
        (
            "GET",
            "/open/noarch/x.conda".into(),
            &[("if-none-match", "\"1\"")][..],
            ["/open/noarch/x.conda", "304", "ok", "not_modified", "", "open", "0", "127.0.0.1"],
        ),
        (
            "GET",
            "/open/noarch/short.conda".into(),
            &[][..],
            ["/open/noarch/short.conda", "200", "ok", "aborted", "", "open", "4", "127.0.0.1"],
        ),
        (
            "HEAD",
            "/main/noarch/x.conda".into(),
            &[][..],
            ["/main/noarch/x.conda", "401", "token_missing", "denied", "", "", "0", "127.0.0.1"],
        ),
        (
            "GET",
            format!("/t/{token}/../main"),
            &[][..],
            ["<unparsable>", "400", "path_invalid", "bad_request", "", "", "", "127.0.0.1"],
        ),
        (
            "BREW",
            "/open/noarch/x.conda".into(),
            &[][..],
            ["/open/noarch/x.conda", "405", "method_not_allowed", "bad_request", "", "", "", "127.0.0.1"],
        ),
    ] {
        let reply = ask(gate.data, method, &target, headers).await;
        let id = reply.header("x-request-id").unwrap();
        let mut found = lines(&gate, "request_id", id).await;
        assert_eq!(found.len(), 1, "{target}");
        let line = found.remove(0);
        let [path, status, code, outcome, carrier, channel, bytes, client] = told;
        let field = |name: &str| match &line[name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        for (name, expected) in [
            ("path", path),
            ("status", status),
            ("code", code),
            ("outcome", outcome),
            ("carrier", carrier),
            ("channel", channel),
            ("client", client),
        ] {
            assert_eq!(field(name), expected, "{target}: {name}");
        }
        if !bytes.is_empty() {
            assert_eq!(field("bytes"), bytes, "{target}: bytes");
        }
        assert_eq!(field("method"), if method == "BREW" { "other" } else { method });
        assert_eq!(field("token").is_empty(), carrier.is_empty(), "{target}: token");
        assert_eq!(field("org"), if carrier.is_empty() { "" } else { "default" }, "{target}");
        assert!(line["first_byte_ms"].as_f64().unwrap() <= line["total_ms"].as_f64().unwrap(), "{target}");
    }
}

/// Who leaves before there is an answer was not served, and no status says so.
#[tokio::test]
async fn client_that_left_early_is_told_as_such() {
    let (upstream, _place, gate) = start().await;
    let mut client = Connection::open(gate.data).await;
    client.send("GET", "/open/noarch/stalls.conda", &[]).await;
    let start = Instant::now();
    while upstream.seen().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(client);
    let line = &lines(&gate, "path", "/open/noarch/stalls.conda").await[0];
    assert_eq!((&line["code"], &line["outcome"]), (&"client_gone".into(), &"aborted".into()));
    assert_eq!(line["status"], Value::Null);
}
