//! Which heads are usual, and what is read of them.

use super::*;

fn parse(head: &str, method: Method) -> Parsed {
    Head::parse(head.as_bytes(), method)
}

#[test]
fn usual_heads_are_read() {
    for (name, head, method, status, body_bytes, persists) in [
        ("file", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Get, 200, 5, true),
        ("case", "HTTP/1.1 200 OK\r\ncONTENT-lENGTH:5\r\n\r\n", Method::Get, 200, 5, true),
        ("no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Method::Get, 200, 0, true),
        (
            "kept",
            "HTTP/1.1 404 No\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n",
            Method::Get,
            404,
            2,
            true,
        ),
        (
            "closes",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n",
            Method::Get,
            200,
            2,
            false,
        ),
        ("head", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Head, 200, 0, true),
        ("head without a length", "HTTP/1.1 200 OK\r\n\r\n", Method::Head, 200, 0, true),
        ("not modified", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", Method::Get, 304, 0, true),
    ] {
        let Parsed::Whole(read) = parse(&format!("{head}body"), method) else { panic!("{name} is usual") };
        assert_eq!(
            (read.status.as_u16(), read.body_bytes, read.persists),
            (status, body_bytes, persists),
            "{name}"
        );
        assert_eq!(read.bytes, head.len(), "{name}");
    }
}

#[test]
fn what_hyper_is_to_judge_is_unusual() {
    for (name, head) in [
        ("older", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("informational", "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n"),
        ("switched", "HTTP/1.1 101 Switching\r\n\r\n"),
        ("no length", "HTTP/1.1 200 OK\r\n\r\n"),
        ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("both", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
        ("a list", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n"),
        ("a sign", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n"),
        ("empty length", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n"),
        ("too long a length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"),
        ("upgrade", "HTTP/1.1 200 OK\r\nConnection: upgrade\r\nContent-Length: 5\r\n\r\n"),
        ("garbage", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        ("folded", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\n"),
    ] {
        assert!(matches!(parse(head, Method::Get), Parsed::Unusual), "{name}");
    }
}

#[test]
fn every_beginning_of_a_head_is_partial() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n";
    for end in 0..head.len() {
        let parsed = Head::parse(&head.as_bytes()[..end], Method::Get);
        assert!(matches!(parsed, Parsed::Partial), "{end}");
    }
}

#[test]
fn only_telling_headers_are_kept_and_all_are_counted() {
    let head =
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nSet-Cookie: a=b\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n";
    // What the framing of a body says already is not said again.
    for (method, telling) in [(Method::Get, &["etag"][..]), (Method::Head, &["etag", "content-length"])] {
        let Parsed::Whole(read) = parse(head, method) else { panic!("it is usual") };
        let names: Vec<_> = read.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, telling);
        assert_eq!(read.header_bytes, head.len() - "HTTP/1.1 200 OK\r\n\r\n".len());
    }
}
