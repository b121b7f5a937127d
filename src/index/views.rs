//! What a caller may see of a channel's files: the upstream's own bytes where nothing must change, else what the gate makes.
//!
//! For a directory (`[label/L/]subdir/`) one document is the truth: the newest generation of the `repodata.json` family, or what is put
//! together of shards where the upstream has nothing else. What a [`View`] shows of it is chosen once ([`Sight`]), and everything that is
//! served of the directory follows from that choice: all its indexes, its shards, and which of its packages there are.
//!
//! | asked for | by a whole view | by another |
//! | --- | --- | --- |
//! | `repodata.json`, `.json.zst` | the upstream's, if it has it and nothing in it leads elsewhere, else made | the same if nothing is hidden, else made |
//! | `current_repodata.json`, `repodata_from_packages.json` | likewise, but 404 where it has none | made of the upstream's own |
//! | `run_exports.json`, `channeldata.json` | the upstream's | made of the upstream's own |
//! | `repodata_shards.msgpack.zst` and its shards | the upstream's; made where it has none, or lies about them | made |
//! | `.json.bz2`, `repodata.jlap`, `patch_instructions.json` | the upstream's, if nothing is rewritten, else 404 | 404 |
//! | a package | the upstream's | 404 or 451 by its name, before anything is asked; 404 if no index lists it; 451 if it is too young |
//! | `notices.json` | the upstream's | the upstream's |
//! | anything else | the upstream's | 404 |
//!
//! # What is made
//!
//! is an object of the cache, as a part of its path's key that names the view (`Part::View`, `Part::Pack`), with the digest of its *recipe* in
//! the place of a generation: the documents it is made of and what is shown of them. An object with another recipe is old: it is made again,
//! by one for all who want it, and the old one is there until the new one is whole; where making fails it is served in its place, for as long
//! as a file could be whose upstream fails. Callers with the same rights share it. Freshness is the source's.
//!
//! | file | owns |
//! | --- | --- |
//! | `views/truth.rs`, `views/assembled.rs` | the document of a directory: fetched, or put together of shards; and in memory |
//! | `views/sight.rs` | which of its records a view shows, and for how long that holds |
//! | `views/made.rs` | one made object: found, made, or its predecessor |
//! | `views/documents.rs` | the JSON representations, run exports and channel data |
//! | `views/shards.rs` | shard indexes and shards |
//! | `views/packages.rs` | packages under a view |
//! | `views/held.rs` | what is held, and what a view shows of it, for people |
//!
//! It must never serve a byte of an upstream's index to a view that it hides something from. Read `views/sight.rs` next.

mod assembled;
mod documents;
mod held;
mod made;
mod packages;
mod shards;
mod sight;
mod truth;

use std::sync::Arc;

use super::family::Family;
use super::indexes::{Indexes, Origin};
use super::{Coding, IndexKind};
use crate::cache::{CacheError, FillError, Kind, Object, Proof, Sha256, Supply, Want};
use crate::clock::Timestamp;
use crate::conda::{ChannelName, FileKind, Location, Resource, UpstreamPath};
use crate::policy::View;
use crate::upstream::{Lead, Method, Upstreams};

pub use self::held::{Held, JudgeError, Judged, Tally};
pub use self::sight::Sight;
pub(super) use self::sight::Sights;

/// One file that somebody wants, who may see this much of its channel.
pub struct Wanted<'a> {
    /// The gate's channel.
    pub channel: &'a ChannelName,
    /// Where its files come from.
    pub upstreams: &'a Arc<Upstreams>,
    /// Which file.
    pub path: &'a UpstreamPath,
    /// The bytes, or only what would be said of them.
    pub method: Method,
    /// What may be seen.
    pub view: &'a View,
}

/// A file that is passed on as the upstream has it.
pub struct Passing {
    /// Where it is, if an index said that it is not at its path.
    pub at: Option<Lead>,
}

/// Why there is no file to serve.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// It is not there, not to be had, or not to be seen.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A rule of the channel blocks it.
    #[error("a rule of the channel blocks it")]
    Blocked {
        /// What the rule says of that.
        reason: Option<String>,
    },
    /// A rule of the channel holds it back.
    #[error("a rule of the channel holds it back for some time")]
    Quarantined {
        /// What the rule says of that.
        reason: Option<String>,
        /// Until then.
        until: Timestamp,
    },
    /// Nobody knows when its directory's files were first seen: the store does not answer.
    #[error("the store does not answer, and nothing is known of when this channel's files were first seen")]
    Unsettled,
}

impl From<FillError> for SupplyError {
    fn from(error: FillError) -> Self {
        Self::Cache(error.into())
    }
}

