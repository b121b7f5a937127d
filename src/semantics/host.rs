//! What `Host` says (RFC 9110 section 7.2), where nobody can read it in two ways.

/// True for letters, digits, dots and hyphens, with or without a port: nearly every host there is, known as one without a parser.
pub fn is_plain_host(value: &[u8]) -> bool {
    let mut parts = value.splitn(2, |&byte| byte == b':');
    let is_name = |name: &[u8]| {
        !name.is_empty()
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    };
    let is_port = |port: &[u8]| {
        let is_number = (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
        is_number && std::str::from_utf8(port).is_ok_and(|port| port.parse::<u16>().is_ok())
    };
    parts.next().is_some_and(is_name) && parts.next().is_none_or(is_port)
}
