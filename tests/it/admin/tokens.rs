//! Tokens through the API: made, shown once, used, replaced, ended.

use serde_json::{Value, json};

use super::stage::{Stage, id, value};

#[tokio::test]
async fn token_is_created_shown_once_used_and_revoked() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let wish = json!({"name": "ci", "scopes": ["conda:download"], "channels": ["main", "main"], "expires_in": "90d"});
    let created = stage.post(&root, "/api/v1/organizations/acme/tokens", wish).await;
    assert_eq!(created.status, 201, "{}", created.json());
    assert_eq!(created.header("cache-control"), Some("no-store"));
    let object = created.json();
    assert_eq!(object["kind"], "scoped");
    assert_eq!((&object["name"], &object["org"]), (&json!("ci"), &json!("acme")));
    assert_eq!(object["channels"], json!(["main"]));
    assert_eq!(object["state"], "active");
    assert_eq!(stage.reads(&value(&created)).await, "200");
    let place = created.header("location").unwrap().to_owned();
    let shown = stage.get(&root, &place).await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.json()["id"], object["id"]);
    assert_eq!(shown.json().get("token"), None, "its value is shown once");
    assert_eq!(shown.json()["last_refusal"], Value::Null);
    let listed = stage.get(&root, "/api/v1/organizations/acme/tokens").await;
    assert!(listed.json().as_array().unwrap().iter().any(|token| token["id"] == object["id"]));
    let revoked = stage.post(&root, &format!("{place}/revoke"), json!({"reason": "in a public log"})).await;
    assert_eq!((revoked.status, &revoked.json()["reason"]), (200, &json!("in a public log")));
    assert_eq!(stage.reads(&value(&created)).await, "401 token_revoked");
    let by = stage.gate.store().audit(&channelgate::store::AuditFilter::default()).await.unwrap();
    let last = by.last().unwrap();
    assert_eq!(last.actor.name, format!("token:{}", root.id));
    assert_eq!(last.actor.from, Some("127.0.0.1".parse().unwrap()));
    assert_eq!(last.target, Some(id(&created).to_string()));
}

#[tokio::test]
async fn site_and_individual_tokens_are_issued_in_place_of_the_living_ones() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    for place in ["/api/v1/organizations/acme/site-token", "/api/v1/organizations/acme/seats/alice/token"] {
        assert_eq!(stage.get(&root, place).await.verdict(), "404 not_found");
        let first = stage.post(&root, place, Value::Null).await;
        assert_eq!(first.status, 201, "{}", first.json());
        assert_eq!(stage.reads(&value(&first)).await, "200");
        let second = stage.post(&root, place, json!({"grace": "24h"})).await;
        assert_eq!(second.json()["generation"], 2);
        assert_eq!(stage.reads(&value(&first)).await, "200", "in its grace");
        let third = stage.post(&root, place, json!({})).await;
        assert_eq!(stage.reads(&value(&second)).await, "401 token_replaced");
        assert_eq!(stage.reads(&value(&third)).await, "200");
        assert_eq!(stage.get(&root, place).await.json()["id"], third.json()["id"]);
    }
    let nobody = stage.post(&root, "/api/v1/organizations/acme/seats/eve/token", Value::Null).await;
    assert_eq!(nobody.verdict(), "404 not_found");
}

#[tokio::test]
async fn foreign_token_is_imported_and_serves() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let value = "xy-72b914cc-c105-4ec7-a969-ab21d23480ed";
    let wish = json!({"token": value, "name": "legacy", "scopes": ["repos"]});
    let imported = stage.post(&root, "/api/v1/organizations/acme/tokens/import", wish.clone()).await;
    assert_eq!((imported.status, imported.json().get("token")), (201, None));
    assert_eq!(stage.reads(value).await, "200");
    let again = stage.post(&root, "/api/v1/organizations/acme/tokens/import", wish).await;
    assert_eq!(again.verdict(), "409 conflict");
    let bad = json!({"token": "short", "name": "x", "scopes": ["repos"]});
    let bad = stage.post(&root, "/api/v1/organizations/acme/tokens/import", bad).await;
    assert_eq!(bad.verdict(), "422 value_invalid");
    let verified =
        stage.post(&root, "/api/v1/organizations/acme/tokens/verify", json!({"token": value})).await;
    assert_eq!((verified.status, verified.json()["name"].as_str()), (200, Some("legacy")));
    assert_eq!(verified.json().get("token"), None);
}

#[tokio::test]
async fn value_of_a_token_is_kept_under_no_name_and_in_no_reason() {
    let stage = Stage::new().await;
    let (root, operator) = (stage.token("acme", "all").await, stage.operator("all").await);
    let at = |rest: &str| format!("/api/v1/organizations/acme/{rest}");
    let named = |name: String| json!({"name": name, "scopes": ["repos"]});
    let leaked = stage.post(&root, &at("tokens"), named("leaked".to_owned())).await;
    let (of_ours, foreign) = (value(&leaked), "0123456789abcdefghijklmnop");
    let import = |name: &str| json!({"name": name, "scopes": ["repos"], "token": foreign});
    let before = stage.gate.store().audit_head().await.unwrap();
    for refused in [
        stage.put(&root, &at(&format!("seats/{of_ours}")), Value::Null).await,
        stage.put(&root, &at(&format!("seats/x-{of_ours}@example.org")), Value::Null).await,
        stage.post(&root, &at("tokens"), named(format!("for {of_ours}!"))).await,
        stage.post(&root, &at("tokens/import"), import(foreign)).await,
        stage.post(&operator, "/api/v1/organizations", json!({"name": "newt", "title": of_ours})).await,
    ] {
        assert_eq!(refused.verdict(), "422 value_invalid");
        assert!(!refused.json().to_string().contains(&of_ours), "{}", refused.json());
    }
    assert_eq!(stage.gate.store().audit_head().await.unwrap(), before);
    // Why a token is revoked must not keep it from being revoked.
    let imported = stage.post(&root, &at("tokens/import"), import("foreign")).await;
    for (token, shown) in [(leaked, of_ours.as_str()), (imported, foreign)] {
        let revoke = at(&format!("tokens/{}/revoke", id(&token).0));
        let revoked =
            stage.post(&root, &revoke, json!({"reason": format!("{shown} was in log-{of_ours}.txt")})).await;
        assert_eq!(revoked.json()["reason"], "<TOKEN> was in log-<TOKEN>.txt");
    }
    let audit = stage.get(&root, &at("audit")).await.json().to_string();
    assert!(!audit.contains(&of_ours) && !audit.contains(foreign), "{audit}");
}
