//! What is on the disk, as memory knows it: the size of each object, the order of their last use, and the sums.
//!
//! Memory is an account of the disk and never the truth: another process may add and remove objects. It never does I/O; whoever holds it
//! locked must not drop an [`Opened`], whose end is noted here: what is let go of is in [`Residents::take_parting`] until it is unlocked.
//!
//! What was used lately stays open, so that the next request for it does not open it and read its footer again, which takes a blocking thread.
//! That is no use: such an object is evicted like any other.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hashlink::LinkedHashMap;

use super::object::Opened;
use super::{Meters, Totals};
use crate::cache::key::KeyDigest;
use crate::clock::Timestamp;
use crate::digest_hash::DigestHash;

/// All objects, least recently used first.
pub(super) struct Residents {
    entries: LinkedHashMap<KeyDigest, Resident, DigestHash>,
    /// Those that are kept open, and since when; the first are let go of first.
    kept: VecDeque<(KeyDigest, Timestamp)>,
    /// What is kept open no longer, to be dropped when nobody holds this locked.
    parting: Vec<Arc<Opened>>,
    shelves: Shelves,
    totals: Totals,
    meters: Meters,
}

/// One object; with its key and its place in the order some 110 bytes.
struct Resident {
    shelf: u32,
    /// Disk space.
    bytes: u64,
    /// The last use that its file tells of.
    marked_at: Timestamp,
    /// Alive while somebody uses it, or it is kept open.
    opened: Weak<Opened>,
    kept: Option<Arc<Opened>>,
}

/// An object that is no longer accounted for.
pub(super) struct Leaving {
    pub(super) shelf: Arc<str>,
    pub(super) bytes: u64,
}

/// Whether there is room.
pub(super) enum Room {
    /// It is set aside.
    Made,
    /// This object has to go first.
    After(KeyDigest),
    /// Everything is in use, or too little in all.
    None,
}

