//! The indexes of the gate's channels, from the cache: inspected, and in all representations of one generation.
//!
//! A client may ask for `repodata.json.zst` now and for `repodata.json` a minute later, and two clients for one each; who is told of a
//! package by one must find it in the other. So an older generation is never served where a newer one of the same document is held:
//!
//! | step | |
//! | --- | --- |
//! | what is asked for is fetched as any index is, fresh or stale or revalidated | [`Cache::fetch`] |
//! | it is of the newest generation that was seen: serve it | |
//! | it was last asked for before that one came: ask the upstream for it once more | the upstream has caught up, mostly |
//! | the upstream lags behind with it, or does not answer: make it of the newest that is held | `making.rs`; `.bz2` is 404 instead |
//!
//! Which of two is newer is `family.rs`'s. What was seen is remembered in memory, and read off the disk when the memory has nothing; it is a
//! reason to ask, never a reason to serve nothing: what was evicted counts no more. What is made of another is served under that one's
//! freshness. When a new generation arrives, what its directory's packages are checked against is looked up anew, and files that were
//! missing are asked for again.
//!
//! What it says of packages is `digests.rs`'s; read that next.

use std::sync::Arc;

use hashbrown::Equivalent;
use moka::sync::Cache as Memory;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::digests::{Knowledge, PackageDigests};
use super::family::{Family, Generation, split};
use super::inspecting::{Bench, Inspecting};
use super::inspector::Config;
use super::leads::Surroundings;
use super::making::{Section, make};
use super::seen::Seen;
use super::views::Sights;
use super::{Coding, IndexKind};
use crate::cache::{
    Bypass, Cache, CacheError, CacheStatus, Digests, DraftError, FillError, Inspect, Key, Kind, Object, Part,
    Proof, Rules, Sha256, Supply, Want,
};
use crate::clock::Clock;
use crate::conda::{ChannelName, UpstreamPath, redact};
use crate::metrics::{Inspection, Metrics};
use crate::upstream::{FetchError, Method, Upstreams, UpstreamsId};

/// The indexes of one configuration's channels. Clones share everything.
#[derive(Clone)]
pub struct Indexes(pub(super) Arc<Shared>);

/// What the clones share.
pub(super) struct Shared {
    pub(super) cache: Cache,
    pub(super) bench: Arc<Bench>,
    pub(super) knowledge: Knowledge,
    /// The newest generation that was seen of each family.
    newest: Memory<Place, Generation>,
    /// One at a time makes a file; by the digest of its key.
    pub(super) making: [Mutex<()>; 16],
    /// What views show.
    pub(super) sights: Sights,
    /// The shard indexes that lie about their shards, by their directories.
    pub(super) lying: Memory<Place, Sha256>,
    /// When files were first seen, if there is somebody who knows.
    pub(super) seen: Option<Seen>,
}

/// A directory or an index of a channel, as one set of upstreams has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    channel: ChannelName,
    upstreams: UpstreamsId,
    path: String,
}

/// A place that is only asked for. It has the hash of the place that it is.
#[derive(Clone, Copy, Hash)]
pub(super) struct PlaceRef<'a> {
    channel: &'a ChannelName,
    upstreams: UpstreamsId,
    path: &'a str,
}

impl Equivalent<Place> for PlaceRef<'_> {
    fn equivalent(&self, place: &Place) -> bool {
        (self.path, self.upstreams, self.channel) == (&place.path, place.upstreams, &place.channel)
    }
}

/// A channel and where it comes from.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) channel: ChannelName,
    pub(super) upstreams: Arc<Upstreams>,
}

impl Origin {
    pub(super) fn key(&self, path: &UpstreamPath) -> Key {
        Key::new(&self.channel, self.upstreams.id(), path)
    }

    pub(super) fn place_ref<'a>(&'a self, path: &'a str) -> PlaceRef<'a> {
        PlaceRef { channel: &self.channel, upstreams: self.upstreams.id(), path }
    }

    pub(super) fn place(&self, path: &str) -> Place {
        Place { channel: self.channel.clone(), upstreams: self.upstreams.id(), path: path.to_owned() }
    }
}

impl Indexes {
    /// The indexes that `cache` holds and fetches; `seen` knows since when there is what they name.
    pub fn new(config: Config, cache: Cache, seen: Option<Seen>, clock: Clock, metrics: Metrics) -> Self {
        let memory_bytes_max = config.memory_bytes_max;
        let disk = cache.disk().clone();
        Self(Arc::new(Shared {
            knowledge: Knowledge::new(config.inspections_max),
            bench: Arc::new(Bench::new(config, disk, clock, metrics)),
            cache,
            newest: Memory::new(FAMILIES_MAX),
            making: Default::default(),
            sights: Sights::new(memory_bytes_max),
            lying: Memory::new(FAMILIES_MAX),
            seen,
        }))
    }

