//! What a request is called in the log.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, Method};

/// Ids for requests: unique in a gate's log, cheap, never a client's.
pub struct RequestIds {
    prefix: String,
    next: AtomicU64,
}

/// One of them. It is short, and held where it stands: an id costs no allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    text: [u8; RequestId::BYTES_MAX],
    length: u8,
}

impl RequestIds {
    /// Ids of a plane whose first one has `prefix`, begun at `start`, in milliseconds.
    pub fn starting_at(prefix: &str, start: i64) -> Self {
        Self { prefix: format!("{prefix}{start:x}-"), next: AtomicU64::new(1) }
    }

    /// One that no other request has.
    pub fn next(&self) -> RequestId {
        RequestId::new(&self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl RequestId {
    /// A prefix of a letter, a number of 64 bits, a hyphen, and another number.
    const BYTES_MAX: usize = 40;

    /// `prefix` and six hexadecimal digits or more.
    fn new(prefix: &str, number: u64) -> Self {
        let mut id = Self { text: [0; Self::BYTES_MAX], length: 0 };
        let digits = (16 - number.leading_zeros() / 4).max(6);
        let number = (0..digits).rev().map(|place| {
            let digit = u32::try_from(number >> (4 * place) & 0xf).unwrap_or(0);
            char::from_digit(digit, 16).map_or(b'0', |digit| digit as u8)
        });
        for (place, byte) in id.text.iter_mut().zip(prefix.bytes().chain(number)) {
            *place = byte;
            id.length += 1;
        }
        id
    }

    /// As it is shown.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn as_bytes(&self) -> &[u8] {
        self.text.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// For `X-Request-Id`.
    pub fn to_header(self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.as_bytes()).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

/// The method for the log: a client can invent others, and its words do not go there.
pub fn shown_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_prefix_and_a_number_that_grows() {
        for (prefix, start, number, shown) in [
            ("", 0x19a0, 1, "19a0-000001"),
            ("a", 0x19a0, 0xabcdef, "a19a0-abcdef"),
            ("", 1, 0x1234567, "1-1234567"),
            ("a", i64::MAX, u64::MAX, "a7fffffffffffffff-ffffffffffffffff"),
        ] {
            let ids = RequestIds::starting_at(prefix, start);
            ids.next.store(number, Ordering::Relaxed);
            let id = ids.next();
            assert_eq!((id.as_str(), id.to_header().unwrap().to_str().unwrap()), (shown, shown));
        }
    }
}
