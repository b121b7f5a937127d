//! The revocation bound, in thousands of schedules that a seed decides: a store, a gate's verifier and follower, a clock, and faults.
//!
//! Time is tokio's paused time, so a schedule of seconds takes a millisecond and is the same each time. `random.rs` decides, `model.rs` is the
//! store, `oracle.rs` knows what may be said. What may be said of a token at some moment: whatever was true of it at any time within the
//! bound that applies then. So a revoked token that is served too long and a valid one that is refused are the same mistake.
//!
//! `SIMULATION_SEED=N` runs one schedule, `SIMULATION_SCHEDULES=N` another number of them.

mod model;
mod oracle;
mod random;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use prometheus::Registry;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

pub(super) use self::model::{ModelStore, ModelWatch};

use self::model::{Faults, Outage, POLL_INTERVAL, QUERY_TIMEOUT, Token};
use self::oracle::{Moment, Oracle, Reach, State};
use self::random::Random;
use super::source::Source;
use super::{Config, Lookup, LookupError, Meters, Verifier};
use crate::clock::{Clock, Timestamp};
use crate::store::Subject;
use crate::token::TokenDigest;

/// One gate and its world.
struct Schedule {
    random: Random,
    store: ModelStore,
    verifier: Verifier,
    oracle: Arc<Mutex<Oracle>>,
    time: Time,
    /// Digests in the order in which they are issued.
    digests: Arc<[TokenDigest]>,
    issued: usize,
    /// Since when the store cannot be reached.
    lost: Option<Duration>,
    requests: JoinSet<()>,
}

/// The gate's clocks: tokio's, and how much they were moved besides.
#[derive(Clone)]
struct Time {
    start: Instant,
    suspended_micros: Arc<AtomicU64>,
    wall_offset_millis: Arc<AtomicI64>,
}

impl Time {
    fn now(&self) -> Moment {
        let active = self.start.elapsed() + Duration::from_secs(1_000);
        let suspended = Duration::from_micros(self.suspended_micros.load(Ordering::Relaxed));
        Moment { uptime: active + suspended, active }
    }

    fn clock(&self) -> Clock {
        let time = self.clone();
        Clock::simulated(move || {
            let uptime = time.now().uptime;
            let wall = uptime.as_millis() as i64 + time.wall_offset_millis.load(Ordering::Relaxed);
            (Timestamp::from_millis(wall), uptime)
        })
    }
}

const ORGANIZATIONS: [Uuid; 2] = [Uuid::from_u128(1), Uuid::from_u128(2)];
const STEPS: usize = 40;

/// From the loss or the return of the store to the gate's knowing of it: the follower's pause, a poll and a probe that time out, and one
/// call that gets through.
const NOTICE: Duration = Duration::from_millis(DEAF_MILLIS_MAX)
    .saturating_add(POLL_INTERVAL)
    .saturating_add(QUERY_TIMEOUT.saturating_mul(4));

