//! An object in the making: a file in `partial/` that one writes, that others may read, and that becomes an object or nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

use super::object::{self, Object, Opened};
use super::{Inner, layout, space};
use crate::cache::facts::Facts;
use crate::cache::footer;
use crate::cache::key::Key;
use crate::cache::sha256::{Hashing, Sha256};

/// A draft cannot be made, go on, or become an object.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// There is no room: the object is larger than the capacity, everything else is in use, or the disk is full.
    #[error("there is no room for it in the cache")]
    Full,
    /// The facts are not those of the bytes that were written: a mistake of whoever fills.
    #[error("the facts about an object are not those of its bytes")]
    OtherFacts,
    /// The disk failed.
    #[error("the cache's disk failed")]
    Io(#[source] io::Error),
}

/// An object in the making. Dropped without [`seal`](Self::seal) it leaves nothing; dropping unlinks a file, which a large one makes
/// slow, so drop it where blocking is allowed.
pub struct Draft {
    key: Key,
    file: Arc<File>,
    written: u64,
    hashing: Hashing,
    abandoned: Abandoned,
    room: Reserved,
}

/// Disk space set aside, and given back when this is dropped.
struct Reserved {
    inner: Arc<Inner>,
    bytes: u64,
}

/// Removes the draft's file when this is dropped, unless it has become an object.
struct Abandoned {
    inner: Arc<Inner>,
    path: Option<PathBuf>,
}

impl Draft {
    /// Makes room and a file. Blocking.
    pub(super) fn begin(inner: Arc<Inner>, key: Key, length: Option<u64>) -> Result<Self, DraftError> {
        let mut room = Reserved { inner: Arc::clone(&inner), bytes: 0 };
        room.grow(length.map_or(0, |length| space(length.saturating_add(FOOTER_BYTES))))?;
        let (file, path) = inner.layout.make_draft().map_err(DraftError::of)?;
        inner.residents().count_draft(true);
        let abandoned = Abandoned { inner: Arc::clone(&inner), path: Some(path) };
        if let Some(length) = length {
            allocate(&inner, &file, length)?;
        }
        Ok(Self { key, file: Arc::new(file), written: 0, hashing: Hashing::new(), abandoned, room })
    }

    /// Its file, whose first [`written`](Self::written) bytes are the body so far.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Adds to the body. Blocking. Where it fails nothing is added; what was there before can be read on.
    ///
    /// # Errors
    ///
    /// [`DraftError::Full`], [`DraftError::Io`].
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), DraftError> {
        let end = self.written.saturating_add(chunk.len() as u64);
        self.room.grow(space(end.saturating_add(FOOTER_BYTES)))?;
        self.append(chunk)?;
        self.hashing.update(chunk);
        self.written = end;
        Ok(())
    }

    /// Bytes of the body so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Their digest.
    pub fn sha256_so_far(&self) -> Sha256 {
        self.hashing.clone().finish()
    }

    /// Makes it an object, in the place of the one that has its key: writes the facts behind the body, and when all of it is on the disk,
    /// gives it its name. Blocking.
    ///
    /// # Errors
    ///
    /// [`DraftError`]; nothing is left then, and what had the name still has it.
    pub fn seal(mut self, facts: Facts) -> Result<Object, DraftError> {
        if facts.length != self.written || facts.sha256 != self.sha256_so_far() || facts.key() != self.key {
            return Err(DraftError::OtherFacts);
        }
        let inner = Arc::clone(&self.room.inner);
        let footer = footer::write(&facts).map_err(|error| DraftError::Io(io::Error::other(error)))?;
        let bytes = space(self.written.saturating_add(footer.len() as u64));
        self.room.grow(bytes)?;
        self.append(&footer)?;
        let (now, validated_at) = (inner.clock.now(), facts.fetched_at);
        object::mark(&self.file, Some(now), Some(validated_at)).map_err(DraftError::of)?;
        self.file.sync_data().map_err(DraftError::of)?;

        let (digest, shelf) = (self.key.digest(), layout::shelf(&self.key));
        let _name = inner.name(&digest);
        if let Some(path) = &self.abandoned.path {
            inner.layout.publish(path, &inner.layout.object(&shelf, &digest)).map_err(DraftError::of)?;
        }
        self.abandoned.path = None;
        let opened = Opened::new(Arc::clone(&inner), digest, facts, Arc::clone(&self.file));
        let mut residents = inner.residents();
        residents.release(std::mem::take(&mut self.room.bytes));
        residents.insert(digest, &shelf, bytes, now, Arc::downgrade(&opened));
        drop(residents);
        Ok(Object::new(opened, validated_at))
    }

    /// Writes behind what is there. If the disk is full, it is tried once more after others have made way.
    fn append(&self, bytes: &[u8]) -> Result<(), DraftError> {
        let write = || self.file.write_all_at(bytes, self.written);
        let way = YIELD_BYTES.max(bytes.len() as u64);
        let written = match write() {
            Err(error) if is_full(&error) && self.room.inner.yield_disk(way) => write(),
            written => written,
        };
        written.map_err(DraftError::of)
    }
}

impl Reserved {
    /// Sets aside what is missing to `bytes`.
    fn grow(&mut self, bytes: u64) -> Result<(), DraftError> {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && !self.inner.reserve(more) {
            return Err(DraftError::Full);
        }
        self.bytes = self.bytes.max(bytes);
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.inner.residents().release(self.bytes);
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.inner.residents().count_draft(false);
        if let Some(path) = &self.path
            && let Err(error) = layout::remove(path)
        {
            self.inner.complain("what was begun to be fetched could not be removed", &error);
        }
    }
}

impl DraftError {
    fn of(error: impl Into<io::Error>) -> Self {
        let error = error.into();
        // A file system that takes no file of this size is no broken one either.
        if is_full(&error) || error.kind() == io::ErrorKind::FileTooLarge {
            Self::Full
        } else {
            Self::Io(error)
        }
    }
}

/// True if the disk is full, or the user's share of it: what fewer objects would help against.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Gives a file its blocks, so that a full disk shows before the first byte, and large files lie in one piece. The size stays.
fn allocate(inner: &Inner, file: &File, length: u64) -> Result<(), DraftError> {
    let allocate = || fallocate(file, FallocateFlags::KEEP_SIZE, 0, length).map_err(io::Error::from);
    let allocated = match allocate() {
        Err(error)
            if is_full(&error) && fits_if_all_yield(inner, file, length) && inner.yield_disk(length) =>
        {
            allocate()
        }
        allocated => allocated,
    };
    match allocated.map_err(DraftError::of) {
        Err(DraftError::Full) => Err(DraftError::Full),
        // Some file systems cannot; then the disk shows itself full when it is.
        _ => Ok(()),
    }
}

/// False if there would be no room even without all other objects: then none of them goes in vain.
fn fits_if_all_yield(inner: &Inner, file: &File, length: u64) -> bool {
    fstatvfs(file).is_ok_and(|system| {
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        free.saturating_add(inner.residents().totals().bytes) >= length
    })
}

/// Set aside for the footer, which has some 500 bytes; where it is longer, more is set aside when it is written.
const FOOTER_BYTES: u64 = 1024;

/// How much makes way at least when the disk is full in the middle of a body: not a few objects for every chunk.
const YIELD_BYTES: u64 = 4 << 20;
