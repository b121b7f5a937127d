//! Tests of backing off and of not repeating a complaint.

use std::io::{Error, ErrorKind};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{Backoff, Occasionally};

#[test]
fn backoff_by_error() {
    let rows = [
        (Error::from(Errno::MFILE), true),
        (Error::from(Errno::NFILE), true),
        (Error::from(Errno::NOBUFS), true),
        (Error::from(Errno::NOMEM), true),
        (Error::from(ErrorKind::ConnectionAborted), false),
        (Error::from(ErrorKind::ConnectionReset), false),
        (Error::from(ErrorKind::Interrupted), false),
    ];
    for (error, pauses) in rows {
        assert_eq!(Backoff::default().after(&error).is_some(), pauses, "{error}");
    }
}

#[test]
fn backoff_grows_to_a_second() {
    let mut backoff = Backoff::default();
    let error = Error::from(Errno::MFILE);
    let pauses: Vec<_> =
        (0..9).filter_map(|_| backoff.after(&error)).map(|pause| pause.as_millis()).collect();
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
}

#[test]
fn occasionally_lets_one_through_a_second_and_counts_the_rest() {
    let start = Instant::now();
    let mut occasionally = Occasionally::default();
    let at = |millis| start + Duration::from_millis(millis);
    assert_eq!(occasionally.pass(at(0)), Some(1));
    assert_eq!(occasionally.pass(at(1)), None);
    assert_eq!(occasionally.pass(at(999)), None);
    assert_eq!(occasionally.pass(at(1000)), Some(3));
}
