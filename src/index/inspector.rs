//! Inspects an index that is not kept in the cache, before its first byte is served.
//!
//! A fault may stand in the last record, and a response's status cannot be taken back, so the index is read to its end first: the bytes
//! go from the upstream through the inspection into a file without a name ([`tempfile`]), and from there to the client. The file of the
//! latest version that has passed is kept, and served again for as long as the upstream says by 304 that it is current: not the version's
//! name is trusted, which an upstream may give twice, but the bytes that were read.
//!
//! | step | on failure |
//! | --- | --- |
//! | a kept version with a strong tag: ask whether it is current; else ask with the client's conditions, never for a range | the upstream's own refusal |
//! | it is (304): serve the file | – |
//! | wait for one of the places ([`Config::inspections_max`]) | [`InspectError::Busy`] after [`Config::wait`] |
//! | read, inspect and keep, within [`Config::spool_bytes_max`] | [`InspectError::Fault`], [`InspectError::Spool`], [`InspectError::Busy`]; an upstream that dies is unavailable |
//! | serve from the file | – |
//!
//! The memory belongs to one configuration: after a reload everything is inspected again, because an upstream may be another one.
//! It must never serve a byte of an index that was not inspected. Read [`super::inspect`] next.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http::header::IF_NONE_MATCH;
use http_body_util::BodyExt as _;
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{FaultKind, IndexFault, IndexKind, Limits, inspect};
use crate::conda::{ChannelName, redact};
use crate::metrics::{Inspection, Metrics};
use crate::semantics::{CacheControl, EntityTag, Validators};
use crate::upstream::{Answer, Ask, FetchError, Fetched, Method, Unavailable, Upstreams};

/// What inspections may cost.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory that holds an index while it is inspected and served; a nameless file each.
    pub directory: PathBuf,
    /// What one inspection may cost.
    pub limits: Limits,
    /// Inspections at once; each takes up to a core and the disk space of its index. Default 4.
    pub inspections_max: usize,
    /// How long a request waits for its turn. Default 30 s, half of what clients wait for a first byte.
    pub wait: Duration,
    /// Disk space for all of them: what is inspected, what is kept and what is being served. Half of it at most is for what is kept.
    /// Default 8 GiB.
    pub spool_bytes_max: u64,
    /// Memory for documents of indexes that are being worked with. Default 1 GiB.
    pub memory_bytes_max: u64,
}

impl Config {
    /// The defaults, with this directory.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            limits: Limits::default(),
            inspections_max: 4,
            wait: Duration::from_secs(30),
            spool_bytes_max: 8 << 30,
            memory_bytes_max: 1 << 30,
        }
    }
}

/// Why an index is not served.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The upstream has none, or does not answer as it should.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The index would mislead clients.
    #[error(transparent)]
    Fault(IndexFault),
    /// The gate could not keep it: a full disk, most likely.
    #[error("the index could not be kept in {directory} while it was inspected", directory = .directory.display())]
    Spool {
        /// Where.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Too many inspections were under way, or too much of what passed is still being served.
    #[error("too many indexes are being inspected or served")]
    Busy,
}

/// The inspection of one gate's indexes.
pub struct Inspector {
    config: Config,
    kept: Cache<Place, Arc<Kept>>,
    places: Arc<Semaphore>,
    /// In units of [`UNIT_BYTES`].
    space: Arc<Semaphore>,
}

/// A file of a channel.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    channel: ChannelName,
    path: String,
}

/// The latest version of a file that has passed.
struct Kept {
    file: Arc<File>,
    length: u64,
    validators: Validators,
    cache_control: CacheControl,
    space: Arc<OwnedSemaphorePermit>,
}

impl Kept {
    /// Its tag, if it is one that no other version should have.
    fn strong_tag(&self) -> Option<&EntityTag> {
        self.validators.etag.as_ref().filter(|etag| etag.is_strong())
    }

