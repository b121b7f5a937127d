//! Signing in by a password and out again, through the pages.

use std::sync::Arc;

use channelgate::store::Actor;

use super::people::{PASSWORD, Town};
use crate::support::client::Connection;
use crate::support::gate::{Builder, Gate};
use crate::support::tls::Identity;

const SESSION: &str = "__Host-channelgate-session";
const VISIT: &str = "__Host-channelgate-visit";

#[tokio::test]
async fn person_signs_in_and_out() {
    let town = Town::found().await;
    let mut browser = town.browser();
    let page = browser.get("/sign-in").await;
    assert_eq!((page.reply.status, page.heading()), (200, "Sign in"));
    let answer = browser.send(&page, "/sign-in", &[("user", " alice "), ("password", PASSWORD)]).await;
    assert_eq!((answer.reply.status, answer.location()), (303, "/sign-in"));
    let page = browser.get("/sign-in").await;
    assert_eq!(page.heading(), "You are signed in");
    assert!(page.text.contains("<strong>alice</strong>"), "{}", page.text);
    assert_eq!(town.audit(&["user.sign_in"]).await, [("user.sign_in".into(), "user:alice".into())]);

    let left = browser.send(&page, "/sign-out", &[]).await;
    assert_eq!(left.location(), "/sign-in?left=1");
    assert!(!browser.cookies.contains_key(SESSION), "{:?}", browser.cookies);
    let page = browser.get("/sign-in?left=1").await;
    assert!(page.text.contains("You are signed out."), "{}", page.text);
}

#[tokio::test]
async fn session_ends_by_its_time_on_sign_out_and_with_its_user() {
    let town = Town::found().await;
    let value = |browser: &super::browser::Browser| browser.cookies[SESSION].clone();
    let mut browser = town.browser_of("alice").await;
    town.pass(12 * 3_600 - 1);
    assert_eq!(browser.get("/sign-in").await.heading(), "You are signed in");
    town.pass(1);
    assert_eq!(browser.get("/sign-in").await.heading(), "Sign in");

    let mut browser = town.browser_of("alice").await;
    let stolen = value(&browser);
    let page = browser.get("/sign-in").await;
    browser.send(&page, "/sign-out", &[]).await;
    browser.cookies.insert(SESSION.into(), stolen);
    assert_eq!(browser.get("/sign-in").await.heading(), "Sign in", "the cookie is worth nothing any more");

    let mut browser = town.browser_of("alice").await;
    town.gate.store().disable_user("alice", &Actor::gate(), town.gate.app.clock().now()).await.unwrap();
    assert_eq!(browser.get("/sign-in").await.heading(), "Sign in");
    let page = town.browser().sign_in("alice", PASSWORD).await;
    assert_eq!(page.mistake(), Some("Your account was disabled. Ask your administrator."));
}

#[tokio::test]
async fn whoever_is_not_known_is_told_the_same_as_whoever_mistypes() {
    let town = Town::found().await;
    let mut told = Vec::new();
    // Wrong password, no password, no such user, no possible user.
    for user in ["alice", "carol", "nobody", "no body'; --"] {
        let mut browser = town.browser();
        let page = browser.sign_in(user, "wrong").await;
        assert_eq!(page.reply.status, 403);
        assert!(!browser.cookies.contains_key(SESSION));
        let typed = page.text.find("value=\"").map(|_| page.mistake().unwrap().to_owned());
        told.push((page.reply.status, typed, page.reply.header("retry-after").map(str::to_owned)));
    }
    assert_eq!(told[0].1.as_deref(), Some("The user name or the password is not right."));
    assert!(told.iter().all(|other| *other == told[0]), "{told:?}");
    assert_eq!(town.audit(&["user.sign_in"]).await, []);
}

#[tokio::test]
async fn attempts_are_throttled_for_known_and_unknown_alike() {
    let town = Town::found().await;
    for user in ["alice", "nobody"] {
        for _ in 0..6 {
            assert_eq!(town.browser().sign_in(user, "wrong").await.reply.status, 403, "{user}");
        }
        let page = town.browser().sign_in(user, PASSWORD).await;
        assert_eq!(page.reply.status, 429, "{user}, even by the right password");
        assert_eq!(page.reply.header("retry-after"), Some("1"));
        assert_eq!(page.mistake(), Some("There were too many attempts. Try again in 1 second."));
    }
    town.pass(1);
    assert_eq!(town.browser().sign_in("alice", PASSWORD).await.heading(), "You are signed in");
    assert_eq!(
        town.browser().sign_in("bob", PASSWORD).await.heading(),
        "You are signed in",
        "never throttled"
    );
}

