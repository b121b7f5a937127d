//! The gate beside nginx and HAProxy at the same job: how much processor time does a request take, or a GB?
//!
//! `cargo bench --bench side_by_side -- [WORKLOADS]`, all of them unless told; `--list` names them. It needs the Debian packages `nginx`
//! and `haproxy`, and two CPUs. Everything runs on the loopback, in a temporary directory; nothing is left running.
//!
//! For each workload everybody is started anew and pinned to one CPU; the load and the upstream have the other. First every file is
//! fetched from everybody and held against its digest, and a token that does not exist is refused by everybody. Then come rounds, in which
//! everybody is pressed in turn, forwards and backwards. What counts is the processor time of whole process trees, from `/proc`, for each
//! request or GB, and of it the ratio within a round: on a shared machine absolute figures change from minute to minute, ratios do not. The gate
//! does all that it does where it is deployed, logging and metrics included; its peers log nothing.
//!
//! Results are written to `benches/results` (`--results DIRECTORY`): a JSON file for each workload. The table, and the
//! picture in `side_by_side.svg`, are of all that is there, so that workloads can be measured one after the other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs
)]

mod auth_service;
mod chart;
mod cores;
mod fill;
mod idle;
mod latency;
mod load;
mod machine;
mod open_loop;
mod perf;
mod place;
mod process;
mod report;
mod rounds;
mod stage;
mod workload;

use std::io;
use std::path::{Path, PathBuf};

use channelgate::clock::Clock;
use clap::Parser as _;

use self::machine::Machine;
use self::report::Outcome;
use self::stage::{Cpus, Server, Stage};
use self::workload::{WORKLOADS, Workload};

#[derive(clap::Parser)]
struct Arguments {
    /// Workloads; all without
    workloads: Vec<String>,
    /// How often everybody is pressed
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How long each time; by default 1 or 1.5, as the workload needs
    #[arg(long)]
    seconds: Option<f64>,
    /// The gate that is measured, in place of this build's
    #[arg(long, default_value = env!("CARGO_BIN_EXE_channelgate"))]
    gate: PathBuf,
    /// Where results are written
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results"))]
    results: PathBuf,
    /// Names the workloads and ends
    #[arg(long)]
    list: bool,
    /// Prints and draws what was measured before, and ends
    #[arg(long)]
    table: bool,
    /// Cargo says it
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let given: Vec<String> = std::env::args().skip(1).collect();
    if let [word, address, tokens] = &given[..]
        && word == stage::AUTH_SERVICE
    {
        runtime.block_on(auth_service::serve(address.parse().unwrap(), Path::new(tokens)));
        return;
    }
    let mut arguments = Arguments::parse();
    if arguments.list {
        Job::all().into_iter().for_each(|job| println!("{:<12}{}", job.name(), job.title()));
        return;
    }
    if !arguments.table {
        // It is started elsewhere.
        arguments.gate = std::fs::canonicalize(&arguments.gate)
            .unwrap_or_else(|error| panic!("--gate {}: {error}", arguments.gate.display()));
        let missing = machine::missing();
        assert!(missing.is_empty(), "please install: {}", missing.join(" "));
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        assert!(cpus >= 2, "this needs two CPUs, one for servers, one for the load");
        if !perf::Watch::is_possible() {
            println!(
                "no instructions are counted: perf (package linux-perf) is not there, or may not count here"
            );
        }
        process::run_on(&[1]);
        process::open_many_files();
        for job in asked_for(&arguments.workloads) {
            let outcome = runtime.block_on(job.measure(&arguments));
            let outcome = outcome.unwrap_or_else(|error| panic!("{}: {error}", job.name()));
            outcome.write(&arguments.results);
            println!("{}", report::table(&[outcome]));
        }
    }
    let read = |job: Job| Outcome::read(&arguments.results, job.name());
    let outcomes: Vec<_> = Job::all().into_iter().filter_map(read).collect();
    chart::draw(&outcomes, &arguments.results);
    print!("{}", report::table(&outcomes));
}

