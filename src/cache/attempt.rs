//! One attempt at a file: a draft that grows, and how far it may be read.
//!
//! A reader may have everything that is written but the last [`WITHHELD_BYTES`] of the whole, until the whole is proven; nothing at all of a
//! file that has to be inspected. Where the length is not known, the last that is written could be the end. A part that does not hold the
//! last byte is complete before anything can be proven: it may be had as it is written.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::body::BodyError;
use super::disk::{Draft, Object};
use super::filling::Head;
use super::order::Check;
use super::resume::Steady;
use super::through::Bypass;

/// What is held back of a file until it is proven.
pub(super) const WITHHELD_BYTES: u64 = 64 * 1024;

/// A draft that grows.
pub(super) struct Attempt {
    head: Head,
    file: Arc<File>,
    withheld: Withheld,
    progress: watch::Sender<Progress>,
}

/// What is held back until the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Withheld {
    /// Everything.
    All,
    /// The last [`WITHHELD_BYTES`].
    Tail,
}

/// How far an attempt is.
#[derive(Clone)]
pub(super) struct Progress {
    pub(super) written: u64,
    pub(super) state: State,
}

/// Whether it goes on.
#[derive(Clone)]
pub(super) enum State {
    /// It does.
    Running,
    /// It is proven and kept.
    Whole(Object),
    /// It is proven, and could not be kept.
    Passed(Bypass),
    /// The disk takes no more: whoever reads goes on without it.
    Cut(Arc<Cut>),
    /// It must not be read on.
    Failed(Fault),
}

/// Why an attempt must not be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Broken,
    Corrupt,
}

impl From<Fault> for BodyError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken => Self::Broken,
            Fault::Corrupt => Self::Corrupt,
        }
    }
}

/// Where the disk took no more.
pub(super) struct Cut {
    pub(super) reason: Bypass,
    /// What is there can be read for as long as somebody needs it.
    draft: Option<Draft>,
    pub(super) written: u64,
    rest: Mutex<Option<Rest>>,
}

/// What was on its way when the disk took no more: for one reader, the others ask for their own.
pub(super) struct Rest {
    /// Bytes that came and were not written.
    pub(super) chunks: VecDeque<Bytes>,
    pub(super) steady: Steady,
}

impl Cut {
    pub(super) fn new(reason: Bypass, draft: Draft, rest: Rest) -> Self {
        Self { reason, written: draft.written(), draft: Some(draft), rest: Mutex::new(Some(rest)) }
    }

    /// The rest, for the first who asks.
    pub(super) fn take_rest(&self) -> Option<Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        discard(self.draft.take());
    }
}

/// Drops what may block while it is dropped: unlinking a large file takes its time.
pub(super) fn discard<T: Send + 'static>(discarded: T) {
    if let Ok(runtime) = Handle::try_current() {
        drop(runtime.spawn_blocking(move || drop(discarded)));
    }
}

impl Attempt {
    pub(super) fn new(head: Head, file: Arc<File>, check: &Check) -> Self {
        let withheld = match check {
            Check::Inspect(_) => Withheld::All,
            Check::Digests(_) | Check::Named(_) | Check::None => Withheld::Tail,
        };
        let progress = watch::Sender::new(Progress { written: 0, state: State::Running });
        Self { head, file, withheld, progress }
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(super) fn withheld(&self) -> Withheld {
        self.withheld
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// To wait for what comes after the progress that was seen.
    pub(super) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// So many bytes are written.
    pub(super) fn wrote(&self, written: u64) {
        self.progress.send_modify(|progress| progress.written = written);
    }

    /// It ends. What ended already stays as it is.
    pub(super) fn end(&self, state: State) {
        self.progress.send_if_modified(|progress| {
            let is_running = matches!(progress.state, State::Running);
            if is_running {
                progress.state = state;
            }
            is_running
        });
    }

    /// Up to which byte it may be read by one who reads up to `end`; `None` is the end of the file.
    pub(super) fn limit(&self, progress: &Progress, end: Option<u64>) -> u64 {
        let end_max = end.unwrap_or(u64::MAX);
        let is_proven = matches!(progress.state, State::Whole(_) | State::Passed(_));
        let readable = match self.withheld {
            _ if is_proven => progress.written,
            Withheld::All => 0,
            Withheld::Tail => releasable(progress.written, self.head.length, end),
        };
        readable.min(end_max)
    }
}

/// Up to which byte a file may be given out of which `there` bytes are there, to one who wants those before `end`.
pub(super) fn releasable(there: u64, length: Option<u64>, end: Option<u64>) -> u64 {
    match (length, end) {
        (Some(length), Some(end)) if end < length => there,
        (Some(length), _) => there.min(length.saturating_sub(WITHHELD_BYTES)),
        (None, _) => there.saturating_sub(WITHHELD_BYTES),
    }
}
