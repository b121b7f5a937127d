use std::time::{Duration, Instant};

use channelgate::server::{Config, Drained};
use tokio::net::TcpStream;

use super::frames::{self, GOAWAY, Http2, NO_ERROR};
use super::stage::Stage;

#[tokio::test]
async fn idle_connections_end_at_once() {
    let mut stage = Stage::start(Config::default());
    let mut fresh = stage.connect().await;
    let mut idle = stage.connect().await;
    idle.get("/a").await;
    let mut http2 = Http2::start(&stage).await;
    http2.send(frames::get(1, "/a")).await;
    http2.body(1).await.unwrap();
    stage.until("all three", |stage| stage.count("channelgate_connections_open", "") == 3).await;

    let start = Instant::now();
    stage.shutdown.begin();
    fresh.ends_after(start, 0).await;
    idle.ends_after(start, 0).await;
    assert_eq!(http2.goaways().await, [NO_ERROR, NO_ERROR]);
    assert_eq!(stage.drained().await, Drained { finished: 3, cut: 0 });
    assert!(TcpStream::connect(stage.address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn running_responses_finish() {
    let mut stage = Stage::start(Config::default());
    let mut http1 = stage.connect().await;
    http1.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut http2 = Http2::start(&stage).await;
    http2.send(frames::get(1, "/wait")).await;
    stage.until("both", |stage| stage.count("channelgate_inflight_requests", "") == 2).await;

    stage.shutdown.begin();
    let goaway = http2.frame().await;
    assert_eq!((goaway.kind, goaway.code()), (GOAWAY, NO_ERROR));
    stage.script.go_on.notify_one();
    stage.script.go_on.notify_waiters();
    stage
        .until("one", |stage| {
            stage.script.go_on.notify_waiters();
            stage.count("channelgate_inflight_requests", "") == 0
        })
        .await;
    let (received, error) = http1.rest().await;
    let received = String::from_utf8(received).unwrap();
    assert!(received.contains("connection: close") && received.ends_with("waited"), "{received}");
    assert_eq!(error, None);
    let mut body = 0;
    while let Some(frame) = http2.next().await {
        body += if frame.kind == frames::DATA { frame.payload.len() } else { 0 };
    }
    assert_eq!(body, "waited".len());
    assert_eq!(stage.drained().await, Drained { finished: 2, cut: 0 });
}

#[tokio::test]
async fn what_runs_on_is_cut_at_the_end_of_the_drain() {
    let mut stage = Stage::start(Config { drain_timeout: Duration::from_millis(200), ..Config::default() });
    let mut http1 = stage.connect().await;
    http1.send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut http2 = Http2::start(&stage).await;
    http2.send(frames::get(1, "/never")).await;
    stage.until("both", |stage| stage.count("channelgate_inflight_requests", "") == 2).await;

    let start = Instant::now();
    stage.shutdown.begin();
    http1.ends_after(start, 195).await;
    assert_eq!(stage.drained().await, Drained { finished: 0, cut: 2 });
    stage.until("no request", |stage| stage.count("channelgate_inflight_requests", "") == 0).await;
}
