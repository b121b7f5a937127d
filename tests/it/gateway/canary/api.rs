//! What is sent to the admin API: canaries in every place of a request, with and without a token that opens it, and tokens that it makes.

use std::net::SocketAddr;
use std::time::Duration;

use channelgate::store::{Actor, NewToken, Purpose, Store};
use channelgate::token::Minted;

use super::probes::Canary;
use crate::support::client::Connection;

/// What came back, by probe, and the canaries that came into being: the token that opened the API, and those that it made. The answers that
/// showed these are not among those that came back.
pub(super) async fn drive(
    admin: SocketAddr,
    store: &Store,
    canaries: &[Canary],
) -> (Vec<(String, String)>, Vec<Canary>) {
    let root = root(store).await;
    let bearer = format!("Bearer {root}");
    let mut made = vec![Canary::new("root", &root)];
    let mut replies = Vec::new();
    for canary in canaries {
        for (name, method, target, headers, body) in probes(&canary.value, &bearer) {
            let reply = send(admin, &method, &target, &headers, &body).await;
            replies.push((format!("{}: API, {name}", canary.name), reply));
        }
    }
    let org = "/api/v1/organizations/default";
    let json = |text: &str| text.to_owned();
    for (place, body) in [
        ("tokens", json("{\"name\":\"made\",\"scopes\":[\"all\"]}")),
        ("site-token", json("{\"grace\":\"1h\"}")),
    ] {
        let headers = [("Authorization", bearer.clone()), ("Idempotency-Key", place.to_owned())];
        let answer = send(admin, "POST", &format!("{org}/{place}"), &headers, &body).await;
        let value = answer.split("\"token\":\"").nth(1).unwrap_or_else(|| panic!("{answer}"));
        made.push(Canary::new("made", value.split('"').next().unwrap()));
        let again = send(admin, "POST", &format!("{org}/{place}"), &headers, &body).await;
        assert!(again.contains("idempotency-replayed: true"), "{again}");
        replies.push((format!("{place}, repeated"), again));
    }
    for path in ["", "/tokens?limit=1000", "/audit?limit=1000", "/site-token"] {
        let headers = [("Authorization", bearer.clone())];
        replies.push((path.to_owned(), send(admin, "GET", &format!("{org}{path}"), &headers, "").await));
    }
    (replies, made)
}

type ApiProbe = (&'static str, String, String, Vec<(&'static str, String)>, String);

