//! Requests to an upstream's own origin over plain HTTP/1.1, as a file server answers them; all others are hyper's.
//!
//! A request is one write, a usual head ([`super::head`]) comes with one read, and its body is read by whoever wants it, from the socket
//! itself: there is no second task, no channel between two, and the socket can be spliced ([`crate::passage`]). `benches/side_by_side`, R: 0.70
//! of nginx's time instead of 0.93 over hyper's client and its pool.
//!
//! A head that is not usual goes to hyper from its first byte on, over the same connection, which then ends with the response
//! ([`Replay`]); and because such an upstream will send more of the kind, the next [`DETOURS`] requests are hyper's from the start, over its
//! own pool.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connect::{ConnectError, Connector};
use super::head::{Head, Parsed};
use super::idle::{Link, Pool};
use super::origin::Origin;
use super::request;
use crate::passage::Pipes;
use crate::upstream::Method;
use crate::upstream::plain_body::PlainBody;

/// Asks one origin.
pub(super) struct Plain {
    connector: Connector,
    host: String,
    port: u16,
    /// What `Host` says.
    authority: String,
    pool: Pool,
    pipes: Pipes,
    /// Requests that go to hyper, because the upstream's responses are not usual.
    detours: AtomicU32,
}

/// What is asked.
pub(super) struct Asking<'a> {
    pub(super) method: Method,
    /// Path and query, in pieces.
    pub(super) target: [&'a str; 3],
    pub(super) headers: &'a HeaderMap,
    /// A header besides.
    pub(super) credential: Option<(&'a HeaderName, &'a HeaderValue)>,
    /// When the head of the response has to be there.
    pub(super) deadline: Instant,
}

/// A response of which the head is there.
pub(super) enum Answered {
    /// A usual one. Its body is in a box, because it passes through many hands.
    Usual(Head, Box<PlainBody>),
    /// One that hyper reads.
    Hypers(Response<Incoming>),
}

/// Why there is none.
pub(super) enum Unanswered {
    Connect(ConnectError),
    /// It did not come in time.
    Late,
    /// The connection ended before a head had come.
    Closed(io::Error),
    /// What came is no head.
    Hypers(hyper::Error),
}

impl Plain {
    /// At most `idle_max` unused connections are kept, each for `idle`.
    pub(super) fn new(connector: Connector, origin: &Origin, idle_max: usize, idle: Duration) -> Self {
        Self {
            connector,
            host: origin.bare_host(),
            port: origin.port,
            authority: origin.authority(),
            pool: Pool::new(idle_max, idle),
            pipes: Pipes::default(),
            detours: AtomicU32::new(0),
        }
    }

