//! What bodies cost: the gate's memory stays flat however large they are and however slowly they are read, and the upstream feels it.
//!
//! The gate runs in a process of its own, so that what is measured is its memory and nobody else's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::http2::Http2;
use crate::support::process::{Place, Process, channel, files};

const MIB: u64 = 1 << 20;
const BODY_BYTES: u64 = 200 * MIB;
const READERS: u64 = 8;
/// How many of them go on to the end.
const FINISHERS: usize = 2;
/// What a reader takes before it stops.
const TAKEN_BYTES: u64 = MIB;
/// What a stream may cost the gate.
const STREAM_COST_MAX_BYTES: u64 = 2 * MIB;
/// What an upstream may get rid of beyond what was read: the sockets' buffers on four ends, which the kernel sizes.
const AHEAD_MAX_BYTES: u64 = 6 * MIB;
/// What a directory's file has.
const FILE_BYTES: u64 = 64 * MIB;
/// No test waits longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// An upstream that writes as fast as it is read.
struct Hose {
    address: SocketAddr,
    flow: Arc<Flow>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Flow {
    written_bytes: AtomicU64,
    open: AtomicUsize,
}

impl Hose {
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(64 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(64).unwrap();
        let address = listener.local_addr().unwrap();
        let flow = Arc::new(Flow::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&flow)));
        Self { address, flow, accepting }
    }

    fn written(&self) -> u64 {
        self.flow.written_bytes.load(Ordering::Relaxed)
    }

    /// Waits until nothing more is taken: everybody in between is full.
    async fn stalled(&self) -> u64 {
        let (mut last, mut since) = (self.written(), Instant::now());
        let start = since;
        while since.elapsed() < Duration::from_millis(300) {
            assert!(start.elapsed() < PATIENCE, "the upstream never stalls");
            tokio::time::sleep(Duration::from_millis(10)).await;
            let now = self.written();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        last
    }
}

