//! Tests of reading and rewriting a request's first line.

use bytes::BytesMut;
use proptest::prelude::*;

use super::{Opening, PREFACE, Scanner, rewrite};

fn rewritten(received: &[u8]) -> Vec<u8> {
    rewrite(BytesMut::from(received)).to_vec()
}

#[test]
fn rewrite_by_line() {
    let rows: &[(&str, &str, &str)] = &[
        ("nothing to do", "GET /a/b HTTP/1.1\r\n", "GET /a/b HTTP/1.1\r\n"),
        ("masked token", "GET /t/<TOKEN>/c HTTP/1.1\r\n", "GET /t/%3CTOKEN%3E/c HTTP/1.1\r\n"),
        ("backtick", "GET /`x` HTTP/1.1\r\n", "GET /%60x%60 HTTP/1.1\r\n"),
        ("encoded stays", "GET /%3Cx%3E HTTP/1.1\r\n", "GET /%3Cx%3E HTTP/1.1\r\n"),
        ("query", "GET /a?<b> HTTP/1.1\r\n", "GET /a?%3Cb%3E HTTP/1.1\r\n"),
        ("bare line feed", "GET /<x> HTTP/1.1\nA: <\n\n", "GET /%3Cx%3E HTTP/1.1\nA: <\n\n"),
        ("header untouched", "GET /<x> HTTP/1.1\r\nA: <y>`\r\n", "GET /%3Cx%3E HTTP/1.1\r\nA: <y>`\r\n"),
        ("method untouched", "G`T / HTTP/1.1\r\n", "G`T / HTTP/1.1\r\n"),
        ("after empty lines", "\r\n\r\nGET /<x> HTTP/1.1\r\n", "\r\n\r\nGET /%3Cx%3E HTTP/1.1\r\n"),
        ("incomplete", "GET /<x> HTTP/1.1", "GET /<x> HTTP/1.1"),
        ("no version", "GET /<x>\r\n", "GET /<x>\r\n"),
        ("no target", "GET\r\n\r\n", "GET\r\n\r\n"),
        ("empty", "", ""),
    ];
    for (name, received, expected) in rows {
        assert_eq!(rewritten(received.as_bytes()), expected.as_bytes(), "{name}");
    }
}

#[test]
fn scanner_by_bytes() {
    let rows: &[(&str, &[u8], bool, Opening)] = &[
        ("nothing", b"", true, Opening::Incomplete),
        ("preface", PREFACE, true, Opening::Http2Preface),
        ("preface and more", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", true, Opening::Http2Preface),
        ("preface without prior knowledge", PREFACE, false, Opening::Http1),
        ("half a preface", b"PRI * HTTP/2.0\r\n\r\n", true, Opening::Incomplete),
        ("a method like it", b"PRIX / HTTP/1.1\r\n", true, Opening::Http1),
        ("half a line", b"GET / HT", true, Opening::Incomplete),
        ("only empty lines", b"\r\n\r\n", true, Opening::Incomplete),
        ("a line", b"GET / HTTP/1.1\r\n", true, Opening::Http1),
    ];
    for (name, received, prior_knowledge, expected) in rows {
        assert_eq!(Scanner::default().look(received, *prior_knowledge), *expected, "{name}");
    }
}

proptest! {
    #[test]
    fn everything_after_the_first_line_is_untouched(
        line in "[ -~]{0,60}",
        rest in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut received = line.into_bytes();
        received.extend_from_slice(b"\r\n");
        received.extend_from_slice(&rest);
        let rewritten = rewritten(&received);
        prop_assert!(rewritten.ends_with(&rest));
        let mut ending = b"\r\n".to_vec();
        ending.extend_from_slice(&rest);
        prop_assert!(rewritten.ends_with(&ending));
    }

    #[test]
    fn rewriting_twice_changes_nothing_more(received in proptest::collection::vec(any::<u8>(), 0..200)) {
        let once = rewritten(&received);
        prop_assert_eq!(rewritten(&once), once);
    }

    #[test]
    fn byte_by_byte_is_told_like_at_once(target in "[!-~]{1,80}", prior_knowledge: bool) {
        let line = format!("GET /{target} HTTP/1.1\r\n");
        let mut scanner = Scanner::default();
        for end in 0..line.len() {
            prop_assert_eq!(scanner.look(&line.as_bytes()[..end], prior_knowledge), Opening::Incomplete);
        }
        prop_assert_eq!(scanner.look(line.as_bytes(), prior_knowledge), Opening::Http1);
    }
}
