//! How long do clients wait while the server is half busy, beside nginx at the same rate, and while somebody floods it with garbage?

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::load::{Asking, Crowd, Goal};
use super::open_loop::{Stream, Waits, run};
use super::place::File;
use super::report::{Figures, Row, quantile};
use super::rounds::{TOKENS, meet_tokens, order, requests};
use super::stage::{Server, Stage};
use super::workload::Bounds;

/// Who is measured in [`beside_nginx`].
pub(crate) const SERVERS: [Server; 2] = [Server::Gate, Server::Map];

/// S at half of what the slower of the two can do, the same rate for both.
pub(crate) async fn beside_nginx(
    stage: &Stage,
    rounds: usize,
    seconds: f64,
) -> io::Result<(Vec<Row>, Vec<Figures>)> {
    let mut most = Vec::new();
    for server in SERVERS {
        meet_tokens(stage, server, false).await?;
        most.push(saturation(stage, server).await?);
    }
    let rate = most.iter().copied().fold(f64::INFINITY, f64::min) / 2.0;
    println!("latency: at most {:.0} and {:.0} requests/s; asked at {rate:.0}", most[0], most[1]);
    let mut waits: [Vec<Waits>; 2] = Default::default();
    for round in 0..rounds {
        for at in order(SERVERS.len(), round) {
            let stream = valid(stage, SERVERS[at], rate);
            let goal = stage.goal(SERVERS[at], false);
            let time = Duration::from_secs_f64(seconds);
            waits[at].extend(run(&goal, &[stream], time, round as u64 + 1)?);
            stage.empty_logs();
        }
    }
    let mut rows = Vec::new();
    let mut figures = vec![Figures { who: "both".into(), what: "requests/s".into(), values: vec![rate] }];
    for (title, at) in QUANTILES {
        let of =
            |waits: &[Waits]| waits.iter().map(|waits| microseconds(waits.quantile(at))).collect::<Vec<_>>();
        let (gate, map) = (of(&waits[0]), of(&waits[1]));
        let title = format!("S, {title} latency at 50 % load");
        rows.push(Row::paired(&title, Server::Map.name(), None, (&gate, &map), "µs"));
        for (server, values) in SERVERS.iter().zip([gate, map]) {
            figures.push(Figures { who: server.name().into(), what: title.clone(), values });
        }
    }
    Ok((rows, figures))
}

/// S at modest rates: alone, with ten unknown tokens for each valid request, and with as many further valid requests instead, all in each
/// round. Beside the last one only the garbage counts, beside the first also that there is more to do, of which there is less the less busy
/// the gate is.
pub(crate) async fn under_flood(
    stage: &Stage,
    rounds: usize,
    seconds: f64,
) -> io::Result<(Vec<Row>, Vec<Figures>)> {
    meet_tokens(stage, Server::Gate, false).await?;
    let most = saturation(stage, Server::Gate).await?;
    let (mut rows, mut figures) = (Vec::new(), Vec::new());
    for load in FLOOD_LOADS {
        let rate = most * load / (1.0 + GARBAGE);
        println!("flood: {rate:.0} valid requests/s, {:.0} of garbage", GARBAGE * rate);
        let waits = flood(stage, rate, rounds, seconds)?;
        let load = format!("{:.0} % load", load * 100.0);
        figures.push(Figures {
            who: "gate".into(),
            what: format!("requests/s, valid and further, {load}"),
            values: vec![rate, GARBAGE * rate],
        });
        for (quantile, at) in QUANTILES {
            let title = format!("flood at {load}, valid {quantile}");
            let of = |waits: &Vec<Waits>| {
                waits.iter().map(|waits| microseconds(waits.quantile(at))).collect::<Vec<_>>()
            };
            let all = waits.each_ref().map(of);
            let [flooded, others @ ..] = &all;
            for ((against, _), other) in CROWDS.iter().skip(1).zip(others) {
                let bounds = (quantile == "p99").then_some(Bounds { must: 1.2, goal: 1.2 });
                rows.push(Row::paired(&title, against, bounds, (flooded, other), "µs"));
            }
            for ((who, _), values) in CROWDS.iter().zip(all) {
                figures.push(Figures { who: (*who).into(), what: title.clone(), values });
            }
        }
    }
    Ok((rows, figures))
}

