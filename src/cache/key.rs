//! What an object of the cache is of: a file of a channel, as one set of upstreams has it. Never of a client or its credential.

use std::cell::RefCell;
use std::fmt;
use std::hash::BuildHasher as _;

use hashbrown::DefaultHashBuilder;
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::sha256::{Hashing, Sha256};
use crate::conda::{ChannelName, UpstreamPath};
use crate::upstream::UpstreamsId;

/// Names one object.
///
/// The channel is the gate's, the path is that below the channel (label, subdirectory, file), and the upstreams are those that the channel
/// had when the object was fetched: a channel that is given other upstreams has none of the old ones' objects.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    channel: ChannelName,
    upstreams: UpstreamsId,
    path: String,
    part: Part,
    digest: KeyDigest,
}

/// Which of the things that are kept for one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The file as the upstream sent it.
    #[default]
    File,
    /// The table of package digests that was made from it, where it is an index.
    Digests,
    /// A representation of an index that the gate made of another one of the same generation.
    Made,
    /// The document of a directory whose upstream has nothing but shards, put together of those that a shard index of this digest names.
    Assembled(Sha256),
    /// The file as a view shows it, named by the view's identity.
    View(Sha256),
    /// All shards of a directory as a view shows them, named by the view's identity.
    Pack(Sha256),
}

impl Part {
    /// True for what the gate makes of files of an upstream, and can make again.
    pub fn is_derived(self) -> bool {
        self != Self::File
    }

    /// Its name and what tells it from others of the name.
    fn words(&self) -> (&'static [u8], &[u8]) {
        match self {
            Self::File => (b"file", &[]),
            Self::Digests => (b"digests", &[]),
            Self::Made => (b"made", &[]),
            Self::Assembled(index) => (b"assembled", index.as_bytes()),
            Self::View(view) => (b"view", view.as_bytes()),
            Self::Pack(view) => (b"pack", view.as_bytes()),
        }
    }
}

/// The SHA-256 of a key, by which its object is found in memory and on the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest([u8; 32]);

thread_local! {
    static LATEST: RefCell<Latest> = RefCell::new(Latest {
        slots: [const { None }; LATEST_MAX],
        hash: DefaultHashBuilder::default(),
    });
}

/// The keys of the files that were asked for last, each in the one slot that its path has.
struct Latest {
    slots: [Option<Key>; LATEST_MAX],
    hash: DefaultHashBuilder,
}

impl Latest {
    fn slot(&mut self, path: &str) -> Option<&mut Option<Key>> {
        let hash = usize::try_from(self.hash.hash_one(path) % LATEST_MAX as u64).ok()?;
        self.slots.get_mut(hash)
    }
}

/// Some tens of kilobytes for each thread.
const LATEST_MAX: usize = 256;

impl Key {
    /// The key of a file. What this thread was asked for a moment ago is not digested again.
    pub fn new(channel: &ChannelName, upstreams: UpstreamsId, path: &UpstreamPath) -> Self {
        let path = path.decoded();
        let make = || Self::from_parts(channel.clone(), upstreams, path.to_owned(), Part::File);
        let is_it = |key: &Self| key.path == path && key.upstreams == upstreams && key.channel == *channel;
        LATEST.with_borrow_mut(|latest| match latest.slot(path) {
            Some(Some(key)) if is_it(key) => key.clone(),
            Some(slot) => slot.insert(make()).clone(),
            None => make(),
        })
    }

    /// The key of what else is kept for the same path.
    #[must_use]
    pub fn of_part(&self, part: Part) -> Self {
        Self::from_parts(self.channel.clone(), self.upstreams, self.path.clone(), part)
    }

    /// The key of the file of another name in the same directory.
    pub(super) fn beside(&self, file_name: &str) -> Self {
        let path = match self.path.rsplit_once('/') {
            Some((directory, _)) => format!("{directory}/{file_name}"),
            None => file_name.to_owned(),
        };
        Self::from_parts(self.channel.clone(), self.upstreams, path, Part::File)
    }

    /// The key of the object that has these facts.
    pub(super) fn of(facts: &Facts) -> Self {
        Self::from_parts(facts.channel.clone(), facts.upstreams, facts.path.clone(), facts.part)
    }

    fn from_parts(channel: ChannelName, upstreams: UpstreamsId, path: String, part: Part) -> Self {
        let digest = KeyDigest::new(&channel, upstreams, &path, part);
        Self { channel, upstreams, path, part, digest }
    }

    /// The gate's channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// The upstreams that the object is from.
    pub fn upstreams(&self) -> UpstreamsId {
        self.upstreams
    }

    /// The decoded path below the channel, without a leading slash: [`UpstreamPath::decoded`].
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Which of the things kept for the path.
    pub fn part(&self) -> Part {
        self.part
    }

    /// The digest of all of it.
    pub fn digest(&self) -> KeyDigest {
        self.digest
    }
}

/// `<channel>/<path>`, for people.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.channel, self.path)?;
        match self.part {
            Part::File => Ok(()),
            Part::Digests => f.write_str(" (digests)"),
            Part::Made => f.write_str(" (made here)"),
            Part::Assembled(_) => f.write_str(" (assembled here)"),
            Part::View(_) => f.write_str(" (as a view shows it)"),
            Part::Pack(_) => f.write_str(" (shards made here)"),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self} of {})", self.upstreams)
    }
}

impl KeyDigest {
    fn new(channel: &ChannelName, upstreams: UpstreamsId, path: &str, part: Part) -> Self {
        let (part, of) = part.words();
        let mut hashing = Hashing::new();
        let names = [channel.as_str().as_bytes(), upstreams.as_bytes(), path.as_bytes(), part];
        for piece in names.into_iter().chain((!of.is_empty()).then_some(of)) {
            // With its length before it, so that no two keys have the same bytes.
            hashing.update(&(piece.len() as u64).to_le_bytes());
            hashing.update(piece);
        }
        Self(*hashing.finish().as_bytes())
    }

    /// A digest of which these are the bytes: as the name of an object's file tells.
    pub(super) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Sha256::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({self})")
    }
}
