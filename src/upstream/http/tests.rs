//! The rules about hosts and addresses, as tables. What servers do with them is in `tests/it/upstream`.

use proptest::prelude::*;
use url::Url;

use super::address::is_public;
use super::origin::Origin;
use super::reach::{AllowedHost, AllowedHosts};

fn hosts(entries: &[&str]) -> AllowedHosts {
    AllowedHosts::new(entries.iter().map(|entry| entry.parse::<AllowedHost>().unwrap()).collect())
}

#[test]
fn address_is_public_only_outside_all_special_ranges() {
    let public = [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2001:200::1",
        "2001:db7::1",
        "2a00::1",
        "64:ff9b::1.1.1.1",
        "2002:0101:0101::1",
        "3ffe::1",
    ];
    for address in public {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
    let special = [
        "0.0.0.0",
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:1.1.1.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::1.1.1.1",
        "64:ff9b:0:0:1::101:101",
        "100::1",
        "2001::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:0a00:0001::1",
        "2002:7f00:0001::1",
        "3fff:fff::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ];
    for address in special {
        assert!(!is_public(address.parse().unwrap()), "{address}");
    }
}

/// Entry, URL, and whether a redirect may lead there.
#[test]
fn allowed_host_allows_what_it_names() {
    let rows = [
        ("example.org", "https://example.org/", true),
        ("example.org", "http://example.org:8080/", true),
        ("EXAMPLE.org", "https://example.ORG./", true),
        ("example.org.", "https://example.org/", true),
        ("bücher.example", "https://xn--bcher-kva.example/", true),
        ("example.org", "https://www.example.org/", false),
        ("example.org", "https://example.org.evil.net/", false),
        ("example.org:443", "https://example.org/", true),
        ("example.org:443", "http://example.org/", false),
        ("*.example.org", "https://a.b.example.org/", true),
        ("*.example.org", "https://example.org/", false),
        ("*.example.org", "https://notexample.org/", false),
        ("*.example.org:8443", "https://a.example.org:8443/", true),
        ("*.example.org:8443", "https://a.example.org/", false),
        ("10.1.2.3", "http://10.1.2.3/", true),
        ("10.1.2.3", "http://0x0a.1.515/", true),
        ("10.1.2.3:80", "http://10.1.2.3:81/", false),
        ("10.0.0.0/8", "http://10.255.0.1/", true),
        ("10.0.0.0/8", "http://[::ffff:10.0.0.1]/", true),
        ("10.0.0.0/8", "http://11.0.0.1/", false),
        ("10.0.0.0/8", "http://example.org/", false),
        ("fd00::/8", "http://[fd00::1]:99/", true),
        ("fd00::1", "http://[fd00::2]/", false),
        ("[fd00::1]:80", "http://[fd00::1]/", true),
        ("[fd00::1]", "http://[fd00::1]:99/", true),
    ];
    for (entry, url, expected) in rows {
        let target = Origin::of(&Url::parse(url).unwrap()).unwrap();
        assert_eq!(hosts(&[entry]).allow(&target), expected, "{entry} {url}");
    }
}

/// Entry, address connected to, and whether the entry lets it be one that is not public.
#[test]
fn only_address_and_network_admit_addresses() {
    let rows = [
        ("localhost", "127.0.0.1:80", false),
        ("*.example.org", "10.0.0.1:80", false),
        ("10.0.0.1", "10.0.0.1:80", true),
        ("10.0.0.1", "[::ffff:10.0.0.1]:80", true),
        ("10.0.0.1:80", "10.0.0.1:81", false),
        ("10.0.0.0/8", "10.9.9.9:81", true),
        ("::1", "[::1]:80", true),
        ("0.0.0.0/0", "[::1]:80", false),
    ];
    for (entry, address, expected) in rows {
        assert_eq!(hosts(&[entry]).admit(address.parse().unwrap()), expected, "{entry} {address}");
    }
}

#[test]
fn entry_that_is_no_host_is_refused() {
    let entries = [
        "",
        "*",
        "*.",
        "a.*.org",
        "http://a.org",
        "a.org/x",
        "a.org:",
        "a.org:65536",
        "*.10.0.0.1",
        "10.0.0.0/33",
        "a b",
        "[::1",
    ];
    for entry in entries {
        assert!(entry.parse::<AllowedHost>().is_err(), "{entry:?}");
    }
}

#[test]
fn origin_prints_as_in_a_url() {
    for (url, origin) in [
        ("HTTPS://Example.org:443/a?b", "https://example.org"),
        ("http://example.org:8080/", "http://example.org:8080"),
        ("http://[::1]:80/", "http://[::1]"),
    ] {
        assert_eq!(Origin::of(&Url::parse(url).unwrap()).unwrap().to_string(), origin);
    }
}

proptest! {
    /// A name never admits anything, and every public address needs no admission.
    #[test]
    fn names_never_admit(bits: u32, port: u16) {
        let address = std::net::SocketAddr::from((std::net::Ipv4Addr::from(bits), port));
        prop_assert!(!hosts(&["localhost", "*.internal", "example.org:80"]).admit(address));
    }

    /// However an IPv4 address is embedded, it is no more public than it is alone.
    #[test]
    fn embedding_never_makes_public(bits: u32) {
        let v4 = std::net::Ipv4Addr::from(bits);
        let [a, b, c, d] = v4.octets().map(u16::from);
        let (high, low) = (a << 8 | b, c << 8 | d);
        let embeddings = [
            v4.to_ipv6_mapped(),
            v4.to_ipv6_compatible(),
            std::net::Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            std::net::Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        ];
        for v6 in embeddings {
            prop_assert!(!is_public(v6.into()) || is_public(v4.into()), "{v6}");
        }
    }
}
