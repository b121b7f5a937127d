//! Bodies that pass to a client's socket inside the kernel: files by sendfile(2), what an upstream sends by splice(2).
//!
//! HTTP stays hyper's: lengths, keep-alive, order, all of it. A body that knows its bytes without having them hands hyper a *blank* of the
//! same length, a piece of a static region of zeros that nobody reads, and loads what it stands for onto the [`Lane`] of its connection. hyper
//! queues the blank between its own bytes without a look at it, and where the connection's socket finds a slice of that region in what it is
//! to write, it takes the next load off the lane instead. Blanks and loads are as many, as long and in the same order, because both go
//! through one queue in and one out.
//!
//! | who | does |
//! | --- | --- |
//! | `server` | makes a lane for a connection whose bytes go out as hyper writes them: HTTP/1, no TLS; lends it to each body |
//! | `reading` | loads pieces of files that the page cache holds |
//! | `upstream` | fills a [`Conduit`] from an upstream's socket, and loads that |
//!
//! A body that was lent no lane copies its bytes as ever, and so does one for which there is no pipe: that is the slow twin, which
//! `tests/it/gateway/twins.rs` holds against this. `benches/side_by_side`, L: 0.77 of nginx's time instead of 1.21.
//!
//! Nothing here blocks, and nothing is kept for a client that is gone: loads go with the connection.

use std::any::Any;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use rustix::fs::sendfile;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use serde::{Deserialize, Serialize};

/// Whether bodies may pass this way, and other ways that are shorter than the general one: `listen.fast_paths`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FastPaths {
    /// Where it is worth it.
    #[default]
    Auto,
    /// Wherever it is possible, also where it costs more than it saves: for tests.
    Always,
    /// Nowhere.
    Off,
}

impl FastPaths {
    /// Whether they are taken at all.
    pub fn are_open(self) -> bool {
        self != Self::Off
    }
}

/// What has to stay while a load waits.
type Held = Arc<dyn Any + Send + Sync>;

/// What one connection's socket is to send in the place of blanks, in order. Clones are the same lane.
#[derive(Clone, Debug)]
pub struct Lane(Arc<Loads>);

#[derive(Debug)]
struct Loads {
    waiting: Mutex<VecDeque<Load>>,
    fast_paths: FastPaths,
}

/// What a blank stands for.
struct Load {
    what: What,
    /// Bytes still to be sent.
    left: usize,
    /// More of the same body will follow: a packet that is not full may wait for it.
    more: bool,
}

