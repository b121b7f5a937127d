//! The heads of usual responses, read without hyper. Pure.
//!
//! Usual is what a file server sends: HTTP/1.1, a final status, one plain `Content-Length`. Everything else, malformed heads included, is
//! [`Parsed::Unusual`], and hyper judges it from its first byte on; so no rule of HTTP's framing is decided here but the one.

use std::mem::MaybeUninit;

use http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, EXPIRES, LAST_MODIFIED,
    LOCATION,
};
use http::{HeaderValue, StatusCode};

use crate::semantics::Fields;
use crate::upstream::Method;

/// What the bytes that have come so far are.
pub(super) enum Parsed {
    /// The beginning of a head.
    Partial,
    /// Nothing for this module.
    Unusual,
    /// A whole head.
    Whole(Head),
}

/// A usual response's head.
pub(super) struct Head {
    pub(super) status: StatusCode,
    /// Those that mean something to the gate.
    pub(super) headers: Fields,
    /// Bytes of all headers, as HTTP/1.1 writes a field: name, colon, space, value, CRLF.
    pub(super) header_bytes: usize,
    /// Bytes of the head.
    pub(super) bytes: usize,
    /// Bytes of the body that follow it.
    pub(super) body_bytes: u64,
    /// Whether the connection serves on behind the body.
    pub(super) persists: bool,
}

impl Head {
    /// Reads the head of a response to a request of this method.
    pub(super) fn parse(bytes: &[u8], method: Method) -> Parsed {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        let head_bytes = match parser.parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
            Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
            Ok(httparse::Status::Partial) => return Parsed::Partial,
            Err(_) => return Parsed::Unusual,
        };
        let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
        let (Some(status), Some(1)) = (status, response.version) else { return Parsed::Unusual };
        if status.is_informational() {
            return Parsed::Unusual;
        }
        match Self::of(status, response.headers, method) {
            Some(head) => Parsed::Whole(Self { bytes: head_bytes, ..head }),
            None => Parsed::Unusual,
        }
    }

    fn of(status: StatusCode, fields: &[httparse::Header<'_>], method: Method) -> Option<Self> {
        let mut headers = Fields::with_capacity(4);
        let mut header_bytes = 0;
        let mut length = None;
        let mut persists = true;
        // Only what `Expires` says is held against the date.
        let is_dated = fields.iter().any(|field| is(field, "expires"));
        for field in fields {
            header_bytes += field.name.len() + field.value.len() + 4;
            // Most fields are of another length than any that matters.
            let name = match field.name.len() {
                3 if is(field, "age") => AGE,
                4 if is(field, "etag") => ETAG,
                4 if is_dated && is(field, "date") => DATE,
                7 if is(field, "expires") => EXPIRES,
                8 if is(field, "location") => LOCATION,
                10 if is(field, "connection") => match field.value.trim_ascii() {
                    value if value.eq_ignore_ascii_case(b"close") => {
                        persists = false;
                        continue;
                    }
                    value if value.eq_ignore_ascii_case(b"keep-alive") => continue,
                    _ => return None,
                },
                13 if is(field, "last-modified") => LAST_MODIFIED,
                13 if is(field, "cache-control") => CACHE_CONTROL,
                13 if is(field, "content-range") => CONTENT_RANGE,
                14 if is(field, "content-length") => {
                    if length.replace(decimal(field.value)?).is_some() {
                        return None;
                    }
                    if method == Method::Get {
                        // The body's framing says it.
                        continue;
                    }
                    CONTENT_LENGTH
                }
                16 if is(field, "content-encoding") => CONTENT_ENCODING,
                17 if is(field, "transfer-encoding") => return None,
                _ => continue,
            };
            headers.push(name, HeaderValue::from_bytes(field.value).ok()?);
        }
        let has_no_body =
            method == Method::Head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let body_bytes = if has_no_body { 0 } else { length? };
        Some(Self { status, headers, header_bytes, bytes: 0, body_bytes, persists })
    }
}

fn is(field: &httparse::Header<'_>, name: &str) -> bool {
    field.name.eq_ignore_ascii_case(name)
}

/// `1*DIGIT`, without the room for another meaning that signs and spaces give.
fn decimal(text: &[u8]) -> Option<u64> {
    let mut digits = text.iter().map(|byte| byte.checked_sub(b'0').filter(|digit| *digit < 10));
    let number = digits.try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(digit?.into()));
    number.filter(|_| !text.is_empty())
}

/// More fields are hyper's to refuse.
const FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests;