/// The longest time for which the follower is not woken, in milliseconds.
const DEAF_MILLIS_MAX: u64 = 700;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Schedule {
    fn begin(seed: u64, meters: Meters, digests: Arc<[TokenDigest]>) -> Self {
        let mut random = Random::new(seed);
        let time = Time {
            start: Instant::now(),
            suspended_micros: Arc::default(),
            wall_offset_millis: Arc::new(AtomicI64::new(1_800_000_000_000)),
        };
        let bounds = [(2, 6), (2, 0), (3, 1), (1, 3)];
        let (max_staleness, outage_grace) = random.pick(&bounds);
        let config = Config {
            known_max: random.pick(&[3, 100]),
            unknown_max: random.pick(&[2, 100]),
            unknown_ttl: seconds(random.pick(&[1, 60])),
            store_queries_max: random.pick(&[2, 64]),
            wrong_per_second_max: 20,
            max_staleness: seconds(max_staleness),
            outage_grace: seconds(outage_grace),
        };
        let oracle = Oracle::new(config.max_staleness, config.outage_grace, NOTICE, time.now());
        let store = ModelStore::new(random.split());
        let verifier = Verifier::over(Source::Model(store.clone()), time.clock(), config, meters);
        Self {
            random,
            store,
            verifier,
            oracle: Arc::new(Mutex::new(oracle)),
            time,
            digests,
            issued: 0,
            lost: None,
            requests: JoinSet::new(),
        }
    }

    async fn run(mut self) -> (u64, Vec<String>) {
        let follower = tokio::spawn(self.verifier.clone().follow(std::future::pending()));
        for _ in 0..4 {
            self.issue();
        }
        for _ in 0..STEPS {
            tokio::time::sleep(self.random.duration(Duration::from_millis(300))).await;
            if self.store.world().rolled_back {
                self.oracle().disturbed(self.time.now());
            }
            match self.random.below(24) {
                0 => self.blip().await,
                1 => self.race().await,
                _ => self.step(),
            }
        }
        while self.requests.join_next().await.is_some() {}
        follower.abort();
        let oracle = self.oracle();
        (oracle.checked, oracle.violations.clone())
    }

    fn oracle(&self) -> MutexGuard<'_, Oracle> {
        self.oracle.lock().unwrap()
    }

    fn step(&mut self) {
        match self.random.below(32) {
            0..3 => self.revoke(),
            3..5 => self.issue(),
            5 => self.cancel(),
            6..8 => self.lose(),
            8..10 => self.find(),
            10 => self.feed_fault(),
            11 => self.other_faults(),
            12 => self.suspend(),
            13 => self.prune(),
            14 => self.roll_back(),
            15 => self.jump(),
            _ => {
                for _ in 0..=self.random.below(3) {
                    self.ask();
                }
            }
        }
    }

    /// A short outage, in which requests are on their way and things change.
    async fn blip(&mut self) {
        let pause = Duration::from_millis(300);
        self.lose();
        for _ in 0..2 {
            self.ask();
            tokio::time::sleep(self.random.duration(pause)).await;
        }
        self.issue();
        self.revoke();
        self.ask();
        tokio::time::sleep(self.random.duration(pause)).await;
        self.find();
        for _ in 0..4 {
            self.ask();
            tokio::time::sleep(self.random.duration(Duration::from_millis(30))).await;
        }
    }

    /// A token is revoked by the gate itself while somebody asks for it, and asked for again when that is acknowledged.
    async fn race(&mut self) {
        self.issue();
        let Some(digest) = self.issued.checked_sub(1).map(|newest| self.digests[newest]) else { return };
        self.ask_for(digest);
        tokio::time::sleep(self.random.duration(Duration::from_millis(20))).await;
        if !self.revoke_token(digest) {
            return;
        }
        let committed = self.time.now().uptime;
        if self.verifier.catch_up().await.is_ok() {
            self.oracle().acknowledged(digest, committed);
            self.ask_for(digest);
        }
    }

    fn ask(&mut self) {
        // Of those that are not issued yet, too.
        let newest = (self.issued + 2).min(self.digests.len());
        let digest = self.digests[newest - 1 - self.random.below(newest.min(6))];
        self.ask_for(digest);
    }

    fn ask_for(&mut self, digest: TokenDigest) {
        let (verifier, oracle, time) = (self.verifier.clone(), Arc::clone(&self.oracle), self.time.clone());
        self.requests.spawn(async move {
            let request = oracle.lock().unwrap().came(digest, time.now());
            let answer = match verifier.recall(&digest) {
                Some(lookup) => Ok(lookup),
                None => verifier.lookup(&digest, None).await,
            };
            let mut oracle = oracle.lock().unwrap();
            match answer {
                Ok(Lookup::Unknown) => oracle.said(request, State::Absent, time.now()),
                Ok(Lookup::Known(standing)) => {
                    let state = if standing.token.end.is_some() { State::Ended } else { State::Alive };
                    oracle.said(request, state, time.now());
                }
                Err(LookupError::StoreUnavailable { .. }) => oracle.unavailable(request, time.now()),
                Err(LookupError::Overloaded { .. } | LookupError::TooManyWrong { .. }) => {}
            }
        });
    }

    /// A change is made: now and then by this gate, which catches up before it acknowledges.
    fn committed(&mut self, digests: &[TokenDigest]) {
        if self.lost.is_some() || !self.random.one_in(3) {
            return;
        }
        let committed = self.time.now().uptime;
        let (verifier, oracle, digests) = (self.verifier.clone(), Arc::clone(&self.oracle), digests.to_vec());
        self.requests.spawn(async move {
            if verifier.catch_up().await.is_ok() {
                let mut oracle = oracle.lock().unwrap();
                for digest in digests {
                    oracle.acknowledged(digest, committed);
                }
            }
        });
    }

    fn issue(&mut self) {
        if self.issued == self.digests.len() || !self.store.world().is_known() {
            return;
        }
        let digest = self.digests[self.issued];
        self.issued += 1;
        let organization = self.random.pick(&ORGANIZATIONS);
        {
            let mut world = self.store.world();
            let issued = world.commit(Subject::Token(digest));
            world.tokens.insert(digest, Token { organization, issued, ended: None });
        }
        self.oracle().becomes(digest, State::Alive, self.time.now());
        self.committed(&[digest]);
    }

    fn revoke(&mut self) {
        if self.issued == 0 {
            return;
        }
        let digest = self.digests[self.issued - 1 - self.random.below(self.issued.min(5))];
        if self.revoke_token(digest) {
            self.committed(&[digest]);
        }
    }

    /// False if it is not alive.
    fn revoke_token(&self, digest: TokenDigest) -> bool {
        {
            let mut world = self.store.world();
            let is_alive = world.tokens.get(&digest).is_some_and(|token| token.ended.is_none());
            if !world.is_known() || !is_alive {
                return false;
            }
            let ended = world.commit(Subject::Token(digest));
            world.tokens.get_mut(&digest).unwrap().ended = Some(ended);
        }
        self.oracle().becomes(digest, State::Ended, self.time.now());
        true
    }

    /// Ends every token of an organization.
    fn cancel(&mut self) {
        if !self.store.world().is_known() {
            return;
        }
        let organization = self.random.pick(&ORGANIZATIONS);
        let mut ended = Vec::new();
        {
            let mut world = self.store.world();
            let position = world.commit(Subject::Organization(organization));
            for (digest, token) in &mut world.tokens {
                if token.organization == organization && token.ended.is_none() {
                    token.ended = Some(position);
                    ended.push(*digest);
                }
            }
        }
        let now = self.time.now();
        for digest in &ended {
            self.oracle().becomes(*digest, State::Ended, now);
        }
        self.committed(&ended);
    }

    fn lose(&mut self) {
        let outage = self.random.pick(&[Outage::Refuses, Outage::Hangs]);
        self.store.world().faults.unreachable = Some(outage);
        let now = self.time.now();
        self.lost.get_or_insert(now.uptime);
        self.oracle().reach(Reach::Unreachable, now);
    }

    fn find(&mut self) {
        let now = self.time.now();
        let reach = {
            let mut world = self.store.world();
            world.faults.unreachable = None;
            if world.faults.slow > Duration::ZERO { Reach::Doubtful } else { Reach::Reached }
        };
        if let Some(lost) = self.lost.take()
            && !self.verifier.health().store_up
        {
            self.oracle().returned(lost, now);
        }
        self.oracle().reach(reach, now);
    }

    fn feed_fault(&mut self) {
        let fault = self.random.pick(&[None, Some(Outage::Refuses), Some(Outage::Hangs)]);
        self.store.world().faults.feed = fault;
    }

    fn other_faults(&mut self) {
        let slow = self.random.pick(&[0, 0, 100, 500]);
        let replica = self.random.pick(&[None, None, Some(50), Some(1_500)]);
        let deaf = self.random.pick(&[0, 0, 300, DEAF_MILLIS_MAX]);
        let is_reached = {
            let mut world = self.store.world();
            world.faults = Faults {
                slow: Duration::from_millis(slow),
                replica: replica.map(Duration::from_millis),
                deaf: Duration::from_millis(deaf),
                ..world.faults.clone()
            };
            world.faults.unreachable.is_none()
        };
        if is_reached {
            let reach = if slow > 0 { Reach::Doubtful } else { Reach::Reached };
            self.oracle().reach(reach, self.time.now());
        }
    }

    /// The machine sleeps, or the process is stopped, while the world goes on.
    fn suspend(&mut self) {
        for _ in 0..=self.random.below(3) {
            let asleep = self.random.duration(seconds(4));
            self.time.suspended_micros.fetch_add(asleep.as_micros() as u64, Ordering::Relaxed);
            match self.random.below(4) {
                0 => self.revoke(),
                1 => self.issue(),
                2 => self.lose(),
                _ => self.find(),
            }
        }
        self.oracle().disturbed(self.time.now());
    }

    /// The feed keeps the latest change only.
    fn prune(&mut self) {
        let mut world = self.store.world();
        world.pruned = world.pruned.max(world.end() - 1);
    }

    /// The store is an older one, restored.
    fn roll_back(&mut self) {
        let now = self.time.now();
        let mut changed = Vec::new();
        {
            let mut world = self.store.world();
            let end = world.end() - self.random.below(3) as i64;
            if end < world.pruned || end == world.end() {
                return;
            }
            world.rolled_back = true;
            world.log.truncate(end as usize);
            world.tokens.retain(|digest, token| {
                let is_there = token.issued <= end;
                if !is_there {
                    changed.push((*digest, State::Absent));
                } else if token.ended.is_some_and(|ended| ended > end) {
                    token.ended = None;
                    changed.push((*digest, State::Alive));
                }
                is_there
            });
        }
        let mut oracle = self.oracle();
        for (digest, state) in changed {
            oracle.becomes(digest, state, now);
        }
        oracle.disturbed(now);
    }

    /// The wall clock is set.
    fn jump(&mut self) {
        let hours = self.random.pick(&[-24, -1, 1, 24]);
        self.time.wall_offset_millis.fetch_add(hours * 3_600_000, Ordering::Relaxed);
    }
}

fn run(seed: u64, meters: &Meters, digests: &Arc<[TokenDigest]>) -> (u64, Vec<String>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { Schedule::begin(seed, meters.clone(), Arc::clone(digests)).run().await })
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

#[test]
fn every_schedule_keeps_the_bound_and_refuses_no_valid_token() {
    const THREADS: u64 = 2;
    let schedules = number("SIMULATION_SCHEDULES").unwrap_or(10_000);
    let seeds = number("SIMULATION_SEED").map_or(0..schedules, |seed| seed..seed + 1);
    let digests: Arc<[_]> = (0..40).map(|number: u32| TokenDigest::of(&number.to_be_bytes())).collect();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (seeds, digests) = (seeds.clone(), Arc::clone(&digests));
            std::thread::spawn(move || {
                let meters = Meters::register(&Registry::new()).unwrap();
                let mut all = 0;
                for seed in seeds.filter(|seed| seed % THREADS == thread) {
                    let (checked, violations) = run(seed, &meters, &digests);
                    assert!(violations.is_empty(), "SIMULATION_SEED={seed}: {}", violations.join("\n"));
                    all += checked;
                }
                all
            })
        })
        .collect();
    let checked: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    println!("{checked} answers in {} schedules", seeds.count());
}
