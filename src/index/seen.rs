//! How old a directory's artifacts are: what quarantines are judged by.
//!
//! The store keeps when each digest was first seen, so that all gates agree and a restart forgets nothing. For judging, a directory's ages
//! are in memory, as they are for one generation of its document:
//!
//! | of the digests that the generation lists | |
//! | --- | --- |
//! | those that the generation before listed too | remembered: 8 bytes each |
//! | the others, after a restart all of them | asked of the store, and recorded there as first seen now |
//! | those younger than the longest quarantine | kept with their time; the rest are as good as old |
//!
//! A directory that no gate ever recorded begins with a baseline: all that its generation lists, in pages, between which others may
//! write. It is answered for only when the baseline is complete. A gate that dies on the way leaves an open baseline, which the next one
//! completes with what it finds listed.
//!
//! Where the store does not answer, what is new counts as unknown, hence as just seen, and the store is tried again some seconds later.
//! Without the store and without memory there is no answer ([`Unsettled`]).
//!
//! Once a month one gate marks in the store all that a directory lists, and drops what was not listed for three.
//!
//! It must never read an upstream's `timestamp`: whoever uploads a package chooses that. Read `store/seen.rs` next.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache as Memory;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::cache::{Hashing, Sha256};
use crate::clock::{Clock, Timestamp};
use crate::conda::{ChannelName, redact};
use crate::policy::FirstSeen;
use crate::store::{SeenDigest, SeenDirectory, Sighting, Store, StoreError};

/// When artifacts were first seen, of all directories that are judged by it. Clones share everything.
#[derive(Clone)]
pub struct Seen(Arc<Shared>);

struct Shared {
    store: Store,
    clock: Clock,
    /// Directories' ages as they were last settled.
    ages: Memory<Place, Arc<Ages>>,
    /// Directories of which nothing is known, and since when the store is to blame: by the uptime.
    failed: Memory<Place, Duration>,
    /// One at a time settles a directory.
    settling: [Arc<Mutex<()>>; 16],
    keys: RandomState,
}

/// A channel's directory, with a slash behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    channel: ChannelName,
    directory: Arc<str>,
}

/// The ages of what one generation of a directory lists.
pub struct Ages {
    directory: SeenDirectory,
    generation: Sha256,
    /// Up to which age the young ones are known.
    longest: Duration,
    /// The digests that are recorded, hashed by keys that nobody outside knows; sorted.
    recorded: Vec<u64>,
    /// Those that are younger than `longest`; sorted.
    young: Vec<(SeenDigest, Timestamp)>,
    keys: RandomState,
    /// When the store is to be asked again, by the uptime, if it did not answer.
    retry_at: Option<Duration>,
}

/// Nobody knows when a directory's artifacts were first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the store does not answer, and nothing is known of when this directory's files were first seen; try again"
)]
pub struct Unsettled;

impl SeenDigest {
    /// The digest of an artifact whose record says this of it: the SHA-256 of its bytes, or one of what else there is.
    pub fn of(sha256: Option<Sha256>, file: &str, size: Option<u64>) -> Self {
        let digest = sha256.unwrap_or_else(|| {
            let mut hashing = Hashing::new();
            hashing.update(file.as_bytes());
            hashing.update(&[0]);
            hashing.update(size.map(|size| size.to_string()).unwrap_or_default().as_bytes());
            hashing.finish()
        });
        Self::from_bytes(*digest.as_bytes())
    }
}

impl Seen {
    /// What `store` keeps of it.
    pub fn new(store: Store, clock: Clock) -> Self {
        let weigh = |_: &Place, ages: &Arc<Ages>| u32::try_from(ages.weight()).unwrap_or(u32::MAX);
        Self(Arc::new(Shared {
            store,
            clock,
            ages: Memory::builder().max_capacity(AGES_BYTES_MAX).weigher(weigh).build(),
            failed: Memory::builder().max_capacity(FAILURES_MAX).time_to_live(2 * RETRY_AFTER).build(),
            settling: Default::default(),
            keys: RandomState::new(),
        }))
    }

