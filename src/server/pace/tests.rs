//! Tests of the least rate at which a client takes its response.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Floor, Pace};

const FLOOR: Floor = Floor { rate: 1024, window: Duration::from_secs(30) };

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Each step waits for the client for so many seconds, then it takes so many bytes. The answer is the step during
/// which the client was found too slow.
fn too_slow_at(steps: &[(u64, u64)]) -> Option<usize> {
    let mut now = Instant::now();
    let mut pace = Pace::default();
    for (index, (wait, bytes)) in steps.iter().enumerate() {
        pace.wait(now);
        let deadline = pace.deadline(&FLOOR).unwrap();
        now += seconds(*wait);
        if now >= deadline {
            return Some(index);
        }
        pace.took(*bytes, &FLOOR, || now);
    }
    None
}

#[test]
fn clients_by_behaviour() {
    type Steps = Vec<(u64, u64)>;
    let rows: &[(&str, Steps, Option<usize>)] = &[
        ("takes nothing", vec![(30, 0)], Some(0)),
        ("takes nothing, almost", vec![(29, 0)], None),
        ("at the floor for ever", vec![(10, 10 * 1024); 1000], None),
        ("at the floor in coarse steps", vec![(29, 29 * 1024); 1000], None),
        ("half the floor: loses 5 s of 10 each time", vec![(10, 5 * 1024); 100], Some(4)),
        ("one byte each 10 s", vec![(10, 1); 100], Some(3)),
        ("a burst buys no right to stall", vec![(1, 1 << 30), (30, 0)], Some(1)),
        ("recovers", vec![(29, 0), (0, 29 * 1024), (29, 30 * 1024)], None),
    ];
    for (name, steps, expected) in rows {
        assert_eq!(too_slow_at(steps), *expected, "{name}");
    }
}

#[test]
fn waiting_for_our_own_source_is_not_the_clients_fault() {
    let start = Instant::now();
    let mut pace = Pace::default();
    pace.wait(start);
    pace.took(16 * 1024, &FLOOR, || start + seconds(1));
    // An hour passes in which nothing is ready.
    assert_eq!(pace.deadline(&FLOOR), None);
    pace.wait(start + seconds(3600));
    assert_eq!(pace.deadline(&FLOOR), Some(start + seconds(3630)));
}

#[test]
fn forgive_starts_a_running_wait_anew() {
    let start = Instant::now();
    let mut pace = Pace::default();
    pace.wait(start);
    pace.forgive(start + seconds(29));
    assert_eq!(pace.deadline(&FLOOR), Some(start + seconds(59)));
}

proptest! {
    /// Whoever takes at least the floor's rate between two looks is never found slow; whoever takes under half of it
    /// always is, after twice the window at most.
    #[test]
    fn floor_separates_fast_from_slow(waits in proptest::collection::vec(1u64..25, 1..60), surplus in 0u64..4096) {
        let fast: Vec<_> = waits.iter().map(|wait| (*wait, wait * 1024 + surplus)).collect();
        prop_assert_eq!(too_slow_at(&fast), None);
        let slow: Vec<_> = waits.iter().map(|wait| (*wait, wait * 512)).collect();
        if waits.iter().sum::<u64>() > 60 + 25 {
            prop_assert!(too_slow_at(&slow).is_some());
        }
    }
}
