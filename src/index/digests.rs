//! What the indexes that the gate holds say of a package: what its bytes are verified against.
//!
//! | source | is asked |
//! | --- | --- |
//! | the newest `repodata.json` in any coding | by the table that its inspection left |
//! | the shard of the package's name (CEP 16), which the held shard index names | by reading it once; it is immutable, so the answer is remembered |
//! | `current_repodata.json`, `repodata_from_packages.json` | where neither names the file |
//!
//! Of the first two the one that was fetched later is asked first: a gate whose clients use shards may hold a `repodata.json` from last week.
//! Where nothing that is held names the file, the index is fetched in the background, once for all who wait, and a package waits for it at
//! most [`Config::wait`](super::Config::wait), and only with its end; then it is served without a known digest. What came of looking is
//! remembered for seconds, so that a channel without an index is not asked for one with every package. Where the index could not be had, the
//! packages of the next minute do not wait for it.
//!
//! Clients that install from a lock file ask for packages only. So that a package that was published again reaches them, an index that is
//! beyond its lifetime is asked for in the background when a package is held against it.
//!
//! A file that contradicts its digest makes the index that named it be revalidated, before it is called bad.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache as Memory;
use tokio::sync::{Semaphore, watch};

use super::family::{Family, beside};
use super::indexes::{Origin, Place, Shared};
use super::making::Section;
use super::records::{Said, Sink};
use super::sources::{self, Source, Sources};
use super::table::{Found, NameDigest};
use super::{Findings, IndexKind, Limits, read};
use crate::cache::{BoxFuture, CacheError, Digests, Expected, Object, Sha256, Supply};
use crate::conda::UpstreamPath;
use crate::semantics::Freshness;
use crate::upstream::Lead;

/// What is remembered of the indexes that are held.
pub(super) struct Knowledge {
    pub(super) sources: sources::Shelf,
    /// What shards say of files: immutable.
    shards: Memory<(Sha256, NameDigest), Option<Said>>,
    /// Directories whose index is being looked for, or was; true when that is over.
    searches: Memory<Place, watch::Receiver<bool>>,
    /// Directories whose index could not be had a moment ago.
    failed: Memory<Place, ()>,
    /// How many searches run at once.
    places: Arc<Semaphore>,
}

impl Knowledge {
    pub(super) fn new(searches_max: usize) -> Self {
        Self {
            sources: sources::Shelf::default(),
            shards: Memory::new(SHARD_ANSWERS_MAX),
            searches: Memory::builder().max_capacity(SEARCHES_MAX).time_to_live(SEARCH_LIFETIME).build(),
            failed: Memory::builder().max_capacity(SEARCHES_MAX).time_to_live(FAILURE_HOLDS).build(),
            places: Arc::new(Semaphore::new(searches_max)),
        }
    }

    /// An index of the directory has changed.
    pub(super) fn forget(&self, directory: &Place) {
        self.sources.forget(directory);
    }
}

/// What proves one package.
#[derive(Clone)]
pub(super) struct PackageDigests {
    shared: Arc<Shared>,
    origin: Origin,
    directory: String,
    file: String,
}

impl PackageDigests {
    pub(super) fn new(shared: Arc<Shared>, origin: Origin, directory: &str, file: &str) -> Self {
        Self { shared, origin, directory: directory.to_owned(), file: file.to_owned() }
    }

    /// Where the file is, as the index that is asked first says: `None` if it is at its path.
    pub(super) async fn lead(&self) -> Option<Lead> {
        let sources = self.shared.sources(&self.origin, &self.directory).await;
        if !sources.lead_away() {
            return None;
        }
        match self.listed_in(&sources).await {
            Some(found) => found.at,
            // A package that is too new for the index that is held is where the others are.
            None => self.at_base(sources.first()?),
        }
    }

    /// Where the file is, where no index was held that could have said so: waits for one as long as is allowed.
    pub(super) async fn lead_anew(&self) -> Option<Lead> {
        let sources = self.shared.sources(&self.origin, &self.directory).await;
        if sources.first().is_none() || sources.lack_tables() {
            self.search().await;
        }
        self.lead().await
    }

    /// The file in the directory of packages that an index names.
    fn at_base(&self, source: &Source) -> Option<Lead> {
        let base = source.leads()?.base.as_ref()?;
        Some(base.file_of(&beside(&self.directory, &self.file)?))
    }

