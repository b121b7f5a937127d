//! Channel indexes, inspected: none leads a client, and the token it carries, away from the gate.
//!
//! A client reads the index and then asks for what the index names. `info.base_url` and `info.shards_base_url` move whole
//! sets of requests to another place, a record's `url` or file name moves one package, `info.channel_relations` adds
//! channels. conda re-attaches its token to whatever host `base_url` names; rattler sends it along as a `Referer`. So the first
//! three of them never reach a client unless they are in place: where they lead, the gate goes itself, as far as the upstream that sent the
//! index reaches ([`crate::upstream::Lead`]), and the index is rewritten. What is out of reach, and what nobody rewrites, is a fault: the
//! gateway answers 502, or goes on serving the generation before.
//!
//! # What is looked at
//!
//! | in | is in place if | else |
//! | --- | --- | --- |
//! | `info.base_url` | absent, null, `""`, `"."` or `"./"`: CEP 15 clients disagree on anything else | followed |
//! | `info.shards_base_url` | `""`, `"."`, `"shards"`, with or without `./` and `/` (CEP 16) | followed |
//! | `url` of a record | one segment, perhaps behind `./` | followed, to a file |
//! | deeper in `info`: `base_url`, `shards_base_url` | as a reference that stays below the subdirectory, `base_url` empty | refused |
//! | `info`, at any depth: `subdir` | a reference that stays below: mamba makes the shards' URLs of it (`shards.cpp`) | refused |
//! | `info.channel_relations`: every string | a reference that stays on this server: `../other-channel` (CEP 42) | refused |
//! | keys of `packages`, `packages.conda` and each group of `v3` | a reference that stays below: rattler joins them as URLs | refused |
//! | anywhere else: `url`, `base_url`, `shards_base_url`, `fn`, `subdir` | a reference that stays below | refused |
//!
//! Followed means: resolved against the index's own URL, held against the upstream's origin and `allowed_hosts`, and kept in [`Leads`] or,
//! for a record, in the table. A URL with a user, a `/t/<token>/` or a query is refused wherever it leads. A shard is named by its digest
//! and cannot be rewritten, patches are not: in these, and in what passes by the cache ([`inspect`]), nothing is followed.
//!
//! What "stays below" means is in `index/reference.rs`. Where a client would read the same bytes in a second way, that way is closed: serde,
//! and so rattler, takes an array for a struct and, in MessagePack, a number for a field's name, so `info` and the package maps must be
//! maps and every key must be a string. Clients differ on which of two equal keys counts, so the document's own keys, those of `info` and of
//! a record that somebody goes by, and the file names of a section must not repeat. On doubt the index is refused.
//!
//! # How
//!
//! Bytes flow source → decompressor → parser → walk, never backwards, and nothing keeps the document:
//!
//! 1. `meter` counts what goes in and out of the decompressor and holds the limits of [`Limits`];
//! 2. serde_json or rmp-serde parses, one token at a time;
//! 3. `walk` knows which place of the document it is in and judges each string there;
//! 4. `patch` does the same for the lines of a `repodata.jlap`.
//!
//! Memory is bounded: one token (at most [`Limits::token_bytes_max`]), 22 MiB of rows to sort, small buffers, and the decompressor's own
//! state, which for zstd is the window the file declares, at most 128 MiB. Lengths that MessagePack announces are never believed.
//! Inspection is synchronous and takes as long as reading the file; callers run it where blocking is allowed.
//!
//! # What it is good for besides
//!
//! The same pass takes the digest of the decompressed document, its *generation*, which all codings of one state share, and picks up what
//! each record says of its file:
//!
//! | file | owns |
//! | --- | --- |
//! | `records.rs`, `sorting.rs`, `table.rs` | from records to a table that is sorted within bounds and searched on the disk |
//! | `leads.rs` | where a document leads, and what was kept of that |
//! | `inspecting.rs` | the inspection of what the cache fetches; leaves a table beside the index |
//! | `family.rs`, `making.rs`, [`Indexes`] (`indexes.rs`) | one generation in all representations |
//! | `sources.rs`, `digests.rs` | what is held of a directory; what proves a package, and where it is |
//! | `shard_index.rs` | an index of shards that leads elsewhere, rewritten |
//! | `document.rs`, `selection.rs`, `writing.rs`, `pack.rs`, `channeldata.rs` | a document in memory, and what is made of what is seen of it |
//! | [`Seen`] (`seen.rs`) | when a directory's artifacts were first seen |
//! | [`Wanted`] (`views.rs`) | what a caller may see: the upstream's own, or made |
//! | [`Inspector`] (`inspector.rs`) | indexes that pass by the cache: spooled, inspected, served |
//!
//! [`inspect`] does no I/O of its own; nothing here knows HTTP or changes what an index says. Read `index/walk.rs` next, then
//! `index/indexes.rs`.

mod assembly;
mod channeldata;
mod digests;
mod document;
mod family;
mod fault;
mod indexes;
mod inspecting;
mod inspector;
mod kind;
mod leads;
mod making;
mod meter;
mod msgpack;
mod offers;
mod pack;
mod patch;
mod records;
mod reference;
mod repeats;
mod scanner;
mod seen;
mod selection;
mod shard_index;
mod shards;
mod sorting;
mod sources;
mod table;
mod views;
mod walk;
mod writing;

#[cfg(test)]
mod tests;

use std::io::{BufReader, Read};

use serde::de::DeserializeSeed;

