//! One segment of a request path: decoded once, and refused if it could mean two things.
//!
//! A path that one server reads differently from the next is how proxies are walked past, so anything ambiguous (encoded slashes,
//! double encoding, dot segments, backslashes, control characters) is an error here and never reaches an upstream.

use std::borrow::Cow;

use memchr::memchr;
use percent_encoding::percent_decode_str;

use crate::byte_set::ByteSet;

/// Why a request path was not accepted. The sentence fits after "The path is not acceptable: ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The target does not begin with a slash (`*`, an authority).
    #[error("it does not begin with a slash")]
    NotAbsolute,
    /// Two slashes in a row, or a slash at the end.
    #[error("it has an empty segment (two slashes in a row, or one at the end)")]
    EmptySegment,
    /// `.` or `..`, or a name with a leading dot: channels keep private files under such names.
    #[error("a segment begins with a dot")]
    LeadingDot,
    /// A percent sign that is not followed by two hexadecimal digits.
    #[error("a percent sign is not followed by two hexadecimal digits")]
    BadEscape,
    /// Decoding once leaves a percent sign: the path was encoded twice.
    #[error("it is percent-encoded twice")]
    DoubleEncoding,
    /// `%2F`: a slash that is not a separator.
    #[error("a segment contains an encoded slash")]
    EncodedSlash,
    /// A backslash, which some servers take for a slash.
    #[error("a segment contains a backslash")]
    Backslash,
    /// NUL or another control character.
    #[error("a segment contains a control character")]
    Control,
    /// The decoded bytes are not UTF-8.
    #[error("a segment is not UTF-8")]
    NotUtf8,
    /// Two token positions: one of them would go upstream.
    #[error("it has two /t/<TOKEN> parts; give the token once")]
    SecondToken,
    /// Longer than the configured limit.
    #[error("it is longer than this gate accepts")]
    TooLong,
}

/// The segments of a path between its slashes.
pub(super) struct Segments<'p>(Option<&'p str>);

/// The segments of `path`, as `split('/')` gives them.
pub(super) fn segments(path: &str) -> Segments<'_> {
    Segments(Some(path))
}

impl<'p> Iterator for Segments<'p> {
    type Item = &'p str;

    fn next(&mut self) -> Option<&'p str> {
        let rest = self.0?;
        let parts = memchr(b'/', rest.as_bytes()).and_then(|at| rest.split_at_checked(at));
        let (segment, after) =
            parts.map_or((rest, None), |(segment, after)| (segment, after.strip_prefix('/')));
        self.0 = after;
        Some(segment)
    }
}

/// Decodes one raw segment and checks it by the rules that hold for every segment but an empty token.
pub(super) fn decode(raw: &str) -> Result<Cow<'_, str>, PathError> {
    if raw.is_empty() {
        return Err(PathError::EmptySegment);
    }
    // Nearly every segment is made of these, and needs neither to be decoded nor to be looked at further.
    if !raw.starts_with('.') && PLAIN.has_all(raw.as_bytes()) {
        return Ok(Cow::Borrowed(raw));
    }
    let decoded = if raw.contains('%') { unescape(raw)? } else { Cow::Borrowed(raw) };
    check(&decoded)?;
    Ok(decoded)
}

static PLAIN: ByteSet = ByteSet::alphanumeric_and(b"-._~!+,=:@*");

fn unescape(raw: &str) -> Result<Cow<'_, str>, PathError> {
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let is_hex = |digit: Option<u8>| digit.is_some_and(|digit| digit.is_ascii_hexdigit());
        if byte == b'%' && !(is_hex(bytes.next()) && is_hex(bytes.next())) {
            return Err(PathError::BadEscape);
        }
    }
    let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| PathError::NotUtf8)?;
    if decoded.contains('/') {
        return Err(PathError::EncodedSlash);
    }
    if decoded.contains('%') {
        return Err(PathError::DoubleEncoding);
    }
    Ok(decoded)
}

fn check(segment: &str) -> Result<(), PathError> {
    if segment.starts_with('.') {
        return Err(PathError::LeadingDot);
    }
    if segment.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    if segment.contains('\\') {
        return Err(PathError::Backslash);
    }
    Ok(())
}
