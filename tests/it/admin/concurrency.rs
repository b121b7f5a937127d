//! Conditions and keys: of several who saw one state one wins, and what is repeated is done once.

use std::collections::HashSet;

use channelgate::app::App;
use channelgate::clock::Clock;
use channelgate::config::{Config, Environment};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::task::JoinSet;

use super::stage::{Stage, send};
use crate::support::client::{Connection, Reply};
use crate::support::gate::Issued;

/// Sends the same request many times at once. Returns the verdicts, sorted.
async fn race(
    stage: &Stage,
    token: &Issued,
    requests: Vec<(&'static str, String, String, Value)>,
) -> Vec<String> {
    let mut racing = JoinSet::new();
    for (method, path, tag, body) in requests {
        let (address, authorization) = (stage.gate.admin(), format!("Bearer {}", token.value));
        racing.spawn(async move {
            let headers = [("Authorization", authorization.as_str()), ("If-Match", tag.as_str())];
            let body = if body.is_null() { String::new() } else { body.to_string() };
            send(address, method, &path, &headers, &body).await.verdict()
        });
    }
    let mut verdicts = racing.join_all().await;
    verdicts.sort();
    verdicts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writers_who_saw_one_version_exactly_one_wins() {
    const WRITERS: usize = 12;
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let operator = stage.operator("all").await;
    let at = |rest: &str| format!("/api/v1/organizations/acme{rest}");
    stage.post(&root, &at("/groups"), json!({"name": "dev"})).await;
    stage.post(&root, &at("/site-token"), Value::Null).await;
    for number in 0..WRITERS {
        stage.put(&root, &at(&format!("/seats/user{number}")), Value::Null).await;
    }
    let seat = ("PUT", at("/seats/alice"), at("/seats/alice"), Some(json!({"role": "admin"})), "200");
    let renew = ("POST", at(""), at("/renew"), None, "200");
    let site = ("POST", at("/site-token"), at("/site-token"), Some(json!({"grace": "1h"})), "201");
    let member = ("PUT", at("/groups/dev"), at("/groups/dev/members/user#"), Some(Value::Null), "201");
    let grant = ("PUT", at("/groups/dev"), at("/groups/dev/grants/main#"), Some(Value::Null), "201");
    for (method, seen, changed, body, winner) in [seat, renew, site, member, grant] {
        let tag = stage.get(&root, &seen).await.header("etag").unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong tag: {tag}");
        let requests = (0..WRITERS)
            .map(|number| {
                let body =
                    body.clone().unwrap_or_else(|| json!({"until": format!("{}-01-01", 2100 + number)}));
                (method, changed.replace('#', &number.to_string()), tag.clone(), body)
            })
            .collect();
        let verdicts = race(&stage, &operator, requests).await;
        let losers = vec!["412 precondition_failed".to_owned(); WRITERS - 1];
        assert_eq!(verdicts, [vec![winner.to_owned()], losers].concat(), "{changed}");
        let now = stage.get(&root, &seen).await.header("etag").unwrap().to_owned();
        assert_ne!(now, tag, "{changed}");
    }
}

#[tokio::test]
async fn conditions_hold_for_every_kind_of_change() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let operator = stage.operator("all").await;
    let at = |rest: &str| format!("/api/v1/organizations/acme{rest}");
    stage.post(&root, &at("/groups"), json!({"name": "dev"})).await;
    stage.put(&root, &at("/groups/dev/members/alice"), Value::Null).await;
    stage.put(&root, &at("/groups/dev/grants/main"), Value::Null).await;
    stage.post(&root, &at("/site-token"), Value::Null).await;
    let ci = stage.post(&root, &at("/tokens"), json!({"name": "ci", "scopes": ["repos"]})).await.json();
    let ci = format!("/tokens/{}", ci["id"].as_str().unwrap());
    let stale = "\"0123456789abcdef0123456789abcdef\"";
    for (method, path, seen) in [
        ("PUT", at("/seats/alice"), at("/seats/alice")),
        ("PUT", at("/groups/dev/members/bob"), at("/groups/dev")),
        ("PUT", at("/groups/dev/grants/team%2Fnested"), at("/groups/dev")),
        ("DELETE", at("/groups/dev/members/alice"), at("/groups/dev")),
        ("DELETE", at("/groups/dev/grants/main"), at("/groups/dev")),
        ("DELETE", at("/restrictions/main"), at("/restrictions/main")),
        ("POST", at(&format!("{ci}/revoke")), at(&ci)),
        ("POST", at("/site-token"), at("/site-token")),
        ("DELETE", at("/seats/bob"), at("/seats/bob")),
        ("POST", at("/cancel"), at("")),
    ] {
        let tag =
            stage.get(&operator, &seen).await.header("etag").unwrap_or_else(|| panic!("{seen}")).to_owned();
        let before = stage.gate.store().audit_head().await.unwrap();
        let ask = async |name, value: &str| {
            stage.ask(&operator, method, &path, &[(name, value)], &Value::Null).await.verdict()
        };
        for (name, value) in
            [("If-Match", stale), ("If-Match", &format!("W/{tag}")), ("If-Match", "\"none of ours\"")]
        {
            assert_eq!(ask(name, value).await, "412 precondition_failed", "{method} {path} {name}: {value}");
        }
        assert_eq!(ask("If-None-Match", &tag).await, "400 request_invalid", "{method} {path}");
        assert_eq!(stage.gate.store().audit_head().await.unwrap(), before, "{method} {path}");
        let done = ask("If-Match", &format!("{stale}, {tag}")).await;
        assert!(done.starts_with("20"), "{method} {path}: {done}");
    }
}

#[tokio::test]
async fn what_must_not_be_there_is_made_only_if_it_is_not() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let at = |rest: &str| format!("/api/v1/organizations/acme{rest}");
    stage.post(&root, &at("/groups"), json!({"name": "dev"})).await;
    for (method, path) in [
        ("PUT", at("/seats/carol")),
        ("PUT", at("/groups/dev/members/carol")),
        ("PUT", at("/groups/dev/grants/main")),
        ("POST", at("/site-token")),
        ("POST", at("/seats/carol/token")),
    ] {
        let ask = async |name, value: &str| {
            stage.ask(&root, method, &path, &[(name, value)], &Value::Null).await.verdict()
        };
        assert_eq!(ask("If-Match", "*").await, "412 precondition_failed", "{path}");
        assert!(ask("If-None-Match", "*").await.starts_with("20"), "{path}");
        assert_eq!(ask("If-None-Match", "*").await, "412 precondition_failed", "{path}");
        assert!(ask("If-Match", "*").await.starts_with("20"), "{path}");
    }
}

