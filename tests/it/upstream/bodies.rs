//! Bodies: what was promised comes to the byte, or the body fails; it never ends short as if it were whole.

use std::time::Duration;

use channelgate::upstream::{
    BodyError, FetchError, Limits, Method, Outcome, Timeouts, Unavailable, UpstreamConfig,
};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::{FILE, Subject, always, config, read};
use crate::support::faulty::{Faulty, Reply};

const SHORTLY: Duration = Duration::from_millis(50);

fn hasty(server: &Faulty) -> Subject {
    let timeouts = Timeouts { idle: Duration::from_millis(150), ..Timeouts::default() };
    Subject::new(&[UpstreamConfig { timeouts, ..config(&server.url("/chan")) }])
}

#[tokio::test]
async fn body_that_ends_short_fails() {
    let rows = [
        ("closed short of its length", Reply::new(200).body("half").announce(8).wait(SHORTLY).close()),
        ("reset short of its length", Reply::new(200).body("half").announce(8).wait(SHORTLY).reset()),
        ("reset without a length", Reply::new(200).body("half").unannounced().wait(SHORTLY).reset()),
        ("chunks without the last", Reply::new(200).body("half").chunked().wait(SHORTLY).close()),
        (
            "a chunk that breaks off",
            Reply::new(200).unannounced().header("Transfer-Encoding", "chunked").body("8\r\nhalf"),
        ),
        (
            "a chunk of no size",
            Reply::new(200).unannounced().header("Transfer-Encoding", "chunked").body("4\r\nhalf\r\nno\r\n"),
        ),
    ];
    for (name, reply) in rows {
        let server = always(reply).await;
        let subject = hasty(&server);
        assert!(matches!(subject.download().await, Err(BodyError::Broken(_))), "{name}");
        subject.assert_counted(&[Outcome::BodyFailed]);
    }
}

#[tokio::test]
async fn part_in_chunks_shorter_than_its_range_fails() {
    let part = Reply::new(206).header("Content-Range", "bytes 0-7/8").chunked();
    for (name, body, is_short) in [("short", "half", true), ("long", "more than was announced", false)] {
        let server = always(part.clone().body(body)).await;
        let subject = hasty(&server);
        let fetched = subject.ask(Method::Get, FILE, &[("Range", "bytes=0-7")]).await.ok().unwrap();
        match read(fetched).await.unwrap_err() {
            BodyError::Short { missing: 4 } => assert!(is_short, "{name}"),
            BodyError::Long => assert!(!is_short, "{name}"),
            other => panic!("{name}: {other}"),
        }
        subject.assert_counted(&[Outcome::BodyFailed]);
    }
}

#[tokio::test]
async fn tls_body_without_length_fails_unless_tls_ends_in_order() {
    // The server drops its connection without close_notify, as somebody on the way would.
    let server = Faulty::start_tls(|_| Reply::new(200).body("half").unannounced()).await;
    let ca_file = Some(server.ca_file().to_owned());
    let subject = Subject::new(&[UpstreamConfig { ca_file, ..config(&server.url("/chan")) }]);
    assert!(matches!(subject.download().await, Err(BodyError::Broken(_))));
}

#[tokio::test]
async fn body_that_stalls_fails_after_the_idle_timeout() {
    for (name, reply) in [
        ("length", Reply::new(200).body("half").announce(8).stall()),
        ("chunked", Reply::new(200).body("half").chunked().stall()),
    ] {
        let server = always(reply).await;
        let subject = hasty(&server);
        assert!(matches!(subject.download().await, Err(BodyError::Stalled { .. })), "{name}");
        subject.assert_counted(&[Outcome::BodyFailed]);
    }
}

#[tokio::test]
async fn slow_but_steady_body_arrives() {
    let drip = (0..8).fold(Reply::new(200), |reply, _| reply.wait(SHORTLY).body("."));
    let server = always(drip).await;
    assert_eq!(hasty(&server).download().await.unwrap(), b"........");
}

#[tokio::test]
async fn slow_reader_does_not_run_into_the_idle_timeout() {
    let server = always(Reply::new(200).body("half").wait(SHORTLY).body("half")).await;
    let mut body = hasty(&server).get(FILE).await.ok().unwrap().body;
    for _ in 0..2 {
        assert_eq!(&body.frame().await.unwrap().unwrap().into_data().unwrap()[..], b"half");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn bytes_behind_the_announced_length_are_not_delivered() {
    let server = always(Reply::new(200).body("hello, world").announce(5)).await;
    let subject = hasty(&server);
    assert_eq!(subject.download().await.unwrap(), b"hello");
    assert_eq!(subject.download().await.unwrap(), b"hello", "the rest is not taken for the next response");
}

#[tokio::test]
async fn chunked_body_has_no_length_and_arrives_without_trailers() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n";
    let server = always(Reply::nothing().body(chunked)).await;
    let subject = hasty(&server);
    let fetched = subject.get(FILE).await.ok().unwrap();
    assert_eq!((fetched.length, fetched.body.size_hint().exact()), (None, None));
    assert_eq!(read(fetched).await.unwrap(), b"hello");
    subject.assert_counted(&[Outcome::Ok]);
}

#[tokio::test]
async fn body_that_is_dropped_is_counted_as_abandoned() {
    let server = always(Reply::new(200).body("half").announce(8).stall()).await;
    let subject = hasty(&server);
    drop(subject.get(FILE).await.ok().unwrap());
    subject.assert_counted(&[Outcome::Abandoned]);
}

#[tokio::test]
async fn unread_body_stops_the_upstream() {
    let server = always(Reply::new(200).body(vec![0; 64 << 20])).await;
    let subject = hasty(&server);
    let mut body = subject.get(FILE).await.ok().unwrap().body;
    body.frame().await.unwrap().unwrap();
    let mut sent = 0;
    while sent != server.sent_bytes() {
        sent = server.sent_bytes();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(sent < 32 << 20, "{sent} bytes were sent to a reader that does not read");
}

#[tokio::test]
async fn request_beyond_the_limit_waits_and_then_finds_the_upstream_busy() {
    let server = always(Reply::new(200).body("hello")).await;
    let limited = UpstreamConfig {
        limits: Limits { concurrent_requests_max: 1, ..Limits::default() },
        timeouts: Timeouts { first_byte: Duration::from_millis(300), ..Timeouts::default() },
        ..config(&server.url("/chan"))
    };
    let subject = Subject::new(&[limited]);
    let running = subject.get(FILE).await.ok().unwrap();
    assert_eq!(subject.get(FILE).await.err(), Some(FetchError::Unavailable(Unavailable::Busy)));
    assert_eq!(server.seen().len(), 1);
    let (first, second) = tokio::join!(read(running), subject.download());
    assert_eq!((first.unwrap(), second.unwrap()), (b"hello".to_vec(), b"hello".to_vec()));
    subject.assert_counted(&[Outcome::Busy, Outcome::Ok, Outcome::Ok]);
}