    async fn listed_in(&self, sources: &Sources) -> Option<Found> {
        let whole_first = match (&sources.whole, &sources.shards) {
            (Some(whole), Some(shards)) => whole.fetched_at >= shards.fetched_at,
            _ => true,
        };
        for is_whole in [whole_first, !whole_first] {
            let source = if is_whole { &sources.whole } else { &sources.shards };
            let Some(source) = source else { continue };
            let found = if is_whole {
                source.find(&self.file).await
            } else {
                self.known_to_shard(sources).await.map(|said| Found { said, at: None })
            };
            if let Some(found) = found {
                return Some(self.placed(found, source));
            }
        }
        for source in &sources.partial {
            if let Some(found) = source.find(&self.file).await {
                return Some(self.placed(found, source));
            }
        }
        None
    }

    /// A file whose record does not say where it is is where the index says that all are.
    fn placed(&self, Found { said, at }: Found, source: &Source) -> Found {
        Found { said, at: at.or_else(|| self.at_base(source)) }
    }

    async fn known_to(&self, sources: &Sources) -> Option<Expected> {
        let Said { sha256, size, .. } = self.listed_in(sources).await?.said;
        Some(Expected { sha256, size })
    }

    async fn known_to_shard(&self, sources: &Sources) -> Option<Said> {
        let shard = self.shard_named_by(sources).await?;
        let question = (shard, NameDigest::of(&self.file));
        if let Some(answer) = self.shared.knowledge.shards.get(&question) {
            return answer;
        }
        let mut held = None;
        for path in shard_paths(&self.directory, shard) {
            if held.is_none() {
                held = self.shared.bench.disk.find(&self.origin.key(&path)).await;
            }
        }
        let held = held.filter(|object| object.facts().sha256 == shard)?;
        let (name, limits) = (self.file.clone(), self.shared.bench.config.limits);
        let reading = tokio::task::spawn_blocking(move || said_by_shard(&held, name, &limits));
        let answer = reading.await.ok()?;
        self.shared.knowledge.shards.insert(question, answer);
        answer
    }

    /// The digest of the shard that speaks of the package, as the held shard index says.
    async fn shard_named_by(&self, sources: &Sources) -> Option<Sha256> {
        sources.shards.as_ref()?.find(package_name(&self.file)?).await?.said.sha256
    }

    /// Looks for an index that names the file, together with all who look for one, and waits for it no longer than is allowed.
    async fn search(&self) {
        let mut over = self.begin_search();
        let place = self.origin.place(&self.directory);
        if self.shared.knowledge.failed.contains_key(&place) {
            return;
        }
        // A search that came to grief is over: there is no more to know.
        let waiting = tokio::time::timeout(self.shared.bench.config.wait, over.wait_for(|over| *over));
        if waiting.await.is_err() {
            self.shared.knowledge.failed.insert(place, ());
        }
    }

    /// The search that is under way or was over a moment ago, or a new one, which nobody has to wait for.
    fn begin_search(&self) -> watch::Receiver<bool> {
        let search = self.clone();
        self.once(&self.directory, async move { search.fetch_index().await })
    }

    /// Sees to it that an index beyond its lifetime is asked for. Nobody waits for that.
    fn refresh(&self, sources: &Sources) {
        let Some(source) = sources.first() else { return };
        let age = self.shared.bench.clock.now().since(source.validated_at);
        let patience = &self.shared.cache.rules().patience;
        if Freshness::of(&source.cache_control, Some(age), patience) == Freshness::Fresh {
            return;
        }
        let file = source.key.path().strip_prefix(&self.directory);
        let Some(path) = file.and_then(|file| beside(&self.directory, file)) else { return };
        let search = self.clone();
        self.once(source.key.path(), async move {
            // What came of it was counted and logged there.
            let _ = search.shared.fetch(&search.origin, &path, false).await;
            search.shared.knowledge.forget(&search.origin.place(&search.directory));
        });
    }

    /// What is being done about `path`, or was a moment ago; else `search`, in one of the places for searches.
    fn once(&self, path: &str, search: impl Future<Output = ()> + Send + 'static) -> watch::Receiver<bool> {
        let places = &self.shared.knowledge.places;
        self.shared.knowledge.searches.get_with(self.origin.place(path), || {
            let (done, over) = watch::channel(false);
            let places = Arc::clone(places);
            tokio::spawn(async move {
                if let Ok(_place) = places.acquire_owned().await {
                    search.await;
                }
                done.send_replace(true);
            });
            over
        })
    }

