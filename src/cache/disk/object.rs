//! An object that is open, and therefore stays.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Stat, Timespec, Timestamps, UTIME_OMIT, fstat, futimens};

use super::{Inner, layout};
use crate::cache::facts::Facts;
use crate::cache::footer::{self, FooterError};
use crate::cache::key::KeyDigest;
use crate::clock::{self, Timestamp};
use crate::reading::{Held, Hold, Warmth};
use crate::semantics::Validators;

/// An open object. It is not evicted while this, a clone or [`Object::hold`] of it lives; where it is replaced or purged meanwhile, its bytes can
/// be read on.
#[derive(Clone)]
pub struct Object {
    opened: Arc<Opened>,
    validated_at: Timestamp,
}

/// What all who use an object share.
pub(super) struct Opened {
    inner: Arc<Inner>,
    digest: KeyDigest,
    facts: Facts,
    /// Those of the facts, which each request needs.
    validators: Validators,
    file: Arc<File>,
    warmth: Warmth,
    looked: Mutex<Option<Look>>,
}

/// What was seen of an object's inode, and at which tick.
#[derive(Clone, Copy)]
struct Look {
    at: Duration,
    validated_at: Timestamp,
}

impl Object {
    pub(super) fn new(opened: Arc<Opened>, validated_at: Timestamp) -> Self {
        Self { opened, validated_at }
    }

    /// What is known of it.
    pub fn facts(&self) -> &Facts {
        &self.opened.facts
    }

    /// The validators that clients are told.
    pub fn validators(&self) -> &Validators {
        &self.opened.validators
    }

    /// When the upstream last said that it is current.
    pub fn validated_at(&self) -> Timestamp {
        self.validated_at
    }

    /// Its file; the body is its first [`Facts::length`] bytes.
    pub fn file(&self) -> &Arc<File> {
        &self.opened.file
    }

    /// Keeps it from being evicted, for whoever reads its file.
    pub fn hold(&self) -> Held {
        Arc::clone(&self.opened) as Held
    }

    pub(super) fn digest(&self) -> KeyDigest {
        self.opened.digest
    }

    pub(super) fn opened(&self) -> &Arc<Opened> {
        &self.opened
    }
}

impl Opened {
    pub(super) fn new(inner: Arc<Inner>, digest: KeyDigest, facts: Facts, file: Arc<File>) -> Arc<Self> {
        let validators = facts.served_validators();
        let (warmth, looked) = (Warmth::default(), Mutex::default());
        Arc::new(Self { inner, digest, facts, validators, file, warmth, looked })
    }

    /// When the upstream last said that it is current; `None` if its file has no name any more. What another process does to it is seen with the
    /// next tick of the system, so that a file that many want is not looked at for each of them.
    pub(super) fn validated_at(&self) -> Option<Timestamp> {
        let now = clock::ticked();
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = looked.filter(|look| look.at == now) {
            return Some(look.validated_at);
        }
        // The inode of an open file is in memory: this does not wait for the disk.
        let stat = fstat(&self.file).ok().filter(|stat| stat.st_nlink > 0)?;
        let look = looked.insert(Look { at: now, validated_at: validated_at(&stat) });
        Some(look.validated_at)
    }

    /// Forgets what was seen, after a change.
    pub(super) fn look_again(&self) {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Hold for Opened {
    fn warmth(&self) -> Option<&Warmth> {
        Some(&self.warmth)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.inner.residents().closed(&self.digest, self);
    }
}

/// A file that was found to be a whole object.
pub(super) struct Loaded {
    pub(super) file: File,
    pub(super) facts: Facts,
    pub(super) stat: Stat,
}

/// Why a file was not.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// There is none.
    #[error("there is none")]
    Missing,
    /// It is no object, or not the one that its name promises.
    #[error(transparent)]
    Bad(#[from] BadFile),
    /// The disk failed, which says nothing about the object.
    #[error(transparent)]
    Io(io::Error),
}

/// What is wrong with a file in an object's place.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadFile {
    #[error(transparent)]
    Footer(#[from] FooterError),
    #[error("it is another object than its name says")]
    OtherKey,
    #[error("it is not a regular file")]
    NoFile,
}

/// Opens the file at `path`, which must be the object of this key. Reads its end.
pub(super) fn load(path: &Path, digest: &KeyDigest) -> Result<Loaded, LoadError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => LoadError::Missing,
        _ => LoadError::Io(error),
    };
    let file = layout::open_object(path).map_err(|error| match error.raw_os_error() {
        // A link in the place of an object.
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => LoadError::Bad(BadFile::NoFile),
        _ => failed(error),
    })?;
    let stat = fstat(&file).map_err(|error| LoadError::Io(error.into()))?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(BadFile::NoFile.into());
    }
    let size = size(&stat);
    let facts =
        match footer::read(&end(&file, size, END_BYTES).map_err(failed)?, size).map_err(BadFile::from)? {
            footer::Read::Facts(facts) => facts,
            footer::Read::Needs(bytes) => {
                let end = end(&file, size, bytes).map_err(failed)?;
                match footer::read(&end, size).map_err(BadFile::from)? {
                    footer::Read::Facts(facts) => facts,
                    footer::Read::Needs(_) => return Err(BadFile::Footer(FooterError::Lengths).into()),
                }
            }
        };
    if facts.key().digest() != *digest {
        return Err(BadFile::OtherKey.into());
    }
    Ok(Loaded { file, facts: *facts, stat })
}

/// The last `bytes` bytes of a file, or all of it.
fn end(file: &File, size: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let length = usize::try_from(size).unwrap_or(usize::MAX).min(bytes);
    let mut end = vec![0; length];
    match file.read_exact_at(&mut end, size.saturating_sub(length as u64)) {
        // It was cut while it was read: what is there is judged.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        read => read.map(|()| end),
    }
}

pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// When the upstream last said that it is current: the file's modification time.
pub(super) fn validated_at(stat: &Stat) -> Timestamp {
    timestamp(stat.st_mtime, stat.st_mtime_nsec)
}

/// When the object was last used, to the minute: the file's access time.
pub(super) fn used_at(stat: &Stat) -> Timestamp {
    timestamp(stat.st_atime, stat.st_atime_nsec)
}

/// Notes either or both in the inode.
pub(super) fn mark(file: &File, used: Option<Timestamp>, validated: Option<Timestamp>) -> io::Result<()> {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let time = |time: Timestamp| Timespec {
        tv_sec: time.as_millis().div_euclid(1_000),
        tv_nsec: time.as_millis().rem_euclid(1_000) * 1_000_000,
    };
    let times =
        Timestamps { last_access: used.map_or(omit, time), last_modification: validated.map_or(omit, time) };
    Ok(futimens(file, &times)?)
}

fn timestamp(seconds: impl TryInto<i64>, nanoseconds: impl TryInto<i64>) -> Timestamp {
    let seconds: i64 = seconds.try_into().unwrap_or(0);
    let nanoseconds: i64 = nanoseconds.try_into().unwrap_or(0);
    Timestamp::from_millis(seconds.saturating_mul(1_000).saturating_add(nanoseconds / 1_000_000))
}

/// Enough for the footer of any but the longest paths.
const END_BYTES: usize = 2 * 1024;
