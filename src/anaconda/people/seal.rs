//! What the gate gives a browser to keep: sealed so that nobody can read or change it, and only for so long.
//!
//! Pure: the key and the time are arguments. A sealed value holds its own end and is bound to its purpose, so that what was made for one
//! place opens nowhere else. Of the key, which the sign-in secret is the source of, this file sees only 32 bytes.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::Timestamp;

/// Seals and opens.
pub(super) struct Sealer(RandomizedNonceKey);

/// What a value is sealed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A sign-in at the OpenID provider that is under way.
    Oidc,
    /// What a program asks for, between the page that shows it and the answer.
    Grant,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Oidc => b"channelgate sealed oidc v1",
            Self::Grant => b"channelgate sealed grant v1",
        }
    }
}

impl Sealer {
    /// Seals under `key`.
    ///
    /// # Errors
    ///
    /// The cipher refuses the key, which it does for none of 32 bytes.
    pub(super) fn new(key: &[u8; 32]) -> Result<Self, Unspecified> {
        RandomizedNonceKey::new(&AES_256_GCM, key).map(Self)
    }

    /// `plain`, to be opened for the same purpose before `until`; in letters that cookies, forms and URLs carry as they are.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub(super) fn seal(
        &self,
        purpose: Purpose,
        plain: &[u8],
        until: Timestamp,
    ) -> Result<String, Unspecified> {
        let mut text = until.as_millis().to_be_bytes().to_vec();
        text.extend_from_slice(plain);
        let nonce = self.0.seal_in_place_append_tag(Aad::from(purpose.label()), &mut text)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend_from_slice(&text);
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// What was sealed for this purpose; `None` for anything else, and once its time is over.
    pub(super) fn open(&self, purpose: Purpose, sealed: &str, now: Timestamp) -> Option<Vec<u8>> {
        if sealed.len() > SEALED_CHARS_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(purpose.label()), &mut text).ok()?;
        let (until, plain) = opened.split_first_chunk()?;
        (now < Timestamp::from_millis(i64::from_be_bytes(*until))).then(|| plain.to_vec())
    }
}

/// Longest sealed value that is looked at. Browsers keep no longer cookies.
const SEALED_CHARS_MAX: usize = 4_000;

#[cfg(test)]
mod tests;