    /// The same cache's indexes after a reload. What was remembered is read off the disk again.
    #[must_use]
    pub fn under(&self, config: Config, rules: Rules) -> Self {
        let bench = &self.0.bench;
        let (cache, seen) = (self.0.cache.under(rules), self.0.seen.clone());
        Self::new(config, cache, seen, bench.clock.clone(), bench.metrics.clone())
    }

    /// The cache that they are in.
    pub fn cache(&self) -> &Cache {
        &self.0.cache
    }

    /// Gets an index or a shard, whole: for GET and HEAD alike, because nothing can be said of an index that was not read.
    ///
    /// # Errors
    ///
    /// As [`Cache::fetch`] does. [`FillError::Unkept`] where the cache has no room for it or may not keep it: [`super::Inspector`] can then
    /// be asked.
    pub async fn fetch(
        &self,
        channel: &ChannelName,
        upstreams: &Arc<Upstreams>,
        path: &UpstreamPath,
    ) -> Result<Supply, CacheError> {
        let origin = Origin { channel: channel.clone(), upstreams: Arc::clone(upstreams) };
        let supply = self.0.fetch(&origin, path, false).await?;
        self.0.kept_at_the_gate(&origin, path, supply).await
    }

    /// A package, from where the index of its directory says that it is.
    pub(super) async fn supply_package(&self, want: Want<'_>) -> Result<Supply, CacheError> {
        let digests = Arc::new(self.package(want.channel, want.upstreams, want.path));
        let at = digests.lead().await;
        let is_at_path = at.is_none();
        let want = Want { kind: Kind::Package(Arc::clone(&digests) as Arc<dyn Digests>), at, ..want };
        match self.cache().fetch(&want).await {
            Err(CacheError::Missing { remembered }) if is_at_path => {
                match Box::pin(digests.lead_anew()).await {
                    // Nobody had asked for the index, and it says that the package is elsewhere.
                    Some(lead) => {
                        self.cache().forget_missing(&Key::new(want.channel, want.upstreams.id(), want.path));
                        Box::pin(self.cache().fetch(&Want { at: Some(lead), ..want })).await
                    }
                    None => Err(CacheError::Missing { remembered }),
                }
            }
            supply => supply,
        }
    }

    /// What proves the bytes of a package.
    pub fn digests(
        &self,
        channel: &ChannelName,
        upstreams: &Arc<Upstreams>,
        path: &UpstreamPath,
    ) -> Arc<dyn Digests> {
        Arc::new(self.package(channel, upstreams, path))
    }

    pub(super) fn package(
        &self,
        channel: &ChannelName,
        upstreams: &Arc<Upstreams>,
        path: &UpstreamPath,
    ) -> PackageDigests {
        let origin = Origin { channel: channel.clone(), upstreams: Arc::clone(upstreams) };
        let (directory, file) = path.split();
        PackageDigests::new(Arc::clone(&self.0), origin, directory, file)
    }

    /// The inspection that a file has to pass before it is served; `None` for a file that needs none.
    pub fn inspection(
        &self,
        channel: &ChannelName,
        upstreams: &Arc<Upstreams>,
        path: &UpstreamPath,
    ) -> Option<Arc<dyn Inspect>> {
        let origin = Origin { channel: channel.clone(), upstreams: Arc::clone(upstreams) };
        self.0.inspecting(&origin, path).map(|(inspect, _)| inspect)
    }
}

impl Shared {
    /// What may be served of what was fetched: an index that leads past the gate is rewritten first.
    pub(super) async fn kept_at_the_gate(
        &self,
        origin: &Origin,
        path: &UpstreamPath,
        supply: Supply,
    ) -> Result<Supply, CacheError> {
        match supply {
            Supply::Object(object, status) if object.facts().proof == Proof::Leading => {
                match IndexKind::of(path.file_name()) {
                    Some(IndexKind::ShardIndex) => {
                        let made = self.made(origin, path, &object).await.map_err(CacheError::Fill)?;
                        Ok(Supply::Object(made, status))
                    }
                    _ => Err(CacheError::Missing { remembered: false }),
                }
            }
            supply => Ok(supply),
        }
    }

