//! What the gate says of itself in the store, every few seconds, for `channelgate fleet status`.
//!
//! Nobody decides by it. A store that does not take it is the follower's business ([`crate::verify`]), which says so in the log.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use crate::clock::Clock;
use crate::server::Shutdown;
use crate::store::{Beat, Gate, GateState, Store};
use crate::verify::Verifier;

/// Says how the gate is. Clones say it of the same gate.
#[derive(Clone, Debug)]
pub(super) struct Heartbeat {
    store: Store,
    verifier: Verifier,
    clock: Clock,
    gate: Gate,
    /// Whether the gate was told to stop.
    shutdown: Shutdown,
}

impl Heartbeat {
    /// Of a gate of this name that starts now, and stops when `shutdown` says so.
    pub(super) fn new(
        name: String,
        store: Store,
        verifier: Verifier,
        clock: Clock,
        shutdown: Shutdown,
    ) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let gate = Gate { id: Uuid::new_v4(), name, version, started_at: clock.now() };
        Self { store, verifier, clock, gate, shutdown }
    }

    /// Beats until `end`: at [`INTERVAL`], and soon after the gate's state has changed.
    pub(super) async fn keep(self, end: impl Future<Output = ()>) {
        let beating = async {
            let mut interval = tokio::time::interval(LOOK_INTERVAL);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut told: Option<(GateState, Instant)> = None;
            loop {
                interval.tick().await;
                let state = self.state();
                if told.is_none_or(|(last, at)| last != state || at.elapsed() >= INTERVAL) {
                    told = Some((state, Instant::now()));
                    self.beat(state).await;
                }
            }
        };
        tokio::select! {
            () = end => {}
            () = beating => {}
        }
    }

    fn state(&self) -> GateState {
        let health = self.verifier.health();
        match self.shutdown.has_begun() {
            true => GateState::Draining,
            false if health.feed_proven && health.last_proof_age.is_some() => GateState::Ready,
            false => GateState::Unproven,
        }
    }

    /// Says that it is in this state.
    pub(super) async fn beat(&self, state: GateState) {
        let health = self.verifier.health();
        let beat = Beat {
            at: self.clock.now(),
            state,
            position: health.feed_position,
            proof_age: health.last_proof_age,
        };
        if let Err(error) = self.store.record_beat(&self.gate, &beat).await {
            tracing::debug!(%error, "the store does not take the heartbeat");
        }
    }
}

/// What a gate is called that is not given a name: its machine's name.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// How often a gate beats: a third of what makes it silent ([`GateStatus::is_silent`](crate::store::GateStatus::is_silent)).
const INTERVAL: Duration = Duration::from_secs(5);

/// How often it looks whether its state has changed.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
