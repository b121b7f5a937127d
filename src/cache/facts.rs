//! What is known of an object besides its bytes. Kept in the object's own file, behind the body (`footer.rs`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::key::{Key, Part};
use super::sha256::Sha256;
use crate::clock::Timestamp;
use crate::conda::ChannelName;
use crate::semantics::{CacheControl, EntityTag, Modified, Validators};
use crate::upstream::UpstreamsId;

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Facts {
    /// The gate's channel.
    pub channel: ChannelName,
    /// The upstreams that the channel had.
    pub upstreams: UpstreamsId,
    /// The decoded path below the channel.
    pub path: String,
    /// Which of the things kept for the path.
    pub part: Part,
    /// Bytes of the body.
    pub length: u64,
    /// The digest of the body.
    pub sha256: Sha256,
    /// How the bytes are known to be right.
    pub proof: Proof,
    /// The upstream's entity tag.
    pub etag: Option<EntityTag>,
    /// The upstream's `Last-Modified`, to the second.
    pub last_modified: Option<SystemTime>,
    /// The upstream's freshness directives.
    pub cache_control: CacheControl,
    /// Of an index: the digest of its decompressed document.
    pub generation: Option<Sha256>,
    /// Where it came from, for people: an origin or a directory, nothing secret.
    pub upstream: String,
    /// When it was fetched.
    pub fetched_at: Timestamp,
}

/// How an object's bytes are known to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// They have the digest that the channel's index names.
    Index,
    /// They have the digest that their own name is.
    Name,
    /// They are an index that passed inspection.
    Inspected,
    /// They are an index that passed inspection, but one that leads clients past the gate: what is made of it may be served, and it itself
    /// must not.
    Leading,
    /// By nothing: no digest was known, and they are checked against the one that they had when they came.
    Unproven,
}

impl Proof {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Name => "name",
            Self::Inspected => "inspected",
            Self::Leading => "leading",
            Self::Unproven => "unproven",
        }
    }
}

impl Facts {
    /// The key of the object.
    pub fn key(&self) -> Key {
        Key::of(self)
    }

    /// The validators that clients are told: the upstream's if its tag is strong, else a tag made of the digest; and a date always.
    pub fn served_validators(&self) -> Validators {
        let told = self.etag.as_ref().filter(|etag| etag.is_strong()).cloned();
        let fetched_at = u64::try_from(self.fetched_at.as_millis() / 1_000).unwrap_or(0);
        Validators {
            etag: Some(told.unwrap_or_else(|| EntityTag::strong(&format!("sha256-{}", self.sha256)))),
            last_modified: self
                .last_modified
                .or_else(|| UNIX_EPOCH.checked_add(Duration::from_secs(fetched_at)))
                .map(|modified| Modified::from(modified).written()),
        }
    }

    /// Both validators of the upstream.
    pub fn validators(&self) -> Validators {
        Validators { etag: self.etag.clone(), last_modified: self.last_modified.map(Modified::from) }
    }
}

/// The facts as JSON. Readers of other versions pass over what they do not know.
#[derive(Serialize, Deserialize)]
struct Written {
    channel: String,
    upstreams: String,
    path: String,
    #[serde(default)]
    part: Part,
    length: u64,
    sha256: Sha256,
    proof: Proof,
    /// Each byte of the header as the character of that number: an entity tag need not be UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// Seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_modified: Option<u64>,
    #[serde(default)]
    cache_control: CacheControl,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<Sha256>,
    upstream: String,
    /// Milliseconds since the Unix epoch.
    fetched_at: i64,
}

impl From<Facts> for Written {
    fn from(facts: Facts) -> Self {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self {
            channel: facts.channel.as_str().to_owned(),
            upstreams: facts.upstreams.to_string(),
            path: facts.path,
            part: facts.part,
            length: facts.length,
            sha256: facts.sha256,
            proof: facts.proof,
            etag: facts
                .etag
                .map(|etag| etag.as_header().as_bytes().iter().map(|&byte| char::from(byte)).collect()),
            last_modified: facts.last_modified.map(seconds),
            cache_control: facts.cache_control,
            generation: facts.generation,
            upstream: facts.upstream,
            fetched_at: facts.fetched_at.as_millis(),
        }
    }
}

impl TryFrom<Written> for Facts {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if !is_below_a_channel(&written.path) {
            return Err("the path is none that a channel can have".to_owned());
        }
        let etag = |text: String| -> Option<EntityTag> {
            let bytes: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(char).ok()).collect();
            EntityTag::parse(&HeaderValue::from_bytes(&bytes?).ok()?)
        };
        let etag = match written.etag {
            Some(text) => Some(etag(text).ok_or("the entity tag is none")?),
            None => None,
        };
        let last_modified = match written.last_modified {
            Some(seconds) => {
                let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
                Some(time.ok_or("the modification time is none")?)
            }
            None => None,
        };
        Ok(Self {
            channel: ChannelName::parse(&written.channel).map_err(|error| error.to_string())?,
            upstreams: written.upstreams.parse().map_err(|error| format!("{error}"))?,
            path: written.path,
            part: written.part,
            length: written.length,
            sha256: written.sha256,
            proof: written.proof,
            etag,
            last_modified,
            cache_control: written.cache_control,
            generation: written.generation,
            upstream: written.upstream,
            fetched_at: Timestamp::from_millis(written.fetched_at),
        })
    }
}

/// True for what [`UpstreamPath`](crate::conda::UpstreamPath) could hold: no segment is empty, begins with a dot, or holds what a path
/// must not.
fn is_below_a_channel(path: &str) -> bool {
    path.split('/').all(|segment| {
        let is_odd = |char: char| char.is_control() || matches!(char, '\\' | '%');
        !segment.is_empty() && !segment.starts_with('.') && !segment.chars().any(is_odd)
    })
}
