//! `anaconda token install`: organizations, and individual tokens that are issued only where they would serve.

use serde_json::json;

use super::stage::{Stage, bearer};
use crate::support::client::Reply;
use crate::support::faulty::refusing_address;
use crate::support::gate::{Gate, Issued};

const CURRENT: &str = "/api/organizations/acme/ce/current-token";

#[tokio::test]
async fn person_sees_their_organizations_and_subscriptions() {
    let stage = Stage::new().await;
    let key = stage.api_key("alice", "acme").await;
    let mine = stage.get(&key, "/api/organizations/my").await.json();
    let names: Vec<_> = mine.as_array().unwrap().iter().map(|org| org["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["acme", "zoo"]);
    assert_eq!(mine[0]["title"], "acme corp");
    let id: uuid::Uuid = mine[0]["id"].as_str().unwrap().parse().unwrap();
    let account = stage.get(&key, "/api/account").await.json();
    assert_eq!(account["subscriptions"][0]["org_id"], json!(id));
    let product = account["subscriptions"][0]["product_code"].as_str().unwrap();
    assert!(!product.contains("starter"), "the tool would not offer the organization");
}

#[tokio::test]
async fn token_is_issued_shown_and_issued_again_as_on_the_command_line() {
    let stage = Stage::new().await;
    let key = stage.api_key("alice", "acme").await;
    assert_eq!(stage.get(&key, CURRENT).await.verdict(), "404 not_found");

    let first = stage.put(&key, CURRENT).await.json();
    assert_eq!(first["expires_at"], "9999-12-31T00:00:00Z", "the tool demands a date");
    let value = first["token"].as_str().unwrap().to_owned();
    assert_eq!(stage.reads(&value).await, "200", "the tool looks at once whether it works");
    let shown = stage.get(&key, CURRENT).await;
    assert_eq!((shown.status, &shown.json()["id"]), (200, &first["id"]));

    // By its id as well, and by the new token itself.
    let by_id = stage.get(&key, "/api/organizations/my").await.json()[0]["id"].as_str().unwrap().to_owned();
    let token = Issued { id: stage.id_of(&shown), value: value.clone() };
    let second = stage.put(&token, &format!("/api/organizations/{by_id}/ce/current-token")).await.json();
    assert_eq!(stage.reads(&value).await, "401");
    assert_eq!(stage.reads(second["token"].as_str().unwrap()).await, "200");

    let audit = stage.audit("token.issue").await;
    let [.., last] = audit.as_slice() else { panic!("nothing in the audit") };
    assert_eq!(last.actor.name, "user:alice");
    assert_eq!(last.user.as_deref(), Some("alice"));
    assert_eq!(last.organization.as_deref(), Some("acme"));
}

#[tokio::test]
async fn refusals_come_before_anything_is_issued_and_say_why_in_the_reason_phrase() {
    let stage = Stage::new().await;
    let key = stage.api_key("bob", "acme").await;
    let old = stage.individual("acme", "bob").await;
    let refused = async |path: &str, sentence: &str| {
        for method in ["GET", "PUT"] {
            let reply = stage.ask(&bearer(&key), method, path, &json!({"confirm": "yes"})).await;
            assert_eq!(reply.status, 403, "{method} {path}: {}", reply.json());
            let detail = reply.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(sentence), "{method} {path}: {detail}");
            assert!(detail.starts_with(&reply.reason), "{:?} is not {detail:?}", reply.reason);
            assert!(reply.json()["error"].is_object());
        }
        assert_eq!(stage.reads(&old.value).await, "200", "{path}: the old token lives on");
    };
    refused("/api/organizations/zoo/ce/current-token", "has no seat in organization \"zoo\"").await;
    refused("/api/organizations/none/ce/current-token", "has no seat in organization \"none\"").await;

    // No longer served: the channel is restricted to a group that bob is not in.
    stage.restrict("acme", "repo/main").await;
    for method in ["GET", "PUT"] {
        let reply = stage.ask(&bearer(&key), method, CURRENT, &json!({})).await;
        assert_eq!(reply.verdict(), "403 channel_forbidden", "{method}");
        assert!(reply.json()["detail"].as_str().unwrap().contains("none was ended"), "{}", reply.json());
    }
    stage.unrestrict("acme", "repo/main").await;
    assert_eq!(stage.reads(&old.value).await, "200");
    assert_eq!(stage.get(&key, CURRENT).await.status, 200);
}

#[tokio::test]
async fn subscription_that_is_over_issues_nothing() {
    let stage = Stage::with_manual_clock().await;
    let key = stage.api_key("bob", "acme").await;
    let zoos = stage.api_key("alice", "zoo").await;
    stage.cancel("acme").await;
    let ended = stage.get(&key, CURRENT).await;
    assert_eq!(ended.verdict(), "401 subscription_ended", "the key ended with it");
    // Somebody who comes by another organization is told why.
    for method in ["GET", "PUT"] {
        let reply = stage.ask(&bearer(&zoos), method, CURRENT, &json!({})).await;
        assert_eq!(reply.verdict(), "403 subscription_ended", "{method}");
        assert!(reply.reason.contains("was cancelled"), "{}", reply.reason);
    }
}

#[tokio::test]
async fn upstream_that_is_down_issues_nothing_and_nobody_is_left_without_a_token() {
    let upstream = format!("http://{}", refusing_address());
    let builder = Gate::builder().fixtures().channel("repo/main", &upstream);
    let stage = Stage::at(builder).await;
    let key = stage.api_key("bob", "acme").await;
    let old = stage.individual("acme", "bob").await;
    for method in ["GET", "PUT"] {
        let reply = stage.ask(&bearer(&key), method, CURRENT, &json!({})).await;
        assert_eq!(reply.verdict(), "503 upstream_unavailable", "{method}");
        assert!(reply.reason.contains("none was ended"), "{}", reply.reason);
        assert!(reply.header("retry-after").is_some());
    }
    let living = stage.gate.store().living_token("acme", Some("bob"), stage.now()).await.unwrap();
    assert_eq!(living.map(|record| record.id), Some(old.id));
}

#[tokio::test]
async fn whoever_is_no_person_is_told_what_to_do() {
    let stage = Stage::new().await;
    let narrow = stage.scoped("acme", "narrow", "conda:download", Some("alice")).await;
    let wide = stage.scoped("acme", "wide", "repos", Some("alice")).await;
    let nobodys = stage.scoped("acme", "machine", "all", None).await;
    for path in ["/api/organizations/my", "/api/account", CURRENT] {
        let told = async |authorization: &str| -> Reply {
            stage.ask(authorization, "GET", path, &serde_json::Value::Null).await
        };
        let missing = told("").await;
        assert_eq!(missing.verdict(), "401 token_missing", "{path}");
        assert_eq!(
            missing.json()["error"]["code"],
            "auth_required",
            "{path}: never 404, or the tool goes on"
        );
        assert_eq!(told("Bearer nonsense").await.verdict(), "401 token_unknown", "{path}");
        assert_eq!(told(&bearer(&narrow)).await.verdict(), "403 scope_missing", "{path}");
        assert_eq!(told(&bearer(&nobodys)).await.verdict(), "403 person_required", "{path}");
        assert!([200, 404].contains(&told(&bearer(&wide)).await.status), "{path}");
    }
    stage.disable("alice").await;
    let disabled = stage.get(&wide, "/api/organizations/my").await;
    assert_eq!(disabled.verdict(), "401 user_disabled");
}
