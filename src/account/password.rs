//! Passwords, which are weak secrets: what is kept of one must be slow to guess from.
//!
//! Argon2id (RFC 9106) with what OWASP's Password Storage Cheat Sheet gives for it: 19 MiB of memory, two passes, one lane; some 20 ms of one
//! core. The same is spent on a user who is not known or has no password, so that the time does not tell who is. Whoever calls this on behalf
//! of strangers has to bound how often, and must not do it where others wait.

use std::fmt;

use argon2::password_hash::phc;
use argon2::password_hash::{CustomizedPasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

/// What is kept of a password, in the PHC string format: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// The bytes that make two hashes of one password different; from a random source.
pub type Salt = [u8; 16];

/// A password that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is too easy to guess (NIST SP 800-63B asks for length, and for nothing else).
    #[error(
        "a password must have at least {} characters; a few words that do not belong together are easy to remember",
        PASSWORD_CHARS_MIN
    )]
    TooShort,
    /// Hashing it would be work without end.
    #[error("a password must have at most {} characters", PASSWORD_CHARS_MAX)]
    TooLong,
    /// It holds what no keyboard has.
    #[error("a password must be text without control characters, such as a tab or the end of a line")]
    Control,
}

/// The fewest characters of a new password.
pub const PASSWORD_CHARS_MIN: usize = 12;

/// The most characters of a password.
pub const PASSWORD_CHARS_MAX: usize = 256;

/// Checks a password that somebody chooses.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_password(password: &str) -> Result<(), PasswordError> {
    let chars = password.chars().take(PASSWORD_CHARS_MAX + 1).count();
    if chars < PASSWORD_CHARS_MIN {
        Err(PasswordError::TooShort)
    } else if chars > PASSWORD_CHARS_MAX {
        Err(PasswordError::TooLong)
    } else if password.chars().any(char::is_control) {
        Err(PasswordError::Control)
    } else {
        Ok(())
    }
}

/// The cost parameters could not be met: there is no memory for them.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(argon2::password_hash::Error);

impl PasswordHash {
    /// What to keep of `password`.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    pub fn of(password: &str, salt: &Salt) -> Result<Self, HashError> {
        let hash: phc::PasswordHash = Argon2::default()
            .hash_password_customized(
                password.as_bytes(),
                salt,
                Some(Algorithm::Argon2id.as_str()),
                Some(Version::V0x13.into()),
                parameters().map_err(HashError)?,
            )
            .map_err(HashError)?;
        Ok(Self(hash.to_string()))
    }

    /// A hash that was kept; `None` for what is no hash by Argon2id, or one that would take more than 64 MiB or 8 passes.
    pub fn parse(text: &str) -> Option<Self> {
        let hash = phc::PasswordHash::new(text).ok()?;
        let parameters = Params::try_from(&hash).ok()?;
        let good = hash.algorithm.as_str() == Algorithm::Argon2id.as_str()
            && parameters.m_cost() <= 64 * 1_024
            && parameters.t_cost() <= 8
            && parameters.p_cost() <= 4
            && hash.salt.is_some()
            && hash.hash.is_some();
        good.then(|| Self(text.to_owned()))
    }

    /// What [`parse`](Self::parse) reads.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if it is of `password`. Without a hash it is false, after the same work.
    pub fn matches(hash: Option<&Self>, password: &str) -> bool {
        // Longer ones are nobody's.
        let password = if password.chars().nth(PASSWORD_CHARS_MAX).is_some() { "" } else { password };
        let text = hash.map_or(NOBODYS, |hash| &hash.0);
        let Ok(parsed) = phc::PasswordHash::new(text) else { return false };
        Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok() && hash.is_some()
    }
}

/// Without the hash, from which weak passwords can be guessed.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

fn parameters() -> Result<Params, argon2::password_hash::Error> {
    Params::new(19_456, 2, 1, Some(32)).map_err(|_| argon2::password_hash::Error::ParamsInvalid)
}

/// The hash of a password that nobody has, for users whom nobody knows.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
