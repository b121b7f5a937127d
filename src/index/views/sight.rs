//! Which records of a directory's document a view shows.
//!
//! Chosen once per document and view, and remembered: while it holds nothing has to be parsed to say what there is. It holds until the
//! document changes, and under a quarantine until the first of those that it hides for their age is old enough.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache as Memory;
use tokio::sync::{Mutex, Semaphore};

use super::SupplyError;
use super::truth::Documents;
use crate::cache::{CacheStatus, FillError, Object, Sha256};
use crate::clock::Timestamp;
use crate::index::indexes::{Origin, Place, Shared};
use crate::index::{Ages, Document, Record, Selection};
use crate::policy::{Artifact, FirstSeen, View, ViewId, Visibility};
use crate::store::SeenDigest;

/// What a view shows of one state of a directory.
pub struct Sight {
    /// The digest of the document.
    pub(super) generation: Sha256,
    /// What is shown of it; `None` is everything.
    pub(super) shown: Option<Shown>,
    /// Until when that holds.
    pub(super) until: Option<Timestamp>,
}

/// Some of a document's records.
pub(super) struct Shown {
    pub(super) selection: Selection,
    /// The digest of the choice.
    pub(super) digest: Sha256,
}

/// What is remembered of what views show.
pub(in crate::index) struct Sights {
    pub(super) documents: Documents,
    chosen: Memory<(Place, ViewId), Arc<Sight>>,
    choosing: [Mutex<()>; 16],
    /// Directories whose source was asked anew for the sake of a shard that nobody knew.
    pub(super) asked: Memory<(Place, ViewId), ()>,
    /// Who may look up how old files are for the sake of shadow rules.
    pub(super) observing: Arc<Semaphore>,
}

impl Sights {
    /// Nothing yet; documents may take so many bytes of memory.
    pub(in crate::index) fn new(document_bytes_max: u64) -> Self {
        Self {
            documents: Documents::new(document_bytes_max),
            chosen: Memory::new(SIGHTS_MAX),
            choosing: Default::default(),
            asked: Memory::builder().max_capacity(SIGHTS_MAX).time_to_live(ASKED_HOLDS).build(),
            observing: Arc::new(Semaphore::new(OBSERVERS_MAX)),
        }
    }
}

impl Sight {
    /// What tells this choice from others of the same document.
    pub(super) fn words(&self) -> [u8; 32] {
        self.shown.as_ref().map_or([0; 32], |shown| *shown.digest.as_bytes())
    }

    /// Its records, in the document that it is of.
    pub(super) fn selection(&self) -> Selection {
        self.shown.as_ref().map_or_else(Selection::all, |shown| shown.selection.clone())
    }

    fn holds(&self, generation: Option<Sha256>, now: Timestamp) -> bool {
        Some(self.generation) == generation && self.until.is_none_or(|until| now < until)
    }
}

impl Shared {
    /// What `view` shows of a directory, and the source that it is of.
    pub(super) async fn sight(
        self: &Arc<Self>,
        origin: &Origin,
        directory: &str,
        view: &View,
    ) -> Result<(Object, CacheStatus, Arc<Sight>), SupplyError> {
        let (source, status) = self.truth(origin, directory).await?;
        let sight = self.sight_of(origin, directory, &source, view).await?;
        Ok((source, status, sight))
    }

    async fn sight_of(
        self: &Arc<Self>,
        origin: &Origin,
        directory: &str,
        source: &Object,
        view: &View,
    ) -> Result<Arc<Sight>, SupplyError> {
        let generation = source.facts().generation;
        let Some(digest) = generation else { return Err(FillError::Broken.into()) };
        if view.is_whole() {
            return Ok(Arc::new(Sight { generation: digest, shown: None, until: None }));
        }
        let key = (origin.place(directory), view.id());
        let recall = || {
            let sight = self.sights.chosen.get(&key)?;
            sight.holds(generation, self.bench.clock.now()).then_some(sight)
        };
        if let Some(sight) = recall() {
            return Ok(sight);
        }
        let slot = view.id().as_bytes().first().map_or(0, |byte| usize::from(*byte));
        let Some(slot) = self.sights.choosing.get(slot % self.sights.choosing.len()) else {
            return Err(FillError::Busy.into());
        };
        let waiting = self.bench.config.wait.max(WAIT_MIN);
        let _one = tokio::time::timeout(waiting, slot.lock()).await.map_err(|_| FillError::Busy)?;
        if let Some(sight) = recall() {
            return Ok(sight);
        }
        let ages = self.ages(origin, directory, source, view).await?;
        let document = self.document_of(source).await?;
        let (view, now) = (view.clone(), self.bench.clock.now());
        let choosing =
            tokio::task::spawn_blocking(move || choose(&document, digest, &view, ages.as_deref(), now));
        let sight = Arc::new(choosing.await.map_err(|_| FillError::Broken)?);
        self.sights.chosen.insert(key, Arc::clone(&sight));
        Ok(sight)
    }

