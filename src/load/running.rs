//! A run: threads, each with a runtime and a share of the clients, that follow the plan until time or count is up.
//!
//! | phase | |
//! | --- | --- |
//! | `Run` | requests are begun |
//! | `Stop` | none is begun any more, but for those that were due; those under way go on |
//! | `Cut` | whatever is under way is dropped |
//!
//! Without anybody's interference the end of the duration is the stop, and the lanes themselves end when their grace is over: every request
//! that was due is counted. [`Control::cut`] is for whoever does not want to wait; what it drops is counted apart.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::arrivals::{Arrivals, Pattern, Turns};
use super::catalogue::{Ask, Catalogue};
use super::lane::{Client, Lane, Squad, Turnstile};
use super::plan::{Jobs, Plan};
use super::tally::{Tally, histogram};
use super::target::{Prepared, Target};
use super::wire::Dialer;

/// How a run is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many clients there are, at least one.
    pub clients: usize,
    /// Connections of each.
    pub connections: usize,
    /// Threads that they are spread over.
    pub threads: usize,
    /// Requests a second; without it every client asks as fast as it is answered.
    pub rate: Option<f64>,
    /// How arrivals are spread.
    pub pattern: Pattern,
    /// How long requests are begun.
    pub duration: Duration,
    /// How many at most.
    pub requests: u64,
    /// How long each of two targets is asked before it is the other's turn.
    pub slice: Duration,
    /// How long a request may take.
    pub timeout: Duration,
    /// Whether a connection carries more than one request.
    pub keep_alive: bool,
    /// Whether bodies are compared with their digests.
    pub verify: bool,
    /// What all choices follow from.
    pub seed: u64,
}

/// A target with what it is asked for.
pub struct Stage {
    /// Whom.
    pub target: Target,
    /// How it is reached.
    pub dialer: Dialer,
    /// In which order.
    pub plan: Arc<Plan>,
    /// For what.
    pub catalogue: Catalogue,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its time was up.
    Duration,
    /// As many requests as it may make were made.
    Requests,
    /// Somebody stopped it.
    Interrupted,
}

/// What the generator itself had to do with the figures.
#[derive(Clone, Debug)]
pub struct Effort {
    /// CPU time of the process.
    pub cpu: Duration,
    /// Threads that it could spend.
    pub threads: usize,
    /// Microseconds that requests were sent late although a connection was idle.
    pub lag: Histogram<u64>,
    /// Requests that were due while no connection was idle.
    pub waited: u64,
    /// Connections that had been closed while idle.
    pub reconnects: u64,
}

/// What was counted of one target.
#[derive(Clone, Debug)]
pub(super) struct Books {
    pub(super) valid: Tally,
    pub(super) garbage: Tally,
    /// Microseconds of whole visits.
    pub(super) visits: Histogram<u64>,
    pub(super) lag: Histogram<u64>,
    pub(super) waited: u64,
    pub(super) reconnects: u64,
}

/// What came of a run.
pub struct Outcome {
    pub(super) books: Vec<Books>,
    pub(super) turns: Turns,
    /// From the first request to the end of the last.
    pub elapsed: Duration,
    /// Why it ended.
    pub ending: Ending,
    /// Requests that were under way when somebody did not want to wait any more.
    pub cut: u64,
    /// The generator's own part.
    pub effort: Effort,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// Since its beginning.
    pub elapsed: Duration,
    /// Requests that are over.
    pub requests: u64,
    /// Those that were wrong.
    pub errors: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Of valid requests, in microseconds.
    pub p50_micros: u64,
    /// Of valid requests, in microseconds.
    pub p99_micros: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Run,
    Stop,
    Cut,
}

/// The hand on a run, from outside.
#[derive(Clone)]
pub struct Control(Arc<Hand>);

struct Hand {
    phase: watch::Sender<Phase>,
    books: Mutex<Vec<Arc<Mutex<Books>>>>,
    began: Mutex<Option<Instant>>,
}

/// What all lanes of a run share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) turns: Turns,
    pub(super) began: Instant,
    /// Nanoseconds from the beginning; nothing is begun that is due later.
    end_nanos: AtomicU64,
    /// When everything ends.
    pub(super) hard_end: Duration,
    pub(super) phase: watch::Receiver<Phase>,
    budget: AtomicU64,
    is_spent: AtomicBool,
    pub(super) started: AtomicU64,
}