enum What {
    File { file: Arc<File>, offset: u64, _held: Option<Held> },
    Conduit(Arc<Conduit>),
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if matches!(self.what, What::File { .. }) { "file" } else { "conduit" };
        f.debug_struct("Load").field("what", &what).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Lane {
    /// An empty lane of a connection.
    pub fn new(fast_paths: FastPaths) -> Self {
        Self(Arc::new(Loads { waiting: Mutex::default(), fast_paths }))
    }

    /// Whether a body with so many bytes to come had better take it. Shorter ones are sent with their heads in one call.
    pub fn suits(&self, left: u64, worth: u64) -> bool {
        self.0.fast_paths == FastPaths::Always || left >= worth
    }

    /// Loads `length` bytes of a file, at most [`BLANK_BYTES_MAX`], and gives the blank that stands for them. `held` is kept until they are
    /// sent.
    pub fn load_file(
        &self,
        file: Arc<File>,
        offset: u64,
        length: usize,
        more: bool,
        held: Option<Held>,
    ) -> Bytes {
        self.load(What::File { file, offset, _held: held }, length, more)
    }

    fn load(&self, what: What, length: usize, more: bool) -> Bytes {
        let blank = BLANKS.get(..length).unwrap_or(&BLANKS);
        self.waiting().push_back(Load { what, left: blank.len(), more });
        Bytes::from_static(blank)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Load>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what the first blank stands for to `socket`, up to `blank_bytes` of it, in one call to the system.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if the socket takes nothing now. A file that has become shorter, or a blank that stands for nothing: the
    /// connection has to end.
    pub fn send(&self, socket: impl AsFd, blank_bytes: usize) -> io::Result<usize> {
        let mut waiting = self.waiting();
        let load = waiting.front_mut().ok_or(io::ErrorKind::InvalidData)?;
        let bytes = load.left.min(blank_bytes);
        let sent = match &mut load.what {
            What::File { file, offset, .. } => sendfile(socket, &**file, Some(offset), bytes)?,
            What::Conduit(conduit) => conduit.drain(socket, bytes, load.more)?,
        };
        if sent == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        load.left = load.left.saturating_sub(sent);
        if load.left == 0 {
            // Dropped behind the lock: with it a file may be closed, or a pipe go back to its pool.
            let sent_whole = waiting.pop_front();
            drop(waiting);
            drop(sent_whole);
        }
        Ok(sent)
    }
}

/// True for a slice of what hyper writes that stands for a load.
pub fn is_blank(slice: &[u8]) -> bool {
    // Only addresses are compared: the region is never read.
    BLANKS.as_ptr_range().contains(&slice.as_ptr()) && !slice.is_empty()
}

/// A pipe between an upstream's socket and a client's.
pub struct Conduit {
    pipe: Option<Pipe>,
    pool: Pipes,
    inside: Mutex<Inside>,
}

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

#[derive(Default)]
struct Inside {
    bytes: usize,
    /// Bytes that have gone out of it for this body.
    passed: u64,
    waker: Option<Waker>,
}

impl Conduit {
    /// Ready when everything that was put into the pipe has gone out of it; else the task is woken then. Only then it may be filled: the
    /// system would not say which of both ends has to be waited for.
    pub fn poll_empty(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut inside = self.inside();
        if inside.bytes == 0 {
            return Poll::Ready(());
        }
        match &mut inside.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Moves up to `bytes_max` bytes that have come from `socket` into the empty pipe; 0 where it has ended.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if nothing has come.
    pub fn fill(&self, socket: impl AsFd, bytes_max: u64) -> io::Result<usize> {
        let pipe = self.pipe.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        // A client that stands still from the beginning gets less ahead of it.
        let most = if self.inside().passed < PROVEN_BYTES { FIRST_FILLS_BYTES } else { PIPE_BYTES };
        let bytes = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(most);
        let filled = splice(socket, None, &pipe.write, None, bytes, SPLICE)?;
        self.inside().bytes += filled;
        Ok(filled)
    }

    /// Loads what is inside onto `lane`; gives the blank that stands for it.
    pub fn load(self: &Arc<Self>, lane: &Lane, bytes: usize, more: bool) -> Bytes {
        lane.load(What::Conduit(Arc::clone(self)), bytes, more)
    }

    fn drain(&self, socket: impl AsFd, bytes: usize, more: bool) -> io::Result<usize> {
        let pipe = self.pipe.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let flags = if more { SPLICE | SpliceFlags::MORE } else { SPLICE };
        let drained = splice(&pipe.read, None, socket, None, bytes, flags)?;
        let mut inside = self.inside();
        inside.bytes = inside.bytes.saturating_sub(drained);
        inside.passed = inside.passed.saturating_add(drained as u64);
        let waker = if inside.bytes == 0 { inside.waker.take() } else { None };
        drop(inside);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(drained)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Conduit {
    fn drop(&mut self) {
        let is_empty = self.inside().bytes == 0;
        if let Some(pipe) = self.pipe.take().filter(|_| is_empty) {
            self.pool.give_back(pipe);
        }
    }
}

/// Pipes that nobody uses. Clones are the same pool.
#[derive(Clone, Default)]
pub struct Pipes(Arc<Mutex<Vec<Pipe>>>);

impl Pipes {
    /// A pipe of the full size; `None` if the system gives none: too many descriptors, or more pages in pipes than an unprivileged user may
    /// have (pipe(7), `pipe-user-pages-soft`). Bodies are copied then.
    pub fn conduit(&self) -> Option<Arc<Conduit>> {
        let pooled = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let pipe = pooled.or_else(Pipe::new)?;
        Some(Arc::new(Conduit { pipe: Some(pipe), pool: self.clone(), inside: Mutex::default() }))
    }

    fn give_back(&self, pipe: Pipe) {
        let mut pipes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pipes.len() < PIPES_MAX {
            pipes.push(pipe);
        }
    }
}

impl Pipe {
    fn new() -> Option<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let bytes = fcntl_setpipe_size(&write, PIPE_BYTES).ok()?;
        (bytes >= PIPE_BYTES).then_some(Self { read, write })
    }
}

const SPLICE: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// What a body may have in its pipe, which is what it is ahead of its client besides the sockets' buffers. Of such pipes an unprivileged user
/// has 64 before the system makes them smaller; bodies are copied then. With 256 KiB 100 MiB took 1.14 of nginx's time, with 512 KiB 1.05.
const PIPE_BYTES: usize = 1024 * 1024;

/// The same until the client has taken [`PROVEN_BYTES`]: many clients that stand still must not let an upstream run far ahead
/// (`tests/it/gateway/memory.rs`).
const FIRST_FILLS_BYTES: usize = 256 * 1024;

/// What a client that takes bodies has taken soon.
const PROVEN_BYTES: u64 = 8 * 1024 * 1024;

/// Pipes that are kept for the next body. Empty ones hold no memory but some hundred bytes.
const PIPES_MAX: usize = 64;

/// The longest blank.
pub const BLANK_BYTES_MAX: usize = 1 << 20;

/// What blanks are pieces of. Its pages are in no memory as long as nobody reads them.
static BLANKS: [u8; BLANK_BYTES_MAX] = [0; BLANK_BYTES_MAX];

#[cfg(test)]
mod tests;
