//! The protocols that clients speak: HTTP/1.0, HTTP/1.1 and HTTP/2, with TLS and without.

use std::collections::HashSet;

use tokio::task::JoinSet;

use crate::support::client::Connection;
use crate::support::gate::{Gate, fixture_channel};
use crate::support::http2::Http2;
use crate::support::tls::Identity;

const PACKAGE: &str = "/open/noarch/hello-noarch-1.0-0.conda";

fn package() -> Vec<u8> {
    std::fs::read(fixture_channel().join("noarch/hello-noarch-1.0-0.conda")).unwrap()
}

#[tokio::test]
async fn tls_speaks_what_the_client_offers() {
    let identity = Identity::new();
    let gate = Gate::builder().fixtures().settings(&identity.setting()).start().await;
    let token = gate.bootstrap_token();
    let target = format!("/t/{token}/main/noarch/hello-noarch-1.0-0.conda");
    for (offered, chosen) in [
        (vec![b"h2".as_slice(), b"http/1.1"], Some("h2")),
        (vec![b"http/1.1".as_slice(), b"h2"], Some("h2")),
        (vec![b"h2".as_slice()], Some("h2")),
        (vec![b"http/1.1".as_slice()], Some("http/1.1")),
        (vec![], None),
    ] {
        let stream = identity.connect(gate.data(), &offered).await;
        let agreed = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
        assert_eq!(agreed.as_deref(), chosen);
        let (first, second) = if chosen == Some("h2") {
            let client = Http2::over(stream, "localhost").await;
            (client.ask("GET", &target, &[]).await, client.ask("GET", "/main/noarch/x", &[]).await)
        } else {
            let mut client = Connection::over(stream);
            (client.ask("GET", &target, &[]).await, client.ask("GET", "/main/noarch/x", &[]).await)
        };
        assert_eq!((first.status, first.body, first.complete), (200, package(), true), "{chosen:?}");
        assert_eq!(second.verdict(), "401 token_missing", "{chosen:?}, on the same connection");
    }
}

#[tokio::test]
async fn plaintext_speaks_http2_by_prior_knowledge() {
    let gate = Gate::with_fixtures().await;
    let client = Http2::open(gate.data()).await;
    let http1 = gate.get(PACKAGE).await;
    let http2 = client.ask("GET", PACKAGE, &[]).await;
    assert_eq!((http2.status, http2.body), (200, package()));
    for header in ["etag", "last-modified", "content-length", "content-type", "accept-ranges"] {
        assert_eq!(
            http2.headers.iter().find(|(name, _)| name == header).map(|(_, value)| value.as_str()),
            http1.header(header)
        );
    }
    let head = client.ask("HEAD", PACKAGE, &[]).await;
    assert_eq!(
        (head.status, head.body.len(), head.header("content-length")),
        (200, 0, http1.header("content-length"))
    );
    let part = client.ask("GET", PACKAGE, &[("range", "bytes=-5")]).await;
    assert_eq!((part.status, part.body.len()), (206, 5));
    let known = client.ask("GET", PACKAGE, &[("if-none-match", http1.header("etag").unwrap())]).await;
    assert_eq!((known.status, known.header("content-length")), (304, None));
    assert_eq!(client.ask("POST", PACKAGE, &[]).await.verdict(), "405 method_not_allowed");
    assert_eq!(client.ask("GET", "/open/noarch/..", &[]).await.verdict(), "400 path_invalid");
}

#[tokio::test]
async fn two_hundred_streams_share_a_connection() {
    let gate = Gate::with_fixtures().await;
    let client = Http2::open(gate.data()).await;
    let mut streams = JoinSet::new();
    for nth in 0..200 {
        let client = client.clone();
        streams.spawn(async move {
            let target = if nth % 10 == 0 { "/open/noarch/repodata.json" } else { PACKAGE };
            let answer = client.ask("GET", target, &[]).await;
            (answer.status, answer.complete, answer.header("x-request-id").unwrap().to_owned())
        });
    }
    let mut ids = HashSet::new();
    while let Some(answer) = streams.join_next().await {
        let (status, complete, id) = answer.unwrap();
        assert_eq!((status, complete), (200, true));
        ids.insert(id);
    }
    assert_eq!(ids.len(), 200);
}