impl Residents {
    pub(super) fn new(capacity_bytes: u64, meters: Meters) -> Self {
        let totals = Totals { capacity_bytes, ..Totals::default() };
        Self {
            entries: LinkedHashMap::default(),
            kept: VecDeque::new(),
            parting: Vec::new(),
            shelves: Shelves::default(),
            totals,
            meters,
        }
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// The bytes accounted for an object.
    pub(super) fn bytes_of(&self, digest: &KeyDigest) -> Option<u64> {
        self.entries.get(digest).map(|resident| resident.bytes)
    }

    /// The object, if somebody has it open.
    pub(super) fn opened(&self, digest: &KeyDigest) -> Option<Arc<Opened>> {
        self.entries.get(digest)?.opened.upgrade()
    }

    /// Accounts for an object, as the most recently used one.
    pub(super) fn insert(
        &mut self,
        digest: KeyDigest,
        shelf: &str,
        bytes: u64,
        marked_at: Timestamp,
        opened: Weak<Opened>,
    ) {
        let shelf = self.shelves.number(shelf);
        let resident = Resident { shelf, bytes, marked_at, opened, kept: None };
        match self.entries.insert(digest, resident) {
            Some(previous) => {
                self.totals.bytes = self.totals.bytes.saturating_sub(previous.bytes);
                self.parting.extend(previous.kept);
            }
            None => self.totals.objects += 1,
        }
        self.totals.bytes = self.totals.bytes.saturating_add(bytes);
        self.publish();
    }

    /// Accounts for an object as the disk shows it. Its place in the order stays if it has one, and who uses it stays if `opened` is
    /// nobody.
    pub(super) fn admit(
        &mut self,
        digest: KeyDigest,
        shelf: &str,
        bytes: u64,
        marked_at: Timestamp,
        opened: Weak<Opened>,
    ) {
        let Some(resident) = self.entries.get_mut(&digest) else {
            return self.insert(digest, shelf, bytes, marked_at, opened);
        };
        if opened.strong_count() > 0 {
            resident.opened = opened;
            self.parting.extend(resident.kept.take());
        }
        let previous = std::mem::replace(&mut resident.bytes, bytes);
        self.totals.bytes = self.totals.bytes.saturating_sub(previous).saturating_add(bytes);
        self.publish();
    }

    /// Notes a use. True if its file should be told, which is so at most once in [`MARK_INTERVAL`].
    pub(super) fn used(&mut self, digest: &KeyDigest, now: Timestamp) -> bool {
        self.entries.to_back(digest);
        let Some(resident) = self.entries.get_mut(digest) else { return false };
        let is_due = now.since(resident.marked_at) >= MARK_INTERVAL;
        if is_due {
            resident.marked_at = now;
        }
        is_due
    }

    /// Keeps an object open that was used just now, for [`KEPT_FOR`] and as long as no [`KEPT_MAX`] others were used since.
    pub(super) fn keep_open(&mut self, opened: &Arc<Opened>, digest: &KeyDigest, now: Timestamp) {
        let Some(resident) = self.entries.get_mut(digest).filter(|resident| resident.kept.is_none()) else {
            return;
        };
        if std::ptr::eq(resident.opened.as_ptr(), Arc::as_ptr(opened)) {
            resident.kept = Some(Arc::clone(opened));
            self.kept.push_back((*digest, now));
            self.let_go(now);
        }
    }

    /// Lets go of what has been kept open for long enough.
    pub(super) fn let_go(&mut self, now: Timestamp) {
        while let Some((digest, since)) = self.kept.front() {
            // A clock that was set back keeps nothing open.
            if self.kept.len() <= KEPT_MAX && *since <= now && now.since(*since) < KEPT_FOR {
                return;
            }
            let kept = self.entries.get_mut(digest).and_then(|resident| resident.kept.take());
            self.parting.extend(kept);
            self.kept.pop_front();
        }
    }

    /// What is kept open no longer, for whoever unlocks this to drop.
    pub(super) fn take_parting(&mut self) -> Vec<Arc<Opened>> {
        std::mem::take(&mut self.parting)
    }

    /// Accounts for an object no longer.
    pub(super) fn forget(&mut self, digest: &KeyDigest) -> Option<Leaving> {
        let mut resident = self.entries.remove(digest)?;
        self.parting.extend(resident.kept.take());
        self.totals.objects = self.totals.objects.saturating_sub(1);
        self.totals.bytes = self.totals.bytes.saturating_sub(resident.bytes);
        self.publish();
        Some(Leaving { shelf: self.shelves.name(resident.shelf)?, bytes: resident.bytes })
    }

    /// The same, unless somebody uses it.
    pub(super) fn forget_unused(&mut self, digest: &KeyDigest) -> Option<Leaving> {
        let is_used = self.entries.get(digest).is_some_and(Resident::is_used);
        if is_used { None } else { self.forget(digest) }
    }

    /// Notes that nobody uses `opened` any more.
    pub(super) fn closed(&mut self, digest: &KeyDigest, opened: *const Opened) {
        if let Some(resident) = self.entries.get_mut(digest)
            && std::ptr::eq(resident.opened.as_ptr(), opened)
        {
            // Frees the memory, which a weak reference would keep.
            resident.opened = Weak::new();
        }
    }

    /// Sets `more` bytes aside for a draft, or says what stands in the way.
    pub(super) fn reserve(&mut self, more: u64) -> Room {
        let drafts = self.totals.draft_bytes.saturating_add(more);
        if drafts > self.totals.capacity_bytes {
            // No eviction would help: nothing leaves in vain.
            return Room::None;
        }
        if self.totals.bytes.saturating_add(drafts) <= self.totals.capacity_bytes {
            self.totals.draft_bytes = drafts;
            self.publish();
            return Room::Made;
        }
        self.least_recently_used().map_or(Room::None, Room::After)
    }

    /// The least recently used object that nobody uses now.
    pub(super) fn least_recently_used(&self) -> Option<KeyDigest> {
        self.entries.iter().find(|(_, resident)| !resident.is_used()).map(|(digest, _)| *digest)
    }

    /// Gives back what was set aside.
    pub(super) fn release(&mut self, bytes: u64) {
        self.totals.draft_bytes = self.totals.draft_bytes.saturating_sub(bytes);
        self.publish();
    }

    /// A draft begins, or ends.
    pub(super) fn count_draft(&mut self, begins: bool) {
        let drafts = self.totals.drafts;
        self.totals.drafts = if begins { drafts.saturating_add(1) } else { drafts.saturating_sub(1) };
    }

    /// Everything accounted for that is not among `found`, which is sorted.
    pub(super) fn absent_from(&self, found: &[KeyDigest]) -> Vec<(KeyDigest, Arc<str>)> {
        let absent = self.entries.iter().filter(|(digest, _)| found.binary_search(digest).is_err());
        absent.filter_map(|(digest, resident)| Some((*digest, self.shelves.name(resident.shelf)?))).collect()
    }

    fn publish(&self) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.meters.bytes.set(gauge(self.totals.bytes));
        self.meters.objects.set(gauge(self.totals.objects));
        self.meters.draft_bytes.set(gauge(self.totals.draft_bytes));
    }
}

impl Resident {
    fn is_used(&self) -> bool {
        self.opened.strong_count() > usize::from(self.kept.is_some())
    }
}

/// The names of the directories that objects lie in, each once.
#[derive(Default)]
struct Shelves {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Shelves {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let name: Arc<str> = name.into();
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, number);
        number
    }

    fn name(&self, number: u32) -> Option<Arc<str>> {
        self.names.get(usize::try_from(number).ok()?).map(Arc::clone)
    }
}

/// How many objects stay open without being used: their descriptors, and some hundred bytes each.
const KEPT_MAX: usize = 256;

/// How long they do. What another process removes gives its space back only then.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(10);

/// How often the last use of an object is written to its file. What is lost when the process dies is the order within that time.
const MARK_INTERVAL: Duration = Duration::from_secs(60);