    /// The ages of all that a generation of a directory lists, recorded where they were not; `listed` names them, if that has to be known.
    /// `longest` is the age from which on none matters: the longest quarantine's, those in shadow mode among them.
    ///
    /// Goes on by itself if whoever asked goes away.
    ///
    /// # Errors
    ///
    /// [`Unsettled`] where neither the store nor the memory knows anything of the directory.
    pub async fn settle(
        &self,
        channel: &ChannelName,
        directory: &str,
        generation: Sha256,
        longest: Duration,
        listed: impl FnOnce() -> Vec<SeenDigest> + Send + 'static,
    ) -> Result<Arc<Ages>, Unsettled> {
        let place = Place { channel: channel.clone(), directory: directory.into() };
        if let Some(answer) = self.remembered(&place, generation, longest) {
            return answer;
        }
        let lock = self.lock_of(&place);
        let guard = match Arc::clone(&lock).try_lock_owned() {
            Ok(guard) => guard,
            // Somebody is asking the store again already; what it did not know before is good enough meanwhile.
            Err(_) if let Some(ages) = self.unsettled(&place, generation, longest) => return Ok(ages),
            Err(_) => lock.lock_owned().await,
        };
        if let Some(answer) = self.remembered(&place, generation, longest) {
            return answer;
        }
        let seen = self.clone();
        let settling =
            tokio::spawn(async move { seen.settle_one(place, generation, longest, listed, guard).await });
        settling.await.unwrap_or(Err(Unsettled))
    }

    /// The same, if it needs neither the store nor to know what is listed: so that nobody reads a document for nothing.
    pub fn recall(
        &self,
        channel: &ChannelName,
        directory: &str,
        generation: Sha256,
        longest: Duration,
    ) -> Option<Result<Arc<Ages>, Unsettled>> {
        let place = Place { channel: channel.clone(), directory: directory.into() };
        self.remembered(&place, generation, longest)
    }

    /// The answer that needs no store, or that the store did not have a moment ago.
    fn remembered(
        &self,
        place: &Place,
        generation: Sha256,
        longest: Duration,
    ) -> Option<Result<Arc<Ages>, Unsettled>> {
        let now = self.0.clock.uptime();
        let ages = self.0.ages.get(place).filter(|ages| {
            ages.serves(generation, longest) && ages.retry_at.is_none_or(|retry_at| now < retry_at)
        });
        let failed = || self.0.failed.get(place).filter(|retry_at| now < *retry_at).map(|_| Err(Unsettled));
        ages.map(Ok).or_else(failed)
    }