    /// True if `fetched` says that it is of the same version.
    fn is_of(&self, fetched: &Fetched) -> bool {
        self.strong_tag().is_some()
            && self.validators.etag == fetched.validators.etag
            && fetched.length.is_none_or(|length| length == self.length)
    }

    /// The file in the place of what was fetched.
    fn instead_of(&self, fetched: Box<Fetched>) -> Box<Fetched> {
        let is_silent = fetched.cache_control == CacheControl::default();
        Box::new(Fetched {
            answer: Answer::Whole,
            validators: self.validators.clone(),
            length: Some(self.length),
            cache_control: if is_silent { self.cache_control } else { fetched.cache_control },
            upstream: fetched.upstream,
            body: fetched.body.again_from(Arc::clone(&self.file), self.length, Arc::clone(&self.space)),
        })
    }
}

/// The grain of [`Config::spool_bytes_max`].
const UNIT_BYTES: u64 = 64 << 10;

/// How many chunks may wait between the network and the inspection.
const CHUNKS_AHEAD: usize = 4;

impl Inspector {
    /// An inspector that has seen nothing yet.
    pub fn new(config: Config) -> Self {
        let units = config.spool_bytes_max / UNIT_BYTES;
        let kept = Cache::builder()
            .max_capacity(units / 2)
            .weigher(|_, kept: &Arc<Kept>| {
                u32::try_from(kept.length.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
            })
            .build();
        let places = Arc::new(Semaphore::new(config.inspections_max));
        let space = Semaphore::new(usize::try_from(units).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS));
        Self { config, kept, places, space: Arc::new(space) }
    }

    /// True for files that are served only after an inspection.
    pub fn inspects(file_name: &str) -> bool {
        IndexKind::of(file_name).is_some()
    }

    /// Fetches an index of `channel` as [`Upstreams::fetch`] does, inspected. The answer is never a part: ranges are cut by the caller.
    ///
    /// # Errors
    ///
    /// Why it is not served.
    pub async fn fetch(
        &self,
        channel: &ChannelName,
        upstreams: &Upstreams,
        ask: &Ask<'_>,
        metrics: &Metrics,
    ) -> Result<Box<Fetched>, InspectError> {
        let Some(kind) = IndexKind::of(ask.path.file_name()) else { return Ok(upstreams.fetch(ask).await?) };
        let place = Place { channel: channel.clone(), path: ask.path.decoded().to_owned() };
        let kept = self.kept.get(&place);
        let conditions = match kept.as_ref().and_then(|kept| kept.strong_tag()) {
            Some(etag) => Some(HeaderMap::from_iter([(IF_NONE_MATCH, etag.as_header().clone())])),
            None => ask.conditions.map(without_range),
        };
        let ask = Ask { conditions: conditions.as_ref(), ..*ask };
        let fetched = upstreams.fetch(&ask).await?;
        let is_current = |kept: &Arc<Kept>| match fetched.answer {
            // Without a strong tag the question was the client's, and so is the answer.
            Answer::NotModified => kept.strong_tag().is_some(),
            // Some servers look at conditions only for GET.
            Answer::Whole => ask.method == Method::Head && kept.is_of(&fetched),
            _ => false,
        };
        if let Some(kept) = kept.filter(is_current) {
            metrics.index_inspected(Inspection::Remembered);
            return Ok(kept.instead_of(fetched));
        }
        if fetched.answer != Answer::Whole {
            return Ok(fetched);
        }
        let inspected = self.fetch_inspected(kind, place, upstreams, &ask, fetched).await;
        metrics.index_inspected(match &inspected {
            Ok((inspection, _)) => *inspection,
            Err(error) => Inspection::from(error),
        });
        if let Err(InspectError::Fault(fault)) = &inspected {
            tracing::warn!(%channel, path = %redact::text(ask.path.decoded()), %fault, "an index was refused");
        }
        inspected.map(|(_, fetched)| fetched)
    }

