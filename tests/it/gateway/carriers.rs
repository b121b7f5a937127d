//! Every carrier of a credential, and which one decides.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use channelgate::token::Minted;

use crate::support::gate::Gate;

const INDEX: &str = "/main/noarch/repodata.json";

#[tokio::test]
async fn every_carrier_opens_a_private_channel() {
    let gate = Gate::with_fixtures().await;
    let token = gate.bootstrap_token();
    let basic = |text: String| format!("Basic {}", BASE64_STANDARD.encode(text));
    for (name, target, header, value) in [
        ("path", format!("/t/{token}{INDEX}"), "x-none", String::new()),
        ("path, capital T", format!("/T/{token}{INDEX}"), "x-none", String::new()),
        (
            "path, behind a prefix",
            format!("/team/t/{token}/nested/noarch/repodata.json"),
            "x-none",
            String::new(),
        ),
        (
            "path, before a nested name",
            format!("/t/{token}/team/nested/noarch/repodata.json"),
            "x-none",
            String::new(),
        ),
        ("token", INDEX.into(), "Authorization", format!("token {token}")),
        ("TOKEN", INDEX.into(), "Authorization", format!("TOKEN {token}")),
        ("bearer", INDEX.into(), "Authorization", format!("Bearer {token}")),
        ("basic password", INDEX.into(), "Authorization", basic(format!("anybody:{token}"))),
        ("basic password, no user", INDEX.into(), "Authorization", basic(format!(":{token}"))),
        ("basic user", INDEX.into(), "Authorization", basic(format!("{token}:"))),
        ("basic user, x-oauth-basic", INDEX.into(), "Authorization", basic(format!("{token}:x-oauth-basic"))),
        ("x-api-key", INDEX.into(), "X-API-Key", token.clone()),
        ("x-auth", INDEX.into(), "X-Auth", token.clone()),
        ("empty position, header", format!("/t/{INDEX}"), "Authorization", format!("token {token}")),
        ("masked position, header", format!("/t/*****{INDEX}"), "Authorization", format!("token {token}")),
        (
            "pasted placeholder, header",
            format!("/t/<TOKEN>{INDEX}"),
            "Authorization",
            format!("token {token}"),
        ),
    ] {
        let reply = gate.ask("GET", &target, &[(header, &value)]).await;
        assert_eq!(reply.verdict(), "200", "{name}");
    }
}

#[tokio::test]
async fn the_deciding_credential_refuses_even_if_another_is_good() {
    let gate = Gate::with_fixtures().await;
    let good = gate.bootstrap_token();
    let bad = "cg-00000000000000000000000000000000000000";
    let (good_header, bad_header) = (format!("token {good}"), format!("token {bad}"));
    for (name, target, headers, expected) in [
        (
            "good path, bad header",
            format!("/t/{good}{INDEX}"),
            vec![("authorization", bad_header.as_str())],
            "200",
        ),
        (
            "bad path, good header",
            format!("/t/{bad}{INDEX}"),
            vec![("authorization", good_header.as_str())],
            "401 token_unknown",
        ),
        (
            "good authorization, bad key",
            INDEX.into(),
            vec![("authorization", good_header.as_str()), ("x-api-key", bad)],
            "200",
        ),
        (
            "bad authorization, good key",
            INDEX.into(),
            vec![("authorization", bad_header.as_str()), ("x-api-key", &good)],
            "401 token_unknown",
        ),
        ("good key, bad x-auth", INDEX.into(), vec![("x-api-key", good.as_str()), ("x-auth", bad)], "200"),
        (
            "unknown scheme",
            INDEX.into(),
            vec![("authorization", "Digest x"), ("x-auth", good.as_str())],
            "401 token_unknown",
        ),
        (
            "repeated header",
            format!("/t/{good}{INDEX}"),
            vec![("x-auth", "a"), ("x-auth", "a")],
            "400 request_invalid",
        ),
        (
            "repeated authorization",
            INDEX.into(),
            vec![("authorization", good_header.as_str()), ("authorization", good_header.as_str())],
            "400 request_invalid",
        ),
        (
            "bad credential, public channel",
            format!("/t/{bad}/open/noarch/repodata.json"),
            vec![],
            "401 token_unknown",
        ),
        (
            "blank authorization, good key",
            INDEX.into(),
            vec![("authorization", ""), ("x-api-key", good.as_str())],
            "200",
        ),
        ("blank header", INDEX.into(), vec![("x-api-key", " ")], "401 token_missing"),
        (
            "blank header, public channel",
            "/open/noarch/repodata.json".into(),
            vec![("authorization", "")],
            "200",
        ),
        (
            "scheme without a token, public channel",
            "/open/noarch/repodata.json".into(),
            vec![("authorization", "Bearer ")],
            "401 token_unknown",
        ),
        ("masked, public channel", "/t/*****/open/noarch/repodata.json".into(), vec![], "200"),
    ] {
        assert_eq!(gate.ask("GET", &target, &headers).await.verdict(), expected, "{name}");
    }
}

#[tokio::test]
async fn malformed_and_unknown_tokens_get_the_same_answer_while_the_store_is_down() {
    let gate = Gate::with_fixtures().await;
    let unknown = Minted::random().unwrap();
    let both = [unknown.expose(), "nonsense"];
    for token in both {
        assert_eq!(gate.get(&format!("/t/{token}{INDEX}")).await.verdict(), "401 token_unknown", "{token}");
    }
    std::fs::rename(gate.directory.path().join("var"), gate.directory.path().join("away")).unwrap();
    let began = Instant::now();
    // Noticed by the next reading of the feed.
    while gate.get(&format!("/t/nonsense{INDEX}")).await.verdict() == "401 token_unknown" {
        assert!(began.elapsed() < Duration::from_secs(10), "not noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for token in both {
        for channel in [INDEX, "/open/noarch/repodata.json"] {
            let reply = gate.get(&format!("/t/{token}{channel}")).await;
            assert_eq!(reply.verdict(), "503 store_unavailable", "{token} {channel}");
            assert!(reply.header("retry-after").is_some(), "{token} {channel}");
        }
    }
}

#[tokio::test]
async fn a_masked_token_is_named_in_the_refusal() {
    let gate = Gate::with_fixtures().await;
    for target in [
        "/t/*****/main/noarch/repodata.json",
        "/t/%3CTOKEN%3E/main/noarch/repodata.json",
        "/t/<TOKEN>/main/noarch/repodata.json",
    ] {
        let reply = gate.get(target).await;
        assert_eq!(reply.verdict(), "401 token_missing", "{target}");
        assert!(reply.json()["detail"].as_str().unwrap().contains("masked token"), "{target}");
    }
}
