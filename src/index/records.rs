//! What an index says of the files it names, picked up on the way of the inspection: a file's name, its SHA-256 and its size, where it is if
//! that is not beside the index, and whether its record and its name contradict each other.
//!
//! Told by the walk which key or value was read at which depth; knows which of them count. It keeps nothing but the record that is being
//! read, and hands each to a [`Sink`] when it ends. Never judges a reference: `walk.rs` does. What becomes of records is `sorting.rs`'s.

use url::Url;

use super::leads::file_name;
use super::sorting::Sorting;
use crate::cache::Sha256;
use crate::conda::PackageFile;

/// What an index says of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The digest of its bytes.
    pub(super) sha256: Option<Sha256>,
    /// Their number.
    pub(super) size: Option<u64>,
    /// The record's name, version and build are missing or not those of the file's name: whoever may see some packages only sees none of it,
    /// because nobody can tell which package it is.
    pub(super) odd: bool,
}

impl Said {
    /// What two records of one file say together: where they differ, nobody knows which one a client goes by.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            sha256: self.sha256.filter(|_| self.sha256 == other.sha256),
            size: self.size.filter(|_| self.size == other.size),
            odd: self.odd || other.odd,
        }
    }
}

/// Who wants the records.
pub(super) enum Sink {
    /// Nobody.
    Nobody,
    /// A table of all.
    Table(Sorting),
    /// Somebody who asks for one file.
    One {
        /// Its name.
        name: String,
        /// What is said of it.
        said: Option<Said>,
    },
}

/// The record that is being read.
pub(super) struct Records {
    sink: Sink,
    /// The depth of the record's own key; 0 between records.
    depth: usize,
    key: String,
    /// The maps of records that the document has, as far as it was read; the last is the one that is being read.
    sections: Vec<String>,
    /// Which one of them.
    section: u8,
    /// How many records were before.
    number: u32,
    /// The extension of the group that the record stands in, for the groups of `v3`, whose keys have none.
    group: Option<String>,
    /// A shard index has packages' names for keys.
    is_of_package: bool,
    name: String,
    version: String,
    build: String,
    /// `fn` or `url`, of which the first counts.
    file: Option<String>,
    url: Option<String>,
    /// Where the file is, if `url` leads away.
    lead: Option<Url>,
    said: Said,
}

/// Which map of the document a record stands in.
#[derive(Clone, Copy)]
pub(super) struct Section<'k> {
    /// `packages`, `packages.conda`, `shards`, `v3`.
    pub(super) key: &'k str,
    /// A group of v3.
    pub(super) group: Option<&'k str>,
}

impl Records {
    pub(super) fn new(sink: Sink) -> Self {
        Self {
            sink,
            depth: 0,
            key: String::new(),
            sections: Vec::new(),
            section: 0,
            number: 0,
            group: None,
            is_of_package: false,
            name: String::new(),
            version: String::new(),
            build: String::new(),
            file: None,
            url: None,
            lead: None,
            said: Said::default(),
        }
    }

    pub(super) fn into_sink(self) -> (Sink, Vec<String>) {
        (self.sink, self.sections)
    }

    /// True if somebody wants the records.
    pub(super) fn are_wanted(&self) -> bool {
        !matches!(self.sink, Sink::Nobody)
    }

    /// A record begins: the value of `key`, which stands at `depth`.
    pub(super) fn begin(&mut self, depth: usize, key: &str, section: Section<'_>) {
        self.depth = depth;
        self.key.clear();
        self.key.push_str(key);
        self.enter(section);
        self.is_of_package = section.key == "shards" && section.group.is_none();
        for text in [&mut self.name, &mut self.version, &mut self.build] {
            text.clear();
        }
        (self.file, self.url, self.lead) = (None, None, None);
        self.said = Said::default();
    }

