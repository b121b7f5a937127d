//! Tests of preconditions, ranges and directives against the rules of RFC 9110 and 9111.

use std::time::{Duration, SystemTime};

use http::header::{
    AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;

fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    map
}

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn range_headers_parse_or_are_ignored() {
    for (header, expected) in [
        ("bytes=0-", Some(ByteRange::From(0))),
        ("bytes=196608-", Some(ByteRange::From(196_608))),
        ("bytes=2-5", Some(ByteRange::Between(2, 5))),
        ("Bytes=2-5", Some(ByteRange::Between(2, 5))),
        ("bytes=-65536", Some(ByteRange::Last(65_536))),
        ("bytes=99999999999999999999-", Some(ByteRange::From(u64::MAX))),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=0-1,3-4", None),
        ("bytes=+1-2", None),
        ("bytes= 1 - 2", None),
        ("items=0-1", None),
        ("0-1", None),
        ("", None),
    ] {
        assert_eq!(header.parse::<ByteRange>().ok(), expected, "{header}");
    }
}

#[test]
fn ranges_select_what_is_there() {
    for (range, length, expected) in [
        (ByteRange::From(3), 10, Some((3, 10))),
        (ByteRange::From(10), 10, None),
        (ByteRange::Between(3, 5), 10, Some((3, 6))),
        (ByteRange::Between(3, 99), 10, Some((3, 10))),
        (ByteRange::Between(0, u64::MAX), 10, Some((0, 10))),
        (ByteRange::Between(10, 12), 10, None),
        (ByteRange::Last(4), 10, Some((6, 10))),
        (ByteRange::Last(65_536), 10, Some((0, 10))),
        (ByteRange::Last(0), 10, None),
        (ByteRange::Last(5), 0, None),
    ] {
        assert_eq!(range.of(length).map(|span| (span.start, span.end)), expected, "{range} of {length}");
    }
}

#[test]
fn content_range_reads_what_it_writes_and_refuses_nonsense() {
    let span = Span { start: 2, end: 6 };
    assert_eq!(span.content_range(Some(10)), "bytes 2-5/10");
    assert_eq!(Span::parse_content_range("bytes 2-5/10"), Some((span, Some(10))));
    assert_eq!(Span::parse_content_range("bytes 2-5/*"), Some((span, None)));
    for bad in ["bytes 5-2/10", "bytes 2-10/10", "bytes */10", "2-5/10", "bytes 0-18446744073709551615/*", ""]
    {
        assert_eq!(Span::parse_content_range(bad), None, "{bad}");
    }
}

