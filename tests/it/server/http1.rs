use std::io::ErrorKind;
use std::time::{Duration, Instant};

use channelgate::server::Config;

use super::stage::Stage;

#[tokio::test]
async fn connection_serves_request_after_request() {
    let stage = Stage::start(Config::default());
    let mut client = stage.connect().await;
    for path in ["/one", "/two", "/three"] {
        let response = client.get(path).await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with(path), "{response}");
    }
    assert!(client.get("/peer").await.ends_with("127.0.0.1 false"));
}

#[tokio::test]
async fn pasted_masked_token_reaches_the_responder() {
    let stage = Stage::start(Config::default());
    let request = "GET /t/<TOKEN>/`c HTTP/1.1\r\nHost: x\r\nX-Note: <kept>\r\n\r\n";
    let mut at_once = stage.connect().await;
    at_once.send(request).await;
    assert!(at_once.response().await.ends_with("/t/%3CTOKEN%3E/%60c"));
    at_once.send(request).await;
    assert!(at_once.response().await.ends_with("/t/%3CTOKEN%3E/%60c"), "and again");
    at_once.send(request.repeat(3)).await;
    for _ in 0..3 {
        assert!(at_once.response().await.ends_with("/t/%3CTOKEN%3E/%60c"), "pipelined");
    }

    let mut byte_by_byte = stage.connect().await;
    byte_by_byte.0.set_nodelay(true).unwrap();
    for byte in request.bytes() {
        byte_by_byte.send([byte]).await;
    }
    assert!(byte_by_byte.response().await.ends_with("/t/%3CTOKEN%3E/%60c"));
}

#[tokio::test]
async fn body_that_looks_like_a_request_line_stays_a_body() {
    let stage = Stage::start(Config::default());
    let body = "GET /<x> HTTP/1.1\r\nHost: x\r\n\r\n";
    let request = format!("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    for between in ["", "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut client = stage.connect().await;
        if !between.is_empty() {
            client.send(between).await;
            assert!(client.response().await.ends_with("/a"));
        }
        client.send(format!("{request}{body}")).await;
        assert!(client.response().await.ends_with(&format!("{} bytes", body.len())));
        client.send(&request).await;
        client.send(body).await;
        assert!(client.response().await.ends_with(&format!("{} bytes", body.len())));
        // Where lines begin is not followed behind a body.
        client.send(body).await;
        assert!(client.response().await.starts_with("HTTP/1.1 400 "));
    }
}

#[tokio::test]
async fn malformed_head_gets_the_responders_answer() {
    let stage = Stage::start(Config::default());
    let good = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    for before in [0, 1, 3] {
        // One after the other, and all at once.
        for at_once in [false, true] {
            let mut client = stage.connect().await;
            client.send(good.repeat(if at_once { 0 } else { before })).await;
            for _ in 0..if at_once { 0 } else { before } {
                assert!(client.response().await.ends_with("/a"));
            }
            client.send(format!("{}nonsense\r\n\r\n", good.repeat(if at_once { before } else { 0 }))).await;
            for _ in 0..if at_once { before } else { 0 } {
                assert!(client.response().await.ends_with("/a"));
            }
            let response = client.response().await;
            assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{response}");
            assert!(response.ends_with("\r\n\r\nmalformed"), "{response}");
            assert_eq!(response.matches("connection: close\r\n").count(), 1, "{response}");
            assert_eq!(response.matches("date: ").count(), 1, "{response}");
            assert_eq!(client.rest().await, (Vec::new(), None));
        }
    }
    // More than is read: the answers have to survive it.
    let mut client = stage.connect().await;
    client.send(format!("{good}nonsense\r\n\r\n{}", "z".repeat(256 << 10))).await;
    let (received, error) = client.rest().await;
    assert!(received.ends_with(b"malformed"), "{}", String::from_utf8_lossy(&received));
    assert_eq!(error, None);
    stage.until_bodies(0).await;
}

#[tokio::test]
async fn small_body_nobody_reads_does_not_cost_the_connection() {
    let stage = Stage::start(Config::default());
    let mut client = stage.connect().await;
    client.send("GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody").await;
    assert!(client.response().await.ends_with("/a"));
    // Also one that comes after the response, and one in chunks.
    client.send("GET /b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n").await;
    assert!(client.response().await.ends_with("/b"));
    client.send("body").await;
    client.send("GET /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbo").await;
    assert!(client.response().await.ends_with("/c"));
    client.send("dy\r\n0\r\n\r\n").await;
    assert!(client.get("/d").await.ends_with("/d"));
}