pub use self::assembly::Assembly;
pub use self::channeldata::filter_channeldata;
pub use self::document::{Document, Record};
pub use self::fault::{FaultKind, Format, IndexFault};
pub use self::indexes::Indexes;
pub use self::inspector::{Config, InspectError, Inspector};
pub use self::kind::{Coding, IndexKind};
pub use self::leads::Leads;
use self::leads::Surroundings;
use self::meter::{Decoded, Scan};
pub use self::offers::{Offer, offers};
pub use self::pack::{Ancestry, Found, KEPT, Pack, Packed};
use self::records::Sink;
pub use self::seen::{Ages, Seen, Unsettled};
pub use self::selection::Selection;
pub use self::views::{Held, JudgeError, Judged, Passing, Sight, SupplyError, Tally, Wanted};
use self::walk::{Place, Walk};
pub use self::writing::{write_json, write_zst};
use crate::cache::Sha256;

/// What an inspection may cost. Each limit, when met, is a fault of kind [`FaultKind::OverLimit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a compressed file. Default 1 GiB. A plain file has only the next limit.
    pub compressed_bytes_max: u64,
    /// Bytes after decompression. Default 4 GiB: ten times the largest index in public use.
    pub decompressed_bytes_max: u64,
    /// Decompressed bytes for each compressed byte, beyond [`Self::ratio_free_bytes`]. Default 200; real indexes stay
    /// below 50.
    pub ratio_max: u64,
    /// Decompressed bytes before the ratio counts, because small files of one repeated record compress well.
    /// Default 16 MiB.
    pub ratio_free_bytes: u64,
    /// Bytes without a complete token: the longest key or string, which is what a parser holds in memory. Default 1 MiB.
    pub token_bytes_max: u64,
    /// Maps and arrays inside each other. Default 64; a record's are 5. serde_json stops at 127 of its own accord.
    pub depth_max: usize,
    /// Records. Default 5,000,000: seven times what the largest directory in public use has.
    pub records_max: u64,
    /// Shards of a shard index, one for each package. Default 1,000,000.
    pub shards_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            compressed_bytes_max: 1 << 30,
            decompressed_bytes_max: 4 << 30,
            ratio_max: 200,
            ratio_free_bytes: 16 << 20,
            token_bytes_max: 1 << 20,
            depth_max: 64,
            records_max: 5_000_000,
            shards_max: 1_000_000,
        }
    }
}

/// Reads an index to its end and answers whether it keeps its clients at the gate.
///
/// # Errors
///
/// An [`IndexFault`] at the first thing that leads elsewhere, cannot be read as `kind`, or exceeds `limits`; and
/// [`IndexFault::Read`] where `source` itself failed, which says nothing about the index.
pub fn inspect(kind: IndexKind, mut source: impl Read, limits: &Limits) -> Result<(), IndexFault> {
    let scan = Scan::new(*limits);
    let verdict = inspect_stream(kind, &mut source, &scan);
    // A limit or a refusal reaches the parser as an error of the stream or of the visitor: what was noted first is the cause.
    match scan.take_fault() {
        Some(fault) => Err(fault),
        None => verdict,
    }
}

/// What an inspection found.
struct Findings {
    /// The digest of the decompressed document, which is the same in all its codings.
    generation: Option<Sha256>,
    /// Who got what it says of its files.
    sink: Sink,
    /// The maps of records that it has, by number.
    sections: Vec<String>,
    /// The upstream that sent it.
    upstream: usize,
    leads: Leads,
}

/// Inspects as [`inspect`] does, and tells what was found; what the index says of its files goes to `sink` on the way. With `surroundings` it
/// may lead as far as they reach.
fn read(
    kind: IndexKind,
    mut source: impl Read,
    limits: &Limits,
    sink: Sink,
    surroundings: Option<Surroundings>,
) -> Result<Findings, IndexFault> {
    let scan = Scan::reading(*limits, sink, surroundings);
    let verdict = inspect_stream(kind, &mut source, &scan);
    match scan.take_fault() {
        Some(fault) => Err(fault),
        None => verdict.map(|()| scan.finish()),
    }
}

fn inspect_stream(kind: IndexKind, source: &mut dyn Read, scan: &Scan) -> Result<(), IndexFault> {
    let decoded = Decoded::new(kind.coding(), source, scan)?;
    let stream = BufReader::with_capacity(STREAM_BUFFER_BYTES, decoded);
    match kind {
        IndexKind::Repodata(_) => inspect_json(stream, scan),
        IndexKind::ShardIndex | IndexKind::Shard => inspect_msgpack(stream, scan),
        IndexKind::Patches => patch::inspect_lines(stream, scan),
    }
}

/// One JSON document, and nothing after it.
fn inspect_json(stream: BufReader<Decoded<'_>>, scan: &Scan) -> Result<(), IndexFault> {
    let mut parser = serde_json::Deserializer::from_reader(stream);
    Walk::new(scan, Place::Root)
        .deserialize(&mut parser)
        .and_then(|()| parser.end())
        .map_err(|error| IndexFault::of_json(&error, 0, scan.decompressed_bytes()))
}

/// One MessagePack value, and nothing after it.
fn inspect_msgpack(mut stream: BufReader<Decoded<'_>>, scan: &Scan) -> Result<(), IndexFault> {
    let mut parser = rmp_serde::Deserializer::new(&mut stream);
    Walk::new(scan, Place::Root)
        .deserialize(&mut parser)
        .map_err(|error| IndexFault::of_msgpack(&error, scan.decompressed_bytes()))?;
    match stream.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(IndexFault::trailing(Format::MessagePack, scan.decompressed_bytes())),
        Err(source) => Err(IndexFault::Read { source }),
    }
}

/// Large enough that the decompressor works in its own strides, small enough to be no part of the memory that counts.
const STREAM_BUFFER_BYTES: usize = 32 << 10;
