//! `channelgate fleet …`.

use serde::Serialize;
use uuid::Uuid;

use super::args::FleetCommand;
use super::output::{self, tell};
use super::session::{PAGE, Session};
use super::view::table;
use crate::clock::Timestamp;
use crate::store::GateStatus;

/// Runs one of the commands.
///
/// # Errors
///
/// The store's.
pub(super) async fn run(command: FleetCommand, session: &Session<'_>) -> anyhow::Result<()> {
    let FleetCommand::Status { output } = command;
    let gates = session.store.gates(PAGE).await?;
    let now = session.now();
    let views: Vec<_> = gates.iter().map(|status| GateView::new(status, now)).collect();
    if views.is_empty() {
        tell("No gate over this store has said anything in the last day.");
    }
    output::print(output, &views, |views| gate_table(views, now))
}

/// A gate as it is shown.
#[derive(Debug, Serialize)]
struct GateView<'a> {
    id: Uuid,
    name: &'a str,
    version: &'a str,
    state: &'static str,
    started_at: Timestamp,
    feed_position: i64,
    /// Changes that it had not applied.
    behind: u64,
    /// How long ago the feed had last proved that nothing was missed; `null` before the first time.
    lag_seconds: Option<f64>,
    last_heartbeat: Timestamp,
}

impl<'a> GateView<'a> {
    fn new(status: &'a GateStatus, now: Timestamp) -> Self {
        let GateStatus { gate, beat, behind } = status;
        Self {
            id: gate.id,
            name: &gate.name,
            version: &gate.version,
            state: if status.is_silent(now) { "silent" } else { beat.state.as_str() },
            started_at: gate.started_at,
            feed_position: beat.position.as_number(),
            behind: *behind,
            lag_seconds: beat.proof_age.map(|age| age.as_secs_f64()),
            last_heartbeat: beat.at,
        }
    }
}

/// Gates for people.
fn gate_table(gates: &[GateView<'_>], now: Timestamp) -> String {
    let rows = gates.iter().map(|gate| {
        vec![
            gate.name.to_owned(),
            gate.id.to_string(),
            gate.version.to_owned(),
            gate.state.to_owned(),
            gate.feed_position.to_string(),
            gate.behind.to_string(),
            gate.lag_seconds.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1} s")),
            format!("{} s ago", now.since(gate.last_heartbeat).as_secs()),
        ]
    });
    let header = ["NAME", "ID", "VERSION", "STATE", "POSITION", "BEHIND", "LAG", "LAST HEARTBEAT"];
    table(&header, rows)
}
