//! One fetch of a file for everybody who wants it at the same time.
//!
//! ```text
//! order ─▶ join the flight of its key, or begin one ─▶ wait for a head ─▶ Landed
//!                        │
//!                        └ a task of its own, nobody's: look on the disk once more, ask the upstream,
//!                          fill a draft, prove it, make it an object, leave the map      (fill.rs)
//! ```
//!
//! A flight stays in the map until its object can be found on the disk, and looks there first: so one upstream request is enough whenever
//! the others come. Who wants the file is counted (crowd.rs). When nobody does any more the flight ends, unless more than half of the file
//! is there: the rest is cheaper now than the whole later. Nobody joins a flight that ends for that reason, because both happen under the
//! lock of the flight's place in the map.
//!
//! A file that was corrupt twice is not asked for again for [`DISGRACE`]: a client that tries for ever would make the gate download it for
//! ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::Entry;
use moka::sync::Cache;
use tokio::sync::watch;

use super::attempt::{Attempt, Fault, State, Withheld};
use super::crowd::{Crowd, Interest};
use super::disk::{Disk, Object};
use super::expectation::Wrong;
use super::fill::Fill;
use super::filling::Filling;
use super::key::{Key, KeyDigest};
use super::meters::Meters;
use super::order::{Order, Refused};
use super::through::{Bypass, Handover, Through};
use crate::clock::Clock;
use crate::conda::redact;
use crate::upstream::FetchError;

/// The flights of one gate. Clones share them.
#[derive(Clone)]
pub struct Flights(pub(super) Arc<Shared>);

pub(super) struct Shared {
    flights: DashMap<KeyDigest, Arc<Flight>>,
    /// Files that were corrupt twice, and the uptime from which on they are asked for again.
    disgraced: Cache<KeyDigest, Duration>,
    pub(super) clock: Clock,
    pub(super) meters: Meters,
    /// The uptime in milliseconds at which trouble with the disk was logged last; zero for never.
    told_at_millis: AtomicU64,
}

/// One fetch under way.
pub(super) struct Flight {
    order: Arc<Order>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) crowd: Arc<Crowd>,
}

/// How far a flight is.
#[derive(Clone)]
pub(super) enum Phase {
    /// There is no head yet.
    Asking,
    /// This attempt is under way, or is over and the last.
    Filling(Arc<Attempt>),
    /// There is nothing to wait for.
    Over(Ending),
}

/// What a flight without an attempt ended with.
#[derive(Clone)]
pub(super) enum Ending {
    Current(Object),
    Whole(Object),
    Through(Arc<Handover>),
    Failed(FillError),
}

/// What came of an order.
pub enum Landed {
    /// The upstream says that the object held is current.
    Current(Object),
    /// The file is on its way: served while it comes. Never for [`Check::Inspect`](super::Check::Inspect).
    Filling(Filling),
    /// It is there.
    Whole(Object),
    /// It passes without being kept. Never for [`Check::Inspect`](super::Check::Inspect).
    Through(Through),
}

/// Why a file does not come.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FillError {
    /// The upstream has none, or does not answer as it should.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What the upstream sends, twice, is not what the index promises. Remembered for ten seconds. 502.
    #[error("the upstream sends a file that is not the one its index promises")]
    Corrupt,
    /// The inspection refused it; its text says why. 502.
    #[error(transparent)]
    Refused(Refused),
    /// The upstream died on the way and the rest could not be had. 503.
    #[error("the upstream's file broke off and could not be continued")]
    Broken,
    /// Too many inspections are under way. 503.
    #[error("too many files are being inspected")]
    Busy,
    /// It has to be inspected before it is served, or was wanted to be kept, and could not be.
    #[error("the file could not be kept in the cache: {}", .0.sentence())]
    Unkept(Bypass),
}

/// How long a file that was corrupt twice is not asked for again.
const DISGRACE: Duration = Duration::from_secs(10);

/// How many such files are remembered.
const DISGRACED_MAX: u64 = 10_000;

/// How often trouble with the disk is logged at most.
const TOLD_EVERY: Duration = Duration::from_secs(60);

impl Flights {
    /// None yet.
    pub fn new(clock: Clock, meters: Meters) -> Self {
        Self(Arc::new(Shared {
            flights: DashMap::new(),
            disgraced: Cache::new(DISGRACED_MAX),
            clock,
            meters,
            told_at_millis: AtomicU64::new(0),
        }))
    }

    /// Joins the flight for the order's key or begins one, and waits until there is something to serve.
    ///
    /// # Errors
    ///
    /// Why there is nothing.
    pub async fn fetch(&self, disk: &Disk, order: Order) -> Result<Landed, FillError> {
        if self.0.is_disgraced(&order.key) {
            return Err(FillError::Corrupt);
        }
        let (flight, interest, is_leader) = self.join(disk, &order);
        if !is_leader {
            self.0.meters.followers.inc();
        }
        let mut phase = flight.phase.subscribe();
        loop {
            let now = phase.borrow_and_update().clone();
            match now {
                Phase::Asking => {}
                Phase::Over(ending) => return self.landed(ending, order).await,
                Phase::Filling(attempt) => match attempt.progress().state {
                    State::Whole(object) => return Ok(Landed::Whole(object)),
                    State::Running if attempt.withheld() == Withheld::All => {
                        let mut progress = attempt.watch();
                        tokio::select! {
                            _ = progress.wait_for(|now| !matches!(now.state, State::Running)) => {}
                            _ = phase.changed() => {}
                        }
                        continue;
                    }
                    State::Running | State::Passed(_) | State::Cut(_) => {
                        return Ok(Landed::Filling(self.filling(&flight, &attempt, interest, is_leader)));
                    }
                    // Another attempt or the end comes now.
                    State::Failed(_) => {}
                },
            }
            if phase.changed().await.is_err() {
                return Err(FillError::Broken);
            }
        }
    }