#[tokio::test]
async fn address_that_tries_many_names_is_throttled() {
    let town = Town::found().await;
    for n in 0..21 {
        assert_eq!(town.browser().sign_in(&format!("user{n}"), "wrong").await.reply.status, 403);
    }
    assert_eq!(town.browser().sign_in("user99", "wrong").await.reply.status, 429);
}

#[tokio::test]
async fn passwords_are_checked_a_few_at_a_time_and_more_are_turned_away() {
    let town =
        Arc::new(Town::with(|builder| builder.settings("listen.trusted_proxies = [\"127.0.0.1\"]")).await);
    let mut trying = tokio::task::JoinSet::new();
    for n in 0..60 {
        let town = Arc::clone(&town);
        trying.spawn(async move {
            let mut browser = town.browser();
            browser.says.push(("X-Forwarded-For".into(), format!("203.0.113.{n}")));
            browser.sign_in(&format!("user{n}"), "wrong").await.reply.status
        });
    }
    let statuses = trying.join_all().await;
    assert!(statuses.iter().all(|status| [403, 503].contains(status)), "{statuses:?}");
    // At least those that fit into the room were checked; nobody was throttled by an address that is a proxy's.
    assert!(statuses.iter().filter(|status| **status == 403).count() >= 18, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn people_behind_one_address_sign_in_at_the_same_moment() {
    // By the real clock, for they arrive in another order than they are let try.
    let town = Arc::new(Town::with(Builder::real_clock).await);
    for n in 0..12 {
        town.settle(&format!("person{n}"), Some(PASSWORD), false).await;
    }
    for _ in 0..5 {
        let mut arriving = tokio::task::JoinSet::new();
        for n in 0..12 {
            let town = Arc::clone(&town);
            arriving.spawn(async move {
                let page = town.browser().sign_in(&format!("person{n}"), PASSWORD).await;
                page.mistake().unwrap_or(page.heading()).to_owned()
            });
        }
        assert_eq!(arriving.join_all().await, ["You are signed in"; 12]);
    }
}

#[tokio::test]
async fn forms_of_other_sites_sign_nobody_in_or_out() {
    let town = Town::found().await;
    let fields = [("user", "alice"), ("password", PASSWORD)];
    let mut browser = town.browser();
    assert_eq!(browser.post("/sign-in", &fields).await.reply.status, 403, "no proof, no cookie");
    let page = browser.get("/sign-in").await;
    assert_eq!(browser.post("/sign-in", &fields).await.reply.status, 403, "no proof");

    let mut stranger = town.browser();
    stranger.get("/sign-in").await;
    let answer = stranger.send(&page, "/sign-in", &fields).await;
    assert_eq!(answer.reply.status, 403, "the proof is another browser's");
    assert!(
        answer.mistake().unwrap().starts_with("This page was open for too long"),
        "{:?}",
        answer.mistake()
    );

    for says in [("Origin", "https://evil.test"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")] {
        let mut lured = town.browser();
        let page = lured.get("/sign-in").await;
        lured.says = vec![(says.0.to_owned(), says.1.to_owned())];
        assert_eq!(lured.send(&page, "/sign-in", &fields).await.reply.status, 403, "{says:?}");
    }
    let late = browser.get("/sign-in").await;
    town.pass(12 * 3_600);
    assert_eq!(browser.send(&late, "/sign-in", &fields).await.reply.status, 403, "too late");

    let mut browser = town.browser_of("alice").await;
    let out = browser.post("/sign-out", &[]).await;
    assert_eq!((out.reply.status, out.heading()), (403, "You are signed in"));
    assert_eq!(browser.get("/sign-in").await.heading(), "You are signed in", "nobody else signs her out");
}

#[tokio::test]
async fn signing_in_makes_a_new_session_and_ends_the_one_that_was_there() {
    let town = Town::found().await;
    let mut attacker = town.browser_of("bob").await;
    let planted = attacker.cookies[SESSION].clone();
    let mut victim = town.browser();
    victim.cookies.insert(SESSION.into(), planted.clone());
    victim.get("/sign-out").await;
    let page = victim.get("/sign-in").await;
    assert_eq!(page.heading(), "You are signed in", "as bob, which she does not notice");
    // She signs in as herself all the same: the session is another one, and that of before is over.
    victim.cookies.remove(SESSION);
    let page = victim.get("/sign-in").await;
    victim.cookies.insert(SESSION.into(), planted.clone());
    victim.send(&page, "/sign-in", &[("user", "alice"), ("password", PASSWORD)]).await;
    assert_ne!(victim.cookies[SESSION], planted);
    assert!(victim.get("/sign-in").await.text.contains("<strong>alice</strong>"));
    assert_eq!(attacker.get("/sign-in").await.heading(), "Sign in");
    assert!(!victim.cookies.contains_key(VISIT), "what she signed in with is not used again");
}

#[tokio::test]
async fn links_lead_to_the_gates_own_pages_only() {
    let town = Town::found().await;
    for (next, leads) in [
        ("/device?user_code=BCDFG-HJKLM", "/device?user_code=BCDFG-HJKLM"),
        ("//evil.test/device", "/sign-in"),
        ("https://evil.test/", "/sign-in"),
        ("/\\evil.test", "/sign-in"),
        ("/device\r\nSet-Cookie: a=b", "/sign-in"),
    ] {
        let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let mut browser = town.browser();
        let page = browser.get(&format!("/sign-in?next={encoded}")).await;
        let answer = browser.send(&page, "/sign-in", &[("user", "alice"), ("password", PASSWORD)]).await;
        assert_eq!(answer.location(), leads, "{next}");
        let mut browser = town.browser();
        let page = browser.get("/sign-in").await;
        let fields = [("user", "alice"), ("password", PASSWORD), ("next", next)];
        assert_eq!(
            browser.send(&page, "/sign-in", &fields).await.location(),
            leads,
            "{next}, changed in the form"
        );
    }
}

#[tokio::test]
async fn pages_load_nothing_and_are_framed_by_nobody() {
    let town = Town::found().await;
    let mut browser = town.browser();
    for target in
        ["/sign-in", "/device", "/device?user_code=x", "/app/local-login-success", "/sign-in/nothing"]
    {
        let page = browser.get(target).await;
        let policy = page.reply.header("content-security-policy").unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{target}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'; base-uri 'none'"), "{target}: {policy}");
        assert_eq!(page.reply.header("cache-control"), Some("no-store"), "{target}");
        assert_eq!(page.reply.header("content-type"), Some("text/html; charset=utf-8"), "{target}");
        assert!(!page.text.contains("<script"), "{target}");
    }
    assert_eq!(browser.ask_with("DELETE", "/sign-in").await.reply.status, 405);
}

#[tokio::test]
async fn nobody_signs_in_without_tls_and_the_pages_say_so() {
    let gate = Gate::builder().fixtures().start().await;
    for target in ["/sign-in", "/device", "/sign-in/oidc", "/api/auth/oauth2/authorize"] {
        let reply = gate.get(target).await;
        let text = String::from_utf8(reply.body.clone()).unwrap();
        assert_eq!(reply.status, 403, "{target}");
        assert!(text.contains("<h1>Signing in needs TLS</h1>"), "{target}: {text}");
        assert!(reply.header("set-cookie").is_none(), "{target}");
    }
    assert_eq!(gate.get("/.well-known/openid-configuration").await.json()["error"], "invalid_request");
    // A proxy that does TLS is as good.
    let gate = Gate::builder()
        .fixtures()
        .settings("listen.public_url = \"https://conda.example.org/\"")
        .start()
        .await;
    assert_eq!(gate.get("/sign-in").await.status, 200);
    let described = gate.get("/.well-known/openid-configuration").await.json();
    assert_eq!(described["token_endpoint"], "https://conda.example.org/api/auth/oauth2/token");
}

#[tokio::test]
async fn passwords_count_nowhere_on_channels_and_can_be_switched_off() {
    let identity = Arc::new(Identity::new());
    let town = Town::found().await;
    let mut browser = town.browser_of("alice").await;
    let index = "/main/noarch/repodata.json";
    assert_eq!(browser.get(index).await.reply.status, 401, "nor does the cookie");
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("alice:{PASSWORD}"));
    let mut connection = Connection::over(town.identity.connect(town.gate.data(), &[b"http/1.1"]).await);
    let reply = connection.ask("GET", index, &[("Authorization", &format!("Basic {basic}"))]).await;
    assert_eq!(reply.verdict(), "401 token_unknown");
    drop(identity);

    let town = Town::with(|builder| builder.settings("sign_in.password = false")).await;
    let page = town.browser().get("/sign-in").await;
    assert_eq!((page.reply.status, page.heading()), (503, "Nobody can sign in here"));
    let lines =
        "[sign_in]\npassword = false\noidc = { issuer = \"https://id.example.org\", client_id = \"gate\" }";
    let town = Town::with(|builder| builder.settings(lines)).await;
    let mut browser = town.browser();
    let page = browser.get("/sign-in").await;
    assert!(
        !page.text.contains("type=\"password\"") && page.text.contains("id.example.org"),
        "{}",
        page.text
    );
    let lured = [("user", "alice"), ("password", PASSWORD)];
    let answer = browser.post("/sign-in", &lured).await;
    assert_eq!(answer.reply.status, 403);
    assert!(!browser.cookies.contains_key(SESSION));
}
