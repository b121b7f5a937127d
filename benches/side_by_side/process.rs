//! Programs that run beside the bench: started on CPUs of their own, ended with it, their processor time and memory read from `/proc`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// A program and whatever it starts. It is told to stop when this is dropped, and killed if it does not.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it on these CPUs, with what it prints in a file below `place`.
    pub(crate) fn start(name: &'static str, mut command: Command, cpus: &[usize], place: &Path) -> Self {
        let log = place.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        // It is of the bench's group, so that whoever interrupts the bench ends it, too. A child has the CPUs of the thread that starts it.
        let own = rustix::thread::sched_getaffinity(None).unwrap();
        run_on(cpus);
        let child = command.spawn();
        sched_setaffinity(None, &own).unwrap();
        let child = child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Self { name, child, log }
    }

    /// Waits until it accepts connections at all of these.
    pub(crate) fn accepts(&mut self, addresses: &[SocketAddr]) {
        let began = Instant::now();
        for address in addresses {
            while TcpStream::connect(address).is_err() {
                let ended = self.child.try_wait().unwrap();
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                assert!(ended.is_none(), "{} ended: {}\n{log}", self.name, ended.unwrap());
                assert!(began.elapsed() < PATIENCE, "{} does not answer at {address}\n{log}", self.name);
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Empties what it has printed: a line for each of a million requests would fill the disk.
    pub(crate) fn empty_log(&self) {
        File::options().write(true).open(&self.log).unwrap().set_len(0).unwrap();
    }

    /// The process and all below it.
    pub(crate) fn tree(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        let mut at = 0;
        while let Some(process) = found.get(at).copied() {
            at += 1;
            for task in numbers_in(&format!("/proc/{process}/task")) {
                let children = fs::read_to_string(format!("/proc/{process}/task/{task}/children"));
                found.extend(
                    children.unwrap_or_default().split_whitespace().map(|id| id.parse::<u32>().unwrap()),
                );
            }
        }
        found
    }

    /// Resident memory of the tree, in bytes. What processes share, as a master and its workers do, is counted once.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let proportional = |process| {
            let sums = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
            let line = sums.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
        };
        self.tree().into_iter().map(proportional).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::TERM);
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > Duration::from_secs(2) {
                // A master that is killed leaves its workers behind.
                for process in self.tree() {
                    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
                    let _ = id.map(|id| kill_process(id, Signal::KILL));
                }
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Processor time of some trees of processes at one moment.
pub(crate) struct CpuTimes(HashMap<(u32, u32), u64>);

impl CpuTimes {
    pub(crate) fn of(processes: &[&Process]) -> Self {
        let mut nanoseconds = HashMap::new();
        for process in processes.iter().flat_map(|process| process.tree()) {
            for task in numbers_in(&format!("/proc/{process}/task")) {
                // A task may end meanwhile.
                if let Ok(line) = fs::read_to_string(format!("/proc/{process}/task/{task}/schedstat")) {
                    let running = line.split(' ').next().unwrap().parse::<u64>().unwrap();
                    nanoseconds.insert((process, task), running);
                }
            }
        }
        Self(nanoseconds)
    }

    /// What was used since. Threads that ended in between are not counted: those of a pool end after seconds of idleness only.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let used = |(task, now): (&(u32, u32), &u64)| now - earlier.0.get(task).copied().unwrap_or(0);
        Duration::from_nanos(self.0.iter().map(used).sum())
    }
}

/// Puts the calling thread, and what it starts from now on, onto these CPUs.
pub(crate) fn run_on(cpus: &[usize]) {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    sched_setaffinity(None, &set).unwrap_or_else(|error| panic!("CPUs {cpus:?} cannot be used: {error}"));
}

/// As many open files as may be had, for this process and what it starts: ten thousand connections are two ends each.
pub(crate) fn open_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

fn numbers_in(directory: &str) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

const PATIENCE: Duration = Duration::from_secs(60);
