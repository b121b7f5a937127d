//! Tests of recognising and replacing hyper's bare answers.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;

use super::{recognise, render};

const BARE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Tue, 01 Sep 2026 10:00:00 GMT\r\n\r\n";

#[test]
fn recognise_by_bytes() {
    let rows: &[(&str, &[u8], Option<u16>)] = &[
        ("bare", BARE, Some(400)),
        ("to HTTP/1.0", b"HTTP/1.0 431 X\r\ncontent-length: 0\r\n\r\n", Some(431)),
        ("target too long", b"HTTP/1.1 414 URI Too Long\r\ncontent-length: 0\r\n\r\n", Some(414)),
        ("another status", b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", None),
        ("with a body", b"HTTP/1.1 400 Bad Request\r\ncontent-length: 10\r\n\r\n", None),
        ("without a length", b"HTTP/1.1 400 Bad Request\r\n\r\n", None),
        ("incomplete", b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n", None),
        ("more than a head", b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nx", None),
        ("continue", b"HTTP/1.1 100 Continue\r\n\r\n", None),
        ("nothing", b"", None),
    ];
    for (name, written, expected) in rows {
        assert_eq!(recognise(written).map(|status| status.as_u16()), *expected, "{name}");
    }
}

#[test]
fn rendered_response_has_one_length_and_closes() {
    let response = Response::builder()
        .status(StatusCode::BAD_REQUEST)
        .header("x-request-id", "1")
        .header("content-length", "99")
        .header("connection", "keep-alive")
        .body(Full::new(Bytes::from_static(b"why")))
        .unwrap();
    assert_eq!(
        render(BARE, response),
        "HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\nconnection: close\r\ncontent-length: 3\r\n\
         date: Tue, 01 Sep 2026 10:00:00 GMT\r\n\r\nwhy"
    );
}
