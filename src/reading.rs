//! Reads a file in pieces for a body: what the page cache holds at once, what the disk holds in a blocking task.
//!
//! One piece is in memory and none is read ahead, so that five hundred slow readers cost five hundred pieces. A piece is first read where
//! the reader is polled, with `RWF_NOWAIT` (preadv2(2)), which the kernel refuses where it would have to wait for a disk or a network;
//! only then a blocking task takes over. A file system that does not know the flag always takes the second way. So no thread of the
//! reactor ever waits for a disk.
//!
//! Where a client's connection has lent its [`Lane`], a piece that is in memory can pass without being read at all ([`Reader::pass`]).
//!
//! Shortness is not judged here: a file that was truncated just ends, and whoever reads knows what was promised.

use std::any::Any;
use std::fs::File;
use std::future::Future as _;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::clock;
use crate::passage::Lane;

/// The most that one reader has in memory. Larger pieces are not faster to send, and 500 readers of 128 KiB are 64 MiB.
pub const PIECE_BYTES_MAX: u64 = 128 * 1024;

/// The most that one client's connection is loaded with at once.
const PASS_BYTES_MAX: u64 = 512 * 1024;

/// A shorter piece is read and written with the head before it by two calls; passing takes three.
const PASS_BYTES_MIN: u64 = 16 * 1024;

/// How far apart the page cache is asked: four short calls for 512 KiB.
const PROBE_BYTES: u64 = 128 * 1024;

/// What a read keeps for as long as it may run: a place of some bound, or a file's place in a cache.
pub type Held = Arc<dyn Hold>;

/// What can be kept so.
pub trait Hold: Any + Send + Sync {
    /// What all who read the file know of its place in memory.
    fn warmth(&self) -> Option<&Warmth> {
        None
    }
}

impl Hold for OwnedSemaphorePermit {}

/// Where a file was last found in memory, and when: a file that is read again and again is not asked about each time.
#[derive(Debug, Default)]
pub struct Warmth(AtomicU64);

impl Warmth {
    /// How long what was found is taken to be there still. The page cache forgets what was not used for longest, and whoever asks uses it.
    const LASTS: Duration = Duration::from_secs(1);

    /// Whether the byte at this place was found a moment ago; else it is noted if `find` finds it.
    fn finds(&self, at: u64, find: impl FnOnce() -> bool) -> bool {
        // Both to 32 bits: of longer files another place could be meant, and after seven weeks another time.
        let Ok(place) = u32::try_from(at) else { return find() };
        let now = clock::ticked().as_millis() as u32;
        let noted = self.0.load(Ordering::Relaxed);
        let age = now.wrapping_sub(noted as u32);
        if noted >> 32 == u64::from(place) + 1 && u128::from(age) < Self::LASTS.as_millis() {
            return true;
        }
        let is_found = find();
        if is_found {
            self.0.store((u64::from(place) + 1) << 32 | u64::from(now), Ordering::Relaxed);
        }
        is_found
    }
}

/// A file being read from some offset on.
pub struct Reader {
    file: Arc<File>,
    offset: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    /// What the piece before was read into: memory that is warm, as soon as nobody has that piece any more.
    buffer: BytesMut,
    held: Option<Held>,
    is_from_memory: bool,
}

impl Reader {
    /// Reads `file` from `offset` on. A read that hangs keeps `held` even if the reader is dropped: hung threads must not pile up without
    /// bound.
    pub fn new(file: Arc<File>, offset: u64, held: Option<Held>) -> Self {
        Self { file, offset, reading: None, buffer: BytesMut::new(), held, is_from_memory: true }
    }

    /// Where the next piece begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// True if the latest piece was in the page cache.
    pub fn is_from_memory(&self) -> bool {
        self.is_from_memory
    }

