//! The document of a directory whose upstream has nothing but shards: put together of them, and kept like an index that was fetched.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{BufWriter, Write as _};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::SupplyError;
use super::truth::{refused, unkept};
use crate::cache::{
    Bypass, CacheError, CacheStatus, Draft, DraftError, Facts, FillError, Object, Part, Sha256, Supply,
};
use crate::conda::{UpstreamPath, redact};
use crate::index::family::beside;
use crate::index::indexes::{Origin, Shared};
use crate::index::making::{Section, Written, decoded};
use crate::index::{Assembly, IndexFault, Limits};
use crate::metrics::{MadeKind, Making};

impl Shared {
    /// The document of the shards that the upstream's shard index names.
    pub(super) async fn assembled(
        self: &Arc<Self>,
        origin: &Origin,
        directory: &str,
    ) -> Result<(Object, CacheStatus), SupplyError> {
        let path = beside(directory, "repodata_shards.msgpack.zst").ok_or(SupplyError::MISSING)?;
        let (index, status) = match self.fetch(origin, &path, false).await? {
            Supply::Object(index, status) => (index, status),
            other => return Err(unkept(&other).into()),
        };
        let path = beside(directory, "repodata.json").ok_or(SupplyError::MISSING)?;
        let key = origin.key(&path).of_part(Part::Assembled(index.facts().sha256));
        if let Some(kept) = self.bench.disk.find(&key).await {
            return Ok((self.as_old_as(kept, &index).await, status));
        }
        let _one = self.one_maker(&key).await?;
        if let Some(kept) = self.bench.disk.find(&key).await {
            return Ok((self.as_old_as(kept, &index).await, status));
        }
        let begun = self.bench.clock.uptime();
        let draft = self.bench.disk.draft(&key, None).await.map_err(full)?;
        let facts = Facts {
            part: key.part(),
            path: key.path().to_owned(),
            etag: None,
            fetched_at: self.bench.clock.now(),
            ..index.facts().clone()
        };
        let shards = self.shards_of(&index).await?;
        let count = shards.len();
        let assembled = self.assemble(origin, directory, &index, shards, (draft, facts)).await;
        let outcome = if assembled.is_ok() { Making::Made } else { Making::Failed };
        self.bench.metrics.index_made(MadeKind::Assembled, outcome);
        let took = self.bench.clock.uptime().saturating_sub(begun).as_secs_f64();
        self.bench.metrics.index_making_took(MadeKind::Assembled, took);
        tracing::info!(channel = %origin.channel, directory = %redact::text(directory), shards = count, seconds = took, "put an index together of its shards");
        Ok((self.as_old_as(assembled?, &index).await, status))
    }

    /// The digests of the shards that an index names, in the order of their packages' names.
    async fn shards_of(&self, index: &Object) -> Result<Vec<Sha256>, SupplyError> {
        let (index, limits) = (index.clone(), self.bench.config.limits);
        let reading = tokio::task::spawn_blocking(move || {
            let bytes = decoded(&index, &limits)?;
            let index: ShardIndex = rmp_serde::from_slice(&bytes)
                .map_err(|error| IndexFault::of_msgpack(&error, bytes.len() as u64))?;
            Ok(index.shards.into_values().map(|Digest(digest)| digest).collect())
        });
        reading.await.map_err(|_| FillError::Broken)?.map_err(refused)
    }

