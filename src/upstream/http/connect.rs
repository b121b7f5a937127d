//! Connections to upstreams: names to addresses, the rule which addresses are acceptable, TCP, TLS.
//!
//! The rule is applied to the very addresses that are connected to, after resolution, so that a name cannot pass the check with one
//! address and be connected to by another. There are two [`Reach`]es, and each belongs to a pool of its own ([`super::Http`]): a
//! connection made under the relaxed rule cannot be taken for a request under the strict one.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::is_public;
use super::origin::Origin;
use super::reach::AllowedHosts;

/// How long one address is given before the next is tried beside it (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 16;

/// Which addresses may be connected to.
pub(super) enum Reach {
    /// All: for the upstream's own origin, which the person who configured it chose.
    Own,
    /// Public ones, listed ones, and those that the upstream's own host has: for where redirects lead.
    Elsewhere { allowed: AllowedHosts, own: Origin },
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the URL has no usable host")]
    Host,
    #[error("the host's name does not resolve")]
    Resolve(#[source] io::Error),
    #[error("the host's name has no address")]
    NoAddress,
    #[error("the address {0} is not public and not in allowed_hosts")]
    Forbidden(IpAddr),
    #[error("{0} cannot be connected to")]
    Connect(SocketAddr, #[source] io::Error),
    #[error("not connected within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    #[error("TLS failed")]
    Handshake(#[source] io::Error),
    #[error("no TLS within {} s", .0.as_secs_f32())]
    HandshakeTimeout(Duration),
}

/// Makes connections under one [`Reach`].
#[derive(Clone)]
pub(super) struct Connector(Arc<Inner>);

struct Inner {
    reach: Reach,
    /// `None` only where no https URL can be led to.
    tls: Option<TlsConnector>,
    connect: Duration,
    tls_handshake: Duration,
}

/// A connection, encrypted or not.
pub(super) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

/// Whether a pooled connection has ever brought a response. Travels with it; clones share it.
#[derive(Clone, Default)]
pub(super) struct Proven(Arc<AtomicBool>);

impl Proven {
    pub(super) fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_marked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Connector {
    pub(super) fn new(
        reach: Reach,
        tls: Option<TlsConnector>,
        connect: Duration,
        tls_handshake: Duration,
    ) -> Self {
        Self(Arc::new(Inner { reach, tls, connect, tls_handshake }))
    }
}

impl Connector {
    /// A connection to one of the acceptable addresses of `host`, without TLS.
    pub(super) async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let Self(inner) = self;
        timeout(inner.connect, inner.reach(host, port))
            .await
            .map_err(|_| ConnectError::Timeout(inner.connect))?
    }
}

impl Inner {
    async fn connect(&self, uri: &Uri) -> Result<Stream, ConnectError> {
        let is_https = uri.scheme_str() == Some("https");
        let host = uri.host().ok_or(ConnectError::Host)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let tcp = timeout(self.connect, self.reach(host, port))
            .await
            .map_err(|_| ConnectError::Timeout(self.connect))??;
        if !is_https {
            return Ok(Stream::Plain(TokioIo::new(tcp)));
        }
        let tls = self.tls.as_ref().ok_or(ConnectError::Host)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Host)?;
        let tls = timeout(self.tls_handshake, tls.connect(name, tcp))
            .await
            .map_err(|_| ConnectError::HandshakeTimeout(self.tls_handshake))?
            .map_err(ConnectError::Handshake)?;
        Ok(Stream::Tls(Box::new(TokioIo::new(tls))))
    }

    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let found: Vec<SocketAddr> =
            lookup_host((host, port)).await.map_err(ConnectError::Resolve)?.collect();
        let addresses = self.reach.filter(found).await?;
        race(interleave(addresses)).await
    }
}

impl Reach {
    /// The acceptable ones among `found`; an error if there are none.
    async fn filter(&self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ConnectError> {
        let first = *found.first().ok_or(ConnectError::NoAddress)?;
        let Self::Elsewhere { allowed, own } = self else { return Ok(found) };
        let (mut admitted, rest): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| is_public(address.ip()) || allowed.admit(*address));
        if !rest.is_empty() {
            // The upstream's own host was chosen by the person who configured it; its addresses are no surprise.
            let own = own_addresses(own).await;
            admitted.extend(rest.into_iter().filter(|address| own.contains(&address.ip().to_canonical())));
        }
        if admitted.is_empty() { Err(ConnectError::Forbidden(first.ip())) } else { Ok(admitted) }
    }
}

async fn own_addresses(own: &Origin) -> Vec<IpAddr> {
    let host = match &own.host {
        url::Host::Domain(name) => name,
        url::Host::Ipv4(ip) => return vec![IpAddr::V4(*ip)],
        url::Host::Ipv6(ip) => return vec![IpAddr::V6(*ip).to_canonical()],
    };
    let found = lookup_host((host.as_str(), own.port)).await;
    found.into_iter().flatten().map(|address| address.ip().to_canonical()).collect()
}

/// Alternates between the families, beginning with that of the first address, which the resolver prefers (RFC 8305 section 4).
fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let prefers_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == prefers_v6);
    let mut other = other.into_iter();
    let mut order = VecDeque::new();
    for address in preferred {
        order.push_back(address);
        order.extend(other.next());
    }
    order.extend(other);
    order.truncate(ADDRESSES_MAX);
    order
}

/// Connects to the first address that accepts. The next attempt begins when the last failed, or after [`HEAD_START`].
async fn race(mut addresses: VecDeque<SocketAddr>) -> Result<TcpStream, ConnectError> {
    let mut attempts = JoinSet::new();
    let mut last = ConnectError::NoAddress;
    loop {
        if let Some(address) = addresses.pop_front() {
            attempts.spawn(async move {
                TcpStream::connect(address).await.map_err(|error| ConnectError::Connect(address, error))
            });
        }
        tokio::select! {
            attempt = attempts.join_next() => match attempt {
                Some(Ok(Ok(stream))) => {
                    // Failing costs latency at most.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Some(Ok(Err(error))) => last = error,
                Some(Err(_)) => {}
                None => return Err(last),
            },
            () = sleep(HEAD_START), if !addresses.is_empty() => {}
        }
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.connect(&uri).await })
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(Proven::default());
        match self {
            Self::Tls(stream) if stream.inner().get_ref().1.alpn_protocol() == Some(b"h2") => {
                connected.negotiated_h2()
            }
            Self::Tls(_) | Self::Plain(_) => connected,
        }
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl Write for Stream {
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

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }
}