fn asked_for(names: &[String]) -> Vec<Job> {
    if names.is_empty() {
        return Job::all();
    }
    let found = |name: &String| {
        let job = Job::all().into_iter().find(|job| job.name() == name);
        job.unwrap_or_else(|| panic!("there is no workload {name}; --list names them"))
    };
    names.iter().map(found).collect()
}

/// What can be asked for.
#[derive(Clone, Copy)]
enum Job {
    Pressed(&'static Workload),
    Fill,
    Idle,
    Latency,
    Flood,
    Cores,
}

impl Job {
    fn all() -> Vec<Self> {
        let others = [Self::Fill, Self::Idle, Self::Latency, Self::Flood, Self::Cores];
        WORKLOADS.iter().map(Self::Pressed).chain(others).collect()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pressed(workload) => workload.name,
            Self::Fill => "fill",
            Self::Idle => "idle",
            Self::Latency => "latency",
            Self::Flood => "flood",
            Self::Cores => "cores",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Pressed(workload) => workload.title,
            Self::Fill => "R, fetched for the first time and kept",
            Self::Idle => "memory of 10,000 idle connections",
            Self::Latency => "S at half of what can be done",
            Self::Flood => "ten unknown tokens for each valid one",
            Self::Cores => "the gate on one CPU and on two",
        }
    }

    fn servers(self) -> Vec<Server> {
        match self {
            Self::Pressed(workload) => workload.servers().collect(),
            Self::Fill => fill::SERVERS.to_vec(),
            Self::Idle => idle::SERVERS.to_vec(),
            Self::Latency => latency::SERVERS.to_vec(),
            Self::Flood | Self::Cores => vec![Server::Gate],
        }
    }

    fn tls(self) -> bool {
        matches!(self, Self::Pressed(workload) if workload.tls)
    }

    /// How long a round is by default.
    fn seconds(self) -> f64 {
        match self {
            Self::Pressed(workload) => workload.seconds,
            Self::Fill | Self::Idle | Self::Cores => 0.0,
            Self::Latency | Self::Flood => 3.0,
        }
    }

    async fn measure(self, arguments: &Arguments) -> io::Result<Outcome> {
        let cpus = Cpus { servers: vec![0], load: vec![1] };
        let stage = Stage::set(&arguments.gate, &self.servers(), self.tls(), &cpus).await;
        rounds::check(&stage, &self.servers(), self.tls()).await?;
        println!("{}: everybody gives every file whole, and none to an unknown token", self.name());
        let (rounds, seconds) = (arguments.rounds, arguments.seconds.unwrap_or(self.seconds()));
        let (rows, figures) = match self {
            Self::Pressed(workload) => rounds::run(&stage, workload, rounds, seconds).await?,
            Self::Fill => fill::run(&stage).await?,
            Self::Idle => idle::run(&stage).await?,
            Self::Latency => latency::beside_nginx(&stage, rounds, seconds).await?,
            Self::Flood => latency::under_flood(&stage, rounds, seconds).await?,
            Self::Cores => {
                let both = Cpus { servers: vec![0, 1], load: vec![1] };
                let second = Stage::set(&arguments.gate, &self.servers(), false, &both).await;
                rounds::check(&second, &self.servers(), false).await?;
                cores::run(&[stage, second], rounds).await?
            }
        };
        let how = match self {
            Self::Pressed(workload) => {
                format!("{rounds} rounds of {seconds} s, {} connections", workload.connections)
            }
            Self::Cores => format!("{rounds} rounds"),
            Self::Fill | Self::Idle => String::new(),
            Self::Latency | Self::Flood => format!("{rounds} rounds of {seconds} s"),
        };
        Ok(Outcome {
            workload: self.name().to_owned(),
            at: Clock::system().now().to_string(),
            machine: Machine::describe(&arguments.gate),
            how,
            rows,
            figures,
        })
    }
}
