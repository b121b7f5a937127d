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

use super::inspector::Config;
use super::records::Sink;
use super::sorting::Sorting;
use super::{IndexFault, IndexKind, read};
use crate::cache::{
    Disk, DraftError, Facts, Hashing, Inspect, Inspection, Key, Part, Passed, Proof, Refused, Sha256,
};
use crate::clock::{Clock, Timestamp};
use crate::conda::{ChannelName, redact};
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

    /// Who gets the records of a file of this kind.
    fn sink(&self, kind: IndexKind) -> Sink {
        match kind {
            IndexKind::Repodata(_) | IndexKind::ShardIndex => {
                Sink::Table(Sorting::new(self.config.directory.clone()))
            }
            IndexKind::Shard | IndexKind::Patches => Sink::Nobody,
        }
    }

    /// Reads an index of `key` that has been inspected before, and writes its table. Blocking.
    pub(super) fn tabulate(&self, kind: IndexKind, key: &Key, source: impl Read, handle: &Handle) {
        match read(kind, source, &self.config.limits, self.sink(kind)) {
            Ok((generation, sink)) => self.write_table(key, generation, sink, handle),
            Err(fault) => {
                tracing::warn!(index = %redact::text(key.path()), %fault, "an index that was kept cannot be read")
            }
        }
    }

    fn write_table(&self, key: &Key, generation: Option<Sha256>, sink: Sink, handle: &Handle) {
        let Sink::Table(sorting) = sink else { return };
        if let Err(error) = self.try_write_table(key, generation, sorting, handle) {
            tracing::warn!(
                channel = %key.channel(),
                index = %redact::text(key.path()),
                %error,
                "the digests of an index's packages cannot be kept: its packages are served unverified until they can"
            );
        }
    }

    fn try_write_table(
        &self,
        key: &Key,
        generation: Option<Sha256>,
        sorting: Sorting,
        handle: &Handle,
    ) -> Result<(), DraftError> {
        let key = key.of_part(Part::Digests);
        let mut draft = handle.block_on(self.disk.draft(&key, None))?;
        let mut buffer = Vec::with_capacity(WRITE_BYTES);
        let mut full = false;
        let mut write = |buffer: &mut Vec<u8>| {
            let written = draft.write(buffer);
            buffer.clear();
            written.map_err(|error| match error {
                DraftError::Full => {
                    full = true;
                    io::ErrorKind::StorageFull.into()
                }
                DraftError::Io(error) => error,
                DraftError::OtherFacts => io::Error::other(error),
            })
        };
        let sorted = sorting.finish(|entry| {
            buffer.extend(entry.to_bytes());
            if buffer.len() < WRITE_BYTES { Ok(()) } else { write(&mut buffer) }
        });
        let written = sorted.and_then(|()| write(&mut buffer));
        if full {
            return Err(DraftError::Full);
        }
        written.map_err(DraftError::Io)?;
        let (length, sha256) = (draft.written(), draft.sha256_so_far());
        draft.seal(facts(&key, length, sha256, generation, self.clock.now())).map(|_| ())
    }
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
    /// The digest that a shard must have.
    pub(super) named: Option<Sha256>,
}

impl Inspect for Inspecting {
    fn begin(&self) -> io::Result<Box<dyn Inspection>> {
        let handle = Handle::current();
        let Some(place) = handle.block_on(self.bench.place(self.key.channel())) else {
            self.bench.metrics.index_inspected(metrics::Inspection::Busy);
            return Err(io::ErrorKind::TimedOut.into());
        };
        let (chunks, queue) = sync_channel(CHUNKS_AHEAD);
        let (bench, kind, key) = (Arc::clone(&self.bench), self.kind, self.key.clone());
        let reading = std::thread::Builder::new().name("inspection".to_owned()).spawn(move || {
            let _place = place;
            let turn = Turn { turns: Arc::clone(&bench.turns), handle: handle.clone(), held: None };
            let mut source = Queue { queue, chunk: Bytes::new(), turn };
            let (generation, sink) = read(kind, &mut source, &bench.config.limits, bench.sink(kind))?;
            bench.write_table(&key, generation, sink, &handle);
            Ok(generation)
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
    reading: Option<JoinHandle<Result<Option<Sha256>, IndexFault>>>,
}

impl Reading {
    fn verdict(&mut self) -> Result<Passed, Refused> {
        self.chunks = None;
        let read = self.reading.take().map(JoinHandle::join);
        let is_misnamed = self.named.take().is_some_and(|(named, hashing)| hashing.finish() != named);
        let generation = match read {
            Some(Ok(Ok(_))) if is_misnamed => Err(IndexFault::Misnamed),
            Some(Ok(read)) => read,
            Some(Err(_)) | None => {
                Err(IndexFault::Read { source: io::Error::other("the inspection ended early") })
            }
        };
        let counted =
            generation.as_ref().map_or_else(|fault| fault.kind().into(), |_| metrics::Inspection::Passed);
        self.bench.metrics.index_inspected(counted);
        generation.map(|generation| Passed { generation }).map_err(|fault| {
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
