//! The load: connections that ask one request after the other, as fast as they are answered.
//!
//! It is as cheap as can be, since it shares a CPU with the upstream: bodies over plain TCP are not even copied to this process. Whatever is not
//! the answer that was expected ends the bench; a figure with errors in it is none.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use channelgate::cache::{Hashing, Sha256};
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where requests go, and over what. Errors say whose they are.
#[derive(Clone)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<TlsConnector>,
}

/// What is asked for, and how.
#[derive(Clone)]
pub(crate) struct Asking {
    /// Whole requests, used in turn by all connections.
    pub(crate) requests: Arc<Vec<Vec<u8>>>,
    /// Of each body.
    pub(crate) bytes: u64,
    /// At once.
    pub(crate) connections: usize,
    /// A new one for each request. The requests say so, too.
    pub(crate) closes: bool,
}

/// What was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
}

/// Connections that are open, and have been answered once.
pub(crate) struct Crowd {
    goal: Goal,
    asking: Asking,
    wires: Vec<Wire>,
    turn: Arc<AtomicUsize>,
}

impl Crowd {
    /// Opens them: what that costs is not measured.
    pub(crate) async fn gather(goal: &Goal, asking: &Asking) -> io::Result<Self> {
        let mut wires = Vec::new();
        let turn = Arc::new(AtomicUsize::new(0));
        if !asking.closes {
            for _ in 0..asking.connections {
                let mut wire = Wire::connect(goal).await?;
                wire.ask(next(asking, &turn), asking.bytes).await?;
                wires.push(wire);
            }
        }
        Ok(Self { goal: goal.clone(), asking: asking.clone(), wires, turn })
    }

    /// Asks for as long as told; what is on its way then is awaited, and counted.
    pub(crate) async fn press(&mut self, time: Duration) -> io::Result<Tally> {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        let mut wires = std::mem::take(&mut self.wires);
        for _ in 0..self.asking.connections {
            let (goal, asking, turn) = (self.goal.clone(), self.asking.clone(), Arc::clone(&self.turn));
            let mut wire = wires.pop();
            tasks.spawn(async move {
                let mut answered = 0_u64;
                while began.elapsed() < time {
                    let request = next(&asking, &turn);
                    match &mut wire {
                        Some(wire) => wire.ask(request, asking.bytes).await?,
                        None => Wire::connect(&goal).await?.ask_once(request, asking.bytes).await?,
                    }
                    answered += 1;
                }
                io::Result::Ok((answered, wire))
            });
        }
        let mut requests = 0;
        while let Some(done) = tasks.join_next().await {
            let (answered, wire) = done.unwrap()?;
            requests += answered;
            self.wires.extend(wire);
        }
        Ok(Tally { requests, elapsed: began.elapsed() })
    }
}

fn next<'a>(asking: &'a Asking, turn: &AtomicUsize) -> &'a [u8] {
    &asking.requests[turn.fetch_add(1, Ordering::Relaxed) % asking.requests.len()]
}

/// The same, with the name of whoever it was asked of in its error.
async fn of<T>(name: &str, asked: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    asked.await.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
}

/// A connection to a server.
pub(crate) struct Wire {
    name: &'static str,
    stream: Stream,
    buffer: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The head of an answer.
struct Head {
    status: u16,
    length: u64,
    /// How much of the buffer it takes; what follows is body.
    bytes: usize,
}

impl Wire {
    pub(crate) async fn connect(goal: &Goal) -> io::Result<Self> {
        let connecting = async {
            let stream = TcpStream::connect(goal.address).await?;
            stream.set_nodelay(true)?;
            let stream = match &goal.tls {
                None => Stream::Plain(stream),
                Some(connector) => {
                    Stream::Tls(Box::new(connector.connect("localhost".try_into().unwrap(), stream).await?))
                }
            };
            Ok(Self { name: goal.name, stream, buffer: vec![0; BUFFER_BYTES] })
        };
        of(goal.name, connecting).await
    }

    /// Asks, and throws away a body of so many bytes.
    pub(crate) async fn ask(&mut self, request: &[u8], bytes: u64) -> io::Result<()> {
        of(self.name, async {
            self.write(request).await?;
            let (head, filled) = self.head().await?;
            if head.status != 200 || head.length != bytes {
                return Err(unexpected(&self.buffer[..head.bytes]));
            }
            self.discard(bytes.saturating_sub((filled - head.bytes) as u64)).await
        })
        .await
    }

