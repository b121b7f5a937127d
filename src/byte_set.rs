//! Sets of bytes, for texts that are known as harmless by their characters alone.
//!
//! A table, because a request's path is asked about several times: comparisons with ranges of letters took a dozen instructions for each byte.

/// Some of the 256 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// Letters and digits of ASCII, and `others`.
    #[expect(clippy::indexing_slicing, reason = "a constant's: an index that is out of bounds is no program")]
    pub(crate) const fn alphanumeric_and(others: &[u8]) -> Self {
        let mut has = [false; 256];
        let mut byte = 0;
        while byte < has.len() {
            has[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut at = 0;
        while at < others.len() {
            has[others[at] as usize] = true;
            at += 1;
        }
        Self(has)
    }

    /// Whether this byte is among them.
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }

    /// Whether all of these are.
    pub(crate) fn has_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|&byte| self.has(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_it_was_made_of() {
        const SET: ByteSet = ByteSet::alphanumeric_and(b"-\xff");
        for byte in 0..=255_u8 {
            let expected = byte.is_ascii_alphanumeric() || byte == b'-' || byte == 0xff;
            assert_eq!(SET.has(byte), expected, "{byte}");
            assert_eq!(SET.has_all(&[b'a', byte]), expected, "{byte}");
        }
        assert!(SET.has_all(b""));
    }
}