    /// The next piece, of at most `bytes_max` and [`PIECE_BYTES_MAX`] bytes; `None` where the file ends.
    ///
    /// # Errors
    ///
    /// What the system says of the read.
    pub fn poll_piece(
        &mut self,
        bytes_max: u64,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        let length = usize::try_from(bytes_max.min(PIECE_BYTES_MAX)).unwrap_or(0);
        self.is_from_memory = false;
        let read = match &mut self.reading {
            Some(reading) => finished(ready!(Pin::new(reading).poll(context))),
            None => match read_at_once(&self.file, self.offset, length, &mut self.buffer) {
                Some(read) => {
                    self.is_from_memory = true;
                    read
                }
                None => {
                    let (file, offset, held) = (Arc::clone(&self.file), self.offset, self.held.clone());
                    let reading = self.reading.insert(spawn_blocking(move || {
                        let _held = held;
                        read_piece(&file, offset, length)
                    }));
                    finished(ready!(Pin::new(reading).poll(context)))
                }
            },
        };
        self.reading = None;
        Poll::Ready(match read {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => {
                self.offset = self.offset.saturating_add(piece.len() as u64);
                Some(Ok(piece))
            }
            Err(error) => Some(Err(error)),
        })
    }
}

impl Reader {
    /// Loads the next piece, of at most `bytes_max` bytes, onto `lane` and gives the blank that stands for it; `None` if it is too short for
    /// that, or not in the page cache: [`poll_piece`](Self::poll_piece) then waits for the disk where waiting is allowed.
    ///
    /// The page cache is asked once in `PROBE_BYTES`, and about a shorter file that many read once a second. What is missing between two of these makes a thread of the reactor wait for one read
    /// of the disk; the page cache reads ahead and forgets in larger pieces, so that is rare.
    pub fn pass(&mut self, bytes_max: u64, lane: &Lane) -> Option<Bytes> {
        if self.reading.is_some() || bytes_max == 0 || !lane.suits(bytes_max, PASS_BYTES_MIN) {
            return None;
        }
        let length = bytes_max.min(PASS_BYTES_MAX);
        let is_in_memory = || is_in_memory(&self.file, self.offset, length);
        let is_in_memory = match self.held.as_ref().and_then(|held| held.warmth()) {
            Some(warmth) if length <= PROBE_BYTES => warmth.finds(self.offset + length, is_in_memory),
            _ => is_in_memory(),
        };
        if !is_in_memory {
            return None;
        }
        let (file, more) = (Arc::clone(&self.file), bytes_max > length);
        let held = self.held.clone().map(|held| held as Arc<dyn Any + Send + Sync>);
        let blank = lane.load_file(file, self.offset, usize::try_from(length).ok()?, more, held);
        self.is_from_memory = true;
        self.offset = self.offset.saturating_add(length);
        Some(blank)
    }
}

/// True if the page cache has the last byte of a piece, and one in [`PROBE_BYTES`] before it.
fn is_in_memory(file: &File, offset: u64, length: u64) -> bool {
    let end = offset.saturating_add(length);
    let mut at = end.saturating_sub(1);
    loop {
        let mut byte = [0];
        let read = preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT);
        if read != Ok(1) {
            return false;
        }
        match at.checked_sub(PROBE_BYTES).filter(|at| *at >= offset) {
            Some(before) => at = before,
            None => return true,
        }
    }
}

fn finished(read: Result<io::Result<Vec<u8>>, tokio::task::JoinError>) -> io::Result<Bytes> {
    read.unwrap_or_else(|panicked| Err(io::Error::other(panicked))).map(Bytes::from)
}

/// What is in memory of the piece; `None` if reading it might wait. An error, too, is left to the blocking read, which meets it again.
fn read_at_once(file: &File, offset: u64, length: usize, buffer: &mut BytesMut) -> Option<io::Result<Bytes>> {
    buffer.resize(length, 0);
    let read = loop {
        match preadv2(file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
            Err(Errno::INTR) => {}
            read => break read.ok()?,
        }
    };
    buffer.truncate(read);
    Some(Ok(buffer.split().freeze()))
}

fn read_piece(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; length];
    let read = loop {
        match file.read_at(&mut piece, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    piece.truncate(read);
    Ok(piece)
}

#[cfg(test)]
mod tests;
