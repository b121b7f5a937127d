//! `anaconda auth`, `anaconda org login|whoami|logout`: tokens that people make, list and remove for themselves.

use base64::Engine as _;
use serde_json::{Value, json};

use super::stage::Stage;
use crate::support::client::Reply;
use crate::support::gate::Issued;

/// What anaconda-client sends to make a token of this name.
fn wish(name: &str, scopes: &Value) -> Value {
    json!({
        "scopes": scopes, "note": name, "note_url": "http://anaconda.org", "hostname": "vm", "user": null,
        "max-age": null, "strength": "strong", "fail-if-exists": true,
    })
}

fn made(stage: &Stage, reply: &Reply) -> Issued {
    assert_eq!(reply.status, 200, "{}", reply.json());
    Issued { id: stage.id_of(reply), value: reply.json()["token"].as_str().unwrap().to_owned() }
}

/// Name and scopes of everything that `anaconda auth --list` shows.
async fn listed(stage: &Stage, token: &Issued) -> Vec<String> {
    let reply = stage.get(token, "/authentications").await;
    assert_eq!(reply.status, 200, "{}", reply.json());
    let rows = reply.json();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| {
        for member in ["id", "application", "remote_addr", "hostname", "expires", "scopes"] {
            assert!(row.get(member).is_some(), "the client needs {member}: {row}");
        }
        if let Some(expires) = row["expires"].as_str() {
            assert!(expires.ends_with('Z'), "the client needs a zone: {expires}");
        }
        row["application"].as_str().unwrap().to_owned()
    })
    .collect()
}

#[tokio::test]
async fn what_needs_no_token_is_told_without_one() {
    let stage = Stage::new().await;
    let kind = stage.gate.get("/authentication-type").await;
    assert_eq!(kind.json(), json!({"authentication_type": "password"}));
    let scopes = stage.gate.get("/scopes").await.json();
    for scope in ["all", "repos", "conda:download", "api:read"] {
        assert!(scopes[scope].is_string(), "{scope}");
    }
    assert_eq!(stage.gate.head("/").await.status, 200, "the client's check of the server");
}

#[tokio::test]
async fn token_is_made_listed_shown_and_removed() {
    let stage = Stage::new().await;
    let key = stage.api_key("alice", "acme").await;
    for name in ["ci", "binstar_client:alice@laptop", "a b:c@d/e", "ünïcode/ x"] {
        let token = made(&stage, &stage.post(&key, "/authentications", wish(name, &json!(["repos"]))).await);
        assert_eq!(stage.reads(&token.value).await, "200", "{name}");
        assert!(listed(&stage, &key).await.contains(&name.to_owned()), "{name}");
        let shown =
            stage.ask(&format!("token {}", token.value), "GET", "/authentication", &Value::Null).await;
        assert_eq!(shown.json()["application"], name);
        assert_eq!(shown.json()["id"], token.id.to_string());

        // As the client sends it: escaped, but for slashes, colons and the like.
        let path = format!("/authentications/name/{}", escaped(name));
        assert_eq!(
            stage.delete(&key, &path).await.status,
            201,
            "{name}: the client takes nothing else for done"
        );
        assert_eq!(stage.reads(&token.value).await, "401", "{name}");
        let again = stage.delete(&key, &path).await;
        assert_eq!(again.status, 404, "{name}");
        assert!(again.json()["error"].is_string());
    }
    let audit = stage.audit("token.create").await;
    assert_eq!(audit.last().unwrap().actor.name, "user:alice");
}

fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/:@_-.~".contains(&byte);
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[tokio::test]
async fn nothing_asked_for_is_the_callers_own_and_never_the_admin_api() {
    let stage = Stage::new().await;
    let key = stage.api_key("alice", "acme").await;
    let all = stage.scoped("acme", "all", "all", Some("alice")).await;
    for (token, scopes) in [(&key, Value::Null), (&key, json!([])), (&all, Value::Null), (&all, json!([]))] {
        let reply =
            stage.post(token, "/authentications", wish(&format!("x {scopes} {}", token.id), &scopes)).await;
        made(&stage, &reply);
        assert_eq!(reply.json()["scopes"], json!(["repos"]), "{scopes}");
    }
    // By name, whoever has it may give it; several words in one are several scopes.
    let reply =
        stage.post(&all, "/authentications", wish("api", &json!(["api:read conda:download", "repos"]))).await;
    assert_eq!(made(&stage, &reply).value.len(), 41);
    assert_eq!(reply.json()["scopes"], json!(["repos", "conda:download", "api:read"]));
    for scopes in [json!(["api:read"]), json!(["all"])] {
        let reply = stage.post(&key, "/authentications", wish("beyond", &scopes)).await;
        assert_eq!(reply.status, 403, "{scopes}: {}", reply.json());
    }
    let unknown = stage.post(&key, "/authentications", wish("unknown", &json!(["nonsense"]))).await;
    assert_eq!(unknown.status, 422);
    assert!(unknown.json()["error"].as_str().unwrap().contains("nonsense"));
}

