//! What is wrong with an index, in words fit for a problem body: every variant's text completes "the index …: ". Foreign text
//! is escaped and cut here and nowhere else; of an address only its origin is shown, for the rest of it may hold a
//! credential of the upstream's.

use std::fmt::{self, Write as _};
use std::io;

use url::Url;

use crate::upstream::Unreachable;

/// Why an index is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexFault {
    /// A client that follows the reference at `place` would leave the channel.
    #[error("{place} leads to {destination}")]
    LeadsElsewhere {
        /// Where in the document, as in `info.base_url` or `packages["x-1.0-0.conda"].url`.
        place: String,
        /// Where it leads, quoted: the origin alone, or the reference where it has none.
        destination: String,
    },
    /// The gate would have to fetch from a place that it does not go to.
    #[error("{place} leads to {destination}, {reason}")]
    OutOfReach {
        /// Where in the document.
        place: String,
        /// Where it leads, quoted as in [`Self::LeadsElsewhere`].
        destination: String,
        /// Why the gate does not go there, and what to do about it.
        reason: Unreachable,
    },
    /// A key occurs twice in a map: which of the two counts is each client's own choice.
    #[error("{place} has the key {key} twice")]
    Duplicate {
        /// Which map.
        place: String,
        /// The key, quoted.
        key: String,
    },
    /// A section names a file twice, in two records.
    #[error("{section} names one file twice, in the records {first} and {second} of the document")]
    DuplicateFile {
        /// The map of records.
        section: String,
        /// The record that came first, counted from 1.
        first: u32,
        /// The other one.
        second: u32,
    },
    /// A JSON patch writes where a reference stands, or over so much that its effect cannot be told.
    #[error("the patch in line {line} changes {pointer}")]
    PatchRepoints {
        /// The line of the `.jlap` file, from 1.
        line: u64,
        /// The patch's JSON pointer (RFC 6901), quoted.
        pointer: String,
    },
    /// Something is of another JSON or MessagePack type than clients expect, so that they may differ on its meaning.
    #[error("{place} is not {expected}")]
    Shape {
        /// Where in the document.
        place: String,
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// The bytes are not what the file's name says.
    #[error("it is not valid {format} {position}")]
    Malformed {
        /// What they should be.
        format: Format,
        /// Where reading stopped.
        position: Position,
    },
    /// The file ends too early.
    #[error("its {format} ends in the middle, after {after_bytes} decompressed bytes")]
    Truncated {
        /// What ended.
        format: Format,
        /// Decompressed bytes until then.
        after_bytes: u64,
    },
    /// A shard has another digest than its name says.
    #[error("its bytes do not have the digest that it is named by")]
    Misnamed,
    /// [`Limits::compressed_bytes_max`](super::Limits::compressed_bytes_max).
    #[error("it is larger than {bytes_max} bytes")]
    CompressedTooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// [`Limits::decompressed_bytes_max`](super::Limits::decompressed_bytes_max).
    #[error("it is larger than {bytes_max} bytes when decompressed")]
    DecompressedTooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// [`Limits::ratio_max`](super::Limits::ratio_max).
    #[error("it grows more than {ratio_max} times when decompressed")]
    RatioTooHigh {
        /// The limit.
        ratio_max: u64,
    },
    /// [`Limits::token_bytes_max`](super::Limits::token_bytes_max).
    #[error("it has a key or string of more than {bytes_max} bytes")]
    TokenTooLong {
        /// The limit.
        bytes_max: u64,
    },
    /// [`Limits::depth_max`](super::Limits::depth_max).
    #[error("{place} is nested more than {depth_max} levels deep")]
    TooDeep {
        /// Where in the document.
        place: String,
        /// The limit.
        depth_max: usize,
    },
    /// [`Limits::records_max`](super::Limits::records_max).
    #[error("it has more than {records_max} records")]
    TooManyRecords {
        /// The limit.
        records_max: u64,
    },
    /// [`Limits::shards_max`](super::Limits::shards_max).
    #[error("it has more than {shards_max} shards")]
    TooManyShards {
        /// The limit.
        shards_max: u64,
    },
    /// A map that has a few keys in every index of the world has this many.
    #[error("{place} has more than {keys_max} keys")]
    TooManyKeys {
        /// Which map.
        place: String,
        /// The limit.
        keys_max: usize,
    },
    /// The source of the bytes failed: not the index's fault.
    #[error("it could not be read")]
    Read {
        /// The source's own error.
        source: io::Error,
    },
}

