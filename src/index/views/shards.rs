//! Shard indexes and shards: the upstream's, or made.
//!
//! All shards that are made of a directory for a view are one object, its pack; the shard index is made of the pack. The pack of a view that
//! does not show all has only what differs from the pack of all, and leads to that for the rest. A shard is served to a view only if the
//! view's own pack lists it, now or until a while ago.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::made::{Recipe, Writing, digest_of};
use super::{SupplyError, Wanted};
use crate::cache::{CacheError, CacheStatus, FillError, Object, Part, Portion, Sha256, Supply};
use crate::conda::{UpstreamPath, redact};
use crate::index::family::{Family, beside};
use crate::index::indexes::{Origin, Shared};
use crate::index::making::decoded;
use crate::index::{Ancestry, Found, Pack};
use crate::metrics::MadeKind;
use crate::policy::View;
use crate::semantics::Span;

impl Shared {
    /// The upstream's shard index, unless it has none or lies about its shards: then the gate's own.
    pub(super) async fn own_or_made_shard_index(
        self: &Arc<Self>,
        origin: &Origin,
        wanted: &Wanted<'_>,
        directory: &str,
    ) -> Result<Supply, SupplyError> {
        match self.fetch(origin, wanted.path, false).await {
            Ok(Supply::Object(index, status)) => {
                if self.is_lying(origin, directory, &index) {
                    return self.made_shard_index(origin, wanted.view, directory).await;
                }
                let index = Supply::Object(index, status);
                Ok(self.kept_at_the_gate(origin, wanted.path, index).await?)
            }
            Err(CacheError::Missing { .. }) => {
                // There has to be something to make shards of; and not of shards.
                self.newest_of(origin, &Family::whole(directory)).await?;
                self.made_shard_index(origin, wanted.view, directory).await
            }
            other => Ok(other?),
        }
    }

    /// A shard of a directory that is seen whole.
    pub(super) async fn own_or_made_shard(
        self: &Arc<Self>,
        origin: &Origin,
        wanted: &Wanted<'_>,
        directory: &str,
        digest: Sha256,
    ) -> Result<Supply, SupplyError> {
        let path = shard_index(directory)?;
        let index = self.bench.disk.peek(&origin.key(&path)).await;
        let index = index.filter(|index| !self.is_lying(origin, directory, index));
        if index.is_none()
            && let Some(portion) = self.packed(origin, wanted.view, directory, digest).await?
        {
            return Ok(Supply::Portion(portion, CacheStatus::Hit));
        }
        let error = match self.fetch(origin, wanted.path, false).await {
            Err(error @ (CacheError::Missing { .. } | CacheError::Fill(FillError::Refused(_)))) => error,
            supply => return Ok(supply?),
        };
        let index = match (index, &error) {
            (Some(index), _) => index,
            (None, CacheError::Missing { .. }) => {
                self.newest_of(origin, &Family::whole(directory)).await?;
                return self.made_shard(origin, wanted.view, directory, digest).await;
            }
            (None, _) => return Err(error.into()),
        };
        if self.names_shard(&index, digest).await {
            tracing::warn!(
                channel = %origin.channel,
                directory = %redact::text(directory),
                %error,
                "the upstream's shard index names a shard that is not there or is another: the gate makes its own until there is a new one"
            );
            if let Some(generation) = index.facts().generation {
                self.lying.insert(origin.place(directory), generation);
            }
            return Err(error.into());
        }
        // It may be one that the gate made before the upstream had shards.
        let portion = self.packed(origin, wanted.view, directory, digest).await?.ok_or(error)?;
        Ok(Supply::Portion(portion, CacheStatus::Hit))
    }

    /// True for a shard index that was found to name shards that are not there.
    fn is_lying(&self, origin: &Origin, directory: &str, index: &Object) -> bool {
        let lying = self.lying.get(&origin.place(directory));
        lying.is_some() && lying == index.facts().generation
    }

    /// True if a shard index names a shard of this digest.
    async fn names_shard(&self, index: &Object, digest: Sha256) -> bool {
        let (index, limits) = (index.clone(), self.bench.config.limits);
        let looking = tokio::task::spawn_blocking(move || {
            let bytes = decoded(&index, &limits).unwrap_or_default();
            bytes.windows(digest.as_bytes().len()).any(|window| window == digest.as_bytes())
        });
        looking.await.unwrap_or(false)
    }

