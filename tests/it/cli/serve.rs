//! A gate's life: the ready line, its signals, its end.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::support::client::{self, Reply};
use crate::support::faulty::{self, Faulty};
use crate::support::process::{Place, Process, channel, fixtures};

const SLOW: &str = "/slow/noarch/slow-1.0-0.conda";

/// A gate in front of an upstream that sends half of a file and the rest after `pause`, or never.
async fn slow_gate(settings: &str, pause: Option<Duration>) -> (Faulty, Place, Process) {
    let upstream = Faulty::start(move |_| {
        let half = faulty::Reply::new(200).body("half");
        match pause {
            Some(pause) => half.wait(pause).body("half"),
            None => half.announce(8).stall(),
        }
    })
    .await;
    let place = Place::empty();
    place.configure(&format!("{settings}\n{}", channel("slow", "public", &upstream.url("/c"))));
    let gate = place.serve();
    (upstream, place, gate)
}

/// Asks for the slow file, and returns once it is on its way.
async fn ask(upstream: &Faulty, gate: &Process) -> tokio::task::JoinHandle<Reply> {
    let address = gate.data;
    let asking = tokio::spawn(async move { client::ask(address, "GET", SLOW, &[]).await });
    while upstream.sent_bytes() < 4 || upstream.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    asking
}

#[tokio::test]
async fn ready_line_tells_the_real_addresses_whatever_the_log_format() {
    for format in ["human", "json"] {
        let place = Place::with(&format!("log.format = \"{format}\"\nlog.level = \"error\""));
        let gate = place.serve();
        assert_eq!(
            gate.ready,
            format!("channelgate ready data=http://{} admin=http://{}", gate.data, gate.admin)
        );
        assert!(gate.data.port() != 0 && gate.admin.port() != 0 && gate.data != gate.admin);
        assert_eq!(client::ask(gate.data, "GET", "/", &[]).await.status, 200);
        assert_eq!(client::ask(gate.admin, "GET", "/readyz", &[]).await.status, 200);
        let done = gate.terminate();
        assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
        assert_eq!(done.err.matches("channelgate ready").count(), 1, "{done:?}");
    }
}

#[tokio::test]
async fn gate_serves_on_when_nobody_reads_its_words() {
    let place = Place::with(
        "listen.address = \"127.0.0.1:0\"".replace("listen.address", "log.level = \"info\"\n#").as_str(),
    );
    // The ready line is lost, so the port is chosen here, on an address where no other test takes it meanwhile.
    let admin = std::net::TcpListener::bind("127.8.4.81:0").unwrap().local_addr().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = place.command(&["serve"]);
    command
        .env("CHANNELGATE_ADMIN__ADDRESS", admin.to_string())
        .stdout(std::process::Stdio::null())
        .stderr(writer);
    let mut child = command.spawn().unwrap();
    drop(command);
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(admin).await.is_err() {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "it did not start");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(client::ask(admin, "GET", "/readyz", &[]).await.status, 200);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn gate_that_drains_says_that_it_is_not_ready() {
    let (upstream, _place, mut gate) = slow_gate("", None).await;
    let asking = ask(&upstream, &gate).await;
    assert_eq!(client::ask(gate.admin, "GET", "/readyz", &[]).await.status, 200);
    gate.signal(Signal::TERM);
    gate.wait_for("stopping");
    while TcpStream::connect(gate.data).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let reply = client::ask(gate.admin, "GET", "/readyz", &[]).await;
    assert_eq!((reply.status, reply.json()["ready"].as_bool()), (503, Some(false)));
    assert!(reply.json()["reasons"][0].as_str().unwrap().starts_with("draining: "), "{}", reply.json());
    assert_eq!(client::ask(gate.admin, "GET", "/healthz", &[]).await.status, 200);
    gate.signal(Signal::TERM);
    assert_eq!(gate.ended().code, 0);
    assert!(!asking.await.unwrap().complete);
}

#[tokio::test]
async fn sigterm_and_sigint_let_a_running_response_finish() {
    for signal in [Signal::TERM, Signal::INT] {
        let (upstream, _place, mut gate) = slow_gate("", Some(Duration::from_millis(400))).await;
        let asking = ask(&upstream, &gate).await;
        gate.signal(signal);
        gate.wait_for("stopping");
        // The door closes at once.
        while TcpStream::connect(gate.data).await.is_ok() {
            assert!(!asking.is_finished(), "it still accepts");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let reply = asking.await.unwrap();
        assert_eq!((reply.status, reply.body.as_slice(), reply.complete), (200, &b"halfhalf"[..], true));
        let done = gate.ended();
        assert_eq!(done.code, 0, "{done:?}");
        assert!(!done.err.contains("were cut"), "{done:?}");
    }
}

#[tokio::test]
async fn response_that_outlives_the_drain_is_cut() {
    let (upstream, _place, gate) = slow_gate("limits.drain_timeout = \"300ms\"", None).await;
    let asking = ask(&upstream, &gate).await;
    let began = Instant::now();
    let done = tokio::task::spawn_blocking(|| gate.terminate()).await.unwrap();
    let took = began.elapsed();
    assert_eq!(done.code, 0, "{done:?}");
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    assert!(done.err.contains("were cut at the end of the drain timeout"), "{done:?}");
    let reply = asking.await.unwrap();
    assert!(!reply.complete && reply.body == b"half", "a short body never ends cleanly: {reply:?}");
}

#[tokio::test]
async fn second_signal_ends_the_drain() {
    let (upstream, _place, mut gate) = slow_gate("", None).await;
    let asking = ask(&upstream, &gate).await;
    let began = Instant::now();
    gate.signal(Signal::INT);
    gate.wait_for("stopping: running responses may finish");
    gate.signal(Signal::INT);
    let done = gate.ended();
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        began.elapsed() < Duration::from_secs(5) && done.err.contains("as told a second time"),
        "{done:?}"
    );
    assert!(!asking.await.unwrap().complete);
}

#[tokio::test]
async fn two_gates_share_one_store() {
    let place = Place::empty();
    place.configure(&fixtures());
    let (one, two) = (place.serve(), place.serve());
    let (value, id) = place.create_token("shared");
    let target = format!("/t/{value}/main/noarch/repodata.json");
    let mut connections =
        [client::Connection::open(one.data).await, client::Connection::open(two.data).await];
    for connection in &mut connections {
        assert_eq!(connection.ask("GET", &target, &[]).await.status, 200);
    }
    place.must(&["token", "revoke", &id, "--yes"]);
    let began = Instant::now();
    for connection in &mut connections {
        while connection.ask("GET", &target, &[]).await.status == 200 {
            assert!(began.elapsed() < Duration::from_millis(500), "a gate serves a revoked token");
        }
    }
    assert_eq!((one.terminate().code, two.terminate().code), (0, 0));
}
