//! Files that an upstream said it does not have, for seconds.
//!
//! Clients ask for the same missing file in crowds: a package that was withdrawn, metadata that few channels have. A new index may name what
//! was missing a moment ago, so its arrival drops what is remembered of its directory ([`Absent::forget_beside`]).
//!
//! An index is asked for each time. That it was missing is remembered all the same, for an outage: conda and rattler first ask for sharded
//! indexes, which many channels do not have, and give up at 503, though the index that they would ask for next is cached. Never is a failure
//! remembered as a file that is missing. Bounded in number; the least asked for go first.

use std::time::Duration;

use moka::sync::Cache;

use super::key::{Key, KeyDigest};
use super::sha256::Hashing;

/// The files that are known to be missing.
#[derive(Clone)]
pub(super) struct Absent {
    known: Cache<KeyDigest, Absence>,
}

/// One that is.
#[derive(Clone, Copy)]
struct Absence {
    /// The directory that it is missing from; `None` for an index, which no other index names.
    directory: Option<[u8; 32]>,
    /// On the clock that counts the machine's uptime.
    since: Duration,
}

/// Some 150 bytes each.
const FILES_MAX: u64 = 10_000;

impl Absent {
    /// None is known yet.
    pub(super) fn new() -> Self {
        Self { known: Cache::new(FILES_MAX) }
    }

    /// The upstream said, at `uptime`, that it has no such file.
    pub(super) fn note(&self, key: &Key, uptime: Duration) {
        self.known.insert(key.digest(), Absence { directory: Some(directory(key)), since: uptime });
    }

    /// The same of an index.
    pub(super) fn note_index(&self, key: &Key, uptime: Duration) {
        self.known.insert(key.digest(), Absence { directory: None, since: uptime });
    }

    /// True if that was said less than `ttl` ago.
    pub(super) fn knows(&self, key: &Key, uptime: Duration, ttl: Duration) -> bool {
        let absence = self.known.get(&key.digest());
        let Some(absence) = absence else { return false };
        let holds = uptime.saturating_sub(absence.since) < ttl;
        if !holds {
            self.known.invalidate(&key.digest());
        }
        holds
    }

    /// Forgets all that are missing in the directory of `key`, but for indexes.
    pub(super) fn forget_beside(&self, key: &Key) {
        let there = Some(directory(key));
        for (digest, absence) in &self.known {
            if absence.directory == there {
                self.known.invalidate(&*digest);
            }
        }
    }
}

/// Names the directory of a file: channel, upstreams, label and subdirectory. A folder of shards belongs to the directory that it is in.
fn directory(key: &Key) -> [u8; 32] {
    let (directory, _) = key.path().rsplit_once('/').unwrap_or_default();
    let directory = directory.strip_suffix("/shards").unwrap_or(directory);
    let mut hashing = Hashing::new();
    for piece in [key.channel().as_str().as_bytes(), key.upstreams().as_bytes(), directory.as_bytes()] {
        hashing.update(&(piece.len() as u64).to_le_bytes());
        hashing.update(piece);
    }
    *hashing.finish().as_bytes()
}

#[cfg(test)]
mod tests;
