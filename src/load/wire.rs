//! Connections to one target, one request on one of them, and its answer read to the end.
//!
//! The addresses are looked up once, before the run. A connection carries one request at a time, or with HTTP/2 as many as its client has
//! connections otherwise.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HOST, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tally::Fault;
use super::target::{Prepared, Target};
use crate::cache::{Hashing, Sha256};

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, as conda and mamba do.
    Http1,
    /// HTTP/2: by ALPN, or without TLS by prior knowledge.
    Http2,
}

/// Makes connections to a target.
#[derive(Clone)]
pub struct Dialer {
    addresses: Vec<SocketAddr>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    protocol: Protocol,
    timeout: Duration,
}

/// A connection. Ends when it is dropped.
pub(super) struct Wire {
    sender: Sender,
    /// Whose, if it is not another's share of one.
    driver: Option<AbortHandle>,
    /// Whether it has brought an answer: only such a one may have been closed as idle.
    pub(super) is_proven: bool,
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// When its head had come.
    pub(super) head_at: Instant,
    /// Bytes of its body.
    pub(super) bytes: u64,
    /// The `code` of a problem document.
    pub(super) code: Option<String>,
    /// The body's digest, if it was to be taken.
    pub(super) digest: Option<Sha256>,
    /// It is not whole.
    pub(super) is_short: bool,
}

impl Dialer {
    /// To these addresses of the target's host, each tried once, in order.
    ///
    /// # Errors
    ///
    /// A host's name that no certificate can be for.
    pub fn new(
        target: &Target,
        addresses: Vec<SocketAddr>,
        tls: Option<&ClientConfig>,
        protocol: Protocol,
        timeout: Duration,
    ) -> Result<Self, rustls_pki_types::InvalidDnsNameError> {
        let tls = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(target.host().to_owned())?;
                let mut config = config.clone();
                config.alpn_protocols = match protocol {
                    Protocol::Http1 => vec![b"http/1.1".to_vec()],
                    Protocol::Http2 => vec![b"h2".to_vec()],
                };
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        Ok(Self { addresses, tls, protocol, timeout })
    }

    /// What is spoken.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// A new connection, within the timeout.
    pub(super) async fn dial(&self) -> Result<Wire, (Fault, io::Error)> {
        let dial = async {
            let tcp = self.connect().await.map_err(|error| (Fault::Connect, error))?;
            let Some((tls, name)) = &self.tls else { return self.shake_hands(tcp).await };
            let stream = tls.connect(name.clone(), tcp).await.map_err(|error| (Fault::Tls, error))?;
            if self.protocol == Protocol::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Err((Fault::Tls, io::Error::other("the target does not offer HTTP/2")));
            }
            self.shake_hands(stream).await
        };
        let late = |_| (Fault::Connect, io::Error::from(io::ErrorKind::TimedOut));
        timeout(self.timeout, dial).await.map_err(late)?
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in &self.addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Failing costs latency at most.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn shake_hands<S>(&self, stream: S) -> Result<Wire, (Fault, io::Error)>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let failed = |error: hyper::Error| (Fault::Protocol, io::Error::other(error));
        let stream = TokioIo::new(stream);
        let (sender, driver) = match self.protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await.map_err(failed)?;
                (Sender::Http1(sender), tokio::spawn(connection).abort_handle())
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .adaptive_window(true)
                    .handshake(stream)
                    .await
                    .map_err(failed)?;
                (Sender::Http2(sender), tokio::spawn(connection).abort_handle())
            }
        };
        Ok(Wire { sender, driver: Some(driver), is_proven: false })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