#[tokio::test]
async fn connection_is_kept_whatever_the_answer() {
    let gate = Gate::with_fixtures().await;
    let mut client = Connection::open(gate.data()).await;
    for (method, target, expected) in [
        ("GET", PACKAGE, "200"),
        ("HEAD", PACKAGE, "200"),
        ("GET", "/main/noarch/repodata.json", "401 token_missing"),
        ("HEAD", "/main/noarch/repodata.json", "401"),
        ("GET", "/open/noarch/nothing.conda", "404 not_found"),
        ("GET", "/open/..", "400 path_invalid"),
        ("DELETE", PACKAGE, "405 method_not_allowed"),
        ("OPTIONS", "*", "405 method_not_allowed"),
        ("GET", "/", "200"),
        ("HEAD", "/", "200"),
        ("GET", "http://elsewhere.test/open/noarch/hello-noarch-1.0-0.conda", "200"),
        ("GET", PACKAGE, "200"),
    ] {
        assert_eq!(client.ask(method, target, &[]).await.verdict(), expected, "{method} {target}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let gate = Gate::with_fixtures().await;
    let mut client = Connection::open(gate.data()).await;
    let targets = [
        (PACKAGE, "200"),
        ("/main/noarch/x", "401 token_missing"),
        ("/open/noarch/repodata.json", "200"),
        ("/..", "400 path_invalid"),
        (PACKAGE, "200"),
    ];
    let together: String =
        targets.iter().map(|(target, _)| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    client.send_raw(together).await;
    for (target, expected) in targets {
        let answer = client.answer("GET").await;
        assert_eq!((answer.verdict().as_str(), answer.complete), (expected, true), "{target}");
        if target == PACKAGE {
            assert_eq!(answer.body, package());
        }
    }
}

#[tokio::test]
async fn http_1_0_is_served_and_closed() {
    let gate = Gate::with_fixtures().await;
    let mut client = Connection::open(gate.data()).await;
    client.send_raw(format!("GET {PACKAGE} HTTP/1.0\r\n\r\n")).await;
    let answer = client.answer("GET").await;
    assert_eq!((answer.status, answer.body), (200, package()));
    assert!(client.rest().await.is_empty(), "and the connection ends");
    let mut client = Connection::open(gate.data()).await;
    client.send_raw(format!("GET {PACKAGE} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")).await;
    assert_eq!(client.answer("GET").await.status, 200);
    client.send_raw(format!("GET {PACKAGE} HTTP/1.0\r\n\r\n")).await;
    assert_eq!(client.answer("GET").await.body, package(), "kept if asked for");
}

#[tokio::test]
async fn small_body_of_a_request_is_discarded_and_the_connection_lives() {
    let gate = Gate::with_fixtures().await;
    let mut client = Connection::open(gate.data()).await;
    let chunked = format!(
        "GET {PACKAGE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n"
    );
    let body = "GET / HTTP/1.1\r\nHost: smuggled\r\n\r\n".repeat(1_000);
    let long = format!("GET {PACKAGE} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let refused = format!("POST /main/x HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for (name, request, expected) in [
        ("chunked", chunked, "200"),
        ("with a length", long, "200"),
        ("refused", refused, "405 method_not_allowed"),
    ] {
        client.send_raw(request).await;
        assert_eq!(client.answer("GET").await.verdict(), expected, "{name}");
        assert_eq!(client.ask("GET", PACKAGE, &[]).await.body, package(), "after one {name}");
    }
}

#[tokio::test]
async fn body_beyond_the_limit_ends_the_connection_after_the_answer() {
    let gate = Gate::builder().fixtures().settings("limits.request_body_bytes_max = \"1 KiB\"").start().await;
    let mut client = Connection::open(gate.data()).await;
    client.send_raw(format!("GET {PACKAGE} HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n")).await;
    let answer = client.answer("GET").await;
    assert_eq!((answer.status, answer.body, answer.complete), (200, package(), true));
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn request_without_exactly_one_host_is_malformed() {
    let gate = Gate::with_fixtures().await;
    for (name, head, expected) in [
        ("none", format!("GET {PACKAGE} HTTP/1.1\r\n\r\n"), "400 request_invalid"),
        ("none, root", "GET / HTTP/1.1\r\n\r\n".to_owned(), "400 request_invalid"),
        ("none, POST", format!("POST {PACKAGE} HTTP/1.1\r\n\r\n"), "400 request_invalid"),
        ("none, private", "GET /main/noarch/x HTTP/1.1\r\n\r\n".to_owned(), "400 request_invalid"),
        ("none, absolute form", format!("GET http://x{PACKAGE} HTTP/1.1\r\n\r\n"), "400 request_invalid"),
        ("two", format!("GET {PACKAGE} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), "400 request_invalid"),
        ("no host", format!("GET {PACKAGE} HTTP/1.1\r\nHost: a/b\r\n\r\n"), "400 request_invalid"),
        ("empty", format!("GET {PACKAGE} HTTP/1.1\r\nHost:\r\n\r\n"), "200"),
        ("none, HTTP/1.0", format!("GET {PACKAGE} HTTP/1.0\r\n\r\n"), "200"),
    ] {
        let mut client = Connection::open(gate.data()).await;
        client.send_raw(head).await;
        let answer = client.answer("GET").await;
        assert_eq!(answer.verdict(), expected, "{name}");
        assert!(answer.header("x-request-id").is_some(), "{name}");
    }
}

#[tokio::test]
async fn challenge_lists_every_scheme() {
    let gate = Gate::with_fixtures().await;
    let client = Http2::open(gate.data()).await;
    for answer in [
        gate.get("/main/noarch/x").await,
        client.ask("GET", "/main/noarch/x", &[]).await,
        gate.head("/main/noarch/x").await,
    ] {
        let schemes: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| name == "www-authenticate")
            .map(|(_, value)| value.split(' ').next().unwrap())
            .collect();
        assert_eq!(schemes, ["Basic", "Bearer", "token"]);
    }
}
