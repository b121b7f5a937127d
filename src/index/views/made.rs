//! One made object: found as it was made before, or made now, by one for all who want it.
//!
//! What a file is made of is its [`Recipe`]; two gates that make it of the same get the same bytes. What was made of something else before stays
//! until the new one is whole, and is served in its place where making fails, for as long as a file could be whose upstream fails.

use std::future::Future;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use tokio::sync::MutexGuard;

use super::SupplyError;
use crate::cache::{
    Bypass, CacheError, CacheStatus, Draft, DraftError, Facts, FillError, Hashing, Key, Object, Proof,
    Refused, Sha256,
};
use crate::conda::redact;
use crate::index::indexes::Shared;
use crate::index::making::Written;
use crate::metrics::{MadeKind, Making};
use crate::semantics::Freshness;

/// What an object is made of, and where it is kept.
pub(super) struct Recipe {
    pub(super) kind: MadeKind,
    pub(super) key: Key,
    /// Of all that its bytes depend on.
    pub(super) digest: Sha256,
    /// Whose freshness it has.
    pub(super) source: Object,
}

/// Writes the bytes of an object. Called where it may block.
pub(super) type Writing = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// The digest of what `pieces` are, in their order.
pub(super) fn digest_of(kind: MadeKind, pieces: &[&[u8]]) -> Sha256 {
    let mut hashing = Hashing::new();
    for piece in [FORMAT.as_bytes(), kind.as_str().as_bytes()].iter().chain(pieces) {
        hashing.update(&(piece.len() as u64).to_le_bytes());
        hashing.update(piece);
    }
    hashing.finish()
}

impl Shared {
    /// The object of `recipe`, and how whoever wants it fared: as its source did, or with an older one. What `prepare` gives writes its bytes;
    /// it must not make or fetch anything itself, for others may wait for the same place.
    pub(super) async fn made_of<F>(
        &self,
        recipe: Recipe,
        status: CacheStatus,
        prepare: impl FnOnce() -> F,
    ) -> Result<(Object, CacheStatus), SupplyError>
    where
        F: Future<Output = Result<Writing, SupplyError>>,
    {
        if let Some(made) = self.kept(&recipe).await {
            self.bench.metrics.index_made(recipe.kind, Making::Kept);
            return Ok((made, status));
        }
        let made = self.make_one(&recipe, prepare).await;
        match made {
            Ok(made) => Ok((made, status)),
            Err(error) => {
                self.bench.metrics.index_made(recipe.kind, Making::Failed);
                tracing::warn!(file = %redact::text(recipe.key.path()), channel = %recipe.key.channel(), %error, "a file could not be made");
                let older = self.bench.disk.find(&recipe.key).await.filter(|older| self.may_stand_in(older));
                older.map(|older| (older, CacheStatus::Stale)).ok_or(error)
            }
        }
    }

    async fn make_one<F>(&self, recipe: &Recipe, prepare: impl FnOnce() -> F) -> Result<Object, SupplyError>
    where
        F: Future<Output = Result<Writing, SupplyError>>,
    {
        let _one = self.one_maker(&recipe.key).await?;
        if let Some(made) = self.kept(recipe).await {
            self.bench.metrics.index_made(recipe.kind, Making::Kept);
            return Ok(made);
        }
        let begun = self.bench.clock.uptime();
        let write = prepare().await?;
        let turn = self.bench.turn().await.ok_or(FillError::Busy)?;
        let draft = self.bench.disk.draft(&recipe.key, None).await.map_err(unkept)?;
        let facts = Facts {
            part: recipe.key.part(),
            path: recipe.key.path().to_owned(),
            proof: Proof::Inspected,
            etag: None,
            last_modified: None,
            generation: Some(recipe.digest),
            fetched_at: self.bench.clock.now(),
            ..recipe.source.facts().clone()
        };
        let making = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            write_object(draft, facts, write)
        });
        let made = making.await.map_err(|_| FillError::Unkept(Bypass::DiskError))?.map_err(unkept)?;
        let took = self.bench.clock.uptime().saturating_sub(begun);
        self.bench.metrics.index_made(recipe.kind, Making::Made);
        self.bench.metrics.index_making_took(recipe.kind, took.as_secs_f64());
        tracing::info!(
            channel = %recipe.key.channel(),
            file = %redact::text(recipe.key.path()),
            bytes = made.facts().length,
            seconds = took.as_secs_f64(),
            "made a file for a view"
        );
        Ok(self.bench.disk.confirm(&made, recipe.source.validated_at()).await)
    }

    /// What was made by this recipe, as old as what it was made of.
    async fn kept(&self, recipe: &Recipe) -> Option<Object> {
        let made = self.bench.disk.find(&recipe.key).await?;
        if made.facts().generation != Some(recipe.digest) {
            return None;
        }
        if made.validated_at() < recipe.source.validated_at() {
            return Some(self.bench.disk.confirm(&made, recipe.source.validated_at()).await);
        }
        Some(made)
    }

    /// True if an object that is old may be served where a newer one cannot be made.
    fn may_stand_in(&self, object: &Object) -> bool {
        let age = self.bench.clock.now().since(object.validated_at());
        let patience = &self.cache.rules().patience;
        match Freshness::of(&object.facts().cache_control, Some(age), patience) {
            Freshness::Fresh => true,
            Freshness::Lapsed { on_error, .. } => on_error,
        }
    }

    /// Waits to be the one that makes the object of `key`.
    pub(super) async fn one_maker(&self, key: &Key) -> Result<MutexGuard<'_, ()>, SupplyError> {
        let slot = key.digest().as_bytes().first().map_or(0, |byte| usize::from(*byte)) % self.making.len();
        let Some(slot) = self.making.get(slot) else { return Err(FillError::Busy.into()) };
        // Whoever waits here waits for work and not for an upstream: a first document takes its time.
        let waiting = self.bench.config.wait.max(WAIT_MIN);
        Ok(tokio::time::timeout(waiting, slot.lock()).await.map_err(|_| FillError::Busy)?)
    }
}

/// Writes an object. Blocking.
fn write_object(draft: Draft, facts: Facts, write: Writing) -> Result<Object, DraftError> {
    let mut written = Written::new(draft);
    let outcome = {
        let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, &mut written);
        write(&mut buffered).and_then(|()| buffered.flush())
    };
    let draft = written.into_draft(outcome)?;
    let (length, sha256) = (draft.written(), draft.sha256_so_far());
    draft.seal(Facts { length, sha256, ..facts })
}

fn unkept(error: DraftError) -> SupplyError {
    match error {
        DraftError::Full => FillError::Unkept(Bypass::DiskFull).into(),
        // The document itself, or what was made of it, is not as it should be.
        DraftError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            CacheError::Fill(FillError::Refused(Refused::new(error))).into()
        }
        DraftError::Io(_) | DraftError::OtherFacts => FillError::Unkept(Bypass::DiskError).into(),
    }
}

/// Changes when what is made of the same is written in another way.
const FORMAT: &str = "channelgate made 1";

const BUFFER_BYTES: usize = 256 << 10;

/// How long a request waits for another that makes the same file, at least.
const WAIT_MIN: Duration = Duration::from_secs(30);
