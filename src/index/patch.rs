//! `repodata.jlap`: a first line of 64 hexadecimal digits, lines of JSON (each a patch from one repodata to the next, the last of
//! them a description of the file), and a last line of digits. conda applies the patches to a repodata it has, so a patch can
//! lead it elsewhere as well as a repodata can. `walk.rs` judges what the operations write; this file finds the lines and judges
//! where the operations point.
//!
//! <https://github.com/conda/ceps/pull/20> describes the format; conda 23.1 to 25.x reads it.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use serde::de::DeserializeSeed;

use super::fault::{Format, IndexFault, Position};
use super::meter::Scan;
use super::reference::Reach;
use super::walk::{Place, Walk};

/// Inspects every line. `scan` also bounds what a line of digits may hold.
pub(super) fn inspect_lines(mut stream: impl BufRead, scan: &Scan) -> Result<(), IndexFault> {
    let mut lines_before = 0;
    loop {
        match stream.fill_buf().map_err(|source| IndexFault::Read { source })?.first() {
            None if lines_before == 0 => {
                return Err(IndexFault::Truncated { format: Format::Jlap, after_bytes: 0 });
            }
            None => return Ok(()),
            Some(b'{') => inspect_patches(&mut stream, lines_before, scan)?,
            Some(_) => skip_digits(&mut stream, lines_before)?,
        }
        lines_before += 1;
        scan.saw_token();
    }
}

fn inspect_patches(stream: &mut impl BufRead, lines_before: u64, scan: &Scan) -> Result<(), IndexFault> {
    scan.began_line(lines_before + 1);
    let mut parser = serde_json::Deserializer::from_reader(Line { stream, ended: false });
    Walk::new(scan, Place::PatchLine)
        .deserialize(&mut parser)
        .and_then(|()| parser.end())
        .map_err(|error| IndexFault::of_json(&error, lines_before, scan.decompressed_bytes()))
}

/// A line that is no JSON holds a digest in hexadecimal digits, or the file is no JLAP.
fn skip_digits(stream: &mut impl BufRead, lines_before: u64) -> Result<(), IndexFault> {
    let mut digits = 0;
    let mut line = Line { stream, ended: false };
    let mut byte = [0];
    while line.read(&mut byte).map_err(|source| IndexFault::Read { source })? > 0 {
        digits += 1;
        if !byte.iter().all(u8::is_ascii_hexdigit) || digits > DIGEST_HEX_CHARS {
            return Err(not_jlap(lines_before, digits));
        }
    }
    if digits == DIGEST_HEX_CHARS { Ok(()) } else { Err(not_jlap(lines_before, digits)) }
}

fn not_jlap(lines_before: u64, column: u64) -> IndexFault {
    IndexFault::Malformed { format: Format::Jlap, position: Position::Line(lines_before + 1, column) }
}

/// The stream up to and without the next line feed, which it consumes.
struct Line<'a, S> {
    stream: &'a mut S,
    ended: bool,
}

impl<S: BufRead> Read for Line<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let mut copied = 0;
        let mut consumed = 0;
        let available = self.stream.fill_buf()?;
        for (slot, byte) in buffer.iter_mut().zip(available) {
            consumed += 1;
            if *byte == b'\n' {
                self.ended = true;
                break;
            }
            *slot = *byte;
            copied += 1;
        }
        self.ended |= available.is_empty();
        self.stream.consume(consumed);
        Ok(copied)
    }
}

/// Whether a patch operation at `pointer` (RFC 6901) leaves alone what clients resolve: it must not replace the document, nor
/// `info` as a whole (of either an array would do, which has no keys to judge), nor name a key of a reference, nor make a
/// package's file name that leads elsewhere.
pub(super) fn leaves_references_alone(pointer: &str) -> bool {
    let Some(path) = pointer.strip_prefix('/') else {
        return false;
    };
    path != "info" && path.split('/').all(|segment| unescaped(segment).is_some_and(|key| is_harmless(&key)))
}

fn is_harmless(key: &str) -> bool {
    let names_reference =
        matches!(key, "url" | "base_url" | "shards_base_url" | "fn" | "subdir" | "channel_relations");
    !names_reference && Reach::Below.permits(key)
}

/// A pointer's segment as the key it means: `~1` is a slash, `~0` a tilde, any other `~` an error.
fn unescaped(segment: &str) -> Option<Cow<'_, str>> {
    let mut parts = segment.split('~');
    let first = parts.next()?;
    let mut key = Cow::Borrowed(first);
    for part in parts {
        let (character, rest) = match part.split_at_checked(1)? {
            ("0", rest) => ('~', rest),
            ("1", rest) => ('/', rest),
            _ => return None,
        };
        key.to_mut().push(character);
        key.to_mut().push_str(rest);
    }
    Some(key)
}

const DIGEST_HEX_CHARS: u64 = 64;