    /// Fetches the shards, some at once, and puts them together as they come.
    async fn assemble(
        self: &Arc<Self>,
        origin: &Origin,
        directory: &str,
        index: &Object,
        shards: Vec<Sha256>,
        (draft, facts): (Draft, Facts),
    ) -> Result<Object, SupplyError> {
        let (pieces, queue) = mpsc::channel(SHARDS_AT_ONCE);
        let (from, limits) = (index.clone(), self.bench.config.limits);
        let assembling = tokio::task::spawn_blocking(move || write(queue, &from, &limits, draft, facts));
        let mut coming: VecDeque<JoinHandle<Result<Object, SupplyError>>> = VecDeque::new();
        let mut shards = shards.into_iter();
        loop {
            while coming.len() < SHARDS_AT_ONCE
                && let Some(shard) = shards.next()
            {
                let (shared, origin) = (Arc::clone(self), origin.clone());
                let paths: Vec<UpstreamPath> = ["shards/", ""]
                    .into_iter()
                    .filter_map(|folder| beside(directory, &format!("{folder}{shard}.msgpack.zst")))
                    .collect();
                coming.push_back(tokio::spawn(async move { shared.shard(&origin, paths).await }));
            }
            let Some(next) = coming.pop_front() else { break };
            let shard = next.await.unwrap_or(Err(FillError::Broken.into()))?;
            // A closed queue means that the verdict is there already.
            if pieces.send(Piece::Shard(shard)).await.is_err() {
                break;
            }
        }
        let _ = pieces.send(Piece::End).await;
        drop(pieces);
        assembling.await.map_err(|_| FillError::Broken)?
    }

    /// One shard, at the first of the places where there is one.
    async fn shard(&self, origin: &Origin, paths: Vec<UpstreamPath>) -> Result<Object, SupplyError> {
        for path in paths {
            match self.fetch(origin, &path, false).await {
                Ok(Supply::Object(shard, _)) => return Ok(shard),
                Ok(other) => return Err(unkept(&other).into()),
                Err(CacheError::Missing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The index names it: without it nobody can say what there is.
        Err(CacheError::Fill(FillError::Corrupt).into())
    }

    async fn as_old_as(&self, made: Object, source: &Object) -> Object {
        if made.validated_at() < source.validated_at() {
            return self.bench.disk.confirm(&made, source.validated_at()).await;
        }
        made
    }
}

/// What goes to whoever puts it together.
enum Piece {
    Shard(Object),
    /// There are no more.
    End,
}

/// Puts together what comes through the queue. Blocking.
fn write(
    mut queue: mpsc::Receiver<Piece>,
    index: &Object,
    limits: &Limits,
    draft: Draft,
    facts: Facts,
) -> Result<Object, SupplyError> {
    let mut assembly = Assembly::new(limits);
    loop {
        match queue.blocking_recv() {
            Some(Piece::Shard(shard)) => assembly.add(Section::of(&shard)).map_err(refused)?,
            Some(Piece::End) => break,
            // Whoever sends has failed or is gone: what is here is not all.
            None => return Err(FillError::Broken.into()),
        }
    }
    assembly.add_index(Section::of(index)).map_err(refused)?;
    let mut written = Written::new(draft);
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, &mut written);
    let outcome = assembly.write(&mut buffered).and_then(|()| buffered.flush());
    drop(buffered);
    let draft = written.into_draft(outcome).map_err(full)?;
    let (length, sha256) = (draft.written(), draft.sha256_so_far());
    // It is its own decompressed document.
    let facts = Facts { length, sha256, generation: Some(sha256), ..facts };
    draft.seal(facts).map_err(full)
}

fn full(error: DraftError) -> SupplyError {
    FillError::Unkept(match error {
        DraftError::Full => Bypass::DiskFull,
        DraftError::Io(_) | DraftError::OtherFacts => Bypass::DiskError,
    })
    .into()
}

/// The part of a shard index that names shards.
#[derive(Deserialize)]
struct ShardIndex {
    shards: BTreeMap<String, Digest>,
}

/// A digest as MessagePack has it.
struct Digest(Sha256);

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a SHA-256 digest")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Digest, E> {
                let bytes = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))?;
                Ok(Digest(Sha256::from_bytes(bytes)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map(Digest).map_err(E::custom)
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// How many shards are fetched at once.
const SHARDS_AT_ONCE: usize = 16;

const BUFFER_BYTES: usize = 256 << 10;
