//! The gates over one store, each as it last said of itself.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use super::FeedPosition;
use crate::clock::Timestamp;

/// A gate: one run of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Of this run.
    pub id: Uuid,
    /// What it is called, by default as its machine. A gate that starts again takes the place of the dead one of its name.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// Since when it runs, by its own clock.
    pub started_at: Timestamp,
}

/// What a gate says of itself every few seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// When it said so, by its own clock.
    pub at: Timestamp,
    /// How it is.
    pub state: GateState,
    /// How much of the change feed it has applied.
    pub position: FeedPosition,
    /// How long ago the feed last proved to it that it had missed nothing; `None` before the first time.
    pub proof_age: Option<Duration>,
}

/// How a gate is. That one is lost, it cannot say: its beats stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    /// It serves.
    Ready,
    /// It serves, but the change feed proves nothing to it: it reads its verdicts again as they age.
    Unproven,
    /// It was told to stop, and lets running responses finish.
    Draining,
    /// It has stopped.
    Stopped,
}

/// A gate's latest beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateStatus {
    /// Which gate.
    pub gate: Gate,
    /// What it said.
    pub beat: Beat,
    /// How many changes the store had, when the beat came, that the gate had not applied.
    pub behind: u64,
}

impl GateStatus {
    /// True if the gate should have said something since: it is gone, stands still, or does not reach the store.
    pub fn is_silent(&self, now: Timestamp) -> bool {
        self.beat.state != GateState::Stopped && now.since(self.beat.at) > SILENT_AFTER
    }
}

/// How long after a beat the next one must have come: gates beat three times as often.
const SILENT_AFTER: Duration = Duration::from_secs(15);

impl GateState {
    /// As the store keeps it and people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Unproven => "unproven",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }

    /// What [`as_str`](Self::as_str) wrote.
    pub(super) fn of_str(text: &str) -> Option<Self> {
        [Self::Ready, Self::Unproven, Self::Draining, Self::Stopped]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

impl fmt::Display for GateState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
