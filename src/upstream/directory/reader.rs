//! Reads a file of a channel directory in pieces, one at a time, each in a blocking task of its own.
//!
//! One piece is in memory and none is read ahead. Shortness is not judged here: a file that was truncated just ends, and
//! [`crate::upstream::Body`] knows what was promised.

use std::fs::File;
use std::future::Future as _;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::upstream::body::{BodyError, Turn};

/// 256 KiB stay in the second-level cache and are worth the hop to another thread.
const PIECE_BYTES: u64 = 256 * 1024;

/// A file being read from some offset on.
pub(in crate::upstream) struct FileReader {
    file: Arc<File>,
    offset: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    turn: Option<Turn>,
}

impl FileReader {
    pub(in crate::upstream) fn new(file: Arc<File>, offset: u64, turn: Option<Turn>) -> Self {
        Self { file, offset, reading: None, turn }
    }

    /// The next piece, of at most `remaining` bytes; `None` where the file ends.
    pub(in crate::upstream) fn poll_chunk(
        &mut self,
        remaining: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let (file, offset, turn) = (&self.file, self.offset, &self.turn);
        let reading = self.reading.get_or_insert_with(|| {
            let (file, held) = (Arc::clone(file), turn.clone());
            let length = usize::try_from(remaining.min(PIECE_BYTES)).unwrap_or(0);
            spawn_blocking(move || {
                // As in opening: a read that hangs keeps its turn.
                let _held = held;
                read_piece(&file, offset, length)
            })
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        Poll::Ready(match read.unwrap_or_else(|panicked| Err(io::Error::other(panicked))) {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => {
                self.offset = self.offset.saturating_add(piece.len() as u64);
                Some(Ok(Bytes::from(piece)))
            }
            Err(error) => Some(Err(BodyError::File(error))),
        })
    }
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
