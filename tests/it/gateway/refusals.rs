//! The refusal table: every status, code and sentence that a person may meet, through the front door.

use channelgate::token::{EndCause, Minted};

use crate::support::client::Reply as Answer;
use crate::support::faulty::{Faulty, Reply};
use crate::support::gate::Gate;
use crate::support::http2::Http2;

const INDEX: &str = "noarch/repodata.json";

#[tokio::test]
async fn every_refusal_has_its_status_code_and_story() {
    let gate = Gate::builder()
        .fixtures()
        .channel_with("theirs", "orgs = [\"acme\"]\nupstreams = [\"file:///tmp\"]")
        .manual_clock()
        .start()
        .await;
    let narrow = gate.scoped("narrow", "repos", Some(&["team/nested"]), None).await;
    let pypi = gate.scoped("pypi", "pypi", None, None).await;
    let brief = gate.scoped("brief", "repos", None, Some("2027-01-02")).await;
    let revoked = gate.scoped("revoked", "repos", None, None).await;
    gate.end(&revoked, EndCause::Revoked).await;
    let replaced = gate.scoped("replaced", "repos", None, None).await;
    gate.end(&replaced, EndCause::Replaced).await;
    let cancelled = gate.scoped("cancelled", "repos", None, None).await;
    gate.end(&cancelled, EndCause::SubscriptionEnded).await;
    let unseated = gate.scoped("unseated", "repos", None, None).await;
    gate.end(&unseated, EndCause::SeatRemoved).await;
    assert_eq!(gate.get(&format!("/t/{}/main/{INDEX}", brief.value)).await.status, 200, "not yet expired");
    gate.hands.as_ref().unwrap().advance(std::time::Duration::from_secs(2 * 24 * 3_600));

    let with = |token: &str, channel: &str| format!("/t/{token}/{channel}/{INDEX}");
    let unknown = "cg-00000000000000000000000000000000000000";
    for (name, target, verdict, told) in [
        (
            "no credential",
            format!("/main/{INDEX}"),
            "401 token_missing",
            "\"main\" is not served without a token",
        ),
        (
            "no credential, no such channel",
            format!("/none/{INDEX}"),
            "401 token_missing",
            "\"none\" is not served without a token",
        ),
        ("nonsense", with("nonsense", "main"), "401 token_unknown", "does not know the token"),
        ("unknown", with(unknown, "main"), "401 token_unknown", "does not know the token"),
        (
            "unknown, foreign form",
            with("0123456789-0123456789", "main"),
            "401 token_unknown",
            "does not know the token",
        ),
        ("expired", with(&brief.value, "main"), "401 token_expired", "token \"brief\""),
        (
            "expired, public channel",
            with(&brief.value, "open"),
            "401 token_expired",
            "expired on 2027-01-02T00:00:00Z",
        ),
        ("revoked", with(&revoked.value, "main"), "401 token_revoked", "token \"revoked\""),
        ("replaced", with(&replaced.value, "main"), "401 token_replaced", "Install the newer token"),
        ("cancelled", with(&cancelled.value, "main"), "401 subscription_ended", "subscription"),
        ("unseated", with(&unseated.value, "main"), "401 seat_removed", "seat"),
        (
            "other channel",
            with(&narrow.value, "main"),
            "403 channel_forbidden",
            "may not read channel \"main\"",
        ),
        (
            "other organization's channel",
            with(&narrow.value, "theirs"),
            "403 channel_forbidden",
            "\"theirs\"",
        ),
        ("no such channel", with(&narrow.value, "none"), "403 channel_forbidden", "\"none\""),
        ("no scope", with(&pypi.value, "main"), "403 scope_missing", "scopes \"pypi\""),
        ("no scope, no such channel", with(&pypi.value, "none"), "403 scope_missing", "scopes \"pypi\""),
        (
            "no such file",
            format!("/t/{}/team/nested/noarch/x-1-0.conda", narrow.value),
            "404 not_found",
            "no such file",
        ),
        ("no such file, public", "/open/noarch/x-1-0.conda".into(), "404 not_found", "no such file"),
        ("no channel, no credential", "/main".into(), "401 token_missing", "This address is not served"),
        (
            "no channel",
            format!("/t/{}/elsewhere", narrow.value),
            "403 channel_forbidden",
            "may not read this address",
        ),
        ("no file", format!("/t/{}/team/nested", narrow.value), "404 not_found", "\"team\" has no such file"),
        ("bad path", "/main/noarch/..".into(), "400 path_invalid", "begins with a dot"),
        ("notices, private, no credential", "/main/notices.json".into(), "404 not_found", "no such file"),
        ("notices, no such channel", "/none/notices.json".into(), "404 not_found", "no such file"),
        (
            "notices, bad credential",
            format!("/t/{unknown}/open/notices.json"),
            "401 token_unknown",
            "does not know",
        ),
    ] {
        let reply = gate.get(&target).await;
        assert_eq!(reply.verdict(), verdict, "{name}");
        let problem = reply.json();
        let members = problem.as_object().unwrap();
        assert_eq!(problem["status"], reply.status, "{name}");
        for member in ["type", "title", "detail", "code", "reason", "message", "request_id"] {
            assert!(members[member].is_string(), "{name}: {member}");
        }
        assert_eq!(members.len(), 9, "{name}");
        assert_eq!(problem["error"]["code"], problem["code"], "{name}");
        assert_eq!(problem["error"]["message"], problem["detail"], "{name}");
        assert_eq!(problem["request_id"].as_str(), reply.header("x-request-id"), "{name}");
        assert!(problem["detail"].as_str().unwrap().contains(told), "{name}: {}", problem["detail"]);
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{name}");
        let challenges: Vec<_> =
            reply.headers.iter().filter(|(name, _)| name == "www-authenticate").collect();
        assert_eq!(challenges.len(), if reply.status == 401 { 3 } else { 0 }, "{name}: {challenges:?}");
        let head = gate.head(&target).await;
        assert_eq!(
            (head.status, head.header("content-type")),
            (reply.status, reply.header("content-type")),
            "{name}"
        );
    }
}

