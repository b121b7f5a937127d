//! Rewrites the index of shards (CEP 16) of an upstream that keeps its packages or shards elsewhere: `info.base_url` becomes empty and
//! `info.shards_base_url` leads to `shards/` at the gate. Everything else, the digests of the shards above all, is copied byte for byte.
//!
//! Copies MessagePack values as they come, knowing no more of them than how long they are: memory is that of `info`. It is used on what
//! passed inspection, which bounds depth and lengths; what is cut off or too deep is an error all the same.

use std::io::{self, Read, Write};

/// Copies the document, rewritten.
///
/// # Errors
///
/// What reading and writing say; [`io::ErrorKind::InvalidData`] for what is no index of shards.
pub(super) fn rewrite(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let root = Header::read(&mut input)?;
    let Rest::Map(entries) = root.rest else { return Err(invalid()) };
    output.write_all(root.bytes())?;
    for _ in 0..entries {
        let key = Key::read(&mut input)?;
        output.write_all(&key.written)?;
        if key.text == b"info" {
            rewrite_info(&mut input, &mut output)?;
        } else {
            copy(&mut input, &mut output, DEPTH_MAX)?;
        }
    }
    Ok(())
}

/// Copies a map without the keys that are the gate's, and adds those.
fn rewrite_info(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let Rest::Map(entries) = Header::read(input)?.rest else { return Err(invalid()) };
    let mut kept = Vec::new();
    let mut count: u32 = 0;
    for _ in 0..entries {
        let key = Key::read(input)?;
        if matches!(key.text.as_slice(), b"base_url" | b"shards_base_url") {
            copy(input, &mut io::sink(), DEPTH_MAX)?;
            continue;
        }
        count = count.checked_add(1).ok_or_else(invalid)?;
        kept.extend(key.written);
        copy(input, &mut kept, DEPTH_MAX)?;
        if kept.len() > INFO_BYTES_MAX {
            return Err(invalid());
        }
    }
    // A map of any length may be written with four bytes of length.
    output.write_all(&[0xdf])?;
    output.write_all(&count.checked_add(2).ok_or_else(invalid)?.to_be_bytes())?;
    output.write_all(&kept)?;
    output.write_all(b"\xa8base_url\xa0\xafshards_base_url\xa9./shards/")
}

/// Copies one value, whatever it is.
fn copy(input: &mut impl Read, output: &mut impl Write, depth_max: usize) -> io::Result<()> {
    let header = Header::read(input)?;
    output.write_all(header.bytes())?;
    let values = match header.rest {
        Rest::Bytes(bytes) => return copy_bytes(input, output, bytes),
        Rest::Array(values) => values,
        Rest::Map(entries) => entries * 2,
    };
    let below = depth_max.checked_sub(1).ok_or_else(invalid)?;
    (0..values).try_for_each(|_| copy(input, output, below))
}

fn copy_bytes(input: &mut impl Read, output: &mut impl Write, bytes: u64) -> io::Result<()> {
    let copied = io::copy(&mut input.take(bytes), output)?;
    if copied == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// What a value begins with: its type and, where that does not say it, its length.
struct Header {
    bytes: [u8; 5],
    length: usize,
    rest: Rest,
}

/// What follows a header.
#[derive(Clone, Copy)]
enum Rest {
    /// So many bytes.
    Bytes(u64),
    /// So many values.
    Array(u64),
    /// So many keys, each with its value.
    Map(u64),
}

impl Header {
    fn read(input: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; 5];
        let (first, more) = bytes.split_at_mut(1);
        input.read_exact(first)?;
        let marker = first.first().copied().unwrap_or_default();
        let length_bytes = match marker {
            0xc4 | 0xc7 | 0xd9 => 1,
            0xc5 | 0xc8 | 0xda | 0xdc | 0xde => 2,
            0xc6 | 0xc9 | 0xdb | 0xdd | 0xdf => 4,
            _ => 0,
        };
        let more = more.get_mut(..length_bytes).unwrap_or_default();
        input.read_exact(more)?;
        let said = more.iter().fold(0, |said, byte| said << 8 | u64::from(*byte));
        let rest = match marker {
            0x80..=0x8f => Rest::Map(u64::from(marker & 0x0f)),
            0x90..=0x9f => Rest::Array(u64::from(marker & 0x0f)),
            0xa0..=0xbf => Rest::Bytes(u64::from(marker & 0x1f)),
            0xc4..=0xc6 | 0xd9..=0xdb => Rest::Bytes(said),
            // An extension has its type before its bytes.
            0xc7..=0xc9 => Rest::Bytes(said + 1),
            0xd4..=0xd8 => Rest::Bytes((1 << (marker - 0xd4)) + 1),
            0xcc | 0xd0 => Rest::Bytes(1),
            0xcd | 0xd1 => Rest::Bytes(2),
            0xca | 0xce | 0xd2 => Rest::Bytes(4),
            0xcb | 0xcf | 0xd3 => Rest::Bytes(8),
            0xdc | 0xdd => Rest::Array(said),
            0xde | 0xdf => Rest::Map(said),
            0xc1 => return Err(invalid()),
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Rest::Bytes(0),
        };
        Ok(Self { bytes, length: 1 + length_bytes, rest })
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// A key of a map: a text, or bytes, which serde reads as one.
struct Key {
    written: Vec<u8>,
    text: Vec<u8>,
}

impl Key {
    fn read(input: &mut impl Read) -> io::Result<Self> {
        let header = Header::read(input)?;
        let Rest::Bytes(bytes) = header.rest else { return Err(invalid()) };
        let mut text = Vec::new();
        if bytes > KEY_BYTES_MAX {
            return Err(invalid());
        }
        copy_bytes(input, &mut text, bytes)?;
        let written = [header.bytes(), &text].concat();
        Ok(Self { written, text })
    }
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is no index of shards")
}

/// Deeper than an inspection lets anything be by default.
const DEPTH_MAX: usize = 128;

/// A key is one token of an inspection: 1 MiB.
const KEY_BYTES_MAX: u64 = 1 << 20;

/// A hundred times what any index has there.
const INFO_BYTES_MAX: usize = 4 << 20;
