//! Which package files an index offers, with the names, versions and builds of its records. For whoever chooses some of them by a
//! specification; what is judged, and what digests are kept, is `walk.rs`'s and `records.rs`'s.

use std::cmp::Ordering;
use std::fmt;
use std::io::{BufReader, Read};

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use super::meter::{Decoded, Scan};
use super::{IndexFault, IndexKind, Limits, STREAM_BUFFER_BYTES};

/// A record of an index, as far as specifications go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Offer {
    /// The package's name.
    pub name: String,
    /// Its version, as written.
    pub version: String,
    /// Its build.
    pub build: String,
    /// How often it was built.
    pub build_number: u64,
    /// Its file's digest, as written.
    pub sha256: Option<String>,
    /// Its file's bytes.
    pub size: Option<u64>,
}

impl Offer {
    /// Which of two is newer: by version, then build number. A version that cannot be read is older than any.
    pub fn cmp_age(&self, other: &Self) -> Ordering {
        let rank =
            |offer: &Self| (offer.version.parse::<rattler_conda_version::Version>().ok(), offer.build_number);
        rank(self).cmp(&rank(other))
    }
}

/// Reads a `repodata.json` in any coding and tells `each` of the files under `packages` and `packages.conda`, by name. An index of another
/// kind offers nothing. Records that are none (a file's record without a name) are offered with what they have.
///
/// # Errors
///
/// As [`inspect`](super::inspect) does of what cannot be read or is over a limit.
pub fn offers(
    kind: IndexKind,
    mut source: impl Read,
    limits: &Limits,
    mut each: impl FnMut(&str, Offer),
) -> Result<(), IndexFault> {
    let IndexKind::Repodata(_) = kind else { return Ok(()) };
    // What is ignored counts as one token, however long; whoever calls this reads what has passed inspection, with its limit on each.
    let scan = Scan::new(Limits { token_bytes_max: limits.decompressed_bytes_max, ..*limits });
    let mut read = || -> Result<(), IndexFault> {
        let decoded = Decoded::new(kind.coding(), &mut source, &scan)?;
        let mut parser =
            serde_json::Deserializer::from_reader(BufReader::with_capacity(STREAM_BUFFER_BYTES, decoded));
        Document(&mut each)
            .deserialize(&mut parser)
            .and_then(|()| parser.end())
            .map_err(|error| IndexFault::of_json(&error, 0, scan.decompressed_bytes()))
    };
    let read = read();
    match scan.take_fault() {
        Some(fault) => Err(fault),
        None => read,
    }
}

/// The whole of it.
struct Document<'a, F>(&'a mut F);

/// One of its maps of records.
struct Files<'a, F>(&'a mut F);

impl<'de, F: FnMut(&str, Offer)> DeserializeSeed<'de> for Document<'_, F> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&str, Offer)> Visitor<'de> for Document<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<String>()? {
            match key.as_str() {
                "packages" | "packages.conda" => {
                    entries.next_value_seed(Files(&mut *self.0))?;
                }
                _ => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl<'de, F: FnMut(&str, Offer)> DeserializeSeed<'de> for Files<'_, F> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&str, Offer)> Visitor<'de> for Files<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of records")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(file) = entries.next_key::<String>()? {
            let offer = entries.next_value::<Offer>()?;
            (self.0)(&file, offer);
        }
        Ok(())
    }
}
