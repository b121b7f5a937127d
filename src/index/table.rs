//! The table of an index's files: what it says of each, found by name without reading the index again.
//!
//! ```text
//! entry …, in order of their names' digests, to the end of the file
//! entry: first 16 bytes of SHA-256(file name) | 1: what is known (bit 0 digest, bit 1 size) | 32: digest | 8: size LE
//! ```
//!
//! Entries have one size and their keys are evenly spread, so a lookup guesses where an entry stands, reads [`BLOCK_ENTRIES`] there and
//! guesses again within what is left: two reads for 600,000 entries. The table is never in memory whole. It is foreign bytes like any
//! file: nothing in it is trusted to be in order or in range. Made by `sorting.rs`, looked up by `digests.rs`.

use std::io;

use aws_lc_rs::digest::{SHA256, digest};

use super::records::Said;
use crate::cache::Sha256;

/// What a file name is found by: the first half of its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NameDigest([u8; 16]);

impl NameDigest {
    pub(super) fn of(name: &str) -> Self {
        let digest = digest(&SHA256, name.as_bytes());
        Self(digest.as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// How far into the table it should stand, of 2^64.
    fn position(self) -> u64 {
        u64::from_be_bytes(self.0.first_chunk().copied().unwrap_or_default())
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: NameDigest,
    pub(super) said: Said,
}

impl Entry {
    pub(super) fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let Said { sha256, size } = self.said;
        let known = u8::from(sha256.is_some()) | u8::from(size.is_some()) << 1;
        let mut bytes = [0; ENTRY_BYTES];
        let fields = self
            .name
            .0
            .into_iter()
            .chain([known])
            .chain(sha256.map_or([0; 32], |sha256| *sha256.as_bytes()))
            .chain(size.unwrap_or_default().to_le_bytes());
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = field;
        }
        bytes
    }

    pub(super) fn of_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let field = |at: usize| bytes.get(at..).unwrap_or_default();
        let known = field(16).first().copied().unwrap_or_default();
        let sha256 = field(17).first_chunk().copied().filter(|_| known & 1 != 0).map(Sha256::from_bytes);
        let size = field(49).first_chunk().copied().map(u64::from_le_bytes).filter(|_| known & 2 != 0);
        Self {
            name: NameDigest(field(0).first_chunk().copied().unwrap_or_default()),
            said: Said { sha256, size },
        }
    }
}

/// What the table of `table_bytes` bytes behind `read_at` says of a file. `read_at` fills the buffer from an offset.
///
/// # Errors
///
/// What `read_at` says, and [`io::ErrorKind::InvalidData`] for what is no table.
pub(super) fn find(
    name: &str,
    table_bytes: u64,
    mut read_at: impl FnMut(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<Option<Said>> {
    let entry_bytes = ENTRY_BYTES as u64;
    if !table_bytes.is_multiple_of(entry_bytes) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let wanted = NameDigest::of(name);
    // The entry is in `low..high`; the keys there are within the bounds.
    let (mut low, mut high) = (0, table_bytes / entry_bytes);
    let (mut least, mut most) = (0, u64::MAX);
    let mut buffer = [0; BLOCK_ENTRIES as usize * ENTRY_BYTES];
    for round in 0.. {
        if low >= high {
            break;
        }
        // Guesses may go wrong on a table that somebody made up: halving ends all the same.
        let middle = if round < GUESSES_MAX {
            guess(wanted.position(), (low, high), (least, most))
        } else {
            low.midpoint(high)
        };
        let start = middle.saturating_sub(BLOCK_ENTRIES / 2).clamp(low, high - 1);
        let end = high.min(start + BLOCK_ENTRIES);
        let bytes = usize::try_from(end - start).unwrap_or_default() * ENTRY_BYTES;
        let Some(block) = buffer.get_mut(..bytes) else { break };
        read_at(block, start * entry_bytes)?;
        let (entries, _) = block.as_chunks::<ENTRY_BYTES>();
        let Ok(at) = entries.binary_search_by_key(&wanted, |entry| Entry::of_bytes(entry).name) else {
            let (Some(first), Some(last)) = (entries.first(), entries.last()) else { break };
            let (first, last) = (Entry::of_bytes(first).name, Entry::of_bytes(last).name);
            if wanted < first {
                (high, most) = (start, first.position());
            } else if wanted > last {
                (low, least) = (end, last.position());
            } else {
                break;
            }
            continue;
        };
        return Ok(entries.get(at).map(|entry| Entry::of_bytes(entry).said));
    }
    Ok(None)
}

/// Where in `low..high` a key of this position should stand, if the keys there are spread evenly between `least` and `most`.
fn guess(position: u64, (low, high): (u64, u64), (least, most): (u64, u64)) -> u64 {
    let offset = u128::from(position.saturating_sub(least)) * u128::from(high - low);
    let share = offset / u128::from(most.saturating_sub(least).max(1));
    low + u64::try_from(share).unwrap_or(u64::MAX).min(high - low - 1)
}

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 57;

/// How many entries a lookup reads at once: 3.6 KiB.
const BLOCK_ENTRIES: u64 = 64;

/// How often a lookup guesses before it halves.
const GUESSES_MAX: u32 = 8;
