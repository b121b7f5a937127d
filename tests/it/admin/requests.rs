//! Whatever is wrong with a request becomes a problem, and lists come page by page.

use serde_json::{Value, json};

use super::stage::{Stage, send};
use crate::support::client::Reply;
use crate::support::gate::Gate;

fn assert_problem(name: &str, reply: &Reply) {
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{name}");
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{name}");
    let problem = reply.json();
    assert_eq!(problem["status"], reply.status, "{name}");
    for member in ["type", "title", "detail", "code", "reason", "message", "request_id"] {
        assert!(problem[member].is_string(), "{name}: {member}");
    }
    assert_eq!(problem["request_id"].as_str(), reply.header("x-request-id"), "{name}");
}

#[tokio::test]
async fn whatever_is_wrong_becomes_a_problem_that_says_what() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let authorization = format!("Bearer {}", root.value);
    let tokens = "/api/v1/organizations/acme/tokens";
    let json_type = ("Content-Type", "application/json");
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(70_000));
    for (name, method, path, header, body, expected, says) in [
        ("no route", "GET", "/api/v1/nothing", json_type, "", "404 not_found", "openapi.json"),
        ("no version", "GET", "/api", json_type, "", "404 not_found", ""),
        ("deeper", "GET", "/api/v1/organizations/acme/seats/alice/x", json_type, "", "404 not_found", ""),
        ("method", "PATCH", tokens, json_type, "{}", "405 method_not_allowed", "Allow"),
        ("unknown method", "BREW", tokens, json_type, "", "405 method_not_allowed", ""),
        (
            "no type",
            "POST",
            tokens,
            ("Content-Type", "text/plain"),
            "{}",
            "415 media_type_unsupported",
            "application/json",
        ),
        ("no body", "POST", tokens, json_type, "", "400 request_invalid", "EOF"),
        ("no JSON", "POST", tokens, json_type, "{", "400 request_invalid", "EOF"),
        ("more than JSON", "POST", tokens, json_type, "{}{}", "400 request_invalid", "trailing"),
        ("array", "POST", tokens, json_type, "[\"ci\", [\"repos\"]]", "422 value_invalid", "object"),
        ("text", "POST", tokens, json_type, "\"ci\"", "422 value_invalid", "object"),
        ("member missing", "POST", tokens, json_type, "{\"name\":\"ci\"}", "422 value_invalid", "`scopes`"),
        ("member unknown", "POST", tokens, json_type, "{\"nom\":\"ci\"}", "422 value_invalid", "`nom`"),
        (
            "member twice",
            "POST",
            tokens,
            json_type,
            "{\"name\":\"a\",\"name\":\"b\"}",
            "422 value_invalid",
            "duplicate",
        ),
        (
            "scope unknown",
            "POST",
            tokens,
            json_type,
            "{\"name\":\"ci\",\"scopes\":[\"write\"]}",
            "422 value_invalid",
            "api:modify-group",
        ),
        (
            "no scopes",
            "POST",
            tokens,
            json_type,
            "{\"name\":\"ci\",\"scopes\":[]}",
            "422 value_invalid",
            "one scope",
        ),
        (
            "no channels",
            "POST",
            tokens,
            json_type,
            "{\"name\":\"ci\",\"scopes\":[\"all\"],\"channels\":[]}",
            "422 value_invalid",
            "channel",
        ),
        (
            "both ends",
            "POST",
            tokens,
            json_type,
            "{\"name\":\"c\",\"scopes\":[\"all\"],\"expires_in\":\"1d\",\"expires_at\":\"2099-01-01\"}",
            "422 value_invalid",
            "expires_at",
        ),
        (
            "past",
            "POST",
            tokens,
            json_type,
            "{\"name\":\"c\",\"scopes\":[\"all\"],\"expires_at\":\"2001-01-01\"}",
            "422 value_invalid",
            "passed",
        ),
        (
            "both actors",
            "POST",
            tokens,
            json_type,
            "{\"name\":\"c\",\"scopes\":[\"all\"],\"user\":\"alice\",\"group\":\"x\"}",
            "422 value_invalid",
            "not as both",
        ),
        ("too long", "POST", tokens, json_type, &long, "413 request_too_large", "65536"),
        (
            "role",
            "PUT",
            "/api/v1/organizations/acme/seats/carol",
            json_type,
            "{\"role\":\"king\"}",
            "422 value_invalid",
            "member, admin",
        ),
        (
            "user's name",
            "PUT",
            "/api/v1/organizations/acme/seats/%20",
            json_type,
            "",
            "422 value_invalid",
            "user",
        ),
        (
            "user's name, read",
            "GET",
            "/api/v1/organizations/acme/seats/%20",
            json_type,
            "",
            "404 not_found",
            "",
        ),
        (
            "escapes",
            "GET",
            "/api/v1/organizations/acme/seats/%ff",
            json_type,
            "",
            "400 request_invalid",
            "UTF-8",
        ),
        ("id", "GET", "/api/v1/organizations/acme/tokens/7", json_type, "", "404 not_found", ""),
        (
            "limit",
            "GET",
            "/api/v1/organizations/acme/seats?limit=0",
            json_type,
            "",
            "400 request_invalid",
            "1 to 1000",
        ),
        (
            "limit, too many",
            "GET",
            "/api/v1/organizations/acme/seats?limit=1001",
            json_type,
            "",
            "400 request_invalid",
            "1 to 1000",
        ),
        (
            "limit, no number",
            "GET",
            "/api/v1/organizations/acme/seats?limit=x",
            json_type,
            "",
            "400 request_invalid",
            "limit",
        ),
        (
            "query unknown",
            "GET",
            "/api/v1/organizations/acme/seats?page=2",
            json_type,
            "",
            "400 request_invalid",
            "`page`",
        ),
        (
            "since",
            "GET",
            "/api/v1/organizations/acme/audit?since=yesterday",
            json_type,
            "",
            "400 request_invalid",
            "RFC 3339",
        ),
        (
            "key",
            "POST",
            "/api/v1/organizations/acme/groups",
            ("Idempotency-Key", ""),
            "{\"name\":\"x\"}",
            "400 request_invalid",
            "Idempotency-Key",
        ),
        (
            "condition",
            "PUT",
            "/api/v1/organizations/acme/seats/carol",
            ("If-None-Match", "\"x\""),
            "",
            "400 request_invalid",
            "If-None-Match",
        ),
    ] {
        let headers = [("Authorization", authorization.as_str()), header];
        let reply = send(stage.gate.admin(), method, path, &headers, body).await;
        assert_eq!(reply.verdict(), expected, "{name}: {}", reply.json());
        assert_problem(name, &reply);
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{name}: {detail}");
        if reply.status == 405 {
            let mut allowed: Vec<_> = reply.header("allow").unwrap().split(',').map(str::trim).collect();
            allowed.sort_unstable();
            assert_eq!(allowed, ["GET", "HEAD", "POST"], "{name}");
        }
        let head = send(stage.gate.admin(), "HEAD", path, &headers[..1], "").await;
        assert!(head.body.is_empty() && head.complete, "{name}");
    }
}