    /// Whether this request is for hyper's client.
    pub(super) fn takes_detour(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        self.detours.load(Ordering::Relaxed) > 0
            && self.detours.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// One request and the head of its response. It is sent again, once, if the connection was used before and ends without a response.
    pub(super) async fn send(&self, asking: &Asking<'_>) -> Result<Answered, Unanswered> {
        // One that fails was closed by the peer while nobody used it.
        if let Some(mut link) = self.pool.take()
            && let Ok(Some(parsed)) = self.exchange(&mut link, asking).await?
        {
            return self.answered(link, parsed, asking).await;
        }
        let connecting = Box::pin(timeout_at(asking.deadline, self.connector.tcp(&self.host, self.port)));
        let tcp = connecting.await.map_err(|_| Unanswered::Late)?.map_err(Unanswered::Connect)?;
        let mut link = Link::new(tcp);
        match self.exchange(&mut link, asking).await? {
            Ok(Some(parsed)) => self.answered(link, parsed, asking).await,
            Ok(None) => Err(Unanswered::Closed(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(Unanswered::Closed(error)),
        }
    }

    /// Writes the request and reads until the head is there or is not usual; `None` if the connection ends before.
    async fn exchange(
        &self,
        link: &mut Link,
        asking: &Asking<'_>,
    ) -> Result<io::Result<Option<Parsed>>, Unanswered> {
        let Link { tcp, buffer, alarm } = link;
        let exchange = async {
            // The request is put together where the response is going to be.
            buffer.clear();
            buffer.reserve(READ_BYTES);
            asking.write_to(buffer, &self.authority);
            tcp.write_all(buffer).await?;
            buffer.clear();
            loop {
                if tcp.read_buf(buffer).await? == 0 {
                    return Ok(None);
                }
                match Head::parse(buffer, asking.method) {
                    Parsed::Partial if buffer.len() < READ_BYTES => {}
                    Parsed::Partial | Parsed::Unusual => return Ok(Some(Parsed::Unusual)),
                    whole @ Parsed::Whole(_) => return Ok(Some(whole)),
                }
            }
        };
        alarm.before(asking.deadline, exchange).await.ok_or(Unanswered::Late)
    }

    async fn answered(
        &self,
        mut link: Link,
        parsed: Parsed,
        asking: &Asking<'_>,
    ) -> Result<Answered, Unanswered> {
        let Parsed::Whole(head) = parsed else {
            self.detours.store(DETOURS, Ordering::Relaxed);
            let replay =
                Replay { received: link.buffer.freeze(), tcp: link.tcp, is_asked: false, waiting: None };
            let response = Box::pin(timeout_at(asking.deadline, replay.response(asking.method))).await;
            let response = response.map_err(|_| Unanswered::Late)?;
            return response.map(Answered::Hypers).map_err(Unanswered::Hypers);
        };
        link.buffer.advance(head.bytes);
        let pool = head.persists.then(|| self.pool.clone());
        let body = PlainBody::new(link, head.body_bytes, pool, self.pipes.clone());
        Ok(Answered::Usual(head, Box::new(body)))
    }
}

impl Asking<'_> {
    /// Adds the request as it is written, all of it.
    fn write_to(&self, request: &mut BytesMut, authority: &str) {
        let method: &[u8] = match self.method {
            Method::Get => b"GET ",
            Method::Head => b"HEAD ",
        };
        let [base, slash, path] = self.target.map(str::as_bytes);
        for piece in [method, base, slash, path, b" HTTP/1.1\r\nhost: ", authority.as_bytes(), b"\r\n"] {
            request.extend_from_slice(piece);
        }
        request.extend_from_slice(request::ALWAYS_WRITTEN.as_bytes());
        for (name, value) in self.headers.iter().chain(self.credential) {
            for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                request.extend_from_slice(piece);
            }
        }
        request.extend_from_slice(b"\r\n");
    }
}

/// A connection on which the request is written and the response has begun, for hyper to read: what it writes is not sent again.
struct Replay {
    received: Bytes,
    tcp: TcpStream,
    /// hyper has written its request; what it reads before, it takes for nonsense.
    is_asked: bool,
    waiting: Option<Waker>,
}

impl Replay {
    /// hyper is told no more of the request than what the response's framing depends on.
    async fn response(self, method: Method) -> hyper::Result<Response<Incoming>> {
        let mut request = http::Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method.into();
        let (mut sender, connection) = http1::handshake(TokioIo::new(self)).await?;
        // It ends with the response, or when nobody reads that any more.
        tokio::spawn(connection);
        sender.send_request(request).await
    }
}

impl AsyncRead for Replay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_asked {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.received.is_empty() {
            return pin!(&mut self.tcp).poll_read(cx, buf);
        }
        let bytes = self.received.len().min(buf.remaining());
        buf.put_slice(&self.received.split_to(bytes));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.is_asked = true;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Requests that an upstream with unusual responses gets from hyper before this is tried again.
const DETOURS: u32 = 256;

/// What is read at once: a head, and a body of 30 KiB with it. A head must fit.
const READ_BYTES: usize = 32 * 1024;
