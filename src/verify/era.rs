//! All that is remembered since the feed was last lost, and the order in which the feed and the readings touch it.
//!
//! The danger: a reading of token T leaves the store, T is revoked, the feed makes memory forget T (there is nothing to forget yet), and
//! then the reading arrives and is remembered for good. Two rules keep it out:
//!
//! 1. The feed's reader first *announces* the position it has read to, then forgets what changed, then *settles* the position.
//! 2. A reading is remembered only if its position is not before the announced one, checked under the lock that forgetting T takes.
//!
//! Let change c concern T, and let a reading r of T be of a snapshot before c. Under T's lock, either r comes first, and forgetting T
//! removes it; or forgetting comes first, and as c was announced before, r sees a later position announced and is not remembered. A
//! reading of a snapshot with c is harmless in either order.
//!
//! A request has its own rule: it takes a reading only if its position is not before the one that was announced when the request came.
//! So a request that came after [`Verifier::catch_up`](super::Verifier::catch_up) returned never takes an answer that was on its way
//! before. A reading that begins after a position was announced has at least that position, so asking once more is enough.
//!
//! What concerns a whole organization cannot be forgotten token by token. Every verdict on a known token carries the position of its reading
//! and shares a cell with all verdicts of its organization: the position of the organization's latest change. It counts only while its
//! reading is not before that, so raising the cell forgets them all at once, whichever of the two comes first. The argument is the same:
//! a reading of a snapshot before change c has a lesser position than c, and is worth nothing from the moment the cell says so. Cells are
//! made by whoever comes first, so that there is one to raise before the first verdict is remembered.
//!
//! Numbers tell the order of changes in one history only. A standby that is promoted without the latest changes, or a backup that is
//! restored, begins another one, in which the same numbers are given again. So places in the feed are compared by the change that stands
//! there: the readers of the feed compare the one they read last, and what readings knew of the feed before it was read that far is noted
//! and compared when it is. One that is another makes everything be forgotten.
//!
//! Settled positions may be claimed by two readers of the feed at once: each began behind a settled position and forgot all that lies
//! between, so the greater claim is true for both.

use std::cmp;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::watch;
use uuid::Uuid;

use super::memory::Memory;
use super::{Config, Lookup, Verdict};
use crate::policy::{Rights, Standing};
use crate::store::{Change, FeedPosition, Place, Reading, Subject};
use crate::token::{TokenDigest, Warrant};

/// Everything remembered, and every question on its way.
#[derive(Debug)]
pub(super) struct Era {
    known: Memory<Known>,
    unknown: Memory<()>,
    /// Digests of tokens of which a verdict was forgotten because something had changed, or was not remembered for that. It outlives the era.
    forgotten: Arc<Memory<()>>,
    /// The organizations that were heard of.
    organizations: DashMap<Uuid, Arc<Organization>>,
    /// Questions with the store.
    pub(super) flights: DashMap<TokenDigest, watch::Receiver<Option<Landing>>>,
    announced: AtomicI64,
    settled: AtomicI64,
    progress: Mutex<Progress>,
    /// The latest position of a reading.
    seen: AtomicI64,
}

/// How the feed and the readings are known to be of one history.
#[derive(Debug)]
struct Progress {
    /// The latest place in the feed that a reader of it has reached and settled.
    place: Place,
    /// The changes behind it that remembered readings knew, by their positions. The feed has to have the same.
    ahead: BTreeMap<FeedPosition, Change>,
    /// The feed or a reading had another change at the same position: what is remembered is partly of a history that was lost.
    is_torn: bool,
}

/// How many positions ahead of the feed readings may be remembered at, while it cannot be read.
const AHEAD_MAX: usize = 10_000;

/// The verdict on a known token.
#[derive(Debug)]
struct Known {
    standing: Arc<Standing>,
    /// The position of its reading.
    position: i64,
    organization: Arc<Organization>,
}

/// What the verdicts on one organization's tokens share.
#[derive(Debug, Default)]
struct Organization {
    /// The position of its latest change.
    changed: AtomicI64,
    shared: Mutex<Shared>,
}

/// What was read last of one organization's tokens, so that those which have the same hold it once. It matters: an organization may restrict
/// a thousand channels, and what a million tokens may do would take as much memory as they have themselves.
#[derive(Debug, Default)]
struct Shared {
    rights: Vec<Rights>,
    warrants: Vec<Arc<Warrant>>,
    /// For warrants that are not shared themselves.
    names: Vec<Arc<str>>,
}

