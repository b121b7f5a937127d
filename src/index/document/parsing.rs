//! Finds everything's place in a document, in one pass. What a member is called decides what it holds, as `walk.rs` has it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use url::Url;

use super::{Document, Entry, Member, NONE, Package, Place, SHA256_DIGITS, Section, SectionName, mark};
use crate::conda::PackageFile;
use crate::index::fault::Format;
use crate::index::leads::{Role, file_name};
use crate::index::reference::Reach;
use crate::index::scanner::{Scanner, Text};
use crate::index::walk::is_revision;
use crate::index::{IndexFault, Limits};

/// See [`Document::parse`].
pub(super) fn parse(bytes: Bytes, limits: &Limits) -> Result<Document, IndexFault> {
    let bytes_max = u64::from(u32::MAX / 2).max(limits.decompressed_bytes_max.min(TEXT_BYTES_MAX));
    if bytes.len() as u64 > bytes_max {
        return Err(IndexFault::DecompressedTooLarge { bytes_max });
    }
    if std::str::from_utf8(&bytes).is_err() {
        return Err(IndexFault::trailing(Format::Json, 0));
    }
    let mut parsing = Parsing {
        text: &bytes,
        records_max: limits.records_max,
        records: 0,
        decoded: String::new(),
        sections: Vec::new(),
        entries: Vec::new(),
        names: Names::default(),
        needs_rewriting: false,
    };
    let mut scanner = Scanner::new(&bytes, limits.depth_max);
    let members = parsing.root(&mut scanner)?;
    scanner.end()?;
    let Parsing { decoded, sections, entries, names, needs_rewriting, .. } = parsing;
    let (by_file, by_package, packages) = (Vec::new(), Vec::new(), Vec::new());
    let mut document = Document {
        text: bytes.clone(),
        decoded,
        members,
        sections,
        entries,
        by_file,
        packages,
        by_package,
        needs_rewriting,
    };
    document.order_files()?;
    document.order_packages(names);
    Ok(document)
}

/// What was found so far.
struct Parsing<'t> {
    text: &'t [u8],
    records_max: u64,
    records: u64,
    decoded: String,
    sections: Vec<SectionName>,
    entries: Vec<Entry>,
    names: Names,
    needs_rewriting: bool,
}

/// The packages' names, numbered as they come.
#[derive(Default)]
struct Names {
    numbers: HashMap<Box<str>, u32>,
    places: Vec<Place>,
}

/// What a map of records is.
#[derive(Clone, Copy)]
enum Kind<'k> {
    /// File name to record.
    Files,
    /// A group of v3, with this name.
    Group(&'k str),
    /// File name to signatures.
    Signatures,
}

/// The members of a record that count, as texts. Another type than a string is as good as none.
#[derive(Default)]
struct Said {
    name: Option<Text>,
    version: Option<Text>,
    build: Option<Text>,
    file: Option<Text>,
    url: Option<Text>,
    sha256: Option<Text>,
}

