//! A `repodata.json`, or a document of its kind, in memory: where each record stands in its bytes, and which package it is of.
//!
//! One pass over the text ([`Document::parse`], in `document/parsing.rs`) leaves 32 bytes a record and copies none of them: records are
//! borrowed from the text, names and digests too. So a view of a channel is a set of bits ([`Selection`](super::Selection)), and what is
//! written of it (`writing.rs`, `pack.rs`) are pieces of the text itself.
//!
//! The document tells what a file's record says; who may see it is not known here. Only `parsing.rs` knows the grammar of such documents.
//!
//! # Which package a record is of
//!
//! Its file's name says so ([`PackageFile`]), because the name is all there is when a file is asked for. A record that says otherwise, or
//! whose file's name says nothing, is *odd* ([`Record::is_odd`]): whoever sees some packages only sees none of those. `records.rs` finds
//! the same ones odd when an index is inspected. In shards an odd record stands with the package that it names, if it names one.

mod parsing;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::scanner::{Scanner, Text};
use super::{IndexFault, Limits};
use crate::cache::Sha256;
use crate::conda::PackageFile;

/// A document of which it is known where everything stands.
pub struct Document {
    text: Bytes,
    /// Strings that do not stand in the text as they are; their places begin where the text ends.
    decoded: String,
    members: Vec<Member>,
    sections: Vec<SectionName>,
    entries: Vec<Entry>,
    /// The records, in order of their files' names.
    by_file: Vec<u32>,
    /// The packages, in order of their names.
    packages: Vec<Package>,
    /// The entries of packages, one package after the other, each in order of files.
    by_package: Vec<u32>,
    needs_rewriting: bool,
}

/// Bytes of the text, or of what was decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// A member of the document, or of one of its maps of maps.
pub(super) enum Member {
    /// Anything, with its key.
    Other(Place),
    /// `info`: its key, and its members, each with its key.
    Info(Place, Vec<Place>),
    /// A map or an array of entries.
    Section(Section),
    /// `v3` and its successors: their key, and their groups.
    Groups(Place, Vec<Member>),
}

/// Entries in a row.
pub(super) struct Section {
    /// With its quotes.
    pub(super) key: Place,
    pub(super) entries: Range<u32>,
    /// Whether the entries are strings of an array and not members of a map.
    pub(super) is_list: bool,
}

/// What a section is called.
pub(super) struct SectionName {
    /// Its key in the document, or that of the map that it is a group of.
    pub(super) key: String,
    pub(super) group: Option<String>,
}

/// One name of a file in the document, mostly with its record.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// Where it begins: its key's quote.
    pub(super) start: u32,
    /// Where its value begins.
    pub(super) value: u32,
    pub(super) end: u32,
    file: u32,
    file_bytes: u32,
    /// The package it is of, [`NONE`] if that is unknown.
    pub(super) package: u32,
    /// Where 64 hexadecimal digits stand, [`NONE`] if they do not.
    sha256: u32,
    /// The section that it stands in.
    section: u16,
    pub(super) marks: u8,
}

/// A package, of which there are the entries from here to the next one's.
struct Package {
    name: Place,
    first: u32,
}

/// Bits of [`Entry::marks`].
pub(super) mod mark {
    /// The record does not say that it is of this file.
    pub(crate) const ODD: u8 = 1;
    /// It says that it is of another one.
    pub(crate) const CONTRADICTS: u8 = 2;
    /// Its `url` does not lead to the file beside the index.
    pub(crate) const MOVED: u8 = 4;
    /// Another record is of the same file.
    pub(crate) const SHARED: u8 = 8;
    /// A name under `removed`.
    pub(crate) const REMOVED: u8 = 16;
    /// Signatures of a file.
    pub(crate) const SIGNATURES: u8 = 32;
}

/// No place, no package.
pub(super) const NONE: u32 = u32::MAX;

