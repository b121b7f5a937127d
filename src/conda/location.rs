//! What a path names inside its channel.

use super::segment::segments;
use super::subdir::Subdir;

/// The label that a channel without one stands for.
pub const DEFAULT_LABEL: &str = "main";

/// The part of a path behind the channel: an optional label, and what is asked for under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'t> {
    /// The label, as written; `None` is the channel itself, which stands for its label `main`.
    pub label: Option<&'t str>,
    /// What is asked for.
    pub resource: Resource<'t>,
}

/// A thing that a channel can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'t> {
    /// A file of the channel as a whole: `channeldata.json`, `notices.json`, `rss.xml`, …
    ChannelFile(FileName<'t>),
    /// A picture that `channeldata.json` points to: `icons/<file>`.
    Icon(FileName<'t>),
    /// A file of a platform directory: an index or a package, or a shard kept beside the index.
    SubdirFile(Subdir<'t>, FileName<'t>),
    /// A shard in the folder where CEP 16 servers keep them: `<subdir>/shards/<sha256>.msgpack.zst`.
    Shard(Subdir<'t>, FileName<'t>),
    /// Nothing that a channel has: the answer is 404, after authorization.
    Nowhere,
}

impl<'t> Location<'t> {
    /// Reads what follows the channel's name in a decoded path.
    pub fn parse(tail: &'t str) -> Self {
        let (label, tail) = match tail.strip_prefix("label/").and_then(|after| after.split_once('/')) {
            Some((label, tail)) => (Some(label), tail),
            None => (None, tail),
        };
        Self { label, resource: Resource::parse(tail) }
    }

    /// The file asked for, if any.
    pub fn file(&self) -> Option<FileName<'t>> {
        match self.resource {
            Resource::ChannelFile(file) | Resource::Icon(file) => Some(file),
            Resource::SubdirFile(_, file) | Resource::Shard(_, file) => Some(file),
            Resource::Nowhere => None,
        }
    }

    /// True for the channel's `notices.json` (CEP 6), which conda asks for without its token.
    pub fn is_notices(&self) -> bool {
        matches!(self.resource, Resource::ChannelFile(file) if file.as_str() == "notices.json")
    }
}

impl<'t> Resource<'t> {
    fn parse(tail: &'t str) -> Self {
        let mut segments = segments(tail);
        let first = segments.next().filter(|segment| !segment.is_empty());
        let file = |name| FileName(name);
        match (first, segments.next(), segments.next(), segments.next()) {
            (Some(name), None, None, None) if Subdir::parse(name).is_none() && name != "label" => {
                Self::ChannelFile(file(name))
            }
            (Some("icons"), Some(name), None, None) => Self::Icon(file(name)),
            (Some(subdir), Some(name), None, None) => {
                Subdir::parse(subdir).map_or(Self::Nowhere, |subdir| Self::SubdirFile(subdir, file(name)))
            }
            (Some(subdir), Some("shards"), Some(name), None) if file(name).kind() == FileKind::Shard => {
                Subdir::parse(subdir).map_or(Self::Nowhere, |subdir| Self::Shard(subdir, file(name)))
            }
            _ => Self::Nowhere,
        }
    }
}

/// The last segment of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileName<'t>(&'t str);

/// What a file is, told by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A package: `.conda`, `.tar.bz2`, or a `.whl` of a v3 index.
    Package,
    /// An index of packages in any of its forms.
    Index,
    /// A shard of an index (CEP 16), named by its own digest and therefore immutable.
    Shard,
    /// Anything else.
    Other,
}

const INDEX_STEMS: [&str; 3] = ["repodata.json", "current_repodata.json", "repodata_from_packages.json"];

impl<'t> FileName<'t> {
    /// The name as decoded.
    pub fn as_str(&self) -> &'t str {
        self.0
    }

    /// What the name says the file is.
    pub fn kind(&self) -> FileKind {
        let name = self.0;
        if name.ends_with(".conda") || name.ends_with(".tar.bz2") || name.ends_with(".whl") {
            return FileKind::Package;
        }
        if let Some(digest) = name.strip_suffix(".msgpack.zst") {
            let is_digest = digest.len() == 64
                && digest.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
            return match digest {
                "repodata_shards" | "repodata_shards_from_packages" => FileKind::Index,
                _ if is_digest => FileKind::Shard,
                _ => FileKind::Other,
            };
        }
        let stem = name.strip_suffix(".zst").or_else(|| name.strip_suffix(".bz2")).unwrap_or(name);
        if INDEX_STEMS.contains(&stem) || name == "repodata.jlap" { FileKind::Index } else { FileKind::Other }
    }
}
