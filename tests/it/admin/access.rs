//! Who may do what: scopes, organizations, operators, and what a token may make.

use channelgate::store::ActsAs;
use serde_json::{Value, json};

use super::stage::{Stage, send};
use crate::support::gate::Issued;

/// Each scope alone, against each kind of route. The organization change is asked for with a plain token and with an operator's.
#[tokio::test]
async fn scopes_open_what_they_say_and_nothing_else() {
    let stage = Stage::new().await;
    // scope, conda file, public channel, API read, write, groups, organization, organization by an operator
    const NO: &str = "403 scope_missing";
    const OP: &str = "403 operator_required";
    let rows: [(&str, [&str; 7]); 11] = [
        ("all", ["200", "200", "200", "201", "201", OP, "201"]),
        ("repos", ["200", "200", NO, NO, NO, NO, NO]),
        ("conda", ["200", "200", NO, NO, NO, NO, NO]),
        ("conda:download", ["200", "200", NO, NO, NO, NO, NO]),
        ("pypi", [NO, "200", NO, NO, NO, NO, NO]),
        ("pypi:download", [NO, "200", NO, NO, NO, NO, NO]),
        ("pypi:upload", [NO, "200", NO, NO, NO, NO, NO]),
        ("api", [NO, "200", "200", "201", "201", OP, "201"]),
        ("api:read", [NO, "200", "200", NO, NO, NO, NO]),
        ("api:write", [NO, "200", NO, "201", NO, OP, "201"]),
        ("api:modify-group", [NO, "200", NO, NO, "201", NO, NO]),
    ];
    for (row, (scope, expected)) in rows.into_iter().enumerate() {
        let token = stage.token("acme", scope).await;
        let operator = stage.operator(scope).await;
        let at = |rest: &str| format!("/api/v1/organizations/acme/{rest}");
        let public = stage.gate.get(&format!("/t/{}/open/noarch/repodata.json", token.value)).await;
        let own = json!({"name": format!("made-{row}"), "scopes": [scope]});
        let found = [
            stage.reads(&token.value).await,
            public.verdict(),
            stage.get(&token, &at("seats")).await.verdict(),
            stage.post(&token, &at("tokens"), own).await.verdict(),
            stage.post(&token, &at("groups"), json!({"name": format!("group-{row}")})).await.verdict(),
            stage.post(&token, "/api/v1/organizations", json!({"name": format!("x-{row}")})).await.verdict(),
            stage
                .post(&operator, "/api/v1/organizations", json!({"name": format!("y-{row}")}))
                .await
                .verdict(),
        ];
        assert_eq!(found, expected, "{scope}");
    }
}

