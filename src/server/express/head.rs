//! The heads of usual requests, read without hyper. Pure.
//!
//! Usual is what clients of channels send: GET or HEAD of a path of plain characters, HTTP/1.1, one plain `Host`, no body, nothing to expect or
//! to upgrade to. Everything else, malformed heads included, is [`Parsed::Unusual`], and hyper judges it from its first byte on; so no rule of
//! HTTP is decided here but that such a request has no body, and whether its connection goes on.

use std::mem::MaybeUninit;
use std::ops::Range;

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::byte_set::ByteSet;
use crate::semantics::is_plain_host;

/// What the bytes that have come so far are.
#[derive(Debug)]
pub(super) enum Parsed {
    /// The beginning of a head, or nothing.
    Partial,
    /// Nothing for this module.
    Unusual,
    /// A whole head.
    Whole(Head),
}

/// A usual request's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    /// Where in the bytes the path is.
    pub(super) path: Range<usize>,
    /// Those that the responder looks at.
    pub(super) fields: HeaderMap,
    /// Bytes of the head.
    pub(super) bytes: usize,
    /// The client wants the connection to end.
    pub(super) closes: bool,
}

/// The fields that a responder looks at.
#[derive(Debug)]
pub(super) struct Wanted {
    names: &'static [HeaderName],
    /// A bit for each length that one of the names has: most fields are none of them, and known by that.
    lengths: u64,
}

impl Wanted {
    pub(super) fn new(names: &'static [HeaderName]) -> Self {
        let lengths = names.iter().fold(0, |lengths, name| lengths | bit(name.as_str().len()));
        Self { names, lengths }
    }

    fn find(&self, name: &str) -> Option<&HeaderName> {
        if self.lengths & bit(name.len()) == 0 {
            return None;
        }
        self.names.iter().find(|wanted| name.eq_ignore_ascii_case(wanted.as_str()))
    }
}

/// Longer names share a bit.
fn bit(length: usize) -> u64 {
    1 << length.min(63)
}

impl Head {
    /// Reads a head, of whose fields `wanted` are kept.
    pub(super) fn parse(bytes: &[u8], wanted: &Wanted) -> Parsed {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let head_bytes = match request.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
            Ok(httparse::Status::Partial) => return Parsed::Partial,
            Err(_) => return Parsed::Unusual,
        };
        match Self::of(bytes, &request, wanted) {
            Some(head) => Parsed::Whole(Self { bytes: head_bytes, ..head }),
            None => Parsed::Unusual,
        }
    }

    fn of(bytes: &[u8], request: &httparse::Request<'_, '_>, wanted: &Wanted) -> Option<Self> {
        let method = match request.method? {
            "GET" => Method::GET,
            "HEAD" => Method::HEAD,
            _ => return None,
        };
        let path = request.path.filter(|path| request.version == Some(1) && is_plain_path(path))?;
        let begins = (path.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize)?;
        let mut head = Self {
            method,
            path: begins..begins + path.len(),
            fields: HeaderMap::new(),
            bytes: 0,
            closes: false,
        };
        let mut hosts = 0;
        for field in request.headers.iter() {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            match field.name.len() {
                4 if is(HOST.as_str()) => {
                    hosts += 1;
                    if !is_plain_host(field.value) {
                        return None;
                    }
                    continue;
                }
                10 if is("connection") => match field.value {
                    value if value.eq_ignore_ascii_case(b"keep-alive") => continue,
                    value if value.eq_ignore_ascii_case(b"close") => {
                        head.closes = true;
                        continue;
                    }
                    _ => return None,
                },
                6 if is("expect") => return None,
                7 if is("upgrade") || is("trailer") => return None,
                14 if is("content-length") => return None,
                17 if is("transfer-encoding") => return None,
                _ => {}
            }
            if let Some(name) = wanted.find(field.name) {
                head.fields.append(name.clone(), HeaderValue::from_bytes(field.value).ok()?);
            }
        }
        (hosts == 1).then_some(head)
    }
}

/// True for an absolute path of characters that mean the same to everybody (RFC 3986: pchar and slashes), without a query.
fn is_plain_path(path: &str) -> bool {
    path.starts_with('/') && PLAIN.has_all(path.as_bytes())
}

static PLAIN: ByteSet = ByteSet::alphanumeric_and(b"/-._~%!+,=:@*");

/// More fields are hyper's to refuse.
const FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests;