/// A target as lanes see it.
pub(super) struct Scene {
    /// Which of the targets.
    pub(super) number: usize,
    pub(super) target: Target,
    pub(super) dialer: Dialer,
    pub(super) plan: Arc<Plan>,
    pub(super) asks: Vec<(Ask, Prepared)>,
}

/// How long answers are waited for at the end, at most.
const GRACE_MAX: Duration = Duration::from_secs(10);

/// Within it all threads have started.
const HEAD_START: Duration = Duration::from_millis(20);

impl Default for Control {
    fn default() -> Self {
        let hand =
            Hand { phase: watch::Sender::new(Phase::Run), books: Mutex::default(), began: Mutex::default() };
        Self(Arc::new(hand))
    }
}

impl Control {
    /// Begins no further request.
    pub fn stop(&self) {
        self.0
            .phase
            .send_if_modified(|phase| std::mem::replace(phase, (*phase).max(Phase::Stop)) < Phase::Stop);
    }

    /// Ends at once.
    pub fn cut(&self) {
        self.0.phase.send_replace(Phase::Cut);
    }

    /// How far the run is.
    pub fn live(&self) -> Live {
        let mut live = Live::default();
        let began = *lock(&self.0.began);
        live.elapsed = began.map_or(Duration::ZERO, |began| began.elapsed());
        let mut latency = histogram(2);
        for books in lock(&self.0.books).iter() {
            let books = lock(books);
            for tally in [&books.valid, &books.garbage] {
                live.requests += tally.requests();
                live.errors += tally.errors();
                live.bytes += tally.bytes();
            }
            let _ = latency.add(books.valid.latency());
        }
        live.p50_micros = latency.value_at_quantile(0.5);
        live.p99_micros = latency.value_at_quantile(0.99);
        live
    }
}

impl Settings {
    /// The whole length of a run, its grace included.
    pub fn length_max(&self) -> Duration {
        self.duration.saturating_add(self.timeout.min(GRACE_MAX))
    }
}

impl Shared {
    /// Since the beginning; zero before it.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Nothing that is due later is begun.
    pub(super) fn end(&self) -> Duration {
        Duration::from_nanos(self.end_nanos.load(Ordering::Relaxed))
    }

    /// The right to one more request.
    pub(super) fn spend(&self) -> bool {
        let spent =
            self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if spent.is_err() {
            self.is_spent.store(true, Ordering::Relaxed);
        }
        spent.is_ok()
    }

