//! Makes a shard (CEP 16): what a document says of one package, as MessagePack.
//!
//! A shard is named by the digest of its bytes, so these depend on the records alone: files in order, maps as the upstream has them, digests
//! as bytes as CEP 16 wants them, and nothing of the gate's own. What `writing.rs` rewrites is rewritten here too. `pack.rs` compresses
//! shards and keeps them.

use std::collections::BTreeMap;

use super::IndexFault;
use super::document::{Document, Record, mark};
use super::msgpack::{self, Open};
use super::scanner::{Scanner, Text};
use super::selection::Selection;
use super::writing::{LEADS, reference};
use crate::cache::{Hashing, Sha256};

/// What a shard is made of: what somebody sees of the entries of one package.
pub(super) struct Source<'d> {
    document: &'d Document,
    /// The entries by their section, in the order of the shard.
    sections: BTreeMap<(Order<'d>, Option<&'d str>), Vec<Record<'d>>>,
}

/// Which of a shard's members a section is, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order<'d> {
    TarBz2,
    Conda,
    Revision(&'d str),
    Removed,
}

impl<'d> Source<'d> {
    /// Of the entries of a package, those that are seen; `None` if no record is among them.
    pub(super) fn of(document: &'d Document, selection: &Selection, entries: &[u32]) -> Option<Self> {
        let mut sections: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut has_records = false;
        for number in entries.iter().filter(|number| selection.has(**number)) {
            let Some(record) = document.entry(*number) else { continue };
            let Some(section) = document.section(record.entry) else { continue };
            let order = match section.key.as_str() {
                "packages" => Order::TarBz2,
                "packages.conda" => Order::Conda,
                "removed" => Order::Removed,
                revision => Order::Revision(revision),
            };
            has_records |= record.is_record();
            sections.entry((order, section.group.as_deref())).or_default().push(record);
        }
        has_records.then_some(Self { document, sections })
    }

