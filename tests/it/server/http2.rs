use std::time::{Duration, Instant};

use channelgate::server::Config;

use super::frames::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, Http2, INTERNAL_ERROR,
    NO_ERROR, REFUSED_STREAM, RST_STREAM,
};
use super::stage::Stage;

#[tokio::test]
async fn plaintext_speaks_http2_by_prior_knowledge() {
    let stage = Stage::start(Config::default());
    let mut client = Http2::start(&stage).await;
    client.send([frames::get(1, "/one"), frames::get(3, "/three")].concat()).await;
    assert_eq!(client.body(1).await, Ok(4));
    assert_eq!(client.body(3).await, Ok(6));
    assert!(client.is_ok(1) && client.is_ok(3));
}

#[tokio::test]
async fn large_body_arrives_whole() {
    let stage = Stage::start(Config::default());
    let mut client = Http2::start_with(&stage, &frames::setting(frames::INITIAL_WINDOW_SIZE, 1 << 30)).await;
    client.send(frames::window_update(0, 1 << 30)).await;
    client.send(frames::get(1, "/large")).await;
    assert_eq!(client.body(1).await, Ok(64 << 20));
    stage.until_bodies(0).await;
}

#[tokio::test]
async fn broken_response_is_reset_and_the_connection_lives() {
    let stage = Stage::start(Config::default());
    let mut client = Http2::start(&stage).await;
    for (stream, path) in [(1, "/broken"), (3, "/broken-length")] {
        client.send(frames::get(stream, path)).await;
        assert_eq!(client.body(stream).await, Err(INTERNAL_ERROR), "{path}");
    }
    client.send(frames::get(5, "/next")).await;
    assert_eq!(client.body(5).await, Ok(5));
}

#[tokio::test]
async fn body_nobody_reads_costs_its_stream_only() {
    let stage = Stage::start(Config { request_body_max: 10, ..Config::default() });
    let mut client = Http2::start(&stage).await;
    client.send(frames::frame(HEADERS, END_HEADERS, 1, &frames::block("/a"))).await;
    assert_eq!(client.body(1).await, Ok(2));
    let end = client.frame().await;
    assert_eq!((end.kind, end.stream, end.code()), (RST_STREAM, 1, NO_ERROR));
    client.send(frames::frame(HEADERS, END_HEADERS, 3, &frames::block("/read"))).await;
    client.send(frames::frame(DATA, END_STREAM, 3, &[b'x'; 11])).await;
    assert_eq!(client.body(3).await, Ok("the request body is longer than 10 bytes".len()));
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let stage = Stage::start(Config { http2_streams_max: 2, ..Config::default() });
    let mut client = Http2::start(&stage).await;
    // The limit binds once the client knows of it.
    client.send(frames::get(1, "/a")).await;
    client.body(1).await.unwrap();
    for stream in [3, 5, 7] {
        client.send(frames::get(stream, "/never")).await;
    }
    assert_eq!(client.body(7).await, Err(REFUSED_STREAM));
    assert_eq!(stage.count("channelgate_inflight_requests", ""), 2);
}

#[tokio::test]
async fn rapid_reset_ends_the_connection() {
    let stage = Stage::start(Config::default());
    let mut client = Http2::start(&stage).await;
    let flood: Vec<u8> = (0..1000)
        .map(|index| 2 * index + 1)
        .flat_map(|stream| [frames::get(stream, "/never"), frames::reset(stream)].concat())
        .collect();
    client.try_send(flood).await;
    assert_eq!(client.goaways().await, [ENHANCE_YOUR_CALM]);
    stage.until("the end", |stage| stage.count("channelgate_connections_open", "") == 0).await;
    stage.until("no request", |stage| stage.count("channelgate_inflight_requests", "") == 0).await;
}

#[tokio::test]
async fn rapid_reset_in_slow_motion_ends_the_connection() {
    let stage = Stage::start(Config { http2_cancelled_requests_max: 5, ..Config::default() });
    let mut client = Http2::start(&stage).await;
    client.send(frames::get(1, "/a")).await;
    client.body(1).await.unwrap();
    for index in 0..20_u32 {
        let stream = 2 * index + 3;
        // Each request is being served when it is cancelled, which h2 has no limit for.
        if !client.try_send(frames::get(stream, "/never")).await {
            break;
        }
        let begun = |stage: &Stage| stage.count("channelgate_inflight_requests", "") == 1;
        let gone = |stage: &Stage| stage.count("channelgate_connections_open", "") == 0;
        stage.until("the request", |stage| begun(stage) || gone(stage)).await;
        if gone(&stage) {
            assert_eq!(index, 6);
            return;
        }
        client.try_send(frames::reset(stream)).await;
        stage.until("its end", |stage| !begun(stage)).await;
    }
    panic!("it goes on for ever");
}

