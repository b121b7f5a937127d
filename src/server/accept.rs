//! The accept loop: places, failures of the system, and the drain at the end.
//!
//! Must never spin or give up: whatever `accept` fails with, the listener is there when the trouble has passed.
//! Read `connection` next.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::activity::Limits;
use super::connection::{self, Listener};
use super::outgoing::InFlight;
use super::slots::{Slot, Slots};
use super::{Bound, Config, Drained, Meters, Respond, Shutdown, Tls};

/// Serves connections of `bound` until `shutdown` begins, then drains.
///
/// On shutdown it stops accepting, tells each connection to end (HTTP/1 after the running response, HTTP/2 by GOAWAY),
/// waits up to [`Config::drain_timeout`] and drops the rest. With `tls` every connection is TLS. Responses come from
/// `respond`.
pub async fn serve<R: Respond>(
    bound: Bound,
    tls: Option<Arc<Tls>>,
    config: Config,
    respond: Arc<R>,
    meters: Meters,
    shutdown: Shutdown,
) -> Drained {
    let config = config.in_range();
    let slots = Slots::new(config.connections_max, config.connections_per_address_max);
    let listener = Arc::new(Listener {
        limits: Limits::new(&config),
        config,
        tls,
        respond,
        in_flight: Arc::new(InFlight::new(meters.requests_in_flight.clone())),
        meters,
        shutdown: shutdown.clone(),
    });
    let mut connections = JoinSet::new();
    let mut backoff = Backoff::default();
    let (mut failures, mut refusals) = (Occasionally::default(), Occasionally::default());
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.begun() => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = bound.listener.accept() => accepted,
        };
        let (tcp, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                listener.meters.accept_errors.inc();
                if let Some(times) = failures.pass(Instant::now()) {
                    warn!(%error, times, "cannot accept connections");
                }
                if let Some(pause) = backoff.after(&error) {
                    tokio::select! {
                        () = shutdown.begun() => break,
                        () = sleep(pause) => {}
                    }
                }
                continue;
            }
        };
        backoff = Backoff::default();
        match slots.take(address.ip()) {
            Ok(slot) => {
                connections.spawn(connection(Arc::clone(&listener), tcp, address, slot));
            }
            Err(full) => {
                listener.meters.refused(full).inc();
                if let Some(times) = refusals.pass(Instant::now()) {
                    warn!(reason = ?full, times, "connections refused");
                }
            }
        }
    }
    // New connections are refused by the system from here on.
    drop(bound);
    drain(connections, listener.config.drain_timeout).await
}

async fn connection<R: Respond>(
    listener: Arc<Listener<R>>,
    tcp: TcpStream,
    address: std::net::SocketAddr,
    slot: Slot,
) {
    let open = OpenConnection::new(&listener.meters);
    connection::run(listener, tcp, address).await;
    drop((open, slot));
}

/// Waits for `connections` to end, drops those that have not after `limit`.
async fn drain(mut connections: JoinSet<()>, limit: Duration) -> Drained {
    let mut finished = 0;
    let all = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
            finished += 1;
        }
    };
    let _ = timeout(limit, all).await;
    let cut = connections.len();
    if cut > 0 {
        info!(cut, "connections cut at the end of the drain");
    }
    connections.shutdown().await;
    Drained { finished, cut }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a connection's task failed");
    }
}

/// How long to leave `accept` alone after it failed.
#[derive(Debug, Default)]
struct Backoff {
    pause: Duration,
}

impl Backoff {
    /// `None`: the connection at hand is at fault and the next one may be fine. Otherwise the process or the system has
    /// run out of something (descriptors, memory), which asking again does not mend.
    fn after(&mut self, error: &io::Error) -> Option<Duration> {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return None;
        }
        self.pause = (self.pause * 2).clamp(Self::FIRST, Self::LONGEST);
        Some(self.pause)
    }

    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);
}

/// Lets something through at most once a second.
#[derive(Debug, Default)]
struct Occasionally {
    last: Option<Instant>,
    held_back: u64,
}

impl Occasionally {
    /// How often it happened since it was last let through, this time included; `None` to hold it back.
    fn pass(&mut self, now: Instant) -> Option<u64> {
        self.held_back += 1;
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < Duration::from_secs(1)) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

/// Counts an open connection for as long as it lives, also if its task fails.
struct OpenConnection(prometheus::IntGauge);

impl OpenConnection {
    fn new(meters: &Meters) -> Self {
        meters.connections_open.inc();
        Self(meters.connections_open.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