impl Wire {
    /// Whether it can carry a request, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => !sender.is_closed(),
            Sender::Http2(sender) => !sender.is_closed(),
        }
    }

    /// The same connection for another request at the same time, where it carries several. It ends with the one it is a share of.
    pub(super) fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => {
                Some(Self { sender: Sender::Http2(sender.clone()), driver: None, is_proven: self.is_proven })
            }
        }
    }

    /// Sends a request and reads its answer to the end.
    pub(super) async fn ask(
        &mut self,
        prepared: &Prepared,
        etag: Option<&HeaderValue>,
        takes_digest: bool,
    ) -> Result<Answer, Fault> {
        let response = self.send(Method::GET, prepared, etag).await?;
        let head_at = Instant::now();
        self.is_proven = true;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut digest = takes_digest.then(Hashing::new);
        let mut kept = (status >= 400).then(Vec::new);
        let (mut bytes, mut is_short) = (0, false);
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                is_short = true;
                break;
            };
            let Some(data) = frame.data_ref() else { continue };
            bytes += data.len() as u64;
            if let Some(digest) = &mut digest {
                digest.update(data);
            }
            if let Some(kept) = kept.as_mut().filter(|kept| kept.len() < PROBLEM_BYTES_MAX) {
                kept.extend_from_slice(data);
            }
        }
        let code = kept.and_then(|kept| problem_code(&kept));
        Ok(Answer { status, head_at, bytes, code, digest: digest.map(Hashing::finish), is_short })
    }

    /// Sends a request and keeps its answer's body, up to a limit. Neither its head nor any piece of it may take longer than `patience`.
    pub(super) async fn fetch(
        &mut self,
        prepared: &Prepared,
        bytes_max: u64,
        patience: Duration,
    ) -> Result<Fetched, Fault> {
        let late = |_| Fault::Timeout;
        let response = timeout(patience, self.send(Method::GET, prepared, None)).await.map_err(late)??;
        self.is_proven = true;
        let status = response.status().as_u16();
        let (headers, mut body) = (response.headers().clone(), response.into_body());
        let mut bytes = Vec::new();
        while let Some(frame) = timeout(patience, body.frame()).await.map_err(late)? {
            let frame = frame.map_err(|_| Fault::ShortBody)?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| &**data));
            if bytes.len() as u64 > bytes_max {
                return Ok(Fetched { status, headers, bytes, is_too_long: true });
            }
        }
        Ok(Fetched { status, headers, bytes, is_too_long: false })
    }

    async fn send(
        &mut self,
        method: Method,
        prepared: &Prepared,
        etag: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, Fault> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        *request.headers_mut() = prepared.headers.clone();
        if let Some(etag) = etag {
            request.headers_mut().insert(IF_NONE_MATCH, etag.clone());
        }
        let sent = match &mut self.sender {
            Sender::Http1(sender) => {
                let path = prepared.uri.path_and_query().cloned();
                *request.uri_mut() = path.map_or_else(|| prepared.uri.clone(), Uri::from);
                sender.ready().await.map_err(|_| Fault::Closed)?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                *request.uri_mut() = prepared.uri.clone();
                request.headers_mut().remove(HOST);
                sender.ready().await.map_err(|_| Fault::Closed)?;
                sender.send_request(request).await
            }
        };
        sent.map_err(|error| if error.is_parse() { Fault::Protocol } else { Fault::Closed })
    }
}

/// An answer with its body.
pub(super) struct Fetched {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
    pub(super) is_too_long: bool,
}

impl Fetched {
    /// What its problem document says: code and detail.
    pub(super) fn problem(&self) -> (Option<String>, Option<String>) {
        let problem: Option<Problem> = serde_json::from_slice(&self.bytes).ok();
        (problem_code(&self.bytes), problem.and_then(|problem| problem.detail.or(problem.message)))
    }
}

/// As much of a problem document (RFC 9457) as is told.
#[derive(Deserialize)]
struct Problem {
    code: Option<String>,
    detail: Option<String>,
    message: Option<String>,
}

/// The code, if it is a word as the gate's are: what a target sends is shown, and must be nothing else.
fn problem_code(body: &[u8]) -> Option<String> {
    let problem: Problem = serde_json::from_slice(body).ok()?;
    let is_word = |code: &String| {
        (1..=40).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    problem.code.filter(is_word)
}

/// What is read of the body of a refusal.
const PROBLEM_BYTES_MAX: usize = 16 << 10;
