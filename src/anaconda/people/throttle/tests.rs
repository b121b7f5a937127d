//! Waits grow, are bounded, and end; memory is bounded.

use std::time::Duration;

use proptest::prelude::*;

use super::{Policy, Throttle};
use crate::clock::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const POLICY: Policy = Policy {
    free: 5,
    wait: Duration::from_secs(1),
    wait_max: Duration::from_secs(900),
    forget: Duration::from_secs(3_600),
    remembered_max: 3,
};

#[test]
fn waits_double_after_the_free_failures_up_to_the_longest() {
    let throttle = Throttle::new(POLICY);
    let mut now = NOW;
    for _ in 0..6 {
        throttle.begin("alice", now).unwrap();
    }
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        let wait = Duration::from_secs(seconds);
        assert_eq!(throttle.begin("alice", now), Err(wait));
        assert_eq!(throttle.begin("alice", now), Err(wait), "an attempt that is refused does not count");
        let just_before = now.plus(wait - Duration::from_millis(1));
        assert_eq!(throttle.begin("alice", just_before), Err(Duration::from_millis(1)));
        now = now.plus(wait);
        throttle.begin("alice", now).unwrap();
    }
    throttle.begin("bob", now).expect("others are not concerned");
    for _ in 0..6 {
        throttle.begin("alice", now.plus(POLICY.forget)).expect("forgotten after an hour");
    }
}

#[test]
fn success_forgets_and_what_was_not_decided_does_not_count() {
    let throttle = Throttle::new(POLICY);
    for _ in 0..4 {
        throttle.begin("alice", NOW).unwrap();
    }
    for _ in 0..10 {
        throttle.begin("alice", NOW).expect("each is taken back");
        throttle.take_back(&"alice");
    }
    throttle.begin("alice", NOW).unwrap();
    throttle.begin("alice", NOW).unwrap();
    assert!(throttle.begin("alice", NOW).is_err());
    throttle.succeeded(&"alice");
    for _ in 0..6 {
        throttle.begin("alice", NOW).unwrap();
    }
    throttle.take_back(&"nobody");
}

#[test]
fn what_began_later_or_by_a_clock_that_was_put_back_keeps_nobody_waiting() {
    let throttle = Throttle::new(POLICY);
    throttle.begin("alice", NOW.plus(Duration::from_millis(1))).unwrap();
    throttle.begin("alice", NOW).expect("arrived before the other and begins after it");
    for _ in 0..4 {
        throttle.begin("alice", NOW).unwrap();
    }
    let put_back = NOW.minus(POLICY.forget);
    assert_eq!(throttle.begin("alice", put_back), Err(POLICY.wait), "the wait begins anew");
    throttle.begin("alice", put_back.plus(POLICY.wait)).expect("and ends");
}

#[test]
fn only_so_many_are_remembered_and_who_failed_longest_ago_is_forgotten_first() {
    let throttle = Throttle::new(POLICY);
    for name in ["a", "b", "c"] {
        for _ in 0..6 {
            throttle.begin(name, NOW).unwrap();
        }
    }
    assert!(throttle.begin("a", NOW).is_err(), "and is looked at last");
    throttle.begin("d", NOW).unwrap();
    assert_eq!(throttle.known.lock().unwrap().len(), 3);
    throttle.begin("b", NOW).expect("forgotten");
    assert!(throttle.begin("a", NOW).is_err());
}

proptest! {
    /// However attempts are spread in time, an attacker gets few: the free ones, and what the waits leave.
    #[test]
    fn nobody_gets_more_attempts_than_the_waits_leave(steps in proptest::collection::vec(0_u64..30_000, 1..400)) {
        let throttle = Throttle::new(POLICY);
        let (mut now, mut admitted) = (NOW, 0_u32);
        for step in steps {
            now = now.plus(Duration::from_millis(step));
            admitted += u32::from(throttle.begin("alice", now).is_ok());
        }
        // n attempts beyond the first six take at least 1 + 2 + 4 + … seconds.
        let elapsed = now.since(NOW).as_secs() + 1;
        let most = 6 + elapsed.ilog2() + 1 + u32::try_from(elapsed / 900).unwrap();
        prop_assert!(admitted <= most, "{admitted} of {most} in {elapsed} s");
    }
}