#[test]
fn preconditions_follow_the_order_of_rfc9110() {
    let validators = Validators {
        etag: EntityTag::parse(&HeaderValue::from_static("\"v1\"")),
        last_modified: Some(time(1_000).into()),
    };
    let at = |seconds| http_date(time(seconds)).to_str().unwrap().to_owned();
    let (old, same, new) = (at(999), at(1_000), at(1_001));
    let part = |start, end| Precondition::Part(Span { start, end });
    for (name, given, expected) in [
        ("nothing", vec![], Precondition::Whole),
        ("etag matches", vec![(IF_NONE_MATCH, "\"v1\"")], Precondition::NotModified),
        ("weak form matches", vec![(IF_NONE_MATCH, "W/\"v1\"")], Precondition::NotModified),
        ("in a list", vec![(IF_NONE_MATCH, "\"a,b\", \"v1\"")], Precondition::NotModified),
        ("star in a list", vec![(IF_NONE_MATCH, "\"x\", *")], Precondition::NotModified),
        ("star", vec![(IF_NONE_MATCH, "*")], Precondition::NotModified),
        ("other etag", vec![(IF_NONE_MATCH, "\"v2\"")], Precondition::Whole),
        (
            "etag overrules date",
            vec![(IF_NONE_MATCH, "\"v2\""), (IF_MODIFIED_SINCE, &new)],
            Precondition::Whole,
        ),
        ("date same", vec![(IF_MODIFIED_SINCE, &same)], Precondition::NotModified),
        ("date newer", vec![(IF_MODIFIED_SINCE, &new)], Precondition::NotModified),
        ("date older", vec![(IF_MODIFIED_SINCE, &old)], Precondition::Whole),
        ("date nonsense", vec![(IF_MODIFIED_SINCE, "yesterday")], Precondition::Whole),
        ("range", vec![(RANGE, "bytes=2-3")], part(2, 4)),
        ("range behind the end", vec![(RANGE, "bytes=10-")], Precondition::NotSatisfiable),
        ("two ranges", vec![(RANGE, "bytes=0-1,2-3")], Precondition::Whole),
        ("two headers", vec![(RANGE, "bytes=0-1"), (RANGE, "bytes=2-3")], Precondition::Whole),
        ("if-range holds", vec![(RANGE, "bytes=2-3"), (IF_RANGE, "\"v1\"")], part(2, 4)),
        ("if-range weak", vec![(RANGE, "bytes=2-3"), (IF_RANGE, "W/\"v1\"")], Precondition::Whole),
        ("if-range other", vec![(RANGE, "bytes=2-3"), (IF_RANGE, "\"v2\"")], Precondition::Whole),
        ("if-range date", vec![(RANGE, "bytes=2-3"), (IF_RANGE, &same)], part(2, 4)),
        ("if-range newer date", vec![(RANGE, "bytes=2-3"), (IF_RANGE, &new)], Precondition::Whole),
        (
            "304 before range",
            vec![(RANGE, "bytes=10-"), (IF_NONE_MATCH, "\"v1\"")],
            Precondition::NotModified,
        ),
    ] {
        let headers = headers(&given);
        assert_eq!(Conditions::of(&headers).evaluate(&validators, Some(10)), expected, "{name}");
    }
    let ranged = headers(&[(RANGE, "bytes=2-3")]);
    assert_eq!(
        Conditions::of(&ranged).evaluate(&validators, None),
        Precondition::Whole,
        "no length, no ranges"
    );
}

#[test]
fn cache_control_is_read_and_told() {
    for (given, private, told) in [
        ("max-age=60", true, Some("private, max-age=60")),
        ("public, max-age=31536000, immutable", true, Some("private, max-age=31536000, immutable")),
        ("Max-Age=\"5\"", false, Some("max-age=5")),
        ("no-store, no-cache", true, Some("private, no-store, no-cache")),
        ("max-age=x", false, None),
        ("", true, Some("private")),
        ("s-maxage=3", false, None),
    ] {
        let parsed = CacheControl::of(&headers(&[(CACHE_CONTROL, given)]).into());
        let value = parsed.for_client(private);
        assert_eq!(value.as_ref().map(|value| value.to_str().unwrap()), told, "{given}");
    }
}

#[test]
fn age_is_taken_off_the_freshness() {
    for (age, left) in [("10", 50), ("60", 0), ("90", 0), ("x", 60)] {
        let headers = headers(&[(CACHE_CONTROL, "max-age=60"), (AGE, age)]);
        assert_eq!(CacheControl::of(&headers.into()).max_age_seconds, Some(left), "{age}");
    }
}

#[test]
fn expiry_counts_where_there_is_no_max_age() {
    let at = |seconds| http_date(time(seconds)).to_str().unwrap().to_owned();
    let (date, later) = (at(1_000), at(1_060));
    for (name, pairs, left) in [
        ("after the date", vec![(EXPIRES, later.as_str()), (DATE, &date)], Some(60)),
        ("less its age", vec![(EXPIRES, &later), (DATE, &date), (AGE, "20")], Some(40)),
        ("before the date", vec![(EXPIRES, &date), (DATE, &later)], Some(0)),
        ("no date at all", vec![(EXPIRES, "0"), (DATE, &date)], Some(0)),
        ("against nothing", vec![(EXPIRES, &later)], None),
        ("max-age decides", vec![(EXPIRES, &later), (DATE, &date), (CACHE_CONTROL, "max-age=5")], Some(5)),
    ] {
        assert_eq!(CacheControl::of(&headers(&pairs).into()).max_age_seconds, left, "{name}");
    }
}

