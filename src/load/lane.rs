//! One connection of one client, and what it does: takes the next request, waits for its time, sends it, counts what came of it.
//!
//! **By a schedule** ([`Turnstile`]): idle lanes queue for the next arrival. The first of them takes it, waits for its moment, lets the
//! next one in, and sends. So one timer serves all, an arrival waits for nobody while a lane is idle, and where none is, arrivals are taken
//! late and count from when they were due.
//!
//! **Without one**: the lanes of a client work off its visit together. When the last request of it is over, the next visit begins.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{sleep, timeout_at};

use super::alarm::Alarm;
use super::arrivals::Arrivals;
use super::plan::{Job, Jobs};
use super::running::{Books, Scene, Shared, lock};
use super::tally::{Fault, Record, micros};
use super::target::Prepared;
use super::wire::{Answer, Protocol, Wire};
use crate::token::Minted;

/// The lanes of one thread to one target.
pub(super) struct Squad {
    shared: Arc<Shared>,
    scene: Arc<Scene>,
    books: Arc<Mutex<Books>>,
    schedule: Option<AsyncMutex<Turnstile>>,
}

/// Where arrivals are taken, one after the other.
pub(super) struct Turnstile {
    arrivals: Arrivals,
    jobs: Jobs,
    alarm: Alarm,
}

/// What the lanes of a client share.
pub(super) struct Client {
    number: u64,
    visit: Mutex<Visit>,
    /// A visit is over.
    over: Notify,
    /// With HTTP/2.
    wire: AsyncMutex<Option<Wire>>,
}

#[derive(Default)]
struct Visit {
    /// How many there were, this one included.
    count: u64,
    left: VecDeque<Job>,
    running: usize,
    began: Duration,
}

/// One connection.
pub(super) struct Lane {
    squad: Arc<Squad>,
    client: Arc<Client>,
    wire: Option<Wire>,
    garbage: u64,
}

/// Between attempts at a target that does not let anybody connect.
const PAUSE: Duration = Duration::from_millis(50);

impl Turnstile {
    /// Within a runtime.
    pub(super) fn new(arrivals: Arrivals, jobs: Jobs) -> io::Result<Self> {
        Ok(Self { arrivals, jobs, alarm: Alarm::new()? })
    }
}

impl Squad {
    pub(super) fn new(
        shared: Arc<Shared>,
        scene: Arc<Scene>,
        books: Arc<Mutex<Books>>,
        schedule: Option<Turnstile>,
    ) -> Self {
        Self { shared, scene, books, schedule: schedule.map(AsyncMutex::new) }
    }
}

impl Client {
    pub(super) fn new(number: u64) -> Self {
        Self { number, visit: Mutex::default(), over: Notify::new(), wire: AsyncMutex::default() }
    }
}

impl Lane {
    pub(super) fn new(squad: Arc<Squad>, client: Arc<Client>) -> Self {
        Self { squad, client, wire: None, garbage: 0 }
    }