#[tokio::test]
async fn large_body_nobody_reads_ends_the_connection_after_the_response() {
    let stage = Stage::start(Config { request_body_max: 1000, ..Config::default() });
    let rows = [
        ("declared", format!("Content-Length: {}\r\n\r\n", 1 << 20), true),
        ("chunked", format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", 1 << 20), false),
    ];
    for (name, framing, says_close) in rows {
        let mut client = stage.connect().await;
        client.send(format!("PUT /big HTTP/1.1\r\nHost: x\r\n{framing}")).await;
        // The client pushes it all before it looks at the response: a reset must not destroy that.
        client.send(vec![b'x'; 1 << 20]).await;
        let (received, error) = client.rest().await;
        let received = String::from_utf8(received).unwrap();
        assert!(received.ends_with("/big"), "{name}: {received}");
        assert_eq!(received.contains("connection: close"), says_close, "{name}: {received}");
        assert_eq!(error, None, "{name}");
    }
}

#[tokio::test]
async fn body_that_does_not_come_is_given_up() {
    let stage =
        Stage::start(Config { request_body_timeout: Duration::from_millis(100), ..Config::default() });
    // A responder that reads gets an error.
    let mut read = stage.connect().await;
    read.send("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo").await;
    assert!(read.response().await.ends_with("the request body did not arrive within 100ms"));
    // One that does not costs the client its connection.
    let mut unread = stage.connect().await;
    let start = Instant::now();
    unread.send("GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo").await;
    assert!(unread.response().await.ends_with("/a"));
    unread.ends_after(start, 95).await;
}

#[tokio::test]
async fn body_longer_than_allowed_is_an_error_to_who_reads_it() {
    let stage = Stage::start(Config { request_body_max: 4, ..Config::default() });
    let rows = [
        ("Content-Length: 4\r\n\r\nbody", "4 bytes"),
        ("Content-Length: 5\r\n\r\nbody!", "the request body is longer than 4 bytes"),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "4 bytes"),
        (
            "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n1\r\n!\r\n0\r\n\r\n",
            "the request body is longer than 4 bytes",
        ),
    ];
    for (framing, expected) in rows {
        let mut client = stage.connect().await;
        client.send(format!("POST /read HTTP/1.1\r\nHost: x\r\n{framing}")).await;
        let response = client.response().await;
        assert!(response.ends_with(expected), "{framing:?}: {response}");
    }
}

#[tokio::test]
async fn continue_is_not_promised_for_a_body_nobody_reads() {
    let stage = Stage::start(Config::default());
    let mut client = stage.connect().await;
    client.send("PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
    assert!(client.response().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.rest().await.1, None, "the connection ends");

    let mut client = stage.connect().await;
    client.send("PUT /read HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body").await;
    assert!(client.response().await.ends_with("4 bytes"));
}

#[tokio::test]
async fn broken_response_never_ends_cleanly() {
    let stage = Stage::start(Config::default());

    let mut chunked = stage.connect().await;
    chunked.send("GET /broken HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(chunked.head().await.contains("transfer-encoding: chunked"));
    let (body, _) = chunked.rest().await;
    assert!(!body.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&body));

    let mut with_length = stage.connect().await;
    with_length.send("GET /broken-length HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(with_length.head().await.contains("content-length: 1048576"));
    assert!(with_length.rest().await.0.len() < 1 << 20);

    // To HTTP/1.0 the end of the connection is the end of the body: only a reset tells them apart.
    let mut until_close = stage.connect().await;
    until_close.send("GET /broken HTTP/1.0\r\nHost: x\r\n\r\n").await;
    assert_eq!(until_close.rest().await.1, Some(ErrorKind::ConnectionReset));
    stage.until_bodies(0).await;
}

#[tokio::test]
async fn responder_is_dropped_when_the_client_goes_away() {
    let stage = Stage::start(Config::default());
    let mut client = stage.connect().await;
    client.send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await;
    stage.until("the request", |stage| stage.count("channelgate_inflight_requests", "") == 1).await;
    drop(client);
    stage.until("its end", |stage| stage.count("channelgate_inflight_requests", "") == 0).await;
    stage.until("no connection", |stage| stage.count("channelgate_connections_open", "") == 0).await;
}
