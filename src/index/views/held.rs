//! What is held of a channel's indexes, told to people: which directories, of which generation, and what a view shows of each.
//!
//! Reads what is there; of an upstream it asks only where it is told to ([`Indexes::refresh`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::truth::unkept;
use super::{Indexes, SupplyError, leads_away};
use crate::cache::{CacheError, Object, Part, Sha256, Supply};
use crate::clock::Timestamp;
use crate::conda::{ChannelName, UpstreamPath};
use crate::index::family::{Family, split};
use crate::index::indexes::{Origin, Shared};
use crate::index::{Ages, Seen};
use crate::policy::{Artifact, FirstSeen, View, Visibility};
use crate::store::{SeenDigest, StoreError};
use crate::upstream::Upstreams;

/// A directory of a channel, of which an index is held that names all of its packages.
pub struct Held {
    /// `linux-64/`, `label/dev/noarch/`.
    pub directory: String,
    /// The newest index.
    pub source: Object,
    /// How many views' files are held that were made of it or of one before it.
    pub views: usize,
}

/// What an index names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files.
    pub records: usize,
    /// Packages, by name.
    pub packages: usize,
    /// Files that it says were removed.
    pub removed: usize,
}

/// What becomes of the files that an index names under a view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Files that are shown.
    pub visible: usize,
    /// Not granted, or with a record that contradicts the file's name.
    pub hidden: usize,
    /// Withheld by a rule.
    pub blocked: usize,
    /// Withheld by a rule until they are older.
    pub quarantined: usize,
}

impl Held {
    /// True if the index is not served as it is, for it leads elsewhere: everything is made of it.
    pub fn is_rewritten(&self) -> bool {
        leads_away(&self.source)
    }

    /// True if the upstream has nothing but shards, of which the index was put together.
    pub fn is_assembled(&self) -> bool {
        matches!(self.source.facts().part, Part::Assembled(_))
    }
}

impl Indexes {
    /// The directories of a channel of which an index is held, in order.
    pub async fn held(&self, channel: &ChannelName, upstreams: &Arc<Upstreams>) -> Vec<Held> {
        let origin = Origin { channel: channel.clone(), upstreams: Arc::clone(upstreams) };
        let mut directories: BTreeSet<String> = BTreeSet::new();
        let mut assembled: BTreeMap<String, Object> = BTreeMap::new();
        let mut views: BTreeMap<String, BTreeSet<Sha256>> = BTreeMap::new();
        let disk = self.cache().disk();
        let mut walk = disk.walk();
        while let Some(entry) = walk.next().await {
            let facts = &entry.facts;
            if facts.channel != *channel || facts.upstreams != upstreams.id() {
                continue;
            }
            let directory = split(&facts.path).0.to_owned();
            match facts.part {
                Part::File if Family::of(&facts.path) == Some(Family::whole(&directory)) => {
                    directories.insert(directory);
                }
                Part::Assembled(_) => {
                    let Some(object) = disk.peek(&facts.key()).await else { continue };
                    let newest = assembled.entry(directory).or_insert_with(|| object.clone());
                    if newest.facts().fetched_at < object.facts().fetched_at {
                        *newest = object;
                    }
                }
                Part::View(view) | Part::Pack(view) => {
                    views.entry(directory).or_default().insert(view);
                }
                Part::File | Part::Digests | Part::Made => {}
            }
        }
        let mut held = Vec::new();
        directories.extend(assembled.keys().cloned());
        for directory in directories {
            let newest = self.0.newest_held(&origin, &Family::whole(&directory), None).await;
            let Some(source) = newest.or_else(|| assembled.remove(&directory)) else { continue };
            let views = views.get(&directory).map_or(0, BTreeSet::len);
            held.push(Held { directory, source, views });
        }
        held
    }

    /// What an index names.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub async fn tally(&self, held: &Held) -> Result<Tally, SupplyError> {
        let document = self.0.document_of(&held.source).await?;
        Ok(Tally {
            records: document.records().count(),
            packages: document.package_count(),
            removed: document.removed().count(),
        })
    }

    /// What becomes of the files of an index under a view at `now`. What is not recorded as seen counts as just seen; nothing is recorded.
    ///
    /// # Errors
    ///
    /// It cannot be read, or the store does not answer.
    pub async fn judge(
        &self,
        held: &Held,
        view: &View,
        seen: &Seen,
        now: Timestamp,
    ) -> Result<Judged, JudgeError> {
        let document = self.0.document_of(&held.source).await?;
        let digest =
            |record: &crate::index::Record<'_>| SeenDigest::of(record.sha256(), record.file(), record.size());
        let ages: Option<Ages> = match view.longest_quarantine() {
            None => None,
            Some(longest) => {
                let listed = document.records().map(|record| digest(&record)).collect();
                seen.consult(&held.source.facts().channel, &held.directory, longest, listed).await?
            }
        };
        let mut judged = Judged::default();
        for record in document.records() {
            let age = ages.as_ref().map_or(FirstSeen::Baseline, |ages| ages.of(&digest(&record)));
            let package = record.package().filter(|_| !record.is_odd());
            let visibility = package.as_ref().map(|package| view.judge(&Artifact::of(package), age, now));
            let count = match visibility {
                _ if view.is_whole() => &mut judged.visible,
                Some(Visibility::Visible) => &mut judged.visible,
                Some(Visibility::Blocked(_)) => &mut judged.blocked,
                Some(Visibility::Quarantined { .. }) => &mut judged.quarantined,
                Some(Visibility::Hidden) | None => &mut judged.hidden,
            };
            *count += 1;
        }
        Ok(judged)
    }

    /// Asks the upstream of a directory anew for its index, and answers with the newest that there is then.
    ///
    /// # Errors
    ///
    /// [`SupplyError`]; what is held stays.
    pub async fn refresh(
        &self,
        channel: &ChannelName,
        upstreams: &Arc<Upstreams>,
        directory: &str,
    ) -> Result<Object, SupplyError> {
        let origin = Origin { channel: channel.clone(), upstreams: Arc::clone(upstreams) };
        let family = Family::whole(directory);
        let held = self.0.newest_held(&origin, &family, None).await.map(|held| held.facts().path.clone());
        let is_held = |path: &UpstreamPath| held.as_deref() == Some(path.decoded());
        let first = family.members().filter(is_held);
        for path in first.chain(family.members().filter(|path| !is_held(path))) {
            match self.0.fetch(&origin, &path, true).await {
                Ok(Supply::Object(object, _)) => return Ok(object),
                Ok(other) => return Err(unkept(&other).into()),
                Err(CacheError::Missing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.0.assembled_anew(&origin, directory).await
    }
}

impl Shared {
    /// The document of a directory that has nothing but shards, of those that its shard index names now.
    async fn assembled_anew(
        self: &Arc<Self>,
        origin: &Origin,
        directory: &str,
    ) -> Result<Object, SupplyError> {
        if let Some(path) = crate::index::family::beside(directory, "repodata_shards.msgpack.zst") {
            self.fetch(origin, &path, true).await?;
        }
        Ok(self.assembled(origin, directory).await?.0)
    }
}

/// Why nobody can say what a view shows.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] SupplyError),
    /// It is not known when its files were first seen.
    #[error(transparent)]
    Store(#[from] StoreError),
}