    /// When the files of a directory were first seen, for a view to which that makes a difference.
    pub(super) async fn ages(
        self: &Arc<Self>,
        origin: &Origin,
        directory: &str,
        source: &Object,
        view: &View,
    ) -> Result<Option<Arc<Ages>>, SupplyError> {
        let longest = view.longest_quarantine().and_then(|_| view.longest_observed());
        let Some(longest) = longest else { return Ok(None) };
        self.ages_within(origin, directory, source, longest).await.map(Some)
    }

    /// When those files of a directory were first seen that are younger than `longest`.
    pub(super) async fn ages_within(
        self: &Arc<Self>,
        origin: &Origin,
        directory: &str,
        source: &Object,
        longest: Duration,
    ) -> Result<Arc<Ages>, SupplyError> {
        let Some(generation) = source.facts().generation else { return Err(FillError::Broken.into()) };
        let Some(seen) = &self.seen else { return Err(SupplyError::Unsettled) };
        let recalled = seen.recall(&origin.channel, directory, generation, longest);
        if let Some(answer) = recalled {
            return answer.map_err(|_| SupplyError::Unsettled);
        }
        let document = self.document_of(source).await?;
        let listed = move || {
            let digest = |record: Record<'_>| SeenDigest::of(record.sha256(), record.file(), record.size());
            document.records().map(digest).collect()
        };
        let settled = seen.settle(&origin.channel, directory, generation, longest, listed).await;
        settled.map_err(|_| SupplyError::Unsettled)
    }
}

/// Judges every record of a document.
fn choose(
    document: &Document,
    generation: Sha256,
    view: &View,
    ages: Option<&Ages>,
    now: Timestamp,
) -> Sight {
    let mut until = None;
    let selection = Selection::of(document, |record: Record<'_>| {
        let Some(package) = record.package() else { return false };
        let artifact = Artifact::of(&package);
        let seen = match ages {
            Some(ages) if !record.is_removed() => {
                ages.of(&SeenDigest::of(record.sha256(), record.file(), record.size()))
            }
            _ => FirstSeen::Baseline,
        };
        match view.judge(&artifact, seen, now) {
            Visibility::Visible => true,
            Visibility::Quarantined { until: released, .. } => {
                until = Some(until.map_or(released, |until: Timestamp| until.min(released)));
                false
            }
            Visibility::Hidden | Visibility::Blocked(_) => false,
        }
    });
    // What could not be recorded counts as first seen now: it is looked at again soon.
    if ages.is_some_and(|ages| !ages.is_settled()) {
        let soon = now.plus(UNSETTLED_HOLDS);
        until = Some(until.map_or(soon, |until| until.min(soon)));
    }
    let shown = (!selection.is_all()).then(|| Shown { digest: selection.digest(), selection });
    Sight { generation, shown, until }
}

/// How many choices are remembered: a bit for each record of theirs.
const SIGHTS_MAX: u64 = 2_000;

/// How often a directory is asked for anew because somebody wants a shard that nobody knows.
const ASKED_HOLDS: Duration = Duration::from_secs(5);

/// How many look up at once how old files are for the sake of shadow rules; beyond it those count as old.
const OBSERVERS_MAX: usize = 64;

/// How long a choice holds that was made without the store.
const UNSETTLED_HOLDS: Duration = Duration::from_secs(5);

/// How long a request waits for another that chooses.
const WAIT_MIN: Duration = Duration::from_secs(30);