    /// Notes which section the record is of, by its number.
    fn enter(&mut self, Section { key, group }: Section<'_>) {
        let is = |name: &String| match group {
            None => name == key,
            Some(group) => name.strip_prefix(key).and_then(|rest| rest.strip_prefix('.')) == Some(group),
        };
        if self.sections.get(usize::from(self.section)).is_some_and(is) && self.number > 0 {
            return;
        }
        let number = self.sections.iter().position(is).unwrap_or_else(|| {
            self.sections.push(group.map_or_else(|| key.to_owned(), |group| format!("{key}.{group}")));
            self.sections.len() - 1
        });
        // The walk lets a document have fewer.
        self.section = u8::try_from(number).unwrap_or(u8::MAX);
        self.group = group.map(str::to_owned);
    }

    /// A text, at this depth below this key.
    pub(super) fn text(&mut self, depth: usize, key: &str, text: &str) {
        if depth == self.depth {
            // The value of a shard index is the digest itself.
            self.said.sha256 = text.parse().ok();
        } else if depth == self.depth + 1 {
            match key {
                "sha256" => self.said.sha256 = text.parse().ok(),
                "name" => self.name.push_str(text),
                "version" => self.version.push_str(text),
                "build" => self.build.push_str(text),
                "fn" => self.file = Some(text.to_owned()),
                "url" => self.url = Some(text.to_owned()),
                _ => {}
            }
        }
    }

    /// Bytes, at this depth below this key: how MessagePack holds digests.
    pub(super) fn bytes(&mut self, depth: usize, key: &str, bytes: &[u8]) {
        if depth == self.depth || depth == self.depth + 1 && key == "sha256" {
            self.said.sha256 = bytes.try_into().ok().map(Sha256::from_bytes);
        }
    }

    /// A number, at this depth below this key.
    pub(super) fn number(&mut self, depth: usize, key: &str, number: u64) {
        if depth == self.depth + 1 && key == "size" {
            self.said.size = Some(number);
        }
    }

    /// The record's `url` leads away, to here.
    pub(super) fn leads_to(&mut self, url: Url) {
        self.lead = Some(url);
    }

    /// The record's value has been read.
    pub(super) fn end(&mut self) {
        self.depth = 0;
        let (key, number) = (std::mem::take(&mut self.key), self.number);
        self.number = self.number.saturating_add(1);
        if self.is_of_package {
            self.take(&key, number, None);
        } else if let Some(file) = self.file_of(&key) {
            // A client may go by any of the names that a record has.
            let own = self.lead.as_ref().map_or_else(
                || self.url.as_deref().map(|url| url.strip_prefix("./").unwrap_or(url)),
                |_| None,
            );
            let others = self.file.as_deref().into_iter().chain(own);
            let is_named_so = others.filter(|other| !other.is_empty()).all(|other| other == file);
            let facts = PackageFile::parse(&file);
            let is_of = facts.is_some_and(|facts| facts.is_of(&self.name, &self.version, &self.build));
            self.said.odd = !(is_named_so && is_of);
            let lead = self.lead.take();
            self.take(&file, number, lead.as_ref().map(Url::as_str));
        }
        self.key = key;
    }

    fn take(&mut self, file: &str, number: u32, url: Option<&str>) {
        match &mut self.sink {
            Sink::Nobody => {}
            Sink::Table(table) => table.add((self.section, number), file, self.said, url),
            Sink::One { name, said } if name == file => *said = Some(self.said),
            Sink::One { .. } => {}
        }
    }

    /// The name of the record's file; `None` for one that leads deeper, where the gate has no files.
    fn file_of(&self, key: &str) -> Option<String> {
        let Some(group) = &self.group else { return Some(key.to_owned()) };
        match (&self.file, &self.lead, &self.url) {
            (Some(file), ..) => Some(file.clone()),
            (None, Some(lead), _) => file_name(lead.path()),
            (None, None, Some(url)) => {
                let file = url.strip_prefix("./").unwrap_or(url);
                (!file.is_empty() && !file.contains('/')).then(|| file.to_owned())
            }
            (None, None, None) => Some(format!("{key}.{group}")),
        }
    }
}
