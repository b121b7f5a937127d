//! The table of an index's files: what it says of each, found by name without reading the index again; and where the index leads.
//!
//! ```text
//! entry …, in order of their names' digests
//! entry: first 16 bytes of SHA-256(file name) | 1: what is known | 32: digest | 8: size LE | 7: where its URL begins, LE
//! what is known: bit 0 digest, bit 1 size, bit 2 the record is odd, bit 3 the file has a URL of its own
//! URL …: 2: its bytes LE | itself
//! the leads (`leads.rs`)
//! 8: bytes of the entries | 8: of the URLs | 4: of the leads, LE | 8: "cgtable2"
//! ```
//!
//! Entries have one size and their keys are evenly spread, so a lookup guesses where an entry stands, reads [`BLOCK_ENTRIES`] there and
//! guesses again within what is left: two reads for 600,000 entries. The table is never in memory whole. It is foreign bytes like any
//! file: nothing in it is trusted to be in order or in range, and one that ends otherwise, as those of older versions do, is none: it is made
//! anew. Made by `sorting.rs`, looked up by `digests.rs`.

use std::io;

use aws_lc_rs::digest::{SHA256, digest};
use url::Url;

use super::leads::{self, Leads};
use super::records::Said;
use crate::cache::Sha256;
use crate::upstream::Lead;

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
    /// Where among the URLs the file's own stands, if it has one.
    pub(super) url_at: Option<u64>,
}

/// What a table says of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) said: Said,
    /// Where the file is, if its record says so.
    pub(super) at: Option<Lead>,
}

impl Entry {
    pub(super) fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let Said { sha256, size, odd } = self.said;
        let flags = [sha256.is_some(), size.is_some(), odd, self.url_at.is_some()];
        let known = flags.into_iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(flag));
        let mut bytes = [0; ENTRY_BYTES];
        let fields = self
            .name
            .0
            .into_iter()
            .chain([known])
            .chain(sha256.map_or([0; 32], |sha256| *sha256.as_bytes()))
            .chain(size.unwrap_or_default().to_le_bytes())
            .chain(self.url_at.unwrap_or_default().to_le_bytes().into_iter().take(7));
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = field;
        }
        bytes
    }

    pub(super) fn of_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let field = |at: usize| bytes.get(at..).unwrap_or_default();
        let known = field(16).first().copied().unwrap_or_default();
        let is_known = |bit: u8| known >> bit & 1 != 0;
        let sha256 = field(17).first_chunk().copied().filter(|_| is_known(0)).map(Sha256::from_bytes);
        let size = field(49).first_chunk().copied().map(u64::from_le_bytes).filter(|_| is_known(1));
        let url_at = field(57).iter().rev().fold(0, |at, byte| at << 8 | u64::from(*byte));
        Self {
            name: NameDigest(field(0).first_chunk().copied().unwrap_or_default()),
            said: Said { sha256, size, odd: is_known(2) },
            url_at: is_known(3).then_some(url_at),
        }
    }
}

/// What stands behind the entries and the URLs.
pub(super) fn ending(entry_bytes: u64, url_bytes: u64, upstream: usize, leads: &Leads) -> Vec<u8> {
    let mut ending = leads::to_bytes(upstream, leads);
    let leads_bytes = u32::try_from(ending.len()).unwrap_or(u32::MAX);
    ending.extend(entry_bytes.to_le_bytes());
    ending.extend(url_bytes.to_le_bytes());
    ending.extend(leads_bytes.to_le_bytes());
    ending.extend(MAGIC);
    ending
}

/// A table's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    entry_bytes: u64,
    url_bytes: u64,
    /// The upstream that sent the index.
    upstream: usize,
    pub(super) leads: Leads,
}

impl Layout {
    /// The layout of the table of `bytes` bytes behind `read_at`, which fills the buffer from an offset.
    ///
    /// # Errors
    ///
    /// What `read_at` says, and [`io::ErrorKind::InvalidData`] for what is no table.
    pub(super) fn read(
        bytes: u64,
        mut read_at: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<Self> {
        let none = || io::Error::from(io::ErrorKind::InvalidData);
        let mut foot = [0; FOOT_BYTES];
        let foot_at = bytes.checked_sub(FOOT_BYTES as u64).ok_or_else(none)?;
        read_at(&mut foot, foot_at)?;
        let field = |at: usize| foot.get(at..).unwrap_or_default();
        let number = |at: usize| field(at).first_chunk().copied().map(u64::from_le_bytes).unwrap_or_default();
        let (entry_bytes, url_bytes) = (number(0), number(8));
        let leads_bytes = field(16).first_chunk().copied().map(u32::from_le_bytes).unwrap_or_default();
        let sum = entry_bytes.checked_add(url_bytes).and_then(|sum| sum.checked_add(leads_bytes.into()));
        let is_whole = sum == Some(foot_at) && entry_bytes.is_multiple_of(ENTRY_BYTES as u64);
        if field(20) != MAGIC || !is_whole || leads_bytes > LEADS_BYTES_MAX {
            return Err(none());
        }
        let mut leads = vec![0; usize::try_from(leads_bytes).unwrap_or_default()];
        read_at(&mut leads, entry_bytes.saturating_add(url_bytes))?;
        let (upstream, leads) = leads::of_bytes(&leads).ok_or_else(none)?;
        Ok(Self { entry_bytes, url_bytes, upstream, leads })
    }

    /// What the table says of a file.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub(super) fn find(
        &self,
        name: &str,
        mut read_at: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<Option<Found>> {
        let Some(entry) = find(name, self.entry_bytes, &mut read_at)? else { return Ok(None) };
        let at = entry.url_at.map(|at| self.url(at, &mut read_at)).transpose()?;
        Ok(Some(Found { said: entry.said, at: at.map(|url| Lead::new(self.upstream, url)) }))
    }

    /// The URL that begins here among the URLs.
    fn url(&self, at: u64, read_at: &mut impl FnMut(&mut [u8], u64) -> io::Result<()>) -> io::Result<Url> {
        let none = || io::Error::from(io::ErrorKind::InvalidData);
        let text_at = at.checked_add(2).filter(|text_at| *text_at <= self.url_bytes).ok_or_else(none)?;
        let mut length = [0; 2];
        read_at(&mut length, self.entry_bytes + at)?;
        let length = u16::from_le_bytes(length);
        if u64::from(length) > self.url_bytes - text_at {
            return Err(none());
        }
        let mut text = vec![0; length.into()];
        read_at(&mut text, self.entry_bytes + text_at)?;
        std::str::from_utf8(&text).ok().and_then(|text| Url::parse(text).ok()).ok_or_else(none)
    }
}

/// The entry of a file among those of `table_bytes` bytes behind `read_at`. `read_at` fills the buffer from an offset.
///
/// # Errors
///
/// What `read_at` says.
fn find(
    name: &str,
    table_bytes: u64,
    mut read_at: impl FnMut(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<Option<Entry>> {
    let entry_bytes = ENTRY_BYTES as u64;
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
        return Ok(entries.get(at).map(Entry::of_bytes));
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
pub(super) const ENTRY_BYTES: usize = 64;

/// Bytes of what ends a table.
const FOOT_BYTES: usize = 28;

/// What a table of this version ends with.
const MAGIC: &[u8] = b"cgtable2";

/// Two URLs, each of which was one token of an index: more than any index has.
const LEADS_BYTES_MAX: u32 = 4 << 20;

/// How many entries a lookup reads at once: 4 KiB.
const BLOCK_ENTRIES: u64 = 64;

/// How often a lookup guesses before it halves.
const GUESSES_MAX: u32 = 8;
