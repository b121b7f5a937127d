//! Whole objects on the disk: found, taken in, evicted, checked.
//!
//! # The file system is the truth
//!
//! An object is one file: its body, and behind it what is known of it (`footer.rs`). It has its name from the moment that it is whole and
//! safely written, and not before; its modification time says when the upstream last called it current, its access time when it was last
//! used. So nothing has to be repaired after a crash, a start reads names and inodes only, and several processes may use one directory at
//! once: a gate, and commands beside it. What memory holds (`disk/resident.rs`) is an account of that: the order of uses, and the sums.
//! What another process added is found when it is asked for; what it removed is missed then; every ten minutes the account is corrected.
//!
//! # The life of an object
//!
//! | step | what happens | on failure |
//! | --- | --- | --- |
//! | [`Disk::draft`] | room is made, by evicting; a file in `partial/` is made, locked, and given its blocks | [`DraftError`] |
//! | [`Draft::write`] | bytes are added and hashed; others read them from the same file | [`DraftError`]; what is there can be read on |
//! | [`Draft::seal`] | footer, `fdatasync`, rename | [`DraftError`], and nothing is left |
//! | [`Disk::find`] | open, footer checked against the key asked; pinned | a miss; what is no object is removed, logged and counted |
//! | [`Disk::confirm`] | its time is moved on | logged, counted; it is revalidated again |
//! | eviction | the least recently used one that nobody uses is unlinked | logged, counted |
//! | [`Disk::scrub`] | body checked against its digest | removed, logged, counted |
//!
//! # When there is no room
//!
//! Objects and drafts together stay below [`DiskConfig::capacity_bytes`]: a draft sets its room aside before it is written, and what was
//! used least recently leaves. What is in use stays, so a draft may find no room: [`DraftError::Full`]. If the disk itself is full, which
//! other programs can bring about, the draft's own size is evicted once, and if that does not help it is `Full` too. Whoever fills passes
//! the bytes through then; nothing here fails for want of space.
//!
//! # After a crash
//!
//! A draft is locked (`flock`) by the process that writes it. Whoever opens the cache removes exactly the drafts that nobody locks. A
//! rename is not followed by a sync of its directory: after a power failure the last objects may be gone, but none is torn.
//!
//! Everything here that touches the disk runs where blocking is allowed. One object's name is changed by one thread at a time
//! (`Inner::name`); the account's lock is never held across I/O. Read `disk/draft.rs` next.

mod draft;
mod layout;
mod object;
mod resident;
mod upkeep;
mod walk;

use std::future::Future;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::key::{Key, KeyDigest};
use super::meters::Meters;
use crate::clock::{Clock, Timestamp};

pub use self::draft::{Draft, DraftError};
pub use self::object::Object;
pub use self::upkeep::Verdict;
pub use self::walk::{Entry, Walk};

use self::layout::Layout;
use self::object::{LoadError, Loaded, Opened};
use self::resident::{Residents, Room};

/// Where objects are kept, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// The directory; made where it is missing. Several processes may use it at once.
    pub directory: PathBuf,
    /// Disk space that objects and drafts may take in it.
    pub capacity_bytes: u64,
    /// How fast the background scrub reads, in bytes a second; 0 does not scrub.
    pub scrub_bytes_per_second: u64,
}

/// The cache's directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the cache directory {directory} cannot be {doing}; name another one in cache.directory", directory = .directory.display())]
pub struct OpenError {
    /// Which.
    pub directory: PathBuf,
    /// What failed: `used`, `made`, `swept`, `read`.
    pub doing: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// What the disk holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Whole objects.
    pub objects: u64,
    /// Disk space that they take.
    pub bytes: u64,
    /// Drafts of this process.
    pub drafts: u64,
    /// Disk space set aside for them.
    pub draft_bytes: u64,
    /// What all of it may come to.
    pub capacity_bytes: u64,
}

/// The objects on a disk. Clones share everything.
#[derive(Clone)]
pub struct Disk(Arc<Inner>);

