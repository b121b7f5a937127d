//! What is held of a directory that says something of its packages: its indexes, with the tables that their inspections left.
//!
//! Opened again after [`SOURCES_LIFETIME`], because another process may have changed it; what this process fetches is noticed at once. What the
//! tables are asked for is `digests.rs`'s.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use hashbrown::HashMap;
use rustix::io::{ReadWriteFlags, preadv2};

use super::Leads;
use super::digests::SHARD_INDEX;
use super::family::{Family, beside};
use super::indexes::{Origin, Place, PlaceRef, Shared};
use super::table::{Found, Layout};
use crate::cache::{Facts, Key, Object, Part};
use crate::clock::{self, Timestamp};
use crate::conda::UpstreamPath;
use crate::semantics::CacheControl;
use crate::upstream::Lead;

/// What is held that says something of a directory's packages.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) whole: Option<Source>,
    pub(super) shards: Option<Source>,
    pub(super) partial: Vec<Source>,
}

impl Sources {
    /// The one that is asked first.
    pub(super) fn first(&self) -> Option<&Source> {
        self.shards.iter().chain(&self.whole).max_by_key(|source| source.fetched_at)
    }

    /// True if an index says that packages or shards are elsewhere.
    pub(super) fn lead_away(&self) -> bool {
        let mut all = self.whole.iter().chain(&self.shards).chain(&self.partial);
        all.any(|source| source.leads().is_some_and(|leads| leads.rewrite))
    }

    /// True if there is an index whose table is lost.
    pub(super) fn lack_tables(&self) -> bool {
        let lacks = |source: &Source| source.table.is_none();
        self.whole.iter().chain(&self.shards).chain(&self.partial).any(lacks)
    }
}

/// What was found of directories a moment ago. It is asked with every package, so it is no more than a map.
#[derive(Default)]
pub(super) struct Shelf {
    by_place: RwLock<HashMap<Place, (Duration, Arc<Sources>)>>,
}

impl Shelf {
    /// What `told` tells of a directory's sources, if they were found a moment ago.
    fn read<T>(&self, place: &PlaceRef<'_>, told: impl FnOnce(&Arc<Sources>) -> T) -> Option<T> {
        let by_place = self.by_place.read().unwrap_or_else(PoisonError::into_inner);
        let (since, sources) = by_place.get(place)?;
        is_recent(*since).then(|| told(sources))
    }

    fn insert(&self, place: Place, sources: Arc<Sources>) {
        let mut by_place = self.by_place.write().unwrap_or_else(PoisonError::into_inner);
        if by_place.len() >= SOURCES_MAX {
            by_place.retain(|_, (since, _)| is_recent(*since));
            // Directories by the hundreds in one moment: they are looked for again.
            if by_place.len() >= SOURCES_MAX {
                by_place.clear();
            }
        }
        by_place.insert(place, (clock::ticked(), sources));
    }

    pub(super) fn forget(&self, place: &Place) {
        self.by_place.write().unwrap_or_else(PoisonError::into_inner).remove(place);
    }
}

fn is_recent(since: Duration) -> bool {
    clock::ticked().saturating_sub(since) < SOURCES_LIFETIME
}

/// One index, and the table of what it says.
pub(super) struct Source {
    pub(super) key: Key,
    pub(super) fetched_at: Timestamp,
    pub(super) validated_at: Timestamp,
    pub(super) cache_control: CacheControl,
    pub(super) table: Option<Table>,
}

impl Source {
    /// What it says of a file.
    pub(super) async fn find(&self, name: &str) -> Option<Found> {
        self.table.as_ref()?.find(name).await
    }

    /// Where it leads, if that is known.
    pub(super) fn leads(&self) -> Option<&Leads> {
        self.table.as_ref().map(|table| &table.layout.leads)
    }
}

/// A table that is open. It keeps nothing from being evicted.
#[derive(Clone)]
pub(super) struct Table {
    file: Arc<File>,
    layout: Arc<Layout>,
    /// What it was asked before: to find a file takes several reads, and a table never changes.
    found: Arc<Mutex<HashMap<String, Option<Found>>>>,
}