    /// The shard index of what a view shows.
    pub(super) async fn made_shard_index(
        self: &Arc<Self>,
        origin: &Origin,
        view: &View,
        directory: &str,
    ) -> Result<Supply, SupplyError> {
        let (pack, status) = self.made_pack(origin, view, directory).await?;
        let held = pack.clone();
        let reading = tokio::task::spawn_blocking(move || open(&held).map(|held| held.index()));
        match reading.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((Range { start, end }, sha256)) => {
                let portion = Portion { object: pack, span: Span { start, end }, sha256 };
                Ok(Supply::Portion(portion, status))
            }
            Err(error) => Err(self.lost(origin, directory, &pack, &error).await),
        }
    }

    /// A pack cannot be read: it is made anew when somebody asks again.
    async fn lost(&self, origin: &Origin, directory: &str, pack: &Object, error: &io::Error) -> SupplyError {
        tracing::warn!(channel = %origin.channel, directory = %redact::text(directory), %error, "a pack of shards cannot be read; it is made anew");
        self.bench.disk.remove(&pack.facts().key()).await;
        FillError::Broken.into()
    }

    /// A shard that the view's own shard index lists, or listed until a while ago.
    pub(super) async fn made_shard(
        self: &Arc<Self>,
        origin: &Origin,
        view: &View,
        directory: &str,
        digest: Sha256,
    ) -> Result<Supply, SupplyError> {
        if let Some(portion) = self.packed(origin, view, directory, digest).await? {
            return Ok(Supply::Portion(portion, CacheStatus::Hit));
        }
        // Another gate of the fleet may be ahead of this one.
        let asked = (origin.place(directory), view.id());
        if self.sights.asked.contains_key(&asked) {
            return Err(SupplyError::MISSING);
        }
        self.sights.asked.insert(asked, ());
        let (source, _) = self.truth(origin, directory).await?;
        if let Some(path) = UpstreamPath::parse(&source.facts().path) {
            // What came of it was counted and logged there.
            let _ = self.fetch(origin, &path, true).await;
        }
        let (_, status) = self.made_pack(origin, view, directory).await?;
        let portion = self.packed(origin, view, directory, digest).await?.ok_or(SupplyError::MISSING)?;
        Ok(Supply::Portion(portion, status))
    }

    /// All shards of what a view shows, of the newest generation.
    async fn made_pack(
        self: &Arc<Self>,
        origin: &Origin,
        view: &View,
        directory: &str,
    ) -> Result<(Object, CacheStatus), SupplyError> {
        let (source, status, sight) = self.sight(origin, directory, view).await?;
        let whole = if view.is_whole() {
            None
        } else {
            let all = View::whole();
            Some(Box::pin(self.made_pack(origin, &all, directory)).await?.0)
        };
        let path = shard_index(directory)?;
        let key = origin.key(&path).of_part(Part::Pack(digest(view)));
        let previous = self.bench.disk.find(&key).await;
        let recipe = Recipe {
            kind: MadeKind::Pack,
            key,
            digest: digest_of(MadeKind::Pack, &[sight.generation.as_bytes(), &sight.words()]),
            source: source.clone(),
        };
        let now = self.bench.clock.now();
        let subdir = directory.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let prepare = || async {
            let document = self.document_of(&source).await?;
            let selection = sight.selection();
            let write: Writing = Box::new(move |mut out| {
                // One that cannot be read is made afresh.
                let previous = previous.as_ref().and_then(|pack| open(pack).ok());
                let whole = whole.as_ref().map(open).transpose()?;
                let ancestry = Ancestry { previous: previous.as_ref(), whole: whole.as_ref(), now };
                Pack::make(&document, &selection, &subdir, &ancestry, &mut out).map(|_| ())
            });
            Ok(write)
        };
        self.made_of(recipe, status, prepare).await
    }

    /// The shard of this digest in the view's pack as it is held.
    async fn packed(
        self: &Arc<Self>,
        origin: &Origin,
        view: &View,
        directory: &str,
        digest_of_shard: Sha256,
    ) -> Result<Option<Portion>, SupplyError> {
        let path = shard_index(directory)?;
        let key = origin.key(&path);
        let mut view = digest(view);
        // A pack of a view may refer to the one of all, which refers to none.
        for _ in 0..2 {
            let Some(object) = self.bench.disk.find(&key.of_part(Part::Pack(view))).await else { break };
            let pack = object.clone();
            let finding = tokio::task::spawn_blocking(move || open(&pack)?.find(&digest_of_shard)).await;
            match finding.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(Some(Found::Here(Range { start, end }))) => {
                    let span = Span { start, end };
                    return Ok(Some(Portion { object, span, sha256: digest_of_shard }));
                }
                Ok(Some(Found::InWhole)) => view = digest(&View::whole()),
                Ok(None) => break,
                Err(error) => return Err(self.lost(origin, directory, &object, &error).await),
            }
        }
        Ok(None)
    }
}

/// The path of a directory's shard index.
fn shard_index(directory: &str) -> Result<UpstreamPath, SupplyError> {
    beside(directory, "repodata_shards.msgpack.zst").ok_or(SupplyError::MISSING)
}

/// What names a view in keys.
fn digest(view: &View) -> Sha256 {
    Sha256::from_bytes(*view.id().as_bytes())
}

fn open(pack: &Object) -> io::Result<Pack> {
    Pack::open(Arc::clone(pack.file()), 0, pack.facts().length)
}
