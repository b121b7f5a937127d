//! The code that a person carries from a device to a browser (RFC 8628 section 6.1): ten letters of twenty, `WDJB-MJHT`-like.
//!
//! No vowels, so that no words come out; no letter that looks or sounds much like another. 20¹⁰ codes are 43 bits: with a thousand
//! living codes and the guesses that the throttle leaves, nobody meets one by chance within the ten minutes that it lives. Pure.

use std::fmt;

use aws_lc_rs::hmac;

use crate::token::TokenDigest;

/// A code. Prints as people read it; no `Debug`, so that it gets into no log by accident.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct UserCode([u8; LETTERS]);

impl UserCode {
    /// Makes one from the operating system's random source.
    ///
    /// # Errors
    ///
    /// That source's failure.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut letters = [0; LETTERS];
        let mut filled = 0;
        let mut pool = [0; 2 * LETTERS];
        while filled < LETTERS {
            getrandom::fill(&mut pool)?;
            // 240 is the largest multiple of 20 in a byte; what lies above would make some letters likelier.
            let fair = pool.iter().filter(|&&byte| byte < 240);
            for (slot, byte) in letters.iter_mut().skip(filled).zip(fair) {
                *slot = ALPHABET.get(usize::from(byte % 20)).copied().unwrap_or(b'B');
                filled += 1;
            }
        }
        Ok(Self(letters))
    }

    /// Reads what a person typed: any case, with hyphens and spaces or without. `None` for what is no code.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > TYPED_BYTES_MAX {
            return None;
        }
        let is_filler =
            |letter: &char| letter.is_whitespace() || "-\u{2010}\u{2011}\u{2012}\u{2013}_".contains(*letter);
        let mut letters = [0; LETTERS];
        let mut typed = text.chars().filter(|letter| !is_filler(letter));
        for slot in &mut letters {
            let letter = u8::try_from(typed.next()?).ok()?.to_ascii_uppercase();
            *slot = ALPHABET.contains(&letter).then_some(letter)?;
        }
        typed.next().is_none().then_some(Self(letters))
    }

    /// What is kept of it. Of so short a secret a plain digest could be undone by trying all, so it is made under a key.
    pub(super) fn digest(&self, key: &hmac::Key) -> TokenDigest {
        let mut digest = [0; 32];
        // HMAC-SHA-256 has 32 bytes.
        for (to, from) in digest.iter_mut().zip(hmac::sign(key, &self.0).as_ref()) {
            *to = *from;
        }
        TokenDigest::from_bytes(&digest).unwrap_or_else(|| TokenDigest::of(&self.0))
    }
}

/// Two halves of five letters.
impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, letter) in self.0.iter().enumerate() {
            if at == LETTERS / 2 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*letter))?;
        }
        Ok(())
    }
}

/// The consonants that RFC 8628 proposes.
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LETTERS: usize = 10;
const TYPED_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests;