/// How many of each are held to be shared: an organization's groups, and what its tokens may do, come in few combinations.
const SHARED_MAX: usize = 16;

/// How a question to the store ended.
#[derive(Clone, Debug)]
pub(super) enum Landing {
    /// With an answer as of this position.
    Answered(Verdict, FeedPosition),
    /// The store could not say.
    Failed,
}

impl Era {
    /// An empty memory that knows the feed up to `position`.
    pub(super) fn begin(position: FeedPosition, config: &Config) -> Self {
        Self {
            known: Memory::new(config.known_max),
            unknown: Memory::new(config.unknown_max),
            forgotten: Arc::new(Memory::new(config.known_max)),
            organizations: DashMap::new(),
            flights: DashMap::new(),
            announced: AtomicI64::new(position.as_number()),
            settled: AtomicI64::new(position.as_number()),
            progress: Mutex::new(Progress { place: position.into(), ahead: BTreeMap::new(), is_torn: false }),
            seen: AtomicI64::new(position.as_number()),
        }
    }

    /// The one after this.
    pub(super) fn next(&self, position: FeedPosition, config: &Config) -> Self {
        Self { forgotten: Arc::clone(&self.forgotten), ..Self::begin(position, config) }
    }

    /// Notes that everything is forgotten.
    pub(super) fn end(&self) {
        self.known.for_each(|digest| self.note_known(digest));
    }

    /// Where to read the feed on: the settled position, with the change before it as soon as that was read.
    pub(super) fn place(&self) -> Place {
        self.progress().place
    }

    /// True if what is remembered is not of one history: everything has to be forgotten.
    pub(super) fn is_torn(&self) -> bool {
        self.progress().is_torn
    }

    /// A reader of the feed is at this place.
    pub(super) fn reach(&self, reached: Place) {
        let mut progress = self.progress();
        if reached.position() == progress.place.position() {
            progress.meet(reached);
        }
    }

    /// Compares what the feed says with what readings knew of it already.
    fn compare(&self, changes: &[Change], position: FeedPosition) {
        let mut progress = self.progress();
        let behind =
            progress.ahead.split_off(&FeedPosition::from_number(position.as_number().saturating_add(1)));
        let ahead = std::mem::replace(&mut progress.ahead, behind);
        let is_there = |known: &Change| {
            let place = changes.binary_search_by(|change| change.position.cmp(&known.position));
            place.is_ok_and(|place| changes.get(place) == Some(known))
        };
        progress.is_torn |= !ahead.values().all(is_there);
        let last = changes.last().filter(|last| last.position == position);
        let reached = last.map_or(position.into(), |last| Place::behind(*last));
        if position > progress.place.position() {
            progress.place = reached;
        }
    }

