//! How many instructions does it take to admit a known token, and to answer a request? The same number in every run, so that noise cannot fail
//! a build and a regression cannot pass.
//!
//! `cargo bench --bench instructions` counts with valgrind's callgrind and compares with `benches/instructions.json`; it fails beyond 5 % in either
//! direction, since a gain that is not written down can be lost again unseen. `cargo bench --bench instructions -- --renew` writes the file:
//! do that in the commit that changes the figures, and say why in its message.
//!
//! | figure | of what |
//! | --- | --- |
//! | `admission` | parse, extract, digest, recall, decide for one of 256 known tokens |
//! | `request` | the program itself: all that a connection's task does for 1 KiB over a connection that is kept, the upstream asked each time |
//!
//! Each is counted twice, for some and for twice as many, by processes that do nothing else; the difference is free of how they start and end.
//! Instructions of the kernel do not count. The program gets one CPU, and so one worker, on any machine. Of a request only what happens within
//! its connection's task counts: what the program does besides, such as reading the store's feed, goes by the clock.
//!
//! What the figures depend on besides our code: the compiler and the dependencies (both are the repository's; a new one of either may need a new
//! baseline), and the C library. Valgrind shows the same processor to programs on any machine with AVX2, so that libraries choose the
//! same implementations. Hash maps are seeded at random, which moves the figures by less than the
//! hundredth part, and timers go by the clock, which is why many requests are counted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs
)]

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use channelgate::clock::Clock;
use channelgate::conda::{ChannelName, RequestTarget};
use channelgate::gateway::admission::admit;
use channelgate::metrics::Metrics;
use channelgate::policy::{Access, Channel, Channels};
use channelgate::store::{self, Actor, NewToken, Purpose, Store};
use channelgate::token::Minted;
use channelgate::verify::{self, Verifier};
use http::HeaderMap;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(&counts()),
        ["--renew"] => {
            fs::write(BASELINE, serde_json::to_string_pretty(&counts()).unwrap() + "\n").unwrap();
            ExitCode::SUCCESS
        }
        ["admit", times] => {
            admit_often(times.parse().unwrap());
            ExitCode::SUCCESS
        }
        _ => panic!("usage: cargo bench --bench instructions [-- --renew]"),
    }
}

fn compare(counts: &Counts) -> ExitCode {
    let baseline: Counts = serde_json::from_str(&fs::read_to_string(BASELINE).unwrap()).unwrap();
    let mut code = ExitCode::SUCCESS;
    for (name, count) in counts {
        let expected =
            *baseline.get(name).unwrap_or_else(|| panic!("{name} is not in the baseline: --renew"));
        let change = *count as f64 / expected as f64 - 1.0;
        let verdict = if change.abs() <= TOLERANCE {
            "within 5 %"
        } else {
            code = ExitCode::FAILURE;
            if change > 0.0 { "MORE than 5 % over" } else { "MORE than 5 % under" }
        };
        println!(
            "{name:<12}{count:>10} instructions, {expected:>10} in the baseline: {:+.2} %, {verdict}",
            100.0 * change
        );
    }
    if code == ExitCode::FAILURE {
        println!(
            "Where that is meant: cargo bench --bench instructions -- --renew, and why in the commit's message."
        );
    }
    code
}

fn counts() -> Counts {
    let missing = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err();
    assert!(!missing, "please install: valgrind");
    // Children have the CPUs of their parent.
    let mut one = CpuSet::new();
    one.set(0);
    sched_setaffinity(None, &one).unwrap();
    let each = |count: &dyn Fn(u64) -> u64, times: u64| (count(2 * times) - count(times)) / times;
    let admission = each(
        &|times| callgrind(&[own_path(), "admit".into(), times.to_string()], None, |_, _| ()),
        ADMISSIONS,
    );
    let request = each(&requests, REQUESTS);
    Counts::from([("admission".to_owned(), admission), ("request".to_owned(), request)])
}

fn own_path() -> String {
    std::env::current_exe().unwrap().to_str().unwrap().to_owned()
}

/// The instructions of a program, or those of one function and all that it calls; `meanwhile` gets it, and what it says, while it runs.
fn callgrind(
    program: &[String],
    within: Option<&str>,
    meanwhile: impl FnOnce(&Child, &mpsc::Receiver<String>),
) -> u64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.args(within.map(|function| format!("--toggle-collect={function}"))).args(program);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Its log is read all the time: if it had to drop lines, it would do less.
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let (say, said) = mpsc::channel();
    let reader = thread::spawn(move || lines.for_each(|line| say.send(line).unwrap()));
    meanwhile(&child, &said);
    let ended = child.wait().unwrap();
    reader.join().unwrap();
    let said: Vec<String> = said.iter().collect();
    let counted = said.iter().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    counted.filter(|_| ended.success()).unwrap_or_else(|| panic!("{program:?}: {ended}\n{}", said.join("\n")))
}

