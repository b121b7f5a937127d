//! What does a second CPU bring, and what does it cost? The same gate on one CPU and on two, each with a worker for each of them.
//!
//! On a machine of two CPUs the load and the upstream share the second one with the gate, so that the throughput is that of all three together; what a
//! request costs is the gate's own, and tells what sharing its memories between workers takes.

use std::io;

use super::report::{Figures, Row};
use super::rounds::{Sample, cost, meet_tokens, order, sample};
use super::stage::{Server, Stage};
use super::workload::{WORKLOADS, Workload};

/// The gate on two CPUs beside the gate on one, for small requests and large files.
pub(crate) async fn run(stages: &[Stage; 2], rounds: usize) -> io::Result<(Vec<Row>, Vec<Figures>)> {
    let (mut rows, mut figures) = (Vec::new(), Vec::new());
    for stage in stages {
        meet_tokens(stage, Server::Gate, false).await?;
    }
    for workload in WORKLOADS.iter().filter(|workload| ["s", "l"].contains(&workload.name)) {
        let mut samples: [Vec<Sample>; 2] = Default::default();
        for round in 0..=rounds {
            for at in order(stages.len(), round) {
                let sample = sample(&stages[at], workload, Server::Gate, workload.seconds).await?;
                // The first round warms up.
                if round > 0 {
                    samples[at].push(sample);
                }
            }
        }
        let [one, two] = &samples;
        let beside = |title: &str, figure: &dyn Fn(&Sample) -> f64, unit: &str| {
            let of = |samples: &[Sample]| samples.iter().map(figure).collect::<Vec<f64>>();
            Row::paired(title, "gate, one CPU", None, (&of(two), &of(one)), unit)
        };
        let (unit, rate) = if workload.is_bulk() { ("ms/GB", "GB/s") } else { ("µs", "req/s") };
        rows.push(beside(&format!("two CPUs: {}", workload.title), &|sample| cost(workload, sample), unit));
        rows.push(beside("two CPUs: throughput of that", &|sample| throughput(workload, sample), rate));
        for (who, samples) in [("gate, one CPU", one), ("gate, two CPUs", two)] {
            figures.push(Figures {
                who: who.to_owned(),
                what: format!("{}, {rate}", workload.title),
                values: samples.iter().map(|sample| throughput(workload, sample)).collect(),
            });
        }
    }
    Ok((rows, figures))
}

fn throughput(workload: &Workload, sample: &Sample) -> f64 {
    let each = if workload.is_bulk() { workload.file.bytes() as f64 / 1e9 } else { 1.0 };
    sample.requests as f64 * each / sample.elapsed.as_secs_f64()
}