fn probes(value: &str, bearer: &str) -> Vec<ApiProbe> {
    let org = "/api/v1/organizations/default";
    let mut probes: Vec<ApiProbe> = Vec::new();
    let mut add = |name, method: &str, target: String, headers: &[(&'static str, &str)], body: String| {
        let headers = headers.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        probes.push((name, method.to_owned(), target, headers, body));
    };
    let root = [("Authorization", bearer)];
    for path in [
        format!("/{value}"),
        format!("/api/{value}"),
        format!("/api/v1/{value}"),
        format!("/t/{value}/api/v1/organizations"),
        format!("/api/v1/t/{value}/organizations"),
        format!("/api/v1/organizations/{value}"),
        format!("/api/v1/organizations/{value}/seats"),
        format!("{org}/{value}"),
        format!("{org}/seats/{value}"),
        format!("{org}/seats/{value}/token"),
        format!("{org}/tokens/{value}"),
        format!("{org}/groups/{value}"),
        format!("{org}/restrictions/{value}"),
        format!("{org}/seats?after={value}"),
        format!("{org}/seats?limit={value}"),
        format!("{org}/seats?{value}=1"),
        format!("{org}/tokens?after={value}"),
        format!("{org}/tokens?expiring={value}"),
        format!("{org}/audit?since={value}"),
        format!("{org}/audit?after={value}"),
        format!("/api/v1/audit/verify?head={value}"),
    ] {
        add("path", "GET", path.clone(), &root, String::new());
        add("path, nobody", "GET", path.clone(), &[], String::new());
        add("path, deleted", "DELETE", path, &root, String::new());
    }
    for (carrier, text) in [
        ("Authorization", format!("token {value}")),
        ("Authorization", format!("Bearer {value}")),
        ("Authorization", format!("Digest {value}")),
        ("Authorization", value.to_owned()),
        ("X-API-Key", value.to_owned()),
        ("X-Auth", value.to_owned()),
    ] {
        add("carrier", "GET", format!("{org}/seats"), &[(carrier, &text)], String::new());
        add(
            "carrier, twice",
            "POST",
            format!("{org}/groups"),
            &[(carrier, &text), (carrier, &text)],
            "{}".into(),
        );
        add(
            "carrier, scope",
            "POST",
            format!("{org}/groups"),
            &[(carrier, &text)],
            "{\"name\":\"x\"}".into(),
        );
    }
    let quoted = format!("\"{value}\"");
    for (header, text) in [
        ("Idempotency-Key", value),
        ("If-Match", &quoted),
        ("If-None-Match", &quoted),
        ("X-Request-Id", value),
        ("X-Forwarded-For", value),
        ("Forwarded", value),
        ("User-Agent", value),
        ("Referer", value),
        ("Cookie", value),
        ("X-Anything", value),
    ] {
        let headers = [("Authorization", bearer), (header, text)];
        add("header", "POST", format!("{org}/site-token"), &headers, "{\"grace\":\"never\"}".into());
        add("header", "POST", format!("{org}/groups"), &headers, "{\"name\":\"-\"}".into());
        add("header", "PUT", format!("{org}/seats/-"), &headers, String::new());
        add("header", "GET", org.to_owned(), &headers, String::new());
    }
    let typed = [("Authorization", bearer), ("Content-Type", value)];
    add("media type", "POST", format!("{org}/groups"), &typed, "{}".into());
    add("method", &format!("BREW{value}"), org.to_owned(), &root, String::new());
    for body in [
        value.to_owned(),
        format!("\"{value}\""),
        format!("[\"{value}\"]"),
        format!("{{\"{value}\":1}}"),
        format!("{{\"token\":\"{value}\"}}"),
        format!("{{\"token\":\"{value}\",\"name\":\"x\",\"scopes\":[\"{value}\"]}}"),
        format!("{{\"name\":\"{value}\\n\",\"scopes\":[\"repos\"]}}"),
        format!("{{\"name\":\"x\",\"scopes\":[\"{value}\"]}}"),
        format!("{{\"name\":\"x\",\"scopes\":[\"repos\"],\"channels\":[\"{value}!\"]}}"),
        format!("{{\"name\":\"x\",\"scopes\":[\"repos\"],\"user\":\"{value}\"}}"),
        format!("{{\"name\":\"x\",\"scopes\":[\"repos\"],\"group\":\"{value}\"}}"),
        format!("{{\"name\":\"x\",\"scopes\":[\"repos\"],\"expires_in\":\"{value}\"}}"),
        format!("{{\"name\":\"x\",\"scopes\":[\"repos\"],\"expires_at\":\"{value}\"}}"),
        format!("{{\"grace\":\"{value}\"}}"),
        format!("{{\"name\":\"{value}!\"}}"),
        format!("{{\"user\":\"{value}\"}}"),
    ] {
        for place in ["tokens", "tokens/import", "tokens/sync", "tokens/verify", "groups", "site-token"] {
            // A revoked token is still known: that is what is asked for, and its value is not in the answer.
            add("body", "POST", format!("{org}/{place}"), &root, body.clone());
        }
        add("body", "POST", "/api/v1/organizations".into(), &root, body);
    }
    probes
}

async fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, String)],
    body: &str,
) -> String {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !headers.iter().any(|(name, _)| *name == "Content-Type") {
        request.push_str("Content-Type: application/json\r\n");
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    let mut connection = Connection::open(address).await;
    connection.send_raw(request).await;
    String::from_utf8_lossy(&connection.rest().await).into_owned()
}

/// A token that opens everything of `default`.
async fn root(store: &Store) -> String {
    let minted = Minted::random().unwrap();
    let token = NewToken {
        organization: "default".into(),
        purpose: Purpose::Scoped { name: "root".into(), acts_as: None },
        scopes: "all".parse().unwrap(),
        channels: None,
        expires_at: None,
        imported: false,
        api_key: None,
        replaces_namesake: false,
    };
    let now = "2026-11-01T00:00:00Z".parse().unwrap();
    store.insert_token(&token, &minted.digest(), &Actor::gate(), now, Duration::ZERO).await.unwrap();
    minted.expose().to_owned()
}
