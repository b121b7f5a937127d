//! Which addresses are out on the internet. Pure; says nothing about who may go where, which is [`super::reach`]'s.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// True for an address that can only be a host of the public internet.
///
/// Everything else is false: loopback, private (RFC 1918, RFC 4193), shared (CGNAT, RFC 6598), link-local, unspecified, multicast,
/// reserved, documentation and benchmarking ranges (IANA special-purpose registries), and IPv4-mapped IPv6 addresses, which
/// have no business in a DNS answer.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && b & 0xfe == 18)
        || a >= 224;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    match (a, b) {
        // NAT64 (RFC 6052): how an IPv6-only network reaches IPv4, its private part included.
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => is_public_v4(embedded(g, h)),
        // Teredo, ORCHID, benchmarking and the other protocol assignments (2001::/23), then documentation.
        (0x2001, ..0x200 | 0xdb8) => false,
        // 6to4 carries an IPv4 address.
        (0x2002, _) => is_public_v4(embedded(b, c)),
        (0x3fff, ..0x1000) => false,
        // Global unicast is 2000::/3; nothing else is handed out.
        (first, _) => first & 0xe000 == 0x2000,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}
