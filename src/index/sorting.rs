//! Makes the table of an index's files: records in any order go in, entries in order of their keys come out.
//!
//! An index of conda-forge names 600,000 files, and nothing bounds what another upstream names, so at most [`RUN_ENTRIES`] are held in
//! memory; what is more is sorted in runs, kept in a nameless file, and merged at the end. Beyond [`ENTRIES_MAX`] records there is no
//! table: the index is still served, its packages have no known digest. The layout of an entry is `table.rs`'s.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::records::Said;
use super::table::{ENTRY_BYTES, Entry, NameDigest};

/// Collects the records of one index.
pub(super) struct Sorting {
    directory: PathBuf,
    run: Vec<Entry>,
    run_entries: usize,
    spilled: Option<Spilled>,
    count: u64,
    failure: Option<io::Error>,
}

/// Sorted runs, one after the other in a file.
struct Spilled {
    file: BufWriter<File>,
    /// Where each begins and ends, in entries.
    runs: Vec<(u64, u64)>,
}

impl Sorting {
    /// Nothing yet. `directory` is for what memory is too small for.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self::with_runs_of(RUN_ENTRIES, directory)
    }

    /// With runs of this many entries.
    pub(super) fn with_runs_of(run_entries: usize, directory: PathBuf) -> Self {
        Self { directory, run: Vec::new(), run_entries, spilled: None, count: 0, failure: None }
    }

    /// One more record.
    pub(super) fn add(&mut self, name: &str, said: Said) {
        if self.failure.is_some() {
            return;
        }
        self.count += 1;
        if self.count > ENTRIES_MAX {
            let error = format!("it names more than {ENTRIES_MAX} files");
            self.failure = Some(io::Error::new(io::ErrorKind::FileTooLarge, error));
            self.run = Vec::new();
            return;
        }
        self.run.push(Entry { name: NameDigest::of(name), said });
        if self.run.len() >= self.run_entries
            && let Err(error) = self.spill()
        {
            self.failure = Some(error);
        }
    }

    /// Hands out all entries in order. What is said twice of one file comes once, and says nothing where it differs.
    ///
    /// # Errors
    ///
    /// What failed while records were added, or while they were merged; and `write`'s own.
    pub(super) fn finish(mut self, mut write: impl FnMut(&Entry) -> io::Result<()>) -> io::Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut held: Option<Entry> = None;
        let mut put = |entry: Entry| -> io::Result<()> {
            match &mut held {
                Some(held) if held.name == entry.name => {
                    held.said = agreed(held.said, entry.said);
                    Ok(())
                }
                held => held.replace(entry).map_or(Ok(()), |before| write(&before)),
            }
        };
        if self.spilled.is_none() {
            self.run.sort_unstable_by_key(|entry| entry.name);
            std::mem::take(&mut self.run).into_iter().try_for_each(&mut put)?;
        } else {
            self.spill()?;
            self.merge(&mut put)?;
        }
        held.map_or(Ok(()), |last| write(&last))
    }

    fn spill(&mut self) -> io::Result<()> {
        self.run.sort_unstable_by_key(|entry| entry.name);
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => {
                let file = BufWriter::new(tempfile::tempfile_in(&self.directory)?);
                none.insert(Spilled { file, runs: Vec::new() })
            }
        };
        for entry in &self.run {
            spilled.file.write_all(&entry.to_bytes())?;
        }
        let start = spilled.runs.last().map_or(0, |(_, end)| *end);
        spilled.runs.push((start, start + self.run.len() as u64));
        self.run.clear();
        Ok(())
    }

    fn merge(&mut self, put: &mut impl FnMut(Entry) -> io::Result<()>) -> io::Result<()> {
        let Some(Spilled { file, runs }) = self.spilled.take() else { return Ok(()) };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut runs: Vec<Run> = runs.into_iter().map(|(next, end)| Run::new(next, end)).collect();
        let mut heads = BinaryHeap::new();
        for (index, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next(&file)?.map(|entry| Reverse((entry.name, index, Unordered(entry)))));
        }
        while let Some(Reverse((_, index, Unordered(entry)))) = heads.pop() {
            put(entry)?;
            if let Some(run) = runs.get_mut(index) {
                heads.extend(run.next(&file)?.map(|entry| Reverse((entry.name, index, Unordered(entry)))));
            }
        }
        Ok(())
    }
}

/// One sorted run that is being read back.
struct Run {
    next: u64,
    end: u64,
    /// What was read ahead, the next entry last.
    ahead: Vec<Entry>,
}

impl Run {
    fn new(next: u64, end: u64) -> Self {
        Self { next, end, ahead: Vec::new() }
    }

    fn next(&mut self, file: &File) -> io::Result<Option<Entry>> {
        if self.ahead.is_empty() {
            let count = AHEAD_ENTRIES.min(self.end - self.next);
            let mut bytes = vec![0; usize::try_from(count).unwrap_or_default() * ENTRY_BYTES];
            file.read_exact_at(&mut bytes, self.next * ENTRY_BYTES as u64)?;
            let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
            self.ahead.extend(entries.iter().rev().map(Entry::of_bytes));
            self.next += count;
        }
        Ok(self.ahead.pop())
    }
}

/// Rides along in an order that is decided before it.
struct Unordered(Entry);

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

/// What two records of one file say together: where they differ, nobody knows which one a client goes by.
fn agreed(one: Said, other: Said) -> Said {
    Said {
        sha256: one.sha256.filter(|_| one.sha256 == other.sha256),
        size: one.size.filter(|_| one.size == other.size),
    }
}

/// 15 MiB.
const RUN_ENTRIES: usize = 256 << 10;

/// More than ten times what the largest public index names.
const ENTRIES_MAX: u64 = 8 << 20;

/// How much of each run is read at once.
const AHEAD_ENTRIES: u64 = 1_024;
