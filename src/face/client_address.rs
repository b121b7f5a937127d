//! Who really asks, when the gate stands behind reverse proxies that it was told to trust.
//!
//! Anybody can send `X-Forwarded-For`, and a proxy appends to what it got, so only the end of the list is worth something: it is read
//! backwards, for as long as those who wrote it are trusted. A proxy in front of the gate must set the header it uses itself:
//! `X-Forwarded-For` is read if it is there, however illegible, and `Forwarded` only where it is not.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The field that most proxies write.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client: the peer's, or, if the peer is a trusted proxy, the last address in `X-Forwarded-For` (else `Forwarded`,
/// RFC 7239) that is not one itself. Whoever is not trusted can claim nothing.
pub fn client_address(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.ip().to_canonical();
    if !is_trusted(client) {
        return client;
    }
    for claimed in claims(headers).into_iter().rev() {
        // What cannot be read was written by somebody; the addresses before it are hearsay.
        let Some(address) = claimed else { break };
        client = address;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// The addresses that the proxies claim, client first; `None` for what is none.
fn claims(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    if headers.contains_key(X_FORWARDED_FOR) {
        elements(headers, X_FORWARDED_FOR).map(|element| address(element?)).collect()
    } else {
        elements(headers, FORWARDED).map(|element| forwarded_for(element?)).collect()
    }
}

/// The elements of a list header without the empty ones (RFC 9110 section 5.6.1); `None` for one that is not text. Each is looked at for
/// itself, so that what a client put into the list cannot take what a proxy appended to it along.
fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = Option<&str>> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(|element| std::str::from_utf8(element).ok())
}

/// The first `for` parameter of an element of `Forwarded`. No address has a comma or a semicolon in it, so quotes need no parser.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| address(value.trim().trim_matches('"')))
    })?
}

/// `192.0.2.1`, `192.0.2.1:1234`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:1234`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse()
        .or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()))
        .ok()
        .map(|ip: IpAddr| ip.to_canonical())
}

/// Whoever has the network that an address is of: for IPv6 the /64, which one customer has whole.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
