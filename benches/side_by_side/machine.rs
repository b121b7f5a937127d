//! On what it was measured: no figure means anything without.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine and the programs.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cpus: usize,
    pub(crate) kernel: String,
    pub(crate) congestion_control: String,
    pub(crate) programs: Vec<String>,
}

impl Machine {
    /// With the build of the gate that was measured, by the end of its path: `release/channelgate`.
    pub(crate) fn describe(gate: &Path) -> Self {
        let names: Vec<_> = gate.iter().map(|name| name.to_string_lossy()).collect();
        let gate = names[names.len().saturating_sub(2)..].join("/");
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Self {
            processor: model.map_or("unknown", |(_, model)| model).to_owned(),
            cpus: processors.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: read("/proc/sys/kernel/osrelease"),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control"),
            programs: vec![
                format!("channelgate {} ({gate})", env!("CARGO_PKG_VERSION")),
                said("nginx", &["-V"], |line| line.starts_with("nginx version") || line.contains("OpenSSL")),
                said("haproxy", &["-v"], |line| line.contains("version")),
            ],
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cpus, kernel, congestion_control, programs } = self;
        write!(f, "{processor}, {cpus} CPUs, Linux {kernel}, {congestion_control}; {}", programs.join("; "))
    }
}

/// What a program says of its version, on whichever stream.
fn said(program: &str, arguments: &[&str], is_wanted: impl Fn(&str) -> bool) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return String::new() };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().filter(|line| is_wanted(line)).collect::<Vec<_>>().join(", ")
}

/// Those of the programs that are not installed, as the packages of Debian that have them.
pub(crate) fn missing() -> Vec<&'static str> {
    let is_there = |program: &str| Command::new(program).arg("-v").output().is_ok();
    ["nginx", "haproxy"].into_iter().filter(|program| !is_there(program)).collect()
}
