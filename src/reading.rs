//! Reads a file in pieces for a body: what the page cache holds at once, what the disk holds in a blocking task.
//!
//! One piece is in memory and none is read ahead, so that five hundred slow readers cost five hundred pieces. A piece is first read where
//! the reader is polled, with `RWF_NOWAIT` (preadv2(2)), which the kernel refuses where it would have to wait for a disk or a network;
//! only then a blocking task takes over. A file system that does not know the flag always takes the second way. So no thread of the
//! reactor ever waits for a disk.
//!
//! Shortness is not judged here: a file that was truncated just ends, and whoever reads knows what was promised.

use std::any::Any;
use std::fs::File;
use std::future::Future as _;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::{JoinHandle, spawn_blocking};

/// The most that one reader has in memory. Larger pieces are not faster to send, and 500 readers of 128 KiB are 64 MiB.
pub const PIECE_BYTES_MAX: u64 = 128 * 1024;

/// What a read keeps for as long as it may run: a place of some bound, or a file's place in a cache.
pub type Held = Arc<dyn Any + Send + Sync>;

/// A file being read from some offset on.
pub struct Reader {
    file: Arc<File>,
    offset: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    held: Option<Held>,
    is_from_memory: bool,
}

impl Reader {
    /// Reads `file` from `offset` on. A read that hangs keeps `held` even if the reader is dropped: hung threads must not pile up without
    /// bound.
    pub fn new(file: Arc<File>, offset: u64, held: Option<Held>) -> Self {
        Self { file, offset, reading: None, held, is_from_memory: true }
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
            None => match read_at_once(&self.file, self.offset, length) {
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
                Some(Ok(Bytes::from(piece)))
            }
            Err(error) => Some(Err(error)),
        })
    }
}

fn finished(read: Result<io::Result<Vec<u8>>, tokio::task::JoinError>) -> io::Result<Vec<u8>> {
    read.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
}

/// What is in memory of the piece; `None` if reading it might wait. An error, too, is left to the blocking read, which meets it again.
fn read_at_once(file: &File, offset: u64, length: usize) -> Option<io::Result<Vec<u8>>> {
    let mut piece = vec![0; length];
    let read = loop {
        match preadv2(file, &mut [IoSliceMut::new(&mut piece)], offset, ReadWriteFlags::NOWAIT) {
            Err(Errno::INTR) => {}
            read => break read.ok()?,
        }
    };
    piece.truncate(read);
    Some(Ok(piece))
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
