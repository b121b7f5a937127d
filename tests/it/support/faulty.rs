//! An HTTP/1.1 server that misbehaves as told, and remembers every request it saw.
//!
//! A test gives a script, a function from the request seen to the [`Reply`] for it:
//!
//! ```ignore
//! let upstream = Faulty::start(|seen| match seen.target.as_str() {
//!     "/noarch/short.conda" => Reply::new(200).body("half").announce(8).close(),
//!     "/noarch/stall.conda" => Reply::new(200).body("half").announce(8).stall(),
//!     _ if seen.nth > 0 => Reply::nothing().reset(),
//!     _ => Reply::new(404),
//! }).await;
//! ```
//!
//! It writes bytes itself, over a plain socket or TLS, so that nothing corrects what is wrong on purpose.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A running server; dropping it closes its port.
pub struct Faulty {
    address: SocketAddr,
    certificate: Option<tempfile::NamedTempFile>,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The connection it came on, counted from 0.
    pub connection: usize,
    /// Which request of that connection it is, counted from 0.
    pub nth: usize,
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The request target, as sent.
    pub target: String,
    /// All header lines, as sent.
    pub lines: Vec<String>,
}

/// What to do about one request: a head, pieces of a body, and an end.
#[derive(Clone, Debug)]
pub struct Reply {
    head: Option<Vec<String>>,
    announced: Announced,
    steps: Vec<Step>,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum Announced {
    /// The true length.
    Honest,
    /// `Content-Length` with this value.
    Length(u64),
    /// No `Content-Length`; the connection's end is the body's.
    Nothing,
    /// `Transfer-Encoding: chunked`, each piece a chunk.
    Chunked,
}

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    Wait(Duration),
    Await(Gate),
}

/// Something that replies wait for until the test opens it. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// Lets everything pass from now on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn opened(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// The reply is complete; the connection stays open for the next request.
    Keep,
    Close,
    Reset,
    Stall,
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    sent_bytes: AtomicU64,
}

impl Faulty {
    /// Serves plain HTTP on a free port of 127.0.0.1.
    pub async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::launch("127.0.0.1", None, script).await
    }

    /// Serves plain HTTP on a free port of another loopback address, such as `127.0.0.2`.
    pub async fn start_at(ip: &str, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::launch(ip, None, script).await
    }

    /// Serves HTTPS for `localhost` and 127.0.0.1 with a certificate of its own: see [`Faulty::ca_file`].
    pub async fn start_tls(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let own = rcgen::generate_simple_self_signed(names).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), own.cert.pem()).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        Self::launch("127.0.0.1", Some((TlsAcceptor::from(Arc::new(tls)), file)), script).await
    }

    async fn launch(
        ip: &str,
        tls: Option<(TlsAcceptor, tempfile::NamedTempFile)>,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            sent_bytes: AtomicU64::new(0),
        });
        let (acceptor, certificate) = tls.unzip();
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&shared)));
        Self { address, certificate, shared, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http(s)://127.0.0.1:port` and `path`.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// The certificate to trust, in PEM.
    pub fn ca_file(&self) -> &Path {
        self.certificate.as_ref().unwrap().path()
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many bytes the sockets took: stands still while the other side exerts back-pressure.
    pub fn sent_bytes(&self) -> u64 {
        self.shared.sent_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Seen {
    /// The value of a header, if it came once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.lines.iter().filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        let value = values.next();
        if values.next().is_some() { None } else { value }
    }
}

impl Reply {
    /// A reply with this status, no header of its own and no body yet, that keeps the connection open.
    pub fn new(status: u16) -> Self {
        let line = format!("HTTP/1.1 {status} Whatever");
        Self { head: Some(vec![line]), announced: Announced::Honest, steps: Vec::new(), end: End::Keep }
    }

    /// Not a byte, but for what [`Reply::body`] adds; to be ended by `stall`, `reset` or `close`.
    pub fn nothing() -> Self {
        Self { head: None, announced: Announced::Nothing, steps: Vec::new(), end: End::Close }
    }

    /// A redirect.
    pub fn redirect(location: &str) -> Self {
        Self::new(302).header("Location", location)
    }

    /// Adds a header line.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head.get_or_insert_default().push(format!("{name}: {value}"));
        self
    }

    /// The `ETag` it carries.
    pub fn tag(&self) -> Option<&str> {
        self.head.iter().flatten().find_map(|line| line.strip_prefix("ETag: "))
    }

    /// Adds bytes to the body.
    pub fn body(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Step::Send(bytes.as_ref().to_vec()));
        self
    }

    /// Adds a pause to the body.
    pub fn wait(mut self, pause: Duration) -> Self {
        self.steps.push(Step::Wait(pause));
        self
    }

    /// Adds a pause to the body that ends when the gate is opened.
    pub fn until(mut self, gate: &Gate) -> Self {
        self.steps.push(Step::Await(gate.clone()));
        self
    }

    /// Announces this length instead of the true one.
    pub fn announce(mut self, length: u64) -> Self {
        self.announced = Announced::Length(length);
        self
    }

    /// Announces no length: the body ends with the connection.
    pub fn unannounced(mut self) -> Self {
        self.announced = Announced::Nothing;
        self.end = End::Close;
        self
    }

    /// Sends the body in chunks, and the last chunk if the reply ends well.
    pub fn chunked(mut self) -> Self {
        self.announced = Announced::Chunked;
        self
    }

    /// Then closes the connection.
    pub fn close(mut self) -> Self {
        self.end = End::Close;
        self
    }

    /// Then resets the connection (RST).
    pub fn reset(mut self) -> Self {
        self.end = End::Reset;
        self
    }

    /// Then does nothing more, with the connection open.
    pub fn stall(mut self) -> Self {
        self.end = End::Stall;
        self
    }

    fn head_bytes(&self) -> Vec<u8> {
        let Some(lines) = &self.head else { return Vec::new() };
        let body =
            self.steps.iter().map(|step| if let Step::Send(bytes) = step { bytes.len() as u64 } else { 0 });
        let framing = match self.announced {
            Announced::Honest => format!("Content-Length: {}\r\n", body.sum::<u64>()),
            Announced::Length(length) => format!("Content-Length: {length}\r\n"),
            Announced::Nothing => String::new(),
            Announced::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        };
        format!("{}\r\n{framing}\r\n", lines.join("\r\n")).into_bytes()
    }
}