impl Drop for Hose {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, flow: Arc<Flow>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let flow = Arc::clone(&flow);
        connections.spawn(async move {
            flow.open.fetch_add(1, Ordering::Relaxed);
            let _ = pour(stream, &flow).await;
            flow.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// One body of [`BODY_BYTES`] for each request of a connection.
async fn pour(mut stream: TcpStream, flow: &Flow) -> std::io::Result<()> {
    let piece = vec![b'x'; 64 * 1024];
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        head.clear();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
        for _ in 0..BODY_BYTES / piece.len() as u64 {
            stream.write_all(&piece).await?;
            flow.written_bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
    }
}

/// A reader of one body, over either protocol.
enum Reader {
    Http1 { stream: TcpStream, buffer: Vec<u8> },
    Http2(hyper::body::Incoming),
}

impl Reader {
    async fn http1(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(b"GET /main/noarch/x.conda HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
        Self::Http1 { stream, buffer: vec![0; 256 * 1024] }
    }

    async fn http2(client: &Http2) -> Self {
        let response = client.begin("GET", "/main/noarch/x.conda", &[]).await;
        assert_eq!(response.status(), 200);
        Self::Http2(response.into_body())
    }

    /// Takes at least `bytes` more, and tells how many it were.
    async fn take(&mut self, bytes: u64) -> u64 {
        let mut taken = 0;
        while taken < bytes {
            taken += match self {
                Self::Http1 { stream, buffer } => stream.read(buffer).await.unwrap() as u64,
                Self::Http2(body) => body.frame().await.unwrap().unwrap().into_data().unwrap().len() as u64,
            };
        }
        taken
    }
}

/// Some read on to the end, some never read again: neither is the gate's memory, nor may one stop the others.
async fn slow_readers_cost_little(hose: &Hose, gate: &Process, mut readers: Vec<Reader>, at_rest: u64) {
    let mut taken = Vec::new();
    for reader in &mut readers {
        taken.push(reader.take(TAKEN_BYTES).await);
    }
    let before = hose.stalled().await;
    let ahead = before - taken.iter().sum::<u64>();
    assert!(ahead < READERS * AHEAD_MAX_BYTES, "{} MiB went ahead of {READERS} readers", ahead / MIB);
    let grown = gate.memory_bytes("VmRSS").saturating_sub(at_rest);
    assert!(grown < READERS * STREAM_COST_MAX_BYTES, "{} KiB for {READERS} streams that stand", grown >> 10);

    let abandoned = readers.split_off(FINISHERS);
    for (mut reader, taken) in readers.into_iter().zip(taken) {
        assert_eq!(taken + reader.take(BODY_BYTES - taken).await, BODY_BYTES);
    }
    drop(abandoned);
    let start = Instant::now();
    while hose.flow.open.load(Ordering::Relaxed) > FINISHERS {
        assert!(start.elapsed() < PATIENCE, "the upstream is not told that nobody reads");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let peak = gate.memory_bytes("VmHWM").saturating_sub(at_rest);
    assert!(peak < READERS * STREAM_COST_MAX_BYTES, "{} KiB at the peak", peak >> 10);
    assert!(hose.written() < before + (FINISHERS as u64) * BODY_BYTES, "what nobody reads is not fetched");
}

async fn start() -> (Hose, Place, Process, u64) {
    let hose = Hose::start().await;
    let place = Place::empty();
    let upstream = format!("http://{}", hose.address);
    place.configure(&format!("log.level = \"warn\"\n{}", channel("main", "public", &upstream)));
    let gate = place.serve();
    // Code, pools and the allocator's arenas are paid for by the first request.
    Reader::http1(gate.data).await.take(16 * MIB).await;
    Reader::http2(&Http2::open(gate.data).await).await.take(16 * MIB).await;
    let start = Instant::now();
    while hose.flow.open.load(Ordering::Relaxed) > 0 {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    hose.flow.written_bytes.store(0, Ordering::Relaxed);
    let at_rest = gate.memory_bytes("VmRSS");
    (hose, place, gate, at_rest)
}

/// A gate before a directory with a file of [`FILE_BYTES`], with further lines of configuration.
fn serve_directory(place: &Place, lines: &str) -> Process {
    let noarch = place.path("channel/noarch");
    std::fs::create_dir_all(&noarch).unwrap();
    std::fs::File::create(noarch.join("x.conda")).unwrap().set_len(FILE_BYTES).unwrap();
    let upstream = format!("file://{}", place.path("channel").display());
    place.configure(&format!("log.level = \"warn\"\n{lines}{}", channel("main", "public", &upstream)));
    place.serve()
}

/// Files are read in pieces of 128 KiB, one for each reader.
async fn five_hundred_slow_readers_cost_less_than_two_hundred_mebibytes(gate: &Process) {
    let mut readers = Vec::new();
    for _ in 0..500 {
        let mut reader = Reader::http1(gate.data).await;
        let taken = reader.take(TAKEN_BYTES).await;
        readers.push((reader, taken));
    }
    let peak = gate.memory_bytes("VmHWM");
    println!("{} MiB at the peak", peak / MIB);
    assert!(peak < 200 * MIB, "{} MiB at the peak", peak / MIB);
    // They are not abandoned: some go on to the end.
    for (reader, taken) in readers.iter_mut().take(FINISHERS) {
        assert_eq!(*taken + reader.take(FILE_BYTES - *taken).await, FILE_BYTES);
    }
    let peak = gate.memory_bytes("VmHWM");
    assert!(peak < 200 * MIB, "{} MiB at the peak", peak / MIB);
}

#[tokio::test]
async fn slow_readers_of_a_directorys_file_cost_little() {
    let place = Place::empty();
    let gate = serve_directory(&place, "");
    five_hundred_slow_readers_cost_less_than_two_hundred_mebibytes(&gate).await;
}

/// The peak is that of the whole life of the gate: of the file's way into the cache, too.
#[tokio::test]
async fn slow_readers_of_a_cached_file_cost_little() {
    let place = Place::empty();
    let gate = serve_directory(&place, "cache.enabled = true\n");
    assert_eq!(Reader::http1(gate.data).await.take(FILE_BYTES).await, FILE_BYTES);
    let start = Instant::now();
    while files(&place.path("var/cache/objects")).is_empty() {
        assert!(start.elapsed() < PATIENCE, "the file is not kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // What is served from now on cannot come from anywhere else.
    std::fs::remove_dir_all(place.path("channel")).unwrap();
    five_hundred_slow_readers_cost_less_than_two_hundred_mebibytes(&gate).await;
}

#[tokio::test]
async fn slow_http1_readers_cost_little_and_slow_the_upstream() {
    let (hose, _place, gate, at_rest) = start().await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(Reader::http1(gate.data).await);
    }
    slow_readers_cost_little(&hose, &gate, readers, at_rest).await;
}

#[tokio::test]
async fn slow_http2_readers_cost_little_and_slow_the_upstream() {
    let (hose, _place, gate, at_rest) = start().await;
    let client = Http2::open(gate.data).await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(Reader::http2(&client).await);
    }
    slow_readers_cost_little(&hose, &gate, readers, at_rest).await;
}
