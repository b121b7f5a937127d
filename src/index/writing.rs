//! Writes what a selection shows of a document, as JSON: pieces of the text, byte for byte, and nothing that leads past the gate.
//!
//! `info.base_url` and `info.shards_base_url` are left out, and a record's `url` that leads elsewhere becomes the bare name of its file,
//! for that is where the gate has it. Everything else, known or not, is as the upstream wrote it. The output depends on document and
//! selection alone, so two gates write the same bytes.

use std::io::{self, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::document::{Document, Entry, Member, Place, Record, Section, mark};
use super::selection::Selection;

/// Writes the document as `selection` shows it.
///
/// # Errors
///
/// Those of `out`.
pub fn write_json(document: &Document, selection: &Selection, out: &mut impl Write) -> io::Result<()> {
    Json { document, selection, out }.members(document.members())
}

/// Writes it compressed: one frame that says how large it is, for conda reads no more than one and rattler makes room first.
///
/// # Errors
///
/// Those of `out`.
pub fn write_zst(document: &Document, selection: &Selection, out: &mut impl Write) -> io::Result<()> {
    let mut length = Length(0);
    write_json(document, selection, &mut length)?;
    let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
    encoder.include_contentsize(true)?;
    encoder.set_pledged_src_size(Some(length.0))?;
    write_json(document, selection, &mut encoder)?;
    encoder.finish().map(|_| ())
}

/// Counts what is written to it.
pub(super) struct Length(pub(super) u64);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Json<'d, W> {
    document: &'d Document,
    selection: &'d Selection,
    out: &'d mut W,
}

impl<W: Write> Json<'_, W> {
    fn members(&mut self, members: &[Member]) -> io::Result<()> {
        let mut before: &[u8] = b"{";
        for member in members {
            self.out.write_all(before)?;
            before = b",";
            match member {
                Member::Other(place) => self.piece(*place)?,
                Member::Info(key, members) => {
                    self.key(*key)?;
                    self.info(members)?;
                }
                Member::Section(section) => {
                    self.key(section.key)?;
                    self.section(section)?;
                }
                Member::Groups(key, groups) => {
                    self.key(*key)?;
                    self.members(groups)?;
                }
            }
        }
        self.out.write_all(if members.is_empty() { b"{}" } else { b"}" })
    }

    fn piece(&mut self, place: Place) -> io::Result<()> {
        self.out.write_all(self.document.slice(place))
    }

    fn key(&mut self, key: Place) -> io::Result<()> {
        self.piece(key)?;
        self.out.write_all(b":")
    }

    fn info(&mut self, members: &[Place]) -> io::Result<()> {
        let kept = self.document.info_members().zip(members).filter(|((key, _), _)| {
            !key.read(self.document.bytes()).is_some_and(|key| LEADS.contains(&&*key))
        });
        let mut before: &[u8] = b"{";
        for (_, member) in kept {
            self.out.write_all(before)?;
            before = b",";
            self.out.write_all(self.document.slice(*member))?;
        }
        self.out.write_all(if before == b"{" { b"{}" } else { b"}" })
    }

    fn section(&mut self, section: &Section) -> io::Result<()> {
        self.out.write_all(if section.is_list { b"[" } else { b"{" })?;
        let mut is_first = true;
        // What follows each other in the text and is unchanged is one piece.
        let mut run: Option<Place> = None;
        for number in section.entries.clone() {
            let entry = self.document.entry(number).filter(|_| self.selection.has(number));
            let Some(record) = entry else {
                self.run(&mut run, &mut is_first)?;
                continue;
            };
            if record.entry.is(mark::MOVED) {
                self.run(&mut run, &mut is_first)?;
                self.separate(&mut is_first)?;
                self.moved(record)?;
            } else {
                let whole = record.entry.whole();
                run = Some(run.map_or(whole, |run| Place { start: run.start, end: whole.end }));
            }
        }
        self.run(&mut run, &mut is_first)?;
        self.out.write_all(if section.is_list { b"]" } else { b"}" })
    }

    fn run(&mut self, run: &mut Option<Place>, is_first: &mut bool) -> io::Result<()> {
        let Some(place) = run.take() else { return Ok(()) };
        self.separate(is_first)?;
        self.piece(place)
    }

    fn separate(&mut self, is_first: &mut bool) -> io::Result<()> {
        if !std::mem::replace(is_first, false) { self.out.write_all(b",") } else { Ok(()) }
    }

    /// A record whose file is elsewhere.
    fn moved(&mut self, record: Record<'_>) -> io::Result<()> {
        let Entry { start, end, .. } = *record.entry;
        let Some(url) = record.url() else { return self.piece(record.entry.whole()) };
        self.piece(Place { start, end: url.start })?;
        write!(self.out, "\"{}\"", reference(record.file()))?;
        self.piece(Place { start: url.end, end })
    }
}

/// A file beside the index, as a relative URL.
pub(super) fn reference(file: &str) -> impl std::fmt::Display {
    utf8_percent_encode(file, ESCAPED)
}

/// The members of `info` that lead clients elsewhere.
pub(super) const LEADS: [&str; 2] = ["base_url", "shards_base_url"];

/// Everything but RFC 3986 unreserved characters, and two that are in names of files and that clients leave alone.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'+').remove(b'!');

/// Clients wait for this, and each view has one of its own: of 385 MiB, level 1 makes 64 MiB in 0.7 s, level 3 70 MiB in 1.7 s, and level 9
/// 68 MiB in 7.5 s. `cargo bench --bench subdir -- 700000 levels`.
const ZSTD_LEVEL: i32 = 1;
