//! API keys: made for what a person let in, shown to everything, ended by id.

use serde_json::json;

use super::stage::{Stage, bearer};
use crate::support::gate::Issued;

#[tokio::test]
async fn key_acts_as_its_person_and_reads_channels() {
    let stage = Stage::new().await;
    let access = stage.let_in("alice", "acme").await;
    let body =
        json!({"scopes": ["cloud:read", "cloud:write", "repo:read"], "tags": ["anaconda-auth/v0.15.3"]});
    let made = stage.ask(&format!("Bearer {access}"), "POST", "/api/auth/api-keys", &body).await;
    assert_eq!(made.status, 201, "{}", made.json());
    let key = made.json()["api_key"].as_str().unwrap().to_owned();
    assert_eq!(key.split('.').count(), 3, "the tool decodes it as a JWT");
    assert_eq!(made.json()["scopes"], json!(["conda:download"]));
    assert_eq!(made.json()["org"], "acme");
    let key = Issued { id: stage.id_of(&made), value: key };

    let account = stage.get(&key, "/api/account").await;
    assert_eq!(account.json()["user"]["username"], "alice");
    let authorization = bearer(&key);
    let headers = [("Authorization", authorization.as_str())];
    let channel = stage.gate.ask("GET", "/repo/main/noarch/repodata.json", &headers);
    assert_eq!(channel.await.status, 200);
    let info = stage.get(&key, "/api/auth/oauth2/userinfo").await;
    assert_eq!((info.status, &info.json()["sub"]), (200, &json!("alice")));

    let again = stage.ask(&format!("Bearer {access}"), "POST", "/api/iam/api-keys", &body).await;
    assert_eq!(again.verdict(), "401 token_unknown", "an access token is spent by what it makes");
    assert_eq!(again.json()["error"]["code"], "auth_required");

    stage.gate.end(&key, channelgate::token::EndCause::Revoked).await;
    let ended = stage.get(&key, "/api/account").await;
    assert_eq!(ended.verdict(), "401 token_revoked");
    assert_eq!(ended.json()["error"]["code"], "auth_required", "so that the tool offers a login");
}

#[tokio::test]
async fn key_has_no_scope_that_its_person_has_not() {
    let stage = Stage::new().await;
    for (scopes, expected) in [
        (json!(["cloud:read"]), "201"),
        (json!([]), "201"),
        (json!(["repos"]), "201"),
        (json!(["api:read"]), "403 scope_missing"),
        (json!(["all"]), "403 scope_missing"),
        (json!(["repo:read", "nonsense"]), "422 value_invalid"),
    ] {
        let access = stage.let_in("alice", "acme").await;
        let body = json!({"scopes": scopes});
        let reply = stage.ask(&format!("Bearer {access}"), "POST", "/api/auth/api-keys", &body).await;
        assert_eq!(reply.verdict(), expected, "{scopes}: {}", reply.json());
        if expected != "201" {
            // What was refused has not spent the access token.
            let body = json!({"scopes": ["repo:read"]});
            let reply = stage.ask(&format!("Bearer {access}"), "POST", "/api/auth/api-keys", &body).await;
            assert_eq!(reply.status, 201, "{scopes}");
        }
    }
}

#[tokio::test]
async fn key_is_not_made_by_anything_but_an_access_token() {
    let stage = Stage::new().await;
    let key = stage.api_key("alice", "acme").await;
    let individual = stage.individual("acme", "alice").await;
    for authorization in [
        String::new(),
        "Bearer nonsense".to_owned(),
        bearer(&key),
        bearer(&individual),
        format!("Bearer {}", stage.gate.bootstrap_token()),
    ] {
        let reply = stage.ask(&authorization, "POST", "/api/auth/api-keys", &json!({"scopes": []})).await;
        assert_eq!(reply.status, 401, "{}", reply.json());
        assert_eq!(reply.json()["error"]["code"], "auth_required");
    }
}

#[tokio::test]
async fn key_of_a_disabled_user_and_of_a_lost_seat_ends_at_once() {
    let stage = Stage::new().await;
    let (alices, bobs) = (stage.api_key("alice", "acme").await, stage.api_key("bob", "acme").await);
    stage.disable("alice").await;
    let reply = stage.get(&alices, "/api/organizations/my").await;
    assert_eq!(reply.verdict(), "401 token_revoked");
    assert!(reply.json()["detail"].as_str().unwrap().contains("disabled"), "{}", reply.json());
    assert_eq!(stage.reads(&alices.value).await, "401");
    stage.remove_seat("acme", "bob").await;
    assert_eq!(stage.get(&bobs, "/api/organizations/my").await.verdict(), "401 seat_removed");
}
