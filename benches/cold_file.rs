//! 64 clients want one cold file of 256 MiB: how long does each wait, and what does the upstream see?
//!
//! `cargo bench --bench cold_file`. The gate is the program itself, in a process of its own with an empty cache; the upstream, which is as
//! fast as the loopback, and the clients are threads here. Clients compare what they get with the file as it comes, which is cheaper than
//! a digest and proves the same. Two rounds, each with a file of its own:
//!
//! 1. all at once: one of them leads, by no choice of its own, and the others follow it;
//! 2. one first, the others at its first byte; it goes away in the middle.
//!
//! In both the upstream must be asked for the file once, and everybody else must get all of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use channelgate::cache::Sha256;

const CLIENTS: usize = 64;
const FILE_BYTES: usize = 256 << 20;
const PIECE_BYTES: usize = 256 << 10;
const FILES: [&str; 2] = ["at-once-1.0-0.conda", "killed-1.0-0.conda"];

fn main() {
    let file: Arc<Vec<u8>> = Arc::new(noise());
    let upstream = Upstream::start(Arc::clone(&file));
    let place = tempfile::tempdir().unwrap();
    let gate = Gate::start(place.path(), upstream.address);
    println!("{CLIENTS} clients, one cold file of {} MiB, {} cores", FILE_BYTES >> 20, cores());
    println!("past the gate, one client: {:.2?}", direct(&upstream, &file).total);
    at_once(&gate, &file);
    let warm = download(gate.address, "main", FILES[0], &file, || {}, FILE_BYTES);
    println!("then one more, from the cache: first byte {:.1?}, all {:.2?}", warm.first_byte, warm.total);
    leader_killed(&gate, &file);
    for (name, gets) in FILES.iter().zip(upstream.gets.iter()) {
        let expected = if *name == FILES[0] { 2 } else { 1 };
        assert_eq!(gets.load(Ordering::SeqCst), expected, "{name}: requests to the upstream");
    }
    println!("the upstream was asked once for each file; every byte was right");
    println!("the gate's memory at the peak: {} MiB", gate.peak_bytes() >> 20);
}

/// Everybody at once.
fn at_once(gate: &Gate, file: &Arc<Vec<u8>>) {
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let began = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (barrier, file, address) = (Arc::clone(&barrier), Arc::clone(file), gate.address);
            thread::spawn(move || {
                barrier.wait();
                download(address, "main", FILES[0], &file, || {}, FILE_BYTES)
            })
        })
        .collect();
    let downloads: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let total = began.elapsed();
    let (leaders, followers): (Vec<_>, Vec<_>) = downloads.iter().partition(|download| download.leads);
    assert_eq!(leaders.len(), 1, "one leads");
    println!("all at once: {:.2?} in all, {:.0} MiB/s", total, rate(CLIENTS * FILE_BYTES, total));
    tell("leader", &leaders);
    tell("followers", &followers);
}

/// One first, which goes away in the middle, and the others as soon as it has its first byte.
fn leader_killed(gate: &Gate, file: &Arc<Vec<u8>>) {
    let (told, telling) = mpsc::channel();
    let began = Instant::now();
    let leader = thread::spawn({
        let (file, address) = (Arc::clone(file), gate.address);
        let on_first_byte = move || told.send(()).unwrap();
        move || download(address, "main", FILES[1], &file, on_first_byte, FILE_BYTES / 2)
    });
    telling.recv().unwrap();
    let clients: Vec<_> = (1..CLIENTS)
        .map(|_| {
            let (file, address) = (Arc::clone(file), gate.address);
            thread::spawn(move || download(address, "main", FILES[1], &file, || {}, FILE_BYTES))
        })
        .collect();
    let leader = leader.join().unwrap();
    assert!(leader.leads);
    let left = began.elapsed();
    let followers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(followers.iter().all(|follower| !follower.leads), "nobody takes its place");
    println!("the leader leaves at 50 %, after {left:.2?}: {:.2?} in all", began.elapsed());
    tell("leader", &[&leader]);
    tell("followers", &followers.iter().collect::<Vec<_>>());
}

fn tell(who: &str, downloads: &[&Download]) {
    let mut waits: Vec<_> = downloads.iter().map(|download| download.first_byte).collect();
    let mut totals: Vec<_> = downloads.iter().map(|download| download.total).collect();
    waits.sort();
    totals.sort();
    let (median, last) = (waits.len() / 2, waits.len() - 1);
    println!(
        "  {who:<10} first byte: {:>8.1?} median, {:>8.1?} at most; all: {:>6.2?} median, {:>6.2?} at most",
        waits[median], waits[last], totals[median], totals[last]
    );
}