    /// Fetches the index that is held, if it is not fresh, or the first that there is; and sees to its table.
    async fn fetch_index(&self) {
        let family = Family::whole(&self.directory);
        let held = self.shared.newest_held(&self.origin, &family, None).await;
        let held = held.map(|held| held.facts().path.clone());
        let place = self.origin.place(&self.directory);
        for path in family.members().filter(|path| held.as_deref().is_none_or(|held| held == path.decoded()))
        {
            match self.shared.fetch(&self.origin, &path, false).await {
                Err(CacheError::Missing { .. }) => {}
                Ok(_) => {
                    self.shared.knowledge.failed.invalidate(&place);
                    break;
                }
                Err(_) => {
                    self.shared.knowledge.failed.insert(place, ());
                    break;
                }
            }
        }
        self.tabulate().await;
    }

    /// Writes tables that are lost.
    async fn tabulate(&self) {
        let sources = self.shared.look(&self.origin, &self.directory).await;
        for source in sources.whole.iter().chain(&sources.shards).chain(&sources.partial) {
            if source.table.is_none()
                && let Some(index) = self.shared.bench.disk.peek(&source.key).await
            {
                self.shared.tabulate(&self.origin, &index).await;
            }
        }
        self.shared.knowledge.forget(&self.origin.place(&self.directory));
    }

    /// Asks the upstream whether the indexes that are held are still current.
    async fn revalidate(&self) {
        let before = self.shared.sources(&self.origin, &self.directory).await;
        if before.whole.is_none() && before.shards.is_none() {
            return self.search().await;
        }
        for source in before.whole.iter().chain(&before.shards) {
            let file = source.key.path().strip_prefix(&self.directory);
            if let Some(path) = file.and_then(|file| beside(&self.directory, file)) {
                self.fetch_index_at(&path).await;
            }
        }
        let after = self.shared.sources(&self.origin, &self.directory).await;
        if let Some(shard) = self.shard_named_by(&after).await
            && Some(shard) != self.shard_named_by(&before).await
        {
            for path in shard_paths(&self.directory, shard) {
                if self.fetch_index_at(&path).await {
                    break;
                }
            }
        }
    }

    /// True if the upstream has it.
    async fn fetch_index_at(&self, path: &UpstreamPath) -> bool {
        let fetched = self.shared.fetch(&self.origin, path, true).await;
        self.shared.knowledge.forget(&self.origin.place(&self.directory));
        matches!(fetched, Ok(Supply::Object(..)))
    }
}

impl Digests for PackageDigests {
    fn known(&self) -> BoxFuture<'_, Option<Expected>> {
        Box::pin(async {
            let sources = self.shared.sources(&self.origin, &self.directory).await;
            if sources.lack_tables() {
                self.begin_search();
            }
            self.refresh(&sources);
            self.known_to(&sources).await
        })
    }

    fn expected(&self, anew: bool) -> BoxFuture<'_, Option<Expected>> {
        Box::pin(async move {
            if anew {
                let _ = tokio::time::timeout(self.shared.bench.config.wait, self.revalidate()).await;
            }
            let sources = self.shared.sources(&self.origin, &self.directory).await;
            let known = self.known_to(&sources).await;
            if known.is_some() || anew && !sources.lack_tables() {
                return known;
            }
            self.search().await;
            self.known().await
        })
    }
}

/// Reads a shard for one file. Blocking.
fn said_by_shard(shard: &Object, name: String, limits: &Limits) -> Option<Said> {
    match read(IndexKind::Shard, Section::of(shard), limits, Sink::One { name, said: None }, None) {
        Ok(Findings { sink: Sink::One { said, .. }, .. }) => said,
        Ok(_) => None,
        Err(fault) => {
            tracing::warn!(%fault, "a shard that was kept cannot be read");
            None
        }
    }
}

/// Where a shard may stand: in the folder of its own, or beside the index.
fn shard_paths(directory: &str, shard: Sha256) -> impl Iterator<Item = UpstreamPath> {
    let folders = ["shards/", ""];
    folders.into_iter().filter_map(move |folder| beside(directory, &format!("{folder}{shard}.msgpack.zst")))
}

/// The package's name in `name-version-build.conda`.
fn package_name(file: &str) -> Option<&str> {
    file.rsplitn(3, '-').nth(2)
}

pub(super) const SHARD_INDEX: &str = "repodata_shards.msgpack.zst";

/// How many answers of shards are remembered.
const SHARD_ANSWERS_MAX: u64 = 20_000;

/// How many directories' searches are remembered.
const SEARCHES_MAX: u64 = 1_000;

/// How long what came of a search counts.
const SEARCH_LIFETIME: Duration = Duration::from_secs(10);

/// How long nobody waits for an index that could not be had.
const FAILURE_HOLDS: Duration = Duration::from_secs(60);