/// How long `rate` valid requests a second wait, in each of [`CROWDS`].
fn flood(stage: &Stage, rate: f64, rounds: usize, seconds: f64) -> io::Result<[Vec<Waits>; 3]> {
    let goal = stage.goal(Server::Gate, false);
    let time = Duration::from_secs_f64(seconds);
    let mut waits: [Vec<Waits>; 3] = Default::default();
    for round in 0..rounds {
        for at in order(CROWDS.len(), round) {
            let mut streams = vec![valid(stage, Server::Gate, rate)];
            match CROWDS[at].1 {
                Further::Garbage => {
                    streams.push(garbage((GARBAGE * rate * seconds) as usize, GARBAGE * rate))
                }
                Further::Nothing => {}
                Further::Valid => {
                    streams.push(Stream { stands_back: true, ..valid(stage, Server::Gate, GARBAGE * rate) })
                }
            }
            let mut of_streams = run(&goal, &streams, time, round as u64 + 1)?;
            for further in of_streams.iter().skip(1) {
                let (who, part) = (CROWDS[at].0, further.part_in_time());
                assert!(
                    part >= IN_TIME_MIN,
                    "{who}: of the further requests {part:.2} were asked in time: it is no flood"
                );
            }
            waits[at].push(of_streams.swap_remove(0));
            stage.empty_logs();
        }
    }
    Ok(waits)
}

/// Requests per second that a server answers, asked by as many as can be.
async fn saturation(stage: &Stage, server: Server) -> io::Result<f64> {
    let asking = Asking {
        requests: requests(stage, server, File::S, TOKENS, false),
        bytes: File::S.bytes(),
        connections: CONNECTIONS,
        closes: false,
    };
    let goal: Goal = stage.goal(server, false);
    let mut rates = Vec::new();
    for _ in 0..3 {
        let tally = Crowd::gather(&goal, &asking).await?.press(Duration::from_secs(1)).await?;
        rates.push(tally.requests as f64 / tally.elapsed.as_secs_f64());
    }
    stage.empty_logs();
    Ok(quantile(&rates, 0.5))
}

fn valid(stage: &Stage, server: Server, rate: f64) -> Stream {
    let requests = requests(stage, server, File::S, TOKENS, false);
    Stream { requests, rate, connections: CONNECTIONS, expected: &[200], stands_back: false }
}

/// Requests with tokens that nobody has, another one each: well-formed, as somebody makes them who knows the program.
fn garbage(count: usize, rate: f64) -> Stream {
    let request = |_| {
        let token = channelgate::token::Minted::random().unwrap();
        Server::Gate.request(token.expose(), File::S.name(), false)
    };
    let requests = Arc::new((0..count.max(1)).map(request).collect());
    // Whatever the gate does against a flood is right, but for letting it in.
    let expected = &[401, 403, 429, 503];
    Stream { requests, rate, connections: CONNECTIONS, expected, stands_back: true }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

const QUANTILES: [(&str, f64); 3] = [("median", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// What comes beside the requests that are measured.
#[derive(Clone, Copy)]
enum Further {
    Garbage,
    Nothing,
    Valid,
}

/// The first one is compared with the others.
const CROWDS: [(&str, Further); 3] = [
    ("gate, flood", Further::Garbage),
    ("gate, no flood", Further::Nothing),
    ("gate, as many valid requests", Further::Valid),
];
/// What the gate has to do under the flood, of what it can: as much as in [`beside_nginx`], and a fifth of that.
const FLOOD_LOADS: [f64; 2] = [0.5, 0.1];
const CONNECTIONS: usize = 64;
/// For each valid request.
const GARBAGE: f64 = 10.0;
/// Whoever stands back must still have asked so many of its requests in time.
const IN_TIME_MIN: f64 = 0.9;
