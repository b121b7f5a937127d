//! `kill -9` at random points of a gate under load: what was whole is there for the next gate, and nothing else is.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use channelgate::cache::{Part, Proof, Sha256};
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::filler;
use crate::support::faulty::{Faulty, Reply, Seen};
use crate::support::process::{Place, Process, channel, files};

const KILLS: u64 = 50;
const NEW_FILES_PER_KILL: u64 = 12;
const CLIENTS: u64 = 6;

fn name(number: u64) -> String {
    format!("package-1.0-{number}.conda")
}

fn package(file: &str) -> Vec<u8> {
    let length = usize::from_le_bytes(*Sha256::of(file.as_bytes()).as_bytes().first_chunk().unwrap());
    filler::bytes(file, 1, length % 200_000)
}

fn index() -> String {
    let records: Map<String, Value> = (0..KILLS * NEW_FILES_PER_KILL)
        .map(|number| {
            let (file, body) = (name(number), package(&name(number)));
            let record = json!({
                "name": "package", "version": "1.0", "build": number.to_string(), "build_number": 0, "depends": [],
                "sha256": Sha256::of(&body).to_string(), "size": body.len(),
            });
            (file, record)
        })
        .collect();
    json!({ "info": { "subdir": "linux-64" }, "packages": {}, "packages.conda": records }).to_string()
}

/// Sends packages in pieces, so that many are under way at any moment.
fn reply(seen: &Seen, index: &str) -> Reply {
    let Some(file) = seen.target.strip_prefix("/linux-64/") else { return Reply::new(404) };
    let tag = format!("\"{file}\"");
    match file {
        "repodata.json" => Reply::new(200).header("ETag", &tag).body(index),
        _ if file.ends_with(".conda") => {
            let body = package(file);
            let (first, rest) = body.split_at(body.len() / 3);
            let (second, third) = rest.split_at(rest.len() / 2);
            let pause = Duration::from_millis(3);
            Reply::new(200).header("ETag", &tag).body(first).wait(pause).body(second).wait(pause).body(third)
        }
        _ => Reply::new(404),
    }
}

/// Asks for packages until the gate is gone. What comes whole must be right.
async fn ask_on(gate: std::net::SocketAddr, known: u64, mut state: u64, answered: Arc<AtomicU64>) {
    loop {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let file = name((state >> 33) % known);
        let Ok(mut stream) = TcpStream::connect(gate).await else { return };
        let head = format!("GET /main/linux-64/{file} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut reply = Vec::new();
        let read = async {
            stream.write_all(head.as_bytes()).await?;
            stream.read_to_end(&mut reply).await
        };
        let broke = read.await.is_err();
        let Some(end) = reply.windows(4).position(|window| window == b"\r\n\r\n") else { return };
        let body = reply.split_off(end + 4);
        let head = String::from_utf8(reply).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let expected = package(&file);
        assert!(
            head.to_ascii_lowercase().contains(&format!("content-length: {}\r\n", expected.len())),
            "{head}"
        );
        assert!(body.len() < expected.len() || body == expected, "wrong bytes of {file}");
        if broke || body.len() < expected.len() {
            return;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Opens the cache as the next process would, and looks at everything that was not there before.
async fn check(cache: &Path, whole: &[PathBuf], seen: &mut HashSet<(String, Part, i64)>) {
    let (disk, meters) = filler::open(cache, 1 << 40);
    assert_eq!(files(&cache.join("partial")), Vec::<PathBuf>::new(), "leaked drafts");
    let mut walk = disk.walk();
    let mut walked = 0;
    while let Some(entry) = walk.next().await {
        walked += 1;
        let facts = &entry.facts;
        if !seen.insert((facts.path.clone(), facts.part, facts.fetched_at.as_millis())) {
            continue;
        }
        let object = disk.peek(&facts.key()).await.unwrap();
        let body = filler::body(&object);
        assert_eq!(Sha256::of(&body), facts.sha256, "{}", facts.path);
        if let Some(file) = facts.path.strip_prefix("linux-64/").filter(|file| file.ends_with(".conda")) {
            assert!(body == package(file) && facts.part == Part::File, "wrong bytes in {file}");
            assert!(matches!(facts.proof, Proof::Index | Proof::Unproven));
        }
    }
    assert_eq!((disk.totals().objects, meters.bad_footers.get(), meters.disk_errors.get()), (walked, 0, 0));
    let lost: Vec<_> = whole.iter().filter(|file| !file.exists()).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

fn random(below: u16) -> Duration {
    let mut random = [0; 2];
    getrandom::fill(&mut random).unwrap();
    Duration::from_micros(u64::from(u16::from_le_bytes(random) % below) * 100)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gate_killed_under_load_loses_leaks_and_spoils_nothing() {
    let index = index();
    let upstream = Faulty::start(move |seen| reply(seen, &index)).await;
    let place = Place::empty();
    place.configure(&format!("log.level = \"error\"\n{}", channel("main", "public", &upstream.url(""))));
    let serve = || {
        let mut command = place.command(&["serve"]);
        command.env("CHANNELGATE_CACHE__ENABLED", "true");
        command
    };
    let cache = place.path("var/cache");
    let (mut seen, answered) = (HashSet::new(), Arc::new(AtomicU64::new(0)));
    let mut abandoned = 0;
    for kill in 1..=KILLS {
        if kill % 10 == 0 {
            // Also while it starts.
            let mut child = serve().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            tokio::time::sleep(random(1_000)).await;
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let gate = Process::start(serve());
        let (before, known) = (answered.load(Ordering::Relaxed), kill * NEW_FILES_PER_KILL);
        let clients: JoinSet<()> = (0..CLIENTS)
            .map(|client| ask_on(gate.data, known, kill * CLIENTS + client, Arc::clone(&answered)))
            .collect();
        while answered.load(Ordering::Relaxed) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(random(800)).await;
        let whole = files(&cache.join("objects"));
        gate.signal(Signal::KILL);
        gate.ended();
        clients.join_all().await;
        abandoned += files(&cache.join("partial")).len();
        check(&cache, &whole, &mut seen).await;
    }
    let (objects, answers) = (seen.len(), answered.load(Ordering::Relaxed));
    println!("{KILLS} kills, {answers} whole answers, {objects} objects, {abandoned} drafts left behind");
    assert!(
        objects as u64 > 2 * KILLS && abandoned > 0,
        "{objects} objects, {abandoned} drafts: this is no load"
    );
}
