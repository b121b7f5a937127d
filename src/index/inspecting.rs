//! The inspection of a file that the cache is fetching, and the table of digests that comes of it.
//!
//! The cache pushes chunks, the parsers pull: between them is a thread of its own and a short queue, so that no more than
//! [`CHUNKS_AHEAD`] chunks wait. An inspection has one of its channel's places from its head to its verdict, so that an upstream that stalls
//! holds up nobody but its own channel; who gets none in time is told so. It has one of the turns of all channels, of which there are as
//! many as may take a core, only while it has bytes to read.
//!
//! An index that passes leaves a table of what it says of its files, as another part of the same key. It is written before the cache keeps
//! the index, and both carry the document's digest: a table is believed only beside an index of the same document, so it does not matter
//! which of them is lost. A table that cannot be written costs nothing but digests. A shard is also held against its name.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use bytes::{Buf as _, Bytes};
use dashmap::DashMap;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::indexes::Origin;
use super::inspector::Config;
use super::leads::Surroundings;
use super::records::Sink;
use super::sorting::{SortError, Sorting};
use super::{Findings, IndexFault, IndexKind, read, table};
use crate::cache::{
    Disk, Draft, DraftError, Facts, Hashing, Inspect, Inspection, Key, Part, Passed, Proof, Refused, Sha256,
};
use crate::clock::{Clock, Timestamp};
use crate::conda::{ChannelName, UpstreamPath, redact};
use crate::metrics::{self, Metrics};
use crate::semantics::CacheControl;

/// What inspections share.
pub(super) struct Bench {
    pub(super) config: Config,
    pub(super) disk: Disk,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    turns: Arc<Semaphore>,
    /// Inspections that a channel may have begun and not ended. There are as many entries as configured channels.
    places: DashMap<ChannelName, Arc<Semaphore>>,
}

impl Bench {
    pub(super) fn new(config: Config, disk: Disk, clock: Clock, metrics: Metrics) -> Self {
        let turns = Arc::new(Semaphore::new(config.inspections_max));
        Self { config, disk, clock, metrics, turns, places: DashMap::new() }
    }

    /// Waits for one of the channel's places for inspections; `None` if there is none in time.
    async fn place(&self, channel: &ChannelName) -> Option<OwnedSemaphorePermit> {
        let places_max = self.config.inspections_max.saturating_mul(PLACES_PER_TURN);
        let new = || Arc::new(Semaphore::new(places_max.min(Semaphore::MAX_PERMITS)));
        let places = Arc::clone(&self.places.entry(channel.clone()).or_insert_with(new));
        tokio::time::timeout(self.config.wait, places.acquire_owned()).await.ok()?.ok()
    }

    /// Waits for one of the places for work that takes a core; `None` if there is none in time.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(self.config.wait, Arc::clone(&self.turns).acquire_owned());
        turn.await.ok()?.ok()
    }

    /// Reads an index of `key` that has been inspected before, and writes its table. Blocking.
    pub(super) fn tabulate(
        &self,
        kind: IndexKind,
        key: &Key,
        source: impl Read,
        surroundings: Option<Surroundings>,
        handle: &Handle,
    ) {
        if let Err(fault) = self.read(kind, key, source, surroundings, handle) {
            tracing::warn!(index = %redact::text(key.path()), %fault, "an index that was kept cannot be read");
        }
    }

    /// Inspects an index, and writes its table if it is one that has a table. Blocking.
    fn read(
        &self,
        kind: IndexKind,
        key: &Key,
        source: impl Read,
        surroundings: Option<Surroundings>,
        handle: &Handle,
    ) -> Result<Passed, IndexFault> {
        let sink = match kind {
            IndexKind::Repodata(_) | IndexKind::ShardIndex | IndexKind::Shard => {
                Sink::Table(Sorting::new(self.config.directory.clone()))
            }
            IndexKind::Patches => Sink::Nobody,
        };
        let mut findings = read(kind, source, &self.config.limits, sink, surroundings)?;
        let generation = findings.generation;
        let passed = Passed { generation, leads_away: findings.leads.rewrite };
        let sink = std::mem::replace(&mut findings.sink, Sink::Nobody);
        let Sink::Table(sorting) = sink else { return Ok(passed) };
        let mut writing = Writing::new(match kind {
            // A shard is small, and read again as a whole.
            IndexKind::Shard => None,
            _ => Some(handle.block_on(self.disk.draft(&key.of_part(Part::Digests), None))),
        });
        write_table(sorting, &findings, &mut writing)
            .map_err(|error| error.into_fault(&findings.sections))?;
        let now = self.clock.now();
        let sealed = writing
            .seal(|length, sha256| facts(&key.of_part(Part::Digests), length, sha256, generation, now));
        if let Err(error) = sealed {
            tracing::warn!(
                channel = %key.channel(),
                index = %redact::text(key.path()),
                %error,
                "the digests of an index's packages cannot be kept: its packages are served unverified until they can"
            );
        }
        Ok(passed)
    }
}

