//! Names that a channel of this gate may have.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::subdir::Subdir;

/// A configured channel's name: one or more segments joined by `/`, as `conda-forge` or `repo/main`.
///
/// Each segment matches `[a-z0-9_][a-z0-9_.-]*` (CEP 26) and none is a word that the path grammar needs for itself, so that no
/// name can be mistaken for a token position, a label, a platform directory or one of the gate's own pages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// Longest segment, in bytes (CEP 26).
const SEGMENT_BYTES_MAX: usize = 128;
/// Longest name, in bytes: conda's limit for a whole base URL is 256 (CEP 26).
const NAME_BYTES_MAX: usize = 200;

/// First segments that belong to the gate itself.
const GATE_SEGMENTS: [&str; 12] = [
    "api",
    "authentication",
    "authentications",
    "authentication-type",
    "user",
    "scopes",
    "package",
    "download",
    "device",
    "sign-in",
    "sign-out",
    ".well-known",
];

impl ChannelName {
    /// Reads and checks a name.
    ///
    /// # Errors
    ///
    /// What is wrong with it and what is expected.
    pub fn parse(name: &str) -> Result<Self, ChannelNameError> {
        let refuse = |problem| Err(ChannelNameError { name: name.to_owned(), problem });
        if name.is_empty() {
            return refuse("it is empty");
        }
        if name.len() > NAME_BYTES_MAX {
            return refuse("it is longer than 200 bytes");
        }
        for (index, segment) in name.split('/').enumerate() {
            if index == 0 && GATE_SEGMENTS.contains(&segment) {
                return refuse("its first segment is reserved for the gate itself");
            }
            if segment == "t" || segment == "label" || Subdir::parse(segment).is_some() {
                return refuse(
                    "`t`, `label` and platform names such as `noarch` are reserved in every segment",
                );
            }
            let mut bytes = segment.bytes();
            let begins_well = bytes
                .next()
                .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            let goes_on_well = bytes.all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-')
            });
            if !begins_well || !goes_on_well {
                return refuse("each segment between slashes must match [a-z0-9_][a-z0-9_.-]*");
            }
            if segment.len() > SEGMENT_BYTES_MAX {
                return refuse("a segment is longer than 128 bytes");
            }
        }
        Ok(Self(name.into()))
    }

    /// The name as configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets a map of names be asked with a part of a path.
impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A channel name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" cannot be a channel's name: {problem}")]
pub struct ChannelNameError {
    name: String,
    problem: &'static str,
}
