//! Whom to believe about who asks.

use http::HeaderValue;

use super::*;

const CLIENT: &str = "203.0.113.5";
const PROXY: &str = "10.0.0.1";

fn asked_by(peer: &str, headers: &[(&str, &[u8])]) -> String {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap()))
        .collect();
    let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    client_address(SocketAddr::new(peer.parse().unwrap(), 4711), &headers, &trusted).to_string()
}

#[test]
fn x_forwarded_for_is_read_backwards_while_its_writers_are_trusted() {
    for (name, peer, lines, expected) in [
        ("nothing claimed", PROXY, vec![], PROXY),
        ("one proxy", PROXY, vec![CLIENT], CLIENT),
        ("two proxies", PROXY, vec!["203.0.113.5, 10.0.0.2"], CLIENT),
        ("two proxies, a line each", PROXY, vec![CLIENT, "10.0.0.2"], CLIENT),
        ("proxies only", PROXY, vec!["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("with ports", PROXY, vec!["203.0.113.5:9999, 10.0.0.2:80"], CLIENT),
        ("IPv6", PROXY, vec!["2001:db8::7"], "2001:db8::7"),
        ("IPv6 in brackets", PROXY, vec!["[2001:db8::7]"], "2001:db8::7"),
        ("IPv6 with port", PROXY, vec!["[2001:db8::7]:443"], "2001:db8::7"),
        ("IPv6 proxy", "fd00::1", vec![CLIENT], CLIENT),
        ("mapped peer", "::ffff:10.0.0.1", vec![CLIENT], CLIENT),
        ("mapped client", PROXY, vec!["::ffff:203.0.113.5"], CLIENT),
        ("mapped proxy in the list", PROXY, vec!["203.0.113.5, ::ffff:10.0.0.2"], CLIENT),
        ("empty elements", PROXY, vec!["", ", 203.0.113.5 ,,"], CLIENT),
        ("untrusted peer", "198.51.100.9", vec![CLIENT], "198.51.100.9"),
        ("untrusted peer claims to be a proxy", "198.51.100.9", vec!["10.0.0.2"], "198.51.100.9"),
        ("mapped untrusted peer", "::ffff:198.51.100.9", vec![CLIENT], "198.51.100.9"),
        ("client claims another before", PROXY, vec!["192.0.2.66, 203.0.113.5"], CLIENT),
        ("client claims a proxy before", PROXY, vec!["192.0.2.66, 10.9.9.9, 203.0.113.5"], CLIENT),
        ("garbage before the client", PROXY, vec!["nonsense, 203.0.113.5"], CLIENT),
        ("garbage between proxies", PROXY, vec!["203.0.113.5, unknown, 10.0.0.2"], "10.0.0.2"),
        ("garbage only", PROXY, vec!["unknown"], PROXY),
        ("not quite an address", PROXY, vec!["203.0.113.5.6"], PROXY),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", line.as_bytes())).collect();
        assert_eq!(asked_by(peer, &headers), expected, "{name}");
    }
}

#[test]
fn forwarded_is_read_where_x_forwarded_for_is_absent() {
    for (name, peer, lines, expected) in [
        ("one proxy", PROXY, vec!["for=203.0.113.5"], CLIENT),
        ("with parameters", PROXY, vec!["proto=https; For=\"203.0.113.5:9\" ;by=10.0.0.1"], CLIENT),
        ("IPv6", PROXY, vec!["for=\"[2001:db8::7]:443\""], "2001:db8::7"),
        ("two proxies", PROXY, vec!["for=203.0.113.5, for=10.0.0.2;proto=http"], CLIENT),
        ("hidden client", PROXY, vec!["for=_hidden"], PROXY),
        ("unknown client behind two", PROXY, vec!["for=unknown, for=10.0.0.2"], "10.0.0.2"),
        ("no for", PROXY, vec!["proto=https"], PROXY),
        ("two for, the first is garbage", PROXY, vec!["for=x;for=192.0.2.66"], PROXY),
        ("client opens a quote", PROXY, vec!["for=\"192.0.2.66, for=203.0.113.5"], CLIENT),
        ("untrusted peer", "198.51.100.9", vec!["for=203.0.113.5"], "198.51.100.9"),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("forwarded", line.as_bytes())).collect();
        assert_eq!(asked_by(peer, &headers), expected, "{name}");
    }
}

/// The proxy appends to what the client sent; what the client sent must not make the whole illegible, nor open a second way.
#[test]
fn illegible_x_forwarded_for_neither_hides_the_client_nor_lets_forwarded_in() {
    let spoofed: (&str, &[u8]) = ("forwarded", b"for=192.0.2.66");
    for (name, line, expected) in [
        ("appended to bytes that are no text", b"\xff\xfe, 203.0.113.5".as_slice(), CLIENT),
        ("nothing but bytes that are no text", b"\xff", PROXY),
        ("empty", b"", PROXY),
        ("a good one", b"203.0.113.5", CLIENT),
    ] {
        assert_eq!(asked_by(PROXY, &[("x-forwarded-for", line), spoofed]), expected, "{name}");
    }
}

#[test]
fn addresses_are_told_apart_by_whom_they_belong_to() {
    let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
    assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::2"));
    assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
    assert!(!same("192.0.2.1", "192.0.2.2"));
    assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
}