struct Inner {
    config: DiskConfig,
    clock: Clock,
    meters: Meters,
    layout: Layout,
    residents: Mutex<Residents>,
    names: [Mutex<()>; NAME_LOCKS],
    /// When a failure of the disk was last told, in [`Clock::uptime`].
    complained: Mutex<Option<Duration>>,
}

impl Disk {
    /// Opens a cache: makes its directory where it is missing, removes what dead processes left, and reads the names and inodes of all
    /// objects, but none of their bytes. If they are more than the capacity, the least recently used ones leave. Blocking.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, written or read.
    pub fn open(config: DiskConfig, clock: Clock, meters: Meters) -> Result<Self, OpenError> {
        let failed = |doing| {
            let directory = config.directory.clone();
            move |source| OpenError { directory, doing, source }
        };
        let layout = Layout::new(config.directory.clone());
        layout.demand_own().map_err(failed("used"))?;
        layout.make().map_err(failed("made"))?;
        let swept = layout.sweep_drafts().map_err(failed("swept"))?;
        if swept > 0 {
            tracing::info!(drafts = swept, "removed what a dead process had begun to fetch");
        }
        let mut found = upkeep::survey(&layout, OPEN_THREADS).map_err(failed("read"))?;
        found.sort_unstable_by_key(|found| found.used_at);
        let mut residents = Residents::new(config.capacity_bytes, meters.clone());
        for found in found {
            residents.insert(found.digest, &found.shelf, found.bytes, found.used_at, Weak::new());
        }
        let inner = Inner {
            config,
            clock,
            meters,
            layout,
            residents: Mutex::new(residents),
            names: [const { Mutex::new(()) }; NAME_LOCKS],
            complained: Mutex::new(None),
        };
        inner.shrink();
        Ok(Self(Arc::new(inner)))
    }

    /// The object of `key`, open, pinned and whole as far as its footer tells; notes its use. `None` if there is none that can be read.
    pub async fn find(&self, key: &Key) -> Option<Object> {
        self.look(key, Use::Noted).await
    }

    /// The same without noting a use: for who looks through the cache.
    pub async fn peek(&self, key: &Key) -> Option<Object> {
        self.look(key, Use::Unnoted).await
    }

    async fn look(&self, key: &Key, looks: Use) -> Option<Object> {
        let digest = key.digest();
        if let Some(object) = self.0.recall(&digest) {
            if looks == Use::Noted && self.0.note(&object) {
                let (inner, object) = (Arc::clone(&self.0), object.clone());
                // Nobody waits for it: a use that is not noted costs an object some of its age.
                drop(spawn_blocking(move || inner.mark(&object, Some(inner.clock.now()), None)));
            }
            return Some(object);
        }
        let (inner, shelf) = (Arc::clone(&self.0), layout::shelf(key));
        blocking(move || Inner::open_object(&inner, &shelf, &digest, looks)).await?
    }

