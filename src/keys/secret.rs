//! The secret that the gates over one store share: where it is, and what is derived from it.
//!
//! A file of 64 hexadecimal digits that nobody but its owner may read, made where it is missing. It is never used itself: each purpose has a
//! key of its own, derived by HKDF-SHA-256 (RFC 5869), so that what one of them gives away tells nothing of another. What must not be read or
//! changed outside is sealed by AES-256-GCM under a purpose's key.

use std::fmt;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

/// The secret of the gates over one store.
#[derive(Clone)]
pub struct GateSecret(Prk);

/// The secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file system.
    #[error("the file {file} cannot be {deed}: {source}; look at sign_in.secret_file")]
    File {
        /// Which.
        file: PathBuf,
        /// What was tried.
        deed: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read it.
    #[error(
        "the file {file} can be read or written by others (mode {mode:03o}), and so it is no secret; `chmod 600` it, and replace it if somebody may have read it"
    )]
    Open {
        /// Which.
        file: PathBuf,
        /// Who may.
        mode: u32,
    },
    /// It holds something else.
    #[error(
        "the file {file} holds no secret of a gate, which has 64 hexadecimal digits; restore it, or remove it to begin with a new one: then everybody has to sign in again"
    )]
    Content {
        /// Which.
        file: PathBuf,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system's random source failed")]
    Random,
}

impl GateSecret {
    /// Reads the secret in `file`, or makes it.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn load_or_make(file: &Path) -> Result<Self, SecretError> {
        match Self::load(file)? {
            Some(secret) => Ok(secret),
            None => {
                make(file)?;
                // Of several gates that begin at once one makes it.
                Self::load(file)?.ok_or_else(|| failed(file, "read")(io::ErrorKind::NotFound.into()))
            }
        }
    }

    /// Reads the secret in `file`; `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn load(file: &Path) -> Result<Option<Self>, SecretError> {
        let mut opened = match File::open(file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(file, "read")(error)),
        };
        let metadata = opened.metadata().map_err(failed(file, "read"))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretError::Open { file: file.to_owned(), mode });
        }
        let mut text = String::new();
        let read = (&mut opened).take(BYTES_READ_MAX).read_to_string(&mut text);
        let content = || SecretError::Content { file: file.to_owned() };
        read.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => content(),
            _ => failed(file, "read")(error),
        })?;
        Ok(Some(Self::of(&bytes_of_hex(text.trim_end()).ok_or_else(content)?)))
    }

    /// The secret of these bytes.
    pub fn of(bytes: &[u8; 32]) -> Self {
        Self(Salt::new(HKDF_SHA256, b"channelgate").extract(bytes))
    }

    /// The key of a purpose.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        // Cannot fail: the length is that of one digest.
        let filled = self.0.expand(&[purpose.as_bytes()], Key).and_then(|okm| okm.fill(&mut key));
        debug_assert!(filled.is_ok());
        key
    }

    /// `bytes` so that nobody without the secret can read them, or change them unnoticed; 28 bytes longer. `purpose` and `of`, which names
    /// what they belong to, must be the same when they are opened.
    ///
    /// # Errors
    ///
    /// The operating system gave no random bytes.
    pub fn seal(&self, purpose: &str, of: &str, bytes: &[u8]) -> Result<Vec<u8>, SecretError> {
        let key =
            RandomizedNonceKey::new(&AES_256_GCM, &self.derive(purpose)).map_err(|_| SecretError::Random)?;
        let mut sealed = bytes.to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(of.as_bytes()), &mut sealed)
            .map_err(|_| SecretError::Random)?;
        let mut whole = nonce.as_ref().to_vec();
        whole.append(&mut sealed);
        Ok(whole)
    }

    /// The bytes that were sealed; `None` for anything else.
    pub fn open(&self, purpose: &str, of: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let key = UnboundKey::new(&AES_256_GCM, &self.derive(purpose)).ok()?;
        let key = aws_lc_rs::aead::LessSafeKey::new(key);
        let mut bytes = rest.to_vec();
        let opened = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(of.as_bytes()), &mut bytes)
            .ok()?
            .len();
        bytes.truncate(opened);
        Some(bytes)
    }
}

/// Without it.
impl fmt::Debug for GateSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GateSecret(…)")
    }
}

/// The length of a derived key.
struct Key;

impl KeyType for Key {
    fn len(&self) -> usize {
        32
    }
}

/// Makes the file, complete and for its owner only, unless there is one already.
fn make(file: &Path) -> Result<(), SecretError> {
    let failed = failed(file, "made");
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(&failed)?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| SecretError::Random)?;
    let mut temporary = tempfile::Builder::new()
        .prefix(".sign-in-secret-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory)
        .map_err(&failed)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(temporary, "{hex}").and_then(|()| temporary.as_file().sync_all()).map_err(&failed)?;
    match temporary.persist_noclobber(file) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error.error)),
        _ => {}
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(&failed)
}

fn failed(file: &Path, deed: &'static str) -> impl Fn(io::Error) -> SecretError {
    move |source| SecretError::File { file: file.to_owned(), deed, source }
}

fn bytes_of_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

const NONCE_BYTES: usize = 12;

/// More than any secret has.
const BYTES_READ_MAX: u64 = 1_024;

#[cfg(test)]
mod tests;
