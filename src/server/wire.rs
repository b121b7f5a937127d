//! The byte stream hyper speaks over: plain or TLS, with request lines made legal on the way in and hyper's bare
//! refusals replaced on the way out.
//!
//! Must never decide what is done to a line (`request_line`) or what is said of a malformed head (the responder).
//! Read `connection` for who calls this.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Protocol};
use super::malformed;
use super::request_line::{self, Opening, RequestLines, Step};
use super::socket::Socket;
use super::{Peer, Respond};

/// A connection's transport.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// A transport, what is held back of its bytes, and the activity it reports to.
#[derive(Debug)]
pub(super) struct Wire<R> {
    transport: Transport,
    protocol: Protocol,
    lines: RequestLines,
    /// Read, and not ready to be handed over.
    held: BytesMut,
    /// To be handed over before anything else.
    ready: Bytes,
    /// Sent in place of what hyper wrote.
    instead: Option<Instead>,
    gathered: Gathered,
    respond: Arc<R>,
    peer: Peer,
    activity: Arc<Activity>,
}

#[derive(Debug)]
struct Instead {
    left: Bytes,
    /// How many bytes hyper wrote.
    stands_for: usize,
}

impl<R: Respond> Wire<R> {
    /// A wire of a connection that speaks `protocol`; `received` was read to tell. A request line is held back until
    /// it is complete or has `line_bytes_max` bytes.
    pub(super) fn new(
        transport: Transport,
        (protocol, received): (Protocol, BytesMut),
        line_bytes_max: usize,
        (respond, peer): (Arc<R>, Peer),
        activity: Arc<Activity>,
    ) -> Self {
        let (held, ready) = match protocol {
            Protocol::Http1 => (received, Bytes::new()),
            Protocol::Http2 => (BytesMut::new(), received.freeze()),
        };
        let lines = RequestLines::new(line_bytes_max, activity.begun());
        let gathered = Gathered::default();
        Self { transport, protocol, lines, held, ready, instead: None, gathered, respond, peer, activity }
    }

    /// Does what `step` says with what is held. False: nothing can be handed over.
    fn take(&mut self, step: Step) -> bool {
        self.ready = match step {
            Step::More => return false,
            Step::Pass(bytes) if bytes >= self.held.len() => std::mem::take(&mut self.held).freeze(),
            Step::Pass(bytes) => self.held.split_to(bytes).freeze(),
            Step::Replace(bytes, line) => {
                self.held.advance(bytes.min(self.held.len()));
                line
            }
        };
        true
    }

    /// What to send in place of `written`, if that is hyper's bare answer to a malformed head.
    fn instead_of(&self, written: &[u8]) -> Option<Instead> {
        if self.protocol != Protocol::Http1 || !self.activity.settled() {
            return None;
        }
        let status = malformed::recognise(written)?;
        self.activity.left_unread();
        let left = malformed::render(written, self.respond.malformed(status, self.peer));
        Some(Instead { left, stands_for: written.len() })
    }

    /// Sends what goes out instead of something else, if there is such. `None` if there is not.
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Option<Poll<io::Result<usize>>> {
        let instead = self.instead.as_mut()?;
        while instead.left.has_remaining() {
            match Pin::new(&mut self.transport).poll_write(cx, &instead.left) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(bytes)) => instead.left.advance(bytes),
                other => return Some(other),
            }
        }
        let stands_for = instead.stands_for;
        self.instead = None;
        Some(Poll::Ready(Ok(stands_for)))
    }
}

/// Frames of HTTP/2 that were written and wait for more. hyper writes and flushes each frame of 16 KiB for itself: a call to the system, and
/// over TLS two records, for each. A flush of something new is put off until the task has run once more, which it does at once; by then hyper
/// has written whatever there was. Of 100 MiB over TLS that leaves 800 calls of 6,400.
#[derive(Debug, Default)]
struct Gathered {
    bytes: BytesMut,
    /// There is something that no flush has seen.
    is_new: bool,
}

impl Gathered {
    /// Takes `slices` in; makes room for them first, if it has to.
    fn poll_write(
        &mut self,
        transport: &mut Transport,
        slices: &[IoSlice<'_>],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.bytes.len().saturating_add(length) > GATHERED_BYTES_MAX {
            ready!(self.poll_drain(transport, cx))?;
        }
        if length > GATHERED_BYTES_MAX {
            return Pin::new(transport).poll_write_vectored(cx, slices);
        }
        slices.iter().for_each(|slice| self.bytes.extend_from_slice(slice));
        self.is_new |= length > 0;
        Poll::Ready(Ok(length))
    }