    /// A place to write a new object of `key` to. If its `length` is known, room for all of it is made at once.
    ///
    /// # Errors
    ///
    /// [`DraftError`]; in particular [`DraftError::Full`].
    pub async fn draft(&self, key: &Key, length: Option<u64>) -> Result<Draft, DraftError> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        blocking(move || Draft::begin(inner, key, length))
            .await
            .unwrap_or_else(|| Err(DraftError::Io(io::Error::other("the draft could not be made"))))
    }

    /// Notes that the upstream said at `at` that `object` is current; returns the object with that time.
    pub async fn confirm(&self, object: &Object, at: Timestamp) -> Object {
        let (inner, object) = (Arc::clone(&self.0), object.clone());
        let confirmed = Object::new(Arc::clone(object.opened()), at);
        blocking(move || inner.mark(&object, None, Some(at))).await;
        confirmed
    }

    /// Removes the object of `key`, also while it is being served; true if there was one.
    pub async fn remove(&self, key: &Key) -> bool {
        let (inner, shelf, digest) = (Arc::clone(&self.0), layout::shelf(key), key.digest());
        blocking(move || inner.unlink(&shelf, &digest)).await.unwrap_or(false)
    }

    /// Goes through all objects, in no particular order and without noting a use. Within a Tokio runtime only.
    pub fn walk(&self) -> Walk {
        Walk::begin(Arc::clone(&self.0))
    }

    /// Reads the body of `key`'s object and compares it with its digest; a bad object is removed. `None` if there is none.
    pub async fn scrub(&self, key: &Key) -> Option<Verdict> {
        let object = self.peek(key).await?;
        Some(self.scrub_object(&object, None).await)
    }

    /// What there is at this moment.
    pub fn totals(&self) -> Totals {
        self.0.residents().totals()
    }

    /// Looks after the cache until `shutdown` ends: every ten minutes the account is compared with the disk, what was kept open is closed, and in the
    /// background every object is checked against its digest, at [`DiskConfig::scrub_bytes_per_second`].
    pub async fn keep(self, shutdown: impl Future<Output = ()>) {
        let upkeep = async {
            tokio::join!(self.rescan_now_and_then(), self.scrub_over_and_over(), self.let_go_now_and_then())
        };
        tokio::select! {
            () = shutdown => {}
            _ = upkeep => {}
        }
    }
}

/// Whether a look at an object is a use of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Noted,
    Unnoted,
}

/// The account while it is locked. What it lets go of is dropped when it is not any more, as the order of the fields has it.
struct Account<'i> {
    residents: MutexGuard<'i, Residents>,
    parting: Vec<Arc<Opened>>,
}

impl Deref for Account<'_> {
    type Target = Residents;

    fn deref(&self) -> &Residents {
        &self.residents
    }
}

impl DerefMut for Account<'_> {
    fn deref_mut(&mut self) -> &mut Residents {
        &mut self.residents
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        self.parting = self.residents.take_parting();
    }
}

