//! Makes the table of an index's files: records in any order go in, entries in order of their keys come out.
//!
//! An index of conda-forge names 600,000 files, and what another upstream names is bounded by [`super::Limits::records_max`] only, so at most
//! [`RUN_ROWS`] are held in memory; what is more is sorted in runs, kept in a nameless file, and merged at the end. The URLs that files have of
//! their own are kept in another. Where the rows of one file meet, it is seen whether a section names it twice: which of the two counts is each
//! client's own choice, so the index is refused. The layout of an entry is `table.rs`'s.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::fault::IndexFault;
use super::records::Said;
use super::table::{ENTRY_BYTES, Entry, NameDigest};

/// Collects the records of one index.
pub(super) struct Sorting {
    directory: PathBuf,
    run: Vec<Row>,
    run_rows: usize,
    spilled: Option<Spilled>,
    urls: Option<BufWriter<File>>,
    url_bytes: u64,
    failure: Option<io::Error>,
}

/// One record.
#[derive(Clone, Copy)]
struct Row {
    entry: Entry,
    /// Which of the document's maps it stands in.
    section: u8,
    /// How many records were before it.
    number: u32,
}

/// Sorted runs, one after the other in a file.
struct Spilled {
    file: BufWriter<File>,
    /// Where each begins and ends, in rows.
    runs: Vec<(u64, u64)>,
}

/// Why there is no table.
#[derive(Debug)]
pub(super) enum SortError {
    /// Two records of one section are of the same file. The section, and the records' numbers, from 1.
    Repeated { section: u8, numbers: (u32, u32) },
    /// The disk fails.
    Io(io::Error),
}

impl SortError {
    /// As a fault of the document that has these sections; a disk that fails is none of its.
    pub(super) fn into_fault(self, sections: &[String]) -> IndexFault {
        match self {
            Self::Repeated { section, numbers: (first, second) } => {
                let section = sections.get(usize::from(section)).cloned().unwrap_or_default();
                IndexFault::DuplicateFile { section, first, second }
            }
            Self::Io(source) => IndexFault::Read { source },
        }
    }
}

impl From<io::Error> for SortError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The URLs of files, in the order in which they came.
pub(super) struct Urls(Option<File>);

impl Sorting {
    /// Nothing yet. `directory` is for what memory is too small for.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self::with_runs_of(RUN_ROWS, directory)
    }

    /// With runs of this many rows.
    pub(super) fn with_runs_of(run_rows: usize, directory: PathBuf) -> Self {
        let (run, spilled, urls) = (Vec::new(), None, None);
        Self { directory, run, run_rows, spilled, urls, url_bytes: 0, failure: None }
    }

    /// One more record: in which section, which of all, of what file, and where that is if the record says so.
    pub(super) fn add(&mut self, (section, number): (u8, u32), file: &str, said: Said, url: Option<&str>) {
        if self.failure.is_some() {
            return;
        }
        let added = url.map(|url| self.keep(url)).transpose().and_then(|url_at| {
            let entry = Entry { name: NameDigest::of(file), said, url_at };
            self.run.push(Row { entry, section, number });
            if self.run.len() < self.run_rows { Ok(()) } else { self.spill() }
        });
        if let Err(error) = added {
            self.run = Vec::new();
            self.failure = Some(error);
        }
    }

    /// Hands out all entries in order, and then the URLs. What is said twice of one file comes once, and says nothing where it differs.
    ///
    /// # Errors
    ///
    /// A file that a section names twice; what failed while records were added, or while they were merged; and `write`'s own.
    pub(super) fn finish(
        mut self,
        mut write: impl FnMut(&Entry) -> io::Result<()>,
    ) -> Result<Urls, SortError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure.into());
        }
        // The sections of a file are few: what is held of one file is bounded by what a document has of them.
        let mut held: Option<Entry> = None;
        let mut sections: Vec<(u8, u32)> = Vec::new();
        let mut put = |Row { entry, section, number }: Row| -> Result<(), SortError> {
            match &mut held {
                Some(held) if held.name == entry.name => {
                    if let Some((_, first)) = sections.iter().find(|(other, _)| *other == section) {
                        let (first, second) = (number.min(*first), number.max(*first));
                        return Err(SortError::Repeated { section, numbers: (first + 1, second + 1) });
                    }
                    held.said = held.said.and(entry.said);
                    held.url_at = held.url_at.or(entry.url_at);
                }
                held => {
                    sections.clear();
                    held.replace(entry).map_or(Ok(()), |before| write(&before))?;
                }
            }
            sections.push((section, number));
            Ok(())
        };
        if self.spilled.is_none() {
            self.run.sort_unstable_by_key(|row| row.entry.name);
            std::mem::take(&mut self.run).into_iter().try_for_each(&mut put)?;
        } else {
            self.spill()?;
            self.merge(&mut put)?;
        }
        if let Some(last) = held {
            write(&last)?;
        }
        let urls = self.urls.take().map(|urls| urls.into_inner().map_err(io::IntoInnerError::into_error));
        let mut urls = Urls(urls.transpose()?);
        urls.rewind()?;
        Ok(urls)
    }

    /// Keeps a URL; tells where it begins among all.
    fn keep(&mut self, url: &str) -> io::Result<u64> {
        let length = u16::try_from(url.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let urls = match &mut self.urls {
            Some(urls) => urls,
            none => none.insert(BufWriter::new(tempfile::tempfile_in(&self.directory)?)),
        };
        urls.write_all(&length.to_le_bytes())?;
        urls.write_all(url.as_bytes())?;
        let at = self.url_bytes;
        self.url_bytes += 2 + u64::from(length);
        Ok(at)
    }

    fn spill(&mut self) -> io::Result<()> {
        self.run.sort_unstable_by_key(|row| row.entry.name);
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => {
                let file = BufWriter::new(tempfile::tempfile_in(&self.directory)?);
                none.insert(Spilled { file, runs: Vec::new() })
            }
        };
        for row in &self.run {
            spilled.file.write_all(&row.to_bytes())?;
        }
        let start = spilled.runs.last().map_or(0, |(_, end)| *end);
        spilled.runs.push((start, start + self.run.len() as u64));
        self.run.clear();
        Ok(())
    }

    fn merge(&mut self, put: &mut impl FnMut(Row) -> Result<(), SortError>) -> Result<(), SortError> {
        let Some(Spilled { file, runs }) = self.spilled.take() else { return Ok(()) };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut runs: Vec<Run> = runs.into_iter().map(|(next, end)| Run::new(next, end)).collect();
        let mut heads = BinaryHeap::new();
        for (index, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next(&file)?.map(|row| Reverse((row.entry.name, index, Unordered(row)))));
        }
        while let Some(Reverse((_, index, Unordered(row)))) = heads.pop() {
            put(row)?;
            if let Some(run) = runs.get_mut(index) {
                heads.extend(run.next(&file)?.map(|row| Reverse((row.entry.name, index, Unordered(row)))));
            }
        }
        Ok(())
    }
}

