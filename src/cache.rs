//! The package cache: every byte is fetched once, verified, and kept on the disk.
//!
//! [`Disk`] keeps whole objects: it finds them, takes new ones in, makes room, and checks what it holds. Read `cache/disk.rs` next.

mod attempt;
mod body;
mod crowd;
mod disk;
mod expectation;
mod facts;
mod fill;
mod filling;
mod flight;
mod follow;
mod footer;
mod key;
mod meters;
mod order;
mod resume;
mod sha256;
mod through;

pub use body::{Body, BodyError, Origin};
pub use disk::{Disk, DiskConfig, Draft, DraftError, Entry, Object, OpenError, Pin, Totals, Verdict, Walk};
pub use facts::{Facts, Proof};
pub use filling::{Filling, Head};
pub use flight::{FillError, Flights, Landed};
pub use footer::{
    FACTS_BYTES_MAX, FooterError, Read as FooterRead, read as read_footer, write as write_footer,
};
pub use key::{Key, KeyDigest, Part};
pub use meters::Meters;
pub use order::{BoxFuture, Check, Digests, Expected, Inspect, Inspection, Order, Passed, Refused};
pub use sha256::{Hashing, NotADigest, Sha256};
pub use through::{Bypass, Through};
