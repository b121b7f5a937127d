use std::time::{Duration, Instant};

use channelgate::server::Config;
use tokio::time::sleep;

use super::stage::Stage;

fn ended(stage: &Stage, reason: &str) -> u64 {
    stage.count("channelgate_connections_ended_total", reason)
}

#[tokio::test]
async fn head_that_does_not_come_is_cut() {
    let config = Config { header_read_timeout: Duration::from_millis(150), ..Config::default() };
    let stage = Stage::start(config);
    for beginning in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n", "PRI * HTTP/2.0\r\n\r\n"] {
        let mut client = stage.connect().await;
        let start = Instant::now();
        client.send(beginning).await;
        client.ends_after(start, 145).await;
    }
    assert_eq!(ended(&stage, "header_timeout"), 4);
}

#[tokio::test]
async fn head_that_comes_byte_by_byte_is_cut_as_well() {
    let config = Config { header_read_timeout: Duration::from_millis(150), ..Config::default() };
    let stage = Stage::start(config);
    let (mut read, mut write) = stage.connect().await.0.into_split();
    let start = Instant::now();
    let dribble = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let head = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(1000));
        for byte in head.bytes() {
            if write.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
    });
    let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
    let took = start.elapsed();
    assert!(took.as_millis() >= 145, "{took:?}");
    dribble.abort();
}

#[tokio::test]
async fn next_head_has_its_own_time_and_idleness_another() {
    let stage = Stage::start(Config {
        header_read_timeout: Duration::from_millis(100),
        keep_alive_timeout: Duration::from_millis(1000),
        ..Config::default()
    });
    let mut idle = stage.connect().await;
    idle.get("/a").await;
    idle.ends_after(Instant::now(), 990).await;
    assert_eq!((ended(&stage, "idle"), ended(&stage, "header_timeout")), (1, 0));

    let mut halfway = stage.connect().await;
    halfway.get("/a").await;
    // Longer than a head may take, but nothing of one is there yet.
    sleep(Duration::from_millis(200)).await;
    halfway.get("/b").await;
    let start = Instant::now();
    halfway.send("GET /c HT").await;
    halfway.ends_after(start, 95).await;
    assert_eq!((ended(&stage, "idle"), ended(&stage, "header_timeout")), (1, 1));
}

#[tokio::test]
async fn head_longer_than_allowed_is_431() {
    for header_bytes_max in [4 << 10, 16 << 10] {
        let stage = Stage::start(Config { header_bytes_max, ..Config::default() });
        let mut good = stage.connect().await;
        let filler = "y".repeat(header_bytes_max - 1000);
        good.send(format!("GET / HTTP/1.1\r\nX: {filler}\r\n\r\n")).await;
        assert!(good.response().await.starts_with("HTTP/1.1 200 "));

        let filler = "y".repeat(header_bytes_max + 1000);
        let long = [
            format!("GET / HTTP/1.1\r\nX: {filler}\r\n\r\n"),
            format!("GET /{filler} HTTP/1.1\r\n\r\n"),
            format!("GET /{filler}"),
        ];
        for head in long {
            let mut client = stage.connect().await;
            client.send(&head).await;
            // More than is read: the answer has to survive it.
            client.send(vec![b'z'; 256 << 10]).await;
            let (received, error) = client.rest().await;
            assert!(received.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&received));
            assert_eq!(error, None);
        }
    }
}

#[tokio::test]
async fn client_that_goes_on_sending_after_the_end_is_cut() {
    let config = Config { header_read_timeout: Duration::from_millis(150), ..Config::default() };
    let stage = Stage::start(config);
    let mut client = stage.connect().await;
    client.send("nonsense\r\n\r\n").await;
    assert!(client.response().await.starts_with("HTTP/1.1 400 "));
    stage.until("the cut", |stage| ended(stage, "unread") == 1).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let rows = [
        ("connections_max", Config { connections_max: 2, ..Config::default() }),
        ("connections_per_address_max", Config { connections_per_address_max: 2, ..Config::default() }),
    ];
    for (reason, config) in rows {
        let stage = Stage::start(config);
        let refused = |stage: &Stage| stage.count("channelgate_connections_refused_total", reason);
        let mut first = stage.connect().await;
        let mut second = stage.connect().await;
        first.get("/a").await;
        second.get("/a").await;
        let mut third = stage.connect().await;
        third.ends_after(Instant::now(), 0).await;
        assert_eq!(refused(&stage), 1, "{reason}");
        // Those inside are not touched, and a place that is left can be taken.
        assert!(first.get("/b").await.ends_with("/b"));
        drop(second);
        stage.until("a free place", |stage| stage.count("channelgate_connections_open", "") == 1).await;
        assert!(stage.connect().await.get("/c").await.ends_with("/c"), "{reason}");
        assert_eq!(refused(&stage), 1, "{reason}");
    }
}

#[tokio::test]
async fn requests_beyond_the_limit_get_the_responders_answer() {
    let stage = Stage::start(Config { requests_in_flight_max: 1, ..Config::default() });
    let mut first = stage.connect().await;
    first.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    stage.until("the request", |stage| stage.count("channelgate_inflight_requests", "") == 1).await;
    let mut second = stage.connect().await;
    let response = second.get("/a").await;
    assert!(response.starts_with("HTTP/1.1 503 ") && response.ends_with("overloaded"), "{response}");
    assert_eq!(stage.count("channelgate_requests_overloaded_total", ""), 1);
    stage.script.go_on.notify_one();
    assert!(first.response().await.ends_with("waited"));
    stage.until("its end", |stage| stage.count("channelgate_inflight_requests", "") == 0).await;
    assert!(second.get("/a").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn request_is_in_flight_until_its_body_ends() {
    let stage = Stage::start(Config { requests_in_flight_max: 1, ..Config::default() });
    let mut first = stage.connect_small().await;
    first.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    first.head().await;
    assert!(stage.connect().await.get("/a").await.starts_with("HTTP/1.1 503 "));
    drop(first);
    stage.until_bodies(0).await;
    assert!(stage.connect().await.get("/a").await.starts_with("HTTP/1.1 200 "));
}