/// An address that nobody listens on.
pub fn refusing_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Connections end with the server, not with the test that forgot them.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((tcp, _)) = listener.accept().await else { continue };
        // Head and body are written apart; without this the second waits 40 ms for the acknowledgement of the first.
        tcp.set_nodelay(true).unwrap();
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(async move {
            let control = socket2::SockRef::from(&tcp).try_clone().unwrap();
            match tls {
                None => converse(tcp, control, number, &shared).await,
                Some(tls) => match tls.accept(tcp).await {
                    Ok(stream) => converse(stream, control, number, &shared).await,
                    Err(error) => Err(error),
                },
            }
        });
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    control: socket2::Socket,
    connection: usize,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    for nth in 0.. {
        let Some(seen) = next_request(&mut stream, &mut buffer, connection, nth).await? else { break };
        let reply = (shared.script)(&seen);
        let is_head = seen.method == "HEAD";
        shared.seen.lock().unwrap().push(seen);
        send(&mut stream, &reply.head_bytes(), shared).await?;
        if !is_head {
            send_body(&mut stream, &reply, shared).await?;
        }
        match reply.end {
            End::Keep => continue,
            End::Close => {}
            End::Reset => control.set_linger(Some(Duration::ZERO))?,
            End::Stall => std::future::pending().await,
        }
        break;
    }
    Ok(())
}

async fn send_body<S: AsyncWrite + Unpin>(
    stream: &mut S,
    reply: &Reply,
    shared: &Shared,
) -> std::io::Result<()> {
    let is_chunked = matches!(reply.announced, Announced::Chunked);
    for step in &reply.steps {
        match step {
            Step::Wait(pause) => tokio::time::sleep(*pause).await,
            Step::Await(gate) => gate.opened().await,
            Step::Send(bytes) if is_chunked => {
                send(stream, format!("{:x}\r\n", bytes.len()).as_bytes(), shared).await?;
                send(stream, bytes, shared).await?;
                send(stream, b"\r\n", shared).await?;
            }
            Step::Send(bytes) => send(stream, bytes, shared).await?,
        }
    }
    if is_chunked && matches!(reply.end, End::Keep) {
        send(stream, b"0\r\n\r\n", shared).await?;
    }
    Ok(())
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8], shared: &Shared) -> std::io::Result<()> {
    for piece in bytes.chunks(64 * 1024) {
        stream.write_all(piece).await?;
        shared.sent_bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    stream.flush().await
}

async fn next_request<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    connection: usize,
    nth: usize,
) -> std::io::Result<Option<Seen>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    let mut lines = head.split("\r\n").map(str::to_owned);
    let first = lines.next().unwrap_or_default();
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let seen = Seen { connection, nth, method, target, lines: lines.collect() };
    // A body that is announced is read, so that it is not taken for the next request.
    let length = seen.header("Content-Length").and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    buffer.drain(..length);
    Ok(Some(seen))
}