impl Parsing<'_> {
    fn root(&mut self, scanner: &mut Scanner<'_>) -> Result<Vec<Member>, IndexFault> {
        let mut members = Vec::new();
        let mut seen = HashSet::new();
        scanner.members(0, |scanner, key| {
            let name = self.once(key, &mut seen, "the document")?;
            members.push(match (&*name, scanner.peek()) {
                ("info", Some(b'{')) => self.info(scanner, key)?,
                ("packages" | "packages.conda", Some(b'{')) => {
                    self.begin(&name, None)?;
                    Member::Section(self.files(scanner, key, 1, Kind::Files)?)
                }
                ("signatures", Some(b'{')) => {
                    self.begin(&name, None)?;
                    Member::Section(self.files(scanner, key, 1, Kind::Signatures)?)
                }
                ("removed", Some(b'[')) => {
                    self.begin(&name, None)?;
                    Member::Section(self.removed(scanner, key)?)
                }
                (name, Some(b'{')) if is_revision(name) => self.groups(scanner, key, name)?,
                _ => other(scanner, key, 1)?,
            });
            Ok(())
        })?;
        Ok(members)
    }

    /// A section begins: what is pushed now stands in it.
    fn begin(&mut self, key: &str, group: Option<&str>) -> Result<(), IndexFault> {
        if self.sections.len() >= SECTIONS_MAX {
            return Err(IndexFault::TooManyKeys { place: key.to_owned(), keys_max: SECTIONS_MAX });
        }
        self.sections.push(SectionName { key: key.to_owned(), group: group.map(str::to_owned) });
        Ok(())
    }

    /// The name of a key that may stand once in its map.
    fn once(&self, key: Text, seen: &mut HashSet<String>, map: &str) -> Result<String, IndexFault> {
        let name = self.read(key)?.into_owned();
        if !seen.insert(name.clone()) {
            return Err(IndexFault::duplicate(map.to_owned(), &name));
        }
        Ok(name)
    }

    fn read(&self, text: Text) -> Result<Cow<'_, str>, IndexFault> {
        let unreadable = || IndexFault::trailing(Format::Json, text.start as u64);
        text.read(self.text).ok_or_else(unreadable)
    }

    fn info(&mut self, scanner: &mut Scanner<'_>, key: Text) -> Result<Member, IndexFault> {
        let (mut members, mut seen) = (Vec::new(), HashSet::new());
        let mut leads = false;
        scanner.members(1, |scanner, key| {
            let name = self.once(key, &mut seen, "info")?;
            let role = match name.as_str() {
                "base_url" => Some(Role::Base),
                "shards_base_url" => Some(Role::Shards),
                _ => None,
            };
            let start = key.start - 1;
            if let (Some(role), Some(b'"')) = (role, scanner.peek()) {
                let value = scanner.string()?;
                leads |= !Reach::Led(role).is_in_place(&self.read(value)?);
            } else {
                scanner.skip(2)?;
            }
            members.push(place(start, scanner.at()));
            Ok(())
        })?;
        self.needs_rewriting |= leads;
        Ok(Member::Info(quoted(key), members))
    }

    fn groups(&mut self, scanner: &mut Scanner<'_>, key: Text, name: &str) -> Result<Member, IndexFault> {
        let (mut members, mut seen) = (Vec::new(), HashSet::new());
        scanner.members(1, |scanner, key| {
            let group = self.once(key, &mut seen, name)?;
            members.push(match scanner.peek() {
                Some(b'{') => {
                    self.begin(name, Some(&group))?;
                    Member::Section(self.files(scanner, key, 2, Kind::Group(&group))?)
                }
                _ => other(scanner, key, 2)?,
            });
            Ok(())
        })?;
        Ok(Member::Groups(quoted(key), members))
    }

    fn files(
        &mut self,
        scanner: &mut Scanner<'_>,
        key: Text,
        depth: usize,
        kind: Kind<'_>,
    ) -> Result<Section, IndexFault> {
        let first = self.entries.len();
        scanner.members(depth, |scanner, key| self.file(scanner, key, depth + 1, kind))?;
        Ok(Section { key: quoted(key), entries: number(first)..number(self.entries.len()), is_list: false })
    }

    fn removed(&mut self, scanner: &mut Scanner<'_>, key: Text) -> Result<Section, IndexFault> {
        let first = self.entries.len();
        scanner.elements(1, |scanner| {
            // What is no name of a file is nobody's.
            let start = scanner.at();
            let file = match scanner.peek() {
                Some(b'"') => self.place(scanner.string()?)?,
                _ => scanner.skip(2).map(|()| Place::default())?,
            };
            let Place { start, end } = place(start, scanner.at());
            let entry = Entry { start, value: start, end, marks: mark::REMOVED, ..Entry::of(file) };
            self.push(entry)
        })?;
        Ok(Section { key: quoted(key), entries: number(first)..number(self.entries.len()), is_list: true })
    }

    /// One member of a map of files.
    fn file(
        &mut self,
        scanner: &mut Scanner<'_>,
        key: Text,
        depth: usize,
        kind: Kind<'_>,
    ) -> Result<(), IndexFault> {
        let value = number(scanner.at());
        let mut entry = match kind {
            Kind::Signatures => {
                scanner.skip(depth)?;
                Entry { marks: mark::SIGNATURES, ..Entry::of(self.place(key)?) }
            }
            Kind::Files | Kind::Group(_) => {
                let said = self.record(scanner, depth)?;
                let (file, leads) = self.file_of(key, &said, kind)?;
                self.needs_rewriting |= leads;
                let mut entry = Entry::of(file);
                entry.marks |= if leads { mark::MOVED } else { 0 };
                self.judge(&mut entry, &said, file)?;
                entry.sha256 =
                    said.sha256.filter(is_sha256(self.text)).map_or(NONE, |text| number(text.start));
                entry
            }
        };
        entry.start = number(key.start - 1);
        entry.value = value;
        entry.end = number(scanner.at());
        self.push(entry)
    }

    fn push(&mut self, mut entry: Entry) -> Result<(), IndexFault> {
        entry.section = u16::try_from(self.sections.len().saturating_sub(1)).unwrap_or_default();
        self.records += u64::from(!entry.is(mark::REMOVED | mark::SIGNATURES));
        let entries_max = self.records_max.saturating_mul(ENTRIES_PER_RECORD).min(u64::from(NONE));
        if self.records > self.records_max || self.entries.len() as u64 >= entries_max {
            return Err(IndexFault::TooManyRecords { records_max: self.records_max });
        }
        self.entries.push(entry);
        Ok(())
    }

    /// What a record says of its file. Whatever is no map says nothing.
    fn record(&self, scanner: &mut Scanner<'_>, depth: usize) -> Result<Said, IndexFault> {
        let mut said = Said::default();
        if scanner.peek() != Some(b'{') {
            scanner.skip(depth)?;
            return Ok(said);
        }
        let mut seen = 0_u16;
        scanner.members(depth, |scanner, key| {
            let name = key.read(self.text);
            let at = name.as_deref().and_then(|name| KEYS.iter().position(|key| *key == name));
            let Some(at) = at else { return scanner.skip(depth + 1) };
            if seen & 1 << at != 0 {
                let record = format!("the record at byte {}", key.start);
                return Err(IndexFault::duplicate(record, name.as_deref().unwrap_or_default()));
            }
            seen |= 1 << at;
            if scanner.peek() != Some(b'"') {
                return scanner.skip(depth + 1);
            }
            let text = scanner.string()?;
            match name.as_deref() {
                Some("name") => said.name = Some(text),
                Some("version") => said.version = Some(text),
                Some("build") => said.build = Some(text),
                Some("fn") => said.file = Some(text),
                Some("url") => said.url = Some(text),
                Some("sha256") => said.sha256 = Some(text),
                _ => {}
            }
            Ok(())
        })?;
        Ok(said)
    }

    /// The name of the record's file, and whether its `url` leads away from it. As `records.rs` has it.
    fn file_of(&mut self, key: Text, said: &Said, kind: Kind<'_>) -> Result<(Place, bool), IndexFault> {
        let url = said.url.map(|url| self.read(url)).transpose()?;
        let leads = url.as_deref().is_some_and(|url| !Reach::Led(Role::File).is_in_place(url));
        let target = leads.then(|| target(url.as_deref().unwrap_or_default())).flatten();
        if leads && target.is_none() {
            let place = format!("`url` of the record at byte {}", key.start);
            return Err(IndexFault::Shape { place, expected: "the URL of a file" });
        }
        let Kind::Group(group) = kind else { return Ok((self.place(key)?, leads)) };
        let place = match (said.file, target, said.url) {
            (Some(file), ..) => self.place(file)?,
            (None, Some(target), _) => self.decode(&target)?,
            (None, None, Some(url)) => {
                let skipped = if self.read(url)?.starts_with("./") { 2 } else { 0 };
                let Place { start, end } = self.place(url)?;
                Place { start: start + skipped, end }
            }
            (None, None, None) => {
                let file = format!("{}.{group}", self.read(key)?);
                self.decode(&file)?
            }
        };
        Ok((place, leads))
    }

    /// Finds out which package the record is of.
    fn judge(&mut self, entry: &mut Entry, said: &Said, file: Place) -> Result<(), IndexFault> {
        let read = |text: Option<Text>| text.map(|text| self.read(text)).transpose();
        let (name, version, build) = (read(said.name)?, read(said.version)?, read(said.build)?);
        let file = self.slice(file);
        // A client may go by any of the names that a record has.
        let url = said.url.filter(|_| !entry.is(mark::MOVED));
        let is_other = |text: Option<Text>| -> Result<bool, IndexFault> {
            let other = read(text)?;
            let other = other.as_deref().map(|other| other.strip_prefix("./").unwrap_or(other));
            Ok(other.is_some_and(|other| !other.is_empty() && other != file))
        };
        let is_named_otherwise = is_other(said.file)? || is_other(url)?;
        let facts = PackageFile::parse(file);
        let is_of = |name: Option<&str>, version: Option<&str>, build: Option<&str>| {
            facts.as_ref().is_some_and(|facts| {
                let name = name.unwrap_or(&facts.name);
                facts.is_of(name, version.unwrap_or(facts.version), build.unwrap_or(facts.build))
            })
        };
        let some = (name.as_deref(), version.as_deref(), build.as_deref());
        let all = (some.0.or(Some("")), some.1.or(Some("")), some.2.or(Some("")));
        let mut marks = 0;
        if is_named_otherwise || !is_of(some.0, some.1, some.2) {
            marks |= mark::CONTRADICTS;
        }
        if is_named_otherwise || !is_of(all.0, all.1, all.2) {
            marks |= mark::ODD;
        }
        let of_file = facts.as_ref().map_or(file, |facts| &*facts.name);
        let package = name.as_deref().filter(|name| !name.is_empty()).unwrap_or(of_file);
        let package = package.to_ascii_lowercase();
        entry.marks |= marks;
        entry.package = self.names.number(&package, &mut self.decoded, self.text.len())?;
        Ok(())
    }

    /// The place of a string as it is read.
    fn place(&mut self, text: Text) -> Result<Place, IndexFault> {
        if !text.is_escaped {
            return Ok(place(text.start, text.end));
        }
        let said = self.read(text)?.into_owned();
        self.decode(&said)
    }

    fn decode(&mut self, said: &str) -> Result<Place, IndexFault> {
        append(&mut self.decoded, self.text.len(), said)
    }

    fn slice(&self, Place { start, end }: Place) -> &str {
        let (start, end, length) = (start as usize, end as usize, self.text.len());
        match start.checked_sub(length) {
            None => std::str::from_utf8(self.text.get(start..end).unwrap_or_default()).unwrap_or_default(),
            Some(start) => self.decoded.get(start..end - length).unwrap_or_default(),
        }
    }
}

