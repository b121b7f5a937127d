//! Tests of what a listener counts.

use prometheus::{Registry, TextEncoder};

use super::Meters;

#[test]
fn planes_share_families_and_a_plane_registers_once() {
    let registry = Registry::new();
    let data = Meters::register(&registry, "data").unwrap();
    let _admin = Meters::register(&registry, "admin").unwrap();
    assert!(Meters::register(&registry, "data").is_err());

    data.requests_in_flight.inc();
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(text.contains("channelgate_inflight_requests{plane=\"data\"} 1\n"), "{text}");
    assert!(text.contains("channelgate_inflight_requests{plane=\"admin\"} 0\n"), "{text}");
    assert_eq!(text.matches("# TYPE channelgate_connections_refused_total counter\n").count(), 1);
}
