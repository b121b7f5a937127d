//! What passes the gate, in both directions: exactly what is on its lists.

use crate::support::client::{Connection, Reply as Answer};
use crate::support::faulty::{Faulty, Reply};
use crate::support::gate::Gate;
use crate::support::http2::Http2;

const DATE: &str = "Tue, 01 Sep 2026 10:00:00 GMT";

/// What a client may send that is none of an upstream's business.
const PRIVATE: &[(&str, &str)] = &[
    ("Cookie", "session=1"),
    ("Referer", "http://gate.test/t/secret/main"),
    ("X-Expected-Sha256", "00"),
    ("X-API-Key", "a-key-of-no-use-at-all-1"),
    ("X-Auth", "another-key-of-no-use-1"),
    ("X-Forwarded-For", "192.0.2.1"),
    ("X-Forwarded-Host", "elsewhere"),
    ("X-Real-IP", "192.0.2.1"),
    ("Forwarded", "for=192.0.2.1"),
    ("Via", "1.1 somebody"),
    ("X-Request-Id", "theirs"),
    ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip, br, zstd"),
    ("Accept-Language", "de"),
    ("User-Agent", "conda/26.7"),
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-cache"),
    ("Pragma", "no-cache"),
    ("Origin", "http://evil.test"),
    ("If-Match", "\"m\""),
    ("If-Unmodified-Since", DATE),
    ("X-Client-Hostname", "laptop"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Original-URL", "/elsewhere"),
];

/// What only HTTP/1 has.
const HOP_BY_HOP: &[(&str, &str)] = &[
    ("Connection", "keep-alive, x-foo"),
    ("X-Foo", "1"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Authorization", "Basic eDp5"),
    ("Proxy-Connection", "keep-alive"),
    ("TE", "trailers"),
    ("Upgrade", "h2c, websocket"),
];

#[tokio::test]
async fn upstream_gets_the_headers_on_the_list_and_no_others() {
    let upstream = Faulty::start(|_| Reply::new(200).header("ETag", "\"1\"").body("{}")).await;
    let gate = Gate::builder()
        .settings("cache.enabled = false")
        .channel("main", &upstream.url("/there"))
        .start()
        .await;
    let token = gate.bootstrap_token();
    let authorization = format!("Bearer {token}");
    let http2 = Http2::open(gate.data()).await;
    let host = format!("host: {}", upstream.address());
    let always = |further: &[&str]| {
        let mut lines = vec![
            "accept: */*".to_owned(),
            "accept-encoding: identity".to_owned(),
            concat!("user-agent: channelgate/", env!("CARGO_PKG_VERSION")).to_owned(),
            host.clone(),
        ];
        lines.extend(further.iter().map(|&line| line.to_owned()));
        lines.sort_unstable();
        lines
    };
    let since = format!("if-modified-since: {DATE}");
    for (name, path, conditions, expected) in [
        ("package", "main/linux-64/x-1.0-0.conda", vec![], always(&[])),
        ("index", "main/linux-64/repodata.json", vec![], always(&[])),
        (
            "conditions",
            "main/linux-64/x-1.0-0.conda",
            vec![("If-None-Match", "\"0\", W/\"2\""), ("If-Modified-Since", DATE)],
            always(&["if-none-match: \"0\", W/\"2\"", &since]),
        ),
        (
            "range",
            "main/linux-64/x-1.0-0.conda",
            vec![("Range", "bytes=0-0"), ("If-Range", "\"1\"")],
            always(&["range: bytes=0-0", "if-range: \"1\""]),
        ),
        (
            "range that is none",
            "main/linux-64/x-1.0-0.conda",
            vec![("Range", "bytes=0-0, 5-6"), ("If-Range", "\"1\"")],
            always(&[]),
        ),
        (
            "date that is none",
            "main/linux-64/x-1.0-0.conda",
            vec![("If-Modified-Since", "yesterday")],
            always(&[]),
        ),
    ] {
        for (protocol, by_path) in [("HTTP/1.1", true), ("HTTP/1.1", false), ("HTTP/2", true)] {
            let mut headers = [PRIVATE, &conditions].concat();
            if protocol == "HTTP/1.1" {
                headers.extend(HOP_BY_HOP);
            }
            // Of these, the credential that decides is in the path or in Authorization.
            headers.push(("Authorization", &authorization));
            let target =
                if by_path { format!("/t/{token}/{path}?a=1&t={token}") } else { format!("/{path}?x") };
            let before = upstream.seen().len();
            let answer = match protocol {
                "HTTP/2" => http2.ask("GET", &target, &headers).await,
                _ => gate.ask("GET", &target, &headers).await,
            };
            assert!(matches!(answer.status, 200 | 206), "{name}, {protocol}: {answer:?}");
            let seen = upstream.seen().split_off(before);
            assert_eq!(seen.len(), 1, "{name}, {protocol}");
            let mut lines: Vec<_> = seen[0]
                .lines
                .iter()
                .map(|line| {
                    let (key, value) = line.split_once(':').unwrap();
                    format!("{}: {}", key.to_ascii_lowercase(), value.trim())
                })
                .collect();
            lines.sort_unstable();
            // The gate's own question, about the version that it has read.
            lines.retain(|line| !(name == "index" && line == "if-none-match: \"1\""));
            assert_eq!(lines, expected, "{name}, {protocol}");
            assert_eq!(seen[0].target, format!("/there{}", path.strip_prefix("main").unwrap()), "{name}");
        }
    }
}

/// Whatever way a client writes a name, an upstream sees one.
#[tokio::test]
async fn upstream_sees_one_encoding_of_a_path() {
    let upstream = Faulty::start(|_| Reply::new(200).body("x")).await;
    let gate = Gate::builder()
        .settings("cache.enabled = false")
        .channel("main", &upstream.url("/up%20there/"))
        .channel("team/nested", &upstream.url("/nested"))
        .start()
        .await;
    let token = gate.bootstrap_token();
    for (target, expected) in [
        ("/t/TOKEN/main/noarch/x-1!2.0+a-0.conda", "/up%20there/noarch/x-1%212.0%2Ba-0.conda"),
        ("/t/TOKEN/main/noarch/x-1%212.0%2ba-0.conda", "/up%20there/noarch/x-1%212.0%2Ba-0.conda"),
        ("/t/TOKEN/main/noarch/%78-1~_.conda", "/up%20there/noarch/x-1~_.conda"),
        ("/t/TOKEN/main/label/a:b@c/noarch/x.conda", "/up%20there/label/a%3Ab%40c/noarch/x.conda"),
        ("/t/TOKEN/main/label/%C3%A4/noarch/x.conda", "/up%20there/label/%C3%A4/noarch/x.conda"),
        ("/T/TOKEN/main/noarch/x.conda", "/up%20there/noarch/x.conda"),
        ("/%74/TOKEN/main/noarch/x.conda", "/up%20there/noarch/x.conda"),
        ("/main/t/TOKEN/noarch/x.conda", "/up%20there/noarch/x.conda"),
        ("/main/noarch/t/TOKEN/x.conda", "/up%20there/noarch/x.conda"),
        ("/team/t/TOKEN/nested/noarch/x.conda", "/nested/noarch/x.conda"),
        ("/t/TOKEN/team%2Fnested/noarch/x.conda", "400"),
        ("/t/TOKEN/main/noarch/x.conda?/../..&q", "/up%20there/noarch/x.conda"),
        ("http://elsewhere/t/TOKEN/main/noarch/x.conda#f", "/up%20there/noarch/x.conda"),
    ] {
        let before = upstream.seen().len();
        let answer = gate.get(&target.replace("TOKEN", &token)).await;
        let seen: Vec<_> = upstream.seen().split_off(before).into_iter().map(|seen| seen.target).collect();
        if expected == "400" {
            assert_eq!((answer.status, seen.len()), (400, 0), "{target}");
        } else {
            assert_eq!((answer.status, seen), (200, vec![expected.to_owned()]), "{target}");
        }
    }
}

/// A reply with everything that an upstream might say besides.
fn talkative(status: u16) -> Reply {
    let reply = Reply::new(status)
        .header("ETag", "\"v1\"")
        .header("Last-Modified", DATE)
        .header("Cache-Control", "public, max-age=300, s-maxage=900, stale-if-error=60")
        .header("Content-Type", "text/html")
        .header("Content-Encoding", "identity")
        .header("Content-Disposition", "attachment; filename=evil.exe")
        .header("Content-Location", "http://elsewhere.test/x")
        .header("Content-Security-Policy", "default-src *")
        .header("Content-Language", "de");
    [
        ("Set-Cookie", "session=1"),
        ("Set-Cookie", "another=2"),
        ("Server", "theirs/1.0"),
        ("X-Powered-By", "theirs"),
        ("Via", "1.1 theirs"),
        ("Location", "http://elsewhere.test/x"),
        ("Refresh", "0; url=http://elsewhere.test/x"),
        ("Link", "<http://elsewhere.test/x>; rel=preload"),
        ("Alt-Svc", "h3=\":443\""),
        ("Strict-Transport-Security", "max-age=31536000"),
        ("Public-Key-Pins", "max-age=1"),
        ("WWW-Authenticate", "Basic realm=theirs"),
        ("Retry-After", "3600"),
        ("Access-Control-Allow-Origin", "*"),
        ("Clear-Site-Data", "\"*\""),
        ("Report-To", "{}"),
        ("X-Anything", "1"),
        ("X-Request-Id", "theirs"),
        ("X-Amz-Request-Id", "theirs"),
        ("Cache-Status", "theirs; hit"),
        ("Age", "5"),
        ("Expires", DATE),
        ("Vary", "*"),
        ("Trailer", "Set-Cookie"),
    ]
    .iter()
    .fold(reply, |reply, (name, value)| reply.header(name, value))
}

fn names(answer: &Answer) -> Vec<&str> {
    let mut names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// In every response, whatever it is.
const ALWAYS: [&str; 4] = ["content-security-policy", "date", "x-content-type-options", "x-request-id"];

#[tokio::test]
async fn client_gets_the_headers_on_the_list_and_no_others() {
    let upstream = Faulty::start(|seen| match seen.target.as_str() {
        target if target.contains("missing") => talkative(404).body("no"),
        target if target.contains("denied") => talkative(403).body("no"),
        target if target.contains("down") => talkative(503).body("no"),
        _ if seen.header("if-none-match").is_some() => talkative(304).unannounced(),
        _ if seen.header("range") == Some("bytes=99-") => talkative(416).header("Content-Range", "bytes */9"),
        _ if seen.header("range").is_some() => {
            talkative(206).header("Content-Range", "bytes 0-0/9").body("a")
        }
        target if target.contains("chunked") => talkative(200).chunked().body("all of it"),
        _ => talkative(200).header("Accept-Ranges", "none").body("all of it"),
    })
    .await;
    let gate =
        Gate::builder().settings("cache.enabled = false").channel("main", &upstream.url("")).start().await;
    let token = gate.bootstrap_token();
    let http2 = Http2::open(gate.data()).await;
    let body = [
        "accept-ranges",
        "cache-control",
        "cache-status",
        "content-length",
        "content-type",
        "etag",
        "last-modified",
    ];
    let body: Vec<&str> = body.into_iter().chain(ALWAYS).collect();
    let with = |names: &[&'static str], further: &[&'static str]| {
        let mut names: Vec<&str> = names.iter().chain(further).copied().collect();
        names.sort_unstable();
        names
    };
    let fresh = ["cache-control", "cache-status", "etag", "last-modified"];
    let problem = with(&ALWAYS, &["cache-control", "content-length", "content-type"]);
    for (name, file, header, status, expected) in [
        ("whole", "x.conda", None, 200, with(&body, &[])),
        ("part", "x.conda", Some(("range", "bytes=0-0")), 206, with(&body, &["content-range"])),
        ("not modified", "x.conda", Some(("if-none-match", "\"v1\"")), 304, with(&ALWAYS, &fresh)),
        (
            "behind the end",
            "x.conda",
            Some(("range", "bytes=99-")),
            416,
            with(&with(&ALWAYS, &fresh), &["content-length", "content-range"]),
        ),
        (
            "chunked",
            "chunked.conda",
            None,
            200,
            body.iter()
                .filter(|name| !matches!(**name, "accept-ranges" | "content-length"))
                .copied()
                .collect(),
        ),
        ("missing", "missing.conda", None, 404, problem.clone()),
        ("denied", "denied.conda", None, 502, problem.clone()),
        ("down", "down.conda", None, 503, with(&problem, &["retry-after"])),
    ] {
        let headers: Vec<_> = header.into_iter().chain([("X-Request-Id", "mine")]).collect();
        let target = format!("/t/{token}/main/linux-64/{file}");
        for method in ["GET", "HEAD"] {
            // A range has no meaning but for GET.
            if method == "HEAD" && matches!(status, 206 | 416) {
                continue;
            }
            for answer in
                [gate.ask(method, &target, &headers).await, http2.ask(method, &target, &headers).await]
            {
                assert_eq!(answer.status, status, "{name}, {method}");
                let mut expected = expected.clone();
                expected.sort_unstable();
                let mut got = names(&answer);
                got.retain(|name| *name != "transfer-encoding");
                assert_eq!(got, expected, "{name}, {method}");
                assert_clean(&answer, name);
            }
        }
    }
}

fn assert_clean(answer: &Answer, name: &str) {
    for (header, value) in &answer.headers {
        for theirs in ["theirs", "mine", "elsewhere", "evil", "s-maxage"] {
            assert!(!value.contains(theirs), "{name}: {header}: {value}");
        }
    }
    match answer.status {
        200 | 206 | 304 => {
            assert_eq!(answer.header("cache-control"), Some("private, max-age=295"), "{name}: less its age")
        }
        // Neither a refusal nor an answer to one range may be kept in the place of the file.
        _ => assert_eq!(answer.header("cache-control"), Some("no-store"), "{name}"),
    }
    match answer.status {
        200 | 206 => assert_eq!(answer.header("content-type"), Some("application/octet-stream"), "{name}"),
        304 | 416 => assert_eq!(answer.header("content-type"), None, "{name}"),
        _ => assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{name}"),
    }
    assert_eq!(answer.header("content-security-policy"), Some("sandbox; default-src 'none'"), "{name}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name}");
}

#[tokio::test]
async fn content_type_is_chosen_by_the_file_name() {
    let upstream = Faulty::start(|_| talkative(200).body("{}")).await;
    let gate = Gate::builder().public_channel("main", &upstream.url("")).start().await;
    for (path, expected) in [
        ("linux-64/repodata.json", "application/json"),
        ("linux-64/x-1.conda", "application/octet-stream"),
        ("linux-64/x-1.tar.bz2", "application/x-bzip2"),
        ("channeldata.json", "application/json"),
        ("rss.xml", "application/xml"),
        ("index.html", "text/html; charset=utf-8"),
        ("icons/x.svg", "image/svg+xml"),
        ("icons/x.png", "image/png"),
        ("noextension", "application/octet-stream"),
    ] {
        let answer = gate.get(&format!("/main/{path}")).await;
        assert_eq!(answer.header("content-type"), Some(expected), "{path}");
    }
}

/// Trailers are headers that come late.
#[tokio::test]
async fn trailers_of_an_upstream_are_dropped() {
    let upstream = Faulty::start(|_| {
        Reply::nothing().body(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie\r\n\r\n\
             3\r\nabc\r\n0\r\nSet-Cookie: session=1\r\n\r\n",
        )
    })
    .await;
    let gate = Gate::builder().public_channel("main", &upstream.url("")).start().await;
    let mut client = Connection::open(gate.data()).await;
    client
        .send_raw(
            "GET /main/noarch/x.conda HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n",
        )
        .await;
    let received = String::from_utf8(client.rest().await).unwrap();
    assert!(received.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{received}");
    assert!(!received.to_ascii_lowercase().contains("cookie"), "{received}");
}

#[tokio::test]
async fn request_id_is_always_ours_and_never_twice_the_same() {
    let gate = Gate::with_fixtures().await;
    let mut seen = std::collections::HashSet::new();
    for target in ["/", "/open/noarch/repodata.json", "/main/noarch/repodata.json", "/..", "/open/x/../y"] {
        for _ in 0..3 {
            let answer = gate.ask("GET", target, &[("x-request-id", "mine-1234567890")]).await;
            let id = answer.header("x-request-id").unwrap().to_owned();
            assert_ne!(id, "mine-1234567890", "{target}");
            assert!(seen.insert(id), "{target}");
        }
    }
}

#[tokio::test]
async fn freshness_is_the_upstreams_but_private_to_a_credential() {
    let upstream = Faulty::start(|seen| {
        let directives = match seen.target.rsplit('/').next().unwrap_or_default() {
            "a.conda" => "public, max-age=60",
            "b.conda" => "no-cache",
            "c.conda" => "no-store, private",
            "d.conda" => "max-age=nonsense",
            "e.conda" => "MAX-AGE=\"7\" , must-understand",
            _ => return Reply::new(200).body("x"),
        };
        Reply::new(200).header("Cache-Control", directives).body("x")
    })
    .await;
    let gate = Gate::builder()
        .public_channel("open", &upstream.url(""))
        .channel("main", &upstream.url(""))
        .start()
        .await;
    let token = gate.bootstrap_token();
    for (file, open, private) in [
        ("a", Some("max-age=60"), "private, max-age=60"),
        ("b", Some("no-cache"), "private, no-cache"),
        ("c", Some("no-store"), "private, no-store"),
        ("d", None, "private"),
        ("e", Some("max-age=7"), "private, max-age=7"),
        ("f", None, "private"),
    ] {
        let path = format!("noarch/{file}.conda");
        assert_eq!(gate.get(&format!("/open/{path}")).await.header("cache-control"), open, "{file}");
        for target in [format!("/t/{token}/open/{path}"), format!("/t/{token}/main/{path}")] {
            assert_eq!(gate.get(&target).await.header("cache-control"), Some(private), "{target}");
        }
        let header = [("x-api-key", token.as_str())];
        let answer = gate.ask("GET", &format!("/open/{path}"), &header).await;
        assert_eq!(answer.header("cache-control"), Some(private), "{file}, by a header");
    }
}
