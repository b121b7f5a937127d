//! Instructions, where `perf` can count them: in rounds of their own, since a process that is watched takes more time.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::process::Process;

/// `perf`, watching some processes.
pub(crate) struct Watch(Child);

impl Watch {
    /// Whether there is `perf` (in Debian's package `linux-perf`), and a processor that lets it count.
    pub(crate) fn is_possible() -> bool {
        let mut command = perf();
        command.args(["--", "true"]);
        command.output().is_ok_and(|output| instructions(&output.stderr).is_some())
    }

    pub(crate) fn of(processes: &[&Process]) -> Self {
        let ids: Vec<_> =
            processes.iter().flat_map(|process| process.tree()).map(|id| id.to_string()).collect();
        let mut command = perf();
        command.arg("-p").arg(ids.join(",")).stdout(Stdio::null()).stderr(Stdio::piped());
        let watch = Self(command.spawn().unwrap());
        // It says nothing when it has begun.
        thread::sleep(Duration::from_millis(300));
        watch
    }

    /// Instructions of the processes, their part of the kernel's included, since it was made.
    pub(crate) fn end(self) -> Option<f64> {
        kill_process(Pid::from_child(&self.0), Signal::INT).unwrap();
        instructions(&self.0.wait_with_output().unwrap().stderr)
    }
}

fn perf() -> Command {
    let mut command = Command::new("perf");
    command.args(["stat", "-x,", "-e", "instructions:u,instructions:k"]);
    command
}

/// The sum of both lines; nothing if one of them is no number, as `<not supported>`.
fn instructions(said: &[u8]) -> Option<f64> {
    let said = String::from_utf8_lossy(said);
    let counts: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("instructions"))
        .filter_map(|line| line.split(',').next())
        .collect();
    if counts.len() != 2 {
        return None;
    }
    counts.into_iter().map(|count| count.parse::<f64>().ok()).sum()
}
