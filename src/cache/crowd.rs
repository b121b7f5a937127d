//! Who wants a file that is on its way: counted, so that a flight that nobody wants any more can end, and one that failed knows whether it
//! is worth beginning again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Those who want one file.
#[derive(Default)]
pub(super) struct Crowd {
    interested: AtomicUsize,
    /// Those of them who have not got a byte.
    hungry: AtomicUsize,
    left: Notify,
}

impl Crowd {
    /// True if nobody wants it.
    pub(super) fn is_empty(&self) -> bool {
        self.interested.load(Ordering::SeqCst) == 0
    }

    /// True if somebody wants it who has not got a byte: one who could be served from another attempt.
    pub(super) fn is_hungry(&self) -> bool {
        self.hungry.load(Ordering::SeqCst) > 0
    }

    /// Ends when the last one has left, perhaps long ago: to be looked at again with [`Crowd::is_empty`].
    pub(super) async fn left(&self) {
        self.left.notified().await;
    }
}

/// One who wants the file, until dropped.
pub(super) struct Interest {
    crowd: Arc<Crowd>,
    is_fed: bool,
}

impl Interest {
    pub(super) fn new(crowd: &Arc<Crowd>) -> Self {
        crowd.interested.fetch_add(1, Ordering::SeqCst);
        crowd.hungry.fetch_add(1, Ordering::SeqCst);
        Self { crowd: Arc::clone(crowd), is_fed: false }
    }

    /// It has got a byte.
    pub(super) fn feed(&mut self) {
        if !self.is_fed {
            self.is_fed = true;
            self.crowd.hungry.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// True once it has got a byte.
    pub(super) fn is_fed(&self) -> bool {
        self.is_fed
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.feed();
        if self.crowd.interested.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.crowd.left.notify_one();
        }
    }
}