    /// The index at `path`, of the newest generation. With `anew` the upstream is asked even if what is held is fresh.
    pub(super) async fn fetch(
        &self,
        origin: &Origin,
        path: &UpstreamPath,
        anew: bool,
    ) -> Result<Supply, CacheError> {
        let Some(family) = Family::of(path.decoded()) else { return self.ask(origin, path, anew).await };
        let newest = self.newest(origin, &family).await;
        let mut supply = self.ask(origin, path, anew).await;
        if let (Ok(Supply::Object(object, _)), Some(newest)) = (&supply, newest) {
            let is_older = Generation::of(object.facts()).is_some_and(|own| newest.is_newer_than(&own));
            let was_asked = anew || object.validated_at() >= newest.fetched_at;
            if is_older && !was_asked && !self.cache.rules().offline {
                supply = self.ask(origin, path, true).await;
            }
        }
        let own = match &supply {
            Ok(Supply::Object(object, _)) => Generation::of(object.facts()),
            Err(error) if self.is_outage(error) => None,
            _ => return supply,
        };
        if let Some(own) = own.filter(|own| newest.is_none_or(|newest| !newest.is_newer_than(own))) {
            self.saw(origin, &family, own);
            return supply;
        }
        match self.represent(origin, &family, path, own).await {
            Ok(None) => supply,
            Ok(Some(other)) => Ok(other),
            Err(error) => Err(error),
        }
    }

    /// True if the upstream could not be asked, so that another representation may stand in.
    fn is_outage(&self, error: &CacheError) -> bool {
        match error {
            CacheError::Fill(FillError::Broken | FillError::Fetch(FetchError::Unavailable(_))) => true,
            CacheError::Fill(_) => false,
            CacheError::Offline | CacheError::Missing { .. } => self.cache.rules().offline,
        }
    }

    /// One index, of whatever generation.
    async fn ask(&self, origin: &Origin, path: &UpstreamPath, anew: bool) -> Result<Supply, CacheError> {
        let key = origin.key(path);
        let kind = match self.inspecting(origin, path) {
            Some((inspect, Some(named))) => Kind::Shard(named, inspect),
            Some((inspect, None)) => Kind::Index(inspect),
            None => Kind::Metadata,
        };
        let is_shard = matches!(kind, Kind::Shard(..));
        let at = if is_shard { self.lead_of_shard(origin, path).await } else { None };
        let Origin { channel, upstreams } = origin;
        let supply =
            self.cache.fetch(&Want { channel, upstreams, path, at, method: Method::Get, kind, anew }).await;
        match &supply {
            Ok(Supply::Object(_, CacheStatus::Miss | CacheStatus::Replaced)) => {
                if !is_shard {
                    self.knowledge.forget(&origin.place(path.split().0));
                    self.cache.forget_missing(&key);
                }
            }
            Ok(_) => self.bench.metrics.index_inspected(Inspection::Remembered),
            Err(CacheError::Fill(FillError::Broken)) => {
                self.bench.metrics.index_inspected(Inspection::NotRead);
            }
            Err(_) => {}
        }
        supply
    }

    fn inspecting(&self, origin: &Origin, path: &UpstreamPath) -> Option<(Arc<dyn Inspect>, Option<Sha256>)> {
        let file = path.file_name();
        let kind = IndexKind::of(file)?;
        let named = match kind {
            IndexKind::Shard => file.split('.').next().and_then(|name| name.parse().ok()),
            _ => None,
        };
        let (bench, origin, key) = (Arc::clone(&self.bench), origin.clone(), origin.key(path));
        Some((Arc::new(Inspecting { bench, kind, key, origin, path: path.clone(), named }), named))
    }

    /// The newest generation of a family that was seen, or that is held.
    async fn newest(&self, origin: &Origin, family: &Family<'_>) -> Option<Generation> {
        let place = origin.place(&family.name());
        if let Some(seen) = self.newest.get(&place) {
            return Some(seen);
        }
        let held = self.newest_held(origin, family, None).await?;
        let generation = Generation::of(held.facts())?;
        self.newest.insert(place, generation);
        Some(generation)
    }

    /// The newest of a family's files that are held, but for the one at `except`.
    pub(super) async fn newest_held(
        &self,
        origin: &Origin,
        family: &Family<'_>,
        except: Option<&UpstreamPath>,
    ) -> Option<Object> {
        let mut newest: Option<(Generation, Object)> = None;
        for path in family.members().filter(|path| Some(path) != except) {
            let Some(object) = self.bench.disk.peek(&origin.key(&path)).await else { continue };
            let Some(generation) = Generation::of(object.facts()) else { continue };
            if newest.as_ref().is_none_or(|(newest, _)| generation.is_newer_than(newest)) {
                newest = Some((generation, object));
            }
        }
        newest.map(|(_, object)| object)
    }

    /// A generation was seen, which may be the newest.
    fn saw(&self, origin: &Origin, family: &Family<'_>, generation: Generation) {
        self.newest.entry(origin.place(&family.name())).and_upsert_with(|seen| {
            seen.map(|seen| seen.into_value())
                .filter(|seen| seen.digest == generation.digest || seen.is_newer_than(&generation))
                .unwrap_or(generation)
        });
    }