    /// The ages of what a directory lists, as far as they are recorded; records nothing. `None` if nothing of the directory is: what is listed
    /// when a gate looks first will be its baseline.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn consult(
        &self,
        channel: &ChannelName,
        directory: &str,
        longest: Duration,
        listed: Vec<SeenDigest>,
    ) -> Result<Option<Ages>, StoreError> {
        let Shared { store, clock, keys, .. } = &*self.0;
        let Some(directory) = store.seen_directory(channel.as_str(), directory).await? else {
            return Ok(None);
        };
        let oldest = clock.now().minus(longest);
        let (mut recorded, mut young) = (Vec::new(), Vec::new());
        for page in listed.chunks(SeenDigest::PAGE) {
            for (digest, sighting) in page.iter().zip(store.sightings(&directory, page).await?) {
                let Some(sighting) = sighting else { continue };
                recorded.push(keys.hash_one(digest));
                if !sighting.baseline && sighting.at > oldest {
                    young.push((*digest, sighting.at));
                }
            }
        }
        recorded.sort_unstable();
        young.sort_unstable();
        // Nobody asks for these again.
        let (generation, retry_at) = (Sha256::from_bytes([0; 32]), Some(clock.uptime()));
        let keys = keys.clone();
        Ok(Some(Ages { directory, generation, longest, recorded, young, keys, retry_at }))
    }

    fn unsettled(&self, place: &Place, generation: Sha256, longest: Duration) -> Option<Arc<Ages>> {
        self.0.ages.get(place).filter(|ages| ages.serves(generation, longest))
    }

    fn lock_of(&self, place: &Place) -> Arc<Mutex<()>> {
        let slots = &self.0.settling;
        let slot = usize::try_from(self.0.keys.hash_one(place) % slots.len() as u64).unwrap_or(0);
        slots.get(slot).map(Arc::clone).unwrap_or_default()
    }

    async fn settle_one(
        &self,
        place: Place,
        generation: Sha256,
        longest: Duration,
        listed: impl FnOnce() -> Vec<SeenDigest> + Send + 'static,
        _one: OwnedMutexGuard<()>,
    ) -> Result<Arc<Ages>, Unsettled> {
        let previous = self.0.ages.get(&place);
        let keys = self.0.keys.clone();
        let listing = tokio::task::spawn_blocking(move || Listed::new(listed(), &keys));
        // A panic was logged. What is listed is not known then, and must not become an empty baseline.
        let listed = listing.await.map_err(|_| Unsettled)?;
        let known = previous.as_ref().filter(|ages| ages.longest >= longest).map(Arc::clone);
        let ages = match self.look(&place, &listed, known.as_deref(), longest).await {
            Ok((directory, young)) => {
                self.count_if_due(&place, &directory, &listed);
                let recorded = listed.hashes;
                Ages {
                    directory,
                    generation,
                    longest,
                    recorded,
                    young,
                    keys: self.0.keys.clone(),
                    retry_at: None,
                }
            }
            Err(error) => {
                tracing::warn!(
                    channel = %place.channel,
                    directory = %redact::text(&place.directory),
                    %error,
                    "it cannot be recorded what was first seen in a directory; what is new counts as seen just now"
                );
                let retry_at = self.0.clock.uptime().saturating_add(RETRY_AFTER);
                let Some(previous) = previous else {
                    self.0.failed.insert(place, retry_at);
                    return Err(Unsettled);
                };
                previous.for_now(generation, longest, retry_at)
            }
        };
        let ages = Arc::new(ages);
        self.0.failed.invalidate(&place);
        self.0.ages.insert(place, Arc::clone(&ages));
        Ok(ages)
    }

    /// What the store knows of the directory, with all that is listed recorded in it; and the young ones.
    async fn look(
        &self,
        place: &Place,
        listed: &Listed,
        known: Option<&Ages>,
        longest: Duration,
    ) -> Result<(SeenDirectory, Vec<(SeenDigest, Timestamp)>), StoreError> {
        let Shared { store, clock, .. } = &*self.0;
        let (channel, path) = (place.channel.as_str(), &*place.directory);
        let directory = match known {
            Some(known) => known.directory,
            None => store.begin_baseline(channel, path, clock.now()).await?,
        };
        let oldest = clock.now().minus(longest);
        let mut young: Vec<_> = known.map(|known| known.still_young(listed, oldest)).unwrap_or_default();
        let unknown: Vec<SeenDigest> = match known {
            Some(known) => listed.digests.iter().filter(|digest| !known.has(digest)).copied().collect(),
            None => listed.digests.clone(),
        };
        let is_baseline = directory.completed_at.is_none();
        for page in unknown.chunks(SeenDigest::PAGE) {
            let sightings = self.sightings(&directory, page, is_baseline || known.is_some()).await?;
            let sighted = page.iter().zip(sightings);
            young.extend(
                sighted
                    .filter(|(_, seen)| !seen.baseline && seen.at > oldest)
                    .map(|(digest, seen)| (*digest, seen.at)),
            );
        }
        young.sort_unstable();
        young.dedup();
        if !is_baseline {
            return Ok((directory, young));
        }
        store.complete_baseline(&directory, clock.now()).await?;
        tracing::info!(
            %channel,
            directory = %redact::text(path),
            artifacts = listed.digests.len(),
            "what a directory lists is the baseline of what is first seen in it from now on"
        );
        let completed = store.seen_directory(channel, path).await?;
        Ok((completed.unwrap_or(directory), young))
    }

    /// What is recorded of a page, all of which is recorded then. With `new`, most of it probably is not yet.
    async fn sightings(
        &self,
        directory: &SeenDirectory,
        page: &[SeenDigest],
        new: bool,
    ) -> Result<Vec<Sighting>, StoreError> {
        if !new {
            let known: Option<Vec<_>> = self.0.store.sightings(directory, page).await?.into_iter().collect();
            if let Some(known) = known {
                return Ok(known);
            }
        }
        let begun = self.0.clock.uptime();
        let sightings = self.0.store.record_seen(directory, page, self.0.clock.now()).await?;
        self.pause(begun).await;
        Ok(sightings)
    }

    /// Leaves the store to others for as long as it was just written to.
    async fn pause(&self, begun: Duration) {
        tokio::time::sleep(self.0.clock.uptime().saturating_sub(begun).min(PAUSE_MAX)).await;
    }

    /// Marks what is listed and drops what no longer is, if that was not done for a month. Nobody waits for it.
    fn count_if_due(&self, place: &Place, directory: &SeenDirectory, listed: &Listed) {
        let not_since = self.0.clock.now().minus(COUNT_EVERY);
        if directory.completed_at.is_none() || directory.counted_at > not_since {
            return;
        }
        let (seen, place, directory) = (self.clone(), place.clone(), *directory);
        let digests = listed.digests.clone();
        tokio::spawn(async move {
            match seen.count(&directory, not_since, &digests).await {
                Ok(None) => {}
                Ok(Some(dropped)) => tracing::info!(
                    channel = %place.channel,
                    directory = %redact::text(&place.directory),
                    dropped,
                    "what a directory no longer lists was dropped from what was first seen in it"
                ),
                Err(error) => tracing::warn!(
                    channel = %place.channel,
                    directory = %redact::text(&place.directory),
                    %error,
                    "what a directory no longer lists could not be dropped from what was first seen in it; it is tried again in a month"
                ),
            }
        });
    }

    /// How many were dropped; `None` if somebody else sees to it.
    async fn count(
        &self,
        directory: &SeenDirectory,
        not_since: Timestamp,
        listed: &[SeenDigest],
    ) -> Result<Option<u64>, StoreError> {
        let Shared { store, clock, .. } = &*self.0;
        let now = clock.now();
        if !store.begin_count(directory, not_since, now).await? {
            return Ok(None);
        }
        for page in listed.chunks(SeenDigest::PAGE) {
            let begun = clock.uptime();
            store.mark_listed(directory, page, now).await?;
            self.pause(begun).await;
        }
        // Only now: whatever is listed has been marked.
        let (mut dropped, mut after) = (0, None);
        loop {
            let begun = clock.uptime();
            let (count, last) =
                store.drop_unlisted(directory, after.as_ref(), now.minus(KEPT_UNLISTED)).await?;
            dropped += count;
            if last.is_none() {
                return Ok(Some(dropped));
            }
            after = last;
            self.pause(begun).await;
        }
    }
}

