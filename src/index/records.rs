//! What an index says of the files it names, picked up on the way of the inspection: a file's name, its SHA-256 and its size.
//!
//! Told by the walk which key or value was read at which depth; knows which of them count. It keeps nothing but the record that is being
//! read, and hands each to a [`Sink`] when it ends. Of keys written twice within a record the last counts, as clients have it. Never
//! judges a reference: `walk.rs` does. What becomes of records is `sorting.rs`'s.

use super::sorting::Sorting;
use crate::cache::Sha256;

/// What an index says of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The digest of its bytes.
    pub(super) sha256: Option<Sha256>,
    /// Their number.
    pub(super) size: Option<u64>,
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

impl Sink {
    fn take(&mut self, name: &str, said: Said) {
        match self {
            Self::Nobody => {}
            Self::Table(table) => table.add(name, said),
            Self::One { name: wanted, said: found } if wanted == name => *found = Some(said),
            Self::One { .. } => {}
        }
    }
}

/// The record that is being read.
pub(super) struct Records {
    sink: Sink,
    /// The depth of the record's own key; 0 between records.
    depth: usize,
    key: String,
    /// The extension of the group that the record stands in, for the groups of `v3`, whose keys have none.
    group: Option<String>,
    /// `fn` or `url`, of which the first counts.
    file: Option<String>,
    url: Option<String>,
    said: Said,
}

impl Records {
    pub(super) fn new(sink: Sink) -> Self {
        let (key, said) = (String::new(), Said::default());
        Self { sink, depth: 0, key, group: None, file: None, url: None, said }
    }

    pub(super) fn into_sink(self) -> Sink {
        self.sink
    }

    /// True if somebody wants the records.
    pub(super) fn are_wanted(&self) -> bool {
        !matches!(self.sink, Sink::Nobody)
    }

    /// A record begins: the value of `key`, which stands at `depth`, in a group of v3 if that is so.
    pub(super) fn begin(&mut self, depth: usize, key: &str, group: Option<&str>) {
        self.depth = depth;
        self.key.clear();
        self.key.push_str(key);
        self.group = group.map(str::to_owned);
        self.file = None;
        self.url = None;
        self.said = Said::default();
    }

    /// A text, at this depth below this key.
    pub(super) fn text(&mut self, depth: usize, key: &str, text: &str) {
        if depth == self.depth {
            // The value of a shard index is the digest itself.
            self.said.sha256 = text.parse().ok();
        } else if depth == self.depth + 1 {
            match key {
                "sha256" => self.said.sha256 = text.parse().ok(),
                "fn" if self.group.is_some() => self.file = Some(text.to_owned()),
                "url" if self.group.is_some() => self.url = Some(text.to_owned()),
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

    /// The record's value has been read.
    pub(super) fn end(&mut self) {
        self.depth = 0;
        let said = self.said;
        let Some(group) = &self.group else {
            self.sink.take(&self.key, said);
            return;
        };
        match (&self.file, &self.url) {
            (Some(file), _) => self.sink.take(file, said),
            (None, Some(url)) => {
                if let Some(file) = file_of(url) {
                    self.sink.take(file, said);
                }
            }
            (None, None) => {
                self.key.push('.');
                self.key.push_str(group);
                self.sink.take(&self.key, said);
            }
        }
    }
}

/// The file beside the index that a relative URL leads to; `None` if it leads deeper, where the gate has no files.
fn file_of(url: &str) -> Option<&str> {
    let file = url.strip_prefix("./").unwrap_or(url);
    (!file.is_empty() && !file.contains('/')).then_some(file)
}
