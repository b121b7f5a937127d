//! Clients that do not take what is ready, and clients that only seem so.

use std::time::{Duration, Instant};

use channelgate::server::Config;
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};

use super::frames::{self, Http2};
use super::stage::{PATIENCE, Stage};

/// For tests in which the client is to be found slow.
fn strict() -> Config {
    Config { drain_window: Duration::from_millis(200), ..lenient() }
}

/// For tests in which it is not: a busy machine must not make a client slow.
fn lenient() -> Config {
    Config { drain_window: Duration::from_millis(700), drain_rate_min: 320 << 10, ..Config::default() }
}

fn cut(stage: &Stage) -> u64 {
    stage.count("channelgate_connections_ended_total", "slow_client")
}

fn reset(stage: &Stage) -> u64 {
    stage.count("channelgate_streams_reset_slow_total", "")
}

#[tokio::test]
async fn stalled_client_is_cut_and_its_source_released() {
    let stage = Stage::start(strict());
    let mut client = stage.connect_small().await;
    let start = Instant::now();
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    client.head().await;
    stage.until_bodies(1).await;
    stage.until_bodies(0).await;
    let took = start.elapsed();
    assert!(took.as_millis() >= 195, "{took:?}");
    assert_eq!(cut(&stage), 1);
    assert_eq!(client.rest().await.1, Some(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn client_that_dribbles_is_cut() {
    let stage = Stage::start(strict());
    let mut client = stage.connect_small().await;
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let dribble = async {
        let mut few = [0; 512];
        while client.0.read(&mut few).await.is_ok_and(|bytes| bytes > 0) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, dribble).await.expect("it goes on for ever");
    assert_eq!(cut(&stage), 1);
}

#[tokio::test]
async fn client_above_the_floor_is_not_cut() {
    let stage = Stage::start(lenient());
    let mut client = stage.connect_small().await;
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let start = Instant::now();
    let mut some = vec![0; 16 << 10];
    // Several times the floor for two windows, in steps that each leave the socket full.
    while start.elapsed() < Duration::from_millis(1500) {
        client.read_exact(&mut some).await.unwrap();
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(cut(&stage), 0);
}

#[tokio::test]
async fn slow_source_is_not_the_clients_fault() {
    let stage = Stage::start(strict());
    let mut client = stage.connect().await;
    // Eight bytes in half a second are far below the floor.
    client.send("GET /trickle HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let (received, error) = client.rest().await;
    assert!(received.ends_with(b"1\r\n.\r\n0\r\n\r\n"));
    assert_eq!((error, cut(&stage)), (None, 0));

    let mut client = Http2::start(&stage).await;
    client.send(frames::get(1, "/trickle")).await;
    assert_eq!(client.body(1).await, Ok(8));
    assert_eq!((reset(&stage), cut(&stage)), (0, 0));
}

#[tokio::test]
async fn client_that_leaves_the_last_piece_is_cut() {
    let stage = Stage::start(strict());
    let mut client = stage.connect_small().await;
    client.send("GET /piece HTTP/1.1\r\nHost: x\r\n\r\n").await;
    client.head().await;
    // The source is done at once: what is left is in our memory, and must not stay there.
    stage.until_bodies(0).await;
    assert_eq!(cut(&stage), 0);
    stage.until("the cut", |stage| cut(stage) == 1).await;
    stage.until("its end", |stage| stage.count("channelgate_connections_open", "") == 0).await;
}

#[tokio::test]
async fn stalled_stream_is_reset_and_its_neighbours_go_on() {
    let stage = Stage::start(strict());
    let mut client = Http2::start(&stage).await;
    let start = Instant::now();
    // The default window of 65,535 bytes is all this stream ever gets.
    client.send(frames::get(1, "/large")).await;
    stage.until_bodies(1).await;
    stage.until_bodies(0).await;
    let took = start.elapsed();
    assert!(took.as_millis() >= 195, "{took:?}");
    assert_eq!((reset(&stage), cut(&stage)), (1, 0));
    assert_eq!(client.body(1).await, Err(frames::CANCEL));
    client.send(frames::window_update(0, 1 << 20)).await;
    client.send(frames::get(3, "/next")).await;
    assert_eq!(client.body(3).await, Ok(5));
}

#[tokio::test]
async fn stream_without_any_window_is_reset() {
    let stage = Stage::start(strict());
    let mut client = Http2::start_with(&stage, &frames::setting(frames::INITIAL_WINDOW_SIZE, 0)).await;
    client.send(frames::get(1, "/small")).await;
    assert_eq!(client.body(1).await, Err(frames::CANCEL));
    stage.until_bodies(0).await;
    assert_eq!(reset(&stage), 1);
}

#[tokio::test]
async fn stalled_stream_beside_a_running_one_is_reset() {
    let stage = Stage::start(lenient());
    let mut client = Http2::start(&stage).await;
    client.send(frames::window_update(0, 1 << 30)).await;
    client.send(frames::get(1, "/large")).await;
    client.send(frames::get(3, "/large")).await;
    client.send(frames::window_update(3, 1 << 30)).await;
    let mut taken = 0;
    loop {
        let frame = client.frame().await;
        match (frame.kind, frame.stream) {
            (frames::DATA, 3) => {
                taken += frame.payload.len();
                // Slow enough to be there when the other's time is over, fast enough to be well above the floor.
                if taken > 1 << 20 {
                    taken = 0;
                    sleep(Duration::from_millis(10)).await;
                }
            }
            (frames::RST_STREAM, stream) => {
                assert_eq!(stream, 1);
                break;
            }
            _ => {}
        }
    }
    assert_eq!((reset(&stage), cut(&stage)), (1, 0));
}

#[tokio::test]
async fn streams_that_share_a_thin_line_are_spared() {
    let stage = Stage::start(lenient());
    let mut client = Http2::start(&stage).await;
    for stream in (0..16).map(|index| 2 * index + 1) {
        client.send(frames::get(stream, "/large")).await;
        client.send(frames::window_update(stream, 1 << 30)).await;
    }
    // Three times the floor for the connection, a fifth of it for each stream.
    let start = Instant::now();
    let mut taken = 0;
    while start.elapsed() < Duration::from_millis(1500) {
        taken += client.frame().await.payload.len() as u32;
        if taken >= 16 << 10 {
            sleep(Duration::from_millis(16)).await;
            client.send(frames::window_update(0, taken)).await;
            taken = 0;
        }
    }
    assert_eq!((reset(&stage), cut(&stage)), (0, 0));
    // And when it stalls as a whole, they all go.
    stage.until("the resets", |stage| reset(stage) == 16).await;
    stage.until_bodies(0).await;
}

#[tokio::test]
async fn http2_client_that_reads_nothing_is_cut() {
    let stage = Stage::start(strict());
    let client = stage.connect_small().await;
    let mut client = Http2::open(client, &frames::setting(frames::INITIAL_WINDOW_SIZE, 1 << 30)).await;
    client.send(frames::window_update(0, 1 << 30)).await;
    client.send(frames::get(1, "/large")).await;
    stage.until("the cut", |stage| cut(stage) == 1).await;
    stage.until_bodies(0).await;
}
