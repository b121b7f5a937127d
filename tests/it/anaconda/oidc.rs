//! Signing in at an OpenID provider that lies, fails, or answers somebody else's question; `tests/clients` signs in at a real one.
//!
//! The provider here is a script: it says what a test wants, signed by a key that it published or by another one.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Map, Value, json};
use url::Url;

use super::browser::{Browser, Shown};
use super::people::{PASSWORD, Town};
use crate::support::faulty::{Faulty, Reply, Seen, refusing_address};

const SESSION: &str = "__Host-channelgate-session";
const JOURNEY: &str = "__Host-channelgate-oidc";

/// What the provider says next.
struct Script {
    key: EcdsaKeyPair,
    /// Claims of the ID token; `null` leaves one out.
    claims: Map<String, Value>,
    /// What the userinfo endpoint says.
    info: Value,
    header: Value,
    /// Signs by another key than it publishes.
    foreign: bool,
    /// What the token endpoint says in place of tokens.
    refuses: Option<&'static str>,
    /// The issuer that its metadata names.
    issuer: Option<String>,
}

impl Script {
    fn new() -> Self {
        Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            claims: Map::new(),
            info: json!({"sub": "subject-1"}),
            header: json!({"alg": "ES256", "typ": "JWT", "kid": "one"}),
            foreign: false,
            refuses: None,
            issuer: None,
        }
    }

    fn token(&self) -> String {
        let claims: Map<String, Value> =
            self.claims.clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
        let part = |value: &Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", part(&self.header), part(&Value::Object(claims)));
        let signature = match self.header["alg"].as_str() {
            // By what everybody can know: the published key.
            Some("HS256") => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.public_key().as_ref());
                hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
            }
            Some("none") => Vec::new(),
            _ => {
                let other = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
                let key = if self.foreign { &other } else { &self.key };
                key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec()
            }
        };
        format!("{signed}.{}", BASE64.encode(signature))
    }

    fn answer(&self, seen: &Seen, base: &str) -> Reply {
        let object =
            |body: Value| Reply::new(200).header("Content-Type", "application/json").body(body.to_string());
        match seen.target.as_str() {
            "/.well-known/openid-configuration" => object(json!({
                "issuer": self.issuer.as_deref().unwrap_or(base),
                "authorization_endpoint": format!("{base}/auth"),
                "token_endpoint": format!("{base}/token"),
                "userinfo_endpoint": format!("{base}/me"),
                "jwks_uri": format!("{base}/jwks"),
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
            })),
            "/jwks" => {
                let point = self.key.public_key().as_ref();
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..65]));
                let key = json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "one", "x": x, "y": y});
                object(json!({"keys": [key]}))
            }
            "/token" => match self.refuses {
                Some(word) => Reply::new(400)
                    .header("Content-Type", "application/json")
                    .body(json!({"error": word}).to_string()),
                None => object(
                    json!({"access_token": "opaque", "token_type": "Bearer", "id_token": self.token()}),
                ),
            },
            "/me" => object(self.info.clone()),
            _ => Reply::new(404),
        }
    }
}

/// A town with a provider.
struct Scene {
    town: Town,
    provider: Faulty,
    base: String,
    script: Arc<Mutex<Script>>,
}

impl Scene {
    async fn set() -> Self {
        Self::with("").await
    }

    async fn with(settings: &str) -> Self {
        let script = Arc::new(Mutex::new(Script::new()));
        let base = Arc::new(Mutex::new(String::new()));
        let provider = Faulty::start({
            let (script, base) = (Arc::clone(&script), Arc::clone(&base));
            move |seen| script.lock().unwrap().answer(seen, &base.lock().unwrap())
        })
        .await;
        let url = provider.url("");
        let url = url.trim_end_matches('/').to_owned();
        base.lock().unwrap().clone_from(&url);
        let lines = format!(
            "[sign_in.oidc]\nissuer = \"{url}\"\nclient_id = \"gate\"\ntitle = \"Example ID\"\n{settings}"
        );
        let town = Town::with(|builder| builder.settings(&lines)).await;
        town.settle("dora@example.org", None, true).await;
        town.settle("eve@example.org", None, false).await;
        Self { town, provider, base: url, script }
    }

    /// Goes to the provider, which knows what it is asked from then on.
    async fn depart(&self, browser: &mut Browser, next: &str) -> Url {
        let shown = browser.get(&format!("/sign-in/oidc?next={next}")).await;
        let url = Url::parse(shown.location()).unwrap();
        let nonce = field(&url, "nonce").unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": self.base, "aud": "gate", "sub": "subject-1", "iat": now, "exp": now + 300, "nonce": nonce,
            "email": "dora@example.org", "email_verified": true,
        });
        self.script.lock().unwrap().claims = claims.as_object().unwrap().clone();
        url
    }

    /// Signs in from a new browser, with `change` made to what the provider says.
    async fn sign_in(&self, change: impl FnOnce(&mut Script)) -> (Browser, Shown) {
        let mut browser = self.town.browser();
        let url = self.depart(&mut browser, "").await;
        change(&mut self.script.lock().unwrap());
        let state = field(&url, "state").unwrap();
        let shown = browser.get(&format!("/sign-in/oidc/callback?code=c0de&state={state}")).await;
        (browser, shown)
    }

    fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }
}

