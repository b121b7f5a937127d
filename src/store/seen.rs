//! When artifacts were first seen: what quarantines count from, by the gates' own clocks.

use crate::clock::Timestamp;

/// The SHA-256 that an artifact is known by: that of its bytes, as its index says, or one of its name and size where the index says none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeenDigest([u8; 32]);

impl SeenDigest {
    /// The most that one call takes: 32 kB, and some 10 ms of the write lock.
    pub const PAGE: usize = 1_000;

    /// A digest of which these are the bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The first and last bytes, in hexadecimal digits: enough to tell two apart in a log.
impl std::fmt::Debug for SeenDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, second, .., last] = self.0;
        write!(f, "SeenDigest({first:02x}{second:02x}…{last:02x})")
    }
}

/// A directory of a channel (`linux-64/`, `label/dev/noarch/`) whose artifacts are recorded.
///
/// The first generation that any gate records of it is its *baseline*: what is in it was there before anybody looked, and is never
/// quarantined. A baseline that was begun and not completed, because a gate died, is completed by whoever comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenDirectory {
    /// Its number in the store.
    pub(super) number: i64,
    /// When its baseline was begun.
    pub begun_at: Timestamp,
    /// When its baseline was completed; until then whatever is recorded is part of it.
    pub completed_at: Option<Timestamp>,
    /// When a gate last began to mark all that the directory lists.
    pub counted_at: Timestamp,
}

/// When an artifact was first seen in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// By the clock of the gate that saw it; the beginning of the baseline for what is in one.
    pub at: Timestamp,
    /// True if it was in the directory's baseline.
    pub baseline: bool,
}

impl Sighting {
    /// What another directory's sighting of the same artifact means in a directory whose baseline was begun at `begun_at`.
    ///
    /// An artifact keeps its age when it moves from label to label. That it was in a baseline counts only if that baseline is not younger
    /// than the directory's own: else a label made today would be a way around the quarantine of the others.
    #[must_use]
    pub fn elsewhere(self, begun_at: Timestamp) -> Self {
        Self { at: self.at, baseline: self.baseline && self.at <= begun_at }
    }
}
