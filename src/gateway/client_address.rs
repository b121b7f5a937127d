//! Who really asks, when the gate stands behind reverse proxies that it was told to trust.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;
use ipnet::IpNet;

/// The address of the client: the peer's, or, if the peer is a trusted proxy, the last address in `X-Forwarded-For` (else `Forwarded`,
/// RFC 7239) that is not one itself. Whoever is not trusted can claim nothing.
pub(super) fn client_address(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
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

/// The addresses that the proxies claim, client first.
fn claims(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lists = |name| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(','))
    };
    let x_forwarded_for: Vec<_> =
        lists(http::HeaderName::from_static("x-forwarded-for")).map(address).collect();
    if !x_forwarded_for.is_empty() {
        return x_forwarded_for;
    }
    let for_parameter = |element: &str| {
        element.split(';').find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            name.eq_ignore_ascii_case("for").then(|| address(value.trim_matches('"')))?
        })
    };
    lists(FORWARDED).map(for_parameter).collect()
}

/// `192.0.2.1`, `192.0.2.1:1234`, `2001:db8::1`, `[2001:db8::1]:1234`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse()
        .or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()))
        .ok()
        .map(|ip: IpAddr| ip.to_canonical())
}
