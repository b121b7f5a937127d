//! Reads a bundle, trusting nothing in it. The format is described in `cache/bundle.rs`.

use std::io::{self, BufRead, BufReader, Read};

use tar::{Archive, Entry, EntryType};

use super::{
    BundleError, END, FORMAT, Footer, Header, LINE_BYTES_MAX, MANIFEST, MANIFEST_BYTES_MAX, Member, VERSION,
};
use crate::cache::sha256::Hashing;

/// What a bundle says that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its totals; they are true.
    pub header: Header,
    /// Indexes first, then by name, none twice.
    pub members: Vec<Member>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn read(source: impl Read) -> Result<Self, BundleError> {
        let mut lines = Lines { source: BufReader::new(source), line: 0 };
        let first = lines.next()?.ok_or(BundleError::Foreign)?;
        let header: Header = serde_json::from_str(&first).map_err(|_| BundleError::Foreign)?;
        if header.format != FORMAT {
            return Err(BundleError::Foreign);
        }
        if header.version != VERSION {
            return Err(BundleError::Version(header.version));
        }
        let mut members: Vec<Member> = Vec::new();
        let mut bytes = 0_u64;
        while let Some(line) = lines.next()? {
            let member = Member::parse(&line).map_err(|problem| lines.refuse(problem))?;
            if members.last().is_some_and(|before| before.rank() >= member.rank()) {
                return Err(lines.refuse("it is not in order, or there twice"));
            }
            bytes = bytes.saturating_add(member.facts.length);
            members.push(member);
        }
        if (header.members, header.bytes) != (members.len() as u64, bytes) {
            return Err(lines.refuse("the first line promises other totals than there are"));
        }
        Ok(Self { header, members })
    }
}

/// Reads a bundle from its beginning to its end: `open` is given the manifest, then `take` each member with its body. What `take` leaves of
/// a body is read all the same, and its digest compared.
///
/// # Errors
///
/// Theirs, or the first thing that is wrong with the bundle.
pub fn read<E: From<BundleError>>(
    source: impl Read,
    open: impl FnOnce(&Manifest) -> Result<(), E>,
    mut take: impl FnMut(&Member, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut archive = Archive::new(source);
    // Raw: no entry changes what the next one is called, but for the one that is read here.
    let mut entries = archive.entries().map_err(BundleError::Read)?.raw(true);
    let mut next = || -> Result<_, BundleError> {
        let Some(entry) = entries.next() else { return Err(BundleError::Truncated) };
        Named::of(entry.map_err(of_archive)?, || entries.next())
    };

    let first = next().map_err(|error| match error {
        BundleError::Truncated | BundleError::Entry { .. } => BundleError::Foreign,
        error => error,
    })?;
    if first.name != MANIFEST {
        return Err(BundleError::Foreign.into());
    }
    if first.entry.size() > MANIFEST_BYTES_MAX {
        return Err(first.refuse("it is longer than any manifest").into());
    }
    let manifest = Manifest::read(first.entry)?;
    open(&manifest)?;

    let mut expected = manifest.members.iter();
    let mut found = 0_u64;
    loop {
        let mut named = next()?;
        if named.name == END {
            let footer: Result<Footer, _> = serde_json::from_reader((&mut named.entry).take(LINE_BYTES_MAX));
            return match footer {
                Ok(footer) if footer.members == found => Ok(()),
                _ => Err(named.refuse("there are other members than it says").into()),
            };
        }
        let Some(member) = expected.find(|member| member.name() == named.name) else {
            return Err(named.refuse("the manifest does not name it, or not at this place").into());
        };
        if named.entry.size() != member.facts.length {
            return Err(named.refuse("it has another length than the manifest says").into());
        }
        let mut body = Checked { source: named.entry, hashing: Hashing::new(), length: 0 };
        take(member, &mut body)?;
        io::copy(&mut body, &mut io::sink()).map_err(of_archive)?;
        if body.length != member.facts.length {
            return Err(BundleError::Truncated.into());
        }
        if body.hashing.finish() != member.facts.sha256 {
            return Err(BundleError::Damaged { name: member.name() }.into());
        }
        found += 1;
    }
}

/// A plain file of the archive with its whole name.
struct Named<'a, R: Read> {
    name: String,
    entry: Entry<'a, R>,
}

impl<'a, R: Read> Named<'a, R> {
    /// A name of more than 100 bytes stands in an entry of its own before the file's, as GNU tar writes it.
    fn of(
        mut entry: Entry<'a, R>,
        next: impl FnOnce() -> Option<io::Result<Entry<'a, R>>>,
    ) -> Result<Self, BundleError> {
        let mut name = None;
        if entry.header().entry_type() == EntryType::GNULongName {
            let mut long = Vec::new();
            (&mut entry).take(LINE_BYTES_MAX).read_to_end(&mut long).map_err(of_archive)?;
            if long.len() as u64 != entry.size() {
                return Err(BundleError::Truncated);
            }
            name = Some(long);
            entry = next().ok_or(BundleError::Truncated)?.map_err(of_archive)?;
        }
        let name = name.unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let name = name.strip_suffix(b"\0").unwrap_or(&name);
        let named = |name| Self { name, entry };
        match std::str::from_utf8(name) {
            Ok(text) => {
                let named = named(text.to_owned());
                match named.entry.header().entry_type() {
                    EntryType::Regular => Ok(named),
                    _ => Err(named.refuse("it is no plain file")),
                }
            }
            Err(_) => Err(named(String::from_utf8_lossy(name).into_owned()).refuse("its name is not UTF-8")),
        }
    }

    fn refuse(&self, problem: &'static str) -> BundleError {
        let name: String = self.name.chars().take(NAME_CHARS_SHOWN).collect();
        BundleError::Entry { name: format!("{name:?}"), problem }
    }
}

/// A body, hashed and counted while it is read.
struct Checked<R> {
    source: R,
    hashing: Hashing,
    length: u64,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hashing.update(buffer.get(..count).unwrap_or_default());
        self.length += count as u64;
        Ok(count)
    }
}

/// Lines of limited length.
struct Lines<R> {
    source: BufReader<R>,
    line: u64,
}

impl<R: Read> Lines<R> {
    fn next(&mut self) -> Result<Option<String>, BundleError> {
        self.line += 1;
        let mut line = Vec::new();
        (&mut self.source).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(of_archive)?;
        match line.strip_suffix(b"\n") {
            None if line.is_empty() => Ok(None),
            None => Err(self.refuse("it is cut off, or too long")),
            Some(line) => {
                String::from_utf8(line.to_vec()).map(Some).map_err(|_| self.refuse("it is not UTF-8"))
            }
        }
    }

    fn refuse(&self, problem: impl Into<String>) -> BundleError {
        BundleError::Manifest { line: self.line, problem: problem.into() }
    }
}

/// What the archive's own reader fails with: the file ended, was no archive, or could not be read.
fn of_archive(error: io::Error) -> BundleError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => BundleError::Truncated,
        io::ErrorKind::Other | io::ErrorKind::InvalidData => BundleError::Foreign,
        _ => BundleError::Read(error),
    }
}

/// Of a foreign name.
const NAME_CHARS_SHOWN: usize = 200;
