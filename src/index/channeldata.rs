//! Leaves in a `channeldata.json` what somebody sees: packages of which a file is visible in one of the channel's directories.
//!
//! What is said of a package of which everything is visible is kept byte for byte. Of one that is hidden in part, `subdirs` are those where it
//! is visible, `version` and `reference_package` are of something visible (the newest, where the upstream's own choice is not), and
//! `run_exports` are those of visible versions. Pure; clients take this file for search only, conda's `--info` and web pages.

use std::collections::HashSet;
use std::io::{self, Write};

use rattler_conda_version::Version;

use super::document::Document;
use super::scanner::{Scanner, Text};
use super::selection::Selection;
use super::{IndexFault, Limits};
use crate::conda::PackageFile;

/// Writes of a `channeldata.json` what is visible: `subdirs` are the directories of the channel, each by its name, with what somebody sees of it.
///
/// # Errors
///
/// An [`IndexFault`] if `bytes` are no such document; [`IndexFault::Read`] with the error of `out`.
pub fn filter_channeldata(
    bytes: &[u8],
    subdirs: &[(&str, &Document, &Selection)],
    limits: &Limits,
    out: &mut impl Write,
) -> Result<(), IndexFault> {
    let mut scanner = Scanner::new(bytes, limits.depth_max);
    let mut filter = Filter { bytes, subdirs, out, seen: HashSet::new() };
    let mut seen = HashSet::new();
    let mut before: &[u8] = b"{";
    scanner.members(0, |scanner, key| {
        if !seen.insert(filter.read(key)?.into_owned()) {
            return Err(IndexFault::duplicate("the document".to_owned(), &filter.read(key)?));
        }
        filter.write(std::mem::replace(&mut before, b","))?;
        filter.write(filter.between(key.start - 1, scanner.at()))?;
        match scanner.peek() {
            Some(b'{') if *filter.read(key)? == *"packages" => filter.packages(scanner),
            _ => filter.copy(scanner, 1),
        }
    })?;
    scanner.end()?;
    filter.write(if before == b"{" { b"{}" } else { b"}" })
}

struct Filter<'f, W> {
    bytes: &'f [u8],
    subdirs: &'f [(&'f str, &'f Document, &'f Selection)],
    out: &'f mut W,
    /// Packages that came already.
    seen: HashSet<String>,
}

/// What is visible of a package.
#[derive(Default)]
struct Visible<'f> {
    files: Vec<(&'f str, PackageFile<'f>, &'f str)>,
    is_all: bool,
}

impl<'f, W: Write> Filter<'f, W> {
    fn packages(&mut self, scanner: &mut Scanner<'f>) -> Result<(), IndexFault> {
        self.write(b"{")?;
        let mut before: &[u8] = b"";
        scanner.members(1, |scanner, key| {
            let name = self.read(key)?.to_ascii_lowercase();
            if self.seen.contains(&name) {
                return Err(IndexFault::duplicate("packages".to_owned(), &name));
            }
            let visible = self.visible(&name);
            self.seen.insert(name);
            if visible.files.is_empty() {
                return scanner.skip(2);
            }
            self.write(std::mem::replace(&mut before, b","))?;
            self.write(self.between(key.start - 1, scanner.at()))?;
            match scanner.peek() {
                Some(b'{') if !visible.is_all => self.package(scanner, &visible),
                _ => self.copy(scanner, 2),
            }
        })?;
        self.write(b"}")
    }

