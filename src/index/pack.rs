//! All shards of a directory (CEP 16) in one file, a *pack*, and how one is found in it.
//!
//! The gate makes shards where the upstream has none, and for each view of a channel. Tens of thousands of small files would be as many
//! objects of the cache, so a directory's are one object:
//!
//! ```text
//! magic │ shards, one after the other │ shard index │ table of shards │ table of packages │ trailer
//! ```
//!
//! | table | sorted by | a row says |
//! | --- | --- | --- |
//! | of shards | digest | where the shard stands, how long it is, since when no index lists it |
//! | of packages | name | the digest of the records that the shard was made of, and the shard's |
//!
//! A pack is made from a document and from the pack before (`pack/making.rs`): shards of packages whose records are as they were are
//! copied, and what is listed no more stays for [`KEPT`], because clients hold an index for a while before they ask for its shards. The
//! pack of a view holds only what differs from the pack of the whole: the rest it lists, and refers to ([`Found::InWhole`]). A shard that
//! the view's own table does not list is not there for the view, whoever else has it.
//!
//! Nothing is read ahead: a shard is found by halving, with some twenty small reads, and memory is what is asked for.

mod making;

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

pub use self::making::{Ancestry, Packed};
use super::document::Document;
use super::selection::Selection;
use crate::cache::Sha256;
use crate::clock::Timestamp;

/// A pack that has been made.
#[derive(Clone, Debug)]
pub struct Pack {
    file: Arc<File>,
    /// Where it begins in the file.
    at: u64,
    trailer: Trailer,
}

/// Where a shard is that a pack lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// In the pack, at these bytes of it.
    Here(Range<u64>),
    /// In the pack of the whole directory.
    InWhole,
}

/// What stands where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trailer {
    index: (u64, u64),
    index_sha256: Sha256,
    /// Where the table of shards stands, and its number of rows.
    shards: (u64, u64),
    /// Where the table of packages stands, and its bytes.
    packages: (u64, u64),
}

/// A row of the table of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    sha256: Sha256,
    /// [`IN_WHOLE`] if it is not in the pack.
    offset: u64,
    length: u64,
    /// When the first index was made that does not list it.
    superseded_at: Option<Timestamp>,
}

/// A row of the table of packages.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Package {
    name: Box<str>,
    /// The digest of what it was made of.
    source: Sha256,
    shard: Sha256,
}

impl Pack {
    /// Makes a pack of what `selection` shows of a document, for the directory `subdir`.
    ///
    /// # Errors
    ///
    /// Those of `out`, and of reading the packs of the ancestry; [`io::ErrorKind::InvalidData`] if the document holds a string that is none,
    /// which inspection would have found.
    pub fn make(
        document: &Document,
        selection: &Selection,
        subdir: &str,
        ancestry: &Ancestry<'_>,
        out: &mut impl Write,
    ) -> io::Result<Packed> {
        making::make(document, selection, subdir, ancestry, out)
    }

    /// Opens a pack that is the `length` bytes of `file` from `at`.
    ///
    /// # Errors
    ///
    /// Those of reading; [`io::ErrorKind::InvalidData`] if it is no pack, or one of another version: make it anew.
    pub fn open(file: Arc<File>, at: u64, length: u64) -> io::Result<Self> {
        let end = length.checked_sub(TRAILER_BYTES as u64).ok_or_else(invalid)?;
        let mut bytes = [0; TRAILER_BYTES];
        file.read_exact_at(&mut bytes, at.checked_add(end).ok_or_else(invalid)?)?;
        let trailer = Trailer::of_bytes(&bytes).filter(|trailer| trailer.fits(end)).ok_or_else(invalid)?;
        Ok(Self { file, at, trailer })
    }

