//! A bounded map from digests to verdicts that can be read by everybody at once.
//!
//! Shards under a standard read-write lock each: a row of entries, and a table of their places. A digest is as good as random already, so its
//! own bytes are the hash and choose the shard; it stands in its entry only, and the table (`memory/places.rs`) has four bytes of each. When a shard
//! is full, the CLOCK algorithm chooses who goes: verdicts that were recalled since the hand last passed get a second chance; after a few of
//! them the next one goes regardless, so that no insertion holds the lock for long.
//!
//! Measured on two vCPUs (Zen 5) with a general table in the place of this one, random tokens, the record read from memory too: 75 ns a recall of 10,000 and 0.6 µs of 1,000,000, where
//! every step is a cache miss; 25 ns for the same token again and again, 55 ns with both vCPUs at it. That is half of what one lock around
//! one standard map with its own hash costs. By its sizes it takes some 68 bytes a verdict on a known token beside its record
//! (`benches/admit.rs` measures both together, and the whole way): the entry of 64, and five to nine in the table. moka takes 1 µs and 320 bytes,
//! and could not check a reading against the feed under the lock that forgetting takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

mod places;

use self::places::Places;
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
    places: Places,
    entries: Vec<Entry<V>>,
    hand: usize,
}

/// A cache line, for a known token, and so one miss and not two.
#[derive(Debug)]
#[repr(align(64))]
struct Entry<V> {
    digest: TokenDigest,
    verdict: V,
    stamp: Stamp,
}

/// When the reading of a verdict began, and whether the verdict was recalled since the hand last passed, in one word.
#[derive(Debug)]
struct Stamp(AtomicU64);

impl Stamp {
    /// The highest bit; the others are the uptime in nanoseconds, good for three centuries.
    const RECALLED: u64 = 1 << 63;

    fn new(read_at: Duration) -> Self {
        let nanos = u64::try_from(read_at.as_nanos()).unwrap_or(u64::MAX);
        Self(AtomicU64::new(nanos.min(!Self::RECALLED)))
    }

    /// Notes that the verdict is recalled, and says when its reading began.
    fn recall(&self) -> Duration {
        let stamp = self.0.load(Ordering::Relaxed);
        // Written only when it changes: a store would take the cache line away from the other readers.
        if stamp & Self::RECALLED == 0 {
            self.0.fetch_or(Self::RECALLED, Ordering::Relaxed);
        }
        Duration::from_nanos(stamp & !Self::RECALLED)
    }

    /// Whether the verdict was recalled since this was last called.
    fn pass(&self) -> bool {
        self.0.fetch_and(!Self::RECALLED, Ordering::Relaxed) & Self::RECALLED != 0
    }
}

impl<V> Memory<V> {
    /// What a verdict takes in its row.
    #[cfg(test)]
    pub(super) const ENTRY_BYTES: usize = size_of::<Entry<V>>();

    /// Room for at most `entries_max` verdicts.
    pub(super) fn new(entries_max: usize) -> Self {
        // Few entries get one shard, so that chance does not fill one of many early.
        let shards = match entries_max {
            ..FEW => 1,
            _ => entries_max.div_ceil(SHARD_ENTRIES).clamp(SHARDS_MIN, SHARDS_MAX),
        };
        Self {
            shards: std::iter::repeat_with(|| RwLock::new(Shard::new())).take(shards).collect(),
            shard_entries_max: (entries_max / shards).clamp(1, usize::from(Places::LAST) + 1),
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
        Some((taken, entry.stamp.recall()))
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
        shard.insert(Entry { digest: *digest, verdict, stamp: Stamp::new(read_at) }, self.shard_entries_max);
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

    /// Whether there is a verdict on a digest, whatever it is worth.
    pub(super) fn contains(&self, digest: &TokenDigest) -> bool {
        self.read(digest).is_some_and(|shard| shard.place_of(digest).is_some())
    }

    /// Does something with each digest.
    pub(super) fn for_each(&self, mut with: impl FnMut(&TokenDigest)) {
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.entries.iter().for_each(|entry| with(&entry.digest));
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
        // The last bytes; the first two are the tag within the shard.
        let last = digest.as_bytes().last_chunk().map_or(0, |last| u32::from_ne_bytes(*last));
        // As far along the shards as among all numbers.
        let place = (u64::from(last) * self.shards.len() as u64) >> 32;
        self.shards.get(usize::try_from(place).ok()?)
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
        Self { places: Places::default(), entries: Vec::new(), hand: 0 }
    }

    fn place_of(&self, digest: &TokenDigest) -> Option<usize> {
        let is_of = |place| self.entries.get(usize::from(place)).is_some_and(|entry| entry.digest == *digest);
        self.places.find(tag(digest), is_of).map(usize::from)
    }

    fn insert(&mut self, entry: Entry<V>, entries_max: usize) {
        let place = self.place_of(&entry.digest);
        if let Some(known) = place.and_then(|place| self.entries.get_mut(place)) {
            *known = entry;
            return;
        }
        if self.entries.len() >= entries_max {
            self.evict();
        }
        let length = self.entries.len();
        if length == self.entries.capacity() {
            // By little: a row that doubles stands half empty, in the mean for a quarter. What is copied then, some kilobytes for each new
            // entry in the mean, is nothing beside the reading that it came of.
            let room = (length / 32 + 8).min(entries_max.saturating_sub(length)).max(1);
            self.entries.reserve_exact(room);
        }
        let Ok(place) = u16::try_from(length) else { return };
        self.places.insert(tag(&entry.digest), place);
        self.entries.push(entry);
    }

    fn evict(&mut self) {
        for _ in 0..SECOND_CHANCES_MAX {
            self.hand = if self.hand < self.entries.len() { self.hand } else { 0 };
            match self.entries.get(self.hand) {
                Some(entry) if entry.stamp.pass() => self.hand += 1,
                _ => break,
            }
        }
        self.hand = if self.hand < self.entries.len() { self.hand } else { 0 };
        self.remove(self.hand);
        // The latest entry is there now, and not the next to go.
        self.hand += 1;
    }

    /// Removes the entry at `place`; the last entry takes its place.
    fn remove(&mut self, place: usize) {
        if place >= self.entries.len() {
            return;
        }
        let removed = self.entries.swap_remove(place);
        let (Ok(place), Ok(last)) = (u16::try_from(place), u16::try_from(self.entries.len())) else { return };
        self.places.remove(tag(&removed.digest), place);
        if let Some(moved) = self.entries.get(usize::from(place)) {
            self.places.moved(tag(&moved.digest), last, place);
        }
    }
}

/// The first two bytes; the last choose the shard.
fn tag(digest: &TokenDigest) -> u16 {
    digest.as_bytes().first_chunk().map_or(0, |first| u16::from_be_bytes(*first))
}

/// Fewer entries than these have one shard.
const FEW: usize = 16_384;

/// More have at least so many, so that few wait for one lock, and at most so many, whatever was asked for.
const SHARDS_MIN: usize = 256;
const SHARDS_MAX: usize = 65_536;

/// Between them there are as many as let each have so many entries: a table is a power of two of places of which it fills at most 7/8, and
/// this nearly fills one.
const SHARD_ENTRIES: usize = 3_328;

/// How many recalled verdicts the hand passes before it takes one regardless.
const SECOND_CHANCES_MAX: usize = 16;

#[cfg(test)]
mod tests;
