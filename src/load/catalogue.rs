//! What a channel has that can be asked for, as its indexes say. Pure: reads bytes that somebody fetched.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use http::HeaderValue;
use serde::Deserialize;
use serde::de::{Error as _, Visitor};
use url::Url;

use super::tally::Fault;
use crate::cache::Sha256;
use crate::conda::{LockFile, Subdir, UpstreamPath};
use crate::index::{IndexFault, IndexKind, Limits, offers};

/// A file of a channel.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// Below the channel, percent-encoded.
    pub(super) path: String,
    /// With it, that it is still the same is expected (304).
    pub(super) etag: Option<HeaderValue>,
    /// What its body must have.
    pub(super) sha256: Option<Sha256>,
    /// Bytes, where an index says so.
    pub(super) size: Option<u64>,
}

/// All that may be asked for, by kind.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    pub(super) indexes: Vec<Ask>,
    pub(super) shards: Vec<Ask>,
    pub(super) packages: Vec<Ask>,
    /// What is not there, and was done without.
    pub(super) notes: Vec<String>,
}

/// Why an index of shards is not used.
#[derive(Debug, thiserror::Error)]
pub enum ShardsError {
    /// It is none.
    #[error("cannot be read: {0}")]
    Malformed(String),
    /// Its shards are at another place, which nobody named.
    #[error("says that its shards are elsewhere; bench the place itself, or a gate in front of it")]
    Elsewhere,
}

impl Ask {
    pub(super) fn new(path: String) -> Self {
        Self { path, etag: None, sha256: None, size: None }
    }

    /// What is wrong with a complete answer, if anything.
    pub(super) fn judge(&self, status: u16, bytes: u64, digest: Option<Sha256>) -> Result<(), Fault> {
        match (&self.etag, status) {
            (Some(_), 304) => return Ok(()),
            (None, 200) => {}
            _ => return Err(Fault::of_status(status)),
        }
        let differs =
            |expected: Option<Sha256>| expected.zip(digest).is_some_and(|(one, other)| one != other);
        if differs(self.sha256) || self.size.is_some_and(|size| size != bytes) {
            return Err(Fault::DigestMismatch);
        }
        Ok(())
    }
}

/// The shards that the index of a platform names. `directory` is the platform's, below the channel at `base`.
pub(super) fn shards(
    index: &[u8],
    base: &str,
    directory: &str,
    limits: &Limits,
) -> Result<Vec<Ask>, ShardsError> {
    let decoder = zstd::Decoder::new(index).map_err(|error| ShardsError::Malformed(error.to_string()))?;
    let document: Document = rmp_serde::from_read(decoder.take(limits.decompressed_bytes_max))
        .map_err(|error| ShardsError::Malformed(error.to_string()))?;
    let place = Url::parse(&format!("{base}{directory}/"))
        .and_then(|place| place.join(&document.info.shards_base_url))
        .map_err(|_| ShardsError::Elsewhere)?;
    let below = place.as_str().strip_prefix(base).ok_or(ShardsError::Elsewhere)?;
    let below = if below.is_empty() || below.ends_with('/') { below.to_owned() } else { format!("{below}/") };
    let ask = |Digest(digest): Digest| {
        let sha256 = Sha256::from_bytes(digest);
        Ask { sha256: Some(sha256), ..Ask::new(format!("{below}{sha256}.msgpack.zst")) }
    };
    Ok(document.shards.into_values().map(ask).collect())
}

/// As much of an index of shards as is used (CEP 16).
#[derive(Deserialize)]
struct Document {
    info: Info,
    shards: BTreeMap<String, Digest>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    shards_base_url: String,
}

/// 32 bytes.
struct Digest([u8; 32]);

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Digest, E> {
                bytes.try_into().map(Digest).map_err(|_| E::invalid_length(bytes.len(), &self))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse::<Sha256>().map(|digest| Digest(*digest.as_bytes())).map_err(E::custom)
            }
        }
        deserializer.deserialize_bytes(Bytes).map_err(D::Error::custom)
    }
}

/// A choice of `count` packages among all that the indexes shown to it offer, each as likely as any other.
pub(super) struct Sample {
    chosen: Vec<Ask>,
    seen: u64,
    count: usize,
    random: fastrand::Rng,
}

impl Sample {
    /// The same seed chooses the same packages of the same indexes.
    pub(super) fn new(count: usize, seed: u64) -> Self {
        Self { chosen: Vec::new(), seen: 0, count, random: fastrand::Rng::with_seed(seed) }
    }

    /// Looks at the `repodata` of a platform.
    pub(super) fn look_at(
        &mut self,
        kind: IndexKind,
        index: &[u8],
        directory: &str,
        limits: &Limits,
    ) -> Result<(), IndexFault> {
        offers(kind, index, limits, |file, offer| {
            // What no request can name is not offered by a gate either.
            let Some(path) = UpstreamPath::parse(&format!("{directory}/{file}")) else { return };
            self.seen += 1;
            // Reservoir sampling: nothing else of the index is kept.
            let place = self.random.u64(..self.seen);
            let place = if self.chosen.len() < self.count {
                self.chosen.len()
            } else {
                usize::try_from(place).unwrap_or(usize::MAX)
            };
            if place >= self.count {
                return;
            }
            let sha256 = offer.sha256.as_deref().and_then(|digits| digits.parse().ok());
            let ask = Ask { sha256, size: offer.size, ..Ask::new(path.encoded().into_owned()) };
            match self.chosen.get_mut(place) {
                Some(before) => *before = ask,
                None => self.chosen.push(ask),
            }
        })
    }

    pub(super) fn finish(self) -> Vec<Ask> {
        self.chosen
    }
}

/// The packages of a lock file that are of this channel, wherever the lock file has it from; and how many are of others.
pub(super) fn locked(lock: &LockFile, channel: &str) -> (Vec<Ask>, usize) {
    let mut asks = Vec::new();
    for package in &lock.packages {
        let url = package.url.to_string();
        let mut segments = url.rsplitn(4, '/');
        let (Some(file), Some(subdir), Some(of)) = (segments.next(), segments.next(), segments.next()) else {
            continue;
        };
        let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy();
        let path = UpstreamPath::parse(&format!("{subdir}/{}", decode(file)));
        if let Some(path) = path.filter(|_| of == channel && Subdir::parse(subdir).is_some()) {
            let sha256 = package.sha256.map(Sha256::from_bytes);
            asks.push(Ask { sha256, ..Ask::new(path.encoded().into_owned()) });
        }
    }
    let others = lock.packages.len() - asks.len() + lock.foreign;
    (asks, others)
}

impl Catalogue {
    /// Bytes of one client's packages, as far as the index says.
    pub fn package_bytes(&self) -> u64 {
        self.packages.iter().filter_map(|ask| ask.size).sum()
    }

    /// How many indexes, shards and packages there are.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.indexes.len(), self.shards.len(), self.packages.len())
    }

    /// What is not there, and was done without.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// All of it, in the order that [`super::Plan`] numbers it.
    pub(super) fn all(&self) -> impl Iterator<Item = &Ask> {
        self.indexes.iter().chain(&self.shards).chain(&self.packages)
    }
}

#[cfg(test)]
mod tests;