impl Table {
    /// The table that an object is; `None` if it is of another version.
    pub(super) async fn open(object: &Object) -> Option<Self> {
        let (file, bytes) = (Arc::clone(object.file()), object.facts().length);
        let layout = match Layout::read(bytes, |buffer, at| read_at_once(&file, buffer, at)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let file = Arc::clone(&file);
                let reading = move || Layout::read(bytes, |buffer, at| file.read_exact_at(buffer, at));
                tokio::task::spawn_blocking(reading).await.ok()?
            }
            layout => layout,
        };
        Some(Self { file, layout: Arc::new(layout.ok()?), found: Arc::default() })
    }

    /// What it says of a file. Reads where it stands, as long as the page cache has it.
    pub(super) async fn find(&self, name: &str) -> Option<Found> {
        if let Some(found) = self.found().get(name) {
            return found.clone();
        }
        let found = self.layout.find(name, |buffer, at| read_at_once(&self.file, buffer, at));
        let found = match found {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let (table, name) = (self.clone(), name.to_owned());
                let finding = tokio::task::spawn_blocking(move || {
                    table.layout.find(&name, |buffer, at| table.file.read_exact_at(buffer, at))
                });
                finding.await.unwrap_or_else(|error| Err(io::Error::other(error)))
            }
            found => found,
        };
        match found {
            Ok(found) if name.len() > NAME_BYTES_MAX => found,
            Ok(found) => {
                let mut remembered = self.found();
                if remembered.len() >= FOUND_MAX {
                    remembered.clear();
                }
                remembered.insert(name.to_owned(), found.clone());
                found
            }
            Err(error) => {
                tracing::warn!(%error, "a table of digests cannot be read");
                None
            }
        }
    }

    fn found(&self) -> MutexGuard<'_, HashMap<String, Option<Found>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Shared {
    /// What there is to ask, as it was at most [`SOURCES_LIFETIME`] ago.
    pub(super) async fn sources(&self, origin: &Origin, directory: &str) -> Arc<Sources> {
        if let Some(sources) = self.knowledge.sources.read(&origin.place_ref(directory), Arc::clone) {
            return sources;
        }
        let sources = Arc::new(Box::pin(self.look(origin, directory)).await);
        self.knowledge.sources.insert(origin.place(directory), Arc::clone(&sources));
        sources
    }

    /// Whether an index of a directory says that packages or shards are elsewhere. Asked with every package, so it holds nothing of what is
    /// known already.
    pub(super) async fn sources_lead_away(&self, origin: &Origin, directory: &str) -> bool {
        match self.knowledge.sources.read(&origin.place_ref(directory), |sources| sources.lead_away()) {
            Some(lead_away) => lead_away,
            None => self.sources(origin, directory).await.lead_away(),
        }
    }

    /// What there is to ask, now.
    pub(super) async fn look(&self, origin: &Origin, directory: &str) -> Sources {
        let mut sources =
            Sources { whole: self.source_of(origin, &Family::whole(directory)).await, ..Sources::default() };
        if let Some(path) = beside(directory, SHARD_INDEX)
            && let Some(index) = self.bench.disk.find(&origin.key(&path)).await
        {
            sources.shards = Some(self.source(index).await);
        }
        for family in Family::partial(directory) {
            sources.partial.extend(self.source_of(origin, &family).await);
        }
        sources
    }

    async fn source_of(&self, origin: &Origin, family: &Family<'_>) -> Option<Source> {
        let index = self.newest_held(origin, family, None).await?;
        Some(self.source(index).await)
    }

    async fn source(&self, index: Object) -> Source {
        let key = index.facts().key();
        let table = self.bench.disk.find(&key.of_part(Part::Digests)).await.filter(|table| {
            table.facts().generation.is_some() && table.facts().generation == index.facts().generation
        });
        let table = match table {
            Some(table) => Table::open(&table).await,
            None => None,
        };
        let Facts { fetched_at, cache_control, .. } = *index.facts();
        Source { key, fetched_at, validated_at: index.validated_at(), cache_control, table }
    }

    /// Where a shard is, as the held index of its directory's shards says: `None` if it is at its path.
    pub(super) async fn lead_of_shard(&self, origin: &Origin, path: &UpstreamPath) -> Option<Lead> {
        let (folder, _) = path.split();
        let directory = folder.strip_suffix("shards/").unwrap_or(folder);
        let sources = self.sources(origin, directory).await;
        let base = sources.shards.as_ref()?.leads()?.shards_base.as_ref()?;
        Some(base.file_of(path))
    }
}

/// How many directories' tables are open.
const SOURCES_MAX: usize = 256;

/// How long another process may have changed what is held before it is noticed. What this process fetches is noticed at once.
const SOURCES_LIFETIME: Duration = Duration::from_secs(5);

/// How many answers of one table are remembered, at some 150 bytes each, and of which files: a client may ask for any name.
const FOUND_MAX: usize = 1_000;
const NAME_BYTES_MAX: usize = 256;