    /// Where a shard is, if the pack lists it or did so within the last [`KEPT`].
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn find(&self, sha256: &Sha256) -> io::Result<Option<Found>> {
        let (start, rows) = self.trailer.shards;
        let (mut low, mut high) = (0, rows);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut bytes = [0; SHARD_BYTES];
            self.read_at(&mut bytes, start + middle * SHARD_BYTES as u64)?;
            let shard = Shard::of_bytes(&bytes).ok_or_else(invalid)?;
            match shard.sha256.as_bytes().cmp(sha256.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.found(&shard).map(Some),
            }
        }
        Ok(None)
    }

    fn found(&self, shard: &Shard) -> io::Result<Found> {
        if shard.offset == IN_WHOLE {
            return Ok(Found::InWhole);
        }
        let end = shard.offset.checked_add(shard.length).filter(|end| *end <= self.trailer.index.0);
        Ok(Found::Here(shard.offset..end.ok_or_else(invalid)?))
    }

    /// Where the shard index is in the pack: the bytes of `repodata_shards.msgpack.zst`, and their digest.
    pub fn index(&self) -> (Range<u64>, Sha256) {
        let (start, length) = self.trailer.index;
        (start..start + length, self.trailer.index_sha256)
    }

    /// Bytes of the pack, as [`Self::find`] and [`Self::index`] tell where they are.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let length = range.end.checked_sub(range.start).ok_or_else(invalid)?;
        // A trailer may lie; a file that ends does not.
        let length = usize::try_from(length.min(self.file.metadata()?.len())).map_err(|_| invalid())?;
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, range.start)?;
        Ok(bytes)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, self.at.checked_add(offset).ok_or_else(invalid)?)
    }

    /// The table of shards.
    fn shards(&self) -> io::Result<Vec<Shard>> {
        let (start, rows) = self.trailer.shards;
        let bytes = self.read(start..start + rows * SHARD_BYTES as u64)?;
        let (rows, _) = bytes.as_chunks::<SHARD_BYTES>();
        rows.iter().map(|row| Shard::of_bytes(row).ok_or_else(invalid)).collect()
    }

    /// The table of packages.
    fn packages(&self) -> io::Result<Vec<Package>> {
        let (start, length) = self.trailer.packages;
        let bytes = self.read(start..start + length)?;
        let (mut rest, mut packages) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (package, after) = Package::of_bytes(rest).ok_or_else(invalid)?;
            packages.push(package);
            rest = after;
        }
        Ok(packages)
    }
}

impl Trailer {
    /// Whether all of it lies before `end`.
    fn fits(&self, end: u64) -> bool {
        let (shards, rows) = self.shards;
        let shards = (shards, rows.saturating_mul(SHARD_BYTES as u64));
        [self.index, shards, self.packages].iter().all(|(start, length)| start.saturating_add(*length) <= end)
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TRAILER_BYTES);
        for (at, length) in [self.index, self.shards, self.packages] {
            bytes.extend(at.to_le_bytes());
            bytes.extend(length.to_le_bytes());
        }
        bytes.extend(self.index_sha256.as_bytes());
        bytes.extend(MAGIC);
        bytes
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let mut bytes = bytes;
        let mut pair = || Some((number(&mut bytes)?, number(&mut bytes)?));
        let (index, shards, packages) = (pair()?, pair()?, pair()?);
        let index_sha256 = digest(&mut bytes)?;
        (bytes == MAGIC).then_some(Self { index, index_sha256, shards, packages })
    }
}

impl Shard {
    fn to_bytes(self) -> Vec<u8> {
        let superseded_at = self.superseded_at.map_or(0, Timestamp::as_millis);
        let mut bytes = Vec::with_capacity(SHARD_BYTES);
        bytes.extend(self.sha256.as_bytes());
        bytes.extend(self.offset.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(superseded_at.to_le_bytes());
        bytes
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let mut bytes = bytes;
        let (sha256, offset, length) = (digest(&mut bytes)?, number(&mut bytes)?, number(&mut bytes)?);
        let superseded_at = i64::from_le_bytes(number(&mut bytes)?.to_le_bytes());
        let superseded_at = (superseded_at != 0).then(|| Timestamp::from_millis(superseded_at));
        Some(Self { sha256, offset, length, superseded_at })
    }
}

impl Package {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend((self.name.len() as u64).to_le_bytes());
        out.extend(self.name.as_bytes());
        out.extend(self.source.as_bytes());
        out.extend(self.shard.as_bytes());
    }

    /// The first row of these bytes, and the others.
    fn of_bytes(mut bytes: &[u8]) -> Option<(Self, &[u8])> {
        let length = usize::try_from(number(&mut bytes)?).ok()?;
        let (name, mut rest) = bytes.split_at_checked(length)?;
        let name = std::str::from_utf8(name).ok()?.into();
        let (source, shard) = (digest(&mut rest)?, digest(&mut rest)?);
        Some((Self { name, source, shard }, rest))
    }
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}

fn digest(bytes: &mut &[u8]) -> Option<Sha256> {
    let (digest, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(Sha256::from_bytes(*digest))
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is no pack of shards, or a damaged one")
}

/// How long a shard stays when no index lists it any more.
pub const KEPT: Duration = Duration::from_hours(8 * 24);

/// The offset of what is in another pack.
const IN_WHOLE: u64 = u64::MAX;

/// At both ends, with the version of the layout.
const MAGIC: &[u8] = b"cgpack1\n";

const TRAILER_BYTES: usize = 6 * 8 + 32 + MAGIC.len();
const SHARD_BYTES: usize = 32 + 3 * 8;
