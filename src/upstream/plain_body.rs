//! The body of a usual HTTP/1.1 response, read from the socket by whoever wants it, or spliced from it.

use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, Interest};

use super::http::{Link, Pool};
use crate::passage::{Conduit, Lane, Pipes};

/// A body of known length on a connection. Where it is read to its end, the connection serves on.
pub(super) struct PlainBody {
    /// `None` once the body is over or has failed.
    connection: Option<Connection>,
    /// Bytes still to be read, those in the connection's buffer included.
    left: u64,
    pipes: Pipes,
    /// The client's connection, if bytes may pass to it in the kernel.
    lane: Option<Lane>,
    conduit: Option<Arc<Conduit>>,
}

struct Connection {
    link: Link,
    /// Where the connection goes, if it serves on.
    pool: Option<Pool>,
}

/// Who is waited for where a poll is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// The upstream is waited for.
    ForUpstream,
    /// The client is: it has not taken what came before.
    ForClient,
}

impl PlainBody {
    /// The body of `left` bytes, the first of which may be in the buffer.
    pub(super) fn new(link: Link, left: u64, pool: Option<Pool>, pipes: Pipes) -> Self {
        let connection = Some(Connection { link, pool });
        Self { connection, left, pipes, lane: None, conduit: None }.settled()
    }

    /// How many bytes are to come.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Bytes may pass along `lane`.
    pub(super) fn lend(&mut self, lane: &Lane) {
        self.lane = Some(lane.clone());
    }

    /// The next bytes, or a blank that stands for them; `None` at the end.
    pub(super) fn poll_piece(
        &mut self,
        waits: &mut Waits,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        *waits = Waits::ForUpstream;
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        let piece = if !connection.link.buffer.is_empty() {
            Ok(connection.buffered(self.left))
        } else if let Some((lane, conduit)) =
            Self::passage(&mut self.lane, &mut self.conduit, &self.pipes, self.left)
        {
            if conduit.poll_empty(context).is_pending() {
                *waits = Waits::ForClient;
                return Poll::Pending;
            }
            ready!(connection.poll_spliced(self.left, lane, conduit, context))
        } else {
            ready!(connection.poll_read(self.left, context))
        };
        match &piece {
            Ok(bytes) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                self.settle();
            }
            Err(_) => self.connection = None,
        }
        Poll::Ready(Some(piece))
    }

    /// The lane and the pipe before it, if the rest is worth it and there is a pipe.
    fn passage<'a>(
        lane: &'a mut Option<Lane>,
        conduit: &'a mut Option<Arc<Conduit>>,
        pipes: &Pipes,
        left: u64,
    ) -> Option<(&'a Lane, &'a Arc<Conduit>)> {
        if conduit.is_none() {
            if !lane.as_ref()?.suits(left, SPLICE_BYTES_MIN) {
                return None;
            }
            match pipes.conduit() {
                Some(one) => *conduit = Some(one),
                // It will not be tried for each piece.
                None => *lane = None,
            }
        }
        Some((lane.as_ref()?, conduit.as_ref()?))
    }

    fn settled(mut self) -> Self {
        self.settle();
        self
    }

    /// Lets the connection go where nothing more is to come on it.
    fn settle(&mut self) {
        if self.left > 0 {
            return;
        }
        if let Some(Connection { mut link, pool: Some(pool) }) = self.connection.take()
            // More than was announced would be taken for the next response.
            && link.buffer.is_empty()
        {
            if link.buffer.capacity() > BUFFER_BYTES_KEPT {
                link.buffer = BytesMut::new();
            }
            pool.give_back(link);
        }
    }
}

impl Drop for PlainBody {
    fn drop(&mut self) {
        // A short body that nobody wanted, such as that of a 404, has come with its head.
        if let Some(connection) = &mut self.connection
            && connection.link.buffer.len() as u64 == self.left
        {
            connection.link.buffer.clear();
            self.left = 0;
            self.settle();
        }
    }
}

impl Connection {
    fn buffered(&mut self, left: u64) -> Bytes {
        let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(self.link.buffer.len());
        self.link.buffer.split_to(bytes).freeze()
    }

    fn poll_read(&mut self, left: u64, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
        self.link.buffer.reserve(bytes);
        // No byte more than is left of the body.
        let mut room = (&mut self.link.buffer).limit(bytes);
        let read = ready!(pin!(self.link.tcp.read_buf(&mut room)).poll(context))?;
        if read == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(Ok(self.link.buffer.split().freeze()))
    }

    fn poll_spliced(
        &self,
        left: u64,
        lane: &Lane,
        conduit: &Arc<Conduit>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Bytes>> {
        loop {
            ready!(self.link.tcp.poll_read_ready(context))?;
            match self.link.tcp.try_io(Interest::READABLE, || conduit.fill(&self.link.tcp, left)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(bytes) => return Poll::Ready(Ok(conduit.load(lane, bytes, left > bytes as u64))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// A body with less to come is read with one call and written with its head by another; the pipe would cost two more.
const SPLICE_BYTES_MIN: u64 = 64 * 1024;

/// The most that is read at once where bytes are copied: what the second-level cache of a core holds. 64 KiB cost 1.45 times as much on large
/// bodies, and 1 MiB 1.15 times, in prototypes of this stack.
const READ_BYTES_MAX: usize = 256 * 1024;

/// What a connection that nobody uses may keep.
const BUFFER_BYTES_KEPT: usize = 64 * 1024;
