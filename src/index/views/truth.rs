//! The document of a directory: fetched as any index is, put together of shards where there is nothing else, and held in memory while it is
//! worked with.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache as Memory;
use tokio::sync::Mutex;

use super::{SupplyError, leads_away};
use crate::cache::{CacheError, CacheStatus, FillError, Object, Refused, Sha256, Supply};
use crate::conda::UpstreamPath;
use crate::index::Document;
use crate::index::family::Family;
use crate::index::indexes::{Origin, Shared};
use crate::index::making::decoded;

/// The documents that are in memory.
pub(super) struct Documents {
    /// By the digest of what they were read from.
    held: Memory<Sha256, Arc<Document>>,
    /// One is read at a time: each may take a good part of a gigabyte.
    reading: Mutex<()>,
}

impl Documents {
    pub(super) fn new(bytes_max: u64) -> Self {
        let held = Memory::builder()
            .max_capacity(bytes_max / UNIT_BYTES)
            .weigher(|_, document: &Arc<Document>| {
                u32::try_from(document.weight() as u64 / UNIT_BYTES + 1).unwrap_or(u32::MAX)
            })
            .time_to_idle(IDLE_MAX)
            .build();
        Self { held, reading: Mutex::new(()) }
    }
}

impl Shared {
    /// The newest index that names all packages of a directory.
    pub(super) async fn truth(
        self: &Arc<Self>,
        origin: &Origin,
        directory: &str,
    ) -> Result<(Object, CacheStatus), SupplyError> {
        match self.newest_of(origin, &Family::whole(directory)).await {
            Err(CacheError::Missing { .. }) => self.assembled(origin, directory).await,
            newest => Ok(newest?),
        }
    }

    /// The newest file of a family: the one that is held, as far as the upstream has it still, else the first that it has.
    pub(super) async fn newest_of(
        self: &Arc<Self>,
        origin: &Origin,
        family: &Family<'_>,
    ) -> Result<(Object, CacheStatus), CacheError> {
        let held = self.newest_held(origin, family, None).await.map(|held| held.facts().path.clone());
        let is_held = |path: &UpstreamPath| held.as_deref() == Some(path.decoded());
        let first = family.members().filter(is_held);
        for path in first.chain(family.members().filter(|path| !is_held(path))) {
            match self.fetch(origin, &path, false).await {
                Ok(Supply::Object(object, status)) => return Ok((object, status)),
                Ok(other) => return Err(CacheError::Fill(unkept(&other))),
                Err(CacheError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(CacheError::Missing { remembered: false })
    }

    /// True if the index of a directory that is held must not be served as it is.
    pub(super) async fn is_rewritten(&self, origin: &Origin, directory: &str) -> bool {
        self.newest_held(origin, &Family::whole(directory), None)
            .await
            .is_some_and(|index| leads_away(&index))
    }

    /// The document that an object is, out of memory or read now.
    pub(super) async fn document_of(&self, object: &Object) -> Result<Arc<Document>, SupplyError> {
        let digest = object.facts().generation.unwrap_or(object.facts().sha256);
        let documents = &self.sights.documents;
        if let Some(document) = documents.held.get(&digest) {
            return Ok(document);
        }
        let waiting = self.bench.config.wait.max(WAIT_MIN);
        let reading = tokio::time::timeout(waiting, documents.reading.lock()).await;
        let _one = reading.map_err(|_| FillError::Busy)?;
        if let Some(document) = documents.held.get(&digest) {
            return Ok(document);
        }
        let turn = self.bench.turn().await.ok_or(FillError::Busy)?;
        let (object, limits) = (object.clone(), self.bench.config.limits);
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let bytes = decoded(&object, &limits)?;
            Document::parse(Bytes::from(bytes), &limits)
        });
        let document = reading.await.map_err(|_| FillError::Broken)?.map_err(refused)?;
        let document = Arc::new(document);
        documents.held.insert(digest, Arc::clone(&document));
        Ok(document)
    }
}

/// Why a file that was got is not on the disk.
pub(super) fn unkept(supply: &Supply) -> FillError {
    match supply {
        Supply::Through(through, _) => FillError::Unkept(through.reason()),
        _ => FillError::Broken,
    }
}

/// An index that cannot be read as what it is.
pub(super) fn refused(fault: crate::index::IndexFault) -> SupplyError {
    CacheError::Fill(FillError::Refused(Refused::new(fault))).into()
}

/// The grain of memory.
const UNIT_BYTES: u64 = 1 << 10;

/// How long a document stays in memory that nobody asks for.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long a request waits for the documents that are read before its own.
const WAIT_MIN: Duration = Duration::from_secs(30);
