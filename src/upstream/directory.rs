//! A channel in a local directory.
//!
//! The kernel keeps every path inside: files are opened with `openat2(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)` from the root's
//! descriptor, so that neither `..` nor a symlink nor a rename while we look can lead out. Symlinks that stay inside are followed,
//! because mirrors use them to share packages between subdirs; absolute ones count as leading out. A dotfile cannot be asked for
//! ([`crate::conda::UpstreamPath`] has none), but a symlink may point to one: whoever can make links in the channel could as well
//! copy the file. Only regular files are served, and opening never blocks on a FIFO.
//!
//! The root is opened by its path for every request. That costs a microsecond and means that a mirror swapped in by rename, or a
//! symlinked root that was pointed elsewhere, is seen at once, and that a root that went away is an outage and not an empty channel.
//!
//! It must never run file system calls on the reactor: a network mount may hang. Bytes are read by [`crate::reading`].

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use percent_encoding::percent_decode_str;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::body::Source;
use super::error::{FetchError, Unavailable};
use super::lead::{Unreachable, check_no_credential};
use super::{Answer, Ask, Failure, Head, Method};
use crate::conda::UpstreamPath;
use crate::reading::{Held, Reader};
use crate::semantics::{CacheControl, Conditions, EntityTag, Modified, Precondition, Span, Validators};

/// How often a lookup is repeated that the kernel gave up because something was renamed meanwhile (`EAGAIN`, openat2(2)).
const RACES_MAX: usize = 16;

/// An upstream that is a directory laid out as a channel.
pub(super) struct Directory {
    root: Arc<Path>,
    /// A symlink out of the root was reported.
    has_reported_escape: AtomicBool,
}

/// A regular file inside the root, and what identifies its version.
struct Opened {
    file: File,
    length: u64,
    validators: Validators,
}