/// A table that is written for as long as the disk takes it.
struct Writing {
    draft: Option<Result<Draft, DraftError>>,
    buffer: Vec<u8>,
}

impl Writing {
    fn new(draft: Option<Result<Draft, DraftError>>) -> Self {
        Self { draft, buffer: Vec::with_capacity(WRITE_BYTES) }
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(Ok(_)) = self.draft {
            self.buffer.extend(bytes);
        }
        if self.buffer.len() >= WRITE_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let Some(Ok(draft)) = &mut self.draft
            && let Err(error) = draft.write(&self.buffer)
        {
            self.draft = Some(Err(error));
        }
        self.buffer.clear();
    }

    /// Makes it an object with these facts, which are told its length and digest.
    fn seal(mut self, facts: impl FnOnce(u64, Sha256) -> Facts) -> Result<(), DraftError> {
        self.flush();
        let Some(draft) = self.draft.transpose()? else { return Ok(()) };
        let (length, sha256) = (draft.written(), draft.sha256_so_far());
        draft.seal(facts(length, sha256)).map(|_| ())
    }
}

/// Writes all of a table.
fn write_table(sorting: Sorting, findings: &Findings, writing: &mut Writing) -> Result<(), SortError> {
    let mut entry_bytes = 0;
    let urls = sorting.finish(|entry| {
        let bytes = entry.to_bytes();
        entry_bytes += bytes.len() as u64;
        writing.push(&bytes);
        Ok(())
    })?;
    let url_bytes = urls.copy(|piece| {
        writing.push(piece);
        Ok(())
    })?;
    writing.push(&table::ending(entry_bytes, url_bytes, findings.upstream, &findings.leads));
    Ok(())
}

fn facts(key: &Key, length: u64, sha256: Sha256, generation: Option<Sha256>, fetched_at: Timestamp) -> Facts {
    Facts {
        channel: key.channel().clone(),
        upstreams: key.upstreams(),
        path: key.path().to_owned(),
        part: key.part(),
        length,
        sha256,
        proof: Proof::Inspected,
        etag: None,
        last_modified: None,
        cache_control: CacheControl::default(),
        generation,
        upstream: String::new(),
        fetched_at,
    }
}

/// How one file is inspected.
pub(super) struct Inspecting {
    pub(super) bench: Arc<Bench>,
    pub(super) kind: IndexKind,
    pub(super) key: Key,
    /// Whose it is, and where: what it may lead to is measured from there.
    pub(super) origin: Origin,
    pub(super) path: UpstreamPath,
    /// The digest that a shard must have.
    pub(super) named: Option<Sha256>,
}

impl Inspecting {
    /// Where the file comes from. Only what the gate can rewrite may lead away: a shard is named by its digest, and nobody makes patches.
    fn surroundings(&self, upstream: usize) -> Option<Surroundings> {
        match self.kind {
            IndexKind::Repodata(_) | IndexKind::ShardIndex => {
                Surroundings::new(&self.origin.upstreams, upstream, &self.path)
            }
            IndexKind::Shard | IndexKind::Patches => None,
        }
    }
}

