//! Letting a program on the person's own machine in: the authorization endpoint, as `anaconda org login` uses it without a stored API key.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::browser::{Browser, CLIENT, Shown, program};
use super::people::{PASSWORD, Town};

const REDIRECT: &str = "http://127.0.0.1:8000/auth/oidc";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk-and-more-of-it-as-the-client-sends-128";
const ENDPOINT: &str = "/api/auth/oauth2/authorize";

/// The link that the client opens, with some of its fields replaced or, where empty, left out.
fn link(changes: &[(&str, &str)]) -> String {
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
    let mut pairs = vec![
        ("client_id", CLIENT),
        ("response_type", "code"),
        ("scope", "openid email profile offline_access"),
        ("state", "b7d0c2ce-0000-4000-8000-000000000000"),
        ("redirect_uri", REDIRECT),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        pairs.retain(|(given, _)| given != name);
        if !value.is_empty() {
            pairs.push((name, value));
        }
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{ENDPOINT}?{query}")
}

/// What the program is told in the address that the browser is led to.
fn told(answer: &Shown, name: &str) -> Option<String> {
    let url = Url::parse(answer.location()).unwrap();
    assert!(url.as_str().starts_with(REDIRECT), "{url}");
    url.query_pairs().find(|(given, _)| given == name).map(|(_, value)| value.into_owned())
}

async fn exchange(town: &Town, code: &str, verifier: &str, redirect: &str) -> (u16, Value) {
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT),
        ("code", code),
        ("redirect_uri", redirect),
        ("code_verifier", verifier),
    ];
    program(&town.gate, &town.identity, "/api/auth/oauth2/token", &fields).await
}

async fn allowed(browser: &mut Browser) -> String {
    let page = browser.get(&link(&[])).await;
    let answer = browser.send(&page, ENDPOINT, &[("answer", "approve")]).await;
    told(&answer, "code").unwrap()
}

#[tokio::test]
async fn program_is_let_in_by_a_person_who_signs_in_on_the_way() {
    let town = Town::found().await;
    let mut browser = town.browser();
    let first = browser.get(&link(&[])).await;
    let page = browser.get(first.location()).await;
    assert!(page.text.contains("let a program on your computer use your account"), "{}", page.text);
    let on = browser.send(&page, "/sign-in", &[("user", "alice"), ("password", PASSWORD)]).await;
    let page = browser.get(on.location()).await;
    assert_eq!(page.heading(), "Let this program use your account?");
    // A browser follows where the answer to a form leads only if the page says so.
    let policy = page.reply.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self' http://127.0.0.1:8000;"), "{policy}");
    let answer = browser.send(&page, ENDPOINT, &[("answer", "approve")]).await;
    assert_eq!(answer.reply.status, 303);
    assert_eq!(told(&answer, "state").as_deref(), Some("b7d0c2ce-0000-4000-8000-000000000000"));
    let code = told(&answer, "code").unwrap();

    let (status, granted) = exchange(&town, &code, VERIFIER, REDIRECT).await;
    assert_eq!((status, granted["token_type"].as_str()), (200, Some("Bearer")), "{granted}");
    let access = channelgate::token::TokenDigest::of(granted["access_token"].as_str().unwrap().as_bytes());
    let now = town.gate.app.clock().now();
    let device = town.gate.store().redeem_access(&access, now).await.unwrap().unwrap();
    assert_eq!(device.approved.unwrap().user, "alice");
    assert_eq!(
        exchange(&town, &code, VERIFIER, REDIRECT).await.1["error"],
        "invalid_grant",
        "a code is good once"
    );
    assert_eq!(town.audit(&["device."]).await, [("device.approve".into(), "user:alice".into())]);
    assert_eq!(browser.get("/app/local-login-success").await.heading(), "You are signed in");
}