impl Names {
    fn number(&mut self, name: &str, decoded: &mut String, offset: usize) -> Result<u32, IndexFault> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let number = number(self.places.len());
        self.places.push(append(decoded, offset, name)?);
        self.numbers.insert(name.into(), number);
        Ok(number)
    }
}

impl Entry {
    fn of(file: Place) -> Self {
        let file_bytes = file.end - file.start;
        let (package, sha256) = (NONE, NONE);
        Self {
            start: 0,
            value: 0,
            end: 0,
            file: file.start,
            file_bytes,
            package,
            sha256,
            section: 0,
            marks: 0,
        }
    }
}

impl Document {
    /// Puts the records in order of their files, and marks those that share one.
    fn order_files(&mut self) -> Result<(), IndexFault> {
        let records = |(entry, _): &(&Entry, u32)| !entry.is(mark::REMOVED | mark::SIGNATURES);
        let mut by_file: Vec<u32> =
            self.entries.iter().zip(0..).filter(records).map(|(_, number)| number).collect();
        by_file.sort_by(|one, other| self.file_of(*one).cmp(self.file_of(*other)));
        let mut shared = Vec::new();
        for pair in by_file.windows(2) {
            let [one, other] = *pair else { continue };
            let file = self.file_of(one);
            if file != self.file_of(other) || file.is_empty() {
                continue;
            }
            if let Some(section) = self.common_section(one, other) {
                return Err(IndexFault::DuplicateFile { section, first: one + 1, second: other + 1 });
            }
            shared.extend([one, other]);
        }
        for number in shared {
            if let Some(entry) = self.entries.get_mut(number as usize) {
                entry.marks |= mark::SHARED;
            }
        }
        self.by_file = by_file;
        Ok(())
    }

