//! Tests of finding request lines and of rewriting them.

use bytes::Bytes;
use http::Uri;
use proptest::prelude::*;

use super::{Begun, Opening, PREFACE, RequestLines, Step, opening, rewrite};

fn rewritten(line: &[u8]) -> Vec<u8> {
    rewrite(line).unwrap_or_else(|| Bytes::copy_from_slice(line)).to_vec()
}

fn begun(requests: u64) -> Begun {
    Begun { requests, body: false }
}

#[test]
fn rewrite_by_line() {
    let rows: &[(&str, &[u8], &[u8])] = &[
        ("nothing to do", b"GET /a/b HTTP/1.1\r\n", b"GET /a/b HTTP/1.1\r\n"),
        ("masked token", b"GET /t/<TOKEN>/c HTTP/1.1\r\n", b"GET /t/%3CTOKEN%3E/c HTTP/1.1\r\n"),
        ("backtick", b"GET /`x` HTTP/1.1\r\n", b"GET /%60x%60 HTTP/1.1\r\n"),
        ("encoded stays", b"GET /%3Cx%3E HTTP/1.1\r\n", b"GET /%3Cx%3E HTTP/1.1\r\n"),
        ("query", b"GET /a?<b> HTTP/1.1\r\n", b"GET /a?%3Cb%3E HTTP/1.1\r\n"),
        ("bare line feed", b"GET /<x> HTTP/1.1\n", b"GET /%3Cx%3E HTTP/1.1\n"),
        ("method untouched", b"G`T / HTTP/1.1\r\n", b"G`T / HTTP/1.1\r\n"),
        ("version untouched", b"GET / H<TP>\r\n", b"GET / H<TP>\r\n"),
        ("control characters", b"GET /a\0\t\r\x7f HTTP/1.1\r\n", b"GET /a%00%09%0D%7F HTTP/1.1\r\n"),
        ("controls in the query stay", b"GET /a?\x01<\r\n HTTP/1.1", b"GET /a?\x01%3C\r\n HTTP/1.1"),
        ("controls in the fragment stay", b"GET /a#\x01 HTTP/1.1\r\n", b"GET /a#\x01 HTTP/1.1\r\n"),
        ("UTF-8 stays", "GET /\u{e9} HTTP/1.1\r\n".as_bytes(), "GET /\u{e9} HTTP/1.1\r\n".as_bytes()),
        ("not UTF-8", b"GET /\xe9\xff HTTP/1.1\r\n", b"GET /%E9%FF HTTP/1.1\r\n"),
        ("space in the target", b"GET /<a> b HTTP/1.1\r\n", b"GET /<a> b HTTP/1.1\r\n"),
        ("two spaces", b"GET  /<a> HTTP/1.1\r\n", b"GET  /<a> HTTP/1.1\r\n"),
        ("no version", b"GET /<x>\r\n", b"GET /<x>\r\n"),
        ("no target", b"GET\r\n", b"GET\r\n"),
        ("empty target", b"GET  HTTP/1.1\r\n", b"GET  HTTP/1.1\r\n"),
        ("empty", b"", b""),
    ];
    for (name, line, expected) in rows {
        assert_eq!(rewritten(line), *expected, "{name}: {}", String::from_utf8_lossy(&rewritten(line)));
    }
}

#[test]
fn every_byte_of_a_path_is_one_that_uri_takes() {
    for byte in (0..=u8::MAX).filter(|byte| !b" \n".contains(byte)) {
        let line = rewritten(&[b"GET /a", &[byte][..], b"b HTTP/1.1\r\n"].concat());
        let target = line.split(|byte| *byte == b' ').nth(1).unwrap();
        assert!(Uri::try_from(target).is_ok(), "{byte:#x}: {}", String::from_utf8_lossy(target));
    }
}

