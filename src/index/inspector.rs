//! Inspects an index before its first byte is served.
//!
//! A fault may stand in the last record, and a response's status cannot be taken back, so the index is read to its end first: the bytes
//! go from the upstream through the inspection into a file without a name ([`tempfile`]), and from there to the client. What has passed
//! is remembered by its strong entity tag and length, so that the next client gets the same bytes straight from the upstream.
//!
//! | step | on failure |
//! | --- | --- |
//! | ask the upstream, with the client's conditions but never for a range | the upstream's own refusal |
//! | 304, or a version that has passed: nothing to inspect | – |
//! | wait for one of the places ([`Config::inspections_max`]) | [`InspectError::Busy`] after [`Config::wait`] |
//! | a version that has passed while this one waited: nothing to inspect | – |
//! | read, inspect and keep | [`InspectError::Fault`], [`InspectError::Spool`]; an upstream that dies is unavailable |
//! | serve from the file | – |
//!
//! What came of it is counted in `channelgate_index_inspections_total`; a fault is logged at `warn`, because the upstream's operator can do
//! something about it and the client cannot.
//!
//! The memory belongs to one configuration: after a reload everything is inspected again, because an upstream may be another one.
//! It must never serve a byte of an index that was not inspected. Read [`super::inspect`] next.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use moka::sync::Cache;
use tokio::sync::{Semaphore, mpsc};

use super::{FaultKind, IndexFault, IndexKind, Limits, inspect};
use crate::conda::{ChannelName, redact};
use crate::metrics::{Inspection, Metrics};
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
    /// How many versions that have passed are remembered. Default 10,000.
    pub remembered_max: u64,
}

impl Config {
    /// The defaults, with this directory.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            limits: Limits::default(),
            inspections_max: 4,
            wait: Duration::from_secs(30),
            remembered_max: 10_000,
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
    /// Too many inspections were under way.
    #[error("too many indexes were being inspected")]
    Busy,
}

/// The inspection of one gate's indexes.
pub struct Inspector {
    config: Config,
    passed: Cache<Version, ()>,
    places: Arc<Semaphore>,
}

/// One version of one file of one upstream.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Version {
    channel: ChannelName,
    upstream: usize,
    path: String,
    etag: Vec<u8>,
    length: Option<u64>,
}

/// How many chunks may wait between the network and the inspection.
const CHUNKS_AHEAD: usize = 4;

impl Inspector {
    /// An inspector that has seen nothing yet.
    pub fn new(config: Config) -> Self {
        let passed = Cache::new(config.remembered_max);
        let places = Arc::new(Semaphore::new(config.inspections_max));
        Self { config, passed, places }
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
    ) -> Result<Fetched, InspectError> {
        let Some(kind) = IndexKind::of(ask.path.file_name()) else { return Ok(upstreams.fetch(ask).await?) };
        let conditions = ask.conditions.map(without_range);
        let ask = Ask { conditions: conditions.as_ref(), ..*ask };
        let fetched = upstreams.fetch(&ask).await?;
        if fetched.answer != Answer::Whole {
            return Ok(fetched);
        }
        let inspected = self.fetch_inspected(kind, channel, upstreams, &ask, fetched).await;
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
        channel: &ChannelName,
        upstreams: &Upstreams,
        ask: &Ask<'_>,
        fetched: Fetched,
    ) -> Result<(Inspection, Fetched), InspectError> {
        if self.has_passed(channel, ask, &fetched) {
            return Ok((Inspection::Remembered, fetched));
        }
        let place = tokio::time::timeout(self.config.wait, Arc::clone(&self.places).acquire_owned());
        let Ok(Ok(_place)) = place.await else { return Err(InspectError::Busy) };
        // A new version is asked for by many at once: one inspection is enough for those who waited.
        if self.has_passed(channel, ask, &fetched) {
            return Ok((Inspection::Remembered, fetched));
        }
        // A head says nothing about the bytes: whoever asks for one is told what GET would tell.
        let whole = if ask.method == Method::Head {
            upstreams.fetch(&Ask { method: Method::Get, conditions: None, ..*ask }).await?
        } else {
            fetched
        };
        let version = version(channel, ask, &whole);
        let inspected = self.inspect(kind, whole).await?;
        if let Some(version) = version {
            self.passed.insert(version, ());
        }
        Ok((Inspection::Passed, inspected))
    }

