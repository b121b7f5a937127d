//! The meter on an inspection's stream: counts bytes into and out of the decompressor, takes the document's digest, holds the limits, and
//! keeps the first fault. Never looks at what the bytes say; `walk.rs` does, and tells the meter of each token it has seen.

use std::cell::{Cell, RefCell};
use std::io::{self, BufReader, Read};

use bzip2::read::MultiBzDecoder;

use super::fault::{Format, IndexFault, Trail};
use super::leads::{Leads, Role, Surroundings};
use super::records::{Records, Section, Sink};
use super::{Coding, Findings, Limits, STREAM_BUFFER_BYTES};
use crate::cache::Hashing;

/// One inspection's account, shared by the two readers below and by the walk. All on one thread, hence the cells.
pub(super) struct Scan {
    limits: Limits,
    compressed_bytes: Cell<u64>,
    decompressed_bytes: Cell<u64>,
    /// Bytes handed to the parser since it last completed a token.
    token_bytes: Cell<u64>,
    /// The line of a `.jlap` file that is being read, from 1.
    line: Cell<u64>,
    fault: RefCell<Option<IndexFault>>,
    trail: RefCell<Trail>,
    /// The digest of what the decompressor gave so far, if anybody wants it.
    document: RefCell<Option<Hashing>>,
    /// Whether [`Self::records`] are wanted at all.
    notes_records: bool,
    records: RefCell<Records>,
    records_count: Cell<u64>,
    /// Where the document came from, if it may lead away from there.
    surroundings: Option<Surroundings>,
}

impl Scan {
    /// The account of an inspection and nothing else.
    pub(super) fn new(limits: Limits) -> Self {
        Self::noting(limits, Sink::Nobody)
    }

    /// With the document's digest, and its records for `sink`. It may lead as far as its surroundings reach, or nowhere if it has none.
    pub(super) fn reading(limits: Limits, sink: Sink, surroundings: Option<Surroundings>) -> Self {
        let document = RefCell::new(Some(Hashing::new()));
        Self { document, surroundings, ..Self::noting(limits, sink) }
    }

    fn noting(limits: Limits, sink: Sink) -> Self {
        let records = Records::new(sink);
        Self {
            limits,
            compressed_bytes: Cell::new(0),
            decompressed_bytes: Cell::new(0),
            token_bytes: Cell::new(0),
            line: Cell::new(0),
            fault: RefCell::new(None),
            trail: RefCell::new(Trail::default()),
            document: RefCell::new(None),
            notes_records: records.are_wanted(),
            records: RefCell::new(records),
            records_count: Cell::new(0),
            surroundings: None,
        }
    }

    /// What was found: the digest of the decompressed document, if it was wanted, who got its records, and where it leads.
    pub(super) fn finish(self) -> Findings {
        let generation = self.document.into_inner().map(Hashing::finish);
        let (sink, sections) = self.records.into_inner().into_sink();
        let (upstream, leads) = self.surroundings.map_or((0, Leads::default()), Surroundings::into_leads);
        Findings { generation, sink, sections, upstream, leads }
    }

    /// A record begins under the key at `depth`; `is_grouped` if it stands in a group of v3, `is_shard` if it stands in a shard index.
    pub(super) fn began_record(
        &self,
        depth: usize,
        key: &str,
        is_grouped: bool,
        is_shard: bool,
    ) -> Result<(), IndexFault> {
        let count = self.records_count.get() + 1;
        self.records_count.set(count);
        let Limits { records_max, shards_max, .. } = self.limits;
        if is_shard && count > shards_max {
            return Err(IndexFault::TooManyShards { shards_max });
        }
        if count > records_max {
            return Err(IndexFault::TooManyRecords { records_max });
        }
        if self.notes_records {
            let trail = self.trail.borrow();
            let group = is_grouped.then(|| trail.key(depth - 1));
            let key_depth = if is_grouped { depth - 2 } else { depth - 1 };
            self.records.borrow_mut().begin(depth, key, Section { key: trail.key(key_depth), group });
        }
        Ok(())
    }

    /// True if the document may lead away from where it came from.
    pub(super) fn may_lead(&self) -> bool {
        self.surroundings.is_some()
    }

    /// A reference at `depth` is not in place: follows it as far as the upstream reaches.
    pub(super) fn follow(&self, role: Role, reference: &str, depth: usize) -> Result<(), IndexFault> {
        let place = || self.place(depth);
        let Some(surroundings) = &self.surroundings else {
            return Err(IndexFault::leads_elsewhere(place(), reference));
        };
        let url = surroundings.follow(role, reference, place)?;
        if role == Role::File && self.notes_records {
            self.records.borrow_mut().leads_to(url);
        }
        Ok(())
    }

    /// The record's value is read.
    pub(super) fn ended_record(&self) {
        if self.notes_records {
            self.records.borrow_mut().end();
        }
    }

    /// Something at `depth` was read that a record may hold: `note` is told the key it stands under.
    pub(super) fn read_value(&self, depth: usize, note: impl FnOnce(&mut Records, &str)) {
        if self.notes_records {
            note(&mut self.records.borrow_mut(), self.trail.borrow().key(depth));
        }
    }

    /// Bytes the decompressor gave so far: where the inspection stands, or up to a buffer ahead of it.
    pub(super) fn decompressed_bytes(&self) -> u64 {
        self.decompressed_bytes.get()
    }

    /// The parser completed a token.
    pub(super) fn saw_token(&self) {
        self.token_bytes.set(0);
    }

    pub(super) fn began_line(&self, line: u64) {
        self.line.set(line);
    }

    pub(super) fn line(&self) -> u64 {
        self.line.get()
    }

