//! What is written of a response's head.

use std::time::SystemTime;

use http::HeaderValue;
use http::header::{CONTENT_LENGTH, ETAG};

use super::*;

fn written(status: StatusCode, fields: &Fields, framing: Framing, closes: bool) -> String {
    let mut head = Vec::new();
    write_head(&mut head, status, fields, framing, closes);
    String::from_utf8(head).unwrap()
}

#[test]
fn head_says_how_the_body_ends_once() {
    let mut fields = Fields::default();
    fields.push(ETAG, HeaderValue::from_static("\"a\""));
    let head = written(StatusCode::OK, &fields, Framing::Length(7), false);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\netag: \"a\"\r\ncontent-length: 7\r\ndate: "), "{head}");
    assert!(head.ends_with(" GMT\r\n\r\n"), "{head}");
    let head = written(StatusCode::OK, &fields, Framing::Chunked, true);
    assert!(head.contains("\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"), "{head}");
    let head = written(StatusCode::NOT_MODIFIED, &fields, Framing::Told, false);
    assert!(head.starts_with("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ndate: "), "{head}");
    fields.push(CONTENT_LENGTH, HeaderValue::from_static("7"));
    let head = written(StatusCode::PARTIAL_CONTENT, &fields, Framing::Length(7), false);
    assert_eq!(head.matches("content-length").count(), 1, "{head}");
}

#[test]
fn date_is_the_one_of_this_second() {
    let mut date = Vec::new();
    let before = SystemTime::now();
    write_date(&mut date);
    let date = httpdate::parse_http_date(std::str::from_utf8(&date).unwrap()).unwrap();
    // The second may have begun since the last tick.
    assert!(date <= SystemTime::now() && before <= date + Duration::from_millis(1_010));
}
