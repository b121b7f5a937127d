//! Raw `<`, `>` and backtick in a request line, made legal before hyper sees them.
//!
//! conda prints channel URLs with the token masked as `/t/<TOKEN>/`, and people paste such URLs into curl, which sends
//! them as they are. `http::Uri` refuses these characters, so hyper would answer 400 without a body, where a sentence
//! about masked tokens would help. Only the **first** line of a connection is rewritten: it is the only place where a
//! request line can be recognised without following message bodies. Pure. Read `wire` next, which calls it.

use bytes::{Bytes, BytesMut};

/// What the first bytes of a connection are, as far as they can be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Not enough bytes to tell.
    Incomplete,
    /// The HTTP/2 connection preface (RFC 9113 section 3.4).
    Http2Preface,
    /// A complete first line, or something that cannot become one.
    Http1,
}

/// Remembers how far a growing buffer has been looked at, so that a line that arrives byte by byte is scanned once.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    scanned: usize,
}

impl Scanner {
    /// Looks at all bytes received so far. `prior_knowledge`: whether an HTTP/2 preface may come (plaintext).
    pub(super) fn look(&mut self, received: &[u8], prior_knowledge: bool) -> Opening {
        if prior_knowledge {
            if received.starts_with(PREFACE) {
                return Opening::Http2Preface;
            }
            if PREFACE.starts_with(received) {
                return Opening::Incomplete;
            }
        }
        let start = line_start(received);
        let from = self.scanned.max(start);
        self.scanned = received.len();
        if received.iter().skip(from).any(|byte| *byte == b'\n') {
            Opening::Http1
        } else {
            Opening::Incomplete
        }
    }
}

/// Percent-encodes `<`, `>` and backtick in the request target of the first line of `received`. Everything outside
/// that target, and every other byte in it, stays as it is.
pub(super) fn rewrite(received: BytesMut) -> Bytes {
    let Some((before, target, after)) = split_at_target(&received) else { return received.freeze() };
    if !target.iter().any(|byte| escape(*byte).is_some()) {
        return received.freeze();
    }
    let mut rewritten = BytesMut::with_capacity(received.len() + 2 * target.len());
    rewritten.extend_from_slice(before);
    for byte in target {
        match escape(*byte) {
            Some(escaped) => rewritten.extend_from_slice(escaped),
            None => rewritten.extend_from_slice(&[*byte]),
        }
    }
    rewritten.extend_from_slice(after);
    rewritten.freeze()
}

/// The bytes up to the request target, the target, the rest. `None` if the first line is not complete or has no
/// target.
fn split_at_target(received: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let start = line_start(received);
    let line = received.get(start..)?;
    let line = line.get(..line.iter().position(|byte| *byte == b'\n')?)?;
    let target_start = line.iter().position(|byte| *byte == b' ')? + 1;
    // A target has no space in it; the version follows the last one.
    let target_end = line.iter().rposition(|byte| *byte == b' ').filter(|end| *end >= target_start)?;
    let (before, rest) = received.split_at_checked(start + target_start)?;
    let (target, after) = rest.split_at_checked(target_end - target_start)?;
    Some((before, target, after))
}

/// Empty lines before a request line are to be ignored (RFC 9112 section 2.2).
fn line_start(received: &[u8]) -> usize {
    received.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(received.len())
}

fn escape(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'<' => Some(b"%3C"),
        b'>' => Some(b"%3E"),
        b'`' => Some(b"%60"),
        _ => None,
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests;
