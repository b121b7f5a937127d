//! A bounded map from digests to verdicts that can be read by everybody at once.
//!
//! Shards under a standard read-write lock each: a row of entries, and a table of their places. A digest is as good as random already, so its
//! own bytes are the hash and choose the shard; it stands in its entry only, and the table has but the places, four bytes each. When a shard is full, the CLOCK algorithm chooses who goes: verdicts that were recalled since the hand last
//! passed get a second chance; after a few of them the next one goes regardless, so that no insertion holds the lock for long.
//!
//! Measured on two vCPUs (Zen 5), random tokens, the record read from memory too: 75 ns a recall of 10,000 and 0.6 µs of 1,000,000, where
//! every step is a cache miss; 25 ns for the same token again and again, 55 ns with both vCPUs at it. That is half of what one lock around
//! one standard map with its own hash costs. By its sizes it takes some 85 bytes a verdict beside its record (`benches/admit.rs` measures
//! both together, and the whole way). moka takes 1 µs and 320 bytes, and could not check a reading against the feed under the lock that forgetting takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use hashbrown::HashTable;

use crate::token::TokenDigest;

/// Verdicts by digest, at most as many as were asked for.
#[derive(Debug)]
pub(super) struct Memory<V> {
    shards: Box<[RwLock<Shard<V>>]>,
    shard_entries_max: usize,
}

/// A cache line to itself, so that the locks of neighbours do not slow each other down.
#[derive(Debug)]
#[repr(align(64))]
struct Shard<V> {
    /// Where in `entries` each digest's verdict is.
    places: HashTable<u32>,
    entries: Vec<Entry<V>>,
    hand: usize,
}

#[derive(Debug)]
struct Entry<V> {
    digest: TokenDigest,
    verdict: V,
    /// The uptime when its reading began, in nanoseconds: good for five centuries.
    read_at_nanos: u64,
    recalled: AtomicBool,
}

impl<V> Memory<V> {
    /// Room for at most `entries_max` verdicts.
    pub(super) fn new(entries_max: usize) -> Self {
        // Few entries get one shard, so that chance does not fill one of many early.
        let shards = if entries_max < SHARDS * 64 { 1 } else { SHARDS };
        Self {
            shards: std::iter::repeat_with(|| RwLock::new(Shard::new())).take(shards).collect(),
            shard_entries_max: (entries_max / shards).clamp(1, u32::MAX as usize),
        }
    }

    /// What `take` makes of the verdict on a digest, under its shard's lock, and when its reading began. A verdict that `take` declines
    /// stays until it is replaced or its turn comes.
    pub(super) fn recall<T>(
        &self,
        digest: &TokenDigest,
        take: impl FnOnce(&V) -> Option<T>,
    ) -> Option<(T, Duration)> {
        let shard = self.read(digest)?;
        let entry = shard.entries.get(shard.place_of(digest)?)?;
        let taken = take(&entry.verdict)?;
        // Written only when it changes: a store would take the cache line away from the other readers.
        if !entry.recalled.load(Ordering::Relaxed) {
            entry.recalled.store(true, Ordering::Relaxed);
        }
        Some((taken, Duration::from_nanos(entry.read_at_nanos)))
    }

    /// Remembers a verdict if `still_true` says so under the lock that [`forget`](Self::forget) takes.
    pub(super) fn remember(
        &self,
        digest: &TokenDigest,
        verdict: V,
        read_at: Duration,
        still_true: impl FnOnce() -> bool,
    ) -> bool {
        let Some(mut shard) = self.write(digest) else { return false };
        if !still_true() {
            return false;
        }
        let read_at_nanos = u64::try_from(read_at.as_nanos()).unwrap_or(u64::MAX);
        let entry = Entry { digest: *digest, verdict, read_at_nanos, recalled: AtomicBool::new(false) };
        shard.insert(entry, self.shard_entries_max);
        true
    }

