//! A scanner of JSON texts (RFC 8259) that tells where things stand and copies nothing.
//!
//! It goes from one end of a text to the other and holds it to the grammar, with one exception: what the escapes of a string mean is looked
//! at only when somebody asks for the string ([`Text::read`]). Memory is constant, and so is the depth: [`DEPTH_MAX`], where serde_json
//! stops as well. Knows nothing of indexes: `document.rs` does.

use std::borrow::Cow;

use super::fault::{Format, IndexFault, Position};

/// How far a text was read.
#[derive(Clone)]
pub(super) struct Scanner<'t> {
    bytes: &'t [u8],
    at: usize,
    depth_max: usize,
}

/// A string in the text, without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) start: usize,
    pub(super) end: usize,
    /// True if it has escapes: its bytes are not what it says.
    pub(super) is_escaped: bool,
}

impl Text {
    /// What it says, of the text that it was found in; `None` if its escapes say nothing, or it is not UTF-8.
    pub(super) fn read<'t>(&self, bytes: &'t [u8]) -> Option<Cow<'t, str>> {
        if !self.is_escaped {
            return std::str::from_utf8(bytes.get(self.start..self.end)?).ok().map(Cow::Borrowed);
        }
        let quoted = bytes.get(self.start.checked_sub(1)?..=self.end)?;
        serde_json::from_slice(quoted).ok().map(Cow::Owned)
    }
}

impl<'t> Scanner<'t> {
    /// At the beginning of `bytes`.
    pub(super) fn new(bytes: &'t [u8], depth_max: usize) -> Self {
        Self { bytes, at: 0, depth_max: depth_max.min(DEPTH_MAX) }
    }

    /// In the middle of a text that has been read once.
    pub(super) fn again(bytes: &'t [u8], at: usize) -> Self {
        Self { bytes, at, depth_max: DEPTH_MAX }
    }

    /// Where it stands.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next byte that is not blank, which is not taken.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Takes this byte, after blanks.
    pub(super) fn take(&mut self, byte: u8) -> Result<(), IndexFault> {
        if self.peek() != Some(byte) {
            return Err(self.fault());
        }
        self.at += 1;
        Ok(())
    }

    /// Takes the end of the text.
    pub(super) fn end(&mut self) -> Result<(), IndexFault> {
        if self.peek().is_some() { Err(self.fault()) } else { Ok(()) }
    }

