//! Bundles: what a cache holds in one file, for a gate that the network does not reach.
//!
//! A bundle is a plain tar archive. Its first entry is the manifest, lines of JSON: the [`Header`], then a [`Member`] a line, indexes before
//! all else, then by name, none twice. Behind it come the members' bodies in that order, under `<channel>/<path>`; a member whose object had
//! gone when its turn came is left out. The last entry says how many there are, so that a bundle cut off anywhere is none.
//!
//! Everything in a bundle is foreign to whoever reads it. Names are those that the path grammar admits ([`UpstreamPath::parse`]), the
//! archive's own entries must be the manifest's and plain files, lengths and digests are recomputed. This file knows neither disk nor
//! index; whether a member may become an object is the importer's to decide. Read `cli/cache/import.rs` next.

mod reader;
mod writer;

use std::io;

use serde::{Deserialize, Serialize};

pub use self::reader::{Manifest, read};
pub use self::writer::BundleWriter;
use super::facts::Facts;
use super::key::Part;
use crate::clock::Timestamp;
use crate::conda::{FileKind, UpstreamPath};

/// The first line of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    format: String,
    /// [`VERSION`].
    version: u32,
    /// Lines that follow.
    pub members: u64,
    /// The sum of their lengths.
    pub bytes: u64,
}

/// An object of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What is known of it; its `upstreams` are those of the gate that made the bundle.
    pub facts: Facts,
    /// When the upstream last said that it is current.
    pub validated_at: Timestamp,
    path: UpstreamPath,
}

/// A member as a line of the manifest.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    facts: Facts,
    /// Milliseconds since the Unix epoch.
    validated_at: i64,
}

/// The last entry.
#[derive(Serialize, Deserialize)]
struct Footer {
    /// How many bodies there are.
    members: u64,
}

/// Why a file is not taken as a bundle, or a bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It cannot be read.
    #[error("the bundle cannot be read")]
    Read(#[source] io::Error),
    /// It cannot be written.
    #[error("the bundle cannot be written")]
    Write(#[source] io::Error),
    /// It is something else.
    #[error("this is no bundle: `channelgate cache export` makes them")]
    Foreign,
    /// It is of another time.
    #[error(
        "this bundle is of version {0}, and this channelgate reads version {VERSION}: export it again with this one"
    )]
    Version(u32),
    /// A line of the manifest.
    #[error("line {line} of the bundle's manifest is not acceptable: {problem}")]
    Manifest {
        /// Counted from 1.
        line: u64,
        /// Follows in a sentence.
        problem: String,
    },
    /// An entry of the archive.
    #[error("the bundle's entry {name} is not acceptable: {problem}")]
    Entry {
        /// Escaped.
        name: String,
        /// Follows in a sentence.
        problem: &'static str,
    },
    /// A body is not what the manifest says.
    #[error("{name} is damaged: its bytes are not those that the manifest names")]
    Damaged {
        /// `<channel>/<path>`.
        name: String,
    },
    /// It ends too early.
    #[error("the bundle is cut off: copy it again, whole")]
    Truncated,
}

impl Member {
    /// The member that these facts make; `None` where their path is none that a client could ask for, or where they are of something
    /// derived.
    pub fn new(facts: Facts, validated_at: Timestamp) -> Option<Self> {
        let path = UpstreamPath::parse(&facts.path).filter(|_| facts.part == Part::File)?;
        Some(Self { facts, validated_at, path })
    }

    /// Reads a line of a manifest.
    ///
    /// # Errors
    ///
    /// What is wrong with it; follows in a sentence.
    pub fn parse(line: &str) -> Result<Self, String> {
        let Line { facts, validated_at } = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if facts.upstream.len() > UPSTREAM_BYTES_MAX || facts.upstream.chars().any(char::is_control) {
            return Err("its upstream is no origin".to_owned());
        }
        Self::new(facts, Timestamp::from_millis(validated_at))
            .ok_or_else(|| "its path is none that a channel has".to_owned())
    }

    /// The line, without its end.
    ///
    /// # Errors
    ///
    /// None that facts can cause.
    pub fn line(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Line {
            facts: self.facts.clone(),
            validated_at: self.validated_at.as_millis(),
        })
    }

    /// Its path below the channel.
    pub fn path(&self) -> &UpstreamPath {
        &self.path
    }

    /// Its name in the archive: `<channel>/<path>`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.facts.channel, self.facts.path)
    }

    /// Whether it is an index, by which packages are checked.
    pub fn is_index(&self) -> bool {
        self.path.kind() == FileKind::Index
    }

    /// What a manifest is sorted by.
    pub fn rank(&self) -> (bool, String) {
        (!self.is_index(), self.name())
    }
}

const FORMAT: &str = "channelgate cache bundle";
const VERSION: u32 = 1;

/// The name of the first entry. No channel has it: a channel's file has a slash.
const MANIFEST: &str = "channelgate-bundle.jsonl";
/// The name of the last one.
const END: &str = "channelgate-bundle-end.json";

/// What fits into one manifest: that of a cache of millions of files, and into memory.
const MANIFEST_BYTES_MAX: u64 = 1 << 30;
/// A path may be long, not this long.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// An origin, or a directory.
const UPSTREAM_BYTES_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests;