    /// The file at `path` by another of its family, if one is held that is newer than `own`.
    async fn represent(
        &self,
        origin: &Origin,
        family: &Family<'_>,
        path: &UpstreamPath,
        own: Option<Generation>,
    ) -> Result<Option<Supply>, CacheError> {
        let is_newer = |object: &Object| {
            let other = Generation::of(object.facts());
            other.filter(|other| own.is_none_or(|own| other.is_newer_than(&own)))
        };
        let held = self.newest_held(origin, family, Some(path)).await;
        let Some(held) = held.filter(|held| is_newer(held).is_some()) else {
            // What was newer is held no more: what is left is the newest.
            if let Some(own) = own {
                self.newest.insert(origin.place(&family.name()), own);
            }
            return Ok(None);
        };
        let Some(other) = family.members().find(|member| member.decoded() == held.facts().path) else {
            return Ok(None);
        };
        // It may itself be no longer current.
        let (source, status) = match self.ask(origin, &other, false).await? {
            Supply::Object(source, status) => (source, status),
            _ => return Ok(None),
        };
        let Some(generation) = is_newer(&source) else { return Ok(None) };
        self.saw(origin, family, generation);
        if IndexKind::of(path.file_name()).map(IndexKind::coding) == Some(Coding::Bzip2) {
            return Err(CacheError::Missing { remembered: false });
        }
        let made = self.made(origin, path, &source).await.map_err(CacheError::Fill)?;
        Ok(Some(Supply::Object(made, status)))
    }

    /// The file at `path` made of `source`, now or before.
    pub(super) async fn made(
        &self,
        origin: &Origin,
        path: &UpstreamPath,
        source: &Object,
    ) -> Result<Object, FillError> {
        let key = origin.key(path).of_part(Part::Made);
        if let Some(made) = self.made_before(&key, source).await {
            return Ok(made);
        }
        let slot = key.digest().as_bytes().first().map_or(0, |byte| usize::from(*byte)) % self.making.len();
        let _one = match self.making.get(slot) {
            Some(slot) => slot.lock().await,
            None => return Err(FillError::Busy),
        };
        if let Some(made) = self.made_before(&key, source).await {
            return Ok(made);
        }
        let turn = self.bench.turn().await.ok_or(FillError::Busy)?;
        let draft = self.bench.disk.draft(&key, None).await.map_err(|error| unkept(&error))?;
        let (limits, from) = (self.bench.config.limits, source.clone());
        let making = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            make(&key, &from, draft, &limits)
        });
        let made = match making.await {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => return Err(unkept(&error)),
            Err(_) => return Err(FillError::Unkept(Bypass::DiskError)),
        };
        tracing::info!(
            channel = %origin.channel,
            index = %redact::text(path.decoded()),
            from = %redact::text(&source.facts().path),
            "the upstream has no representation of an index, or lags behind with it: it was made of another"
        );
        Ok(self.bench.disk.confirm(&made, source.validated_at()).await)
    }

    async fn made_before(&self, key: &Key, source: &Object) -> Option<Object> {
        let made = self.bench.disk.find(key).await?;
        if made.facts().generation != source.facts().generation {
            return None;
        }
        // It is as old as what it was made of.
        if made.validated_at() < source.validated_at() {
            return Some(self.bench.disk.confirm(&made, source.validated_at()).await);
        }
        Some(made)
    }

    /// Writes the table of an index whose table is lost.
    pub(super) async fn tabulate(&self, origin: &Origin, object: &Object) {
        let file = split(&object.facts().path).1;
        let (Some(kind), Some(turn)) = (IndexKind::of(file), self.bench.turn().await) else { return };
        let number = origin.upstreams.position(&object.facts().upstream).unwrap_or(0);
        let path = UpstreamPath::parse(&object.facts().path);
        let surroundings = path.and_then(|path| Surroundings::new(&origin.upstreams, number, &path));
        let (bench, object, handle) = (Arc::clone(&self.bench), object.clone(), Handle::current());
        let tabulating = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            bench.tabulate(kind, &object.facts().key(), Section::of(&object), surroundings, &handle);
        });
        // A panic was logged; then there is no table.
        let _ = tabulating.await;
    }
}

fn unkept(error: &DraftError) -> FillError {
    tracing::warn!(%error, "an index could not be made of its newer representation");
    FillError::Unkept(match error {
        DraftError::Full => Bypass::DiskFull,
        DraftError::Io(_) | DraftError::OtherFacts => Bypass::DiskError,
    })
}

/// How many families' newest generations are remembered.
const FAMILIES_MAX: u64 = 10_000;