impl Ages {
    /// When an artifact of this generation was first seen. One that is older than the longest quarantine reads as
    /// [`FirstSeen::Baseline`]: it is past being judged by its age.
    pub fn of(&self, digest: &SeenDigest) -> FirstSeen {
        if let Some(at) = self.first_seen(digest) {
            return FirstSeen::At(at);
        }
        if self.has(digest) { FirstSeen::Baseline } else { FirstSeen::Unknown }
    }

    /// False while the store has not answered for all of them: what it has not answered for is [`FirstSeen::Unknown`], and what is made of
    /// these ages is not to be kept.
    pub fn is_settled(&self) -> bool {
        self.retry_at.is_none()
    }

    fn first_seen(&self, digest: &SeenDigest) -> Option<Timestamp> {
        let place = self.young.binary_search_by_key(digest, |(young, _)| *young).ok()?;
        self.young.get(place).map(|(_, at)| *at)
    }

    fn has(&self, digest: &SeenDigest) -> bool {
        self.recorded.binary_search(&self.keys.hash_one(digest)).is_ok()
    }

    fn serves(&self, generation: Sha256, longest: Duration) -> bool {
        self.generation == generation && self.longest >= longest
    }

    /// Those that were young and still are, of those that are listed.
    fn still_young(&self, listed: &Listed, oldest: Timestamp) -> Vec<(SeenDigest, Timestamp)> {
        let is_listed = |digest: &SeenDigest| listed.digests.binary_search(digest).is_ok();
        self.young.iter().filter(|(digest, at)| *at > oldest && is_listed(digest)).copied().collect()
    }

    /// What is known without the store, for another generation: that one's new artifacts are unknown.
    fn for_now(&self, generation: Sha256, longest: Duration, retry_at: Duration) -> Self {
        // Of a longer quarantine's artifacts, those that are not known to be young are not known to be old either.
        let recorded = if self.longest >= longest { self.recorded.clone() } else { Vec::new() };
        Self {
            directory: self.directory,
            generation,
            longest,
            recorded,
            young: self.young.clone(),
            keys: self.keys.clone(),
            retry_at: Some(retry_at),
        }
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.recorded) + size_of_val(&*self.young)
    }
}

/// The digests that a generation lists, each once, and what is remembered of them; both sorted.
#[derive(Default)]
struct Listed {
    digests: Vec<SeenDigest>,
    hashes: Vec<u64>,
}

impl Listed {
    fn new(mut digests: Vec<SeenDigest>, keys: &RandomState) -> Self {
        digests.sort_unstable();
        digests.dedup();
        let mut hashes: Vec<_> = digests.iter().map(|digest| keys.hash_one(digest)).collect();
        hashes.sort_unstable();
        Self { digests, hashes }
    }
}

/// How much memory the ages of all directories take: a large directory's are some 6 MB, and some 40 MB while all of it is young.
const AGES_BYTES_MAX: u64 = 512 << 20;

/// Of how many directories it is remembered that nothing is known.
const FAILURES_MAX: u64 = 10_000;

/// After what time a store that did not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The longest that writers of others are given between two pages.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// How often a directory's artifacts are marked as listed.
const COUNT_EVERY: Duration = Duration::from_hours(30 * 24);

/// How long an artifact that is no longer listed is remembered.
const KEPT_UNLISTED: Duration = Duration::from_hours(90 * 24);

#[cfg(test)]
mod tests;