    /// Takes note of the last change that a reading knew. False if it cannot be remembered.
    fn note(&self, last: Option<Change>) -> bool {
        let Some(last) = last else { return true };
        let mut progress = self.progress();
        match last.position.cmp(&progress.place.position()) {
            // It comes too late to be remembered.
            cmp::Ordering::Less => {}
            cmp::Ordering::Equal => progress.meet(Place::behind(last)),
            cmp::Ordering::Greater => {
                if progress.ahead.len() >= AHEAD_MAX && !progress.ahead.contains_key(&last.position) {
                    return false;
                }
                let known = *progress.ahead.entry(last.position).or_insert(last);
                progress.is_torn |= known != last;
            }
        }
        true
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reading must not be before this.
    pub(super) fn announced(&self) -> FeedPosition {
        FeedPosition::from_number(self.announced.load(Ordering::SeqCst))
    }

    /// Everything up to here is forgotten.
    pub(super) fn settled(&self) -> FeedPosition {
        FeedPosition::from_number(self.settled.load(Ordering::SeqCst))
    }

    /// A feed that ends before this, and was asked after this was, is another one: an older store was restored.
    pub(super) fn seen(&self) -> FeedPosition {
        FeedPosition::from_number(self.seen.load(Ordering::SeqCst))
    }

    /// Forgets what changed up to `position`; `changes` are all those behind the settled position.
    pub(super) fn forget(&self, changes: &[Change], position: FeedPosition) {
        self.announced.fetch_max(position.as_number(), Ordering::SeqCst);
        for change in changes {
            match &change.subject {
                Subject::Token(digest) => {
                    if self.known.contains(digest) {
                        self.note_known(digest);
                    }
                    self.known.forget(digest);
                    self.unknown.forget(digest);
                }
                Subject::Organization(id) => {
                    let organization = self.organization(*id);
                    organization.changed.fetch_max(change.position.as_number(), Ordering::SeqCst);
                    *organization.shared() = Shared::default();
                }
            }
        }
        // Before it is settled: another reader of the feed does not compare again what is behind it.
        self.compare(changes, position);
        self.settled.fetch_max(position.as_number(), Ordering::SeqCst);
    }

    /// Remembers a reading that began at `read_at`, unless the feed is ahead of it, and says what it means.
    pub(super) fn remember(&self, digest: &TokenDigest, reading: Reading, read_at: Duration) -> Lookup {
        self.seen.fetch_max(reading.position.as_number(), Ordering::SeqCst);
        let is_noted = self.note(reading.last);
        let still_true = || is_noted && reading.position >= self.announced();
        match reading.standing {
            Some(mut standing) => {
                let organization = self.organization(standing.token.organization_id);
                organization.share(&mut standing);
                let standing = Arc::new(standing);
                let position = reading.position.as_number();
                let known = Known { standing: Arc::clone(&standing), position, organization };
                if !self.known.remember(digest, known, read_at, still_true) {
                    self.note_known(digest);
                }
                Lookup::Known(standing)
            }
            None => {
                self.unknown.remember(digest, (), read_at, still_true);
                Lookup::Unknown
            }
        }
    }

    /// The verdict on a known token, unless its organization has changed since, and when its reading began.
    pub(super) fn recall_known(&self, digest: &TokenDigest) -> Option<(Arc<Standing>, Duration)> {
        self.known.recall(digest, |known| {
            let changed = known.organization.changed.load(Ordering::SeqCst);
            // Asked for before it is counted: of a record that nobody wanted lately both come from memory at once, and not one after the other.
            black_box(known.standing.token.expires_at);
            (known.position >= changed).then(|| Arc::clone(&known.standing))
        })
    }

    /// Notes that a token is known to be one, whatever becomes of the verdict on it.
    pub(super) fn note_known(&self, digest: &TokenDigest) {
        self.forgotten.remember(digest, (), Duration::ZERO, || true);
    }

    /// Whether the token is known to be one, although nothing that is remembered of it may count any more.
    pub(super) fn was_known(&self, digest: &TokenDigest) -> bool {
        self.known.contains(digest) || self.forgotten.contains(digest)
    }

    /// True if nobody was issued the token, and when the reading began.
    pub(super) fn recall_unknown(&self, digest: &TokenDigest) -> Option<Duration> {
        self.unknown.recall(digest, |()| Some(())).map(|((), read_at)| read_at)
    }

    /// How many known tokens are remembered, those included whose organization has changed.
    pub(super) fn known_len(&self) -> usize {
        self.known.len()
    }

    fn organization(&self, id: Uuid) -> Arc<Organization> {
        Arc::clone(&self.organizations.entry(id).or_default())
    }
}

impl Progress {
    /// Compares what stands at the place reached with what somebody else found there.
    fn meet(&mut self, found: Place) {
        match (self.place.last(), found.last()) {
            (None, Some(_)) => self.place = found,
            (Some(known), Some(found)) => self.is_torn |= known != found,
            (_, None) => {}
        }
    }
}

impl Organization {
    /// Lets the rights and the warrant of a token be the ones that another token has, where they are equal.
    fn share(&self, standing: &mut Standing) {
        let mut shared = self.shared();
        if !standing.rights.is_empty() {
            share(&mut standing.rights, &mut shared.rights);
        }
        let warrant = &mut standing.token.warrant;
        if warrant.is_common() {
            share(warrant, &mut shared.warrants);
        } else {
            share(&mut Arc::make_mut(warrant).organization, &mut shared.names);
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets `one` be its equal among `shared`, or be the latest of them.
fn share<T: Clone + PartialEq>(one: &mut T, shared: &mut Vec<T>) {
    match shared.iter().find(|shared| *shared == one) {
        Some(same) => *one = same.clone(),
        None => {
            if shared.len() >= SHARED_MAX {
                shared.remove(0);
            }
            shared.push(one.clone());
        }
    }
}

#[cfg(test)]
mod tests;