#[tokio::test]
async fn code_is_good_for_its_program_and_for_a_minute() {
    let town = Town::found().await;
    let mut browser = town.browser_of("alice").await;
    let code = allowed(&mut browser).await;
    let other = VERIFIER.replace('d', "e");
    for (why, verifier, redirect) in [
        ("another program", other.as_str(), REDIRECT),
        ("another place", VERIFIER, "http://127.0.0.1:8001/auth/oidc"),
        ("no verifier", "x", REDIRECT),
    ] {
        assert_eq!(exchange(&town, &code, verifier, redirect).await.1["error"], "invalid_grant", "{why}");
    }
    assert_eq!(exchange(&town, &code, VERIFIER, REDIRECT).await.0, 200);
    let code = allowed(&mut browser).await;
    town.pass(60);
    assert_eq!(exchange(&town, &code, VERIFIER, REDIRECT).await.1["error"], "expired_token");
}

#[tokio::test]
async fn program_hears_a_no_and_what_its_request_lacks() {
    let town = Town::found().await;
    let mut browser = town.browser_of("alice").await;
    let page = browser.get(&link(&[])).await;
    let answer = browser.send(&page, ENDPOINT, &[("answer", "deny")]).await;
    assert_eq!(told(&answer, "error").as_deref(), Some("access_denied"));
    assert_eq!(told(&answer, "code"), None);
    for (change, word) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
    ] {
        let answer = browser.get(&link(&[change])).await;
        assert_eq!(told(&answer, "error").as_deref(), Some(word), "{change:?}");
    }
    assert_eq!(browser.get("/app/local-login-error").await.heading(), "Nothing was given to the program");
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_that_is_not_this_computers() {
    let town = Town::found().await;
    let mut browser = town.browser_of("alice").await;
    for change in [
        ("redirect_uri", "https://evil.test/auth/oidc"),
        ("redirect_uri", "http://127.0.0.1.evil.test:8000/auth/oidc"),
        ("redirect_uri", "http://localhost:8000/auth/oidc"),
        ("redirect_uri", ""),
        ("client_id", "other"),
    ] {
        let page = browser.get(&link(&[change])).await;
        assert_eq!((page.reply.status, page.heading()), (400, "This does not work"), "{change:?}");
        assert!(page.reply.header("location").is_none());
    }
}

#[tokio::test]
async fn nobody_is_let_in_but_by_the_page_that_shows_the_request() {
    let town = Town::found().await;
    let mut browser = town.browser_of("alice").await;
    let page = browser.get(&link(&[])).await;
    let mut other = town.browser_of("alice").await;
    let elsewhere = other.send(&page, ENDPOINT, &[("answer", "approve")]).await;
    assert_eq!(elsewhere.reply.status, 403, "the proof is another session's");
    let none = browser.send(&page, ENDPOINT, &[("answer", "approve"), ("proof", "")]).await;
    assert_eq!(none.reply.status, 403);
    let made_up = browser.send(&page, ENDPOINT, &[("answer", "approve"), ("request", "AAAA")]).await;
    assert_eq!(made_up.reply.status, 400);
    browser.says = vec![("Origin".into(), "https://evil.test".into())];
    assert_eq!(browser.send(&page, ENDPOINT, &[("answer", "approve")]).await.reply.status, 403);
    let mut nobody = town.browser();
    assert_eq!(nobody.send(&page, ENDPOINT, &[("answer", "approve")]).await.reply.status, 400);
    let mut bob = town.browser_of("bob").await;
    assert_eq!(bob.get(&link(&[])).await.heading(), "You have no seat");
    assert_eq!(town.audit(&["device."]).await, []);
}

#[tokio::test]
async fn what_the_gate_can_do_is_described_where_clients_look() {
    let town = Town::found().await;
    let mut browser = town.browser();
    let one = browser.get("/.well-known/openid-configuration").await.reply.json();
    let other = browser.get("/.well-known/oauth-authorization-server").await.reply.json();
    assert_eq!(one, other);
    let origin = format!("https://localhost:{}", town.gate.data().port());
    for (name, path) in [
        ("issuer", ""),
        ("authorization_endpoint", ENDPOINT),
        ("token_endpoint", "/api/auth/oauth2/token"),
        ("device_authorization_endpoint", "/api/auth/oauth2/device"),
        ("userinfo_endpoint", "/api/auth/oauth2/userinfo"),
    ] {
        assert_eq!(one[name], format!("{origin}{path}"), "{name}");
    }
}