    /// Asks, and throws away a body of whatever length of an answer of one of these statuses.
    pub(crate) async fn exchange(&mut self, request: &[u8], expected: &[u16]) -> io::Result<()> {
        of(self.name, async {
            self.write(request).await?;
            let (head, filled) = self.head().await?;
            if !expected.contains(&head.status) {
                return Err(unexpected(&self.buffer[..head.bytes]));
            }
            self.discard(head.length.saturating_sub((filled - head.bytes) as u64)).await
        })
        .await
    }

    /// The same as [`Wire::ask`], with the connection's end behind it.
    async fn ask_once(mut self, request: &[u8], bytes: u64) -> io::Result<()> {
        self.ask(request, bytes).await?;
        of(self.name, async {
            match self.stream.read(&mut self.buffer).await? {
                0 => Ok(()),
                _ => Err(io::Error::other("more than was asked for")),
            }
        })
        .await
    }

    /// Gives back the memory that it does not need until it asks again.
    pub(crate) fn rest(&mut self) {
        self.buffer = Vec::new();
    }

    /// Asks, and tells the status and the digest of the body.
    pub(crate) async fn digest(&mut self, request: &[u8]) -> io::Result<(u16, Sha256)> {
        of(self.name, async {
            self.write(request).await?;
            let (head, filled) = self.head().await?;
            let mut digest = Hashing::new();
            let mut left = head.length - (filled - head.bytes) as u64;
            digest.update(&self.buffer[head.bytes..filled]);
            while left > 0 {
                let count = self.stream.read(&mut self.buffer).await?;
                if count == 0 {
                    return Err(io::Error::other(format!("a body breaks off, {left} bytes are missing")));
                }
                digest.update(&self.buffer[..count]);
                left -= count as u64;
            }
            Ok((head.status, digest.finish()))
        })
        .await
    }

    /// Over TLS, what is written may stay with the session where the runtime gives others their turn.
    async fn write(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await?;
        self.stream.flush().await
    }

    /// Reads up to the end of a head; tells how much of the buffer is filled.
    async fn head(&mut self) -> io::Result<(Head, usize)> {
        self.buffer.resize(BUFFER_BYTES, 0);
        let mut filled = 0;
        loop {
            let most = match self.stream {
                Stream::Plain(_) => HEAD_BYTES,
                Stream::Tls(_) => BUFFER_BYTES,
            };
            let count = self.stream.read(&mut self.buffer[filled..most]).await?;
            if count == 0 {
                return Err(io::Error::other("the connection was closed instead of an answer"));
            }
            filled += count;
            if let Some(end) = self.buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok((Head::parse(&self.buffer[..end + 4])?, filled));
            }
        }
    }

    async fn discard(&mut self, mut left: u64) -> io::Result<()> {
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let count = match &mut self.stream {
                Stream::Plain(stream) => {
                    stream.readable().await?;
                    match stream.try_io(Interest::READABLE, || throw_away(stream, most)) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                        received => received?,
                    }
                }
                Stream::Tls(stream) => stream.read(&mut self.buffer[..most.min(BUFFER_BYTES)]).await?,
            };
            if count == 0 {
                return Err(io::Error::other(format!("a body breaks off, {left} bytes are missing")));
            }
            left -= count as u64;
        }
        Ok(())
    }
}

/// Takes so many bytes from a socket without looking at them. The kernel writes none of them to the memory that it is given.
fn throw_away(stream: &TcpStream, most: usize) -> io::Result<usize> {
    thread_local! {
        static TRASH: RefCell<Vec<u8>> = RefCell::new(vec![0; 4 << 20]);
    }
    TRASH.with_borrow_mut(|trash| {
        let most = most.min(trash.len());
        Ok(rustix::net::recv(stream, &mut trash[..most], RecvFlags::TRUNC)?.1)
    })
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| unexpected(bytes))?;
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let length = text.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let (Some(status), Some(length)) = (status, length) else { return Err(unexpected(bytes)) };
        Ok(Self { status, length, bytes: bytes.len() })
    }
}

fn unexpected(head: &[u8]) -> io::Error {
    io::Error::other(format!("an answer that was not expected: {}", String::from_utf8_lossy(head)))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Enough for two records of TLS.
const BUFFER_BYTES: usize = 32 << 10;
/// Enough for a head with 1 KiB behind it.
const HEAD_BYTES: usize = 4 << 10;