    /// Drops the verdict on a digest.
    pub(super) fn forget(&self, digest: &TokenDigest) {
        if let Some(mut shard) = self.write(digest)
            && let Some(place) = shard.place_of(digest)
        {
            shard.remove(place);
        }
    }

    /// How many verdicts are remembered.
    pub(super) fn len(&self) -> usize {
        let lengths = self.shards.iter().map(|shard| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.entries.len()
        });
        lengths.sum()
    }

    fn shard(&self, digest: &TokenDigest) -> Option<&RwLock<Shard<V>>> {
        // The last byte; the first eight are the hash within the shard.
        let [.., byte] = digest.as_bytes();
        self.shards.get(usize::from(*byte) % self.shards.len())
    }

    fn read(&self, digest: &TokenDigest) -> Option<RwLockReadGuard<'_, Shard<V>>> {
        Some(self.shard(digest)?.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, digest: &TokenDigest) -> Option<RwLockWriteGuard<'_, Shard<V>>> {
        Some(self.shard(digest)?.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<V> Shard<V> {
    fn new() -> Self {
        Self { places: HashTable::new(), entries: Vec::new(), hand: 0 }
    }

    fn place_of(&self, digest: &TokenDigest) -> Option<usize> {
        let is_of =
            |place: &u32| self.entries.get(*place as usize).is_some_and(|entry| entry.digest == *digest);
        self.places.find(hash(digest), is_of).map(|place| *place as usize)
    }

    fn insert(&mut self, entry: Entry<V>, entries_max: usize) {
        if let Some(place) = self.place_of(&entry.digest) {
            self.remove(place);
        } else if self.entries.len() >= entries_max {
            self.evict();
        }
        if self.entries.len() == self.entries.capacity() {
            // By an eighth: a row that doubles stands half empty, in the mean for a quarter.
            self.entries.reserve_exact(self.entries.len() / 8 + 8);
        }
        let Ok(place) = u32::try_from(self.entries.len()) else { return };
        let hash_of = hash(&entry.digest);
        self.entries.push(entry);
        let entries = &self.entries;
        self.places.insert_unique(hash_of, place, |place| hash_at(entries, *place));
    }

    fn evict(&mut self) {
        for _ in 0..SECOND_CHANCES_MAX {
            self.hand = if self.hand < self.entries.len() { self.hand } else { 0 };
            match self.entries.get(self.hand) {
                Some(entry) if entry.recalled.swap(false, Ordering::Relaxed) => self.hand += 1,
                _ => break,
            }
        }
        self.hand = if self.hand < self.entries.len() { self.hand } else { 0 };
        self.remove(self.hand);
    }

    /// Removes the entry at `place`; the last entry takes its place.
    #[expect(clippy::cast_possible_truncation, reason = "a shard has at most u32::MAX entries")]
    fn remove(&mut self, place: usize) {
        if place >= self.entries.len() {
            return;
        }
        let removed = self.entries.swap_remove(place);
        let (place, last) = (place as u32, self.entries.len() as u32);
        if let Ok(found) = self.places.find_entry(hash(&removed.digest), |found| *found == place) {
            found.remove();
        }
        if let Some(moved) = self.entries.get(place as usize)
            && let Some(found) = self.places.find_mut(hash(&moved.digest), |found| *found == last)
        {
            *found = place;
        }
    }
}

/// The first eight bytes; the last chooses the shard.
fn hash(digest: &TokenDigest) -> u64 {
    digest.as_bytes().first_chunk().map_or(0, |first| u64::from_ne_bytes(*first))
}

fn hash_at<V>(entries: &[Entry<V>], place: u32) -> u64 {
    entries.get(place as usize).map_or(0, |entry| hash(&entry.digest))
}

const SHARDS: usize = 256;

/// How many recalled verdicts the hand passes before it takes one regardless.
const SECOND_CHANCES_MAX: usize = 16;

#[cfg(test)]
mod tests;
