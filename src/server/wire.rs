//! The byte stream hyper speaks over: plain or TLS, with what was read to tell the protocol put back in front.
//!
//! Must never decide anything about a message beyond its first line. Read `request_line` for what is done to that
//! line, `connection` for who calls this.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Protocol};
use super::request_line::{self, Opening, Scanner};
use super::socket::Socket;

/// A connection's transport.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// A transport, the bytes already read from it, and the activity it reports to.
#[derive(Debug)]
pub(super) struct Wire {
    transport: Transport,
    read_ahead: Bytes,
    activity: Arc<Activity>,
}

impl Wire {
    /// A wire nothing has been read from, of a connection that negotiated HTTP/2.
    pub(super) fn negotiated(transport: Transport, activity: Arc<Activity>) -> Self {
        Self { transport, read_ahead: Bytes::new(), activity }
    }

    /// Reads until the protocol is known: a complete first line, an HTTP/2 preface (plaintext only; over TLS the
    /// protocol is negotiated), or `limit` bytes of neither, which hyper will refuse. `None` if the client ended
    /// before it sent anything.
    pub(super) async fn open(
        mut transport: Transport,
        activity: Arc<Activity>,
        limit: usize,
    ) -> io::Result<Option<(Self, Protocol)>> {
        let prior_knowledge = matches!(transport, Transport::Plain(_));
        let mut received = BytesMut::with_capacity(FIRST_READ_BYTES);
        let mut scanner = Scanner::default();
        let protocol = loop {
            if transport.read_buf(&mut received).await? == 0 {
                if received.is_empty() {
                    return Ok(None);
                }
                break Protocol::Http1;
            }
            match scanner.look(&received, prior_knowledge) {
                Opening::Http2Preface => break Protocol::Http2,
                Opening::Http1 => break Protocol::Http1,
                Opening::Incomplete if received.len() >= limit => break Protocol::Http1,
                Opening::Incomplete => {}
            }
        };
        let read_ahead = match protocol {
            Protocol::Http1 => request_line::rewrite(received),
            Protocol::Http2 => received.freeze(),
        };
        Ok(Some((Self { transport, read_ahead, activity }, protocol)))
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

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_ahead.has_remaining() {
            let bytes = self.read_ahead.len().min(buf.remaining());
            buf.put_slice(&self.read_ahead.split_to(bytes));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(cx, buf))?;
        if buf.filled().len() > before && !self.activity.received(Instant::now) {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "requests cancelled in a flood",
            )));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

/// Enough for the whole head of a request as conda, mamba and rattler send it.
const FIRST_READ_BYTES: usize = 1024;