    fn has_passed(&self, channel: &ChannelName, ask: &Ask<'_>, fetched: &Fetched) -> bool {
        version(channel, ask, fetched).is_some_and(|version| self.passed.contains_key(&version))
    }

    /// Reads the body to its end, through the inspection and into a file, and puts the file in its place.
    async fn inspect(&self, kind: IndexKind, fetched: Fetched) -> Result<Fetched, InspectError> {
        let Fetched { mut body, length: announced, .. } = fetched;
        let (chunks, queue) = mpsc::channel(CHUNKS_AHEAD);
        let directory = self.config.directory.clone();
        let limits = self.config.limits;
        let reading = tokio::task::spawn_blocking(move || read(kind, queue, directory, &limits));
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
        let (file, length) = match read {
            _ if broken => return Err(FetchError::Unavailable(Unavailable::Closed).into()),
            Ok(kept) => kept,
            Err(ReadError::Fault(fault)) => return Err(InspectError::Fault(fault)),
            Err(ReadError::Spool(source)) => return Err(self.spool_error(source)),
        };
        debug_assert!(announced.is_none_or(|announced| announced == length));
        Ok(Fetched { body: body.again_from(file, length), length: Some(length), ..fetched })
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
            InspectError::Fault(fault) => match fault.kind() {
                FaultKind::LeadsElsewhere => Self::LeadsElsewhere,
                FaultKind::Malformed => Self::Malformed,
                FaultKind::Truncated => Self::Truncated,
                FaultKind::OverLimit => Self::OverLimit,
                FaultKind::Read => Self::NotRead,
            },
            InspectError::Fetch(_) => Self::NotRead,
            InspectError::Spool { .. } => Self::NotKept,
            InspectError::Busy => Self::Busy,
        }
    }
}

/// The version that an answer is, if it has a name that no other version has.
fn version(channel: &ChannelName, ask: &Ask<'_>, fetched: &Fetched) -> Option<Version> {
    let etag = fetched.validators.etag.as_ref().filter(|etag| etag.is_strong())?;
    Some(Version {
        channel: channel.clone(),
        upstream: fetched.upstream,
        path: ask.path.decoded().to_owned(),
        etag: etag.as_header().as_bytes().to_vec(),
        length: fetched.length,
    })
}

fn without_range(conditions: &http::HeaderMap) -> http::HeaderMap {
    let mut conditions = conditions.clone();
    conditions.remove(http::header::RANGE);
    conditions.remove(http::header::IF_RANGE);
    conditions
}

enum ReadError {
    Fault(IndexFault),
    Spool(io::Error),
}

/// The blocking half: inspects what comes through the queue while keeping it.
fn read(
    kind: IndexKind,
    queue: mpsc::Receiver<Result<Bytes, ()>>,
    directory: PathBuf,
    limits: &Limits,
) -> Result<(File, u64), ReadError> {
    let file = std::fs::create_dir_all(&directory)
        .and_then(|()| tempfile::tempfile_in(&directory))
        .map_err(ReadError::Spool)?;
    let mut keeper = Keeper { queue, file, chunk: Bytes::new(), length: 0, failure: None };
    let verdict = inspect(kind, &mut keeper, limits);
    if let Some(failure) = keeper.failure.take() {
        return Err(ReadError::Spool(failure));
    }
    verdict.map_err(ReadError::Fault)?;
    // An inspection reads to the end; this is for a parser that one day would not.
    io::copy(&mut keeper, &mut io::sink()).map_err(ReadError::Spool)?;
    keeper.file.rewind().map_err(ReadError::Spool)?;
    Ok((keeper.file, keeper.length))
}

/// Hands on what comes through the queue and keeps a copy.
struct Keeper {
    queue: mpsc::Receiver<Result<Bytes, ()>>,
    file: File,
    chunk: Bytes,
    length: u64,
    failure: Option<io::Error>,
}

impl Read for Keeper {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.queue.blocking_recv() {
                None => return Ok(0),
                Some(Err(())) => return Err(io::ErrorKind::BrokenPipe.into()),
                Some(Ok(chunk)) => {
                    if let Err(error) = self.file.write_all(&chunk) {
                        let kind = error.kind();
                        self.failure = Some(error);
                        return Err(kind.into());
                    }
                    self.length += chunk.len() as u64;
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
