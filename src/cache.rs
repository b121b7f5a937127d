//! The package cache: every byte is fetched once, verified, and kept on the disk.
//!
//! [`Disk`] keeps whole objects: it finds them, takes new ones in, makes room, and checks what it holds. Read `cache/disk.rs` next.

mod disk;
mod facts;
mod footer;
mod key;
mod meters;
mod sha256;

pub use disk::{Disk, DiskConfig, Draft, DraftError, Entry, Object, OpenError, Pin, Totals, Verdict, Walk};
pub use facts::{Facts, Proof};
pub use footer::{
    FACTS_BYTES_MAX, FooterError, Read as FooterRead, read as read_footer, write as write_footer,
};
pub use key::{Key, KeyDigest, Part};
pub use meters::Meters;
pub use sha256::{Hashing, NotADigest, Sha256};