#[test]
fn freshness_follows_the_directives_and_else_the_patience() {
    let patience = Patience {
        lifetime: Duration::from_secs(60),
        stale_while_revalidate: Duration::from_secs(10),
        stale_if_error: Duration::from_secs(100),
    };
    let lapsed = |meanwhile, on_error| Freshness::Lapsed { meanwhile, on_error };
    for (name, given, age, expected) in [
        ("silent, young", "", 59, Freshness::Fresh),
        ("silent, old", "", 60, lapsed(true, true)),
        ("silent, older", "", 70, lapsed(false, true)),
        ("silent, beyond all", "", 160, lapsed(false, false)),
        ("max-age", "max-age=5", 5, lapsed(true, true)),
        ("max-age, young", "max-age=600", 599, Freshness::Fresh),
        ("s-maxage outranks it", "max-age=600, s-maxage=5", 6, lapsed(true, true)),
        ("no-cache", "max-age=600, no-cache", 0, lapsed(false, true)),
        ("private is stored", "private, max-age=600", 599, Freshness::Fresh),
        ("stale-while-revalidate", "max-age=5, stale-while-revalidate=30", 34, lapsed(true, true)),
        ("stale-while-revalidate over", "max-age=5, stale-while-revalidate=30", 35, lapsed(false, true)),
        ("stale-if-error", "max-age=5, stale-if-error=3", 8, lapsed(true, false)),
        ("must-revalidate", "max-age=5, must-revalidate", 20, lapsed(false, true)),
    ] {
        let directives = CacheControl::of(&headers(&[(CACHE_CONTROL, given)]).into());
        let freshness = Freshness::of(&directives, Some(Duration::from_secs(age)), &patience);
        assert_eq!(freshness, expected, "{name}");
    }
    let unknown = Freshness::of(&CacheControl::default(), None, &patience);
    assert_eq!(unknown, lapsed(false, true), "the clock was set back");
}

#[test]
fn directives_are_kept_as_they_were_read() {
    for given in [
        "",
        "max-age=5, s-maxage=6, stale-while-revalidate=7, stale-if-error=8, no-store, no-cache, immutable",
    ] {
        let parsed = CacheControl::of(&headers(&[(CACHE_CONTROL, given)]).into());
        let text = serde_json::to_string(&parsed).unwrap();
        assert_eq!(serde_json::from_str::<CacheControl>(&text).unwrap(), parsed, "{text}");
    }
    assert_eq!(serde_json::to_string(&CacheControl::default()).unwrap(), "{}");
}

#[test]
fn entity_tags_are_read_strictly() {
    for (given, strong) in [
        ("\"a\"", Some(true)),
        ("W/\"a\"", Some(false)),
        ("\"\"", Some(true)),
        ("a", None),
        ("\"a b\"", None),
        ("w/\"a\"", None),
    ] {
        let tag = EntityTag::parse(&HeaderValue::from_str(given).unwrap());
        assert_eq!(tag.map(|tag| tag.is_strong()), strong, "{given}");
    }
    assert_eq!(EntityTag::strong("a-1\"\n").as_header(), "\"a-1\"");
}

#[test]
fn dates_out_of_range_do_not_panic() {
    let _ = http_date(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
    let _ = http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX) * 1_000));
}

#[test]
fn content_types_come_from_the_name() {
    for (name, expected) in [
        ("repodata.json", "application/json"),
        ("repodata.json.zst", "application/zstd"),
        ("x-1.0-0.tar.bz2", "application/x-bzip2"),
        ("x-1.0-0.conda", "application/octet-stream"),
        ("rss.xml", "application/xml"),
        ("noextension", "application/octet-stream"),
    ] {
        assert_eq!(content_type(name), expected, "{name}");
    }
}

proptest! {
    #[test]
    fn range_print_and_parse_agree(header in "bytes=[0-9]{0,22}-[0-9]{0,22}", length in any::<u64>()) {
        if let Ok(range) = header.parse::<ByteRange>() {
            prop_assert_eq!(range.to_string().parse::<ByteRange>(), Ok(range));
            if let Some(span) = range.of(length) {
                prop_assert!(span.start < span.end && span.end <= length);
                let header = span.content_range(Some(length));
                prop_assert_eq!(Span::parse_content_range(&header), Some((span, Some(length))));
            }
        }
    }

    #[test]
    fn any_header_is_read_without_panic(value in "\\PC{0,40}") {
        let _ = value.parse::<ByteRange>();
        let _ = Span::parse_content_range(&value);
        if let Ok(value) = HeaderValue::from_str(&value) {
            let _ = EntityTag::parse(&value);
            let _ = parse_http_date(&value);
        }
    }
}
