//! Which heads are usual, and what is read of them.

use http::header::{AUTHORIZATION, RANGE};
use proptest::prelude::*;

use super::*;

static NAMES: [HeaderName; 2] = [AUTHORIZATION, RANGE];

fn parse(head: &str) -> Parsed {
    Head::parse(head.as_bytes(), &Wanted::new(&NAMES))
}

#[test]
fn usual_heads_are_read() {
    for (name, head, path, fields, closes) in [
        ("least", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", 0, false),
        (
            "conda",
            "GET /t/x/a/noarch/repodata.json.zst HTTP/1.1\r\nHost: gate.example:8443\r\nUser-Agent: conda/25\r\nAccept-Encoding: gzip\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
            "/t/x/a/noarch/repodata.json.zst",
            0,
            false,
        ),
        ("head", "HEAD /a%2b HTTP/1.1\r\nHOST: 127.0.0.1:1\r\nConnection: Close\r\n\r\n", "/a%2b", 0, true),
        (
            "wanted",
            "GET /a HTTP/1.1\r\nrange: bytes=0-\r\nAUTHORIZATION: token x\r\nHost: a\r\nRange: bytes=1-\r\n\r\n",
            "/a",
            3,
            false,
        ),
        ("bare newlines", "GET /a HTTP/1.1\nHost: a\n\n", "/a", 0, false),
        ("blank line before", "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", "/a", 0, false),
    ] {
        let Parsed::Whole(read) = parse(&format!("{head}GET /next")) else { panic!("{name} is usual") };
        assert_eq!(head.get(read.path.clone()), Some(path), "{name}");
        assert_eq!((read.bytes, read.fields.len(), read.closes), (head.len(), fields, closes), "{name}");
        for length in 0..head.len() {
            let part = head.get(..length).unwrap();
            assert!(matches!(parse(part), Parsed::Partial), "{name}: {part:?}");
        }
    }
}

#[test]
fn what_hyper_is_to_judge_is_unusual() {
    for (name, line, fields) in [
        ("method", "POST / HTTP/1.1", ""),
        ("method's case", "get / HTTP/1.1", ""),
        ("older", "GET / HTTP/1.0", ""),
        ("preface", "PRI * HTTP/2.0", ""),
        ("whole URL", "GET http://a/b HTTP/1.1", ""),
        ("query", "GET /a?b HTTP/1.1", ""),
        ("fragment", "GET /a#b HTTP/1.1", ""),
        ("masked token", "GET /t/<TOKEN>/a HTTP/1.1", ""),
        ("not ASCII", "GET /caf\u{e9} HTTP/1.1", ""),
        ("backslash", "GET /a\\b HTTP/1.1", ""),
        ("two spaces", "GET /a b HTTP/1.1", ""),
        ("body", "GET / HTTP/1.1", "Content-Length: 0\r\n"),
        ("chunked body", "GET / HTTP/1.1", "Transfer-Encoding: chunked\r\n"),
        ("expectation", "GET / HTTP/1.1", "Expect: 100-continue\r\n"),
        ("upgrade", "GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: h2c\r\n"),
        ("upgrade alone", "GET / HTTP/1.1", "Upgrade: h2c\r\n"),
        ("connection's list", "GET / HTTP/1.1", "Connection: keep-alive, te\r\n"),
        ("two hosts", "GET / HTTP/1.1", "Host: b\r\n"),
        ("folded", "GET / HTTP/1.1", "X: a\r\n b\r\n"),
        ("space before the colon", "GET / HTTP/1.1", "X : a\r\n"),
        ("NUL", "GET / HTTP/1.1", "X: a\0\r\n"),
    ] {
        let head = format!("{line}\r\nHost: a\r\n{fields}\r\n");
        assert!(matches!(parse(&head), Parsed::Unusual), "{name}");
    }
    for host in [
        "",
        "Host: \r\n",
        "Host: a b\r\n",
        "Host: [::1]\r\n",
        "Host: a:\r\n",
        "Host: a:x\r\n",
        "Host: u@a\r\n",
        "Host: a:99999\r\n",
    ] {
        assert!(matches!(parse(&format!("GET / HTTP/1.1\r\n{host}\r\n")), Parsed::Unusual), "{host:?}");
    }
    let many: String = (0..FIELDS_MAX).map(|number| format!("X-{number}: a\r\n")).collect();
    assert!(matches!(parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")), Parsed::Unusual));
}

proptest! {
    /// Whatever comes: nothing is read beyond it, and what is taken for usual is what hyper's parser has, too.
    #[test]
    fn what_is_usual_is_what_hyper_reads(
        mut head in Just(b"GET /t/x/a/noarch/a.conda HTTP/1.1\r\nHost: a\r\nRange: bytes=0-\r\nConnection: close\r\n\r\n".to_vec()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..4),
    ) {
        for (at, byte, inserts) in changes {
            let at = at.index(head.len());
            if inserts {
                head.insert(at, byte);
            } else {
                head[at] = byte;
            }
        }
        if let Parsed::Whole(read) = Head::parse(&head, &Wanted::new(&NAMES)) {
            let mut fields = [httparse::EMPTY_HEADER; 100];
            let mut request = httparse::Request::new(&mut fields);
            prop_assert_eq!(request.parse(&head), Ok(httparse::Status::Complete(read.bytes)));
            prop_assert_eq!(request.method, Some(read.method.as_str()));
            prop_assert_eq!(request.path.map(str::as_bytes), head.get(read.path.clone()));
            prop_assert_eq!(request.version, Some(1));
            let has = |name: &str| request.headers.iter().any(|field| field.name.eq_ignore_ascii_case(name));
            prop_assert!(has("host") && !has("content-length") && !has("transfer-encoding"));
            prop_assert_eq!(has("range"), read.fields.contains_key(RANGE));
            // The URI that the long way makes of it is the same path.
            let uri: http::Uri = request.path.unwrap().parse().unwrap();
            prop_assert_eq!((uri.path(), uri.query()), (request.path.unwrap(), None));
        }
    }
}