impl Document {
    /// Reads a document, decompressed. It should have passed inspection: what passes is read.
    ///
    /// # Errors
    ///
    /// An [`IndexFault`] if it is no JSON map, is over a limit or as large as 4 GiB, names a file twice in one map, or says twice what its
    /// records are of.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Self, IndexFault> {
        parsing::parse(bytes, limits)
    }

    /// Bytes of memory that it holds.
    pub fn weight(&self) -> usize {
        let lists = self.by_file.len() + self.by_package.len();
        self.text.len()
            + self.decoded.len()
            + self.entries.len() * size_of::<Entry>()
            + lists * size_of::<u32>()
            + self.packages.len() * size_of::<Package>()
    }

    /// The text that was parsed.
    pub fn bytes(&self) -> &Bytes {
        &self.text
    }

    /// Whether clients of the document as it is would leave the gate, so that nobody may get it so.
    pub fn needs_rewriting(&self) -> bool {
        self.needs_rewriting
    }

    /// How many records there are.
    pub fn record_count(&self) -> usize {
        self.by_file.len()
    }

    /// How many packages there are, by name.
    pub fn package_count(&self) -> usize {
        self.packages.len()
    }

    /// All records, in the order of the document.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.numbered().map(|(_, record)| record).filter(Record::is_record)
    }

    /// The names under `removed`, in the order of the document.
    pub fn removed(&self) -> impl Iterator<Item = Record<'_>> {
        self.numbered().map(|(_, record)| record).filter(Record::is_removed)
    }

    /// The first record of this file.
    pub fn record(&self, file: &str) -> Option<Record<'_>> {
        self.numbers_of(file).next().and_then(|number| self.entry(number))
    }

    /// The names of all packages, in order, in small letters.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().map(|package| self.str(package.name))
    }

    /// A member of `info`, if that is a string.
    pub fn info(&self, name: &str) -> Option<Cow<'_, str>> {
        self.info_members().find_map(|(key, value)| {
            let found = key.read(&self.text)? == name;
            found.then(|| Scanner::again(&self.text, value.start as usize).string().ok()?.read(&self.text))?
        })
    }

    /// The members of `info`, by key and value.
    pub(super) fn info_members(&self) -> impl Iterator<Item = (Text, Place)> {
        let members = self.members.iter().find_map(|member| match member {
            Member::Info(_, members) => Some(members.as_slice()),
            _ => None,
        });
        members.unwrap_or_default().iter().filter_map(|place| {
            let mut scanner = Scanner::again(&self.text, place.start as usize);
            let key = scanner.string().ok()?;
            scanner.take(b':').ok()?;
            scanner.peek();
            let start = u32::try_from(scanner.at()).ok()?;
            Some((key, Place { start, end: place.end }))
        })
    }

    pub(super) fn section(&self, entry: &Entry) -> Option<&SectionName> {
        self.sections.get(usize::from(entry.section))
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All entries, by number.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, Record<'_>)> {
        let all = self.entries.iter().zip(0..);
        all.map(|(entry, number)| (number, Record { document: self, entry }))
    }

    /// The entry of this number.
    pub(super) fn entry(&self, number: u32) -> Option<Record<'_>> {
        self.entries.get(number as usize).map(|entry| Record { document: self, entry })
    }

    /// The records of this file, by number.
    pub(super) fn numbers_of(&self, file: &str) -> impl Iterator<Item = u32> {
        let start = self.by_file.partition_point(|number| self.file_of(*number) < file.as_bytes());
        let rest = self.by_file.get(start..).unwrap_or_default();
        rest.iter().copied().take_while(move |number| self.file_of(*number) == file.as_bytes())
    }

    /// The records, in order of their files' names.
    pub(super) fn by_file(&self) -> &[u32] {
        &self.by_file
    }

    pub(super) fn file_of(&self, number: u32) -> &[u8] {
        self.entries.get(number as usize).map_or(&[], |entry| self.slice(entry.file()))
    }

    /// The packages by name, each with its entries: records and removed files, in order of files.
    pub(super) fn by_package(&self) -> impl Iterator<Item = (&str, &[u32])> {
        let ends = self.packages.iter().skip(1).map(|package| package.first as usize);
        let ends = ends.chain([self.by_package.len()]);
        self.packages.iter().zip(ends).map(|(package, end)| {
            let numbers = self.by_package.get(package.first as usize..end);
            (self.str(package.name), numbers.unwrap_or_default())
        })
    }

    /// The entries of one package.
    pub(super) fn of_package(&self, name: &str) -> &[u32] {
        let Ok(at) = self.packages.binary_search_by(|package| self.slice(package.name).cmp(name.as_bytes()))
        else {
            return &[];
        };
        let start = self.packages.get(at).map_or(0, |package| package.first as usize);
        let end = self.packages.get(at + 1).map_or(self.by_package.len(), |package| package.first as usize);
        self.by_package.get(start..end).unwrap_or_default()
    }

    pub(super) fn slice(&self, place: Place) -> &[u8] {
        let (start, end) = (place.start as usize, place.end as usize);
        match start.checked_sub(self.text.len()) {
            None => self.text.get(start..end),
            Some(start) => self.decoded.as_bytes().get(start..end - self.text.len()),
        }
        .unwrap_or_default()
    }

    fn str(&self, place: Place) -> &str {
        std::str::from_utf8(self.slice(place)).unwrap_or_default()
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document")
            .field("bytes", &self.text.len())
            .field("records", &self.record_count())
            .finish_non_exhaustive()
    }
}

