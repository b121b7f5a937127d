//! What the head of a response may be, and what becomes of it.

use std::time::Duration;

use channelgate::semantics::Span;
use channelgate::upstream::{
    Answer, Ask, FetchError, Invalid, Method, Outcome, RedirectFault, Timeouts, Unavailable, UpstreamConfig,
};
use http::StatusCode;

use super::{FILE, Subject, always, config, read, upstream_path};
use crate::support::faulty::{Faulty, Reply, refusing_address};

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

fn invalid(reason: Invalid) -> FetchError {
    FetchError::Invalid(reason)
}

fn unavailable(reason: Unavailable) -> FetchError {
    FetchError::Unavailable(reason)
}

/// Name, reply, and what a plain GET of it ends as.
fn bad_heads() -> Vec<(&'static str, Reply, FetchError)> {
    let huge = "h".repeat(1000);
    let many_headers = (0..70).fold(Reply::new(200), |reply, n| reply.header(&format!("X-{n}"), &huge));
    let wrong_status = |code| (Reply::new(code).body("no"), invalid(Invalid::Status(status(code))));
    let passing = |code| (Reply::new(code).body("no"), unavailable(Unavailable::Status(status(code))));
    let denied = |code| (Reply::new(code).body("no"), invalid(Invalid::Denied(status(code))));
    let row = |name, (reply, error)| (name, reply, error);
    vec![
        ("closes at once", Reply::nothing().close(), unavailable(Unavailable::Closed)),
        ("resets at once", Reply::nothing().reset(), unavailable(Unavailable::Closed)),
        ("half a status line", Reply::nothing().body("HTTP/1.1 2").close(), unavailable(Unavailable::Closed)),
        ("garbage", Reply::nothing().body("SSH-2.0-OpenSSH_9.2\r\n\r\n"), invalid(Invalid::Malformed)),
        ("bad length", Reply::new(200).header("Content-Length", "many"), invalid(Invalid::Malformed)),
        (
            "two lengths",
            Reply::new(200).header("Content-Length", "5").announce(6),
            invalid(Invalid::Malformed),
        ),
        ("70 KB of headers", many_headers, invalid(Invalid::HeadersTooLarge)),
        (
            "a header without end",
            Reply::nothing().body(format!("HTTP/1.1 200 OK\r\nX: {}", "h".repeat(1 << 20))),
            invalid(Invalid::HeadersTooLarge),
        ),
        row("500", passing(500)),
        row("501 to GET", passing(501)),
        row("503", passing(503)),
        row("429", passing(429)),
        row("408", passing(408)),
        ("404", Reply::new(404).body("no"), FetchError::Missing),
        ("410", Reply::new(410).body("no"), FetchError::Missing),
        row("401", denied(401)),
        row("403", denied(403)),
        row("400", wrong_status(400)),
        row("405 to GET", wrong_status(405)),
        row("201", wrong_status(201)),
        row("204", (Reply::new(204).unannounced(), invalid(Invalid::Status(status(204))))),
        row(
            "206 not asked for",
            (
                Reply::new(206).header("Content-Range", "bytes 0-1/9").body("no"),
                invalid(Invalid::Status(status(206))),
            ),
        ),
        row("300", wrong_status(300)),
        row("304 not asked for", (Reply::new(304).unannounced(), invalid(Invalid::Status(status(304))))),
        row("416 not asked for", wrong_status(416)),
        ("gzip", Reply::new(200).header("Content-Encoding", "gzip").body("x"), invalid(Invalid::Coded)),
        (
            "twice coded",
            Reply::new(200).header("Content-Encoding", "identity, br").body("x"),
            invalid(Invalid::Coded),
        ),
        ("redirect without location", Reply::new(302), invalid(Invalid::Redirect(RedirectFault::Malformed))),
    ]
}

