//! Single byte ranges (RFC 9110 section 14).

use std::fmt;
use std::str::FromStr;

/// One byte range as a client asks for it, before the length of the body is known.
///
/// conda resumes with `bytes=N-`, rattler reads package metadata with `bytes=-65536` and `bytes=a-b`; several ranges in one request are
/// not supported, which RFC 9110 section 14.2 allows: the header is then ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=first-`.
    From(u64),
    /// `bytes=first-last`, both included; `first <= last`.
    Between(u64, u64),
    /// `bytes=-length`: that many at the end, or the whole of a shorter body.
    Last(u64),
}

/// The bytes that a range selects of a body of known length: `start..end`, `end` excluded, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

/// A `Range` header that names no single byte range; it is to be ignored (RFC 9110 section 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a single byte range")]
pub struct RangeError;

impl ByteRange {
    /// What the range selects of a body of `length` bytes; `None` if nothing of it, which is 416.
    pub fn of(self, length: u64) -> Option<Span> {
        let (start, end) = match self {
            Self::From(first) => (first, length),
            Self::Between(first, last) => (first, last.saturating_add(1).min(length)),
            Self::Last(count) => (length.saturating_sub(count), length),
        };
        (start < end).then_some(Span { start, end })
    }
}

impl FromStr for ByteRange {
    type Err = RangeError;

    fn from_str(header: &str) -> Result<Self, RangeError> {
        let (unit, set) = header.split_once('=').ok_or(RangeError)?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Err(RangeError);
        }
        let (first, last) = set.trim().split_once('-').ok_or(RangeError)?;
        match (number(first)?, number(last)?) {
            (Some(first), None) => Ok(Self::From(first)),
            (Some(first), Some(last)) if first <= last => Ok(Self::Between(first, last)),
            (None, Some(count)) => Ok(Self::Last(count)),
            _ => Err(RangeError),
        }
    }
}

/// Digits only; more than fit are past any end and saturate.
fn number(digits: &str) -> Result<Option<u64>, RangeError> {
    if digits.is_empty() {
        return Ok(None);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RangeError);
    }
    Ok(Some(digits.parse().unwrap_or(u64::MAX)))
}

/// The value of a `Range` header.
impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(first) => write!(f, "bytes={first}-"),
            Self::Between(first, last) => write!(f, "bytes={first}-{last}"),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

impl Span {
    /// How many bytes it has.
    pub fn length(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// The value of `Content-Range` for this part of a body of `length` bytes; `*` where that is not known.
    pub fn content_range(self, length: Option<u64>) -> String {
        let length = length.map_or_else(|| "*".to_owned(), |length| length.to_string());
        format!("bytes {}-{}/{length}", self.start, self.end.saturating_sub(1))
    }

    /// Reads `Content-Range: bytes a-b/length` as an upstream sends it; the length is `None` for `*`.
    pub fn parse_content_range(header: &str) -> Option<(Self, Option<u64>)> {
        let (range, length) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first).ok()??, number(last).ok()??);
        let length = if length == "*" { None } else { Some(number(length).ok()??) };
        let span = Self { start: first, end: last.checked_add(1)? };
        (first <= last && length.is_none_or(|length| span.end <= length)).then_some((span, length))
    }
}