#[tokio::test]
async fn name_that_is_taken_is_replaced_only_if_that_is_meant_and_ones_own() {
    let stage = Stage::new().await;
    let (alice, bob) = (stage.api_key("alice", "acme").await, stage.api_key("bob", "acme").await);
    let first = made(&stage, &stage.post(&alice, "/authentications", wish("ci", &Value::Null)).await);
    let clash = stage.post(&alice, "/authentications", wish("ci", &Value::Null)).await;
    assert_eq!(clash.status, 400, "the client asks whether to go on at 400 only");
    assert!(clash.json()["error"].as_str().unwrap().contains("already"), "{}", clash.json());
    assert_eq!(stage.reads(&first.value).await, "200");

    let mut replacing = wish("ci", &Value::Null);
    replacing["fail-if-exists"] = json!(false);
    let others = stage.post(&bob, "/authentications", replacing.clone()).await;
    assert_eq!(others.status, 400, "{}", others.json());
    assert_eq!(stage.reads(&first.value).await, "200", "nobody ends another one's token by its name");
    let second = made(&stage, &stage.post(&alice, "/authentications", replacing).await);
    assert_eq!(
        (stage.reads(&first.value).await, stage.reads(&second.value).await),
        ("401".into(), "200".into())
    );
    assert!(!listed(&stage, &bob).await.contains(&"ci".to_owned()), "everybody sees their own");
    assert_eq!(stage.delete(&bob, "/authentications/name/ci").await.status, 404);
}

#[tokio::test]
async fn life_strength_and_names_are_checked() {
    let stage = Stage::with_manual_clock().await;
    let key = stage.api_key("alice", "acme").await;
    let with = |member: &str, value: Value| {
        let mut wish = wish(&format!("{member} {value}"), &Value::Null);
        wish[member] = value;
        wish
    };
    let expires =
        async |wish: Value| stage.post(&key, "/authentications", wish).await.json()["expires"].clone();
    assert_eq!(expires(with("max-age", json!(3_600))).await, "2027-01-01T01:00:00Z");
    assert_eq!(expires(with("max-age", Value::Null)).await, "2028-01-01T00:00:00Z");
    for strength in [json!("weak"), json!("strong"), Value::Null] {
        let reply = stage.post(&key, "/authentications", with("strength", strength)).await;
        assert_eq!(made(&stage, &reply).value.len(), 41, "every token has the same strength");
    }
    for (member, value) in [
        ("max-age", json!(0)),
        ("max-age", json!(-1)),
        ("max-age", json!("soon")),
        ("strength", json!("medium")),
        ("note", json!("")),
        ("note", json!("a\u{0}b")),
        ("note", Value::Null),
        ("note", json!("x".repeat(200))),
        ("scopes", json!("repos")),
    ] {
        let reply = stage.post(&key, "/authentications", with(member, value.clone())).await;
        assert_eq!(reply.status, 422, "{member} {value}: {}", reply.json());
        assert!(reply.json()["error"].is_string());
    }
    let value = stage.post(&key, "/authentications", wish(&format!("x {}", key.value), &Value::Null)).await;
    assert!(value.status == 422 && !value.json().to_string().contains(&key.value[..40]), "{}", value.json());
}

#[tokio::test]
async fn organization_is_named_or_the_one_that_is_acted_in() {
    let stage = Stage::new().await;
    let (alice, bob) = (stage.api_key("alice", "acme").await, stage.api_key("bob", "acme").await);
    let of = |org: Value| {
        let mut wish = wish("ci", &json!(["repos"]));
        wish["user"] = org;
        wish
    };
    for (org, expected) in [(Value::Null, "acme"), (json!("zoo"), "zoo")] {
        let reply = stage.post(&alice, "/authentications", of(org)).await;
        made(&stage, &reply);
        assert_eq!(reply.json()["org"], expected);
    }
    for org in ["zoo", "none"] {
        let reply = stage.post(&bob, "/authentications", of(json!(org))).await;
        assert_eq!(reply.status, 403, "{org}: {}", reply.json());
    }
    // Of two with one name, the organization tells which.
    assert_eq!(stage.delete(&alice, "/authentications/org/zoo/name/ci").await.status, 201);
    assert_eq!(stage.delete(&alice, "/authentications/org/zoo/name/ci").await.status, 404);
    assert_eq!(stage.delete(&bob, "/authentications/org/zoo/name/ci").await.status, 403);
    assert_eq!(stage.delete(&alice, "/authentications/name/ci").await.status, 201);
}

