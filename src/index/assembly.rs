//! Makes the document of a directory whose upstream has nothing but shards (CEP 16): JSON, as `repodata.json` would say it.
//!
//! Shards come one by one, each with a part of every section, so the sections are collected in memory, under the limit on decompressed bytes;
//! the whole is written at the end. Digests become hexadecimal digits, as JSON has them. The shards should have passed inspection: what
//! is judged there is not judged here.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufReader, Read, Write};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::meter::{Decoded, Scan};
use super::walk::is_revision;
use super::{Coding, IndexFault, Limits, STREAM_BUFFER_BYTES};

/// The shards of a directory, as far as they were added.
#[derive(Debug)]
pub struct Assembly {
    limits: Limits,
    sections: Sections,
}

/// What shards say, each section the inside of a map or array, by its keys.
#[derive(Debug, Default)]
struct Sections {
    files: BTreeMap<String, Vec<u8>>,
    groups: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Of the index of the shards, whole.
    info: Vec<u8>,
}

impl Sections {
    /// Where the value of a key goes.
    fn to(&mut self, key: &str, of: Part) -> Option<To<'_>> {
        match (of, key) {
            (Part::Shard, "packages" | "packages.conda" | "removed") => {
                Some(To::Inside(self.files.entry(key.to_owned()).or_default()))
            }
            (Part::Shard, key) if is_revision(key) => {
                Some(To::Groups(self.groups.entry(key.to_owned()).or_default()))
            }
            (Part::Index, "info") => {
                self.info.clear();
                Some(To::Value(&mut self.info))
            }
            (Part::Shard | Part::Index, _) => None,
        }
    }
}

/// What is read.
#[derive(Clone, Copy)]
enum Part {
    Shard,
    Index,
}

impl Assembly {
    /// Of no shards yet.
    pub fn new(limits: &Limits) -> Self {
        Self { limits: *limits, sections: Sections::default() }
    }

    /// Adds a shard, as it is fetched. Shards that come in another order make another document.
    ///
    /// # Errors
    ///
    /// A fault if it is no shard, or if what was added is over the limits; [`IndexFault::Read`] for an error of `shard`'s own.
    pub fn add(&mut self, shard: impl Read) -> Result<(), IndexFault> {
        self.read(shard, Part::Shard)
    }

    /// Adds the index of the shards: what it says of the directory is kept, base URLs too.
    ///
    /// # Errors
    ///
    /// As [`Self::add`].
    pub fn add_index(&mut self, index: impl Read) -> Result<(), IndexFault> {
        self.read(index, Part::Index)
    }

    /// Reads a compressed MessagePack map.
    fn read(&mut self, mut source: impl Read, part: Part) -> Result<(), IndexFault> {
        let limits = self.limits;
        // It was inspected with its limit on each token; a value counts as one here.
        let scan = Scan::new(Limits { token_bytes_max: limits.decompressed_bytes_max, ..limits });
        let sections = &mut self.sections;
        let read = Decoded::new(Coding::Zstd, &mut source, &scan).and_then(|decoded| {
            let mut stream = BufReader::with_capacity(STREAM_BUFFER_BYTES, decoded);
            let mut parser = rmp_serde::Deserializer::new(&mut stream);
            parser.set_max_depth(limits.depth_max.saturating_add(1));
            let read = parser.deserialize_map(Root { sections, part });
            read.map_err(|error| IndexFault::of_msgpack(&error, scan.decompressed_bytes()))
        });
        if let Some(fault) = scan.take_fault() {
            return Err(fault);
        }
        let bytes_max = limits.decompressed_bytes_max;
        if self.bytes() as u64 > bytes_max {
            return Err(IndexFault::DecompressedTooLarge { bytes_max });
        }
        read
    }

    fn bytes(&self) -> usize {
        let groups = self.sections.groups.values().flat_map(BTreeMap::values);
        self.sections.files.values().chain(groups).map(Vec::len).sum()
    }

