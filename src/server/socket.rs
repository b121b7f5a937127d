//! The TCP socket below TLS, telling [`Activity`] what the client takes.
//!
//! The kernel refusing bytes is the one sign, for HTTP/1 and HTTP/2, plain and TLS alike, that the client and not we
//! is being waited for; it also covers what hyper has buffered after a body ended. Must never interpret a byte; but slices that stand for
//! something else ([`crate::passage`]) are replaced by it here, where nothing comes between them and the kernel any more.
//! Read `wire` next, which is above TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use super::activity::Activity;
use super::pace::Floor;
use crate::passage::{Lane, is_blank};

/// A socket whose progress is recorded.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    activity: Arc<Activity>,
    /// Our side is shut, and what the client still sends is discarded.
    lingering: bool,
    /// Where what blanks stand for is taken from.
    lane: Option<Lane>,
}

impl Socket {
    /// Takes over a connection that was accepted at a listener with [`set_options`].
    pub(super) fn new(tcp: TcpStream, activity: Arc<Activity>) -> Self {
        Self { tcp, activity, lingering: false, lane: None }
    }

    /// From now on slices may stand for what is loaded onto `lane`.
    pub(super) fn open(&mut self, lane: Lane) {
        self.lane = Some(lane);
    }

    /// Sends what stands before the first blank among `bufs`, or what the blank stands for. `None` if there is no blank.
    fn poll_lane(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Option<Poll<io::Result<usize>>> {
        let lane = self.lane.as_ref()?;
        let at = bufs.iter().position(|slice| is_blank(slice))?;
        let before = bufs.get(..at).unwrap_or_default();
        let blank_bytes = bufs.get(at).map_or(0, |blank| blank.len());
        let send = || {
            if before.iter().all(|slice| slice.is_empty()) {
                return lane.send(&self.tcp, blank_bytes);
            }
            // What follows is on its way.
            let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
            Ok(sendmsg(&self.tcp, before, &mut SendAncillaryBuffer::default(), flags)?)
        };
        loop {
            match self.tcp.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
            match self.tcp.try_io(Interest::WRITABLE, send) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                sent => return Some(Poll::Ready(sent)),
            }
        }
    }

    fn record(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.activity.wrote(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.blocked(),
        }
    }
}

/// Sets the options of all connections that are accepted at `listener`, which inherit them: two calls less for each. Those that the
/// kernel refuses are left at its defaults: each only makes something better.
pub(super) fn set_options(listener: &TcpSocket, floor: &Floor) {
    let listener = socket2::SockRef::from(listener);
    let _ = listener.set_tcp_nodelay(true);
    let _ = listener.set_tcp_notsent_lowat(unsent_max(floor));
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
        let written = match self.poll_lane(cx, &[IoSlice::new(buf)]) {
            Some(written) => written,
            None => Pin::new(&mut self.tcp).poll_write(cx, buf),
        };
        self.record(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match self.poll_lane(cx, bufs) {
            Some(written) => written,
            None => Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs),
        };
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
            if !self.activity.lingers(Instant::now()) {
                // It is dropped next, and closing it says the same with one call less.
                return Poll::Ready(Ok(()));
            }
            ready!(Pin::new(&mut self.tcp).poll_shutdown(cx))?;
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