impl SupplyError {
    /// That there is no such file, as if the upstream had said so.
    const MISSING: Self = Self::Cache(CacheError::Missing { remembered: false });
}

/// What a path is to a view.
enum Subject<'p> {
    /// An index in JSON.
    Document(Family<'p>, Coding),
    /// `run_exports.json` of this directory, in any coding.
    Exports(&'p str, Coding),
    /// The shard index of this directory.
    ShardIndex(&'p str),
    /// A shard of this directory.
    Shard(&'p str, Sha256),
    /// `channeldata.json` below this, which is empty or a label's directory.
    Names(&'p str),
    /// What says something of a directory's documents as they are at the upstream.
    Delta(&'p str),
    /// A package of this directory, by this name.
    Package(&'p str, &'p str),
    /// `notices.json`.
    Notices,
    /// Anything else.
    Other,
}

impl<'p> Subject<'p> {
    fn of(path: &'p UpstreamPath) -> Self {
        if let Some((directory, file)) = path.package() {
            return Self::Package(directory, file);
        }
        let (directory, file) = path.split();
        let path = path.decoded();
        let location = Location::parse(path);
        match location.resource {
            Resource::ChannelFile(_) if file == "channeldata.json" => Self::Names(directory),
            Resource::ChannelFile(_) if file == "notices.json" => Self::Notices,
            Resource::Shard(_, name) => match digest_in(name.as_str()) {
                Some(digest) => Self::Shard(directory.strip_suffix("shards/").unwrap_or(directory), digest),
                None => Self::Other,
            },
            Resource::SubdirFile(_, name) => Self::beside(path, directory, name.as_str()),
            _ => Self::Other,
        }
    }

    /// A file that stands in a platform's directory and is no package.
    fn beside(path: &'p str, directory: &'p str, file: &'p str) -> Self {
        let coding = |stem: &str| match file.strip_prefix(stem) {
            Some("") => Some(Coding::Plain),
            Some(".zst") => Some(Coding::Zstd),
            _ => None,
        };
        if let Some(family) = Family::of(path) {
            return Self::Document(family, IndexKind::of(file).map_or(Coding::Plain, IndexKind::coding));
        }
        if let Some(coding) = coding("run_exports.json") {
            return Self::Exports(directory, coding);
        }
        match (file, digest_in(file)) {
            ("repodata_shards.msgpack.zst", _) => Self::ShardIndex(directory),
            ("repodata.jlap" | "patch_instructions.json", _) => Self::Delta(directory),
            (_, Some(digest)) => Self::Shard(directory, digest),
            (_, None) => Self::Other,
        }
    }
}

/// True for an index that must not be served as it is.
fn leads_away(index: &Object) -> bool {
    index.facts().proof == Proof::Leading
}

/// The digest that a shard's name is.
fn digest_in(file: &str) -> Option<Sha256> {
    file.strip_suffix(".msgpack.zst")?.parse().ok()
}

impl Indexes {
    /// Gets any file of a channel for somebody who may see `wanted.view` of it. Indexes and shards are got whole, for GET and HEAD alike.
    ///
    /// # Errors
    ///
    /// [`SupplyError`]. [`FillError::Unkept`] in it where the cache has no room for an index or may not keep it: of a whole view,
    /// [`super::Inspector`] can then be asked.
    pub async fn supply(&self, wanted: &Wanted<'_>) -> Result<Supply, SupplyError> {
        let origin = Origin { channel: wanted.channel.clone(), upstreams: Arc::clone(wanted.upstreams) };
        let subject = Subject::of(wanted.path);
        let lists = matches!(subject, Subject::Document(..) | Subject::ShardIndex(_));
        let supply = if wanted.view.is_whole() {
            self.supply_whole(&origin, wanted, subject).await
        } else {
            Box::pin(self.supply_part(&origin, wanted, subject)).await
        };
        if lists && supply.is_ok() && wanted.view.only_observes() {
            let (directory, _) = wanted.path.split();
            Box::pin(self.0.observed(&origin, wanted.view, directory, None)).await;
        }
        match supply {
            // Whatever came of it, no such index leaves the gate.
            Ok(Supply::Object(object, _)) if leads_away(&object) => Err(FillError::Broken.into()),
            supply => supply,
        }
    }

    /// Whether a file, if there is one, is to be passed on as the upstream has it; `None` for what may have to be made. For who keeps no files.
    ///
    /// # Errors
    ///
    /// [`SupplyError`] for what the view does not show.
    pub async fn admit(&self, wanted: &Wanted<'_>) -> Result<Option<Passing>, SupplyError> {
        let origin = Origin { channel: wanted.channel.clone(), upstreams: Arc::clone(wanted.upstreams) };
        let is_whole = wanted.view.is_whole();
        match Subject::of(wanted.path) {
            Subject::Document(..) | Subject::ShardIndex(_) | Subject::Shard(..) => Ok(None),
            Subject::Package(directory, file) => {
                if is_whole {
                    self.0.count_shadows(&origin, wanted.view, directory, file).await;
                } else {
                    Box::pin(self.0.admit_package(&origin, wanted, directory, file)).await?;
                }
                let at = if self.0.sources_lead_away(&origin, directory).await {
                    Box::pin(self.package(wanted.channel, wanted.upstreams, wanted.path).lead()).await
                } else {
                    None
                };
                Ok(Some(Passing { at }))
            }
            Subject::Delta(directory) if is_whole && self.0.is_rewritten(&origin, directory).await => {
                Err(SupplyError::MISSING)
            }
            Subject::Notices => Ok(Some(Passing { at: None })),
            _ if is_whole => Ok(Some(Passing { at: None })),
            Subject::Exports(..) | Subject::Names(_) => Ok(None),
            Subject::Delta(_) | Subject::Other => Err(SupplyError::MISSING),
        }
    }

    /// For who may see all: the upstream's own wherever that keeps clients at the gate.
    async fn supply_whole(
        &self,
        origin: &Origin,
        wanted: &Wanted<'_>,
        subject: Subject<'_>,
    ) -> Result<Supply, SupplyError> {
        match subject {
            Subject::Document(family, coding) => {
                Box::pin(self.0.own_or_made_document(origin, wanted, &family, coding)).await
            }
            Subject::ShardIndex(directory) => {
                Box::pin(self.0.own_or_made_shard_index(origin, wanted, directory)).await
            }
            Subject::Shard(directory, digest) => {
                Box::pin(self.0.own_or_made_shard(origin, wanted, directory, digest)).await
            }
            Subject::Delta(directory) if self.0.is_rewritten(origin, directory).await => {
                Err(SupplyError::MISSING)
            }
            Subject::Package(directory, file) => {
                self.0.count_shadows(origin, wanted.view, directory, file).await;
                Ok(self.plain(wanted).await?)
            }
            _ => Ok(self.plain(wanted).await?),
        }
    }

    /// For who may not see all.
    async fn supply_part(
        &self,
        origin: &Origin,
        wanted: &Wanted<'_>,
        subject: Subject<'_>,
    ) -> Result<Supply, SupplyError> {
        match subject {
            Subject::Document(family, coding) => self.0.document(origin, wanted, &family, coding).await,
            Subject::Exports(directory, coding) => self.0.exports(origin, wanted, directory, coding).await,
            Subject::Names(above) => self.0.channel_names(origin, wanted, above).await,
            Subject::ShardIndex(directory) => self.0.made_shard_index(origin, wanted.view, directory).await,
            Subject::Shard(directory, digest) => {
                self.0.made_shard(origin, wanted.view, directory, digest).await
            }
            Subject::Package(directory, file) => {
                self.0.admit_package(origin, wanted, directory, file).await?;
                Ok(self.plain(wanted).await?)
            }
            Subject::Notices => Ok(self.plain(wanted).await?),
            Subject::Delta(_) | Subject::Other => Err(SupplyError::MISSING),
        }
    }

    async fn plain(&self, wanted: &Wanted<'_>) -> Result<Supply, CacheError> {
        let &Wanted { channel, upstreams, path, method, .. } = wanted;
        self.supply_plain(channel, upstreams, path, method).await
    }

    /// Gets a file as the upstream has it, whatever a view would show of it: an index or a shard inspected, a package with what proves it, and
    /// everything else as metadata. For who keeps files and serves none.
    ///
    /// # Errors
    ///
    /// As [`Cache::fetch`](crate::cache::Cache::fetch). [`CacheError::Missing`] for an index that would lead clients past the gate.
    pub async fn supply_plain(
        &self,
        channel: &ChannelName,
        upstreams: &Arc<Upstreams>,
        path: &UpstreamPath,
        method: Method,
    ) -> Result<Supply, CacheError> {
        if IndexKind::of(path.file_name()).is_some() {
            return self.fetch(channel, upstreams, path).await;
        }
        let want = Want { channel, upstreams, path, at: None, method, kind: Kind::Metadata, anew: false };
        match path.kind() {
            FileKind::Package => self.supply_package(want).await,
            FileKind::Index | FileKind::Shard | FileKind::Other => self.cache().fetch(&want).await,
        }
    }
}
