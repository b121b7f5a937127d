//! Correctness first, then rounds: everybody in turn, forwards and backwards, so that whatever else the machine does hits all of them alike.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::load::{Asking, Crowd, Wire};
use super::perf::Watch;
use super::place::File;
use super::process::CpuTimes;
use super::report::{Figures, Row};
use super::stage::{Server, Stage};
use super::workload::Workload;

/// Every file comes whole from everybody, and nobody gives one to a token that does not exist.
pub(crate) async fn check(stage: &Stage, servers: &[Server], tls: bool) -> io::Result<()> {
    for server in servers {
        let who = server.name();
        let goal = stage.goal(*server, tls);
        let token = &stage.place.tokens[0];
        for file in File::ALL {
            // Twice, for whoever keeps it the first time.
            for _ in 0..2 {
                let request = server.request(token, file.name(), false);
                let answer = Wire::connect(&goal).await?.digest(&request).await?;
                let is_right = answer == (200, stage.place.digest(file));
                told(is_right, || format!("{who}: {} comes wrong, with status {}", file.name(), answer.0))?;
            }
        }
        if *server != Server::GateOpen {
            let unknown = "cg-00000000000000000000000000000000000000";
            let request = server.request(unknown, File::S.name(), false);
            let (status, body) = Wire::connect(&goal).await?.digest(&request).await?;
            let is_refused = matches!(status, 401 | 403) && body != stage.place.digest(File::S);
            told(is_refused, || format!("{who}: status {status} for an unknown token"))?;
        }
    }
    Ok(())
}

fn told(holds: bool, otherwise: impl Fn() -> String) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(otherwise())) }
}

/// One server, pressed once.
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    /// Processor time of all its processes.
    pub(crate) cpu: Duration,
}

/// The gate beside each of its peers, and what was measured.
pub(crate) async fn run(
    stage: &Stage,
    workload: &Workload,
    rounds: usize,
    seconds: f64,
) -> io::Result<(Vec<Row>, Vec<Figures>)> {
    let servers: Vec<_> = workload.servers().collect();
    for server in &servers {
        meet_tokens(stage, *server, workload.tls).await?;
        sample(stage, workload, *server, seconds).await?;
    }
    let mut samples: Vec<Vec<Sample>> = servers.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for at in order(servers.len(), round) {
            samples[at].push(sample(stage, workload, servers[at], seconds).await?);
        }
    }
    let costs: Vec<Vec<f64>> =
        samples.iter().map(|samples| samples.iter().map(|sample| cost(workload, sample)).collect()).collect();
    let unit = if workload.is_bulk() { "ms/GB" } else { "µs" };
    let beside = workload.peers.iter().zip(&costs[1..]).map(|(peer, theirs)| {
        Row::paired(workload.title, peer.server.name(), peer.bounds, (&costs[0], theirs), unit)
    });
    let figures = servers.iter().zip(&samples).flat_map(|(server, samples)| {
        let of = |what: &str, figure: &dyn Fn(&Sample) -> f64| Figures {
            who: server.name().to_owned(),
            what: what.to_owned(),
            values: samples.iter().map(figure).collect(),
        };
        [
            of("requests", &|sample| sample.requests as f64),
            of("seconds", &|sample| sample.elapsed.as_secs_f64()),
            of("CPU seconds", &|sample| sample.cpu.as_secs_f64()),
        ]
    });
    let mut rows: Vec<Row> = beside.collect();
    let mut figures: Vec<Figures> = figures.collect();
    if Watch::is_possible() {
        let mut counts = Vec::new();
        for server in &servers {
            counts.extend(instructions(stage, workload, *server).await?);
        }
        for (row, theirs) in rows.iter_mut().zip(counts.iter().skip(1)) {
            row.of_instructions = Some(counts[0] / theirs);
        }
        figures.extend(servers.iter().zip(counts).map(|(server, count)| Figures {
            who: server.name().to_owned(),
            what: "instructions a request".to_owned(),
            values: vec![count],
        }));
    }
    Ok((rows, figures))
}

/// Who is pressed when.
pub(crate) fn order(servers: usize, round: usize) -> Vec<usize> {
    let forwards = 0..servers;
    if round.is_multiple_of(2) { forwards.collect() } else { forwards.rev().collect() }
}

/// Microseconds a request, or milliseconds a GB.
pub(crate) fn cost(workload: &Workload, sample: &Sample) -> f64 {
    let requests = sample.requests as f64;
    if workload.is_bulk() {
        sample.cpu.as_secs_f64() * 1e3 / (requests * workload.file.bytes() as f64 / 1e9)
    } else {
        sample.cpu.as_secs_f64() * 1e6 / requests
    }
}

/// Presses one server for some time.
pub(crate) async fn sample(
    stage: &Stage,
    workload: &Workload,
    server: Server,
    seconds: f64,
) -> io::Result<Sample> {
    let processes = stage.processes(server, workload.tls);
    let mut crowd = crowd(stage, workload, server).await?;
    let before = CpuTimes::of(&processes);
    let tally = crowd.press(Duration::from_secs_f64(seconds)).await?;
    let cpu = CpuTimes::of(&processes).since(&before);
    drop(crowd);
    stage.empty_logs();
    Ok(Sample { requests: tally.requests, elapsed: tally.elapsed, cpu })
}

/// Instructions for a request, those of the kernel included.
async fn instructions(stage: &Stage, workload: &Workload, server: Server) -> io::Result<Option<f64>> {
    let mut crowd = crowd(stage, workload, server).await?;
    let watch = Watch::of(&stage.processes(server, workload.tls));
    let tally = crowd.press(Duration::from_secs_f64(workload.seconds)).await?;
    let counted = watch.end();
    stage.empty_logs();
    Ok(counted.map(|counted| counted / tally.requests as f64))
}

async fn crowd(stage: &Stage, workload: &Workload, server: Server) -> io::Result<Crowd> {
    let tokens = if workload.is_bulk() { BULK_TOKENS } else { TOKENS };
    let asking = Asking {
        requests: requests(stage, server, workload.file, tokens, workload.closes),
        bytes: workload.file.bytes(),
        connections: workload.connections,
        closes: workload.closes,
    };
    Crowd::gather(&stage.goal(server, workload.tls), &asking).await
}

/// A request for each of so many tokens.
pub(crate) fn requests(
    stage: &Stage,
    server: Server,
    file: File,
    tokens: usize,
    closes: bool,
) -> Arc<Vec<Vec<u8>>> {
    let tokens = &stage.place.tokens[..tokens];
    Arc::new(tokens.iter().map(|token| server.request(token, file.name(), closes)).collect())
}

/// The gate asks its store about a token that it meets for the first time; that is no part of what is compared here. It asks so much at
/// once and no more (`verify.store_queries_max`), so fewer connections than that do it.
pub(crate) async fn meet_tokens(stage: &Stage, server: Server, tls: bool) -> io::Result<()> {
    let asking = Asking {
        requests: requests(stage, server, File::S, TOKENS, false),
        bytes: File::S.bytes(),
        connections: 16,
        closes: false,
    };
    let mut crowd = Crowd::gather(&stage.goal(server, tls), &asking).await?;
    let mut answered = 0;
    while answered < TOKENS as u64 {
        answered += crowd.press(Duration::from_millis(500)).await?.requests;
    }
    Ok(())
}

/// How many tokens take turns, of those in the store and in the maps.
pub(crate) const TOKENS: usize = 20_000;
const BULK_TOKENS: usize = 200;