    /// Ready when everything went out, or will at the next flush, for which the task is woken.
    fn poll_flush(&mut self, transport: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.is_new) {
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(transport, cx))?;
        // A connection that waits holds nothing.
        self.bytes = BytesMut::new();
        Pin::new(transport).poll_flush(cx)
    }

    fn poll_drain(&mut self, transport: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.bytes.has_remaining() {
            match ready!(Pin::new(&mut *transport).poll_write(cx, &self.bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.bytes.advance(bytes),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads until the protocol of a connection is known: an HTTP/2 preface (plaintext only; over TLS the protocol is
/// negotiated), or anything else. `None` if the client ended before it sent anything.
pub(super) async fn tell_protocol(transport: &mut Transport) -> io::Result<Option<(Protocol, BytesMut)>> {
    let prior_knowledge = matches!(transport, Transport::Plain(_));
    let mut received = BytesMut::with_capacity(FIRST_READ_BYTES);
    loop {
        if transport.read_buf(&mut received).await? == 0 {
            return Ok((!received.is_empty()).then_some((Protocol::Http1, received)));
        }
        match request_line::opening(&received, prior_knowledge) {
            Opening::Http2Preface => return Ok(Some((Protocol::Http2, received))),
            Opening::Http1 => return Ok(Some((Protocol::Http1, received))),
            Opening::Incomplete => {}
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl<R: Respond> AsyncRead for Wire<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.ready.has_remaining() {
                let bytes = this.ready.len().min(buf.remaining());
                buf.put_slice(&this.ready.split_to(bytes));
                return Poll::Ready(Ok(()));
            }
            if !this.held.is_empty() {
                let step = this.lines.step(&this.held, this.activity.begun());
                if this.take(step) {
                    continue;
                }
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.transport).poll_read(cx, buf))?;
            let received = buf.filled().get(before..).unwrap_or_default();
            if received.is_empty() {
                if this.held.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                // It ended within a line: hyper is to see what there is of it.
                this.lines.lose();
                continue;
            }
            if !this.activity.received(Instant::now) {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "requests cancelled in a flood",
                )));
            }
            if this.protocol == Protocol::Http2 {
                return Poll::Ready(Ok(()));
            }
            if !this.held.is_empty() {
                this.held.extend_from_slice(received);
                buf.set_filled(before);
                continue;
            }
            // Nearly always a whole head, or bytes that are not looked at: they stay where they are.
            let step = this.lines.step(received, this.activity.begun());
            if step == Step::Pass(received.len()) {
                return Poll::Ready(Ok(()));
            }
            this.held.extend_from_slice(received);
            buf.set_filled(before);
            this.take(step);
        }
    }
}

impl<R: Respond> AsyncWrite for Wire<R> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.protocol == Protocol::Http2 {
            return self.poll_write_vectored(cx, &[IoSlice::new(buf)]);
        }
        if self.instead.is_none() {
            self.instead = self.instead_of(buf);
        }
        match self.poll_instead(cx) {
            Some(written) => written,
            None => Pin::new(&mut self.transport).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.protocol == Protocol::Http2 {
            let Self { gathered, transport, .. } = &mut *self;
            return gathered.poll_write(transport, bufs, cx);
        }
        if let ([only], None) = (bufs, &self.instead) {
            self.instead = self.instead_of(only);
        }
        match self.poll_instead(cx) {
            Some(written) => written,
            None => Pin::new(&mut self.transport).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has nothing left to write.
        self.activity.handed_over();
        let Self { gathered, transport, .. } = &mut *self;
        gathered.poll_flush(transport, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { gathered, transport, .. } = &mut *self;
        ready!(gathered.poll_drain(transport, cx))?;
        Pin::new(transport).poll_shutdown(cx)
    }
}

/// Enough for the whole head of a request as conda, mamba and rattler send it.
const FIRST_READ_BYTES: usize = 1024;

/// Eight frames with their heads: as many as one call sends at little more than one.
const GATHERED_BYTES_MAX: usize = 8 * (16 * 1024 + 9);