    /// The section that both entries stand in.
    fn common_section(&self, one: u32, other: u32) -> Option<String> {
        let [one, other] = [one, other].map(|number| self.entries.get(number as usize));
        let (one, other) = (one?, other?);
        let SectionName { key, group } = self.section(one).filter(|_| one.section == other.section)?;
        Some(group.as_ref().map_or_else(|| key.clone(), |group| format!("{key}.{group}")))
    }

    /// Puts the packages in order of their names, and the entries of each together: records in order of files, then removed files.
    fn order_packages(&mut self, names: Names) {
        let mut order: Vec<u32> = (0..number(names.places.len())).collect();
        let place = |number: &u32| names.places.get(*number as usize).copied().unwrap_or_default();
        order.sort_by(|one, other| self.slice(place(one)).cmp(self.slice(place(other))));
        let mut ranks = vec![0; order.len()];
        for (old, rank) in order.iter().zip(0..) {
            if let Some(slot) = ranks.get_mut(*old as usize) {
                *slot = rank;
            }
        }
        let mut packages: Vec<Package> =
            order.iter().map(|old| Package { name: place(old), first: 0 }).collect();
        self.assign_packages(&ranks, &names);
        // How many there are of each, then where each begins.
        let mut removed: Vec<u32> = self.numbers(mark::REMOVED);
        removed.sort_by(|one, other| self.file_of(*one).cmp(self.file_of(*other)));
        let sorted = || self.by_file.iter().chain(&removed);
        let package_of = |number: u32| self.entries.get(number as usize).map_or(NONE, |entry| entry.package);
        for number in sorted() {
            if let Some(package) = packages.get_mut(package_of(*number) as usize) {
                package.first += 1;
            }
        }
        let mut next = 0;
        for package in &mut packages {
            let count = std::mem::replace(&mut package.first, next);
            next += count;
        }
        let mut by_package = vec![0; next as usize];
        let mut ends: Vec<u32> = packages.iter().map(|package| package.first).collect();
        for number in sorted() {
            let Some(end) = ends.get_mut(package_of(*number) as usize) else { continue };
            if let Some(slot) = by_package.get_mut(*end as usize) {
                *slot = *number;
            }
            *end += 1;
        }
        (self.packages, self.by_package) = (packages, by_package);
    }

