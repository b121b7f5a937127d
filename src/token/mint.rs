//! The format of the tokens that the gate issues.
//!
//! `cg-`, 32 random characters of `[0-9A-Za-z]`, 6 characters of checksum. Only letters, digits and hyphens: conda cuts a token at any
//! other character and glues the rest to the host name (conda `conda/common/url.py`, `split_conda_url_easy_parts`). The prefix lets
//! secret scanners find leaked tokens; the checksum lets the gate refuse garbage without asking anybody.

use std::borrow::Cow;

use super::secret::TokenDigest;
use crate::conda::redact::{self, MASK};

pub(super) const PREFIX: &str = "cg-";
const RANDOM_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;
/// Of a whole value.
const CHARS: usize = PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A newly made token value, on its way to the person who asked for it. No `Debug`, no `Display`.
pub struct Minted(String);

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system's random source failed: {0}")]
pub struct RandomError(getrandom::Error);

impl Minted {
    /// Makes a token from the operating system's random source.
    ///
    /// # Errors
    ///
    /// That source's failure.
    pub fn random() -> Result<Self, RandomError> {
        let mut value = String::with_capacity(PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS);
        value.push_str(PREFIX);
        let mut pool = [0; 64];
        while value.len() < PREFIX.len() + RANDOM_CHARS {
            getrandom::fill(&mut pool).map_err(RandomError)?;
            // 248 is the largest multiple of 62 in a byte; what lies above would make some characters likelier.
            let fair = pool.iter().filter(|&&byte| byte < 248).map(|&byte| letter(u64::from(byte)));
            value.extend(fair.take(PREFIX.len() + RANDOM_CHARS - value.len()));
        }
        let checksum = checksum(value.as_bytes());
        value.extend(checksum);
        Ok(Self(value))
    }

    /// An API key.
    pub(super) fn signed(value: String) -> Self {
        Self(value)
    }

    /// The value, to be shown once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What to keep of it.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.0.as_bytes())
    }
}

/// True for a value that `token import` may take: at least 20 of `[A-Za-z0-9-]`, and not a mistyped token of the gate's own format.
pub fn is_importable(value: &str) -> bool {
    super::Secret::new(value.as_bytes()).is_plain()
}

/// `text` with every value in one of the gate's own formats masked, living or dead or never issued. What people write goes into the audit,
/// lists and logs, and a leaked token's value is what they have at hand when they write why it is revoked.
pub fn mask_values(text: &str) -> Cow<'_, str> {
    let value_in = |text: &str| {
        let candidates = text.match_indices(PREFIX).filter_map(|(at, _)| text.get(at..at + CHARS));
        let plain = candidates.map(str::to_owned).find(|candidate| has_valid_checksum(candidate.as_bytes()));
        plain.or_else(|| redact::signed_in(text).map(str::to_owned))
    };
    let mut shown = Cow::Borrowed(text);
    while let Some(value) = value_in(&shown) {
        shown = Cow::Owned(shown.replace(&value, MASK));
    }
    shown
}

/// True for `cg-` + 32 characters + their checksum.
pub(super) fn has_valid_checksum(value: &[u8]) -> bool {
    let Some((body, check)) = value.split_at_checked(PREFIX.len() + RANDOM_CHARS) else { return false };
    check.len() == CHECKSUM_CHARS
        && !body.iter().skip(PREFIX.len()).any(|&byte| byte == b'-')
        && checksum(body).zip(check).all(|(expected, &given)| expected == char::from(given))
}

/// Six characters of the body's SHA-256: a mistyped or made-up token passes once in 5.7 × 10¹⁰.
fn checksum(body: &[u8]) -> impl Iterator<Item = char> + use<> {
    let [a, b, c, d, e, f, g, h, ..] = *TokenDigest::of(body).as_bytes();
    let mut number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    std::iter::repeat_with(move || {
        let digit = number % 62;
        number /= 62;
        letter(digit)
    })
    .take(CHECKSUM_CHARS)
}

fn letter(number: u64) -> char {
    let index = usize::try_from(number % 62).unwrap_or(0);
    char::from(ALPHABET.get(index).copied().unwrap_or(b'0'))
}
