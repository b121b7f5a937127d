//! Seats and subscriptions through the API.

use serde_json::{Value, json};

use super::stage::{Stage, value};

#[tokio::test]
async fn seat_is_assigned_changed_and_taken_with_its_tokens_and_groups() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let at = |rest: &str| format!("/api/v1/organizations/acme/{rest}");
    let assigned = stage.put(&root, &at("seats/carol"), Value::Null).await;
    assert_eq!((assigned.status, &assigned.json()["role"]), (201, &json!("member")), "it is new");
    let raised = stage.put(&root, &at("seats/carol"), json!({"role": "admin"})).await;
    assert_eq!((raised.status, &raised.json()["role"]), (200, &json!("admin")), "it was there");
    assert_eq!(stage.get(&root, &at("seats/carol")).await.json(), raised.json());
    let individual = stage.post(&root, &at("seats/carol/token"), Value::Null).await;
    let acting = json!({"name": "bot", "scopes": ["repos"], "user": "carol"});
    let acting = stage.post(&root, &at("tokens"), acting).await;
    stage.post(&root, &at("groups"), json!({"name": "dev"})).await;
    stage.put(&root, &at("groups/dev/members/carol"), Value::Null).await;
    let removed = stage.delete(&root, &at("seats/carol")).await.json();
    assert_eq!(removed["groups_left"], json!(["dev"]));
    assert_eq!(removed["tokens_ended"], json!([individual.json()["id"], acting.json()["id"]]));
    for dead in [individual, acting] {
        assert_eq!(stage.reads(&value(&dead)).await, "401 seat_removed");
    }
    assert_eq!(stage.get(&root, &at("seats/carol")).await.verdict(), "404 not_found");
    assert_eq!(stage.delete(&root, &at("seats/carol")).await.verdict(), "404 not_found");
}

#[tokio::test]
async fn renewing_moves_no_token_and_sync_does() {
    let stage = Stage::with_manual_clock().await;
    let operator = stage.operator("all").await;
    let at = |rest: &str| format!("/api/v1/organizations/acme/{rest}");
    stage.post(&operator, &at("renew"), json!({"until": "2027-07-01"})).await;
    let site = stage.post(&operator, &at("site-token"), Value::Null).await;
    assert_eq!(site.json()["expires_at"], "2027-07-31T00:00:00Z");
    stage.post(&operator, &at("seats/alice/token"), Value::Null).await;
    stage.post(&operator, &at("renew"), json!({"until": "2028-07-01"})).await;
    assert_eq!(stage.get(&operator, &at("site-token")).await.json()["expires_at"], "2027-07-31T00:00:00Z");
    let both = stage.post(&operator, &at("tokens/sync"), json!({"site": true, "user": "alice"})).await;
    assert_eq!(both.verdict(), "422 value_invalid");
    let synced = stage.post(&operator, &at("tokens/sync"), json!({"site": true})).await.json();
    assert_eq!(synced[0]["id"], site.json()["id"]);
    assert_eq!(synced[0]["previous_expires_at"], "2027-07-31T00:00:00Z");
    assert_eq!(synced[0]["expires_at"], "2028-07-31T00:00:00Z");
    let rest = stage.post(&operator, &at("tokens/sync"), Value::Null).await.json();
    assert_eq!((rest.as_array().unwrap().len(), &rest[0]["user"]), (1, &json!("alice")));
    let none = stage.post(&operator, &at("tokens/sync"), json!({"user": "alice"})).await.json();
    assert_eq!(none, json!([]));
    stage.post(&operator, "/api/v1/organizations/zoo/cancel", Value::Null).await;
    let late = stage.post(&operator, "/api/v1/organizations/zoo/site-token", Value::Null).await;
    assert_eq!(late.verdict(), "409 conflict");
}
