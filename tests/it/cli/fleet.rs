//! `channelgate fleet status`: every gate over the store, as it last said of itself.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::process::{Place, Process};

#[test]
fn gates_are_listed_with_their_state_from_start_to_end() {
    let place = Place::with("gate.name = \"gate-1\"\nlimits.drain_timeout = \"1s\"");
    assert_eq!(place.must_json(&["fleet", "status"]), Value::Array(Vec::new()), "before the first start");
    let gate = place.serve();
    let mut command = place.command(&["serve"]);
    command.env("CHANNELGATE_GATE__NAME", "gate-2");
    let other = Process::start(command);
    let [first, second] = until(&place, |gates| {
        gates.len() == 2 && gates.iter().all(|gate| gate["state"] == "ready" && gate["lag_seconds"].is_f64())
    });
    assert_eq!((&first["name"], &second["name"]), (&Value::from("gate-1"), &Value::from("gate-2")));
    assert_ne!(first["id"], second["id"]);
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert!(first["lag_seconds"].as_f64().unwrap() < 5.0, "{first}");
    for time in ["started_at", "last_heartbeat"] {
        assert!(first[time].is_string(), "{first}");
    }
    other.terminate().expect(0, "the second gate ends well");
    let [first, second] = until(&place, |gates| gates[1]["state"] == "stopped");
    assert_eq!((&first["state"], &second["behind"]), (&Value::from("ready"), &Value::from(0)));
    let text = place.must(&["fleet", "status"]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("NAME    ID"), "{text}");
    assert!(lines[1].starts_with("gate-1  ") && lines[1].contains("  ready  "), "{text}");
    gate.terminate().expect(0, "the first gate ends well");
}

/// The two gates, once `is_so`.
fn until(place: &Place, is_so: impl Fn(&[Value]) -> bool) -> [Value; 2] {
    let began = Instant::now();
    loop {
        let status = place.must_json(&["fleet", "status"]);
        let gates = status.as_array().unwrap();
        if is_so(gates) {
            return gates.clone().try_into().unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{status:#}");
    }
}
