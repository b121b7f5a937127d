//! Judges the head of a response against what was asked. Pure: statuses and headers in, an [`Answer`] or a failure out.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::request::Asked;
use crate::semantics::{ByteRange, CacheControl, EntityTag, Fields, Modified, Span, Validators};
use crate::upstream::{Answer, FetchError, Head, Invalid, Method, Unavailable};

/// What may be said of a response's head that is not a redirect.
pub(super) struct Judge<'a> {
    pub(super) asked: Asked,
    /// Which of 401 and 403 mean that there is no such file.
    pub(super) missing_statuses: &'a [StatusCode],
    pub(super) header_bytes_max: u32,
}

impl Judge<'_> {
    /// The answer in a head whose fields take `header_bytes`. `framed` is the length of the body as HTTP framing has it, for GET.
    pub(super) fn head(
        &self,
        status: StatusCode,
        mut headers: Fields,
        header_bytes: usize,
        framed: Option<u64>,
    ) -> Result<Head, FetchError> {
        if header_bytes > self.header_bytes_max as usize {
            return Err(invalid(Invalid::HeadersTooLarge));
        }
        let answer = self.answer(status, &headers)?;
        let length = match (answer, self.asked.method) {
            (Answer::NotModified | Answer::NotSatisfiable { .. }, _) => None,
            (_, Method::Head) => content_length(&headers)?,
            (Answer::Part { span, .. }, Method::Get) => match framed {
                Some(framed) if framed != span.length() => return Err(invalid(Invalid::Part)),
                // A chunked part is as long as it says it is, or the body fails.
                Some(_) | None => Some(span.length()),
            },
            (Answer::Whole, Method::Get) => framed,
        };
        if matches!(answer, Answer::Whole | Answer::Part { .. }) {
            check_coding(&headers)?;
        }
        let cache_control = CacheControl::of(&headers);
        let validators = validators(|name| headers.take(name));
        Ok(Head { answer, validators, length, cache_control })
    }

    fn answer(&self, status: StatusCode, headers: &Fields) -> Result<Answer, FetchError> {
        match (status, self.asked.range) {
            (StatusCode::OK, _) => Ok(Answer::Whole),
            (StatusCode::PARTIAL_CONTENT, Some(range)) => part(range, headers),
            (StatusCode::NOT_MODIFIED, _) if self.asked.is_conditional => Ok(Answer::NotModified),
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => {
                Ok(Answer::NotSatisfiable { total: unsatisfied_total(headers) })
            }
            (status, _) => Err(self.refusal(status)),
        }
    }

    fn refusal(&self, status: StatusCode) -> FetchError {
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => FetchError::Missing,
            status if self.missing_statuses.contains(&status) => FetchError::Missing,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => invalid(Invalid::Denied(status)),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                FetchError::Unavailable(Unavailable::Status(status))
            }
            status if status.is_server_error() => FetchError::Unavailable(Unavailable::Status(status)),
            status => invalid(Invalid::Status(status)),
        }
    }
}

/// What header fields take, as HTTP/1.1 writes them: name, colon, space, value, CRLF.
pub(super) fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.as_bytes().len() + 4).sum()
}

fn invalid(reason: Invalid) -> FetchError {
    FetchError::Invalid(reason)
}

/// A 206 must be the one part that was asked for: a client would put anything else in the wrong place of its file.
fn part(range: ByteRange, headers: &Fields) -> Result<Answer, FetchError> {
    let mut values = headers.get_all(&CONTENT_RANGE);
    let (Some(value), None) = (values.next(), values.next()) else { return Err(invalid(Invalid::Part)) };
    let parsed = value.to_str().ok().and_then(Span::parse_content_range);
    let (span, total) = parsed.ok_or(invalid(Invalid::Part))?;
    let fits = match (total, range) {
        (Some(total), range) => range.of(total) == Some(span),
        (None, ByteRange::From(first)) => span.start == first,
        (None, ByteRange::Between(first, last)) => span.start == first && span.end <= last.saturating_add(1),
        // Without the length nobody can tell whether these are the last bytes.
        (None, ByteRange::Last(_)) => false,
    };
    if fits { Ok(Answer::Part { span, total }) } else { Err(invalid(Invalid::Part)) }
}

/// `Content-Range: bytes */total` of a 416.
fn unsatisfied_total(headers: &Fields) -> Option<u64> {
    headers.get(&CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes */")?.parse().ok()
}

/// The length that a response to HEAD speaks of; its framing says nothing.
fn content_length(headers: &Fields) -> Result<Option<u64>, FetchError> {
    let mut lengths = headers
        .get_all(&CONTENT_LENGTH)
        .map(|value| value.to_str().ok().and_then(|digits| digits.parse().ok()));
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(Some(length)), None) => Ok(Some(length)),
        _ => Err(invalid(Invalid::Malformed)),
    }
}

fn check_coding(headers: &Fields) -> Result<(), FetchError> {
    let is_identity = |value: &HeaderValue| {
        value.to_str().is_ok_and(|codings| {
            codings
                .split(',')
                .all(|coding| coding.trim().is_empty() || coding.trim().eq_ignore_ascii_case("identity"))
        })
    };
    if headers.get_all(&CONTENT_ENCODING).all(is_identity) { Ok(()) } else { Err(invalid(Invalid::Coded)) }
}

/// The validators of a response of whose fields `first` gives the first one of a name.
pub(super) fn validators(mut first: impl FnMut(&HeaderName) -> Option<HeaderValue>) -> Validators {
    Validators {
        etag: first(&ETAG).and_then(EntityTag::from_header),
        last_modified: first(&LAST_MODIFIED).and_then(Modified::from_header),
    }
}
