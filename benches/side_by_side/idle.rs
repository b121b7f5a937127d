//! What does a client cost that keeps its connection and asks for nothing? 10,000 of them, each of which has asked once.

use std::io;
use std::time::Duration;

use super::load::Wire;
use super::place::File;
use super::process::Process;
use super::report::{Figures, Row};
use super::stage::{Server, Stage};
use super::workload::Bounds;

/// Who is measured.
pub(crate) const SERVERS: [Server; 2] = [Server::Gate, Server::Map];

/// Resident memory of everybody, before and with the connections. There are no rounds: what a process has taken it does not give back.
pub(crate) async fn run(stage: &Stage) -> io::Result<(Vec<Row>, Vec<Figures>)> {
    let mut grown = Vec::new();
    let mut total = Vec::new();
    let mut figures = Vec::new();
    for server in SERVERS {
        let goal = stage.goal(server, false);
        let resident = || {
            let processes = stage.processes(server, false);
            processes.into_iter().map(Process::resident_bytes).sum::<u64>()
        };
        let before = resident();
        let mut wires = Vec::with_capacity(CONNECTIONS);
        for number in 0..CONNECTIONS {
            // A few tokens, as a company's machines have: what tokens cost is another row.
            let request = server.request(&stage.place.tokens[number % 100], File::S.name(), false);
            let mut wire = Wire::connect(&goal).await?;
            wire.ask(&request, File::S.bytes()).await?;
            wire.rest();
            wires.push(wire);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let after = resident();
        // They are all still there.
        for wire in [0, CONNECTIONS / 2, CONNECTIONS - 1] {
            wires[wire]
                .ask(&server.request(&stage.place.tokens[0], File::S.name(), false), File::S.bytes())
                .await?;
        }
        figures.push(Figures {
            who: server.name().to_owned(),
            what: format!("resident bytes, before and with {CONNECTIONS} connections"),
            values: vec![before as f64, after as f64],
        });
        grown.push(after.saturating_sub(before) as f64 / CONNECTIONS as f64 / 1024.0);
        total.push(after as f64 / f64::from(1 << 20));
    }
    let bounds = Some(Bounds { must: 2.0, goal: 1.0 });
    let against = Server::Map.name();
    let rows = vec![
        Row::paired("10,000 idle: all memory", against, bounds, (&total[..1], &total[1..]), "MiB"),
        Row::paired("10,000 idle: for each", against, None, (&grown[..1], &grown[1..]), "KiB"),
    ];
    Ok((rows, figures))
}

const CONNECTIONS: usize = 10_000;
