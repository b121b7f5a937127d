//! What `Host` says (RFC 9110 section 7.2), where nobody can read it in two ways.

use memchr::memchr;

use crate::byte_set::ByteSet;

/// True for letters, digits, dots and hyphens, with or without a port: nearly every host there is, known as one without a parser.
pub fn is_plain_host(value: &[u8]) -> bool {
    let (name, port) = match memchr(b':', value).and_then(|at| value.split_at_checked(at)) {
        Some((name, port)) => (name, port.get(1..)),
        None => (value, None),
    };
    !name.is_empty() && NAME.has_all(name) && port.is_none_or(is_port)
}

fn is_port(port: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
    let number = || port.iter().try_fold(0, |number, byte| Some(number * 10 + digit(byte)?));
    (1..=5).contains(&port.len()) && number().is_some_and(|number| number <= u32::from(u16::MAX))
}

static NAME: ByteSet = ByteSet::alphanumeric_and(b".-");
