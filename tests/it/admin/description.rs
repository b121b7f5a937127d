//! The API's description says what the API does: no schema that nothing meets, nothing demanded that may be left out, no form that is
//! described in one way and read in another.

use serde_json::{Value, json};

use super::stage::Stage;
use crate::support::client::ask;

async fn description(stage: &Stage) -> Value {
    ask(stage.gate.admin(), "GET", "/api/v1/openapi.json", &[]).await.json()
}

#[tokio::test]
async fn members_with_words_about_them_are_described_by_one_schema() {
    let document = description(&Stage::new().await).await;
    let schemas = &document["components"]["schemas"];
    for (name, schema) in schemas.as_object().unwrap() {
        for (member, of) in schema["properties"].as_object().into_iter().flatten() {
            assert!(of["allOf"].is_null(), "{name}.{member} is text and an object: nothing can be that");
        }
    }
    for (schema, member) in [("NewGroup", "name"), ("NewScopedToken", "name"), ("NewOrganization", "name")] {
        let member = &schemas[schema]["properties"][member];
        assert_eq!(member["type"], "string", "{member}");
        assert!(member["pattern"].is_string() && member["description"].is_string(), "{member}");
    }
    // Every common engine reads these; `\p` needs a flag.
    assert!(!document.to_string().contains("\\\\p{"), "a class of characters that not every engine knows");
}

#[tokio::test]
async fn bodies_that_may_be_left_out_are_described_so_and_may() {
    let stage = Stage::new().await;
    let document = description(&stage).await;
    let demanded = |path: &str, method: &str| {
        document["paths"][path][method]["requestBody"]["required"].as_bool().unwrap()
    };
    let org = "/api/v1/organizations/{org}";
    for (path, method, required) in [
        (format!("{org}/tokens"), "post", true),
        (format!("{org}/groups"), "post", true),
        (format!("{org}/renew"), "post", true),
        (format!("{org}/cancel"), "post", false),
        (format!("{org}/site-token"), "post", false),
        (format!("{org}/seats/{{user}}"), "put", false),
        (format!("{org}/tokens/sync"), "post", false),
        (format!("{org}/tokens/{{id}}/revoke"), "post", false),
    ] {
        assert_eq!(demanded(&path, method), required, "{method} {path}");
    }
    let token = stage.token("acme", "all").await;
    assert_eq!(stage.post(&token, "/api/v1/organizations/acme/site-token", Value::Null).await.status, 201);
    let group = stage.post(&token, "/api/v1/organizations/acme/groups", Value::Null).await;
    assert_eq!(group.verdict(), "415 media_type_unsupported");
}

#[tokio::test]
async fn durations_are_read_as_they_are_described() {
    let stage = Stage::new().await;
    let token = stage.token("acme", "all").await;
    let list = |expiring: &str| format!("/api/v1/organizations/acme/tokens?expiring={expiring}");
    for (expiring, status) in [
        ("30d", 200),
        ("0ms", 200),
        ("999999h", 200),
        ("0", 400),
        ("1000000s", 400),
        ("1h%2030m", 400),
        ("-1d", 400),
        ("d", 400),
        ("", 400),
    ] {
        assert_eq!(stage.get(&token, &list(expiring)).await.status, status, "{expiring}");
    }
}

#[tokio::test]
async fn tokens_that_end_soon_are_listed_page_by_page_along_the_links() {
    let stage = Stage::new().await;
    let token = stage.token("acme", "all").await;
    for (name, days) in [("b", 20), ("a", 10), ("late", 40), ("c", 30)] {
        let new = json!({"name": name, "scopes": ["repos"], "expires_in": format!("{days}d")});
        assert_eq!(stage.post(&token, "/api/v1/organizations/acme/tokens", new).await.status, 201);
    }
    let mut names = Vec::new();
    let mut next = Some("/api/v1/organizations/acme/tokens?expiring=30d&limit=1".to_owned());
    while let Some(path) = next {
        let reply = stage.get(&token, &path).await;
        let page = reply.json();
        names.extend(page.as_array().unwrap().iter().map(|token| token["name"].as_str().unwrap().to_owned()));
        let link = reply.header("link").and_then(|link| link.strip_prefix('<')?.split_once('>'));
        next = link.map(|(path, _)| path.to_owned());
    }
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn conditions_that_exclude_each_other_are_never_met() {
    let stage = Stage::new().await;
    let token = stage.token("acme", "all").await;
    let both = [("If-Match", "*"), ("If-None-Match", "*")];
    for user in ["alice", "nobody"] {
        let path = format!("/api/v1/organizations/acme/seats/{user}");
        let reply = stage.ask(&token, "PUT", &path, &both, &Value::Null).await;
        assert_eq!(reply.verdict(), "412 precondition_failed", "{user}");
    }
}

#[tokio::test]
async fn sync_goes_on_where_it_is_told() {
    let stage = Stage::new().await;
    let token = stage.token("acme", "all").await;
    for user in ["alice", "bob"] {
        let path = format!("/api/v1/organizations/acme/seats/{user}/token");
        assert_eq!(stage.post(&token, &path, Value::Null).await.status, 201);
    }
    let operator = stage.operator("all").await;
    let renewed = json!({"until": "2100-01-01T00:00:00Z"});
    assert_eq!(stage.post(&operator, "/api/v1/organizations/acme/renew", renewed).await.status, 200);
    let sync = |query: &'static str, body: Value| {
        let (stage, token) = (&stage, &token);
        async move { stage.post(token, &format!("/api/v1/organizations/acme/tokens/sync{query}"), body).await }
    };
    let users = |reply: crate::support::client::Reply| {
        let synced = reply.json();
        synced.as_array().unwrap().iter().map(|token| token["user"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(users(sync("?after=alice", Value::Null).await), ["bob"]);
    let rest = sync("", Value::Null).await;
    assert_eq!(rest.header("link"), None, "that is all");
    assert_eq!(users(rest), ["alice"]);
    let both = sync("?after=alice", json!({"user": "bob"})).await;
    assert_eq!(both.verdict(), "422 value_invalid");
}
