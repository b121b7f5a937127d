//! Where a reference in an index may point. Pure; the words of `index.rs`'s table, as code. Read `walk.rs` next.
//!
//! The rules allow few characters rather than forbid some, because a reference is read by conda (Python's `urljoin`), by
//! rattler (the WHATWG URL rules: leading and trailing blanks and any tab or newline vanish, `\` is `/`, `http:x` may be
//! relative) and by mamba (string concatenation), and must mean the same to all of them.

use super::leads::Role;

/// How far a reference may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nowhere: empty, `.` or `./`.
    Here,
    /// Below the place it is resolved against: relative segments, none of them `..`; empty is allowed.
    Below,
    /// As this role has it, or as far as the upstream reaches.
    Led(Role),
    /// Below, after any number of leading `../`: another channel of the same server.
    Beside,
}

impl Reach {
    /// Whether every client that resolves `reference` stays where this reach allows.
    pub(super) fn permits(self, reference: &str) -> bool {
        match self {
            Self::Here => matches!(reference, "" | "." | "./"),
            Self::Below => stays_below(reference),
            Self::Led(Role::Base) => Self::Here.permits(reference),
            Self::Led(Role::Shards | Role::File) => Self::Below.permits(reference),
            Self::Beside => {
                let rest = reference.trim_start_matches("../");
                !rest.is_empty() && stays_below(rest)
            }
        }
    }

    /// Whether a reference that is permitted also leads to where the gate has what it points to: packages beside the index, shards there or
    /// in `shards/`.
    pub(super) fn is_in_place(self, reference: &str) -> bool {
        let name = reference.strip_prefix("./").unwrap_or(reference);
        self.permits(reference)
            && match self {
                Self::Led(Role::Shards) => matches!(name, "" | "." | "shards" | "shards/"),
                Self::Led(Role::File) => !name.contains('/'),
                Self::Led(Role::Base) | Self::Here | Self::Below | Self::Beside => true,
            }
    }
}

fn stays_below(reference: &str) -> bool {
    let mut bytes = reference.bytes();
    let mut segment = Segment::default();
    while let Some(byte) = bytes.next() {
        match byte {
            b'/' if segment.may_be_left() => segment = Segment::default(),
            b'/' => return false,
            b'%' => match percent_decoded(bytes.next(), bytes.next()) {
                Some(decoded) if is_plain(decoded) && !matches!(decoded, b'/' | b'%') => {
                    segment.push(decoded)
                }
                _ => return false,
            },
            _ if is_plain(byte) => segment.push(byte),
            _ => return false,
        }
    }
    segment.length == 0 || segment.may_be_left()
}

/// As much of a path segment as decides whether it is empty or `..`.
#[derive(Default)]
struct Segment {
    length: usize,
    dots: usize,
}

impl Segment {
    fn push(&mut self, byte: u8) {
        self.length += 1;
        self.dots += usize::from(byte == b'.');
    }

    fn may_be_left(&self) -> bool {
        let is_parent = self.length == 2 && self.dots == 2;
        self.length > 0 && !is_parent
    }
}

/// A character that no client takes for more than itself: no scheme, query, fragment, blank, control or backslash.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b':' | b'?' | b'#' | b'\\')
}

fn percent_decoded(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let high = char::from(high?).to_digit(16)?;
    let low = char::from(low?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}