    /// Works until the run is over.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let squad = Arc::clone(&self.squad);
        match &squad.schedule {
            Some(schedule) => self.follow(schedule).await,
            None => {
                sleep(squad.shared.began.saturating_duration_since(Instant::now())).await;
                self.hurry().await;
                Ok(())
            }
        }
    }

    /// By a schedule.
    async fn follow(&mut self, schedule: &AsyncMutex<Turnstile>) -> io::Result<()> {
        let squad = Arc::clone(&self.squad);
        let shared = &squad.shared;
        loop {
            let idle_since = shared.elapsed();
            let mut turnstile = schedule.lock().await;
            let Some(due) = turnstile.arrivals.next() else { return Ok(()) };
            let due = shared.turns.in_run(squad.scene.number, due);
            if due >= shared.end() || !shared.spend() {
                return Ok(());
            }
            let Some(job) = turnstile.jobs.next() else { return Ok(()) };
            if due > shared.elapsed() {
                tokio::select! {
                    biased;
                    rung = turnstile.alarm.wait_until(shared.began + due) => rung?,
                    () = shared.stopped() => {
                        shared.unspend();
                        return Ok(());
                    }
                }
            }
            drop(turnstile);
            shared.started.fetch_add(1, Ordering::Relaxed);
            let now = shared.elapsed();
            {
                let mut books = lock(&squad.books);
                if idle_since <= due {
                    books.lag.saturating_record(micros(now.saturating_sub(due)));
                } else {
                    books.waited += 1;
                }
            }
            if now >= shared.hard_end {
                self.count(job, due, None, Err(Fault::Unanswered));
            } else {
                self.perform(job, due).await;
            }
        }
    }

    /// As fast as answers come.
    async fn hurry(&mut self) {
        let squad = Arc::clone(&self.squad);
        let shared = &squad.shared;
        loop {
            let now = shared.elapsed();
            let turn = shared.turns.next_turn(squad.scene.number, now);
            if turn >= shared.end() {
                return;
            }
            let is_stopped = shared.phase.has_changed().unwrap_or(true);
            if is_stopped {
                return;
            }
            if turn > now {
                tokio::select! {
                    () = sleep(turn - now) => continue,
                    () = shared.stopped() => return,
                }
            }
            if !shared.spend() {
                return;
            }
            let Some(job) = self.next_of_visit() else {
                shared.unspend();
                // The others end it: it has requests under way.
                self.client.over.notified().await;
                continue;
            };
            shared.started.fetch_add(1, Ordering::Relaxed);
            let fault = self.perform(job, shared.elapsed()).await;
            self.finish_of_visit();
            if matches!(fault, Some(Fault::Connect | Fault::Tls | Fault::Closed | Fault::Protocol)) {
                sleep(PAUSE).await;
            }
        }
    }

    /// The next request of the client's visit, or of its next one; `None` while others end this one.
    fn next_of_visit(&self) -> Option<Job> {
        let mut visit = lock(&self.client.visit);
        if visit.left.is_empty() && visit.running == 0 {
            visit.left = self.squad.scene.plan.visit(self.client.number, visit.count).into();
            visit.count += 1;
            visit.began = self.squad.shared.elapsed();
        }
        let job = visit.left.pop_front()?;
        visit.running += 1;
        Some(job)
    }

    fn finish_of_visit(&self) {
        let mut visit = lock(&self.client.visit);
        visit.running -= 1;
        if visit.left.is_empty() && visit.running == 0 {
            let took = self.squad.shared.elapsed().saturating_sub(visit.began);
            lock(&self.squad.books).visits.saturating_record(micros(took));
            self.client.over.notify_waiters();
        }
    }

    /// Makes a request that was due at `due`, and counts it.
    async fn perform(&mut self, job: Job, due: Duration) -> Option<Fault> {
        let squad = Arc::clone(&self.squad);
        let shared = &squad.shared;
        let (now, hard_end) = (Instant::now(), shared.began + shared.hard_end);
        let own_end = now + shared.settings.timeout;
        let outcome = match timeout_at(own_end.min(hard_end).into(), self.attempt(job)).await {
            Ok(outcome) => outcome,
            Err(_) if own_end <= hard_end => Err(Fault::Timeout),
            Err(_) => Err(Fault::Unanswered),
        };
        self.count(job, due, Some(now), outcome)
    }

    async fn attempt(&mut self, job: Job) -> Result<Answer, Fault> {
        let squad = Arc::clone(&self.squad);
        let scene = &squad.scene;
        let (ask, prepared) = scene.asks.get(job.ask).ok_or(Fault::Protocol)?;
        let garbage = if job.is_garbage { Some(self.garbage(&ask.path)?) } else { None };
        let prepared = garbage.as_ref().unwrap_or(prepared);
        let takes_digest = squad.shared.settings.verify && ask.sha256.is_some() && !job.is_garbage;
        let etag = ask.etag.as_ref().filter(|_| !job.is_garbage);
        let mut may_repeat = true;
        loop {
            let mut wire = self.connect().await?;
            let was_proven = wire.is_proven;
            match wire.ask(prepared, etag, takes_digest).await {
                Ok(answer) => {
                    if squad.shared.settings.keep_alive && !answer.is_short {
                        self.keep(wire).await;
                    }
                    return Ok(answer);
                }
                // It had been closed while idle; every client asks again then.
                Err(Fault::Closed) if was_proven && may_repeat => {
                    may_repeat = false;
                    lock(&squad.books).reconnects += 1;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// A connection: the lane's, the client's, or a new one.
    async fn connect(&mut self) -> Result<Wire, Fault> {
        let scene = &self.squad.scene;
        let dial = async || scene.dialer.dial().await.map_err(|(fault, _)| fault);
        if scene.dialer.protocol() == Protocol::Http1 || !self.squad.shared.settings.keep_alive {
            return match self.wire.take().filter(Wire::is_open) {
                Some(wire) => Ok(wire),
                None => dial().await,
            };
        }
        let mut common = self.client.wire.lock().await;
        let wire = match common.take().filter(Wire::is_open) {
            Some(wire) => wire,
            None => dial().await?,
        };
        common.insert(wire).share().ok_or(Fault::Protocol)
    }

    async fn keep(&mut self, wire: Wire) {
        if self.squad.scene.dialer.protocol() == Protocol::Http1 {
            self.wire = Some(wire);
        } else if let Some(common) = self.client.wire.lock().await.as_mut() {
            common.is_proven = true;
        }
    }

    /// A request with a token that nobody was given. Every second one has a gate's own form, so that it has to be looked up.
    fn garbage(&mut self, file: &str) -> Result<Prepared, Fault> {
        self.garbage += 1;
        let minted = Minted::random().map_err(|_| Fault::Protocol)?;
        let token = if self.garbage.is_multiple_of(2) {
            minted.expose()
        } else {
            &minted.expose().replace("cg-", "xy-")
        };
        self.squad.scene.target.prepare_garbage(file, token).ok_or(Fault::Protocol)
    }

    /// Counts what came of a request, and returns what was wrong.
    fn count(
        &self,
        job: Job,
        due: Duration,
        sent: Option<Instant>,
        outcome: Result<Answer, Fault>,
    ) -> Option<Fault> {
        let Squad { shared, scene, books, .. } = &*self.squad;
        let now = shared.elapsed();
        let fault = match (&outcome, scene.asks.get(job.ask)) {
            (Err(fault), _) => Some(*fault),
            (Ok(answer), _) if answer.is_short => Some(Fault::ShortBody),
            (Ok(answer), _) if job.is_garbage => {
                // A gate may also say that it does not look so many unknown tokens up.
                let is_refused = (400..500).contains(&answer.status)
                    || (answer.status == 503 && answer.code.as_deref() == Some("overloaded"));
                (!is_refused).then(|| Fault::of_status(answer.status))
            }
            (Ok(answer), Some((ask, _))) => ask.judge(answer.status, answer.bytes, answer.digest).err(),
            (Ok(_), None) => None,
        };
        let head = outcome.as_ref().ok().zip(sent);
        let waited = sent.map(|sent| sent.saturating_duration_since(shared.began + due));
        let record = Record {
            at: now,
            slice: shared.turns.slice(due),
            latency: now.saturating_sub(due),
            first_byte: head
                .zip(waited)
                .map(|((answer, sent), waited)| waited + answer.head_at.saturating_duration_since(sent)),
            bytes: outcome.as_ref().map_or(0, |answer| answer.bytes),
            answer: outcome.ok().map(|answer| (answer.status, answer.code)),
            fault,
        };
        let mut books = lock(books);
        let tally = if job.is_garbage { &mut books.garbage } else { &mut books.valid };
        tally.record(record);
        fault
    }
}
