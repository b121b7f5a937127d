//! Listeners: TCP, TLS, HTTP/1.1 and HTTP/2, limits, and the drain at the end. Serves both planes.
//!
//! A listener gives each complete request to a [`Respond`] and sends what it answers. It bounds everything a client can
//! do around that: time for the handshake and for a head, bytes of a head and of a body, connections, requests in
//! flight, streams, resets, and how slowly a response may be taken. It must never know what a request is for: no
//! channels, tokens, or reasons for a status. hyper refuses a malformed HTTP/1 head with 400, and one that is too long
//! with 431 or 414, before there is a request; [`Respond::malformed`] says what is sent then. Over HTTP/2 the h2 crate
//! resets such a stream, or answers a bare 431, and leaves no hook.
//!
//! | file | owns |
//! | --- | --- |
//! | `accept` | the accept loop, refusals, the drain |
//! | `slots` | places for connections, in all and by address |
//! | `connection` | one connection from handshake to end |
//! | `express` | usual requests over HTTP/1.1, answered without hyper |
//! | `reply` | responses as it has them |
//! | `activity` | what a connection does since when, and its deadlines (pure but for a lock) |
//! | `pace` | the arithmetic of the minimum drain rate (pure) |
//! | `socket`, `wire` | the byte stream below and above TLS; what passes in the kernel ([`crate::passage`]) |
//! | `request_line` | request lines that `http::Uri` would refuse (pure) |
//! | `malformed` | the answer to a head that hyper refuses |
//! | `incoming`, `outgoing` | the bodies of requests and responses |
//! | `streams` | HTTP/2 streams and those that stall |
//! | `tls` | certificates and their reload |
//!
//! Read `connection` next.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use tokio::net::{TcpListener, TcpSocket};

use crate::passage::{FastPaths, Lane};

mod accept;
mod activity;
mod connection;
mod express;
mod incoming;
mod malformed;
mod meters;
mod outgoing;
mod pace;
mod reply;
mod request_line;
mod shutdown;
mod slots;
mod socket;
mod streams;
mod tls;
mod wire;

pub use accept::serve;
pub use express::Express;
pub use incoming::{RequestBody, RequestBodyError};
pub use meters::Meters;
pub use reply::Reply;
pub use shutdown::Shutdown;
pub use tls::{Tls, TlsError};

use activity::Limits;

