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

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache as Memory;
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::sync::{Semaphore, watch};

use super::family::{Family, beside};
use super::indexes::{Origin, Place, Shared};
use super::making::Section;
use super::records::{Said, Sink};
use super::table::{self, NameDigest};
use super::{IndexKind, Limits, read};
use crate::cache::{BoxFuture, CacheError, Digests, Expected, Facts, Key, Object, Part, Sha256, Supply};
use crate::clock::Timestamp;
use crate::conda::UpstreamPath;
use crate::semantics::{CacheControl, Freshness};

/// What is remembered of the indexes that are held.
pub(super) struct Knowledge {
    sources: Memory<Place, Arc<Sources>>,
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
            sources: Memory::builder().max_capacity(SOURCES_MAX).time_to_live(SOURCES_LIFETIME).build(),
            shards: Memory::new(SHARD_ANSWERS_MAX),
            searches: Memory::builder().max_capacity(SEARCHES_MAX).time_to_live(SEARCH_LIFETIME).build(),
            failed: Memory::builder().max_capacity(SEARCHES_MAX).time_to_live(FAILURE_HOLDS).build(),
            places: Arc::new(Semaphore::new(searches_max)),
        }
    }

    /// An index of the directory has changed.
    pub(super) fn forget(&self, directory: &Place) {
        self.sources.invalidate(directory);
    }
}

/// What is held that says something of a directory's packages.
#[derive(Default)]
struct Sources {
    whole: Option<Source>,
    shards: Option<Source>,
    partial: Vec<Source>,
}

impl Sources {
    /// The one that is asked first.
    fn first(&self) -> Option<&Source> {
        self.shards.iter().chain(&self.whole).max_by_key(|source| source.fetched_at)
    }

    /// True if there is an index whose table is lost.
    fn lack_tables(&self) -> bool {
        let lacks = |source: &Source| source.table.is_none();
        self.whole.iter().chain(&self.shards).chain(&self.partial).any(lacks)
    }
}

/// One index, and the table of what it says.
struct Source {
    key: Key,
    fetched_at: Timestamp,
    validated_at: Timestamp,
    cache_control: CacheControl,
    table: Option<Table>,
}

impl Source {
    async fn find(&self, name: &str) -> Option<Said> {
        self.table.as_ref()?.find(name).await
    }
}

/// A table that is open. It keeps nothing from being evicted.
#[derive(Clone)]
struct Table {
    file: Arc<File>,
    bytes: u64,
}

impl Table {
    /// What it says of a file. Reads where it stands, as long as the page cache has it.
    async fn find(&self, name: &str) -> Option<Said> {
        let found = table::find(name, self.bytes, |buffer, at| read_at_once(&self.file, buffer, at));
        let found = match found {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let (table, name) = (self.clone(), name.to_owned());
                let finding = tokio::task::spawn_blocking(move || {
                    table::find(&name, table.bytes, |buffer, at| table.file.read_exact_at(buffer, at))
                });
                finding.await.unwrap_or_else(|error| Err(io::Error::other(error)))
            }
            found => found,
        };
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "a table of digests cannot be read");
            None
        })
    }
}

