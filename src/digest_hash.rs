//! How maps hash keys that are digests: not at all, for a cryptographic digest is as good as random already. Never for keys that a client
//! can choose.

use std::hash::{BuildHasherDefault, Hasher};

/// For a map whose keys hash as the bytes of one digest of at least eight bytes.
pub type DigestHash = BuildHasherDefault<DigestBytes>;

/// The first eight bytes of a digest as its hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct DigestBytes(u64);

impl Hasher for DigestBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(&first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(first);
        }
    }

    /// The length of the digest, which is always the same.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