#[tokio::test]
async fn continuation_flood_ends_the_connection() {
    let stage = Stage::start(Config::default());
    let mut client = Http2::start(&stage).await;
    client.send(frames::frame(HEADERS, END_STREAM, 1, &frames::block("/a"))).await;
    let more = frames::field("x", 200).repeat(50);
    let mut sent = 0;
    while sent < 100 << 20 && client.try_send(frames::frame(CONTINUATION, 0, 1, &more)).await {
        sent += more.len();
    }
    assert!(sent < 8 << 20, "{sent} bytes were taken");
    client.goaways().await;
    stage.until("the end", |stage| stage.count("channelgate_connections_open", "") == 0).await;
}

#[tokio::test]
async fn empty_continuations_end_the_connection() {
    let stage = Stage::start(Config::default());
    let mut client = Http2::start(&stage).await;
    client.send(frames::frame(HEADERS, END_STREAM, 1, &frames::block("/a"))).await;
    let empty = frames::frame(CONTINUATION, 0, 1, &[]).repeat(100);
    let mut sent = 0;
    while sent < 10_000 && client.try_send(&empty).await {
        sent += 1;
    }
    assert_eq!(client.goaways().await, [ENHANCE_YOUR_CALM]);
}

#[tokio::test]
async fn header_list_longer_than_allowed_is_431() {
    let stage = Stage::start(Config { http2_header_list_bytes_max: 4 << 10, ..Config::default() });
    let mut client = Http2::start(&stage).await;
    let block = [frames::block("/a"), frames::field("x", 200).repeat(30)].concat();
    client.send(frames::frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await;
    client.body(1).await.unwrap();
    assert!(!client.is_ok(1));
    client.send(frames::get(3, "/a")).await;
    client.body(3).await.unwrap();
    assert!(client.is_ok(3), "the connection lives");
}

#[tokio::test]
async fn streams_that_have_to_be_reset_end_the_connection() {
    let stage = Stage::start(Config { http2_error_resets_max: 5, ..Config::default() });
    let mut client = Http2::start(&stage).await;
    for stream in (0..20).map(|index| 2 * index + 1) {
        // More window than there may be is an error of the stream (RFC 9113 section 6.9.1).
        let frames = [frames::get(stream, "/never"), frames::window_update(stream, (1 << 31) - 1)].concat();
        if !client.try_send(frames).await {
            break;
        }
    }
    assert_eq!(client.goaways().await, [ENHANCE_YOUR_CALM]);
}

#[tokio::test]
async fn client_that_does_not_answer_pings_is_ended() {
    let stage = Stage::start(Config {
        http2_keep_alive_interval: Duration::from_millis(100),
        http2_keep_alive_timeout: Duration::from_millis(500),
        ..Config::default()
    });
    let mut answers = Http2::start(&stage).await;
    let mut does_not = Http2::start(&stage).await;
    does_not.leave_pings();
    does_not.send(frames::get(1, "/never")).await;
    answers.send(frames::get(1, "/wait")).await;
    let start = Instant::now();
    let answered = tokio::spawn(async move { answers.body(1).await });
    does_not.goaways().await;
    let took = start.elapsed();
    assert!(took.as_millis() >= 500, "{took:?}");
    stage.script.go_on.notify_one();
    assert_eq!(answered.await.unwrap(), Ok(6));
}

#[tokio::test]
async fn idle_connection_is_ended_however_it_pings() {
    let stage = Stage::start(Config { keep_alive_timeout: Duration::from_millis(200), ..Config::default() });
    let mut client = Http2::start(&stage).await;
    client.send(frames::get(1, "/a")).await;
    client.body(1).await.unwrap();
    let start = Instant::now();
    client.send(frames::frame(frames::PING, 0, 0, &[0; 8])).await;
    assert_eq!(client.goaways().await, [NO_ERROR, NO_ERROR]);
    let took = start.elapsed();
    assert!(took.as_millis() >= 190, "{took:?}");
    assert_eq!(stage.count("channelgate_connections_ended_total", "idle"), 1);
}

#[tokio::test]
async fn connection_without_a_request_is_cut() {
    let stage = Stage::start(Config { header_read_timeout: Duration::from_millis(150), ..Config::default() });
    let mut client = Http2::start(&stage).await;
    let start = Instant::now();
    client.goaways().await;
    let took = start.elapsed();
    assert!(took.as_millis() >= 145, "{took:?}");
}