/// [`IndexFault`] in few words, for a metric's label or a log field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Clients would be led away, or the gate.
    LeadsElsewhere,
    /// Says one thing twice.
    Duplicate,
    /// Not readable as what it claims to be.
    Malformed,
    /// Ends too early.
    Truncated,
    /// Over one of the limits.
    OverLimit,
    /// The bytes could not be had.
    Read,
}

impl FaultKind {
    /// The word for labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeadsElsewhere => "leads_elsewhere",
            Self::Duplicate => "duplicate",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::OverLimit => "over_limit",
            Self::Read => "read",
        }
    }
}

/// A layer of an index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// zstd frames.
    Zstd,
    /// bzip2 streams.
    Bzip2,
    /// A JSON text.
    Json,
    /// A MessagePack value.
    MessagePack,
    /// Lines of JSON patches.
    Jlap,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zstd => "zstd data",
            Self::Bzip2 => "bzip2 data",
            Self::Json => "JSON",
            Self::MessagePack => "MessagePack",
            Self::Jlap => "JLAP",
        })
    }
}

/// Where in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Line and column of the text, both from 1.
    Line(u64, u64),
    /// Bytes of the decompressed file before it, or up to a buffer's length more.
    Byte(u64),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line, column) => write!(f, "at line {line} column {column}"),
            Self::Byte(byte) => write!(f, "near decompressed byte {byte}"),
        }
    }
}

impl IndexFault {
    /// Which kind of fault this is.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::LeadsElsewhere { .. } | Self::OutOfReach { .. } | Self::PatchRepoints { .. } => {
                FaultKind::LeadsElsewhere
            }
            Self::Duplicate { .. } | Self::DuplicateFile { .. } => FaultKind::Duplicate,
            Self::Shape { .. } | Self::Malformed { .. } | Self::Misnamed => FaultKind::Malformed,
            Self::Truncated { .. } => FaultKind::Truncated,
            Self::CompressedTooLarge { .. }
            | Self::DecompressedTooLarge { .. }
            | Self::RatioTooHigh { .. }
            | Self::TokenTooLong { .. }
            | Self::TooDeep { .. }
            | Self::TooManyRecords { .. }
            | Self::TooManyShards { .. }
            | Self::TooManyKeys { .. } => FaultKind::OverLimit,
            Self::Read { .. } => FaultKind::Read,
        }
    }

    pub(super) fn leads_elsewhere(place: String, reference: &str) -> Self {
        Self::LeadsElsewhere { place, destination: destination(reference) }
    }

    pub(super) fn out_of_reach(place: String, reference: &str, reason: Unreachable) -> Self {
        Self::OutOfReach { place, destination: destination(reference), reason }
    }

    pub(super) fn duplicate(place: String, key: &str) -> Self {
        Self::Duplicate { place, key: quoted(key) }
    }

    pub(super) fn patch_repoints(line: u64, pointer: &str) -> Self {
        Self::PatchRepoints { line, pointer: quoted(pointer) }
    }

    /// Of a parser's error after `lines_before` lines of the file.
    pub(super) fn of_json(error: &serde_json::Error, lines_before: u64, after_bytes: u64) -> Self {
        if error.is_eof() {
            return Self::Truncated { format: Format::Json, after_bytes };
        }
        let line = lines_before + error.line() as u64;
        Self::Malformed { format: Format::Json, position: Position::Line(line, error.column() as u64) }
    }

    pub(super) fn of_msgpack(error: &rmp_serde::decode::Error, after_bytes: u64) -> Self {
        use rmp_serde::decode::Error;
        match error {
            Error::InvalidMarkerRead(io) | Error::InvalidDataRead(io)
                if io.kind() == io::ErrorKind::UnexpectedEof =>
            {
                Self::Truncated { format: Format::MessagePack, after_bytes }
            }
            _ => Self::Malformed { format: Format::MessagePack, position: Position::Byte(after_bytes) },
        }
    }

    pub(super) fn of_decoder(error: &io::Error, format: Format, after_bytes: u64) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated { format, after_bytes },
            _ => Self::Malformed { format, position: Position::Byte(after_bytes) },
        }
    }

    /// Something follows the end of the document.
    pub(super) fn trailing(format: Format, after_bytes: u64) -> Self {
        Self::Malformed { format, position: Position::Byte(after_bytes) }
    }
}