#[tokio::test]
async fn objects_are_sent_again_only_if_they_changed() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let at = |rest: &str| format!("/api/v1/organizations/acme{rest}");
    stage.post(&root, &at("/groups"), json!({"name": "dev"})).await;
    stage.put(&root, &at("/groups/dev/grants/main"), Value::Null).await;
    let site = stage.post(&root, &at("/site-token"), Value::Null).await;
    let site = format!("/tokens/{}", site.json()["id"].as_str().unwrap());
    for path in [
        at(""),
        at("/seats/alice"),
        at("/groups/dev"),
        at("/restrictions/main"),
        at("/site-token"),
        at(&site),
    ] {
        let whole = stage.get(&root, &path).await;
        let tag = whole.header("etag").unwrap();
        assert_eq!(whole.header("cache-control"), Some("private, no-cache"));
        let known = stage.ask(&root, "GET", &path, &[("If-None-Match", tag)], &Value::Null).await;
        assert_eq!((known.status, known.header("etag"), known.body.len()), (304, Some(tag), 0), "{path}");
        let other = stage.ask(&root, "GET", &path, &[("If-None-Match", "\"x\"")], &Value::Null).await;
        assert_eq!((other.status, other.body), (200, whole.body.clone()), "{path}");
        let head = stage.ask(&root, "HEAD", &path, &[], &Value::Null).await;
        assert_eq!((head.status, head.header("etag"), head.body.len()), (200, Some(tag), 0), "{path}");
        assert_eq!(head.header("content-length"), Some(&*whole.body.len().to_string()), "{path}");
    }
}

