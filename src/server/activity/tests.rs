//! Tests of what a connection is taken to be doing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::IntGauge;

use super::{Activity, Ended, InFlight, Limits, Protocol, Verdict};
use crate::server::Config;

const HEAD: Duration = Duration::from_secs(15);
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const WINDOW: Duration = Duration::from_secs(30);

fn connection(start: Instant) -> Arc<Activity> {
    let gauge = IntGauge::new("in_flight", "Requests").unwrap();
    Activity::new(Limits::new(&Config::default()), Arc::new(InFlight::new(gauge)), start)
}

/// The verdict once it is no longer "look again", and when it came.
fn end(activity: &Activity, mut now: Instant) -> (Duration, Verdict) {
    let start = now;
    for _ in 0..100 {
        match activity.verdict(now) {
            Verdict::Look(next) => {
                assert!(next > now, "a look must not be due at once");
                now = next;
            }
            verdict => return (now - start, verdict),
        }
    }
    (now - start, activity.verdict(now))
}

fn goes_on(activity: &Activity, now: Instant) -> bool {
    matches!(end(activity, now), (_, Verdict::Look(_)))
}

#[test]
fn new_connection_without_head_is_cut_on_time() {
    let start = Instant::now();
    let activity = connection(start);
    assert_eq!(end(&activity, start), (HEAD, Verdict::Cut(Ended::HeaderTimeout)));
}

#[test]
fn running_request_has_no_deadline() {
    let start = Instant::now();
    let activity = connection(start);
    activity.request_begun(false);
    assert!(goes_on(&activity, start));
}

#[test]
fn idle_connection_is_closed_and_then_cut() {
    let start = Instant::now();
    let activity = connection(start);
    activity.request_begun(false);
    activity.request_ended(true, || start);
    assert_eq!(end(&activity, start), (KEEP_ALIVE, Verdict::Close(Ended::Idle)));
    activity.closing();
    assert_eq!(end(&activity, start), (KEEP_ALIVE + WINDOW, Verdict::Cut(Ended::Idle)));
}

#[test]
fn first_byte_of_next_http1_request_starts_its_time() {
    let start = Instant::now();
    let activity = connection(start);
    activity.request_begun(false);
    activity.request_ended(true, || start);
    let first_byte = start + Duration::from_secs(60);
    assert!(activity.received(|| first_byte));
    // Further bytes do not prolong it.
    assert!(activity.received(|| first_byte + HEAD / 2));
    assert_eq!(end(&activity, first_byte), (HEAD, Verdict::Cut(Ended::HeaderTimeout)));
}

#[test]
fn http2_frames_do_not_keep_an_idle_connection() {
    let start = Instant::now();
    let activity = connection(start);
    activity.speaks(Protocol::Http2);
    activity.request_begun(false);
    activity.request_begun(false);
    activity.request_ended(true, || start);
    assert!(goes_on(&activity, start), "one stream is still open");
    activity.request_ended(true, || start);
    assert!(activity.received(|| start + WINDOW));
    assert_eq!(end(&activity, start), (KEEP_ALIVE, Verdict::Close(Ended::Idle)));
}

#[test]
fn lingering_ends() {
    let start = Instant::now();
    let activity = connection(start);
    assert!(activity.lingers(start), "half a head was received");
    assert_eq!(end(&activity, start), (HEAD, Verdict::Cut(Ended::Unread)));

    let activity = connection(start);
    activity.request_begun(false);
    activity.request_ended(true, || start);
    assert!(!activity.lingers(start), "nothing is left to read");
    activity.left_unread();
    assert!(activity.lingers(start));
    activity.speaks(Protocol::Http2);
    assert!(!activity.lingers(start));
}

#[test]
fn blocked_socket_is_cut_whatever_the_phase() {
    let activity = connection(Instant::now());
    activity.request_begun(false);
    activity.blocked();
    activity.request_ended(true, Instant::now);
    let now = Instant::now();
    let (after, verdict) = end(&activity, now);
    assert_eq!(verdict, Verdict::Cut(Ended::SlowClient));
    assert!(after <= WINDOW && after > WINDOW - Duration::from_secs(1), "{after:?}");
    // It takes something, and is no longer waited for.
    activity.wrote(1);
    assert_eq!(end(&activity, now).1, Verdict::Close(Ended::Idle));
}

#[test]
fn cancelling_most_requests_is_a_flood() {
    let max = Config::default().http2_cancelled_requests_max;
    let start = Instant::now();
    let rows = [("few", max, 0, true), ("too many", max + 1, 0, false), ("half", max + 1, max + 1, true)];
    for (name, cancelled, answered, expected) in rows {
        let activity = connection(start);
        activity.speaks(Protocol::Http2);
        for index in 0..cancelled + answered {
            activity.request_begun(false);
            activity.request_ended(index >= cancelled, || start);
        }
        assert_eq!(activity.received(|| start), expected, "{name}");
    }
}