    /// From the head of a whole answer to an answer that has passed.
    async fn fetch_inspected(
        &self,
        kind: IndexKind,
        place: Place,
        upstreams: &Upstreams,
        ask: &Ask<'_>,
        fetched: Box<Fetched>,
    ) -> Result<(Inspection, Box<Fetched>), InspectError> {
        let before = self.kept.get(&place);
        let turn = tokio::time::timeout(self.config.wait, Arc::clone(&self.places).acquire_owned());
        let Ok(Ok(_turn)) = turn.await else { return Err(InspectError::Busy) };
        // A new version is asked for by many at once: one inspection is enough for those who waited.
        // What was kept before was not current: the upstream would have said so.
        let is_new = |kept: &Arc<Kept>| !before.as_ref().is_some_and(|before| Arc::ptr_eq(before, kept));
        if let Some(kept) = self.kept.get(&place).filter(|kept| is_new(kept) && kept.is_of(&fetched)) {
            return Ok((Inspection::Remembered, kept.instead_of(fetched)));
        }
        // A head says nothing about the bytes: whoever asks for one is told what GET would tell.
        let whole = if ask.method == Method::Head {
            upstreams.fetch(&Ask { method: Method::Get, conditions: None, ..*ask }).await?
        } else {
            fetched
        };
        let (kept, rest) = self.inspect(kind, whole).await?;
        let inspected = kept.instead_of(rest);
        if kept.strong_tag().is_some() {
            self.kept.insert(place, kept);
        }
        Ok((Inspection::Passed, inspected))
    }

    /// Reads the body to its end, through the inspection and into a file.
    async fn inspect(
        &self,
        kind: IndexKind,
        mut fetched: Box<Fetched>,
    ) -> Result<(Arc<Kept>, Box<Fetched>), InspectError> {
        let body = &mut fetched.body;
        let (chunks, queue) = mpsc::channel(CHUNKS_AHEAD);
        let directory = self.config.directory.clone();
        let limits = self.config.limits;
        let room = Room { space: Arc::clone(&self.space), kept: self.kept.clone(), taken: None };
        let reading = tokio::task::spawn_blocking(move || read(kind, queue, directory, &limits, room));
        let mut broken = false;
        while let Some(frame) = body.frame().await {
            let chunk = frame.map(|frame| frame.into_data().unwrap_or_default()).map_err(|_| ());
            broken = chunk.is_err();
            // A closed queue means that the verdict is there already.
            if chunks.send(chunk).await.is_err() || broken {
                break;
            }
        }
        drop(chunks);
        let read = reading.await.map_err(|error| self.spool_error(io::Error::other(error)))?;
        let (file, length, space) = match read {
            _ if broken => return Err(FetchError::Unavailable(Unavailable::Closed).into()),
            Ok(kept) => kept,
            Err(ReadError::Fault(fault)) => return Err(InspectError::Fault(fault)),
            Err(ReadError::Spool(source)) => return Err(self.spool_error(source)),
            Err(ReadError::NoRoom) => return Err(InspectError::Busy),
        };
        let kept = Kept {
            file: Arc::new(file),
            length,
            validators: fetched.validators.clone(),
            cache_control: fetched.cache_control,
            space: Arc::new(space),
        };
        Ok((Arc::new(kept), fetched))
    }

    fn spool_error(&self, source: io::Error) -> InspectError {
        let directory = self.config.directory.clone();
        tracing::error!(directory = %directory.display(), error = %source, "an index could not be kept for its inspection");
        InspectError::Spool { directory, source }
    }
}

impl From<&InspectError> for Inspection {
    fn from(error: &InspectError) -> Self {
        match error {
            InspectError::Fault(fault) => fault.kind().into(),
            InspectError::Fetch(_) => Self::NotRead,
            InspectError::Spool { .. } => Self::NotKept,
            InspectError::Busy => Self::Busy,
        }
    }
}

