//! Requests that no library would send: each gets a problem body, an id and a line in the log.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client::Connection;
use crate::support::gate::Gate;
use crate::support::process::Place;
use crate::support::tls::Identity;

const HOST: &str = "Host: gate.test\r\n";

#[tokio::test]
async fn pasted_masked_token_is_explained_on_every_request_of_a_connection() {
    let gate = Gate::with_fixtures().await;
    let request = format!("GET /t/<TOKEN>/main/noarch/repodata.json HTTP/1.1\r\n{HOST}\r\n");
    let mut kept = Connection::open(gate.data()).await;
    for turn in ["first", "second", "third"] {
        kept.send_raw(&request).await;
        assert_eq!(kept.answer("GET").await.verdict(), "401 token_missing", "{turn}");
        assert_eq!(kept.ask("GET", "/open/noarch/repodata.json", &[]).await.status, 200);
    }
    kept.send_raw(request.repeat(2)).await;
    for _ in 0..2 {
        assert_eq!(kept.answer("GET").await.verdict(), "401 token_missing", "pipelined");
    }
    for byte in request.repeat(2).bytes() {
        kept.send_raw([byte]).await;
    }
    for _ in 0..2 {
        assert_eq!(kept.answer("GET").await.verdict(), "401 token_missing", "byte by byte");
    }
}

#[tokio::test]
async fn bytes_that_no_path_may_have_are_judged_by_the_rules_of_paths() {
    let gate = Gate::with_fixtures().await;
    let mut kept = Connection::open(gate.data()).await;
    for (name, bytes) in [
        ("NUL", &b"\0"[..]),
        ("tab", b"\t"),
        ("carriage return", b"\r"),
        ("escape", b"\x1b[2J"),
        ("delete", b"\x7f"),
        ("not UTF-8", b"\xff"),
        ("UTF-8 cut short", b"\xe2\x82"),
    ] {
        let request = [b"GET /open/noarch/a", bytes, b"b HTTP/1.1\r\n", HOST.as_bytes(), b"\r\n"].concat();
        kept.send_raw(request).await;
        assert_eq!(kept.answer("GET").await.verdict(), "400 path_invalid", "{name}");
    }
}

#[tokio::test]
async fn head_that_is_no_http_gets_a_problem_body() {
    let gate = Gate::with_fixtures().await;
    let target = "/open/noarch/repodata.json";
    let with = |lines: &str| format!("GET {target} HTTP/1.1\r\n{HOST}{lines}\r\n").into_bytes();
    for (name, request, expected) in [
        ("nonsense", b"nonsense\r\n\r\n".to_vec(), "400 request_invalid"),
        (
            "space in the target",
            format!("GET {target} x HTTP/1.1\r\n{HOST}\r\n").into(),
            "400 request_invalid",
        ),
        ("two spaces", format!("GET  {target} HTTP/1.1\r\n{HOST}\r\n").into(), "400 request_invalid"),
        ("no slash", format!("GET open/noarch/x HTTP/1.1\r\n{HOST}\r\n").into(), "400 request_invalid"),
        ("another version", format!("GET {target} HTTP/3.0\r\n{HOST}\r\n").into(), "400 request_invalid"),
        (
            "control in the query",
            format!("GET {target}?\x01 HTTP/1.1\r\n{HOST}\r\n").into(),
            "400 request_invalid",
        ),
        ("control in a value", with("X: a\x01b\r\n"), "400 request_invalid"),
        ("NUL in a value", with("X: a\0b\r\n"), "400 request_invalid"),
        ("bare carriage return", with("X: a\rb\r\n"), "400 request_invalid"),
        ("space before the colon", with("X : a\r\n"), "400 request_invalid"),
        ("no colon", with("X\r\n"), "400 request_invalid"),
        ("folded", with("X: a\r\n b\r\n"), "400 request_invalid"),
        ("two lengths", with("Content-Length: 1\r\nContent-Length: 2\r\n"), "400 request_invalid"),
        ("length that is none", with("Content-Length: -1\r\n"), "400 request_invalid"),
        ("too long", with(&format!("X: {}\r\n", "x".repeat(40_000))), "431 request_invalid"),
        ("line too long", format!("GET /{}", "x".repeat(40_000)).into(), "431 request_invalid"),
        ("too many fields", with(&"X: y\r\n".repeat(101)), "431 request_invalid"),
    ] {
        for before in [0, 2] {
            let mut client = Connection::open(gate.data()).await;
            for _ in 0..before {
                assert_eq!(client.ask("GET", target, &[]).await.status, 200);
            }
            client.send_raw(&request).await;
            let reply = client.answer("GET").await;
            assert_eq!(reply.verdict(), expected, "{name}, after {before}");
            let problem = reply.json();
            assert_eq!(problem["status"], reply.status, "{name}");
            assert_eq!(problem["request_id"].as_str(), reply.header("x-request-id"), "{name}");
            for member in ["type", "title", "detail", "reason", "message"] {
                assert!(!problem[member].as_str().unwrap().is_empty(), "{name}: {member}");
            }
            for (header, value) in [
                ("cache-control", "no-store"),
                ("content-security-policy", "sandbox; default-src 'none'"),
                ("x-content-type-options", "nosniff"),
                ("connection", "close"),
            ] {
                assert_eq!(reply.header(header), Some(value), "{name}");
            }
            assert!(reply.header("date").is_some(), "{name}");
            assert!(client.rest().await.is_empty(), "{name}: and the connection ends");
        }
    }
}