#[tokio::test]
async fn token_of_nobody_does_for_its_organization_what_the_admin_api_lets_it() {
    let stage = Stage::new().await;
    let admin = stage.scoped("acme", "admin", "api repos", None).await;
    let plain = stage.scoped("acme", "plain", "repos", None).await;
    let alices = stage.individual("acme", "alice").await;
    assert!(listed(&stage, &admin).await.contains(&"individual token of acme".to_owned()));
    let reply = stage.post(&admin, "/authentications", wish("ci", &json!(["conda:download"]))).await;
    let ci = made(&stage, &reply);
    assert_eq!(stage.audit("token.create").await.last().unwrap().actor.name, format!("token:{}", admin.id));
    assert_eq!(stage.delete(&admin, "/authentications/org/acme/name/ci").await.status, 201);
    assert_eq!(stage.reads(&ci.value).await, "401");
    assert_eq!(stage.delete(&admin, "/authentications/org/zoo/name/ci").await.status, 404);
    assert_eq!(stage.delete(&admin, &format!("/authentications/name/{}", alices.id)).await.status, 201);

    assert_eq!(stage.get(&plain, "/authentications").await.status, 403);
    assert_eq!(stage.post(&plain, "/authentications", wish("x", &Value::Null)).await.status, 403);
    assert_eq!(stage.delete(&plain, "/authentications/name/admin").await.status, 403);
    assert_eq!(stage.delete(&plain, "/authentications").await.status, 403, "others use it, too");
    let user = stage.get(&plain, "/user").await.json();
    assert_eq!((&user["login"], &user["user_type"]), (&json!("acme"), &json!("org")));
    assert!(user["created_at"].is_string());
}

#[tokio::test]
async fn login_and_logout_leave_nothing_that_serves() {
    let stage = Stage::new().await;
    // `anaconda org login` in the browser: the access token makes the token.
    let access = stage.let_in("bob", "acme").await;
    let mut login = wish("binstar_client:bob@vm", &Value::Null);
    login["fail-if-exists"] = json!(false);
    let authorization = format!("Bearer {access}");
    let token = made(&stage, &stage.ask(&authorization, "POST", "/authentications", &login).await);
    let spent = stage.ask(&authorization, "POST", "/authentications", &login).await;
    assert_eq!(spent.status, 401, "an access token makes one thing");

    let as_client = format!("token {}", token.value);
    let user = stage.ask(&as_client, "GET", "/user", &Value::Null).await;
    assert_eq!(user.json()["login"], "bob");
    assert!(user.json()["created_at"].is_string());
    assert_eq!(stage.ask(&as_client, "DELETE", "/authentications", &Value::Null).await.status, 201);
    assert_eq!(stage.reads(&token.value).await, "401");
    let gone = stage.ask(&as_client, "GET", "/user", &Value::Null).await;
    assert_eq!(gone.status, 401);
    assert!(gone.json()["error"].as_str().unwrap().contains("revoked"), "{}", gone.json());
}

#[tokio::test]
async fn token_that_ends_soon_is_announced() {
    let stage = Stage::with_manual_clock().await;
    let key = stage.api_key("alice", "acme").await;
    let day = 24 * 3_600;
    for (life, is_near) in [(29 * day, true), (31 * day, false)] {
        let mut wish = wish(&format!("{life}"), &Value::Null);
        wish["max-age"] = json!(life);
        let token = made(&stage, &stage.post(&key, "/authentications", wish).await);
        let reply = stage.get(&token, "/user").await;
        let warning = reply.header("conda-token-warning");
        assert_eq!(warning.is_some(), is_near, "{warning:?}");
        if let Some(warning) = warning {
            assert!(warning.contains("in 29 days") && warning.contains(&token.id.to_string()), "{warning}");
            assert!(!warning.contains(&token.value));
        }
    }
}

#[tokio::test]
async fn password_makes_a_token_and_a_wrong_one_is_throttled() {
    let stage = Stage::with_manual_clock().await;
    stage.set_password("bob", "correct horse battery").await;
    let basic = |password: &str| {
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("bob:{password}")))
    };
    let login = wish("binstar_client:bob@vm", &Value::Null);
    let token =
        made(&stage, &stage.ask(&basic("correct horse battery"), "POST", "/authentications", &login).await);
    assert_eq!(stage.reads(&token.value).await, "200");
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let reply = stage.ask(&basic("wrong"), "POST", "/authentications", &login).await;
        assert!(reply.json()["error"].is_string(), "{}", reply.json());
        statuses.push(reply.status);
    }
    assert_eq!(statuses.first(), Some(&401), "the client asks for the password again");
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    // A password is for signing in, and opens no channel.
    let authorization = basic("correct horse battery");
    let headers = [("Authorization", authorization.as_str())];
    assert_eq!(stage.gate.ask("GET", "/repo/main/noarch/repodata.json", &headers).await.status, 401);
    assert_eq!(stage.ask(&authorization, "GET", "/authentications", &Value::Null).await.status, 401);
}