/// The program's instructions while it answers so many requests.
fn requests(times: u64) -> u64 {
    let place = tempfile::tempdir().unwrap();
    let upstream = upstream();
    let config = place.path().join("gate.toml");
    let lines = format!(
        "data_dir = \"{}\"\nlisten.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\ncache.enabled = false\n\
         [[channels]]\nname = \"main\"\nupstreams = [\"http://{upstream}\"]\n",
        place.path().display()
    );
    fs::write(&config, lines).unwrap();
    let program = [env!("CARGO_BIN_EXE_channelgate"), "--config", config.to_str().unwrap(), "serve"];
    // What goes on besides goes by the clock, and so by how busy the machine is.
    callgrind(&program.map(str::to_owned), Some(CONNECTION), |gate, said| {
        let ready = said
            .iter()
            .find_map(|line| Some(line.split_once("channelgate ready data=http://")?.1.to_owned()));
        let ready = ready.expect("the gate does not start under valgrind");
        ask(ready.split(' ').next().unwrap().parse().unwrap(), place.path(), times);
        kill_process(Pid::from_child(gate), Signal::TERM).unwrap();
    })
}

fn ask(gate: SocketAddr, place: &Path, times: u64) {
    let token = fs::read_to_string(place.join("bootstrap-token")).unwrap();
    let request = format!(
        "GET /t/{}/main/linux-64/s-1.0-0.conda HTTP/1.1\r\nHost: localhost\r\nUser-Agent: conda/25.9.1\r\nAccept: */*\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n\r\n",
        token.trim()
    );
    let mut stream = TcpStream::connect(gate).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    for _ in 0..times {
        stream.write_all(request.as_bytes()).unwrap();
        let head = head(&mut stream).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        stream.read_exact(&mut [0; BODY_BYTES]).unwrap();
    }
}

/// A server of one small file, in a thread.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nServer: upstream\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {BODY_BYTES}\r\nLast-Modified: Fri, 27 Nov 2026 12:00:00 GMT\r\nConnection: keep-alive\r\n\
         ETag: \"6928b0f0-400\"\r\nAccept-Ranges: bytes\r\n\r\n"
    )
    .into_bytes();
    answer.extend([b'x'; BODY_BYTES]);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || while head(&mut stream).is_some() && stream.write_all(&answer).is_ok() {});
        }
    });
    address
}

/// Up to the empty line, byte by byte; nothing at the end of the connection.
fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// What is counted as `admission`.
fn admit_often(times: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/channelgate.db", directory.path().display());
        let store = Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap();
        let clock = Clock::system();
        store
            .create_organization("acme", "Acme", Default::default(), &Actor::gate(), clock.now())
            .await
            .unwrap();
        let mut paths = Vec::new();
        // Nobody follows the feed here, so nothing else would keep the verdicts young.
        let config =
            verify::Config { max_staleness: Duration::from_secs(3_600), ..verify::Config::default() };
        let meters = verify::Meters::register(Metrics::new().unwrap().registry()).unwrap();
        let verifier = Verifier::new(store.clone(), clock.clone(), config, meters);
        for number in 0..TOKENS {
            let minted = Minted::random().unwrap();
            let token = NewToken {
                organization: "acme".into(),
                purpose: Purpose::Scoped { name: format!("token {number}"), acts_as: None },
                scopes: "conda:download".parse().unwrap(),
                channels: None,
                expires_at: Some(clock.now().plus(Duration::from_secs(3_600))),
                imported: false,
                api_key: None,
                replaces_namesake: false,
            };
            let (digest, now) = (minted.digest(), clock.now());
            store.insert_token(&token, &digest, &Actor::gate(), now, Duration::ZERO).await.unwrap();
            verifier.lookup(&digest, None).await.unwrap();
            paths.push(format!("/t/{}/conda-forge/linux-64/numpy-2.4.0-py313h1_0.conda", minted.expose()));
        }
        let channels =
            Channels::new(["conda-forge", "repo/main", "repo/r", "repo/msys2"].map(|name| Channel {
                name: ChannelName::parse(name).unwrap(),
                access: Access::Private { organizations: Vec::new() },
                rules: std::sync::Arc::default(),
            }));
        let headers = HeaderMap::new();
        for time in 0..times {
            let target = RequestTarget::parse(&paths[time as usize % TOKENS]).unwrap();
            let admission = admit(&target, &headers, &channels, &verifier, None, clock.now()).await.unwrap();
            assert!(black_box(admission).decision.is_ok());
        }
    });
}

/// Polls a connection's task.
const CONNECTION: &str = "channelgate::server::accept::connection::*";
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.json");
const TOLERANCE: f64 = 0.05;
const TOKENS: usize = 256;
const ADMISSIONS: u64 = 20_000;
const REQUESTS: u64 = 2_000;
const BODY_BYTES: usize = 1 << 10;