#[tokio::test]
async fn head_that_is_no_http_is_logged_and_counted_once() {
    let place = Place::empty();
    place.configure("log.format = \"json\"\n");
    let gate = place.serve();
    let mut client = Connection::open(gate.data).await;
    client.send_raw("GET / HTTP/1.1\r\nHost: x\r\nX: a-secret\x01\r\n\r\n").await;
    let reply = client.answer("GET").await;
    let id = reply.header("x-request-id").unwrap();
    let start = Instant::now();
    let lines = loop {
        let lines: Vec<Value> = gate
            .words()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| line["target"] == "access")
            .collect();
        if !lines.is_empty() {
            break lines;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "no line");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    for (field, expected) in [
        ("request_id", id),
        ("code", "request_invalid"),
        ("outcome", "bad_request"),
        ("method", "other"),
        ("path", "<unparsable>"),
        ("client", "127.0.0.1"),
    ] {
        assert_eq!(line[field], expected, "{field}");
    }
    assert_eq!(line["status"], 400);
    assert_eq!(line["bytes"], reply.body.len());
    assert!(!gate.words().contains("a-secret"));
}

#[tokio::test]
async fn admin_plane_answers_a_malformed_head_with_a_problem_as_well() {
    let gate = Gate::with_fixtures().await;
    let mut client = Connection::open(gate.admin()).await;
    client.send_raw("nonsense\r\n\r\n").await;
    let reply = client.answer("GET").await;
    assert_eq!(reply.verdict(), "400 request_invalid");
    assert_eq!(reply.json()["request_id"].as_str(), reply.header("x-request-id"));
}

#[tokio::test]
async fn tls_changes_nothing_about_malformed_requests() {
    let identity = Identity::new();
    let gate = Gate::builder().fixtures().settings(&identity.setting()).start().await;
    let mut client = Connection::over(identity.connect(gate.data(), &[b"http/1.1"]).await);
    let request = format!("GET /t/<TOKEN>/main/noarch/repodata.json HTTP/1.1\r\n{HOST}\r\n");
    for _ in 0..2 {
        client.send_raw(&request).await;
        assert_eq!(client.answer("GET").await.verdict(), "401 token_missing");
    }
    client.send_raw("nonsense\r\n\r\n").await;
    let reply = client.answer("GET").await;
    assert_eq!((reply.verdict().as_str(), reply.complete), ("400 request_invalid", true));
}