    /// Takes a string, after blanks.
    pub(super) fn string(&mut self) -> Result<Text, IndexFault> {
        self.take(b'"')?;
        let start = self.at;
        let mut is_escaped = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| is_special(*byte));
            self.at += plain.unwrap_or(rest.len());
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let end = self.at;
                    self.at += 1;
                    return Ok(Text { start, end, is_escaped });
                }
                Some(b'\\') => {
                    is_escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.fault()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), IndexFault> {
        self.at += 1;
        let digits = match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            _ => return Err(self.fault()),
        };
        self.at += 1;
        for _ in 0..digits {
            if !self.bytes.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                return Err(self.fault());
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Takes any value, which stands this deep.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), IndexFault> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.members(depth, |scanner, _| scanner.skip(depth + 1)),
            Some(b'[') => self.elements(depth, |scanner| scanner.skip(depth + 1)),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// Takes a map: `each` is told of every key, and takes its value.
    pub(super) fn members(
        &mut self,
        depth: usize,
        mut each: impl FnMut(&mut Self, Text) -> Result<(), IndexFault>,
    ) -> Result<(), IndexFault> {
        self.take(b'{')?;
        self.descend(depth)?;
        if self.peek() == Some(b'}') {
            return self.take(b'}');
        }
        loop {
            let key = self.string()?;
            self.take(b':')?;
            self.peek();
            each(self, key)?;
            if self.peek() == Some(b'}') {
                return self.take(b'}');
            }
            self.take(b',')?;
            self.peek();
        }
    }

    /// Takes an array: `each` takes one element.
    pub(super) fn elements(
        &mut self,
        depth: usize,
        mut each: impl FnMut(&mut Self) -> Result<(), IndexFault>,
    ) -> Result<(), IndexFault> {
        self.take(b'[')?;
        self.descend(depth)?;
        if self.peek() == Some(b']') {
            return self.take(b']');
        }
        loop {
            self.peek();
            each(self)?;
            if self.peek() == Some(b']') {
                return self.take(b']');
            }
            self.take(b',')?;
        }
    }

    fn descend(&self, depth: usize) -> Result<(), IndexFault> {
        if depth < self.depth_max {
            return Ok(());
        }
        let place = format!("what stands at byte {}", self.at);
        Err(IndexFault::TooDeep { place, depth_max: self.depth_max })
    }

    fn word(&mut self, word: &[u8]) -> Result<(), IndexFault> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.fault());
        }
        self.at += word.len();
        Ok(())
    }

    /// Takes a number, and gives its bytes.
    pub(super) fn number(&mut self) -> Result<&'t [u8], IndexFault> {
        self.peek();
        let start = self.at;
        self.take_if(|byte| byte == b'-');
        if !self.take_if(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.take_if(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.take_if(|byte| matches!(byte, b'e' | b'E')) {
            self.take_if(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Ok(self.bytes.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<(), IndexFault> {
        if !self.take_if(|byte| byte.is_ascii_digit()) {
            return Err(self.fault());
        }
        while self.take_if(|byte| byte.is_ascii_digit()) {}
        Ok(())
    }

    fn take_if(&mut self, is_wanted: impl FnOnce(u8) -> bool) -> bool {
        let is_there = self.bytes.get(self.at).copied().is_some_and(is_wanted);
        self.at += usize::from(is_there);
        is_there
    }

    /// What is wrong here.
    pub(super) fn fault(&self) -> IndexFault {
        let at = self.at as u64;
        if self.at >= self.bytes.len() {
            return IndexFault::Truncated { format: Format::Json, after_bytes: at };
        }
        IndexFault::Malformed { format: Format::Json, position: Position::Byte(at) }
    }
}

/// What ends the plain part of a string: its end, an escape, a control character.
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Maps and arrays inside each other that serde_json reads: it stops at 127 of its own accord.
const DEPTH_MAX: usize = 127;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Scanner;

    fn scans(text: &[u8]) -> bool {
        let mut scanner = Scanner::new(text, 64);
        scanner.skip(0).and_then(|()| scanner.end()).is_ok()
    }

    #[test]
    fn scanner_takes_json_and_nothing_else() {
        for (text, expected) in [
            (r#"{}"#, true),
            (r#" { "a" : [ 1 , -0.5e+3 , true , false , null , "\u00e9\n" ] } "#, true),
            (r#"0"#, true),
            (r#""#, false),
            (r#"{"a":1,}"#, false),
            (r#"{"a" 1}"#, false),
            (r#"{a:1}"#, false),
            (r#"[1,]"#, false),
            (r#"[1 2]"#, false),
            (r#"01"#, false),
            (r#"1."#, false),
            (r#"-"#, false),
            (r#"1e"#, false),
            (r#""\x""#, false),
            (r#""\u12g4""#, false),
            ("\"\n\"", false),
            (r#""open"#, false),
            (r#"tru"#, false),
            (r#"{} {}"#, false),
        ] {
            assert_eq!(scans(text.as_bytes()), expected, "{text}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(scans(nested(64).as_bytes()));
        assert!(!scans(nested(65).as_bytes()));
        assert!(!scans("[".repeat(1 << 20).as_bytes()), "no stack is used up");
    }

    proptest! {
        #[test]
        fn what_serde_json_reads_the_scanner_reads(bytes in r#"[\[\]{}:,0-9eE.+\-"\\ a-ftrulns]{0,24}"#) {
            let serde = serde_json::from_str::<serde_json::Value>(&bytes).is_ok();
            let ours = scans(bytes.as_bytes());
            prop_assert!(!serde || ours, "{}", bytes);
            // What the escapes of a string mean is not looked at, nor how large a number is.
            prop_assert!(!ours || serde || bytes.contains("\\u") || bytes.contains(['e', 'E']), "{}", bytes);
        }
    }
}
