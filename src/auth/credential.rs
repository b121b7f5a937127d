//! A credential and where it came from.

use crate::token::Secret;

/// What a request shows.
#[derive(Clone, Copy)]
pub enum Credential<'r> {
    /// Nothing.
    Absent {
        /// A client sent a placeholder in place of its token; the refusal says so.
        masked: bool,
    },
    /// Something that is to be checked.
    Presented {
        /// Its bytes.
        secret: Secret<'r>,
        /// Where it stood.
        carrier: Carrier,
    },
}

/// Where a credential stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// `/t/<TOKEN>/` in the path.
    Path,
    /// `Authorization: token <T>`.
    Token,
    /// `Authorization: Bearer <T>`.
    Bearer,
    /// `Authorization: Basic …`.
    Basic,
    /// `Authorization` with a scheme that the gate does not know.
    OtherScheme,
    /// `X-API-Key: <T>`.
    ApiKey,
    /// `X-Auth: <T>`.
    XAuth,
}

impl Carrier {
    /// All carriers.
    pub const EVERY: [Self; 7] =
        [Self::Path, Self::Token, Self::Bearer, Self::Basic, Self::OtherScheme, Self::ApiKey, Self::XAuth];

    /// The carrier of this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|carrier| carrier.as_str() == word)
    }

    /// The word in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Token => "token",
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::OtherScheme => "other-scheme",
            Self::ApiKey => "x-api-key",
            Self::XAuth => "x-auth",
        }
    }
}

/// A request whose credentials contradict the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Two `Authorization` (or other credential) headers: which one counts would be a guess.
    #[error("the header {0} occurs more than once")]
    Repeated(&'static str),
}

/// Room for a decoded `Basic` credential, on the caller's stack, so that checking one allocates nothing. Only such a credential makes
/// it come into being.
#[derive(Default)]
pub struct Scratch(Option<[u8; Self::BYTES]>);

impl Scratch {
    /// Longest decoded user and password, in bytes; longer ones are unknown.
    pub const BYTES: usize = 1_024;

    /// An empty one.
    pub fn new() -> Self {
        Self(None)
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.0.get_or_insert([0; Self::BYTES])
    }
}

/// Nothing of a credential is left behind on the stack.
impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(bytes) = &mut self.0 {
            bytes.fill(0);
            // The compiler may not conclude that nobody looks.
            std::hint::black_box(bytes);
        }
    }
}