/// A token in use is a new representation for a reader, and no obstacle to whoever revokes it.
#[tokio::test]
async fn last_use_changes_a_tokens_tag_for_readers_only() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let ci = stage.token("acme", "repos").await;
    let path = format!("/api/v1/organizations/acme/tokens/{}", ci.id);
    let tag = stage.get(&root, &path).await.header("etag").unwrap().to_owned();
    let used = channelgate::store::Used {
        at: stage.now(),
        carrier: channelgate::auth::Carrier::Path,
        address: "192.0.2.7".parse().unwrap(),
    };
    let news = channelgate::store::LastUse { used: Some(used), refused: None };
    stage.gate.store().record_uses(&[channelgate::store::Use { token: ci.id, news }]).await.unwrap();
    let newer = stage.ask(&root, "GET", &path, &[("If-None-Match", &tag)], &Value::Null).await;
    assert_eq!((newer.status, newer.json()["last_use"]["address"].as_str()), (200, Some("192.0.2.7")));
    let revoked =
        stage.ask(&root, "POST", &format!("{path}/revoke"), &[("If-Match", &tag)], &Value::Null).await;
    assert_eq!(revoked.verdict(), "200");
}

fn once(key: &str) -> [(&str, &str); 1] {
    [("Idempotency-Key", key)]
}

fn is_replay(reply: &Reply) -> bool {
    reply.header("idempotency-replayed") == Some("true")
}

#[tokio::test]
async fn repeated_requests_make_nothing_twice() {
    let stage = Stage::new().await;
    let (root, operator) = (stage.token("acme", "all").await, stage.operator("all").await);
    let at = |rest: &str| format!("/api/v1/organizations/acme{rest}");
    for (token, path, body, other) in [
        (
            &root,
            at("/tokens"),
            json!({"name": "ci", "scopes": ["repos"]}),
            json!({"name": "cd", "scopes": ["repos"]}),
        ),
        (&root, at("/site-token"), json!({}), json!({"grace": "1h"})),
        (&root, at("/seats/alice/token"), json!({}), json!({"grace": "1h"})),
        (&root, at("/groups"), json!({"name": "dev"}), json!({"name": "ops"})),
        (
            &root,
            at("/tokens/import"),
            json!({"token": "0123456789-abcdefghij", "name": "a", "scopes": ["repos"]}),
            json!({"token": "0123456789-abcdefghij", "name": "b", "scopes": ["repos"]}),
        ),
        (&operator, "/api/v1/organizations".to_owned(), json!({"name": "newt"}), json!({"name": "toad"})),
    ] {
        let key = path.replace('/', "-");
        let ask = async |body| stage.ask(token, "POST", &path, &once(&key), body).await;
        let first = ask(&body).await;
        assert_eq!((first.status, is_replay(&first)), (201, false), "{path}: {}", first.json());
        let head = stage.gate.store().audit_head().await.unwrap();
        let again = ask(&body).await;
        assert_eq!((again.status, is_replay(&again)), (201, true), "{path}");
        assert_eq!(again.header("location"), first.header("location"), "{path}");
        let mut expected = first.json();
        expected.as_object_mut().unwrap().remove("token");
        assert_eq!(again.json(), expected, "{path}");
        assert_eq!(ask(&other).await.verdict(), "422 idempotency_key_reused", "{path}");
        assert_eq!(stage.gate.store().audit_head().await.unwrap(), head, "nothing was changed: {path}");
    }
    // Somebody else's key is another key, and a request that failed leaves none behind.
    let other = stage.token("acme", "all").await;
    let key = at("/groups").replace('/', "-");
    let dev = json!({"name": "dev"});
    assert_eq!(stage.ask(&other, "POST", &at("/groups"), &once(&key), &dev).await.verdict(), "409 conflict");
    let free = stage.ask(&other, "POST", &at("/groups"), &once(&key), &json!({"name": "free"})).await;
    assert_eq!((free.status, is_replay(&free)), (201, false));
}