/// The keys the walk went down by, outermost first. Keeps its strings, so that a walk over millions of keys allocates few.
#[derive(Default)]
pub(super) struct Trail {
    keys: Vec<String>,
}

impl Trail {
    pub(super) fn enter(&mut self, depth: usize, key: &str) {
        if self.keys.len() < depth {
            self.keys.resize_with(depth, String::new);
        }
        if let Some(slot) = depth.checked_sub(1).and_then(|index| self.keys.get_mut(index)) {
            slot.clear();
            slot.push_str(key.get(..key.floor_char_boundary(KEY_BYTES_MAX)).unwrap_or_default());
        }
    }

    /// The key at `depth`, cut where it is too long to be shown.
    pub(super) fn key(&self, depth: usize) -> &str {
        depth.checked_sub(1).and_then(|index| self.keys.get(index)).map_or("", String::as_str)
    }

    /// The last few of the first `depth` keys as a path; an empty key stands for an array's element.
    pub(super) fn place(&self, depth: usize) -> String {
        let keys = self.keys.get(..depth).unwrap_or(&self.keys);
        let skipped = keys.len().saturating_sub(PLACE_KEYS_MAX);
        let mut place = String::from(if skipped > 0 { "…" } else { "" });
        for key in keys.iter().skip(skipped) {
            if key.is_empty() {
                place.push_str("[]");
            } else if key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                place.push_str(if place.is_empty() { "" } else { "." });
                place.push_str(key);
            } else {
                let _ = write!(place, "[{}]", quoted(key));
            }
        }
        if place.is_empty() { "the document".to_owned() } else { place }
    }
}

/// Where a browser, and so rattler, would go by `reference`: its origin if it has one, itself if it has not.
fn destination(reference: &str) -> String {
    let elsewhere = Url::parse("http://channelgate.invalid/channel/subdir/")
        .and_then(|here| here.join(reference))
        .ok()
        .filter(|url| url.host_str() != Some("channelgate.invalid"));
    let Some(url) = elsewhere else {
        return match reference.strip_prefix('/') {
            Some(path) if !path.is_empty() => quoted("/…"),
            _ => quoted(reference),
        };
    };
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => quoted(&format!("{}://{host}:{port}/…", url.scheme())),
        (Some(host), None) => quoted(&format!("{}://{host}/…", url.scheme())),
        (None, _) => quoted(&format!("{}:…", url.scheme())),
    }
}

/// Foreign text between double quotes: what is not printable ASCII escaped, the whole at most [`QUOTED_CHARS_MAX`] long.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    let mut length = 0;
    for char in text.chars() {
        let plain = char == '…' || ((' '..='~').contains(&char) && !matches!(char, '"' | '\\'));
        let width = if plain { 1 } else { char.escape_default().len() };
        if length + width > QUOTED_CHARS_MAX {
            out.push('…');
            break;
        }
        length += width;
        if plain {
            out.push(char);
        } else {
            out.extend(char.escape_default());
        }
    }
    out.push('"');
    out
}

const QUOTED_CHARS_MAX: usize = 80;
const KEY_BYTES_MAX: usize = 81;
const PLACE_KEYS_MAX: usize = 4;
