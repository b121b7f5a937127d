//! Tests of the places for connections.

use std::net::IpAddr;

use super::{Full, Slots};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn sources_by_address() {
    let rows = [
        ("other IPv4", "192.0.2.1", "192.0.2.2", true),
        ("same IPv4", "192.0.2.1", "192.0.2.1", false),
        ("same IPv4, mapped", "192.0.2.1", "::ffff:192.0.2.1", false),
        ("same /64", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", false),
        ("other /64", "2001:db8:0:1::1", "2001:db8:0:2::1", true),
    ];
    for (name, first, second, both) in rows {
        let slots = Slots::new(10, 1);
        let _held = slots.take(address(first)).unwrap();
        let second = slots.take(address(second));
        assert_eq!(second.is_ok(), both, "{name}");
        if !both {
            assert_eq!(second.unwrap_err(), Full::ForAddress, "{name}");
        }
    }
}

#[test]
fn place_is_free_again_when_dropped() {
    let slots = Slots::new(2, 2);
    let first = slots.take(address("192.0.2.1")).unwrap();
    let second = slots.take(address("192.0.2.2")).unwrap();
    assert_eq!(slots.take(address("192.0.2.3")).unwrap_err(), Full::Everywhere);
    drop(first);
    let third = slots.take(address("192.0.2.3")).unwrap();
    drop((second, third));
    assert_eq!(slots.taken().all, 0);
    assert!(slots.taken().by_source.is_empty(), "addresses gone leave nothing behind");
}
