//! Which of a document's files somebody sees: one bit for each name of a file in it.
//!
//! A file is seen only if all its records may be, because a client may go by any of them. An odd record is in no selection but the whole.
//! Names under `removed` are judged by what they say, and signatures are seen with their files. Pure; who may see what is the caller's.

use super::document::{Document, Record, mark};
use crate::cache::Sha256;

/// A choice among a document's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// `None`: all.
    bits: Option<Bits>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bits {
    words: Vec<u64>,
    hidden: usize,
}

impl Selection {
    /// Everything, odd records too.
    pub fn all() -> Self {
        Self { bits: None }
    }

    /// What `sees` says of the records that are not odd, and of the removed files whose names say something.
    pub fn of<'d>(document: &'d Document, mut sees: impl FnMut(Record<'d>) -> bool) -> Self {
        Self::choose(document, |record| {
            let is_known =
                if record.is_removed() { record.package().is_some() } else { !record.entry.is(mark::ODD) };
            is_known && sees(record)
        })
    }

    /// Of another document of the same directory: the files that are seen in `source`. Its own records may leave out what they are of, but not
    /// say that they are of something else. Names under `removed` go by `sees`.
    pub fn within<'d>(
        document: &'d Document,
        (source, selection): (&Document, &Self),
        mut sees: impl FnMut(Record<'d>) -> bool,
    ) -> Self {
        Self::choose(document, |record| {
            if record.is_removed() {
                return record.package().is_some() && sees(record);
            }
            !record.entry.is(mark::CONTRADICTS) && selection.shows(source, record.file())
        })
    }

    fn choose<'d>(document: &'d Document, mut sees: impl FnMut(Record<'d>) -> bool) -> Self {
        let mut bits = Bits { words: vec![0; document.entries().len().div_ceil(WORD_BITS)], hidden: 0 };
        for (number, record) in document.numbered() {
            if !record.entry.is(mark::SIGNATURES) && sees(record) {
                bits.set(number, true);
            }
        }
        // All records of a file, or none.
        for run in
            document.by_file().chunk_by(|one, other| document.file_of(*one) == document.file_of(*other))
        {
            if run.len() > 1 && !run.iter().all(|number| bits.has(*number)) {
                run.iter().for_each(|number| bits.set(*number, false));
            }
        }
        for (number, record) in document.numbered().filter(|(_, record)| record.entry.is(mark::SIGNATURES)) {
            let mut records = document.numbers_of(record.file()).peekable();
            let is_seen = records.peek().is_some() && records.all(|record| bits.has(record));
            bits.set(number, is_seen);
        }
        bits.hidden = document.entries().len()
            - bits.words.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        Self { bits: (bits.hidden > 0).then_some(bits) }
    }

    /// Whether nothing is hidden.
    pub fn is_all(&self) -> bool {
        self.bits.is_none()
    }

    /// How many names are hidden, of records, removed files and signatures.
    pub fn hidden_count(&self) -> usize {
        self.bits.as_ref().map_or(0, |bits| bits.hidden)
    }

    /// How many of the document's records are seen.
    pub fn record_count(&self, document: &Document) -> usize {
        match &self.bits {
            None => document.record_count(),
            Some(bits) => document.by_file().iter().filter(|number| bits.has(**number)).count(),
        }
    }

    /// Whether the document has this file and it is seen.
    pub fn shows(&self, document: &Document, file: &str) -> bool {
        let mut records = document.numbers_of(file).peekable();
        records.peek().is_some() && records.all(|number| self.has(number))
    }

    /// The records that are seen, in the order of the document.
    pub fn records<'d>(&self, document: &'d Document) -> impl Iterator<Item = Record<'d>> {
        document
            .numbered()
            .filter(|(number, record)| record.is_record() && self.has(*number))
            .map(|(_, record)| record)
    }

    /// A digest of the choice, of no meaning without the document.
    pub fn digest(&self) -> Sha256 {
        let bits = self.bits.iter().flat_map(|bits| &bits.words);
        Sha256::of(&bits.flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
    }

    /// Bytes of memory that it holds.
    pub fn weight(&self) -> usize {
        self.bits.as_ref().map_or(0, |bits| bits.words.len() * size_of::<u64>())
    }

    pub(super) fn has(&self, number: u32) -> bool {
        self.bits.as_ref().is_none_or(|bits| bits.has(number))
    }
}

impl Bits {
    fn has(&self, number: u32) -> bool {
        let number = number as usize;
        self.words.get(number / WORD_BITS).is_some_and(|word| word >> (number % WORD_BITS) & 1 == 1)
    }

    fn set(&mut self, number: u32, is_seen: bool) {
        let number = number as usize;
        if let Some(word) = self.words.get_mut(number / WORD_BITS) {
            let bit = 1 << (number % WORD_BITS);
            *word = if is_seen { *word | bit } else { *word & !bit };
        }
    }
}

const WORD_BITS: usize = u64::BITS as usize;