    /// The digest of what the shard says: sources that have the same one have the same shard.
    pub(super) fn digest(&self) -> Sha256 {
        let mut digest = Hashing::new();
        let mut put = |bytes: &[u8]| {
            digest.update(&(bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        put(ENCODING);
        for ((order, group), records) in &self.sections {
            put(order.key().as_bytes());
            put(group.unwrap_or_default().as_bytes());
            for record in records {
                put(self.document.slice(record.entry.whole()));
            }
            put(b"");
        }
        digest.finish()
    }

    /// The shard, not compressed.
    ///
    /// # Errors
    ///
    /// A fault, if a string of a record is none: inspection would have found it.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), IndexFault> {
        let mut root = Open::map(out);
        for order in [Order::TarBz2, Order::Conda] {
            root.next();
            msgpack::text(out, order.key());
            self.files(&(order, None), out)?;
        }
        let mut sections = self.sections.keys().filter_map(|(order, group)| match order {
            Order::Revision(_) => group.map(|group| (*order, group)),
            _ => None,
        });
        let mut next = sections.next();
        while let Some((order, _)) = next {
            root.next();
            msgpack::text(out, order.key());
            let mut groups = Open::map(out);
            while let Some((_, group)) = next.filter(|(other, _)| *other == order) {
                groups.next();
                msgpack::text(out, group);
                self.files(&(order, Some(group)), out)?;
                next = sections.next();
            }
            groups.end(out);
        }
        root.next();
        msgpack::text(out, Order::Removed.key());
        let mut removed = Open::array(out);
        for record in self.sections.get(&(Order::Removed, None)).into_iter().flatten() {
            removed.next();
            msgpack::text(out, record.file());
        }
        removed.end(out);
        root.end(out);
        Ok(())
    }

    /// The map of one section's files.
    fn files(&self, section: &(Order<'_>, Option<&str>), out: &mut Vec<u8>) -> Result<(), IndexFault> {
        let mut files = Open::map(out);
        for record in self.sections.get(section).into_iter().flatten() {
            files.next();
            let mut scanner = Scanner::again(self.document.bytes(), record.entry.start as usize);
            let key = scanner.string()?;
            string(self.document.bytes(), key, out)?;
            scanner.take(b':')?;
            self.record(&mut scanner, record, out)?;
        }
        files.end(out);
        Ok(())
    }

    fn record(
        &self,
        scanner: &mut Scanner<'_>,
        record: &Record<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), IndexFault> {
        let bytes = self.document.bytes();
        if scanner.peek() != Some(b'{') {
            return value(bytes, scanner, out);
        }
        let mut map = Open::map(out);
        scanner.members(0, |scanner, key| {
            map.next();
            string(bytes, key, out)?;
            let name = key.read(bytes);
            match (name.as_deref(), scanner.peek()) {
                (Some("sha256"), Some(b'"')) => digest::<32>(bytes, scanner.string()?, out),
                (Some("md5"), Some(b'"')) => digest::<16>(bytes, scanner.string()?, out),
                (Some("url"), Some(b'"')) if record.entry.is(mark::MOVED) => {
                    scanner.string()?;
                    msgpack::text(out, &reference(record.file()).to_string());
                    Ok(())
                }
                _ => value(bytes, scanner, out),
            }
        })?;
        map.end(out);
        Ok(())
    }
}

impl<'d> Order<'d> {
    fn key(self) -> &'d str {
        match self {
            Self::TarBz2 => "packages",
            Self::Conda => "packages.conda",
            Self::Revision(key) => key,
            Self::Removed => "removed",
        }
    }
}

/// Writes the `info` of a shard index, for packages beside it and shards in `shards/`. Whatever else the document has there is kept.
///
/// # Errors
///
/// As [`Source::encode`].
pub(super) fn encode_info(document: &Document, subdir: &str, out: &mut Vec<u8>) -> Result<(), IndexFault> {
    let bytes = document.bytes();
    let mut info = Open::map(out);
    for (key, text) in [("base_url", ""), ("shards_base_url", "./shards/"), ("subdir", subdir)] {
        info.next();
        msgpack::text(out, key);
        msgpack::text(out, text);
    }
    for (key, place) in document.info_members() {
        let name = key.read(bytes);
        if name
            .as_deref()
            .is_some_and(|name| name == "subdir" || name == "created_at" || LEADS.contains(&name))
        {
            continue;
        }
        info.next();
        string(bytes, key, out)?;
        value(bytes, &mut Scanner::again(bytes, place.start as usize), out)?;
    }
    info.end(out);
    Ok(())
}

/// Writes any value.
fn value(bytes: &[u8], scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Result<(), IndexFault> {
    match scanner.peek() {
        Some(b'"') => string(bytes, scanner.string()?, out),
        Some(b'{') => {
            let mut map = Open::map(out);
            scanner.members(0, |scanner, key| {
                map.next();
                string(bytes, key, out)?;
                value(bytes, scanner, out)
            })?;
            map.end(out);
            Ok(())
        }
        Some(b'[') => {
            let mut array = Open::array(out);
            scanner.elements(0, |scanner| {
                array.next();
                value(bytes, scanner, out)
            })?;
            array.end(out);
            Ok(())
        }
        Some(first @ (b't' | b'f')) => {
            msgpack::boolean(out, first == b't');
            scanner.skip(0)
        }
        Some(b'n') => {
            msgpack::nil(out);
            scanner.skip(0)
        }
        _ => {
            let digits = scanner.number()?;
            msgpack::number(out, std::str::from_utf8(digits).unwrap_or_default());
            Ok(())
        }
    }
}

fn string(bytes: &[u8], text: Text, out: &mut Vec<u8>) -> Result<(), IndexFault> {
    let unreadable = || Scanner::again(bytes, text.start).fault();
    msgpack::text(out, &text.read(bytes).ok_or_else(unreadable)?);
    Ok(())
}

/// A digest of hexadecimal digits as bytes; what is none, as it is.
fn digest<const N: usize>(bytes: &[u8], text: Text, out: &mut Vec<u8>) -> Result<(), IndexFault> {
    let digits = bytes.get(text.start..text.end).unwrap_or_default();
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return string(bytes, text, out);
    }
    let mut said = [0; N];
    for (byte, [high, low]) in said.iter_mut().zip(pairs) {
        *byte = (digit(*high) << 4) | digit(*low);
    }
    msgpack::bytes(out, &said);
    Ok(())
}

fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20).wrapping_sub(b'a' - 10),
    }
}

/// Changes whenever the same records are to be written otherwise: shards are made anew then.
const ENCODING: &[u8] = b"channelgate shard 1";