impl Urls {
    fn rewind(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), io::Seek::rewind)
    }

    /// Hands them out, in pieces; tells how many bytes they are.
    pub(super) fn copy(mut self, mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
        let Some(file) = &mut self.0 else { return Ok(0) };
        let mut piece = vec![0; PIECE_BYTES];
        let mut copied = 0;
        loop {
            let count = file.read(&mut piece)?;
            if count == 0 {
                return Ok(copied);
            }
            write(piece.get(..count).unwrap_or_default())?;
            copied += count as u64;
        }
    }
}

impl Row {
    fn to_bytes(self) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        let fields = self.entry.to_bytes().into_iter().chain([self.section]).chain(self.number.to_le_bytes());
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = field;
        }
        bytes
    }

    fn of_bytes(bytes: &[u8; ROW_BYTES]) -> Self {
        let (entry, rest) = bytes.split_first_chunk().map_or((&[0; ENTRY_BYTES], &[][..]), |split| split);
        let section = rest.first().copied().unwrap_or_default();
        let number = rest.last_chunk().copied().map(u32::from_le_bytes).unwrap_or_default();
        Self { entry: Entry::of_bytes(entry), section, number }
    }
}

/// One sorted run that is being read back.
struct Run {
    next: u64,
    end: u64,
    /// What was read ahead, the next row last.
    ahead: Vec<Row>,
}

impl Run {
    fn new(next: u64, end: u64) -> Self {
        Self { next, end, ahead: Vec::new() }
    }

    fn next(&mut self, file: &File) -> io::Result<Option<Row>> {
        if self.ahead.is_empty() {
            let count = AHEAD_ROWS.min(self.end - self.next);
            let mut bytes = vec![0; usize::try_from(count).unwrap_or_default() * ROW_BYTES];
            file.read_exact_at(&mut bytes, self.next * ROW_BYTES as u64)?;
            let (rows, _) = bytes.as_chunks::<ROW_BYTES>();
            self.ahead.extend(rows.iter().rev().map(Row::of_bytes));
            self.next += count;
        }
        Ok(self.ahead.pop())
    }
}

/// Rides along in an order that is decided before it.
struct Unordered(Row);

impl PartialEq for Unordered {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Unordered {}

impl PartialOrd for Unordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Unordered {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// Bytes of a row.
const ROW_BYTES: usize = ENTRY_BYTES + 5;

/// 22 MiB.
const RUN_ROWS: usize = 256 << 10;

/// How much of each run is read at once.
const AHEAD_ROWS: u64 = 1_024;

/// How much of the URLs is copied at once.
const PIECE_BYTES: usize = 64 << 10;