impl From<FaultKind> for Inspection {
    fn from(kind: FaultKind) -> Self {
        match kind {
            FaultKind::LeadsElsewhere => Self::LeadsElsewhere,
            FaultKind::Duplicate => Self::Duplicate,
            FaultKind::Malformed => Self::Malformed,
            FaultKind::Truncated => Self::Truncated,
            FaultKind::OverLimit => Self::OverLimit,
            FaultKind::Read => Self::NotRead,
        }
    }
}

fn without_range(conditions: &HeaderMap) -> HeaderMap {
    let mut conditions = conditions.clone();
    conditions.remove(http::header::RANGE);
    conditions.remove(http::header::IF_RANGE);
    conditions
}

enum ReadError {
    Fault(IndexFault),
    Spool(io::Error),
    NoRoom,
}

/// The disk space of one file, taken as it grows.
struct Room {
    space: Arc<Semaphore>,
    kept: Cache<Place, Arc<Kept>>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Makes sure that there is room for `length` bytes in all. What is kept only in case it is asked for again gives way.
    fn reserve(&mut self, length: u64) -> bool {
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let units = usize::try_from(length.div_ceil(UNIT_BYTES)).unwrap_or(usize::MAX);
        let Ok(missing) = u32::try_from(units.saturating_sub(taken)) else { return false };
        if missing == 0 {
            return true;
        }
        let more = Arc::clone(&self.space).try_acquire_many_owned(missing).or_else(|_| {
            self.kept.invalidate_all();
            self.kept.run_pending_tasks();
            Arc::clone(&self.space).try_acquire_many_owned(missing)
        });
        match (more, &mut self.taken) {
            (Ok(more), Some(taken)) => taken.merge(more),
            (Ok(more), none) => *none = Some(more),
            (Err(_), _) => return false,
        }
        true
    }
}

/// The blocking half: inspects what comes through the queue while keeping it.
fn read(
    kind: IndexKind,
    queue: mpsc::Receiver<Result<Bytes, ()>>,
    directory: PathBuf,
    limits: &Limits,
    room: Room,
) -> Result<(File, u64, OwnedSemaphorePermit), ReadError> {
    let file = std::fs::create_dir_all(&directory)
        .and_then(|()| tempfile::tempfile_in(&directory))
        .map_err(ReadError::Spool)?;
    let mut keeper = Keeper { queue, file, room, chunk: Bytes::new(), length: 0, failure: None };
    if !keeper.room.reserve(1) {
        return Err(ReadError::NoRoom);
    }
    let verdict = inspect(kind, &mut keeper, limits);
    if let Some(failure) = keeper.failure.take() {
        return Err(failure);
    }
    verdict.map_err(ReadError::Fault)?;
    // An inspection reads to the end; this is for a parser that one day would not.
    io::copy(&mut keeper, &mut io::sink()).map_err(ReadError::Spool)?;
    keeper.file.rewind().map_err(ReadError::Spool)?;
    let space = keeper.room.taken.ok_or(ReadError::NoRoom)?;
    Ok((keeper.file, keeper.length, space))
}

/// Hands on what comes through the queue and keeps a copy.
struct Keeper {
    queue: mpsc::Receiver<Result<Bytes, ()>>,
    file: File,
    room: Room,
    chunk: Bytes,
    length: u64,
    failure: Option<ReadError>,
}

impl Read for Keeper {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.queue.blocking_recv() {
                None => return Ok(0),
                Some(Err(())) => return Err(io::ErrorKind::BrokenPipe.into()),
                Some(Ok(chunk)) => {
                    self.length += chunk.len() as u64;
                    if !self.room.reserve(self.length) {
                        self.failure = Some(ReadError::NoRoom);
                        return Err(io::ErrorKind::StorageFull.into());
                    }
                    if let Err(error) = self.file.write_all(&chunk) {
                        let kind = error.kind();
                        self.failure = Some(ReadError::Spool(error));
                        return Err(kind.into());
                    }
                    self.chunk = chunk;
                }
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