/// Any error of a response's body.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Answers requests.
pub trait Respond: Send + Sync + 'static {
    /// The body of its responses.
    ///
    /// A body that yields an error ends the HTTP/1 connection or resets the HTTP/2 stream: the client never sees a
    /// clean end of a broken body. A body is dropped as soon as its last frame is handed over or its client is gone.
    type Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// The response to `request`.
    ///
    /// The returned future is dropped when the client goes away. The body of the request may be left unread.
    fn respond(
        &self,
        request: Request<RequestBody>,
        peer: Peer,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// The fields of requests that [`Respond::express`] looks at. `None`: every request comes to [`Respond::respond`].
    fn express_fields(&self) -> Option<&'static [HeaderName]> {
        None
    }

    /// Whether a usual request for `path` may come to [`Respond::express`].
    fn takes_express(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// The response to a usual request: what [`Respond::respond`] would answer. Usual is GET or HEAD over HTTP/1.1 without a body.
    fn express(&self, asked: Express<'_>, peer: Peer) -> impl Future<Output = Reply<Self::Body>> + Send {
        let responding = self.respond(asked.into_request(), peer);
        async move { responding.await.into() }
    }

    /// The response to a request beyond [`Config::requests_in_flight_max`]. It cannot wait for anything.
    fn overloaded(&self, request: Request<RequestBody>, peer: Peer) -> Response<Self::Body>;

    /// The response to an HTTP/1 head that could not be parsed: `status` is 400, or 431 or 414 if it was too long. It
    /// ends the connection. Its body has to be ready: it is polled until it has nothing more at once.
    fn malformed(&self, status: StatusCode, peer: Peer) -> Response<Self::Body>;

    /// The bytes of this body may pass along `lane`, which belongs to the connection of the response that has it. A body that makes no use of
    /// it is as good.
    fn lend(&self, body: &mut Self::Body, lane: &Lane) {
        let _ = (body, lane);
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address the connection comes from, a proxy's if one is in front.
    pub address: SocketAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
}

/// The limits of a listener. All apply to each plane on its own.
///
/// No value switches a limit off: a duration counts as at least a millisecond and at most a year, a rate as at least one
/// byte per second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a TLS handshake may take. Default 10 s.
    pub tls_handshake_timeout: Duration,
    /// How long the head of a request may take, from the beginning of the connection (after the TLS handshake) or from
    /// the first byte of a further HTTP/1 request. Default 15 s.
    pub header_read_timeout: Duration,
    /// How long a connection without requests is kept. Default 75 s.
    pub keep_alive_timeout: Duration,
    /// The most bytes of an HTTP/1 request's head, request line included; beyond it the answer is 431. At most 100
    /// header fields are accepted, with the same answer. Default 32 KiB.
    pub header_bytes_max: usize,
    /// The most bytes of a request's body that are read, by a responder or to be discarded; beyond it the connection
    /// ends after the response. Default 64 KiB.
    pub request_body_max: u64,
    /// How long after its head a request's body may take. Default 30 s.
    pub request_body_timeout: Duration,
    /// The most open connections; further ones are closed at once. Default 10,000.
    pub connections_max: usize,
    /// The most open connections from one IPv4 address or one IPv6 /64. Default 1,024.
    pub connections_per_address_max: usize,
    /// The most requests whose response has not ended; further ones are answered by [`Respond::overloaded`]. Default
    /// 4,096.
    pub requests_in_flight_max: usize,
    /// The most concurrent streams of an HTTP/2 connection; further ones are refused. Default 256.
    pub http2_streams_max: u32,
    /// The most bytes of an HTTP/2 request's header list (RFC 9113 section 6.5.2); beyond it the answer is 431, and an
    /// endless one (CONTINUATION flood) ends the connection. Default 32 KiB.
    pub http2_header_list_bytes_max: u32,
    /// The most streams a client may have reset before we got to see them (rapid reset, CVE-2023-44487); beyond it the
    /// connection ends. Default 20.
    pub http2_pending_resets_max: usize,
    /// The most streams of a connection that we had to reset for the client's errors (CVE-2025-8671); beyond it the
    /// connection ends. Default 256.
    pub http2_error_resets_max: usize,
    /// The most requests of an HTTP/2 connection that a client may cancel before they are answered; beyond it, and if
    /// they are more than half of all, the connection ends. This is rapid reset in slow motion. Default 512.
    pub http2_cancelled_requests_max: u32,
    /// How often an HTTP/2 client is pinged. Default 20 s.
    pub http2_keep_alive_interval: Duration,
    /// How long the answer to a ping may take. Default 20 s.
    pub http2_keep_alive_timeout: Duration,
    /// The least bytes per second a client has to take of what is ready for it, TLS and framing included. Time spent
    /// waiting for the response's own source does not count. Default 1 KiB.
    pub drain_rate_min: u64,
    /// How far behind [`Config::drain_rate_min`] a client may fall before it is cut: for one that takes nothing, the
    /// time until then. Default 30 s.
    pub drain_window: Duration,
    /// How long running responses may go on after shutdown began. Default 30 s.
    pub drain_timeout: Duration,
    /// Whether usual HTTP/1.1 requests are answered without hyper, and bodies may pass to plain HTTP/1 clients inside the kernel. Default: where
    /// it is worth it.
    pub fast_paths: FastPaths,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tls_handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(15),
            keep_alive_timeout: Duration::from_secs(75),
            header_bytes_max: 32 * 1024,
            request_body_max: 64 * 1024,
            request_body_timeout: Duration::from_secs(30),
            connections_max: 10_000,
            connections_per_address_max: 1_024,
            requests_in_flight_max: 4_096,
            http2_streams_max: 256,
            http2_header_list_bytes_max: 32 * 1024,
            http2_pending_resets_max: 20,
            http2_error_resets_max: 256,
            http2_cancelled_requests_max: 512,
            http2_keep_alive_interval: Duration::from_secs(20),
            http2_keep_alive_timeout: Duration::from_secs(20),
            drain_rate_min: 1024,
            drain_window: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            fast_paths: FastPaths::Auto,
        }
    }
}

impl Config {
    /// The same with every duration and rate in the range it counts in, so that no deadline overflows or is always due.
    fn in_range(self) -> Self {
        let range = |duration: Duration| duration.clamp(DURATION_MIN, DURATION_MAX);
        Self {
            tls_handshake_timeout: range(self.tls_handshake_timeout),
            header_read_timeout: range(self.header_read_timeout),
            keep_alive_timeout: range(self.keep_alive_timeout),
            request_body_timeout: range(self.request_body_timeout),
            http2_keep_alive_interval: range(self.http2_keep_alive_interval),
            http2_keep_alive_timeout: range(self.http2_keep_alive_timeout),
            drain_rate_min: self.drain_rate_min.max(1),
            drain_window: range(self.drain_window),
            drain_timeout: range(self.drain_timeout),
            ..self
        }
    }
}

/// A listening socket. Clients can connect from now on; they are answered once it is given to [`serve`].
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system says: in use, not permitted, not an address of this machine.
    pub source: io::Error,
}

impl Bound {
    /// Listens on `address`; port 0 lets the system choose. What `limits` ask of the system holds for every connection from the first on.
    /// Must be called within a Tokio runtime.
    pub fn bind(address: SocketAddr, limits: &Config) -> Result<Self, BindError> {
        let listen = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // A restart must not wait for connections of the previous run to leave TIME_WAIT.
            socket.set_reuseaddr(true)?;
            socket::set_options(&socket, Limits::new(&limits.clone().in_range()).floor());
            socket.bind(address)?;
            let listener = socket.listen(BACKLOG)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        listen().map_err(|source| BindError { address, source })
    }

    /// The address in use, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl BindError {
    /// The kind of failure, for a caller that explains it.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// How a listener ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections that ended by themselves after shutdown began.
    pub finished: usize,
    /// Connections that were cut at the end of [`Config::drain_timeout`].
    pub cut: usize,
}

/// Connections the kernel may hold that have not been accepted yet. Linux caps it by `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

const DURATION_MIN: Duration = Duration::from_millis(1);
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