/// Every route needs the scope of its kind: with the others, and without a token, it is refused before anything else of it is looked at.
#[tokio::test]
async fn every_route_asks_for_a_token_and_for_its_scope_first() {
    let stage = Stage::new().await;
    let (read, write, groups) = (
        stage.token("acme", "api:read").await,
        stage.token("acme", "api:write").await,
        stage.token("acme", "api:modify-group").await,
    );
    let org = "/api/v1/organizations/acme";
    let id = "00000000-0000-4000-8000-000000000000";
    for (method, path, allowed) in [
        ("GET", "/api/v1/organizations".to_owned(), &read),
        ("GET", org.to_owned(), &read),
        ("GET", format!("{org}/seats"), &read),
        ("GET", format!("{org}/seats/alice"), &read),
        ("PUT", format!("{org}/seats/alice"), &write),
        ("DELETE", format!("{org}/seats/nobody"), &write),
        ("GET", format!("{org}/seats/alice/token"), &read),
        ("POST", format!("{org}/seats/alice/token"), &write),
        ("GET", format!("{org}/site-token"), &read),
        ("POST", format!("{org}/site-token"), &write),
        ("GET", format!("{org}/tokens"), &read),
        ("POST", format!("{org}/tokens"), &write),
        ("POST", format!("{org}/tokens/import"), &write),
        ("POST", format!("{org}/tokens/sync"), &write),
        ("POST", format!("{org}/tokens/verify"), &read),
        ("GET", format!("{org}/tokens/{id}"), &read),
        ("POST", format!("{org}/tokens/{id}/revoke"), &write),
        ("GET", format!("{org}/groups"), &read),
        ("POST", format!("{org}/groups"), &groups),
        ("GET", format!("{org}/groups/dev"), &read),
        ("PUT", format!("{org}/groups/dev/members/alice"), &groups),
        ("DELETE", format!("{org}/groups/dev/members/alice"), &groups),
        ("PUT", format!("{org}/groups/dev/grants/main"), &groups),
        ("DELETE", format!("{org}/groups/dev/grants/main"), &groups),
        ("GET", format!("{org}/restrictions"), &read),
        ("GET", format!("{org}/restrictions/main"), &read),
        ("DELETE", format!("{org}/restrictions/main"), &groups),
        ("GET", format!("{org}/audit"), &read),
        ("POST", format!("{org}/renew"), &write),
        ("POST", format!("{org}/cancel"), &write),
        ("POST", "/api/v1/organizations".to_owned(), &write),
        ("GET", "/api/v1/audit".to_owned(), &read),
        ("GET", "/api/v1/audit/verify".to_owned(), &read),
    ] {
        // Nothing of it is acceptable but the token.
        let garbage = [("Content-Type", "text/plain")];
        let nobody = send(stage.gate.admin(), method, &path, &garbage, "garbage").await;
        assert_eq!(nobody.verdict(), "401 token_missing", "{method} {path}");
        for token in [&read, &write, &groups] {
            let verdict = stage.ask(token, method, &path, &garbage, &json!("garbage")).await.verdict();
            if token.id == allowed.id {
                assert_ne!(verdict, "403 scope_missing", "{method} {path}");
            } else {
                assert_eq!(verdict, "403 scope_missing", "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn credentials_are_taken_and_refused_as_on_the_data_plane() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let dead = stage.token("acme", "all").await;
    stage.gate.end(&dead, channelgate::token::EndCause::Revoked).await;
    let basic = |user: &str, password: &str| {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
    };
    let bearer = format!("Bearer {}", root.value);
    let path = "/api/v1/organizations";
    for (name, headers, expected) in [
        ("bearer", vec![("Authorization", bearer.clone())], "200"),
        ("token", vec![("Authorization", format!("token {}", root.value))], "200"),
        ("basic, password", vec![("Authorization", basic("me", &root.value))], "200"),
        ("basic, user", vec![("Authorization", basic(&root.value, ""))], "200"),
        ("api key", vec![("X-API-Key", root.value.clone())], "200"),
        ("x-auth", vec![("X-Auth", root.value.clone())], "200"),
        ("none", vec![], "401 token_missing"),
        ("masked", vec![("Authorization", "token *****".to_owned())], "401 token_missing"),
        ("unknown", vec![("Authorization", "Bearer unknown".to_owned())], "401 token_unknown"),
        ("dead", vec![("Authorization", format!("Bearer {}", dead.value))], "401 token_revoked"),
        (
            "bad before good",
            vec![("Authorization", "Bearer x".to_owned()), ("X-Auth", root.value.clone())],
            "401 token_unknown",
        ),
        ("twice", vec![("Authorization", bearer.clone()), ("Authorization", bearer)], "400 request_invalid"),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = send(stage.gate.admin(), "GET", path, &headers, "").await;
        assert_eq!(reply.verdict(), expected, "{name}");
        let challenges = reply.headers.iter().filter(|(name, _)| name == "www-authenticate").count();
        assert_eq!(challenges, if reply.status == 401 { 3 } else { 0 }, "{name}");
    }
    // In the path of the API there is no place for a token.
    let path = format!("/t/{}/api/v1/organizations", root.value);
    assert_eq!(send(stage.gate.admin(), "GET", &path, &[], "").await.verdict(), "404 not_found");
}

/// What is of another organization, and what is of none, cannot be told apart: by no method, with no body.
#[tokio::test]
async fn other_organizations_look_as_if_they_did_not_exist() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let theirs = stage.token("zoo", "all").await;
    stage.post(&theirs, "/api/v1/organizations/zoo/groups", json!({"name": "dev"})).await;
    let id = theirs.id.to_string();
    for (method, rest) in [
        ("GET", String::new()),
        ("GET", "/seats".into()),
        ("GET", "/seats/alice".into()),
        ("PUT", "/seats/eve".into()),
        ("DELETE", "/seats/alice".into()),
        ("GET", "/tokens".into()),
        ("POST", "/tokens".into()),
        ("GET", format!("/tokens/{id}")),
        ("POST", format!("/tokens/{id}/revoke")),
        ("POST", "/site-token".into()),
        ("GET", "/groups/dev".into()),
        ("PUT", "/groups/dev/members/alice".into()),
        ("GET", "/audit".into()),
        ("POST", "/renew".into()),
        ("POST", "/cancel".into()),
    ] {
        let mut answers = Vec::new();
        for org in ["zoo", "zoa"] {
            let path = format!("/api/v1/organizations/{org}{rest}");
            let mut problem = stage.ask(&root, method, &path, &[], &Value::Null).await.json();
            problem["request_id"] = Value::Null;
            answers.push(problem);
        }
        assert_eq!(answers[0], answers[1], "{method} {rest}");
        assert_eq!(answers[0]["code"], "not_found", "{method} {rest}");
    }
    // Nor is anything of theirs found through one's own.
    for (method, path) in [
        ("GET", format!("/api/v1/organizations/acme/tokens/{id}")),
        ("POST", format!("/api/v1/organizations/acme/tokens/{id}/revoke")),
        ("GET", format!("/api/v1/organizations/acme/tokens?after={id}")),
    ] {
        assert_eq!(
            stage.ask(&root, method, &path, &[], &Value::Null).await.verdict(),
            "404 not_found",
            "{path}"
        );
    }
    let verified = json!({"token": theirs.value});
    let verified = stage.post(&root, "/api/v1/organizations/acme/tokens/verify", verified).await;
    assert_eq!(verified.json()["state"], "unknown");
    let own = stage.get(&root, "/api/v1/organizations").await.json();
    assert_eq!(own.as_array().unwrap().iter().map(|org| org["name"].clone()).collect::<Vec<_>>(), ["acme"]);
    let audit = stage.get(&root, "/api/v1/organizations/acme/audit?limit=1000").await.json();
    assert!(audit.as_array().unwrap().iter().all(|record| record["org"] == "acme"));
    assert_eq!(stage.reads(&theirs.value).await, "200", "nothing happened to it");
}

#[tokio::test]
async fn operators_act_in_every_organization_and_on_organizations() {
    let stage = Stage::new().await;
    let operator = stage.operator("api").await;
    let reader = stage.operator("api:read").await;
    let theirs = stage.token("zoo", "repos").await;
    let names = |reply: crate::support::client::Reply| {
        let all = reply.json();
        all.as_array().unwrap().iter().map(|org| org["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(stage.get(&reader, "/api/v1/organizations").await), ["acme", "default", "zoo"]);
    let wish = json!({"name": "newt", "title": "Newt & Sons", "subscription_ends": "2099-01-31"});
    let created = stage.post(&operator, "/api/v1/organizations", wish.clone()).await;
    assert_eq!((created.status, created.header("location")), (201, Some("/api/v1/organizations/newt")));
    assert_eq!(created.json()["subscription_ends"], "2099-01-31T00:00:00Z");
    assert_eq!(stage.post(&operator, "/api/v1/organizations", wish).await.verdict(), "409 conflict");
    assert_eq!(
        stage.put(&operator, "/api/v1/organizations/newt/seats/eve", json!({"role": "admin"})).await.status,
        201
    );
    let renewed =
        stage.post(&operator, "/api/v1/organizations/newt/renew", json!({"until": "2100-01-01"})).await;
    assert_eq!(renewed.json()["subscription_ends"], "2100-01-01T00:00:00Z");
    let past =
        stage.post(&operator, "/api/v1/organizations/newt/renew", json!({"until": "2000-01-01"})).await;
    assert_eq!(past.verdict(), "422 value_invalid");
    let shown = stage.get(&operator, &format!("/api/v1/organizations/acme/tokens/{}", operator.id)).await;
    assert_eq!(shown.json()["operator"], true);
    // It mints no more than it has: not a site token, for want of `repos`, and no operator at all.
    let site = stage.post(&operator, "/api/v1/organizations/zoo/site-token", Value::Null).await;
    assert_eq!(site.verdict(), "403 scope_missing");
    let another = json!({"name": "op", "scopes": ["api:read"], "operator": true});
    let another = stage.post(&operator, "/api/v1/organizations/acme/tokens", another).await;
    assert_eq!(another.verdict(), "422 value_invalid");
    assert!(another.json()["detail"].as_str().unwrap().contains("unknown field `operator`"));
    let cancelled = stage.post(&operator, "/api/v1/organizations/zoo/cancel", Value::Null).await;
    assert_eq!((cancelled.status, &cancelled.json()["subscription"]), (200, &json!("cancelled")));
    assert_eq!(cancelled.json()["tokens_ended"], 1);
    assert_eq!(stage.reads(&theirs.value).await, "401 subscription_ended");
    assert_eq!(stage.get(&operator, "/api/v1/organizations/none").await.verdict(), "404 not_found");
    assert_eq!(stage.get(&reader, "/api/v1/audit/verify").await.json()["intact"], true);
    let whole = stage.get(&reader, "/api/v1/audit?limit=1000").await.json();
    assert!(
        whole
            .as_array()
            .unwrap()
            .iter()
            .any(|record| record["action"] == "org.cancel" && record["org"] == "zoo")
    );
    let plain = stage.token("acme", "api").await;
    for path in ["/api/v1/audit", "/api/v1/audit/verify"] {
        assert_eq!(stage.get(&plain, path).await.verdict(), "403 operator_required", "{path}");
    }
}

/// A token makes only tokens that can do nothing it cannot do itself.
#[tokio::test]
async fn tokens_make_no_more_than_they_have() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    for name in ["dev", "ops"] {
        stage.post(&root, "/api/v1/organizations/acme/groups", json!({"name": name})).await;
    }
    let user = |name: &str| Some(ActsAs::User(name.to_owned()));
    let group = |name: &str| Some(ActsAs::Group(name.to_owned()));
    let minters: Vec<(&str, Issued)> = vec![
        ("all", root.clone()),
        ("writer", stage.token("acme", "api:write").await),
        ("reader of conda", stage.token("acme", "api:write conda:download").await),
        ("conda", stage.token("acme", "api:write conda").await),
        ("repos", stage.token("acme", "api:write repos").await),
        ("api", stage.token("acme", "api").await),
        ("confined", stage.token_of("acme", "all", Some(&["main", "open"]), None).await),
        ("as alice", stage.token_of("acme", "api:write repos", None, user("alice")).await),
        ("as dev", stage.token_of("acme", "api:write repos", None, group("dev")).await),
        ("groups", stage.token("acme", "api:write api:modify-group repos").await),
    ];
    let scoped = |scopes: Value| ("tokens", json!({"scopes": scopes}));
    let acting = |key: &str, name: &str| ("tokens", json!({"scopes": ["repos"], key: name}));
    for (wish, (place, body), may) in [
        (
            "conda:download",
            scoped(json!(["conda:download"])),
            "all,reader of conda,conda,repos,as alice,as dev,groups",
        ),
        ("conda", scoped(json!(["conda"])), "all,conda,repos,as alice,as dev,groups"),
        ("pypi:upload", scoped(json!(["pypi:upload"])), "all,repos,as alice,as dev,groups"),
        ("repos", scoped(json!(["repos"])), "all,repos,as alice,as dev,groups"),
        ("all", scoped(json!(["all"])), "all"),
        (
            "api:write",
            scoped(json!(["api:write"])),
            "all,writer,reader of conda,conda,repos,api,as alice,as dev,groups",
        ),
        ("api:read", scoped(json!(["api:read"])), "all,api"),
        ("api", scoped(json!(["api"])), "all,api"),
        ("api:modify-group", scoped(json!(["api:modify-group"])), "all,api,groups"),
        ("two, one of them too much", scoped(json!(["conda", "api:read"])), "all"),
        (
            "main alone",
            ("tokens", json!({"scopes": ["repos"], "channels": ["main"]})),
            "all,repos,confined,as alice,as dev,groups",
        ),
        (
            "main and another",
            ("tokens", json!({"scopes": ["repos"], "channels": ["main", "team/nested"]})),
            "all,repos,as alice,as dev,groups",
        ),
        ("as alice", acting("user", "alice"), "all,as alice,groups"),
        ("as bob", acting("user", "bob"), "all,groups"),
        ("as dev", acting("group", "dev"), "all,as dev,groups"),
        ("as ops", acting("group", "ops"), "all,groups"),
        ("site", ("site-token", Value::Null), "all,repos,as alice,as dev,groups"),
        ("alice's", ("seats/alice/token", Value::Null), "all,as alice,groups"),
        ("bob's", ("seats/bob/token", Value::Null), "all,groups"),
    ] {
        let mut made = Vec::new();
        for (name, minter) in &minters {
            let mut body = body.clone();
            if body.is_object() {
                body["name"] = json!(format!("{wish} by {name}"));
            }
            let reply = stage.post(minter, &format!("/api/v1/organizations/acme/{place}"), body).await;
            match reply.verdict().as_str() {
                "201" => made.push(*name),
                verdict => assert_eq!(verdict, "403 scope_missing", "{wish} by {name}"),
            }
        }
        assert_eq!(made.join(","), may, "{wish}");
    }
}

#[tokio::test]
async fn use_and_refusal_at_the_api_are_noted() {
    let stage = Stage::new().await;
    let root = stage.token("acme", "all").await;
    let reader = stage.token("acme", "api:read").await;
    stage.get(&reader, "/api/v1/organizations").await;
    stage.post(&reader, "/api/v1/organizations/acme/groups", json!({"name": "x"})).await;
    let gate = stage.gate;
    let (admin, directory) = (gate.admin(), gate.directory);
    gate.app.stop().await;
    let _ = (admin, root);
    let url = format!("sqlite:{}", directory.path().join("var/channelgate.db").display());
    let config = channelgate::store::Config { url, ..Default::default() };
    let store = channelgate::store::Store::open(&config).await.unwrap();
    let noted = store.last_use(reader.id).await.unwrap();
    assert_eq!(noted.used.unwrap().carrier, channelgate::auth::Carrier::Bearer);
    assert_eq!(noted.refused.unwrap().code, "scope_missing");
}