    /// Takes it back.
    pub(super) fn unspend(&self) {
        self.budget.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns when no further request is to be begun.
    pub(super) async fn stopped(&self) {
        // Whoever holds the other end is waiting for the end of the run.
        let _ = self.phase.clone().wait_for(|phase| *phase >= Phase::Stop).await;
        let now = u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.end_nanos.fetch_min(now, Ordering::Relaxed);
    }

    async fn cut(&self) {
        let _ = self.phase.clone().wait_for(|phase| *phase >= Phase::Cut).await;
    }
}

impl Books {
    fn new(settings: &Settings, slices: usize) -> Self {
        let length = settings.length_max();
        Self {
            valid: Tally::new(length, slices),
            garbage: Tally::new(length, 0),
            visits: histogram(2),
            lag: histogram(2),
            waited: 0,
            reconnects: 0,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.valid.merge(&other.valid);
        self.garbage.merge(&other.garbage);
        // Of equal bounds.
        let _ = self.visits.add(&other.visits);
        let _ = self.lag.add(&other.lag);
        self.waited += other.waited;
        self.reconnects += other.reconnects;
    }
}

/// Runs to the end; takes as long as that, on threads of its own.
///
/// # Errors
///
/// No threads, no timers; what targets do is never an error.
pub fn run(stages: Vec<Stage>, settings: Settings, control: &Control) -> io::Result<Outcome> {
    let threads = settings.threads.clamp(1, settings.clients.max(1));
    let turns = Turns::new(stages.len(), settings.slice);
    let is_paired = stages.len() > 1;
    let slices = if is_paired { turns.slice(settings.duration) + 1 } else { 0 };
    let scenes: Vec<Arc<Scene>> = stages.into_iter().enumerate().map(scene).collect();
    let began = Instant::now() + HEAD_START;
    let shared = Arc::new(Shared {
        turns,
        began,
        end_nanos: AtomicU64::new(u64::try_from(settings.duration.as_nanos()).unwrap_or(u64::MAX)),
        hard_end: settings.length_max(),
        phase: control.0.phase.subscribe(),
        budget: AtomicU64::new(settings.requests),
        is_spent: AtomicBool::new(false),
        started: AtomicU64::new(0),
        settings,
    });
    *lock(&control.0.began) = Some(began);
    let cpu_before = cpu_time();
    let mut crews = Vec::new();
    for thread in 0..threads {
        let mut crew = Vec::new();
        for scene in &scenes {
            let books = Arc::new(Mutex::new(Books::new(&shared.settings, slices)));
            lock(&control.0.books).push(Arc::clone(&books));
            crew.push((Arc::clone(scene), books));
        }
        let shared = Arc::clone(&shared);
        let name = format!("bench-{thread}");
        crews.push(
            std::thread::Builder::new().name(name).spawn(move || work(thread, threads, &crew, &shared))?,
        );
    }
    for crew in crews {
        crew.join().map_err(|_| io::Error::other("a thread of the generator panicked"))??;
    }
    let elapsed = shared.elapsed();
    let cpu = cpu_time().saturating_sub(cpu_before);
    Ok(outcome(&shared, control, &scenes, elapsed, cpu, threads, slices))
}

/// One thread: its share of the clients, for each target.
fn work(
    thread: usize,
    threads: usize,
    crew: &[(Arc<Scene>, Arc<Mutex<Books>>)],
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut lanes = JoinSet::new();
        let settings = &shared.settings;
        let clients = (thread..settings.clients).step_by(threads);
        for (scene, books) in crew {
            let schedule = match settings.rate {
                None => None,
                Some(rate) => {
                    let seed = settings.seed.wrapping_add(scene.number as u64);
                    let arrivals = Arrivals::new(settings.pattern, rate, thread, threads, seed);
                    let jobs = Jobs::new(Arc::clone(&scene.plan), thread as u64);
                    Some(Turnstile::new(arrivals, jobs)?)
                }
            };
            let squad =
                Arc::new(Squad::new(Arc::clone(shared), Arc::clone(scene), Arc::clone(books), schedule));
            for client in clients.clone() {
                let client = Arc::new(Client::new(client as u64));
                for _ in 0..settings.connections {
                    let (lane, shared) =
                        (Lane::new(Arc::clone(&squad), Arc::clone(&client)), Arc::clone(shared));
                    lanes.spawn(async move {
                        tokio::select! {
                            biased;
                            () = shared.cut() => Ok(()),
                            done = lane.run() => done,
                        }
                    });
                }
            }
        }
        while let Some(done) = lanes.join_next().await {
            done.map_err(io::Error::other)??;
        }
        Ok(())
    })
}

fn scene((number, stage): (usize, Stage)) -> Arc<Scene> {
    let Stage { target, dialer, plan, catalogue } = stage;
    // What cannot be a request was refused when one of each kind was tried; the plan counts on all of them.
    let asks = catalogue.all().filter_map(|ask| Some((ask.clone(), target.prepare(&ask.path)?))).collect();
    Arc::new(Scene { number, target, dialer, plan, asks })
}

fn outcome(
    shared: &Shared,
    control: &Control,
    scenes: &[Arc<Scene>],
    elapsed: Duration,
    cpu: Duration,
    threads: usize,
    slices: usize,
) -> Outcome {
    let all = lock(&control.0.books);
    let mut merged = Vec::new();
    for scene in scenes {
        let mut books = Books::new(&shared.settings, slices);
        for other in all.iter().skip(scene.number).step_by(scenes.len()) {
            books.merge(&lock(other));
        }
        merged.push(books);
    }
    let mut effort = Effort { cpu, threads, lag: histogram(2), waited: 0, reconnects: 0 };
    let mut recorded = 0;
    for books in &merged {
        let _ = effort.lag.add(&books.lag);
        effort.waited += books.waited;
        effort.reconnects += books.reconnects;
        recorded += books.valid.requests() + books.garbage.requests();
    }
    let ending = if *shared.phase.borrow() > Phase::Run {
        Ending::Interrupted
    } else if shared.is_spent.load(Ordering::Relaxed) {
        Ending::Requests
    } else {
        Ending::Duration
    };
    let cut = shared.started.load(Ordering::Relaxed).saturating_sub(recorded);
    Outcome { books: merged, turns: shared.turns, elapsed, ending, cut, effort }
}

/// Nothing that a thread leaves behind when it panics is half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0))
}
