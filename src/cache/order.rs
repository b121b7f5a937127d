//! What is ordered from a flight, and how its bytes are to be proven. What proves them is the index's, which is a layer above: it hands in
//! [`Digests`] and [`Inspect`].

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::Object;
use super::key::Key;
use super::sha256::Sha256;
use crate::conda::UpstreamPath;
use crate::upstream::{Lead, Upstreams};

/// A future behind a pointer: what a trait that is chosen at run time gives.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One file that is wanted.
#[derive(Clone)]
pub struct Order {
    /// Where it is kept.
    pub key: Key,
    /// What the upstreams call it.
    pub path: UpstreamPath,
    /// Where it is, if an index said that it is not at its path.
    pub at: Option<Lead>,
    /// Who is asked.
    pub upstreams: Arc<Upstreams>,
    /// How its bytes are proven.
    pub check: Check,
    /// The object of the same key that whoever orders has found and does not want to serve as it is: the upstream is asked whether it is
    /// current, and it is not given out again unless the upstream says so. To be set even if the object has no validators. A file that is
    /// proven by a digest is never asked for conditionally: the digest decides, and not what the upstream says of its own copy.
    pub held: Option<Object>,
}

/// How the bytes of a file are proven.
#[derive(Clone)]
pub enum Check {
    /// By the digest and size that the channel's index names: a package.
    Digests(Arc<dyn Digests>),
    /// By this digest.
    Named(Sha256),
    /// By an inspection, before anybody gets a byte: an index, a shard.
    Inspect(Arc<dyn Inspect>),
    /// By nothing but that all of it came.
    None,
}

/// What the channel's index says of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The digest of its bytes.
    pub sha256: Option<Sha256>,
    /// Their number.
    pub size: Option<u64>,
}

impl Expected {
    /// True unless it says otherwise.
    pub fn fits(&self, sha256: Sha256, length: u64) -> bool {
        self.sha256.is_none_or(|expected| expected == sha256) && self.size.is_none_or(|size| size == length)
    }
}

/// Knows what the channel's index says of one file. A fill waits for its answers: they have to come within a bound of its own.
pub trait Digests: Send + Sync {
    /// What the indexes that the gate holds say at this moment. Asks no upstream and waits for nobody.
    fn known(&self) -> BoxFuture<'_, Option<Expected>>;

    /// What the index says; `None` if none can be had or none names the file. May fetch the index. With `anew` an index that is held is
    /// first revalidated: what it said was contradicted by a file.
    fn expected(&self, anew: bool) -> BoxFuture<'_, Option<Expected>>;
}

/// Inspects files before they are served.
pub trait Inspect: Send + Sync {
    /// Begins with one file that comes from the upstream of this number. Called where it may block.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] if too many inspections are under way; else what the system said.
    fn begin(&self, upstream: usize) -> io::Result<Box<dyn Inspection>>;
}

/// The inspection of one file. Called where it may block.
pub trait Inspection: Send {
    /// The next bytes of the file.
    ///
    /// # Errors
    ///
    /// The file must not be served; the rest of it is not needed.
    fn chunk(&mut self, chunk: &Bytes) -> Result<(), Refused>;

    /// There are no more bytes.
    ///
    /// # Errors
    ///
    /// The file must not be served.
    fn end(self: Box<Self>) -> Result<Passed, Refused>;
}

/// What an inspection found out about a file that may be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Of an index: the digest of its decompressed document.
    pub generation: Option<Sha256>,
    /// Of an index: it leads clients past the gate, and must not be served as it is.
    pub leads_away: bool,
}

/// A file must not be served.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(
    /// Why; its text is a sentence for people.
    pub Arc<dyn Error + Send + Sync>,
);

impl Refused {
    /// Refused for this reason.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(reason.into()))
    }
}
