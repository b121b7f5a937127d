//! Makes one representation of an index from another, for where the upstream's own is of an older generation; and the index of shards
//! anew, for where it leads clients past the gate.
//!
//! What is made is a part of its own beside the upstream's file, so that the upstream goes on being asked under the validators of its own
//! file and is believed as soon as it has caught up. It carries no entity tag of the upstream's. The bytes are read through the same meter
//! as an inspection, and the document's digest is held against the generation that it is made for. Blocking; `indexes.rs` decides when.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::meter::{Decoded, Scan};
use super::records::Sink;
use super::writing::Length;
use super::{Coding, IndexFault, IndexKind, Limits, STREAM_BUFFER_BYTES, shard_index};
use crate::cache::{Draft, DraftError, Facts, Key, Object, Proof};

/// The body of an object, as a file of its own.
pub(super) struct Section {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Section {
    pub(super) fn of(object: &Object) -> Self {
        Self { file: Arc::clone(object.file()), at: 0, end: object.facts().length }
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..left) else { return Ok(0) };
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The body of an object that is a document, decompressed. Blocking.
///
/// # Errors
///
/// What the disk says, and a fault where it cannot be decompressed within `limits`.
pub(super) fn decoded(object: &Object, limits: &Limits) -> Result<Vec<u8>, IndexFault> {
    let path = &object.facts().path;
    let coding = match path.rsplit('.').next() {
        Some("zst") => Coding::Zstd,
        Some("bz2") => Coding::Bzip2,
        _ => Coding::Plain,
    };
    let scan = Scan::new(*limits);
    let mut section = Section::of(object);
    let mut document = Vec::new();
    let read = Decoded::new(coding, &mut section, &scan).and_then(|decoded| {
        let mut document_of = Tokens { decoded, scan: &scan };
        document_of.read_to_end(&mut document).map_err(|source| IndexFault::Read { source })
    });
    match scan.take_fault() {
        Some(fault) => Err(fault),
        None => read.map(|_| document),
    }
}

/// Makes the file of `key` from `source`, into `draft`. Blocking.
///
/// # Errors
///
/// What the disk says, and [`io::ErrorKind::InvalidData`] if the source is not what it was.
pub(super) fn make(key: &Key, source: &Object, draft: Draft, limits: &Limits) -> Result<Object, DraftError> {
    let kind = IndexKind::of(key.path().rsplit('/').next().unwrap_or_default());
    let transcript = Transcript { source, limits, rewrites: kind == Some(IndexKind::ShardIndex) };
    let scan = Scan::reading(*limits, Sink::Nobody, None);
    let mut draft = Written::new(draft);
    let copied = match kind.map(IndexKind::coding) {
        Some(Coding::Zstd) => transcript.compress(&scan, &mut draft),
        _ => transcript.write(&scan, &mut draft),
    };
    let draft = draft.into_draft(copied)?;
    let generation = scan.finish().generation;
    if generation != source.facts().generation {
        let changed = "an index is not what it was when it was kept";
        return Err(DraftError::Io(io::Error::new(io::ErrorKind::InvalidData, changed)));
    }
    let facts = Facts {
        part: key.part(),
        path: key.path().to_owned(),
        // A shard index is made only to be rewritten; of any other kind the whole document is taken over, with what is the matter with it.
        proof: if transcript.rewrites { Proof::Inspected } else { source.facts().proof },
        length: draft.written(),
        sha256: draft.sha256_so_far(),
        etag: None,
        ..source.facts().clone()
    };
    draft.seal(facts)
}

/// What is written of a source: its document, or the shard index that it is without what leads away.
struct Transcript<'a> {
    source: &'a Object,
    limits: &'a Limits,
    rewrites: bool,
}

impl Transcript<'_> {
    fn write(&self, scan: &Scan, out: &mut impl Write) -> io::Result<()> {
        let mut section = Section::of(self.source);
        let decoded = Decoded::new(self.coding(), &mut section, scan).map_err(io::Error::other)?;
        let mut document = Tokens { decoded, scan };
        if self.rewrites {
            return shard_index::rewrite(BufReader::new(document), out);
        }
        io::copy(&mut document, out).map(|_| ())
    }

    /// One frame that says how large it is: conda reads no other.
    fn compress(&self, scan: &Scan, out: &mut impl Write) -> io::Result<()> {
        let length = if self.coding() == Coding::Plain && !self.rewrites {
            self.source.facts().length
        } else {
            let mut length = Length(0);
            self.write(&Scan::new(*self.limits), &mut length)?;
            length.0
        };
        let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
        encoder.set_pledged_src_size(Some(length))?;
        self.write(scan, &mut encoder)?;
        encoder.finish().map(|_| ())
    }

    fn coding(&self) -> Coding {
        let file = self.source.facts().path.rsplit('/').next().unwrap_or_default();
        IndexKind::of(file).map_or(Coding::Plain, IndexKind::coding)
    }
}

/// A document that nobody parses: each piece of it counts as a token.
struct Tokens<'a> {
    decoded: Decoded<'a>,
    scan: &'a Scan,
}

impl Read for Tokens<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.scan.saw_token();
        // No larger a piece than a parser would read: whoever reads all asks for more each time, and would have one that is too long.
        let piece = buffer.len().min(STREAM_BUFFER_BYTES);
        self.decoded.read(buffer.get_mut(..piece).unwrap_or_default())
    }
}

/// A draft that is written to, and what stopped it.
pub(super) struct Written {
    draft: Draft,
    failure: Option<DraftError>,
}

impl Written {
    pub(super) fn new(draft: Draft) -> Self {
        Self { draft, failure: None }
    }

    /// The draft, if all could be written.
    ///
    /// # Errors
    ///
    /// What the draft said, else what stopped whoever wrote.
    pub(super) fn into_draft(self, outcome: io::Result<()>) -> Result<Draft, DraftError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        outcome.map_err(DraftError::Io)?;
        Ok(self.draft)
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.draft.write(bytes).map_err(|failure| {
            self.failure = Some(failure);
            io::Error::other("the draft stopped")
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// zstd's own default: clients wait for this.
const ZSTD_LEVEL: i32 = 3;