#[tokio::test]
async fn slow_bodies_time_out() {
    let gate = Gate::builder().fixtures().settings("limits.request_body_timeout = \"100ms\"").start().await;
    let stage = Stage::at(gate).await;
    let root = stage.token("acme", "all").await;
    let headers = [
        ("Authorization", format!("Bearer {}", root.value)),
        ("Content-Type", "application/json".to_owned()),
        ("Content-Length", "100".to_owned()),
    ];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut connection = crate::support::client::Connection::open(stage.gate.admin()).await;
    connection.send("POST", "/api/v1/organizations/acme/groups", &headers).await;
    connection.send_raw("{").await;
    let reply = connection.answer("POST").await;
    assert_eq!(reply.verdict(), "408 request_timeout");
    assert_problem("slow body", &reply);
}

#[tokio::test]
async fn lost_store_is_passing_trouble() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    assert_eq!(stage.get(&root, "/api/v1/organizations/acme").await.status, 200);
    let file = stage.gate.directory.path().join("var/channelgate.db");
    std::fs::rename(&file, file.with_extension("away")).unwrap();
    for (method, path, body) in [
        ("GET", "/api/v1/organizations/acme", Value::Null),
        ("GET", "/api/v1/organizations/acme/seats", Value::Null),
        ("PUT", "/api/v1/organizations/acme/seats/carol", Value::Null),
        ("POST", "/api/v1/organizations/acme/tokens", json!({"name": "ci", "scopes": ["repos"]})),
    ] {
        let reply = stage.ask(&root, method, path, &[], &body).await;
        assert_eq!(reply.verdict(), "503 store_unavailable", "{method} {path}");
        assert!(reply.header("retry-after").is_some(), "{method} {path}");
    }
    std::fs::rename(file.with_extension("away"), &file).unwrap();
    assert_eq!(
        stage.get(&root, "/api/v1/organizations/acme/seats/carol").await.status,
        404,
        "nothing was made"
    );
}

/// Follows the header Link until there is none.
async fn walk(stage: &Stage, token: &crate::support::gate::Issued, first: &str) -> (Vec<Value>, usize) {
    let (mut path, mut things, mut pages) = (first.to_owned(), Vec::new(), 0);
    loop {
        let reply = stage.get(token, &path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.json());
        things.extend(reply.json().as_array().unwrap().iter().cloned());
        pages += 1;
        let Some(link) = reply.header("link") else { return (things, pages) };
        let (target, relation) = link.split_once('>').unwrap();
        assert_eq!(relation, "; rel=\"next\"");
        path = target.strip_prefix('<').unwrap().to_owned();
    }
}

