//! Requests that come when they come, whether the ones before are answered or not, as those of many clients do. How long one takes is
//! counted from when it was due, also if it had to wait for a connection: a server that stalls is not let off the requests of that time.

use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::load::{Goal, Wire};

/// Requests of one kind.
pub(crate) struct Stream {
    /// Whole requests, used in turn.
    pub(crate) requests: Arc<Vec<Vec<u8>>>,
    /// How many a second, on average; they come as those of many clients do who do not know of each other.
    pub(crate) rate: f64,
    /// How many are asked at once; further ones wait, and that counts.
    pub(crate) connections: usize,
    /// What their answers must be.
    pub(crate) expected: &'static [u16],
    /// It is asked with what the others leave of this machine: it stands for machines elsewhere, which take nothing from those who are measured.
    pub(crate) stands_back: bool,
}

/// How long the requests of one stream took, sorted.
pub(crate) struct Waits {
    sorted: Vec<Duration>,
    /// How many were answered while requests still came.
    in_time: usize,
}

impl Waits {
    /// Such that this part of them took no longer.
    pub(crate) fn quantile(&self, at: f64) -> Duration {
        let place = (self.sorted.len() as f64 * at).ceil() as usize;
        self.sorted[place.clamp(1, self.sorted.len()) - 1]
    }

    /// How many of them were answered while requests still came, of all that did.
    pub(crate) fn part_in_time(&self) -> f64 {
        self.in_time as f64 / self.sorted.len() as f64
    }
}

/// Asks for all streams at once for some time, and tells how long each one's requests took. What is not asked a second after that is not
/// asked at all, and counts with the time for which it has waited.
///
/// Each stream has a thread of its own, and a runtime: what is asked by many is no reason for the few to wait at this end.
pub(crate) fn run(goal: &Goal, streams: &[Stream], time: Duration, seed: u64) -> io::Result<Vec<Waits>> {
    let all_are_open = Barrier::new(streams.len());
    thread::scope(|scope| {
        let asking: Vec<_> = streams
            .iter()
            .enumerate()
            .map(|(number, stream)| {
                let random = Random(seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let all_are_open = &all_are_open;
                scope.spawn(move || {
                    if stream.stands_back {
                        stand_back();
                    }
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        let lane = Lane::open(goal, stream).await;
                        all_are_open.wait();
                        lane?.ask(stream.rate, time, random).await
                    })
                })
            })
            .collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    })
}

/// Lets this thread, and those that it begins, run only while no other wants to: SCHED_IDLE (sched(7)). `nice` is not enough, as the least of
/// threads may finish its time slice of some milliseconds, and whoever is measured waits meanwhile.
fn stand_back() {
    let thread = rustix::thread::gettid().as_raw_pid().to_string();
    let ended = Command::new("chrt").args(["--idle", "--pid", "0", &thread]).status();
    assert!(
        ended.is_ok_and(|ended| ended.success()),
        "chrt (package util-linux) could not make a thread idle"
    );
}

/// The connections of one stream.
struct Lane {
    wires: Vec<Wire>,
    requests: Arc<Vec<Vec<u8>>>,
    expected: &'static [u16],
}

impl Lane {
    async fn open(goal: &Goal, stream: &Stream) -> io::Result<Self> {
        let mut wires = Vec::new();
        for _ in 0..stream.connections {
            wires.push(Wire::connect(goal).await?);
        }
        Ok(Self { wires, requests: Arc::clone(&stream.requests), expected: stream.expected })
    }

    /// Requests are due from now on, until all were answered.
    async fn ask(self, rate: f64, time: Duration, random: Random) -> io::Result<Waits> {
        let (due, queue) = unbounded_channel();
        thread::spawn(move || pace(&due, rate, time, random));
        let over = Instant::now() + time;
        let queue = Arc::new(Mutex::new(queue));
        let turn = Arc::new(AtomicUsize::new(0));
        let mut askers = JoinSet::new();
        for wire in self.wires {
            askers.spawn(ask(
                wire,
                Arc::clone(&queue),
                Arc::clone(&self.requests),
                Arc::clone(&turn),
                self.expected,
                over,
            ));
        }
        let mut waits = Waits { sorted: Vec::new(), in_time: 0 };
        while let Some(asked) = askers.join_next().await {
            let (waited, in_time) = asked.unwrap()?;
            waits.sorted.extend(waited);
            waits.in_time += in_time;
        }
        waits.sorted.sort_unstable();
        Ok(waits)
    }
}

async fn ask(
    mut wire: Wire,
    queue: Arc<Mutex<UnboundedReceiver<Instant>>>,
    requests: Arc<Vec<Vec<u8>>>,
    turn: Arc<AtomicUsize>,
    expected: &'static [u16],
    over: Instant,
) -> io::Result<(Vec<Duration>, usize)> {
    let (mut waits, mut in_time) = (Vec::new(), 0);
    loop {
        let due = queue.lock().await.recv().await;
        let Some(due) = due else { return Ok((waits, in_time)) };
        if Instant::now() < over + PATIENCE {
            let at = turn.fetch_add(1, Ordering::Relaxed);
            wire.exchange(&requests[at % requests.len()], expected).await?;
            in_time += usize::from(Instant::now() <= over);
        }
        waits.push(due.elapsed());
    }
}

/// How long after the last one is due requests are still asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells when requests are due. A thread, because the runtime's timers know milliseconds only.
fn pace(due: &UnboundedSender<Instant>, rate: f64, time: Duration, mut random: Random) {
    // Else the system would be late by some 50 µs, to save power.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1)).unwrap();
    let began = Instant::now();
    let mut at = Duration::ZERO;
    loop {
        at += Duration::from_secs_f64(random.exponential() / rate);
        if at > time {
            return;
        }
        // What is late already goes out at once.
        thread::sleep(at.saturating_sub(began.elapsed()));
        if due.send(began + at).is_err() {
            return;
        }
    }
}

/// The same in every run: xorshift.
struct Random(u64);

impl Random {
    /// Of mean 1.
    fn exponential(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let uniform = ((self.0 >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        -uniform.ln()
    }
}
