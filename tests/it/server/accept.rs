//! What can go wrong before there is a connection.
//!
//! Running out of file descriptors concerns a whole process, so that test runs in one of its own.

use std::process::Command;
use std::time::Duration;

use channelgate::server::{Bound, Config};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::stage::{PATIENCE, Stage};

const CHILD: &str = "CHANNELGATE_TEST_OUT_OF_DESCRIPTORS";

#[tokio::test]
async fn address_in_use_is_named() {
    let bound = Bound::bind("127.0.0.1:0".parse().unwrap(), &Config::default()).unwrap();
    let error = Bound::bind(bound.local_addr(), &Config::default()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(error.to_string(), format!("cannot listen on {}", bound.local_addr()));
}

#[tokio::test]
async fn limits_of_nothing_neither_spin_nor_panic() {
    for duration in [Duration::ZERO, Duration::MAX] {
        let stage = Stage::start(Config {
            tls_handshake_timeout: duration,
            header_read_timeout: duration,
            keep_alive_timeout: duration,
            request_body_timeout: duration,
            http2_keep_alive_interval: duration,
            http2_keep_alive_timeout: duration,
            drain_window: duration,
            drain_rate_min: 0,
            ..Config::default()
        });
        let mut client = stage.connect().await;
        client.send("GET /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx").await;
        if duration == Duration::MAX {
            assert!(client.response().await.ends_with("1 bytes"));
        } else {
            client.rest().await;
        }
    }
}

#[test]
fn listener_outlives_a_lack_of_descriptors() {
    if std::env::var_os(CHILD).is_some() {
        return out_of_descriptors();
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::main(flavor = "current_thread")]
async fn out_of_descriptors() {
    let stage = Stage::start(Config::default());
    stage.connect().await.get("/a").await;
    let limits = getrlimit(Resource::Nofile);
    let in_use = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(in_use + 5), ..limits }).unwrap();

    // Each takes two descriptors, ours and the listener's; the last ones wait in the backlog.
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect(stage.address).await {
        held.push(stream);
        tokio::task::yield_now().await;
    }
    let errors = |stage: &Stage| stage.count("channelgate_accept_errors_total", "");
    stage.until("an error", |stage| errors(stage) > 0).await;
    let before = errors(&stage);
    sleep(Duration::from_millis(300)).await;
    let more = errors(&stage) - before;
    assert!(more <= 6, "it spins: {more} errors in 300 ms");

    held.clear();
    let served = async {
        loop {
            if TcpStream::connect(stage.address).await.is_ok() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        stage.connect().await.get("/b").await
    };
    assert!(timeout(PATIENCE, served).await.unwrap().ends_with("/b"));
}