/// Nobody learns from a refusal whether a channel exists: not from its status, its headers or its words, over no protocol.
#[tokio::test]
async fn refusals_do_not_tell_whether_a_channel_exists() {
    let upstream = Faulty::start(|_| Reply::new(200).body("{}")).await;
    let gate = Gate::builder()
        .fixtures()
        .channel_with("secret/inner", &format!("orgs = [\"acme\"]\nupstreams = [\"{}\"]", upstream.url("")))
        .start()
        .await;
    let http2 = Http2::open(gate.data()).await;
    let token = gate.scoped("narrow", "repos", Some(&["main"]), None).await.value;
    let pypi = gate.scoped("pypi", "pypi", None, None).await.value;
    let revoked = gate.scoped("revoked", "repos", None, None).await;
    gate.end(&revoked, EndCause::Revoked).await;
    let header = format!("Bearer {token}");
    for tail in [
        INDEX,
        "noarch/repodata_shards.msgpack.zst",
        "noarch",
        "noarch/a/b/c",
        "label/dev/noarch/x.conda",
        "label/dev",
        "label",
        "notices.json",
        "label/dev/notices.json",
        "channeldata.json",
        "deeper/noarch/repodata.json",
        "icons/x.png",
        "deeper/notices.json",
        "nothing",
    ] {
        for (prefix, headers) in [
            (String::new(), vec![]),
            (format!("/t/{token}"), vec![]),
            (format!("/t/{pypi}"), vec![]),
            (format!("/t/{}", revoked.value), vec![]),
            ("/t/*****".into(), vec![]),
            ("/t/wrong".into(), vec![]),
            (String::new(), vec![("authorization", header.as_str())]),
            (String::new(), vec![("x-api-key", token.as_str())]),
            (String::new(), vec![("x-auth", pypi.as_str())]),
        ] {
            for method in ["GET", "HEAD"] {
                let mut answers = Vec::new();
                for channel in ["secret/inner", "secrat/inner", "secret/innes"] {
                    let target = format!("{prefix}/{channel}/{tail}");
                    let http1 = gate.ask(method, &target, &headers).await;
                    assert!(http1.status >= 401, "{method} {target}");
                    let http2 = http2.ask(method, &target, &headers).await;
                    answers.push([without_names(&http1, channel), without_names(&http2, channel)]);
                }
                assert_eq!(answers[0], answers[1], "{method} {prefix}/…/{tail}");
                assert_eq!(answers[0], answers[2], "{method} {prefix}/…/{tail}");
            }
        }
    }
    assert_eq!(upstream.connections(), 0, "nor from how long an upstream takes");
}

