//! A path below an upstream channel, in the one encoding that upstreams are asked in.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::location::{FileKind, Location, Resource};
use super::target::{PathToken, RequestTarget};
use crate::byte_set::ByteSet;

/// What to ask an upstream for, relative to the channel's root there: `label/dev/linux-64/x-1.0-0.conda`.
///
/// Made from a [`Location`] only, so that every segment has passed the rules of the grammar: none is empty, begins with a dot,
/// or holds a slash, a backslash or a control character, and a token position cannot be among them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamPath {
    decoded: String,
    // What follows was known when it was made, and is asked for with every request.
    file_at: usize,
    kind: FileKind,
    is_in_subdir: bool,
}

/// Everything but RFC 3986 unreserved characters is escaped: S3 and its kin read a raw `+` as a space.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What is not.
static PLAIN: ByteSet = ByteSet::alphanumeric_and(b"-._~/");

impl UpstreamPath {
    /// The path of `location`; `None` where it names nothing that a channel has.
    pub fn of(location: &Location<'_>) -> Option<Self> {
        let mut decoded = String::with_capacity(96);
        if let Some(label) = location.label {
            push(&mut decoded, &["label", label]);
        }
        match location.resource {
            Resource::ChannelFile(file) => push(&mut decoded, &[file.as_str()]),
            Resource::Icon(file) => push(&mut decoded, &["icons", file.as_str()]),
            Resource::SubdirFile(subdir, file) => push(&mut decoded, &[subdir.as_str(), file.as_str()]),
            Resource::Shard(subdir, file) => push(&mut decoded, &[subdir.as_str(), "shards", file.as_str()]),
            Resource::Nowhere => return None,
        }
        let file = location.file()?;
        let file_at = decoded.len().saturating_sub(file.as_str().len());
        let is_in_subdir = matches!(location.resource, Resource::SubdirFile(..));
        Some(Self { decoded, file_at, kind: file.kind(), is_in_subdir })
    }

    /// The path that [`Self::decoded`] gave, told by somebody else: read by the grammar that a client's request is read by. `None` for what
    /// no request could name.
    pub fn parse(decoded: &str) -> Option<Self> {
        let path = Self::of(&Location::parse(decoded))?;
        let asked = format!("/{}", path.encoded());
        let target = RequestTarget::parse(&asked).ok()?;
        let is_itself =
            *target.token() == PathToken::Absent && target.rest() == decoded && path.decoded == decoded;
        is_itself.then_some(path)
    }

    /// The decoded path, without a leading slash: what a directory is asked for.
    pub fn decoded(&self) -> &str {
        &self.decoded
    }

    /// The path as it goes into a URL, without a leading slash.
    pub fn encoded(&self) -> Cow<'_, str> {
        // Nearly always nothing is escaped, and then nothing is copied.
        if PLAIN.has_all(self.decoded.as_bytes()) {
            return Cow::Borrowed(&self.decoded);
        }
        utf8_percent_encode(&self.decoded, ESCAPED).into()
    }

    /// The directory, decoded, with a slash behind it if it is not the channel's root; and the last segment.
    pub fn split(&self) -> (&str, &str) {
        self.decoded.split_at_checked(self.file_at).unwrap_or_default()
    }

    /// The last segment, decoded.
    pub fn file_name(&self) -> &str {
        self.split().1
    }

    /// What the file's name says it is.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// The same as [`Self::split`] of a package that stands where packages do: in a platform's directory.
    pub fn package(&self) -> Option<(&str, &str)> {
        (self.is_in_subdir && self.kind == FileKind::Package).then(|| self.split())
    }
}

fn push(path: &mut String, segments: &[&str]) {
    for segment in segments {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(segment);
    }
}