impl Inspect for Inspecting {
    fn begin(&self, upstream: usize) -> io::Result<Box<dyn Inspection>> {
        let handle = Handle::current();
        let Some(place) = handle.block_on(self.bench.place(self.key.channel())) else {
            self.bench.metrics.index_inspected(metrics::Inspection::Busy);
            return Err(io::ErrorKind::TimedOut.into());
        };
        let (chunks, queue) = sync_channel(CHUNKS_AHEAD);
        let (bench, kind, key) = (Arc::clone(&self.bench), self.kind, self.key.clone());
        let surroundings = self.surroundings(upstream);
        let reading = std::thread::Builder::new().name("inspection".to_owned()).spawn(move || {
            let _place = place;
            let turn = Turn { turns: Arc::clone(&bench.turns), handle: handle.clone(), held: None };
            let mut source = Queue { queue, chunk: Bytes::new(), turn };
            bench.read(kind, &key, &mut source, surroundings, &handle)
        })?;
        Ok(Box::new(Reading {
            bench: Arc::clone(&self.bench),
            key: self.key.clone(),
            named: self.named.map(|named| (named, Hashing::new())),
            chunks: Some(chunks),
            reading: Some(reading),
        }))
    }
}

/// One inspection under way.
struct Reading {
    bench: Arc<Bench>,
    key: Key,
    named: Option<(Sha256, Hashing)>,
    chunks: Option<SyncSender<Bytes>>,
    reading: Option<JoinHandle<Result<Passed, IndexFault>>>,
}

impl Reading {
    fn verdict(&mut self) -> Result<Passed, Refused> {
        self.chunks = None;
        let read = self.reading.take().map(JoinHandle::join);
        let is_misnamed = self.named.take().is_some_and(|(named, hashing)| hashing.finish() != named);
        let passed = match read {
            Some(Ok(Ok(_))) if is_misnamed => Err(IndexFault::Misnamed),
            Some(Ok(read)) => read,
            Some(Err(_)) | None => {
                Err(IndexFault::Read { source: io::Error::other("the inspection ended early") })
            }
        };
        let counted =
            passed.as_ref().map_or_else(|fault| fault.kind().into(), |_| metrics::Inspection::Passed);
        self.bench.metrics.index_inspected(counted);
        passed.map_err(|fault| {
            tracing::warn!(channel = %self.key.channel(), path = %redact::text(self.key.path()), %fault, "an index was refused");
            Refused::new(fault)
        })
    }
}

impl Inspection for Reading {
    fn chunk(&mut self, chunk: &Bytes) -> Result<(), Refused> {
        if let Some((_, hashing)) = &mut self.named {
            hashing.update(chunk);
        }
        // A closed queue means that the verdict is there already.
        match self.chunks.as_ref().map(|chunks| chunks.send(chunk.clone())) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => self.verdict().map(|_| ()),
        }
    }

    fn end(mut self: Box<Self>) -> Result<Passed, Refused> {
        self.verdict()
    }
}

/// What comes through the queue, as a file.
struct Queue {
    queue: Receiver<Bytes>,
    chunk: Bytes,
    /// Held from a chunk until there is none to read: so beyond the end, for what is done then.
    turn: Turn,
}

/// One of the turns of all inspections, as long as it is made use of.
struct Turn {
    turns: Arc<Semaphore>,
    handle: Handle,
    held: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// Waits for it, if it is not held: for those who have it, and they wait for no upstream.
    fn take(&mut self) {
        if self.held.is_none() {
            self.held = self.handle.block_on(Arc::clone(&self.turns).acquire_owned()).ok();
        }
    }

    fn give_up(&mut self) {
        self.held = None;
    }
}

impl Read for Queue {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let next = match self.queue.try_recv() {
                Err(TryRecvError::Empty) => {
                    self.turn.give_up();
                    self.queue.recv().ok()
                }
                next => next.ok(),
            };
            self.turn.take();
            match next {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), self.chunk.get(..count)) {
            to.copy_from_slice(from);
        }
        self.chunk.advance(count);
        Ok(count)
    }
}

/// How many inspections a channel may have begun for each turn that there is: most of them wait for their upstream, and cost memory.
const PLACES_PER_TURN: usize = 2;

/// How many chunks may wait between the network and the inspection.
const CHUNKS_AHEAD: usize = 4;

/// How much of a table is written at once.
const WRITE_BYTES: usize = 256 << 10;