impl Entry {
    fn file(&self) -> Place {
        Place { start: self.file, end: self.file + self.file_bytes }
    }

    pub(super) fn is(&self, marks: u8) -> bool {
        self.marks & marks != 0
    }

    pub(super) fn whole(&self) -> Place {
        Place { start: self.start, end: self.end }
    }
}

/// What a document says of a file.
#[derive(Clone, Copy)]
pub struct Record<'d> {
    document: &'d Document,
    pub(super) entry: &'d Entry,
}

impl<'d> Record<'d> {
    /// The file's name.
    pub fn file(&self) -> &'d str {
        self.document.str(self.entry.file())
    }

    /// What the file's name says of its package.
    pub fn package(&self) -> Option<PackageFile<'d>> {
        PackageFile::parse(self.file())
    }

    /// The name of the package that it stands with in shards, in small letters: as the record says, else the file's name. Empty for a removed
    /// file of a package that has no others.
    pub fn name(&self) -> &'d str {
        let package = self.document.packages.get(self.entry.package as usize);
        package.map_or("", |package| self.document.str(package.name))
    }

    /// Whether nobody can tell which package it is of.
    pub fn is_odd(&self) -> bool {
        self.entry.is(mark::ODD)
    }

    /// Whether it is a name under `removed`, with no record.
    pub fn is_removed(&self) -> bool {
        self.entry.is(mark::REMOVED)
    }

    pub(super) fn is_record(&self) -> bool {
        !self.entry.is(mark::REMOVED | mark::SIGNATURES)
    }

    /// Its bytes in the document: the value of the file's key.
    pub fn raw(&self) -> &'d [u8] {
        self.document.slice(Place { start: self.entry.value, end: self.entry.end })
    }

    /// The digest of the file, as the record has it.
    pub fn sha256(&self) -> Option<Sha256> {
        let start = self.entry.sha256 as usize;
        let digits = self.document.text.get(start..start.checked_add(SHA256_DIGITS)?)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The size of the file in bytes, as the record has it. Reads the record anew.
    pub fn size(&self) -> Option<u64> {
        let mut size = None;
        self.scan(|scanner, key| {
            if key.read(&self.document.text).is_some_and(|key| key == "size") {
                let number = scanner.clone().number().ok();
                size = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            }
            scanner.skip(0)
        });
        size
    }

    /// The value of the record's `url`, with its quotes.
    pub(super) fn url(&self) -> Option<Place> {
        let mut place = None;
        self.scan(|scanner, key| {
            let start = scanner.at();
            scanner.skip(0)?;
            if key.read(&self.document.text).is_some_and(|key| key == "url") {
                place = Some(Place { start: start as u32, end: scanner.at() as u32 });
            }
            Ok(())
        });
        place
    }

    /// Reads the members of the record, which have been read once.
    fn scan(&self, each: impl FnMut(&mut Scanner<'_>, Text) -> Result<(), IndexFault>) {
        if self.is_record() {
            let mut scanner = Scanner::again(&self.document.text, self.entry.value as usize);
            let _ = scanner.members(0, each);
        }
    }
}

const SHA256_DIGITS: usize = 64;