#[test]
fn opening_by_bytes() {
    let rows: &[(&str, &[u8], bool, Opening)] = &[
        ("preface", PREFACE, true, Opening::Http2Preface),
        ("preface and more", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", true, Opening::Http2Preface),
        ("preface without prior knowledge", PREFACE, false, Opening::Http1),
        ("half a preface", b"PRI * HTTP/2.0\r\n\r\n", true, Opening::Incomplete),
        ("a method like it", b"PRIX", true, Opening::Http1),
        ("half a line", b"GET / HT", true, Opening::Http1),
        ("empty lines", b"\r\n\r\n", true, Opening::Http1),
    ];
    for (name, received, prior_knowledge, expected) in rows {
        assert_eq!(opening(received, *prior_knowledge), *expected, "{name}");
    }
}

/// The last field of each head that [`followed`] takes for one.
const LAST_FIELD: &[u8] = b"B: c\r\n\r\n";

/// What comes out of `received` in pieces of `piece_bytes`, if hyper parses every head, and `bodies` tells which
/// announce a body.
fn followed(received: &[u8], piece_bytes: usize, bodies: &[bool]) -> Vec<u8> {
    let mut lines = RequestLines::new(1_000, Begun::default());
    let (mut out, mut held) = (Vec::new(), Vec::new());
    for piece in received.chunks(piece_bytes) {
        held.extend_from_slice(piece);
        while !held.is_empty() {
            let heads = out.windows(LAST_FIELD.len()).filter(|window| *window == LAST_FIELD).count();
            let body = heads > 0 && bodies.get(heads - 1) == Some(&true);
            match lines.step(&held, Begun { requests: heads as u64, body }) {
                Step::More => break,
                Step::Pass(bytes) => out.extend(held.drain(..bytes)),
                Step::Replace(bytes, line) => {
                    held.drain(..bytes);
                    out.extend_from_slice(&line);
                }
            }
        }
    }
    out.extend(held);
    out
}

#[test]
fn lines_are_found_in_any_pieces() {
    let request = "\r\nGET /<x> HTTP/1.1\r\nA: <y> `z` w\r\nB: c\r\n\r\n";
    let legal = request.replace("/<x>", "/%3Cx%3E");
    let body = "GET /<x> HTTP/1.1\r\n";
    let rows: &[(&str, String, String, &[bool])] = &[
        ("one", request.to_owned(), legal.clone(), &[]),
        ("three", request.repeat(3), legal.repeat(3), &[]),
        ("with a body", format!("{request}{body}"), format!("{legal}{body}"), &[true]),
        (
            "after a body",
            format!("{request}{request}{body}"),
            format!("{legal}{legal}{body}"),
            &[false, true],
        ),
    ];
    for (name, received, expected, bodies) in rows {
        for piece_bytes in 1..received.len() {
            let out = followed(received.as_bytes(), piece_bytes, bodies);
            assert_eq!(String::from_utf8_lossy(&out), *expected, "{name}, {piece_bytes} bytes at a time");
        }
    }
}

#[test]
fn nothing_is_rewritten_where_hyper_saw_something_else() {
    let head = b"GET / HTTP/1.1\r\n\r\n";
    let next = b"GET /<x> HTTP/1.1\r\n\r\n";
    for (name, seen) in
        [("no head", begun(0)), ("two heads", begun(2)), ("a body", Begun { requests: 1, body: true })]
    {
        let mut lines = RequestLines::new(1_000, Begun::default());
        assert_eq!(lines.step(head, begun(0)), Step::Pass(head.len()));
        assert_eq!(lines.step(next, seen), Step::Pass(next.len()), "{name}");
        assert_eq!(lines.step(next, begun(1)), Step::Pass(next.len()), "{name}: for good");
    }
    let mut lines = RequestLines::new(1_000, Begun::default());
    assert_eq!(lines.step(b"GET / HTTP/1.1\r\n", begun(0)), Step::Pass(16));
    assert_eq!(lines.step(b"A: b\r\n\r\n", begun(1)), Step::Pass(8), "a head that ended too early");
    assert_eq!(lines.step(next, begun(2)), Step::Pass(next.len()));
}

#[test]
fn line_without_an_end_is_held_to_the_limit() {
    let mut lines = RequestLines::new(10, Begun::default());
    assert_eq!(lines.step(b"GET /<<<<", begun(0)), Step::More);
    assert_eq!(lines.step(b"GET /<<<<<", begun(0)), Step::Pass(10));
    assert_eq!(lines.step(b"< HTTP/1.1\r\n", begun(0)), Step::Pass(12));
}

proptest! {
    #[test]
    fn rewriting_twice_changes_nothing_more(received in proptest::collection::vec(any::<u8>(), 0..200)) {
        let once = rewritten(&received);
        prop_assert_eq!(rewritten(&once), once);
    }

    #[test]
    fn nothing_is_lost_or_added_but_escapes(
        received in proptest::collection::vec(any::<u8>(), 0..200),
        piece_bytes in 1_usize..40,
    ) {
        let out = followed(&received, piece_bytes, &[]);
        let plain = |bytes: &[u8]| percent_encoding::percent_decode(bytes).collect::<Vec<u8>>();
        prop_assert_eq!(plain(&out), plain(&received));
    }
}