    /// What is under way for `key` and has a head already; begins nothing and waits for nobody.
    pub fn under_way(&self, key: &Key) -> Option<Filling> {
        let (flight, interest) = {
            let flight = self.0.flights.get(&key.digest())?;
            (Arc::clone(&flight), Interest::new(&flight.crowd))
        };
        let Phase::Filling(attempt) = flight.phase.borrow().clone() else { return None };
        (attempt.withheld() == Withheld::Tail).then(|| self.filling(&flight, &attempt, interest, false))
    }

    fn filling(
        &self,
        flight: &Arc<Flight>,
        attempt: &Arc<Attempt>,
        interest: Interest,
        is_leader: bool,
    ) -> Filling {
        Filling::new(Arc::clone(&self.0), Arc::clone(flight), Arc::clone(attempt), interest, is_leader)
    }

    fn join(&self, disk: &Disk, order: &Order) -> (Arc<Flight>, Interest, bool) {
        match self.0.flights.entry(order.key.digest()) {
            Entry::Occupied(flight) => {
                let flight = flight.get();
                (Arc::clone(flight), Interest::new(&flight.crowd), false)
            }
            Entry::Vacant(vacant) => {
                let flight = Arc::new(Flight {
                    order: Arc::new(order.clone()),
                    phase: watch::Sender::new(Phase::Asking),
                    crowd: Arc::default(),
                });
                let interest = Interest::new(&flight.crowd);
                vacant.insert(Arc::clone(&flight));
                self.0.meters.flights.inc();
                let registered = Registered {
                    shared: Arc::clone(&self.0),
                    digest: order.key.digest(),
                    flight: Arc::clone(&flight),
                };
                let fill = Fill::new(Arc::clone(&self.0), disk.clone(), Arc::clone(&flight));
                tokio::spawn(async move {
                    if let Some(ending) = fill.run(&registered).await {
                        registered.flight.phase.send_replace(Phase::Over(ending));
                    }
                });
                (flight, interest, true)
            }
        }
    }

    async fn landed(&self, ending: Ending, order: Order) -> Result<Landed, FillError> {
        match ending {
            Ending::Current(object) => Ok(Landed::Current(object)),
            Ending::Whole(object) => Ok(Landed::Whole(object)),
            Ending::Failed(error) => Err(error),
            Ending::Through(handover) => {
                self.0.meters.bypasses(handover.reason()).inc();
                let through = Through::of(&handover, &self.0, order).await?;
                Ok(Landed::Through(through))
            }
        }
    }
}

impl Flight {
    /// What the first who wanted the file ordered.
    pub(super) fn order(&self) -> &Arc<Order> {
        &self.order
    }
}

/// A flight's place in the map, given up however the flight ends.
pub(super) struct Registered {
    shared: Arc<Shared>,
    digest: KeyDigest,
    flight: Arc<Flight>,
}

impl Registered {
    /// Gives the place up if nobody wants the file; false if somebody does.
    pub(super) fn leave_if_unwanted(&self) -> bool {
        let is_this = |flight: &Arc<Flight>| Arc::ptr_eq(flight, &self.flight);
        let is_unwanted = |flight: &Arc<Flight>| is_this(flight) && flight.crowd.is_empty();
        self.shared.flights.remove_if(&self.digest, |_, flight| is_unwanted(flight)).is_some()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // A task that was torn down must not leave anybody waiting.
        self.flight.phase.send_if_modified(|phase| match phase {
            Phase::Asking => {
                *phase = Phase::Over(Ending::Failed(FillError::Broken));
                true
            }
            Phase::Filling(attempt) => {
                attempt.end(State::Failed(Fault::Broken));
                let failed = matches!(attempt.progress().state, State::Failed(_));
                if failed {
                    *phase = Phase::Over(Ending::Failed(FillError::Broken));
                }
                failed
            }
            Phase::Over(_) => false,
        });
        self.shared.flights.remove_if(&self.digest, |_, flight| Arc::ptr_eq(flight, &self.flight));
        self.shared.meters.flights.dec();
    }
}

impl Shared {
    fn is_disgraced(&self, key: &Key) -> bool {
        self.disgraced.get(&key.digest()).is_some_and(|until| self.clock.uptime() < until)
    }

    /// The file was corrupt twice.
    pub(super) fn disgrace(&self, key: &Key) {
        self.disgraced.insert(key.digest(), self.clock.uptime().saturating_add(DISGRACE));
    }

    /// Counts and logs a file that is not what it should be; gives `error` back.
    pub(super) fn report<E>(&self, order: &Order, wrong: Wrong, error: E) -> E {
        self.meters.verification_failures.inc();
        tracing::warn!(
            channel = %order.key.channel(),
            path = %redact::text(order.key.path()),
            %wrong,
            "the upstream's file is not the one that its index promises"
        );
        error
    }

    /// Logs trouble with the disk, once in a while.
    pub(super) fn tell(&self, reason: Bypass, error: &dyn std::error::Error) {
        let now = u64::try_from(self.clock.uptime().as_millis()).unwrap_or(u64::MAX).max(1);
        let told = self.told_at_millis.load(Ordering::Relaxed);
        let every = u64::try_from(TOLD_EVERY.as_millis()).unwrap_or(u64::MAX);
        let is_due = told == 0 || now.saturating_sub(told) >= every;
        if is_due
            && self.told_at_millis.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(reason = reason.as_str(), %error, cause, "files are served without being kept");
        }
    }
}
