//! What does the first fetch of a package cost, that goes into the cache? The gate checks its digest and hands it to the disk before it is
//! called whole; nginx keeps whatever comes. So this is no comparison of the same job, and held to nothing.

use std::io;
use std::time::Duration;

use tokio::task::JoinSet;

use super::load::Wire;
use super::place::{FILLS, File, fill_name};
use super::process::CpuTimes;
use super::report::{Figures, Row};
use super::rounds::order;
use super::stage::{Server, Stage};

/// Who is measured.
pub(crate) const SERVERS: [Server; 2] = [Server::GateCache, Server::NginxCache];

/// Packages of 5 MiB that nobody has asked for before, a few at once.
pub(crate) async fn run(stage: &Stage) -> io::Result<(Vec<Row>, Vec<Figures>)> {
    let mut costs: [Vec<f64>; 2] = Default::default();
    for round in 0..FILLS / A_ROUND {
        for at in order(SERVERS.len(), round) {
            let cpu = fill(stage, SERVERS[at], round * A_ROUND).await?;
            let bytes = (A_ROUND as u64 * File::R.bytes()) as f64;
            costs[at].push(cpu.as_secs_f64() * 1e3 / (bytes / 1e9));
            stage.empty_logs();
        }
    }
    let [gate, nginx] = costs;
    let row =
        Row::paired("cold fill, R, verified", Server::NginxCache.name(), None, (&gate, &nginx), "ms/GB");
    let figures = SERVERS.iter().zip([gate, nginx]).map(|(server, values)| Figures {
        who: server.name().to_owned(),
        what: "CPU ms/GB".to_owned(),
        values,
    });
    Ok((vec![row], figures.collect()))
}

async fn fill(stage: &Stage, server: Server, first: usize) -> io::Result<Duration> {
    let goal = stage.goal(server, false);
    let processes = stage.processes(server, false);
    let token = stage.place.tokens[0].clone();
    let before = CpuTimes::of(&processes);
    let mut tasks = JoinSet::new();
    for lane in 0..AT_ONCE {
        let (goal, token) = (goal.clone(), token.clone());
        tasks.spawn(async move {
            let mut wire = Wire::connect(&goal).await?;
            for number in (first + lane..first + A_ROUND).step_by(AT_ONCE) {
                let request = server.request(&token, &fill_name(number), false);
                wire.ask(&request, File::R.bytes()).await?;
            }
            io::Result::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap()?;
    }
    // What is done after the last byte belongs to it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(CpuTimes::of(&processes).since(&before))
}

const A_ROUND: usize = 24;
const AT_ONCE: usize = 4;