    /// Remembers under which key the walk goes down at `depth` (the document's own keys have depth 1).
    pub(super) fn entered(&self, depth: usize, key: &str) {
        self.trail.borrow_mut().enter(depth, key);
    }

    /// The place at `depth` in words, for a fault.
    pub(super) fn place(&self, depth: usize) -> String {
        self.trail.borrow().place(depth)
    }

    /// Whether a map or array at `depth` is still allowed.
    pub(super) fn admits_depth(&self, depth: usize) -> bool {
        depth <= self.limits.depth_max
    }

    pub(super) fn too_deep(&self, depth: usize) -> IndexFault {
        IndexFault::TooDeep { place: self.place(depth), depth_max: self.limits.depth_max }
    }

    /// Keeps `fault` unless an earlier one is the cause of this one.
    pub(super) fn note(&self, fault: IndexFault) {
        self.fault.borrow_mut().get_or_insert(fault);
    }

    pub(super) fn take_fault(&self) -> Option<IndexFault> {
        self.fault.borrow_mut().take()
    }

    fn add_compressed(&self, bytes: usize) -> Result<(), IndexFault> {
        let total = self.compressed_bytes.get().saturating_add(bytes as u64);
        self.compressed_bytes.set(total);
        if total > self.limits.compressed_bytes_max {
            return Err(IndexFault::CompressedTooLarge { bytes_max: self.limits.compressed_bytes_max });
        }
        Ok(())
    }

    fn add_decompressed(&self, bytes: usize, coding: Coding) -> Result<(), IndexFault> {
        let total = self.decompressed_bytes.get().saturating_add(bytes as u64);
        self.decompressed_bytes.set(total);
        let limits = &self.limits;
        if total > limits.decompressed_bytes_max {
            return Err(IndexFault::DecompressedTooLarge { bytes_max: limits.decompressed_bytes_max });
        }
        let allowed = self.compressed_bytes.get().saturating_mul(limits.ratio_max);
        if coding != Coding::Plain && total > limits.ratio_free_bytes && total > allowed {
            return Err(IndexFault::RatioTooHigh { ratio_max: limits.ratio_max });
        }
        let token = self.token_bytes.get().saturating_add(bytes as u64);
        self.token_bytes.set(token);
        // A full buffer may hold the ends of two tokens and nothing of the walk's doing between them.
        let read_ahead = 2 * STREAM_BUFFER_BYTES as u64;
        if token > limits.token_bytes_max.saturating_add(read_ahead) {
            return Err(IndexFault::TokenTooLong { bytes_max: limits.token_bytes_max });
        }
        Ok(())
    }

    /// Notes a fault found while reading, and gives the parser an error that ends it.
    fn stop(&self, fault: IndexFault) -> io::Error {
        self.note(fault);
        io::Error::other("the inspection stopped")
    }
}

/// The file as received, counted.
struct Received<'a> {
    source: &'a mut dyn Read,
    coding: Coding,
    scan: &'a Scan,
}

impl Read for Received<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = match self.source.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(self.scan.stop(IndexFault::Read { source: error }));
            }
            other => other?,
        };
        if self.coding != Coding::Plain {
            self.scan.add_compressed(bytes).map_err(|fault| self.scan.stop(fault))?;
        }
        Ok(bytes)
    }
}

/// The file's text, decompressed and counted.
pub(super) struct Decoded<'a> {
    decoder: Decoder<'a>,
    coding: Coding,
    scan: &'a Scan,
}

enum Decoder<'a> {
    Plain(Received<'a>),
    Zstd(zstd::Decoder<'static, BufReader<Received<'a>>>),
    Bzip2(Box<MultiBzDecoder<Received<'a>>>),
}

impl<'a> Decoded<'a> {
    pub(super) fn new(coding: Coding, source: &'a mut dyn Read, scan: &'a Scan) -> Result<Self, IndexFault> {
        let received = Received { source, coding, scan };
        let decoder = match coding {
            Coding::Plain => Decoder::Plain(received),
            Coding::Zstd => {
                Decoder::Zstd(zstd_decoder(received).map_err(|source| IndexFault::Read { source })?)
            }
            Coding::Bzip2 => Decoder::Bzip2(Box::new(MultiBzDecoder::new(received))),
        };
        Ok(Self { decoder, coding, scan })
    }

    fn count(&self, bytes: usize, buffer: &[u8]) -> io::Result<usize> {
        self.scan.add_decompressed(bytes, self.coding).map_err(|fault| self.scan.stop(fault))?;
        if let (Some(document), Some(read)) = (&mut *self.scan.document.borrow_mut(), buffer.get(..bytes)) {
            document.update(read);
        }
        Ok(bytes)
    }
}

fn zstd_decoder(received: Received<'_>) -> io::Result<zstd::Decoder<'static, BufReader<Received<'_>>>> {
    let mut decoder = zstd::Decoder::new(received)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

impl Read for Decoded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (read, format) = match &mut self.decoder {
            Decoder::Plain(received) => {
                let bytes = received.read(buffer)?;
                return self.count(bytes, buffer);
            }
            Decoder::Zstd(decoder) => (decoder.read(buffer), Format::Zstd),
            Decoder::Bzip2(decoder) => (decoder.read(buffer), Format::Bzip2),
        };
        match read {
            Ok(bytes) => self.count(bytes, buffer),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                Err(self.scan.stop(IndexFault::of_decoder(&error, format, self.scan.decompressed_bytes())))
            }
        }
    }
}

/// What zstd itself and every client accept without being asked for more (`ZSTD_WINDOWLOG_LIMIT_DEFAULT`).
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