    /// Writes the document.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Sections { files, groups, info } = &self.sections;
        let files = |key: &str| files.get(key).map(Vec::as_slice).unwrap_or_default();
        out.write_all(b"{\"info\":")?;
        out.write_all(if info.is_empty() { b"{}" } else { info })?;
        for key in ["packages", "packages.conda"] {
            write!(out, ",\"{key}\":{{")?;
            out.write_all(files(key))?;
            out.write_all(b"}")?;
        }
        out.write_all(b",\"removed\":[")?;
        out.write_all(files("removed"))?;
        out.write_all(b"],\"repodata_version\":1")?;
        for (key, groups) in groups {
            write!(out, ",\"{key}\":{{")?;
            for (number, (group, files)) in groups.iter().enumerate() {
                out.write_all(if number > 0 { b"," } else { b"" })?;
                serde_json::to_writer(&mut *out, group)?;
                out.write_all(b":{")?;
                out.write_all(files)?;
                out.write_all(b"}")?;
            }
            out.write_all(b"}")?;
        }
        out.write_all(b"}")
    }
}

/// Where the value of a key goes.
enum To<'o> {
    /// As it is.
    Value(&'o mut Vec<u8>),
    /// Without its brackets, behind what is there.
    Inside(&'o mut Vec<u8>),
    /// A map of such.
    Groups(&'o mut BTreeMap<String, Vec<u8>>),
}

struct Root<'s> {
    sections: &'s mut Sections,
    part: Part,
}

impl<'de> Visitor<'de> for Root<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<String>()? {
            match self.sections.to(&key, self.part) {
                Some(To::Value(out)) => entries.next_value_seed(Json { out, is_inside: false })?,
                Some(To::Inside(out)) => entries.next_value_seed(Json { out, is_inside: true })?,
                Some(To::Groups(groups)) => entries.next_value_seed(Groups(groups))?,
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Groups<'o>(&'o mut BTreeMap<String, Vec<u8>>);

impl<'de> DeserializeSeed<'de> for Groups<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Groups<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of maps")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(group) = entries.next_key::<String>()? {
            let out = self.0.entry(group).or_default();
            entries.next_value_seed(Json { out, is_inside: true })?;
        }
        Ok(())
    }
}

/// Writes a value as JSON.
struct Json<'o> {
    out: &'o mut Vec<u8>,
    /// Whether the brackets of the outermost map or array are left out; any other value is nothing then.
    is_inside: bool,
}

impl Json<'_> {
    fn put<T: serde::Serialize + ?Sized, E: Error>(self, value: &T) -> Result<(), E> {
        if self.is_inside { Ok(()) } else { serde_json::to_writer(self.out, value).map_err(E::custom) }
    }

    fn bracket(&mut self, bracket: u8) {
        if !self.is_inside {
            self.out.push(bracket);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Json<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Json<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.put(&())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.put(value)
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<(), E> {
        let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        self.put(&digits)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        self.bracket(b'[');
        let mut separator = Separator::before(self.out, self.is_inside);
        while elements.next_element_seed(Element { out: &mut *self.out, separator })?.is_some() {
            separator = Separator::Comma;
        }
        self.bracket(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        self.bracket(b'{');
        let mut separator = Separator::before(self.out, self.is_inside);
        while let Some(key) = entries.next_key::<String>()? {
            separator.write(self.out);
            separator = Separator::Comma;
            serde_json::to_writer(&mut *self.out, &key).map_err(A::Error::custom)?;
            self.out.push(b':');
            entries.next_value_seed(Json { out: &mut *self.out, is_inside: false })?;
        }
        self.bracket(b'}');
        Ok(())
    }
}

/// What stands before the next element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    Nothing,
    Comma,
}

impl Separator {
    /// Before the first of a map or array, which may continue what is there.
    fn before(out: &[u8], is_inside: bool) -> Self {
        if is_inside && !out.is_empty() { Self::Comma } else { Self::Nothing }
    }

    fn write(self, out: &mut Vec<u8>) {
        if self == Self::Comma {
            out.push(b',');
        }
    }
}

/// An element of an array, with what separates it from the one before.
struct Element<'o> {
    out: &'o mut Vec<u8>,
    separator: Separator,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.separator.write(self.out);
        Json { out: self.out, is_inside: false }.deserialize(deserializer)
    }
}