#[tokio::test]
async fn keys_are_forgotten_after_a_day() {
    let stage = Stage::with_manual_clock().await;
    let root = stage.token("acme", "all").await;
    let ask = async || {
        stage.ask(&root, "POST", "/api/v1/organizations/acme/site-token", &once("k"), &json!({})).await
    };
    let first = ask().await;
    let hands = stage.gate.hands.clone().unwrap();
    hands.advance(std::time::Duration::from_secs(24 * 3_600 - 1));
    assert!(is_replay(&ask().await));
    hands.advance(std::time::Duration::from_secs(1));
    let anew = ask().await;
    assert_eq!((anew.status, is_replay(&anew)), (201, false));
    assert_ne!(anew.json()["id"], first.json()["id"]);
}

/// While the store's lock is held by somebody else, the first of two waits for it and the second is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_whose_first_is_under_way_waits_its_turn() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let url = format!("sqlite:{}", stage.gate.directory.path().join("var/channelgate.db").display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let mut asking = JoinSet::new();
    for _ in 0..2 {
        let (address, authorization) = (stage.gate.admin(), format!("Bearer {}", root.value));
        asking.spawn(async move {
            let headers = [("Authorization", authorization.as_str()), ("Idempotency-Key", "k")];
            send(address, "POST", "/api/v1/organizations/acme/site-token", &headers, "{}").await.verdict()
        });
    }
    assert_eq!(asking.join_next().await.unwrap().unwrap(), "409 idempotency_key_in_use");
    lock.rollback().await.unwrap();
    assert_eq!(asking.join_next().await.unwrap().unwrap(), "201");
}

/// Whoever lost the answer asks again: clients that left in the middle, and a gate that was started anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_are_given_again_and_nothing_is_made_twice() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let authorization = format!("Bearer {}", root.value);
    let path = "/api/v1/organizations/acme/tokens";
    let mut made = HashSet::new();
    for number in 0..20 {
        let body = json!({"name": format!("t{number}"), "scopes": ["repos"]}).to_string();
        let (key, length) = (format!("k{number}"), body.len().to_string());
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Idempotency-Key", &key),
            ("Content-Type", "application/json"),
            ("Content-Length", &length),
        ];
        let mut leaving = Connection::open(stage.gate.admin()).await;
        leaving.send("POST", path, &headers).await;
        leaving.send_raw(&body).await;
        tokio::time::sleep(std::time::Duration::from_micros(number * 200)).await;
        drop(leaving);
        let reply = loop {
            let reply = send(stage.gate.admin(), "POST", path, &headers[..2], &body).await;
            if reply.verdict() != "409 idempotency_key_in_use" {
                break reply;
            }
        };
        assert_eq!(reply.status, 201, "{}", reply.json());
        made.insert(reply.json()["id"].as_str().unwrap().to_owned());
    }
    let listed = stage.get(&root, &format!("{path}?limit=1000")).await.json();
    assert_eq!((made.len(), listed.as_array().unwrap().len()), (20, 21));

    let config = stage.gate.directory.path().join("channelgate.toml");
    let config = Config::load(&config, &Environment::default()).unwrap();
    let directory = stage.gate.directory;
    drop(stage.gate.app);
    let anew = App::start(&config, Clock::system()).await.unwrap();
    let body = json!({"name": "t7", "scopes": ["repos"]}).to_string();
    let headers = [("Authorization", authorization.as_str()), ("Idempotency-Key", "k7")];
    let reply = send(anew.admin_address(), "POST", path, &headers, &body).await;
    assert!(is_replay(&reply) && made.contains(reply.json()["id"].as_str().unwrap()));
    anew.stop().await;
    drop(directory);
}