/// How a client fared.
struct Download {
    first_byte: Duration,
    total: Duration,
    leads: bool,
}

/// Reads `bytes` of a file and holds them against `file`, then closes the connection.
fn download(
    address: SocketAddr,
    channel: &str,
    name: &str,
    file: &[u8],
    on_first_byte: impl FnOnce(),
    bytes: usize,
) -> Download {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let prefix = if channel.is_empty() { String::new() } else { format!("/{channel}") };
    write!(stream, "GET {prefix}/noarch/{name} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n").unwrap();
    let head = head(&mut stream).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(head.contains(&format!("content-length: {FILE_BYTES}\r\n")), "{head}");
    let mut piece = vec![0; PIECE_BYTES];
    let (mut read, mut first_byte, mut on_first_byte) = (0, None, Some(on_first_byte));
    while read < bytes {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "it breaks off after {read} bytes");
        assert!(piece[..count] == file[read..read + count], "wrong bytes behind {read}");
        read += count;
        first_byte.get_or_insert_with(|| began.elapsed());
        on_first_byte.take().into_iter().for_each(|tell| tell());
    }
    let leads = head.contains("cache-status: channelgate; fwd=miss; stored");
    Download { first_byte: first_byte.unwrap(), total: began.elapsed(), leads }
}

/// The same without a gate, to compare with.
fn direct(upstream: &Upstream, file: &[u8]) -> Download {
    download(upstream.address, "", FILES[0], file, || {}, FILE_BYTES)
}

/// Up to the empty line, byte by byte.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A channel whose index names the two files.
struct Upstream {
    address: SocketAddr,
    /// Requests for each of [`FILES`].
    gets: Arc<[AtomicUsize; 2]>,
}

impl Upstream {
    fn start(file: Arc<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gets = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let counted = Arc::clone(&gets);
        let digest = Sha256::of(&file);
        let record = |name: &str| {
            let stem = name.trim_end_matches("-1.0-0.conda");
            format!(
                r#""{name}":{{"name":"{stem}","version":"1.0","build":"0","build_number":0,"depends":[],"subdir":"noarch","sha256":"{digest}","size":{FILE_BYTES}}}"#
            )
        };
        let records = FILES.map(record).join(",");
        let index =
            format!(r#"{{"info":{{"subdir":"noarch"}},"packages":{{}},"packages.conda":{{{records}}}}}"#);
        let index: Arc<str> = index.into();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (file, gets, index) = (Arc::clone(&file), Arc::clone(&counted), Arc::clone(&index));
                thread::spawn(move || {
                    let _ = answer(stream, &file, &gets, &index);
                });
            }
        });
        Self { address, gets }
    }
}

fn answer(stream: TcpStream, file: &[u8], gets: &[AtomicUsize; 2], index: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut line = request.clone();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        let target = request.split(' ').nth(1).unwrap_or_default();
        let body = match FILES.iter().position(|name| target == format!("/noarch/{name}")) {
            Some(at) => {
                gets[at].fetch_add(1, Ordering::SeqCst);
                Some(file)
            }
            None => (target == "/noarch/repodata.json").then_some(index.as_bytes()),
        };
        let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
        let body = body.unwrap_or_default();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"1\"\r\n\r\n", body.len())?;
        stream.write_all(body)?;
    }
}

/// The program.
struct Gate {
    process: Child,
    address: SocketAddr,
}

impl Gate {
    fn start(place: &std::path::Path, upstream: SocketAddr) -> Self {
        let lines = format!(
            "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\nlog.level = \"warn\"\n\
             [[channels]]\nname = \"main\"\naccess = \"public\"\nupstreams = [\"http://{upstream}\"]\n"
        );
        std::fs::write(place.join("gate.toml"), lines).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_channelgate"));
        command.args(["--config", "gate.toml", "serve"]).current_dir(place).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("channelgate ready ") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "the gate does not start");
        }
        let (_, address) = line.split_once("data=http://").unwrap();
        let address = address.split(' ').next().unwrap().parse().unwrap();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                println!("{line}");
            }
        });
        Self { process, address }
    }

    fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let figure = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        figure.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Bytes without a pattern that would let two places be taken for each other.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..FILE_BYTES / 8).flat_map(|_| next()).collect()
}

fn rate(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / (1 << 20) as f64 / time.as_secs_f64()
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