fn field(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(given, _)| given == name).map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn person_is_signed_in_and_bound_to_whom_the_provider_says_they_are() {
    let scene = Scene::set().await;
    let mut browser = scene.town.browser();
    let page = browser.get("/sign-in?next=%2Fdevice%3Fuser_code%3DBCDFG-HJKLM").await;
    assert!(page.text.contains("Sign in with Example ID"), "{}", page.text);
    let url = scene.depart(&mut browser, "%2Fdevice%3Fuser_code%3DBCDFG-HJKLM").await;
    assert_eq!(field(&url, "response_type").as_deref(), Some("code"));
    assert_eq!(field(&url, "code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(field(&url, "scope").as_deref(), Some("openid email profile"));
    let port = scene.town.gate.data().port();
    let callback = format!("https://localhost:{port}/sign-in/oidc/callback");
    assert_eq!(field(&url, "redirect_uri"), Some(callback));
    let state = field(&url, "state").unwrap();
    let target = format!("/sign-in/oidc/callback?code=c0de&state={state}&iss={}", scene.base);
    let shown = browser.get(&target).await;
    assert_eq!(shown.location(), "/device?user_code=BCDFG-HJKLM", "{}", shown.text);
    assert!(!browser.cookies.contains_key(JOURNEY), "a journey ends once");
    assert!(browser.get("/sign-in").await.text.contains("<strong>dora@example.org</strong>"));
    let told = scene.town.audit(&["user.bind", "user.sign_in"]).await;
    assert_eq!(
        told.iter().map(|(action, _)| action.as_str()).collect::<Vec<_>>(),
        ["user.bind", "user.sign_in"]
    );

    // From now on it is the subject that counts, whatever address it has.
    let (mut later, _) =
        scene.sign_in(|script| drop(script.claims.insert("email".into(), json!("x@y.test")))).await;
    assert!(later.get("/sign-in").await.text.contains("<strong>dora@example.org</strong>"));
    let (_, other) =
        scene.sign_in(|script| drop(script.claims.insert("sub".into(), json!("subject-2")))).await;
    assert_eq!(other.heading(), "You are not signed in", "nobody else becomes her by her address");
}

#[tokio::test]
async fn name_comes_from_userinfo_where_the_id_token_has_none() {
    let scene = Scene::set().await;
    let (_, shown) = scene
        .sign_in(|script| {
            script.claims.insert("email".into(), Value::Null);
            script.info = json!({"sub": "subject-1", "email": "dora@example.org", "email_verified": true});
        })
        .await;
    assert_eq!(shown.location(), "/sign-in", "{}", shown.text);
    let scene = Scene::set().await;
    let (browser, shown) = scene
        .sign_in(|script| {
            script.claims.insert("email".into(), Value::Null);
            script.info = json!({"sub": "another", "email": "dora@example.org", "email_verified": true});
        })
        .await;
    assert_eq!(shown.reply.status, 502, "of another subject");
    assert!(!browser.cookies.contains_key(SESSION));
}

#[tokio::test]
async fn answers_that_do_not_hold_sign_nobody_in() {
    type Lie = fn(&mut Script);
    type Change = Box<dyn Fn(&mut Script)>;
    let set = |name: &'static str, value: Value| {
        move |script: &mut Script| drop(script.claims.insert(name.into(), value.clone()))
    };
    let lies: Vec<(&str, u16, Change)> = vec![
        ("another nonce", 502, Box::new(set("nonce", json!("other")))),
        ("no nonce", 502, Box::new(set("nonce", Value::Null))),
        ("another audience", 502, Box::new(set("aud", json!("other")))),
        ("several audiences", 502, Box::new(set("aud", json!(["gate", "other"])))),
        ("another issuer", 502, Box::new(set("iss", json!("https://evil.test")))),
        ("expired", 502, Box::new(set("exp", json!(1_000_000_000)))),
        ("signed by another key", 502, Box::new((|script| script.foreign = true) as Lie)),
        ("signed by nobody", 502, Box::new((|script| script.header = json!({"alg": "none"})) as Lie)),
        (
            "signed by what is public",
            502,
            Box::new((|script| script.header = json!({"alg": "HS256", "kid": "one"})) as Lie),
        ),
        (
            "signed by an unknown key",
            502,
            Box::new((|script| script.header = json!({"alg": "ES256", "kid": "two"})) as Lie),
        ),
        ("of another access token", 502, Box::new(set("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")))),
        ("refused", 502, Box::new((|script| script.refuses = Some("invalid_grant")) as Lie)),
        ("an address that nobody verified", 403, Box::new(set("email_verified", json!(false)))),
        ("an address without a word on it", 403, Box::new(set("email_verified", Value::Null))),
        ("somebody without a seat", 403, Box::new(set("email", json!("eve@example.org")))),
        ("a stranger", 403, Box::new(set("email", json!("mallory@example.org")))),
        ("no name at all", 403, Box::new(set("email", Value::Null))),
    ];
    for (lie, status, change) in lies {
        let scene = Scene::set().await;
        let (mut browser, shown) = scene.sign_in(|script| change(script)).await;
        assert_eq!(
            (shown.reply.status, shown.heading()),
            (status, "You are not signed in"),
            "{lie}: {}",
            shown.text
        );
        assert!(!browser.cookies.contains_key(SESSION) && !browser.cookies.contains_key(JOURNEY), "{lie}");
        assert_eq!(browser.get("/sign-in").await.heading(), "Sign in");
        assert_eq!(scene.town.audit(&["user.bind", "user.sign_in"]).await, [], "{lie}");
    }
}

