//! So many wrong tokens are free, then some a second; others are not concerned; memory is bounded.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{Guesses, NETWORKS_MAX, SAVED};

const NOW: Duration = Duration::from_secs(1_000);

fn network(number: usize) -> IpAddr {
    Ipv4Addr::from(u32::try_from(number).unwrap()).into()
}

/// Asks until it is told to wait; answers how often it was wrong.
fn exhaust(guesses: &Guesses, at: Duration) -> u32 {
    (0..1_000)
        .take_while(|_| guesses.check(network(1), at).map(|()| guesses.was_wrong(network(1), at)).is_ok())
        .count()
        .try_into()
        .unwrap()
}

#[test]
fn network_may_be_wrong_so_often_a_second_and_has_some_seconds_saved() {
    let guesses = Guesses::new(20);
    let saved = 20 * u32::try_from(SAVED.as_secs()).unwrap() + 1;
    assert_eq!(exhaust(&guesses, NOW), saved);
    assert_eq!(guesses.check(network(1), NOW), Err(Duration::from_millis(50)));
    assert_eq!(guesses.check(network(2), NOW), Ok(()), "others are not concerned");
    for second in 1..5 {
        assert_eq!(exhaust(&guesses, NOW + Duration::from_secs(second)), 20);
    }
    assert_eq!(exhaust(&guesses, NOW + SAVED * 4), saved, "all is saved again");
}

#[test]
fn answers_that_come_all_at_once_keep_nobody_waiting_for_long() {
    let guesses = Guesses::new(1);
    for _ in 0..10_000 {
        guesses.was_wrong(network(1), NOW);
    }
    assert_eq!(guesses.check(network(1), NOW), Err(SAVED));
    assert_eq!(guesses.check(network(1), NOW + SAVED), Ok(()));
}

#[test]
fn zero_is_no_limit() {
    let guesses = Guesses::new(0);
    assert_eq!(exhaust(&guesses, NOW), 1_000);
}

#[test]
fn only_so_many_networks_are_remembered() {
    let guesses = Guesses::new(1);
    for number in 0..=NETWORKS_MAX {
        for _ in 0..20 {
            guesses.was_wrong(network(number), NOW);
        }
    }
    assert_eq!(guesses.paid_at.lock().unwrap().len(), NETWORKS_MAX);
    assert_eq!(guesses.check(network(0), NOW), Ok(()), "was wrong longest ago");
    assert!(guesses.check(network(1), NOW).is_err());
}