/// Fills the buffer from the page cache; [`io::ErrorKind::WouldBlock`] where it has not all of it.
fn read_at_once(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let wanted = buffer.len();
    match preadv2(file, &mut [IoSliceMut::new(buffer)], at, ReadWriteFlags::NOWAIT) {
        Ok(count) if count == wanted => Ok(()),
        _ => Err(io::ErrorKind::WouldBlock.into()),
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

    async fn known_to(&self, sources: &Sources) -> Option<Expected> {
        let whole_first = match (&sources.whole, &sources.shards) {
            (Some(whole), Some(shards)) => whole.fetched_at >= shards.fetched_at,
            _ => true,
        };
        let mut said = None;
        for is_whole in [whole_first, !whole_first] {
            said = match &sources.whole {
                _ if said.is_some() => said,
                Some(whole) if is_whole => whole.find(&self.file).await,
                None if is_whole => None,
                _ => self.known_to_shard(sources).await,
            };
        }
        for source in &sources.partial {
            if said.is_none() {
                said = source.find(&self.file).await;
            }
        }
        said.map(|Said { sha256, size }| Expected { sha256, size })
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
        sources.shards.as_ref()?.find(package_name(&self.file)?).await?.sha256
    }

    /// What there is to ask, as it was at most [`SOURCES_LIFETIME`] ago.
    async fn sources(&self) -> Arc<Sources> {
        let place = self.origin.place(&self.directory);
        if let Some(sources) = self.shared.knowledge.sources.get(&place) {
            return sources;
        }
        let sources = Arc::new(self.look().await);
        self.shared.knowledge.sources.insert(place, Arc::clone(&sources));
        sources
    }

    async fn look(&self) -> Sources {
        let mut sources =
            Sources { whole: self.source_of(&Family::whole(&self.directory)).await, ..Sources::default() };
        if let Some(path) = beside(&self.directory, SHARD_INDEX)
            && let Some(index) = self.shared.bench.disk.find(&self.origin.key(&path)).await
        {
            sources.shards = Some(self.source(index).await);
        }
        for family in Family::partial(&self.directory) {
            sources.partial.extend(self.source_of(&family).await);
        }
        sources
    }

    async fn source_of(&self, family: &Family<'_>) -> Option<Source> {
        let index = self.shared.newest_held(&self.origin, family, None).await?;
        Some(self.source(index).await)
    }

    async fn source(&self, index: Object) -> Source {
        let key = index.facts().key();
        let table = self.shared.bench.disk.find(&key.of_part(Part::Digests)).await.filter(|table| {
            table.facts().generation.is_some() && table.facts().generation == index.facts().generation
        });
        let table = table.map(|table| Table { file: Arc::clone(table.file()), bytes: table.facts().length });
        let Facts { fetched_at, cache_control, .. } = *index.facts();
        Source { key, fetched_at, validated_at: index.validated_at(), cache_control, table }
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
        let sources = self.look().await;
        for source in sources.whole.iter().chain(&sources.shards).chain(&sources.partial) {
            if source.table.is_none()
                && let Some(index) = self.shared.bench.disk.peek(&source.key).await
            {
                self.shared.tabulate(&index).await;
            }
        }
        self.shared.knowledge.forget(&self.origin.place(&self.directory));
    }

    /// Asks the upstream whether the indexes that are held are still current.
    async fn revalidate(&self) {
        let before = self.sources().await;
        if before.whole.is_none() && before.shards.is_none() {
            return self.search().await;
        }
        for source in before.whole.iter().chain(&before.shards) {
            let file = source.key.path().strip_prefix(&self.directory);
            if let Some(path) = file.and_then(|file| beside(&self.directory, file)) {
                self.fetch_index_at(&path).await;
            }
        }
        let after = self.sources().await;
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
            let sources = self.sources().await;
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
            let sources = self.sources().await;
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
    match read(IndexKind::Shard, Section::of(shard), limits, Sink::One { name, said: None }) {
        Ok((_, Sink::One { said, .. })) => said,
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

const SHARD_INDEX: &str = "repodata_shards.msgpack.zst";

/// How many directories' tables are open.
const SOURCES_MAX: u64 = 256;

/// How long another process may have changed what is held before it is noticed. What this process fetches is noticed at once.
const SOURCES_LIFETIME: Duration = Duration::from_secs(5);

/// How many answers of shards are remembered.
const SHARD_ANSWERS_MAX: u64 = 20_000;

/// How many directories' searches are remembered.
const SEARCHES_MAX: u64 = 1_000;

/// How long what came of a search counts.
const SEARCH_LIFETIME: Duration = Duration::from_secs(10);

/// How long nobody waits for an index that could not be had.
const FAILURE_HOLDS: Duration = Duration::from_secs(60);
