//! The TCP socket below TLS, telling [`Activity`] what the client takes.
//!
//! The kernel refusing bytes is the one sign, for HTTP/1 and HTTP/2, plain and TLS alike, that the client and not we
//! is being waited for; it also covers what hyper has buffered after a body ended. Must never interpret a byte.
//! Read `wire` next, which is above TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Activity;
use super::pace::Floor;

/// A socket whose progress is recorded.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    activity: Arc<Activity>,
    lingering: bool,
}

impl Socket {
    /// Takes over an accepted connection. Options that the kernel refuses are left at its defaults: each only makes
    /// something better.
    pub(super) fn new(tcp: TcpStream, activity: Arc<Activity>) -> Self {
        let _ = tcp.set_nodelay(true);
        let unsent_max = unsent_max(activity.floor());
        let _ = socket2::SockRef::from(&tcp).set_tcp_notsent_lowat(unsent_max);
        Self { tcp, activity, lingering: false }
    }

    fn record(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.activity.wrote(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.blocked(),
        }
    }
}

/// How much the kernel may hold for a socket beyond what is on its way (`TCP_NOTSENT_LOWAT`).
///
/// Without it the kernel takes up to 4 MiB and says nothing until a third of that is gone, so that a client at 20 KiB/s
/// looks like one that takes nothing for a minute; and every client that stalls pins those megabytes. A socket becomes
/// writable at half of this figure: twice what the floor asks for in a window makes a client at the floor visible. At
/// least 64 KiB, where 1 GiB over loopback costs what it costs without it (0.24-0.39 CPU seconds either way).
fn unsent_max(floor: &Floor) -> u32 {
    let wanted = floor.bytes_in(floor.window).saturating_mul(2);
    u32::try_from(wanted).unwrap_or(u32::MAX).clamp(64 << 10, 256 << 10)
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.record(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.record(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.lingering {
            ready!(Pin::new(&mut self.tcp).poll_shutdown(cx))?;
            if !self.activity.lingers(Instant::now()) {
                return Poll::Ready(Ok(()));
            }
            self.lingering = true;
        }
        let mut scratch = [0; 4096];
        loop {
            let mut discarded = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut discarded))?;
            if discarded.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.activity.resets() {
            let _ = self.tcp.set_zero_linger();
        }
    }
}
