//! What people type and what browsers and programs are given to keep: a whole sign-in with all its secrets, wrong ones and right ones.
//!
//! A proxy does TLS in front of this gate, as far as it knows, so that its pages work over a plain connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use channelgate::account::{NewUser, PasswordHash, Role};
use channelgate::store::{self, Actor, Store};

use super::probes::Canary;
use super::{Scene, assert_nowhere, log_of, page};
use crate::support::client::{Connection, Reply};
use crate::support::process::{Place, Process};

const CLIENT: &str = "b4ad7f1d-c784-46b5-a9fe-106e50441f5a";
const RIGHT: &str = "right-password-of-alice-canary-0001";
const WRONG: &str = "wrong-password-of-nobody-canary-0002";
const VERIFIER: &str = "verifier-0003-dBjftJeZ4CVPmB92K27uhbUJU1p1rwW1gFWFOEjXk";

/// One browser, or program, that keeps what it is given.
struct Client {
    address: SocketAddr,
    cookies: BTreeMap<String, String>,
}

impl Client {
    async fn ask(&mut self, method: &str, target: &str, body: &str) -> (Reply, String) {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut connection = Connection::open(self.address).await;
        connection
            .send_raw(format!(
                "{method} {target} HTTP/1.1\r\nHost: gate.test\r\nOrigin: https://gate.test\r\nCookie: {}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
                cookies.join("; "),
                body.len()
            ))
            .await;
        let reply = connection.answer(method).await;
        for (name, line) in &reply.headers {
            if name == "set-cookie" {
                let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        (reply, text)
    }

    async fn sign_in(&mut self, password: &str) -> u16 {
        let (_, page) = self.ask("GET", "/sign-in", "").await;
        let body = format!("proof={}&user=alice&password={password}", hidden(&page, "/sign-in", "proof"));
        self.ask("POST", "/sign-in", &body).await.0.status
    }
}

/// A hidden field of the form that is sent to `action`.
fn hidden(page: &str, action: &str, name: &str) -> String {
    let form = page
        .split("<form ")
        .find(|form| form.contains(&format!("method=\"post\" action=\"{action}\"")))
        .unwrap();
    let (_, rest) = form.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{form}"));
    rest.split('"').next().unwrap().to_owned()
}

fn member(text: &str, name: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {text}")).to_owned()
}

async fn alice(place: &Place) -> Store {
    let url = format!("sqlite:{}", place.path("var/channelgate.db").display());
    let store = Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap();
    let now = "2026-11-01T00:00:00Z".parse().unwrap();
    let password_hash = Some(PasswordHash::of(RIGHT, &[3; 16]).unwrap());
    let user = NewUser { name: "alice".into(), email: None, password_hash };
    store.create_user(&user, &Actor::gate(), now).await.unwrap();
    store.assign_seat("default", "alice", Role::Member, &Actor::gate(), now).await.unwrap();
    store
}

/// Goes through everything, and tells the secrets that came up.
async fn converse(gate: &Process) -> Vec<Canary> {
    let mut browser = Client { address: gate.data, cookies: BTreeMap::new() };
    let mut program = Client { address: gate.data, cookies: BTreeMap::new() };
    assert_eq!(browser.sign_in(WRONG).await, 403);
    // What is typed into the wrong field is no secret of a form any more, but it must not stay here.
    browser.ask("GET", &format!("/device?user_code={WRONG}"), "").await;
    assert_eq!(browser.sign_in(RIGHT).await, 303);

    let id = format!("client_id={CLIENT}");
    let (_, begun) = program.ask("POST", "/api/auth/oauth2/device", &id).await;
    let (device, code) = (member(&begun, "device_code"), member(&begun, "user_code"));
    let (_, page) = browser.ask("GET", &format!("/device?user_code={code}"), "").await;
    let proof = hidden(&page, "/device", "proof");
    let body = format!("proof={proof}&user_code={code}&organization=default&answer=approve");
    assert_eq!(browser.ask("POST", "/device", &body).await.0.status, 303);
    let grant = format!("{id}&grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code={device}");
    let (_, granted) = program.ask("POST", "/api/auth/oauth2/token", &grant).await;
    let access = member(&granted, "access_token");
    program.ask("POST", "/api/auth/oauth2/token", &grant).await;

    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
    let redirect = "redirect_uri=http%3A%2F%2F127.0.0.1%3A8000%2Fauth%2Foidc";
    let authorize = "/api/auth/oauth2/authorize";
    let target = format!(
        "{authorize}?{id}&response_type=code&{redirect}&code_challenge={challenge}&code_challenge_method=S256"
    );
    let (_, page) = browser.ask("GET", &target, "").await;
    let (proof, request) = (hidden(&page, authorize, "proof"), hidden(&page, authorize, "request"));
    let body = format!("proof={proof}&request={request}&organization=default&answer=approve");
    let (answer, _) = browser.ask("POST", authorize, &body).await;
    let authorization = answer.header("location").unwrap().split("code=").nth(1).unwrap().to_owned();
    let grant = format!(
        "{id}&grant_type=authorization_code&code={authorization}&{redirect}&code_verifier={VERIFIER}"
    );
    let (_, granted) = program.ask("POST", "/api/auth/oauth2/token", &grant).await;
    let second_access = member(&granted, "access_token");

    let session = browser.cookies["__Host-channelgate-session"].clone();
    let mut canaries: Vec<Canary> = [
        ("password", RIGHT),
        ("wrong password", WRONG),
        ("session", &session),
        ("device code", &device),
        ("access token", &access),
        ("authorization code", &authorization),
        ("second access token", &second_access),
        ("verifier", VERIFIER),
        ("proof", &proof),
        ("sealed request", &request),
    ]
    .map(|(name, value)| Canary::new(name, value))
    .to_vec();
    let mut user_code = canaries[0].clone();
    user_code.core = code;
    canaries.push(user_code);
    canaries
}

#[tokio::test]
async fn secrets_of_people_come_out_nowhere() {
    let place = Place::empty();
    place.configure("log.level = \"trace\"\nlisten.public_url = \"https://gate.test\"\n");
    let gate = place.serve();
    let store = alice(&place).await;
    let canaries = converse(&gate).await;
    let audit = store.audit(&store::AuditFilter::default()).await.unwrap();
    let mut pages = vec![("the audit".to_owned(), format!("{audit:?}"))];
    for path in ["/readyz", "/metrics"] {
        pages.push(page(gate.admin, path).await);
    }
    assert!(
        pages
            .iter()
            .any(|(_, text)| text.contains("channelgate_sign_ins_total{by=\"password\",outcome=\"ok\"} 1"))
    );
    let log = log_of(&gate).await;
    for told in ["/sign-in", "/api/auth/oauth2/token", "invalid_grant", "sign_in_refused"] {
        assert!(log.contains(told), "{told} is not in the log");
    }
    let scene = Scene { log, pages, data_dir: place.path("var"), ..Scene::default() };
    assert_nowhere(&scene, &canaries);
}
