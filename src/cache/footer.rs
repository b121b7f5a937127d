//! The end of an object's file: where the body stops, and the facts about it.
//!
//! ```text
//! body ─ from offset 0 │ facts as JSON │ their length, u32 little-endian │ "cgobj\0\0\1"
//! ```
//!
//! The body comes first so that it is served from offset 0 while it is still being written, and the footer last so that a file without one
//! is not whole. What is read here are a stranger's bytes: a disk forgets, and a person may put a file there. Nothing is believed that does
//! not fit the file's length, and nothing larger than [`FACTS_BYTES_MAX`] is read.

use super::facts::Facts;

/// Facts are some 500 bytes; the longest path that the gate accepts is 4 KiB.
pub const FACTS_BYTES_MAX: usize = 64 * 1024;

/// Behind the facts: their length and the mark.
const TAIL_BYTES: usize = 4 + MARK.len();

/// The mark of an object's file; its last byte is the version of the format.
const MARK: [u8; 8] = *b"cgobj\0\0\x01";

/// Why a file is no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FooterError {
    /// It ends without the mark: it is torn, or nothing of this gate's.
    #[error("it does not end with the mark of an object")]
    NoMark,
    /// Its lengths contradict each other.
    #[error("the length of its body, of its facts and of the file do not agree")]
    Lengths,
    /// Its facts are longer than any that this gate writes.
    #[error("its facts are longer than {FACTS_BYTES_MAX} bytes")]
    TooLong,
    /// Its facts cannot be read.
    #[error("its facts cannot be read: {0}")]
    Facts(String),
}

/// What goes behind the body that `facts` are of.
///
/// # Errors
///
/// [`FooterError::TooLong`].
pub fn write(facts: &Facts) -> Result<Vec<u8>, FooterError> {
    let mut footer = serde_json::to_vec(facts).map_err(|error| FooterError::Facts(error.to_string()))?;
    let length = u32::try_from(footer.len()).map_err(|_| FooterError::TooLong)?;
    if footer.len() > FACTS_BYTES_MAX {
        return Err(FooterError::TooLong);
    }
    footer.extend_from_slice(&length.to_le_bytes());
    footer.extend_from_slice(&MARK);
    Ok(footer)
}

/// What the last bytes of a file tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The facts.
    Facts(Box<Facts>),
    /// That many bytes of the file's end have to be looked at, more than were given.
    Needs(usize),
}

/// Reads the footer of a file of `file_bytes` bytes that ends with `end`.
///
/// # Errors
///
/// The file is no object.
pub fn read(end: &[u8], file_bytes: u64) -> Result<Read, FooterError> {
    let (rest, mark) = end.split_last_chunk().ok_or(FooterError::NoMark)?;
    if *mark != MARK {
        return Err(FooterError::NoMark);
    }
    let (rest, length) = rest.split_last_chunk().ok_or(FooterError::Lengths)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| FooterError::TooLong)?;
    if length > FACTS_BYTES_MAX {
        return Err(FooterError::TooLong);
    }
    let footer_bytes = length + TAIL_BYTES;
    let body_bytes = file_bytes.checked_sub(footer_bytes as u64).ok_or(FooterError::Lengths)?;
    let Some(start) = rest.len().checked_sub(length) else {
        // A file that is shorter than it says was refused above, so that there is more to look at.
        return Ok(Read::Needs(footer_bytes));
    };
    let facts = rest.get(start..).unwrap_or_default();
    let facts: Facts =
        serde_json::from_slice(facts).map_err(|error| FooterError::Facts(error.to_string()))?;
    if facts.length != body_bytes {
        return Err(FooterError::Lengths);
    }
    Ok(Read::Facts(Box::new(facts)))
}

#[cfg(test)]
mod tests;
