//! The line that is put together by hand against the one that the subscriber makes of the event.

use super::super::tests::{LONG, Sink};
use super::super::{Config, Writer, dispatch};
use super::*;

const ID: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

fn usual() -> Access<'static> {
    Access {
        method: "GET",
        path: "/t/<TOKEN>/main/noarch/x-1.0-0.conda",
        status: Some(200),
        code: "ok",
        outcome: "served",
        token: Some(ID),
        org: Some("acme"),
        carrier: Some("path"),
        channel: Some("repo/main"),
        bytes: 1_024,
        first_byte_micros: 1_234,
        total_micros: 20_500,
        cache: "channelgate; fwd=miss",
        client: IpAddr::from([192, 0, 2, 7]),
        request_id: "19a0-00002a",
    }
}

/// Both lines, each without the time it begins with.
fn both(access: &Access<'_>, format: Format) -> (String, String) {
    let told = |by_hand: bool| {
        let (sink, config) = (Sink::default(), Config { format, level: Level::Info });
        let writer = Writer::start(sink.clone(), format);
        let listening = dispatch(&config, writer.clone(), false);
        let log = Log { writer: writer.clone(), config, is_coloured: false };
        tracing::dispatcher::with_default(&listening, || {
            if by_hand { access.tell_in(&log) } else { access.event() }
        });
        writer.flush(LONG);
        let text = sink.text();
        let (_, behind) = text.split_once("Z").unwrap();
        behind.to_owned()
    };
    (told(true), told(false))
}

#[test]
fn line_made_by_hand_is_the_subscribers() {
    let unanswered = Access {
        status: None,
        code: "client_gone",
        outcome: "aborted",
        token: None,
        org: None,
        carrier: None,
        channel: None,
        client: "2001:db8::1".parse().unwrap(),
        ..usual()
    };
    let times = [0, 1, 10, 100, 999, 1_000, 1_010, 120_000, 123_456_789, u64::from(u32::MAX) * 1_000];
    let timed = times.map(|micros| Access { first_byte_micros: micros, total_micros: micros, ..usual() });
    let odd = ["/caf\u{e9}", "/a\"b", "/a\\b", "/a\u{1b}[31m", "/a b"].map(|path| Access { path, ..usual() });
    for format in [Format::Human, Format::Json] {
        for access in [usual(), unanswered].iter().chain(&timed).chain(&odd) {
            let (by_hand, subscribers) = both(access, format);
            assert_eq!(by_hand, subscribers, "{format:?}");
            assert_eq!(by_hand.matches('\n').count(), 1);
        }
    }
}

#[test]
fn time_is_shown_as_the_subscriber_shows_it() {
    use tracing_subscriber::fmt::format;
    use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
    let (mut before, mut own, mut after) = (String::new(), String::new(), String::new());
    SystemTime.format_time(&mut format::Writer::new(&mut before)).unwrap();
    push_time(&mut own);
    SystemTime.format_time(&mut format::Writer::new(&mut after)).unwrap();
    assert!(before <= own && own <= after && own.len() == before.len(), "{before} {own} {after}");
}

#[test]
fn access_line_waits_for_its_level() {
    for (level, lines) in [(Level::Error, 0), (Level::Warn, 0), (Level::Info, 1), (Level::Trace, 1)] {
        let (sink, config) = (Sink::default(), Config { format: Format::Json, level });
        let writer = Writer::start(sink.clone(), Format::Json);
        usual().tell_in(&Log { writer: writer.clone(), config, is_coloured: false });
        writer.flush(LONG);
        assert_eq!(sink.text().lines().count(), lines, "{level:?}");
    }
}