    /// Gives each record its package's rank, and each removed file that of the package that its name says, if there is such a package.
    fn assign_packages(&mut self, ranks: &[u32], names: &Names) {
        for number in self.numbers(mark::REMOVED) {
            let file = std::str::from_utf8(self.file_of(number)).unwrap_or_default();
            let package = PackageFile::parse(file)
                .and_then(|facts| names.numbers.get(facts.name.to_ascii_lowercase().as_str()).copied());
            if let Some(entry) = self.entries.get_mut(number as usize) {
                entry.package = package.unwrap_or(NONE);
            }
        }
        for entry in &mut self.entries {
            entry.package = ranks.get(entry.package as usize).copied().unwrap_or(NONE);
        }
    }

    /// The entries with these marks.
    fn numbers(&self, marks: u8) -> Vec<u32> {
        let marked = self.entries.iter().zip(0..).filter(|(entry, _)| entry.is(marks));
        marked.map(|(_, number)| number).collect()
    }
}

fn other(scanner: &mut Scanner<'_>, key: Text, depth: usize) -> Result<Member, IndexFault> {
    scanner.skip(depth)?;
    Ok(Member::Other(place(key.start - 1, scanner.at())))
}

/// The file that a URL leads to.
fn target(url: &str) -> Option<String> {
    let here = Url::parse("https://channelgate.invalid/channel/subdir/").ok()?;
    file_name(here.join(url).ok()?.path())
}

fn is_sha256(text: &[u8]) -> impl Fn(&Text) -> bool {
    |digest| {
        let digits = text.get(digest.start..digest.end).unwrap_or_default();
        digits.len() == SHA256_DIGITS && digits.iter().all(u8::is_ascii_hexdigit)
    }
}

fn append(decoded: &mut String, offset: usize, said: &str) -> Result<Place, IndexFault> {
    let start = offset + decoded.len();
    if (start + said.len()) as u64 >= u64::from(NONE) {
        return Err(IndexFault::DecompressedTooLarge { bytes_max: TEXT_BYTES_MAX });
    }
    decoded.push_str(said);
    Ok(place(start, start + said.len()))
}

fn quoted(key: Text) -> Place {
    place(key.start - 1, key.end + 1)
}

fn place(start: usize, end: usize) -> Place {
    Place { start: number(start), end: number(end) }
}

/// A place in the text as a number; the text's length was looked at.
fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NONE)
}

/// What nobody may say twice in a record.
const KEYS: [&str; 10] =
    ["name", "version", "build", "build_number", "subdir", "fn", "url", "sha256", "md5", "size"];

/// Places are of 32 bits, and what has to be decoded needs some of them.
const TEXT_BYTES_MAX: u64 = u32::MAX as u64 - (64 << 20);

/// How many names of files there may be for each record that there may be: its own, one that was removed, one with signatures, and some.
const ENTRIES_PER_RECORD: u64 = 4;

/// Sections of a document. Inspection lets maps that hold them have 64 keys each.
const SECTIONS_MAX: usize = 8_192;
