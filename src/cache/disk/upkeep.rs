//! What goes on in the background: the account is compared with the disk, and bodies with their digests.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use rustix::fs::{Stat, fstat};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::layout::{self, Layout};
use super::object::{self, Object};
use super::resident::KEPT_FOR;
use super::{Disk, Inner, blocking, space};
use crate::cache::key::KeyDigest;
use crate::cache::sha256::Hashing;
use crate::clock::Timestamp;

/// What a scrub found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes have their digest.
    Sound,
    /// They have not, or cannot be read; the object is removed.
    Bad,
}

/// What a look at an object's inode tells.
pub(super) struct Surveyed {
    pub(super) shelf: Arc<str>,
    pub(super) digest: KeyDigest,
    pub(super) bytes: u64,
    pub(super) used_at: Timestamp,
}

/// Looks at the names and inodes of all objects, with so many threads: a disk whose inodes are not in memory answers several at once.
pub(super) fn survey(layout: &Layout, threads: usize) -> io::Result<Vec<Surveyed>> {
    let (bays, next) = (layout.bays(0)?, AtomicUsize::new(0));
    let look = || {
        let mut surveyed = Vec::new();
        let mut last: Arc<str> = "".into();
        while let Some(bay) = bays.get(next.fetch_add(1, Ordering::Relaxed)) {
            layout.scan(bay, |found| {
                if *last != *found.shelf {
                    last = found.shelf.into();
                }
                let (bytes, used_at) = (space(object::size(&found.stat)), object::used_at(&found.stat));
                surveyed.push(Surveyed { shelf: Arc::clone(&last), digest: found.digest, bytes, used_at });
            })?;
        }
        Ok::<_, io::Error>(surveyed)
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(look)).collect();
        let mut surveyed = look()?;
        for other in others {
            surveyed
                .append(&mut other.join().map_err(|_| io::Error::other("a look at the cache panicked"))??);
        }
        Ok(surveyed)
    })
}

impl Disk {
    pub(super) async fn rescan_now_and_then(&self) {
        let mut interval = interval_at(Instant::now() + RESCAN_INTERVAL, RESCAN_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let inner = Arc::clone(&self.0);
            blocking(move || inner.rescan()).await;
        }
    }

    /// Closes what nobody uses, also where nobody uses anything.
    pub(super) async fn let_go_now_and_then(&self) {
        let mut interval = interval_at(Instant::now() + KEPT_FOR, KEPT_FOR);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let now = self.0.clock.now();
            self.0.residents().let_go(now);
        }
    }

    /// Checks every object, again and again, at the configured rate.
    pub(super) async fn scrub_over_and_over(&self) {
        let rate = self.0.config.scrub_bytes_per_second;
        if rate == 0 {
            return;
        }
        loop {
            let next = Instant::now() + SCRUB_INTERVAL_MIN;
            let mut walk = self.walk();
            while let Some(entry) = walk.next().await {
                if let Some(object) = self.peek(&entry.facts.key()).await {
                    self.scrub_object(&object, Some(rate)).await;
                }
            }
            sleep_until(next).await;
        }
    }

    /// Checks an object's body against its digest, at `rate` bytes a second; a bad object is removed.
    pub(super) async fn scrub_object(&self, object: &Object, rate: Option<u64>) -> Verdict {
        let (mut hashing, mut offset, length) = (Hashing::new(), 0, object.facts().length);
        while offset < length {
            let (file, bytes) = (Arc::clone(object.file()), (length - offset).min(SCRUB_PIECE_BYTES));
            let read = blocking(move || {
                let mut piece = vec![0; usize::try_from(bytes).unwrap_or(0)];
                file.read_exact_at(&mut piece, offset)?;
                hashing.update(&piece);
                Ok::<_, io::Error>(hashing)
            });
            hashing = match read.await {
                Some(Ok(hashing)) => hashing,
                Some(Err(error)) => return self.discard(object, &error.to_string()).await,
                // The runtime ends: nothing is known of the rest.
                None => return Verdict::Sound,
            };
            offset += bytes;
            self.0.meters.scrubbed_bytes.inc_by(bytes);
            if let Some(rate) = rate {
                sleep(Duration::from_secs_f64(bytes as f64 / rate as f64)).await;
            }
        }
        self.0.meters.scrubbed.inc();
        if hashing.finish() == object.facts().sha256 {
            return Verdict::Sound;
        }
        self.discard(object, "its bytes do not have its digest").await
    }

    async fn discard(&self, object: &Object, reason: &str) -> Verdict {
        let facts = object.facts();
        self.0.meters.bad_bodies.inc();
        tracing::warn!(
            channel = %facts.channel, path = %facts.path, reason,
            "removed an object from the cache whose bytes have changed on the disk: look at the disk's health"
        );
        let (inner, object) = (Arc::clone(&self.0), object.clone());
        blocking(move || inner.unlink_object(&object)).await;
        Verdict::Bad
    }
}

impl Inner {
    /// Makes the account agree with the disk, and the disk with the capacity; removes what dead processes left.
    pub(super) fn rescan(&self) {
        match self.layout.sweep_drafts() {
            Ok(0) => {}
            Ok(swept) => tracing::info!(drafts = swept, "removed what a dead process had begun to fetch"),
            Err(error) => self.complain("the cache's drafts could not be looked through", &error),
        }
        let surveyed = match survey(&self.layout, 1) {
            Ok(surveyed) => surveyed,
            Err(error) => return self.complain("the cache's directory could not be read", &error),
        };
        for found in &surveyed {
            let accounted = self.residents().bytes_of(&found.digest);
            if accounted != Some(found.bytes) {
                self.account(&found.shelf, &found.digest);
            }
        }
        let mut present: Vec<_> = surveyed.into_iter().map(|found| found.digest).collect();
        present.sort_unstable();
        let absent = self.residents().absent_from(&present);
        for (digest, shelf) in absent {
            self.account(&shelf, &digest);
        }
        self.shrink();
    }

    /// Accounts for one object as it is now: what a survey saw may have changed since.
    fn account(&self, shelf: &str, digest: &KeyDigest) {
        let _name = self.name(digest);
        match self.layout.stat(shelf, digest) {
            Ok(Some(stat)) => {
                let (bytes, used_at) = (space(object::size(&stat)), object::used_at(&stat));
                self.residents().admit(*digest, shelf, bytes, used_at, Weak::new());
            }
            Ok(None) => drop(self.residents().forget(digest)),
            Err(error) => self.complain("an object of the cache could not be looked at", &error),
        }
    }

    /// Removes this very object, and not one that has come in its place.
    fn unlink_object(&self, object: &Object) {
        let digest = object.digest();
        let shelf = layout::shelf(&object.facts().key());
        let _name = self.name(&digest);
        let same = |one: &Stat, other: &Stat| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
        let (on_disk, open) = (self.layout.stat(&shelf, &digest), fstat(object.file()));
        if let (Ok(Some(on_disk)), Ok(open)) = (on_disk, open)
            && same(&on_disk, &open)
        {
            self.unlink_named(&shelf, &digest);
        }
    }
}

/// How often the account is compared with the disk. 200,000 objects take a second of a blocking thread.
const RESCAN_INTERVAL: Duration = Duration::from_secs(600);

/// From the beginning of one scrub of everything to that of the next, at least.
const SCRUB_INTERVAL_MIN: Duration = Duration::from_secs(3_600);

const SCRUB_PIECE_BYTES: u64 = 256 * 1024;