impl Inner {
    fn residents(&self) -> Account<'_> {
        let residents = self.residents.lock().unwrap_or_else(PoisonError::into_inner);
        Account { residents, parting: Vec::new() }
    }

    /// Held while the name of this object's file is given, looked up or taken away, so that what is unlinked is what was meant.
    fn name(&self, digest: &KeyDigest) -> MutexGuard<'_, ()> {
        let [first, ..] = &self.names;
        let [byte, ..] = digest.as_bytes();
        let name = self.names.get(usize::from(*byte) % NAME_LOCKS).unwrap_or(first);
        name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object that somebody has open, if it is still the one on the disk.
    fn recall(&self, digest: &KeyDigest) -> Option<Object> {
        let opened = self.residents().opened(digest)?;
        let validated_at = opened.validated_at()?;
        Some(Object::new(opened, validated_at))
    }

    fn open_object(inner: &Arc<Self>, shelf: &str, digest: &KeyDigest, looks: Use) -> Option<Object> {
        let _name = inner.name(digest);
        // Somebody may have opened it while this one waited for the name.
        if let Some(object) = inner.recall(digest) {
            return Some(object);
        }
        let Loaded { file, facts, stat } = inner.load(shelf, digest)?;
        let opened = Opened::new(Arc::clone(inner), *digest, facts, Arc::new(file));
        let object = Object::new(Arc::clone(&opened), object::validated_at(&stat));
        let (bytes, marked_at) = (space(object::size(&stat)), object::used_at(&stat));
        inner.residents().admit(*digest, shelf, bytes, marked_at, Arc::downgrade(&opened));
        if looks == Use::Noted && inner.note(&object) {
            inner.mark(&object, Some(inner.clock.now()), None);
        }
        Some(object)
    }

    /// Notes a use. True if the object's file should be told.
    fn note(&self, object: &Object) -> bool {
        let (digest, now) = (object.digest(), self.clock.now());
        let mut residents = self.residents();
        residents.keep_open(object.opened(), &digest, now);
        residents.used(&digest, now)
    }

    /// Loads an object whose name is held. One that is not whole is removed.
    fn load(&self, shelf: &str, digest: &KeyDigest) -> Option<Loaded> {
        let path = self.layout.object(shelf, digest);
        match object::load(&path, digest) {
            Ok(loaded) => return Some(loaded),
            Err(LoadError::Missing) => drop(self.residents().forget(digest)),
            Err(LoadError::Io(error)) => self.complain("an object of the cache could not be opened", &error),
            Err(LoadError::Bad(reason)) => {
                self.meters.bad_footers.inc();
                tracing::warn!(file = %path.display(), %reason, "removed a file from the cache that is no object");
                self.unlink_named(shelf, digest);
            }
        }
        None
    }

    /// Removes an object's file and its account; true if there was one.
    fn unlink(&self, shelf: &str, digest: &KeyDigest) -> bool {
        let _name = self.name(digest);
        self.unlink_named(shelf, digest)
    }

    /// The same for who holds the name.
    fn unlink_named(&self, shelf: &str, digest: &KeyDigest) -> bool {
        drop(self.residents().forget(digest));
        layout::remove(&self.layout.object(shelf, digest)).unwrap_or_else(|error| {
            // It is accounted for again when the disk is surveyed.
            self.complain("an object of the cache could not be removed", &error);
            false
        })
    }

    /// Sets room aside for a draft, evicting what was used least recently. False if there is not enough.
    fn reserve(&self, bytes: u64) -> bool {
        loop {
            // Bound first: the lock must not be held while something is evicted.
            let room = self.residents().reserve(bytes);
            match room {
                Room::Made => return true,
                Room::After(digest) => drop(self.evict(&digest)),
                Room::None => return false,
            }
        }
    }

    /// Evicts until what is there fits the capacity, as far as it is not in use.
    fn shrink(&self) {
        self.reserve(0);
    }

    /// Evicts at least `bytes`, because the disk is full; false if nothing could go.
    fn yield_disk(&self, bytes: u64) -> bool {
        let mut freed = 0;
        while freed < bytes.max(1) {
            let Some(digest) = self.residents().least_recently_used() else { break };
            freed += self.evict(&digest).unwrap_or(0);
        }
        freed > 0
    }

    /// Evicts an object, unless somebody uses it by now; returns the space that it took.
    fn evict(&self, digest: &KeyDigest) -> Option<u64> {
        let _name = self.name(digest);
        let leaving = self.residents().forget_unused(digest)?;
        match layout::remove(&self.layout.object(&leaving.shelf, digest)) {
            Ok(_) => {
                self.meters.evictions.inc();
                self.meters.evicted_bytes.inc_by(leaving.bytes);
            }
            Err(error) => self.complain("an object of the cache could not be evicted", &error),
        }
        Some(leaving.bytes)
    }

    fn mark(&self, object: &Object, used: Option<Timestamp>, validated: Option<Timestamp>) {
        if let Err(error) = object::mark(object.file(), used, validated) {
            self.complain("the time of an object of the cache could not be set", &error);
        }
        object.opened().look_again();
    }

    /// Counts a failure that is survived, and tells of it, at most once a minute: a failing disk fails often.
    fn complain(&self, what: &'static str, error: &io::Error) {
        self.meters.disk_errors.inc();
        let now = self.clock.uptime();
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|last| now.saturating_sub(last) >= COMPLAINT_INTERVAL) {
            *complained = Some(now);
            let directory = self.layout.root().display();
            tracing::warn!(%directory, %error, "{what}; further failures are only counted for a minute");
        }
    }
}

/// Runs what may wait for the disk; `None` if the runtime ends first, or it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    spawn_blocking(work).await.ok()
}

/// The disk space of a file of so many bytes: whole blocks.
fn space(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(u64::MAX)
}

/// The block of nearly every file system.
const BLOCK_BYTES: u64 = 4 * 1024;

/// Enough that two names rarely wait for each other, while one is being unlinked.
const NAME_LOCKS: usize = 64;

/// Who opens a cache waits for it. `benches/cache_open.rs` with inodes on the disk is what these are for.
const OPEN_THREADS: usize = 8;

const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
