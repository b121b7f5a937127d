//! Tests of times as people write and read them.

use super::*;

#[test]
fn timestamp_reads_dates_and_rfc3339_and_prints_utc() {
    for (name, given, printed) in [
        ("date", "2027-01-31", "2027-01-31T00:00:00Z"),
        ("utc", "2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
        ("offset", "2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00Z"),
        ("fraction", "2027-01-31T12:00:00.5Z", "2027-01-31T12:00:00Z"),
    ] {
        assert_eq!(given.parse::<Timestamp>().unwrap().to_string(), printed, "{name}");
    }
    for bad in ["", "tomorrow", "2027-13-01", "31.01.2027", "2027-01-31 noon"] {
        let error = bad.parse::<Timestamp>().unwrap_err().to_string();
        assert!(error.contains("is not a date"), "{bad}: {error}");
    }
}

#[test]
fn duration_round_trips_in_its_largest_unit() {
    for (text, millis) in
        [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("36h", 129_600_000), ("365d", 31_536_000_000)]
    {
        let duration = parse_duration(text).unwrap();
        assert_eq!(duration.as_millis(), millis, "{text}");
        assert_eq!(format_duration(duration), text);
    }
    assert_eq!(parse_duration("1h 30m").unwrap().as_secs(), 5_400);
    assert_eq!(parse_duration("0").unwrap(), Duration::ZERO);
    for bad in ["", "10", "-5s", "ten seconds", "5x"] {
        assert!(parse_duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn timestamp_arithmetic_saturates() {
    let end = Timestamp::from_millis(i64::MAX);
    assert_eq!(end.plus(Duration::from_secs(1)), end);
    assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
    let _ = end.to_string();
    let first = Timestamp::from_millis(i64::MIN);
    assert_eq!(first.as_millis(), i64::MIN + 1, "the number that no timestamp is");
    assert_eq!(first.minus(Duration::MAX), first);
}

#[test]
fn timestamps_are_in_the_order_of_their_numbers_and_absent_at_no_cost() {
    let numbers = [i64::MIN + 1, -1, 0, 1, i64::MAX];
    let timestamps = numbers.map(Timestamp::from_millis);
    assert!(timestamps.is_sorted());
    assert_eq!(timestamps.map(Timestamp::as_millis), numbers);
    assert_eq!(size_of::<Option<Timestamp>>(), size_of::<i64>());
}

#[test]
fn manual_clock_moves_both_hands() {
    let (clock, hands) = Clock::manual(Timestamp::from_millis(1_000));
    let before = clock.uptime();
    hands.advance(Duration::from_secs(2));
    assert_eq!(clock.now(), Timestamp::from_millis(3_000));
    assert_eq!(clock.uptime() - before, Duration::from_secs(2));
    assert!(Clock::system().uptime() > Duration::ZERO);
}