#[tokio::test]
async fn lists_are_walked_page_by_page() {
    let stage = Stage::new().await;
    let (root, operator) = (stage.token("acme", "all").await, stage.operator("all").await);
    let at = |rest: &str| format!("/api/v1/organizations/acme/{rest}");
    stage.post(&root, &at("groups"), json!({"name": "g0"})).await;
    for number in 1..7 {
        stage.put(&root, &at(&format!("seats/u+{number}@x.org")), Value::Null).await;
        stage.post(&root, &at("groups"), json!({"name": format!("g{number}")})).await;
        stage.put(&root, &at(&format!("groups/g0/grants/a%2Fc{number}")), Value::Null).await;
        stage.post(&operator, "/api/v1/organizations", json!({"name": format!("o{number}")})).await;
        let wish = json!({"name": format!("t{number}"), "scopes": ["repos"], "expires_in": "1h"});
        stage.post(&root, &at("tokens"), wish).await;
    }
    for (path, count, key) in [
        (at("seats"), 8, "user"),
        (at("groups"), 7, "name"),
        (at("restrictions"), 6, "channel"),
        (at("tokens"), 8, "id"),
        (at("tokens?expiring=2h"), 6, "id"),
        (at("audit?since=2000-01-01"), 0, "seq"),
        ("/api/v1/organizations".to_owned(), 9, "name"),
        ("/api/v1/audit".to_owned(), 0, "seq"),
    ] {
        let separator = if path.contains('?') { '&' } else { '?' };
        let (whole, pages) = walk(&stage, &operator, &format!("{path}{separator}limit=1000")).await;
        assert_eq!(pages, 1, "{path}");
        assert!(if count == 0 { whole.len() > 20 } else { whole.len() == count }, "{path}: {}", whole.len());
        for limit in [1, 3, whole.len(), whole.len() + 1] {
            let (walked, pages) = walk(&stage, &operator, &format!("{path}{separator}limit={limit}")).await;
            let names = |things: &[Value]| things.iter().map(|thing| thing[key].clone()).collect::<Vec<_>>();
            assert_eq!(names(&walked), names(&whole), "{path} by {limit}");
            if !path.contains("expiring") {
                assert_eq!(pages, whole.len().div_ceil(limit), "{path} by {limit}");
            }
        }
    }
}

#[tokio::test]
async fn description_is_public_and_names_every_answer_that_was_given() {
    let gate = Gate::with_fixtures().await;
    let reply = send(gate.admin(), "GET", "/api/v1/openapi.json", &[], "").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let document = reply.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            ids.push(id.to_owned());
            assert!(operation["summary"].is_string() && operation["tags"][0].is_string(), "{id}");
            if id == "describe" {
                assert!(operation.get("security").is_none(), "{id}");
                continue;
            }
            assert_eq!(operation["security"].as_array().unwrap().len(), 4, "{id}");
            let answers = operation["responses"].as_object().unwrap();
            for status in ["400", "401", "403", "503"] {
                let content = &answers[status]["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(content, "#/components/schemas/Problem", "{id} {status}");
            }
            assert_eq!(
                operation.get("requestBody").is_some(),
                answers.contains_key("415"),
                "{method} {path}"
            );
        }
    }
    assert_eq!(ids.len(), 34, "{ids:?}");
    // Everything that is referred to is there.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

/// The admin API is on its own plane only: below `/api` the data plane has what the anaconda tools ask for, and nothing of it.
#[tokio::test]
async fn data_plane_has_no_api() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let authorization = format!("Bearer {}", root.value);
    let headers = [("Authorization", authorization.as_str())];
    for (method, path, expected) in [
        ("GET", "/api/v1/organizations", "404 not_found"),
        ("GET", "/api/v1/openapi.json", "404 not_found"),
        ("GET", "/api/v1/organizations/acme/seats", "404 not_found"),
        ("POST", "/api/v1/organizations/acme/tokens", "404 not_found"),
        ("GET", "/metrics", "403 channel_forbidden"),
    ] {
        assert_eq!(
            send(stage.gate.data(), method, path, &headers, "").await.verdict(),
            expected,
            "{method} {path}"
        );
    }
    assert_eq!(
        send(stage.gate.data(), "GET", "/api/v1/openapi.json", &[], "").await.verdict(),
        "404 not_found"
    );
}

/// Behind a proxy that the configuration trusts, the audit keeps the client's address, not the proxy's.
#[tokio::test]
async fn changes_are_kept_with_the_clients_address() {
    for (trusted, expected) in [("[\"127.0.0.0/8\"]", "203.0.113.9"), ("[]", "127.0.0.1")] {
        let settings = format!("listen.trusted_proxies = {trusted}");
        let stage = Stage::at(Gate::builder().fixtures().settings(&settings).start().await).await;
        let root = stage.token("acme", "all").await;
        let forwarded = [("X-Forwarded-For", "198.51.100.1, 203.0.113.9")];
        stage.ask(&root, "PUT", "/api/v1/organizations/acme/seats/carol", &forwarded, &Value::Null).await;
        let audit = stage.get(&root, "/api/v1/organizations/acme/audit?limit=1000").await.json();
        let last = audit.as_array().unwrap().last().unwrap();
        assert_eq!((&last["user"], &last["address"]), (&json!("carol"), &json!(expected)), "{trusted}");
        assert_eq!(last["actor"], format!("token:{}", root.id));
    }
}