#[tokio::test]
async fn answers_to_another_browser_or_of_another_provider_are_refused() {
    let scene = Scene::set().await;
    let mut browser = scene.town.browser();
    let url = scene.depart(&mut browser, "").await;
    let state = field(&url, "state").unwrap();
    let journey = browser.cookies[JOURNEY].clone();
    let callback = |query: &str| format!("/sign-in/oidc/callback?{query}");
    for (why, cookie, query) in [
        ("a browser that began nothing", None, format!("code=c0de&state={state}")),
        ("another state", Some(&journey), "code=c0de&state=other".to_owned()),
        ("no state", Some(&journey), "code=c0de".to_owned()),
        ("another provider", Some(&journey), format!("code=c0de&state={state}&iss=https://evil.test")),
        ("a cookie of somebody's making", Some(&"A".repeat(200)), format!("code=c0de&state={state}")),
        ("the provider says no", Some(&journey), format!("error=access_denied&state={state}")),
    ] {
        let mut other = scene.town.browser();
        other.cookies.extend(cookie.map(|cookie| (JOURNEY.to_owned(), cookie.clone())));
        let shown = other.get(&callback(&query)).await;
        assert_eq!((shown.reply.status, shown.heading()), (403, "You are not signed in"), "{why}");
        assert!(!other.cookies.contains_key(SESSION), "{why}");
    }
    scene.town.pass(600);
    let late = browser.get(&callback(&format!("code=c0de&state={state}"))).await;
    assert_eq!(late.reply.status, 403, "too late");
    assert!(
        scene.provider.seen().iter().all(|seen| seen.target != "/token"),
        "no code was even shown to the provider"
    );
}

#[tokio::test]
async fn keys_of_the_provider_are_asked_for_anew_when_it_signs_by_another() {
    let scene = Scene::set().await;
    let (_, first) = scene.sign_in(|_| {}).await;
    assert_eq!(first.location(), "/sign-in");
    scene.change(|script| script.key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
    // The key of the same name: a signature that does not hold is no reason to ask again.
    assert_eq!(scene.sign_in(|_| {}).await.1.reply.status, 502);
    scene.town.pass(3_600);
    assert_eq!(scene.sign_in(|_| {}).await.1.reply.status, 303, "after an hour");
}

#[tokio::test]
async fn passwords_go_on_while_the_provider_is_down() {
    let lines = format!("[sign_in.oidc]\nissuer = \"http://{}\"\nclient_id = \"gate\"", refusing_address());
    let town = Town::with(|builder| builder.settings(&lines)).await;
    let mut browser = town.browser();
    let shown = browser.get("/sign-in/oidc").await;
    assert_eq!((shown.reply.status, shown.heading()), (503, "You are not signed in"));
    assert_eq!(shown.reply.header("retry-after"), Some("10"));
    assert!(shown.text.contains("does not answer"), "{}", shown.text);
    assert_eq!(browser.sign_in("alice", PASSWORD).await.heading(), "You are signed in");

    let scene = Scene::set().await;
    scene.change(|script| script.issuer = Some("https://evil.test".into()));
    let shown = scene.town.browser().get("/sign-in/oidc").await;
    assert_eq!(shown.heading(), "You are not signed in", "it calls itself something else");
}

#[tokio::test]
async fn without_a_provider_there_is_no_way_to_one() {
    let town = Town::found().await;
    let mut browser = town.browser();
    assert_eq!(browser.get("/sign-in/oidc").await.reply.status, 404);
    assert_eq!(browser.get("/sign-in/oidc/callback?code=x&state=y").await.reply.status, 404);
    assert!(!browser.get("/sign-in").await.text.contains("/sign-in/oidc"));
}