    /// What is visible of the package of this name, in all directories.
    fn visible(&self, name: &str) -> Visible<'f> {
        let mut visible = Visible { files: Vec::new(), is_all: true };
        for (subdir, document, selection) in self.subdirs {
            for number in document.of_package(name) {
                let Some(record) = document.entry(*number).filter(|record| record.is_record()) else {
                    continue;
                };
                match record.package().filter(|_| selection.has(*number)) {
                    Some(facts) => visible.files.push((subdir, facts, record.file())),
                    None => visible.is_all = false,
                }
            }
        }
        visible
    }

    /// A package that is hidden in part.
    fn package(&mut self, scanner: &mut Scanner<'f>, visible: &Visible<'_>) -> Result<(), IndexFault> {
        let mut before: &[u8] = b"{";
        scanner.members(2, |scanner, key| {
            self.write(std::mem::replace(&mut before, b","))?;
            self.write(self.between(key.start - 1, scanner.at()))?;
            match (&*self.read(key)?, scanner.peek()) {
                ("subdirs", Some(b'[')) => {
                    let has = |subdir: &str| visible.files.iter().any(|(of, ..)| *of == subdir);
                    self.kept(scanner, (b"[", b"]"), has)
                }
                ("run_exports", Some(b'{')) => {
                    self.kept(scanner, (b"{", b"}"), |version| visible.has_version(version))
                }
                ("version", Some(b'"')) => {
                    let version = scanner.string()?;
                    let version = self.read(version)?;
                    let newest = visible.newest().map_or("", |(_, facts, _)| facts.version);
                    self.string(if visible.has_version(&version) { &version } else { newest })
                }
                ("reference_package", Some(b'"')) => {
                    let reference = scanner.string()?;
                    let reference = self.read(reference)?;
                    let path = |(subdir, _, file): &(&str, PackageFile<'_>, &str)| format!("{subdir}/{file}");
                    let is_visible = visible.files.iter().any(|of| path(of) == *reference);
                    let newest = || visible.newest().map(path).unwrap_or_default();
                    self.string(&if is_visible { reference.into_owned() } else { newest() })
                }
                _ => self.copy(scanner, 3),
            }
        })?;
        self.write(if before == b"{" { b"{}" } else { b"}" })
    }

    /// Copies the strings of an array, or the members of a map, that are wanted.
    fn kept(
        &mut self,
        scanner: &mut Scanner<'f>,
        (begin, end): (&[u8], &[u8]),
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<(), IndexFault> {
        self.write(begin)?;
        let mut before: &[u8] = b"";
        let mut keep = |this: &mut Self, start: usize, name: Text, end: usize| {
            if !is_wanted(&this.read(name)?) {
                return Ok(());
            }
            this.write(std::mem::replace(&mut before, b","))?;
            this.write(this.between(start, end))
        };
        if begin == b"[" {
            scanner.elements(3, |scanner| {
                let start = scanner.at();
                let name = scanner.string()?;
                keep(self, start, name, scanner.at())
            })?;
        } else {
            scanner.members(3, |scanner, key| {
                scanner.skip(4)?;
                keep(self, key.start - 1, key, scanner.at())
            })?;
        }
        self.write(end)
    }

    fn copy(&mut self, scanner: &mut Scanner<'f>, depth: usize) -> Result<(), IndexFault> {
        let start = scanner.at();
        scanner.skip(depth)?;
        self.write(self.between(start, scanner.at()))
    }

    fn string(&mut self, text: &str) -> Result<(), IndexFault> {
        serde_json::to_writer(&mut *self.out, text).map_err(|error| failed(error.into()))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), IndexFault> {
        self.out.write_all(bytes).map_err(failed)
    }

    fn between(&self, start: usize, end: usize) -> &'f [u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    fn read(&self, text: Text) -> Result<std::borrow::Cow<'f, str>, IndexFault> {
        text.read(self.bytes).ok_or_else(|| Scanner::again(self.bytes, text.start).fault())
    }
}

impl Visible<'_> {
    fn has_version(&self, version: &str) -> bool {
        self.files.iter().any(|(_, facts, _)| facts.version == version)
    }

    /// The newest file by version; of several, the last by name. A version that cannot be read is older than any.
    fn newest(&self) -> Option<&(&str, PackageFile<'_>, &str)> {
        let age = |version: &str| version.parse::<Version>().ok();
        self.files
            .iter()
            .max_by(|one, other| (age(one.1.version), one.2).cmp(&(age(other.1.version), other.2)))
    }
}

fn failed(source: io::Error) -> IndexFault {
    IndexFault::Read { source }
}