impl Directory {
    /// The directory at `root`, which need not exist yet.
    ///
    /// # Errors
    ///
    /// If this kernel (or the seccomp filter of a container) does not let us open files below a directory safely.
    pub(super) fn new(root: PathBuf) -> Result<Self, io::Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat2(CWD, ".", flags, Mode::empty(), ResolveFlags::BENEATH) {
            Err(error @ (Errno::NOSYS | Errno::PERM | Errno::INVAL)) => Err(error.into()),
            Ok(_) | Err(_) => Ok(Self { root: root.into(), has_reported_escape: AtomicBool::new(false) }),
        }
    }

    /// Where a file would be.
    pub(super) fn url_of(&self, path: &UpstreamPath) -> Option<Url> {
        let root = std::path::absolute(&self.root).ok()?;
        Url::from_directory_path(root).ok()?.join(&path.encoded()).ok()
    }

    /// The place that `url` means, as a URL whose path is that below the directory. Links are the kernel's to judge, on opening.
    pub(super) fn relative(&self, url: &Url) -> Result<Url, Unreachable> {
        if url.scheme() != "file" {
            return Err(Unreachable::Outside);
        }
        check_no_credential(url)?;
        let root = std::path::absolute(&self.root).ok().and_then(|root| Url::from_directory_path(root).ok());
        let below = root.as_ref().and_then(|root| url.path().strip_prefix(root.path()));
        let below = below.filter(|_| url.host().is_none()).ok_or(Unreachable::Outside)?;
        Url::parse(&format!("file:///{below}")).map_err(|_| Unreachable::Malformed)
    }

    /// The path of what is asked for, decoded.
    fn path_of(ask: &Ask<'_>) -> Result<String, Failure> {
        let Some(lead) = ask.at else { return Ok(ask.path.decoded().to_owned()) };
        let path = percent_decode_str(lead.url().path().trim_start_matches('/')).decode_utf8();
        match path {
            Ok(path) if lead.url().scheme() == "file" && !path.contains('\0') => Ok(path.into_owned()),
            Ok(_) | Err(_) => Err(FetchError::Missing.into()),
        }
    }

    /// Looks the file up and holds the request's conditions against it.
    pub(super) async fn fetch(
        &self,
        ask: &Ask<'_>,
        turn: &Arc<OwnedSemaphorePermit>,
    ) -> Result<(Head, Source), Failure> {
        let opened = self.open(Self::path_of(ask)?, turn).await?;
        let Opened { file, length, validators } = opened;
        let precondition = ask.conditions.map_or(Precondition::Whole, |headers| {
            Conditions::of(headers).evaluate(&validators, Some(length))
        });
        let answer = match (precondition, ask.method) {
            (Precondition::NotModified, _) => Answer::NotModified,
            // A range means something for GET only (RFC 9110 section 14.2).
            (Precondition::Whole, _) | (_, Method::Head) => Answer::Whole,
            (Precondition::Part(span), Method::Get) => Answer::Part { span, total: Some(length) },
            (Precondition::NotSatisfiable, Method::Get) => Answer::NotSatisfiable { total: Some(length) },
        };
        let span = match answer {
            Answer::Whole => Some(Span { start: 0, end: length }),
            Answer::Part { span, .. } => Some(span),
            Answer::NotModified | Answer::NotSatisfiable { .. } => None,
        };
        let source = match (span, ask.method) {
            (Some(span), Method::Get) if span.length() > 0 => {
                Source::File(Reader::new(Arc::new(file), span.start, Some(Arc::clone(turn) as Held)))
            }
            _ => Source::Nothing,
        };
        let length = span.map(Span::length);
        Ok((Head { answer, validators, length, cache_control: CacheControl::default() }, source))
    }

    async fn open(&self, path: String, turn: &Arc<OwnedSemaphorePermit>) -> Result<Opened, Failure> {
        let (root, held) = (Arc::clone(&self.root), Arc::clone(turn));
        let opening = tokio::task::spawn_blocking(move || {
            // A call that hangs keeps its turn, even if the request was given up: hung threads must not pile up without bound.
            let _held = held;
            let root = open_root(&root).map_err(Trouble::Root)?;
            open_beneath(root.as_fd(), &path).map_err(Trouble::File)
        });
        match opening.await {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(trouble)) => Err(self.judge(trouble)),
            Err(panicked) => Err(unreadable(panicked)),
        }
    }

    fn judge(&self, trouble: Trouble) -> Failure {
        match trouble {
            Trouble::File(Errno::XDEV) => {
                if !self.has_reported_escape.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        upstream = %self.root.display(),
                        "a symlink leads out of the channel directory; it and others like it are answered as missing"
                    );
                }
                Failure::escaped()
            }
            // LOOP is a chain of symlinks without end, ISDIR and NXIO are what is no regular file.
            Trouble::File(
                Errno::NOENT
                | Errno::NOTDIR
                | Errno::LOOP
                | Errno::NAMETOOLONG
                | Errno::ISDIR
                | Errno::NXIO
                | Errno::NODEV,
            ) => FetchError::Missing.into(),
            Trouble::Root(errno) | Trouble::File(errno) => unreadable(io::Error::from(errno)),
        }
    }
}

/// What the kernel said, and of what.
enum Trouble {
    Root(Errno),
    File(Errno),
}

fn unreadable(cause: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::new(FetchError::Unavailable(Unavailable::Unreadable), cause)
}

fn open_root(root: &Path) -> Result<OwnedFd, Errno> {
    open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn open_beneath(root: impl AsFd, path: &str) -> Result<Opened, Errno> {
    // NONBLOCK: opening a FIFO must not wait for its writer. It means nothing for a regular file.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut races = 0;
    let file = loop {
        match openat2(root.as_fd(), path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) if races < RACES_MAX => races += 1,
            opened => break opened?,
        }
    };
    let file = File::from(file);
    let metadata = file.metadata().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    if !metadata.is_file() {
        return Err(Errno::ISDIR);
    }
    Ok(Opened { file, length: metadata.len(), validators: validators(&metadata) })
}

/// A strong tag from all that changes when a file is replaced or written to. Hashed: inode numbers are nobody's business.
fn validators(metadata: &std::fs::Metadata) -> Validators {
    let identity = [
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime().cast_unsigned(),
        metadata.mtime_nsec().cast_unsigned(),
        metadata.ctime().cast_unsigned(),
        metadata.ctime_nsec().cast_unsigned(),
    ];
    let bytes: Vec<u8> = identity.iter().flat_map(|field| field.to_le_bytes()).collect();
    let hash = digest(&SHA256, &bytes);
    let opaque: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let seconds = u64::try_from(metadata.mtime()).unwrap_or(0);
    let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    Validators { etag: Some(EntityTag::strong(&opaque)), last_modified: modified.map(Modified::from) }
}