#[tokio::test]
async fn bad_head_ends_as_the_contract_says() {
    for (name, reply, expected) in bad_heads() {
        let server = always(reply).await;
        let subject = Subject::of(&server);
        assert_eq!(subject.get(FILE).await.err(), Some(expected), "{name}");
        subject.assert_counted(&[Outcome::from(expected)]);
        assert_eq!(server.seen().len(), 1, "{name}: nothing is asked twice");
    }
}

/// The next upstream is for passing trouble. An answer, even a wrong one, is not hidden by it.
#[tokio::test]
async fn second_upstream_is_asked_only_after_passing_trouble() {
    for (name, reply, expected) in bad_heads() {
        let first = always(reply).await;
        let second = always(Reply::new(200).body("second")).await;
        let subject = Subject::new(&[config(&first.url("/a")), config(&second.url("/b"))]);
        let fetched = subject.get(FILE).await;
        match expected {
            FetchError::Unavailable(_) => {
                let fetched = fetched.ok().unwrap();
                assert_eq!(fetched.upstream, 1, "{name}");
                assert_eq!(read(fetched).await.unwrap(), b"second", "{name}");
                subject.assert_counted(&[Outcome::from(expected), Outcome::Ok]);
            }
            FetchError::Missing | FetchError::Invalid(_) => {
                assert_eq!(fetched.err(), Some(expected), "{name}");
                assert_eq!(second.connections(), 0, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn wrong_answer_of_the_second_upstream_decides() {
    let second = always(Reply::new(401)).await;
    let subject =
        Subject::new(&[config(&format!("http://{}/a", refusing_address())), config(&second.url("/b"))]);
    assert_eq!(subject.get(FILE).await.err(), Some(invalid(Invalid::Denied(status(401)))));
    subject.assert_counted(&[Outcome::ConnectFailed, Outcome::Invalid]);
}

#[tokio::test]
async fn first_byte_late_is_a_timeout_and_moves_on() {
    let first = always(Reply::nothing().stall()).await;
    let second = always(Reply::new(200)).await;
    let timeouts = Timeouts { first_byte: Duration::from_millis(100), ..Timeouts::default() };
    let hasty = UpstreamConfig { timeouts, ..config(&first.url("/a")) };
    let alone = Subject::new(std::slice::from_ref(&hasty));
    assert_eq!(alone.get(FILE).await.err(), Some(unavailable(Unavailable::Timeout)));
    alone.assert_counted(&[Outcome::Timeout]);
    let subject = Subject::new(&[hasty, config(&second.url("/b"))]);
    assert_eq!(subject.get(FILE).await.ok().unwrap().upstream, 1);
}

#[tokio::test]
async fn missing_statuses_make_403_a_missing_file() {
    let server = always(Reply::new(403)).await;
    let subject =
        Subject::new(&[UpstreamConfig { missing_statuses: vec![403], ..config(&server.url("/chan")) }]);
    assert_eq!(subject.get(FILE).await.err(), Some(FetchError::Missing));
    let server = always(Reply::new(401)).await;
    let subject =
        Subject::new(&[UpstreamConfig { missing_statuses: vec![403], ..config(&server.url("/chan")) }]);
    assert_eq!(subject.get(FILE).await.err(), Some(invalid(Invalid::Denied(status(401)))));
}

#[tokio::test]
async fn whole_answer_carries_validators_length_and_freshness() {
    let server = always(
        Reply::new(200)
            .header("ETag", "\"v1\"")
            .header("Last-Modified", "Sat, 21 Nov 2026 21:09:40 GMT")
            .header("Cache-Control", "public, max-age=30")
            .header("Set-Cookie", "a=b")
            .body("hello"),
    )
    .await;
    let subject = Subject::of(&server);
    let fetched = subject.get(FILE).await.ok().unwrap();
    assert_eq!(fetched.answer, Answer::Whole);
    assert_eq!((fetched.length, fetched.body.remaining()), (Some(5), Some(5)));
    assert_eq!(fetched.validators.etag.as_ref().unwrap().as_header(), "\"v1\"");
    assert!(fetched.validators.last_modified.is_some());
    assert_eq!(fetched.cache_control.max_age_seconds, Some(30));
    assert_eq!(read(fetched).await.unwrap(), b"hello");
    subject.assert_counted(&[Outcome::Ok]);
}

#[tokio::test]
async fn invalid_validators_are_left_out() {
    let server = always(Reply::new(200).header("ETag", "v1").header("Last-Modified", "yesterday")).await;
    let fetched = Subject::of(&server).get(FILE).await.ok().unwrap();
    assert_eq!(fetched.validators, channelgate::semantics::Validators::default());
}

#[tokio::test]
async fn part_is_accepted_only_if_it_is_the_one_asked_for() {
    let part = |range: &str, body: &str| Reply::new(206).header("Content-Range", range).body(body);
    let some = |start, end, total| Ok(Answer::Part { span: Span { start, end }, total });
    let wrong = Err(invalid(Invalid::Part));
    let rows = [
        ("exact", "bytes=2-4", part("bytes 2-4/10", "abc"), some(2, 5, Some(10))),
        ("open end", "bytes=7-", part("bytes 7-9/10", "abc"), some(7, 10, Some(10))),
        ("suffix", "bytes=-3", part("bytes 7-9/10", "abc"), some(7, 10, Some(10))),
        ("suffix of a shorter file", "bytes=-65536", part("bytes 0-2/3", "abc"), some(0, 3, Some(3))),
        ("end cut to the file", "bytes=7-99", part("bytes 7-9/10", "abc"), some(7, 10, Some(10))),
        ("unknown total", "bytes=2-4", part("bytes 2-4/*", "abc"), some(2, 5, None)),
        ("chunked", "bytes=2-4", part("bytes 2-4/10", "abc").chunked(), some(2, 5, Some(10))),
        ("range ignored", "bytes=2-4", Reply::new(200).body("abcdefghij"), Ok(Answer::Whole)),
        ("another start", "bytes=2-4", part("bytes 3-5/10", "abc"), wrong),
        ("another end", "bytes=2-4", part("bytes 2-3/10", "ab"), wrong),
        ("shorter than it says", "bytes=2-4", part("bytes 2-4/10", "ab"), wrong),
        ("suffix of unknown total", "bytes=-3", part("bytes 7-9/*", "abc"), wrong),
        ("end behind the total", "bytes=2-", part("bytes 2-12/10", "abcdefghijk"), wrong),
        ("backwards", "bytes=2-4", part("bytes 4-2/10", "abc"), wrong),
        ("no Content-Range", "bytes=2-4", Reply::new(206).body("abc"), wrong),
        (
            "two Content-Ranges",
            "bytes=2-4",
            part("bytes 2-4/10", "abc").header("Content-Range", "bytes 2-4/10"),
            wrong,
        ),
        (
            "multipart",
            "bytes=2-4",
            Reply::new(206).header("Content-Type", "multipart/byteranges; boundary=x").body("--x"),
            wrong,
        ),
        (
            "behind the end",
            "bytes=20-",
            Reply::new(416).header("Content-Range", "bytes */10"),
            Ok(Answer::NotSatisfiable { total: Some(10) }),
        ),
        (
            "behind an unknown end",
            "bytes=20-",
            Reply::new(416).body("no"),
            Ok(Answer::NotSatisfiable { total: None }),
        ),
    ];
    for (name, range, reply, expected) in rows {
        let server = always(reply).await;
        let subject = Subject::of(&server);
        let fetched = subject.ask(Method::Get, FILE, &[("Range", range)]).await;
        assert_eq!(
            fetched.as_ref().map(|fetched| fetched.answer).map_err(|error| *error),
            expected,
            "{name}"
        );
        assert_eq!(server.seen()[0].header("Range"), Some(range), "{name}");
        if let Ok(fetched) = fetched {
            let length = fetched.length;
            let body = read(fetched).await.unwrap();
            if let Ok(Answer::Part { span, .. }) = expected {
                assert_eq!((body.len() as u64, length), (span.length(), Some(span.length())), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn condition_that_holds_is_not_modified() {
    let server = always(Reply::new(304).header("ETag", "\"v1\"").unannounced()).await;
    let subject = Subject::of(&server);
    let fetched = subject.ask(Method::Get, FILE, &[("If-None-Match", "\"v1\"")]).await.ok().unwrap();
    assert_eq!((fetched.answer, fetched.length), (Answer::NotModified, None));
    assert!(read(fetched).await.unwrap().is_empty());
    subject.assert_counted(&[Outcome::NotModified]);
}

#[tokio::test]
async fn request_is_built_from_an_allow_list() {
    let server = always(Reply::new(200)).await;
    let client = [
        ("If-None-Match", "\"a\", \"b\""),
        ("If-Modified-Since", "Saturday, 21-Nov-26 21:09:40 GMT"),
        ("Range", "bytes = 0-4"),
        ("If-Range", "\"a\""),
        ("Authorization", "Bearer cg-secret"),
        ("Cookie", "a=b"),
        ("Referer", "http://example.org/t/cg-secret/"),
        ("X-Expected-Sha256", "00"),
        ("X-Api-Key", "cg-secret"),
        ("X-Auth", "cg-secret"),
        ("Accept-Encoding", "gzip"),
        ("User-Agent", "conda/25"),
        ("Via", "1.1 x"),
        ("X-Forwarded-For", "10.0.0.1"),
    ];
    Subject::of(&server).ask(Method::Get, "noarch/a+b!1.conda", &client).await.ok().unwrap();
    let seen = server.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/chan/noarch/a%2Bb%211.conda"));
    let mut lines = seen.lines;
    lines.sort();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        lines,
        [
            "accept-encoding: identity".to_owned(),
            "accept: */*".to_owned(),
            format!("host: {}", server.address()),
            "if-modified-since: Sat, 21 Nov 2026 21:09:40 GMT".to_owned(),
            "if-none-match: \"a\", \"b\"".to_owned(),
            "if-range: \"a\"".to_owned(),
            "range: bytes=0-4".to_owned(),
            format!("user-agent: channelgate/{version}"),
        ]
    );
}

#[tokio::test]
async fn conditions_without_meaning_are_not_sent() {
    type Row = (&'static str, Method, &'static [(&'static str, &'static str)]);
    let rows: [Row; 6] = [
        ("several ranges", Method::Get, &[("Range", "bytes=0-1,4-5")]),
        ("another unit", Method::Get, &[("Range", "lines=1-2")]),
        ("weak If-Range", Method::Get, &[("Range", "bytes=0-1"), ("If-Range", "W/\"a\"")]),
        ("If-Range of nothing", Method::Get, &[("Range", "bytes=0-1"), ("If-Range", "a")]),
        ("bad date", Method::Get, &[("If-Modified-Since", "yesterday")]),
        ("range of HEAD", Method::Head, &[("Range", "bytes=0-1"), ("If-Range", "\"a\"")]),
    ];
    for (name, method, client) in rows {
        let server = always(Reply::new(200).body("abc")).await;
        let fetched = Subject::of(&server).ask(method, FILE, client).await.ok().unwrap();
        assert_eq!(fetched.answer, Answer::Whole, "{name}");
        let seen = server.seen().remove(0);
        for header in ["Range", "If-Range", "If-Modified-Since", "If-None-Match"] {
            assert_eq!(seen.header(header), None, "{name}");
        }
    }
}

#[tokio::test]
async fn head_brings_the_length_and_no_body() {
    let server = always(Reply::new(200).header("ETag", "\"v1\"").body("hello")).await;
    let subject = Subject::of(&server);
    let fetched = subject.ask(Method::Head, FILE, &[]).await.ok().unwrap();
    assert_eq!((fetched.answer, fetched.length, fetched.body.remaining()), (Answer::Whole, Some(5), Some(0)));
    assert!(read(fetched).await.unwrap().is_empty());
    assert_eq!(server.seen()[0].method, "HEAD");
    subject.assert_counted(&[Outcome::Ok]);
}

#[tokio::test]
async fn head_that_is_refused_is_asked_as_get() {
    for refusal in [405, 501] {
        let server = Faulty::start(move |seen| match seen.method.as_str() {
            "HEAD" => Reply::new(refusal),
            _ => Reply::new(200).body("hello"),
        })
        .await;
        let subject = Subject::of(&server);
        let fetched = subject.ask(Method::Head, FILE, &[]).await.ok().unwrap();
        assert_eq!((fetched.length, fetched.body.remaining()), (Some(5), Some(0)), "{refusal}");
        assert!(read(fetched).await.unwrap().is_empty());
        subject.assert_counted(&[Outcome::Ok]);
    }
}

#[tokio::test]
async fn informational_responses_are_skipped() {
    let early =
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let server = always(Reply::nothing().body(early)).await;
    assert_eq!(Subject::of(&server).download().await.unwrap(), b"ok");
}

/// A client that got the second half of another version would keep a file that never was.
#[tokio::test]
async fn part_of_another_version_is_asked_for_again_as_a_whole() {
    let server = Faulty::start(|seen| match seen.header("Range") {
        Some(_) => {
            let part = Reply::new(206).header("ETag", "\"new\"").header("Content-Range", "bytes 2-3/4");
            part.body("WW")
        }
        None => Reply::new(200).header("ETag", "\"new\"").body("NEWW"),
    })
    .await;
    let range = ("Range", "bytes=2-");
    for (name, if_range, answer, bytes) in [
        ("same version", "\"new\"", Answer::Part { span: Span { start: 2, end: 4 }, total: Some(4) }, "WW"),
        ("another version", "\"old\"", Answer::Whole, "NEWW"),
    ] {
        let client = [range, ("If-Range", if_range)];
        let fetched = Subject::of(&server).ask(Method::Get, FILE, &client).await.ok().unwrap();
        assert_eq!(fetched.answer, answer, "{name}");
        assert_eq!(read(fetched).await.unwrap(), bytes.as_bytes(), "{name}");
    }
}

#[tokio::test]
async fn fetch_that_begins_elsewhere_asks_all_in_turn() {
    let rows = [
        ("the first", 0, [200, 200, 200], 0, [1, 0, 0]),
        ("the second", 1, [200, 200, 200], 1, [0, 1, 0]),
        ("the last fails", 2, [200, 200, 503], 0, [1, 0, 1]),
        ("only the one before answers", 2, [503, 200, 503], 1, [1, 1, 1]),
        ("a number too high", 4, [200, 200, 200], 1, [0, 1, 0]),
    ];
    for (name, start, statuses, answers, asked) in rows {
        let mut servers = Vec::new();
        for status in statuses {
            servers.push(always(Reply::new(status)).await);
        }
        let configs: Vec<_> = servers.iter().map(|server| config(&server.url("/chan"))).collect();
        let subject = Subject::new(&configs);
        let path = upstream_path(FILE);
        let ask = Ask { method: Method::Get, path: &path, at: None, conditions: None };
        let fetched = subject.upstreams.fetch_from(start, &ask).await.ok().unwrap();
        assert_eq!(fetched.upstream, answers, "{name}");
        assert_eq!(subject.upstreams.name(answers), servers[answers].url(""), "{name}");
        assert_eq!(servers.iter().map(|server| server.seen().len()).collect::<Vec<_>>(), asked, "{name}");
    }
}