/// A response without what differs anyway: the moment, the request's id and the name that was asked for.
fn without_names(reply: &Answer, channel: &str) -> (u16, Vec<(String, String)>, String) {
    let id = reply.header("x-request-id").unwrap();
    let body = String::from_utf8(reply.body.clone()).unwrap().replace(id, "ID").replace(channel, "CHANNEL");
    let headers = reply.headers.iter().filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"));
    (reply.status, headers.cloned().collect(), body)
}

/// A token's end counts on a connection that is already open.
#[tokio::test]
async fn expiry_is_checked_on_every_request_of_a_connection() {
    let gate = Gate::builder().fixtures().manual_clock().start().await;
    let token = gate.scoped("brief", "repos", None, Some("2027-01-02")).await.value;
    let mut connection = crate::support::client::Connection::open(gate.data()).await;
    let target = format!("/t/{token}/main/{INDEX}");
    assert_eq!(connection.ask("GET", &target, &[]).await.status, 200);
    gate.hands.as_ref().unwrap().advance(std::time::Duration::from_secs(24 * 3_600));
    assert_eq!(connection.ask("GET", &target, &[]).await.verdict(), "401 token_expired");
}

#[tokio::test]
async fn tokens_that_one_address_makes_up_are_not_looked_up_for_ever() {
    let gate = Gate::builder()
        .fixtures()
        .settings("verify.wrong_per_second_max = 1\nlisten.trusted_proxies = [\"127.0.0.1\"]")
        .manual_clock()
        .start()
        .await;
    let known = gate.scoped("known", "repos", None, None).await;
    let with = |token: &str, file: &str| format!("/t/{token}/main/{file}");
    let made_up = || with(Minted::random().unwrap().expose(), INDEX);
    assert_eq!(gate.get(&with(&known.value, INDEX)).await.status, 200);
    for number in 0..3 {
        assert_eq!(gate.get(&made_up()).await.verdict(), "401 token_unknown", "{number}");
    }
    for (name, target, verdict) in [
        ("index", made_up(), "503 overloaded"),
        ("package", with(Minted::random().unwrap().expose(), "noarch/x-1-0.conda"), "429 rate_limited"),
    ] {
        let reply = gate.get(&target).await;
        assert_eq!(reply.verdict(), verdict, "{name}");
        assert!(reply.header("retry-after").is_some(), "{name}");
    }
    assert_eq!(
        gate.get(&with("nonsense", INDEX)).await.verdict(),
        "401 token_unknown",
        "is not looked up anyway"
    );
    assert_eq!(gate.get(&with(&known.value, INDEX)).await.status, 200, "whose token is known is served");
    let elsewhere = gate.ask("GET", &made_up(), &[("x-forwarded-for", "192.0.2.7")]).await;
    assert_eq!(elsewhere.verdict(), "401 token_unknown", "others are not concerned");
    gate.hands.as_ref().unwrap().advance(std::time::Duration::from_secs(1));
    assert_eq!(gate.get(&made_up()).await.verdict(), "401 token_unknown", "a second later");
    assert_eq!(gate.get(&made_up()).await.verdict(), "503 overloaded");
}
