//! What came out: a file of JSON for each workload, and a table of all of them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::workload::Bounds;

/// All that was measured in a workload, and what follows.
#[derive(Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) workload: String,
    pub(crate) at: String,
    pub(crate) machine: Machine,
    /// How it was measured.
    pub(crate) how: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) figures: Vec<Figures>,
}

/// Measured figures of one server, a round each.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) who: String,
    pub(crate) what: String,
    pub(crate) values: Vec<f64>,
}

/// The gate beside somebody, or a figure of the gate alone.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) title: String,
    /// Whom the ratio is to. None: it is no ratio, but the gate's figure in the unit.
    pub(crate) against: Option<String>,
    pub(crate) must: Option<f64>,
    pub(crate) goal: Option<f64>,
    /// Of the ratios of each round.
    pub(crate) median: f64,
    /// A quarter of the rounds is below, a quarter above.
    pub(crate) quartiles: (f64, f64),
    /// Of the cheapest rounds of each.
    pub(crate) of_minima: f64,
    /// Of instructions, where they can be counted.
    pub(crate) of_instructions: Option<f64>,
    /// Median figures, in the unit.
    pub(crate) gate: f64,
    pub(crate) peer: Option<f64>,
    pub(crate) unit: String,
}

impl Outcome {
    pub(crate) fn write(&self, directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        let text = serde_json::to_string(self).unwrap().replace("{\"who\"", "\n{\"who\"") + "\n";
        fs::write(directory.join(format!("{}.json", self.workload)), text).unwrap();
    }

    pub(crate) fn read(directory: &Path, workload: &str) -> Option<Self> {
        let path = directory.join(format!("{workload}.json"));
        let text = fs::read_to_string(&path).ok()?;
        Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }
}

impl Row {
    /// The gate's figures beside somebody's, round by round.
    pub(crate) fn paired(
        title: &str,
        against: &str,
        bounds: Option<Bounds>,
        (gate, peer): (&[f64], &[f64]),
        unit: &str,
    ) -> Self {
        let ratios: Vec<f64> = gate.iter().zip(peer).map(|(gate, peer)| gate / peer).collect();
        Self {
            against: Some(against.to_owned()),
            of_minima: quantile(gate, 0.0) / quantile(peer, 0.0),
            gate: quantile(gate, 0.5),
            peer: Some(quantile(peer, 0.5)),
            ..Self::alone(title, bounds, &ratios, unit)
        }
    }

    /// Figures of the gate that are held to bounds in their unit.
    pub(crate) fn alone(title: &str, bounds: Option<Bounds>, gate: &[f64], unit: &str) -> Self {
        Self {
            title: title.to_owned(),
            against: None,
            must: bounds.map(|bounds| bounds.must),
            goal: bounds.map(|bounds| bounds.goal),
            median: quantile(gate, 0.5),
            quartiles: (quantile(gate, 0.25), quantile(gate, 0.75)),
            of_minima: quantile(gate, 0.0),
            of_instructions: None,
            gate: quantile(gate, 0.5),
            peer: None,
            unit: unit.to_owned(),
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.must, self.goal) {
            (_, Some(goal)) if self.median <= goal => "goal",
            (Some(must), _) if self.median <= must => "must",
            (Some(_), _) => "MISSED",
            (None, _) => "",
        }
    }
}

/// Between neighbours it is interpolated.
pub(crate) fn quantile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = at * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// The rows as people read them.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut table = format!(
        "{:<36}{:<20}{:>6}{:>6} {:>8}{:>8}{:>8}  {:<15}{:>10}{:>10} {:<7}{}\n",
        "workload",
        "against",
        "must",
        "goal",
        "median",
        "minima",
        "instr",
        "quartiles",
        "gate",
        "peer",
        "",
        "reached"
    );
    for row in outcomes.iter().flat_map(|outcome| &outcome.rows) {
        let bound = |bound: Option<f64>| bound.map_or_else(String::new, |bound| format!("{bound:.2}"));
        let (low, high) = row.quartiles;
        writeln!(
            table,
            "{:<36}{:<20}{:>6}{:>6} {:>8.3}{:>8.3}{:>8}  {:<15}{:>10.2}{:>10} {:<7}{}",
            row.title,
            row.against.as_deref().unwrap_or("-"),
            bound(row.must),
            bound(row.goal),
            row.median,
            row.of_minima,
            bound(row.of_instructions),
            format!("{low:.3}-{high:.3}"),
            row.gate,
            bound(row.peer),
            row.unit,
            row.verdict()
        )
        .unwrap();
    }
    table
}
