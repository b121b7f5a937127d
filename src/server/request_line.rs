//! Request lines that `http::Uri` would refuse, made legal before hyper sees them.
//!
//! conda prints channel URLs with the token masked as `/t/<TOKEN>/`, and people paste such URLs into curl, which sends
//! them as they are. hyper knows no answer to that but a bare 400, where a sentence about masked tokens would help, and
//! the same goes for control characters and bytes that are not UTF-8, about which the rules of paths have something to
//! say. All of them are percent-encoded in the path. Two things are left for hyper to refuse: a space in the target,
//! because a line with three spaces can be read in two ways (RFC 9112 section 3: do not repair it), and control
//! characters in the query, because nobody judges a query later.
//!
//! [`RequestLines`] tells where lines begin: behind a head without a body, and as long as hyper has seen the same
//! heads. After a request with a body nothing is rewritten any more on that connection. HTTP/2 is not covered: the h2
//! crate resets a stream with such a `:path`. Pure. Read `wire` next, which calls it.

use bytes::{Bytes, BytesMut};

/// Follows the bytes of an HTTP/1 connection as far as to know where request lines begin.
#[derive(Debug)]
pub(super) struct RequestLines {
    place: Place,
    /// Requests whose heads were seen to their end.
    requests: u64,
    /// From how many bytes on a line without an end is given to hyper to be refused.
    line_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a request line, of which so much was searched for its end.
    Line { searched: usize },
    /// In the fields behind it. `fresh`: at the beginning of one.
    Fields { fresh: bool },
    /// Behind a head. What follows is told by who parsed it.
    End,
    /// Anywhere: nothing is looked at any more.
    Lost,
}

/// What hyper has made of the bytes it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Begun {
    /// Heads it parsed.
    pub(super) requests: u64,
    /// Whether the last one announced a body.
    pub(super) body: bool,
}

/// What can be done with the bytes at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait for more.
    More,
    /// Hand over so many of them.
    Pass(usize),
    /// Hand over `line` in place of so many of them.
    Replace(usize, Bytes),
}

impl RequestLines {
    /// A connection whose first bytes are a request line; `begun` were others' to follow.
    pub(super) fn new(line_bytes_max: usize, begun: Begun) -> Self {
        Self { place: Place::Line { searched: 0 }, requests: begun.requests, line_bytes_max }
    }

    /// Nothing is looked at any more.
    pub(super) fn lose(&mut self) {
        self.place = Place::Lost;
    }

    /// What to do with `received`, the bytes not handed over yet (at least one). It must not be called before hyper
    /// asks for more than it was given, so that `begun` tells what it made of that.
    pub(super) fn step(&mut self, received: &[u8], begun: Begun) -> Step {
        self.follow(begun);
        if let Place::Line { searched } = self.place {
            let blank = received.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if searched == 0 && blank > 0 {
                // Empty lines before a request line are to be ignored (RFC 9112 section 2.2), which hyper does.
                return Step::Pass(blank);
            }
            let Some(end) = received.iter().skip(searched).position(|byte| *byte == b'\n') else {
                if received.len() >= self.line_bytes_max {
                    self.lose();
                    return Step::Pass(received.len());
                }
                self.place = Place::Line { searched: received.len() };
                return Step::More;
            };
            let line_bytes = searched + end + 1;
            self.place = Place::Fields { fresh: true };
            if let Some(line) = received.get(..line_bytes).and_then(rewrite) {
                return Step::Replace(line_bytes, line);
            }
            return Step::Pass(self.pass_fields(received, line_bytes));
        }
        Step::Pass(self.pass_fields(received, 0))
    }

    /// Compares what was seen with what hyper saw.
    fn follow(&mut self, begun: Begun) {
        self.place = match self.place {
            Place::End if begun.requests == self.requests + 1 && !begun.body => Place::Line { searched: 0 },
            Place::Line { .. } | Place::Fields { .. } if begun.requests == self.requests => return,
            _ => Place::Lost,
        };
        self.requests = begun.requests;
    }

    /// How many of `received` belong to the head, of which the first `from` bytes are its line.
    fn pass_fields(&mut self, received: &[u8], from: usize) -> usize {
        let Place::Fields { mut fresh } = self.place else { return received.len() };
        for (at, byte) in received.iter().enumerate().skip(from) {
            match byte {
                b'\n' if fresh => {
                    self.place = Place::End;
                    return at + 1;
                }
                b'\n' => fresh = true,
                b'\r' => {}
                _ => fresh = false,
            }
        }
        self.place = Place::Fields { fresh };
        received.len()
    }
}

/// What the first bytes of a connection are, as far as they can be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Not enough bytes to tell.
    Incomplete,
    /// The HTTP/2 connection preface (RFC 9113 section 3.4).
    Http2Preface,
    /// Anything else.
    Http1,
}

/// Looks at all bytes received so far. `prior_knowledge`: whether an HTTP/2 preface may come (plaintext).
pub(super) fn opening(received: &[u8], prior_knowledge: bool) -> Opening {
    if prior_knowledge && received.starts_with(PREFACE) {
        Opening::Http2Preface
    } else if prior_knowledge && PREFACE.starts_with(received) {
        Opening::Incomplete
    } else {
        Opening::Http1
    }
}

/// Percent-encodes in the target of a request line what `http::Uri` refuses in a path, and in its query `<`, `>` and
/// backtick. Every other byte stays as it is. `None` if there is nothing to do.
fn rewrite(line: &[u8]) -> Option<Bytes> {
    let mut spaces = line.iter().enumerate().filter(|(_, byte)| **byte == b' ').map(|(at, _)| at);
    let (Some(first), Some(second), None) = (spaces.next(), spaces.next(), spaces.next()) else {
        return None;
    };
    let target = line.get(first + 1..second)?;
    let path_end = target.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(target.len());
    let utf8 = std::str::from_utf8(target).is_ok();
    let refused = |at: usize, byte: u8| match byte {
        b'<' | b'>' | b'`' => true,
        0..=b' ' | 0x7f => at < path_end,
        0x80.. => !utf8 && at < path_end,
        _ => false,
    };
    if !target.iter().enumerate().any(|(at, byte)| refused(at, *byte)) {
        return None;
    }
    let mut rewritten = BytesMut::with_capacity(line.len() + 2 * target.len());
    rewritten.extend_from_slice(line.get(..=first)?);
    for (at, byte) in target.iter().enumerate() {
        if refused(at, *byte) {
            rewritten.extend_from_slice(percent_encoding::percent_encode_byte(*byte).as_bytes());
        } else {
            rewritten.extend_from_slice(&[*byte]);
        }
    }
    rewritten.extend_from_slice(line.get(second..)?);
    Some(rewritten.freeze())
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests;
