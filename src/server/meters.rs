//! What a listener counts.
//!
//! Labels are closed sets; no label ever holds anything a client sent. Two planes register the same families with
//! different values of the constant label `plane`. Must never be read by the server itself.

use prometheus::{IntCounter, IntGauge, Opts, Registry};

use super::activity::Ended;
use super::slots::Full;

/// The meters of one listener.
#[derive(Clone, Debug)]
pub struct Meters {
    /// `channelgate_connections_open`: connections that are open now, handshaking ones included.
    pub connections_open: IntGauge,
    /// `channelgate_inflight_requests`: requests whose response has not ended.
    pub requests_in_flight: IntGauge,
    /// `channelgate_requests_overloaded_total`: requests answered by
    /// [`Respond::overloaded`](super::Respond::overloaded).
    pub requests_overloaded: IntCounter,
    /// `channelgate_tls_failures_total`: TLS handshakes that failed or took too long.
    pub tls_failures: IntCounter,
    /// `channelgate_accept_errors_total`: connections the system could not hand over, for want of descriptors mostly.
    pub accept_errors: IntCounter,
    /// `channelgate_streams_reset_slow_total`: HTTP/2 streams reset because their client did not take what was ready.
    pub streams_reset_slow: IntCounter,
    refused_connections_max: IntCounter,
    refused_address_max: IntCounter,
    ended_header_timeout: IntCounter,
    ended_idle: IntCounter,
    ended_slow_client: IntCounter,
    ended_unread: IntCounter,
}

impl Meters {
    /// Registers the meters of the listener `plane`.
    ///
    /// # Errors
    ///
    /// If `registry` already has meters of a listener of that name.
    pub fn register(registry: &Registry, plane: &str) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("plane", plane);
        let gauge = |name, help| {
            let gauge = IntGauge::with_opts(opts(name, help))?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let counter = |opts| {
            let counter = IntCounter::with_opts(opts)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let refused = |reason| counter(opts(REFUSED, REFUSED_HELP).const_label("reason", reason));
        let ended = |reason| counter(opts(ENDED, ENDED_HELP).const_label("reason", reason));
        Ok(Self {
            connections_open: gauge("channelgate_connections_open", "Connections that are open now")?,
            requests_in_flight: gauge(
                "channelgate_inflight_requests",
                "Requests whose response has not ended",
            )?,
            requests_overloaded: counter(opts(
                "channelgate_requests_overloaded_total",
                "Requests refused because too many were in flight",
            ))?,
            tls_failures: counter(opts(
                "channelgate_tls_failures_total",
                "TLS handshakes that failed or took too long",
            ))?,
            accept_errors: counter(opts(
                "channelgate_accept_errors_total",
                "Connections the system could not hand over",
            ))?,
            streams_reset_slow: counter(opts(
                "channelgate_streams_reset_slow_total",
                "HTTP/2 streams reset because their client did not take what was ready",
            ))?,
            refused_connections_max: refused("connections_max")?,
            refused_address_max: refused("connections_per_address_max")?,
            ended_header_timeout: ended("header_timeout")?,
            ended_idle: ended("idle")?,
            ended_slow_client: ended("slow_client")?,
            ended_unread: ended("unread")?,
        })
    }

    /// `channelgate_connections_refused_total{reason}`: connections closed at once for want of a place.
    pub(super) fn refused(&self, why: Full) -> &IntCounter {
        match why {
            Full::Everywhere => &self.refused_connections_max,
            Full::ForAddress => &self.refused_address_max,
        }
    }

    /// `channelgate_connections_ended_total{reason}`: connections ended by us before their client ended them.
    pub(super) fn ended(&self, why: Ended) -> &IntCounter {
        match why {
            Ended::HeaderTimeout => &self.ended_header_timeout,
            Ended::Idle => &self.ended_idle,
            Ended::SlowClient => &self.ended_slow_client,
            Ended::Unread => &self.ended_unread,
        }
    }
}

const REFUSED: &str = "channelgate_connections_refused_total";
const REFUSED_HELP: &str = "Connections closed at once because too many were open";
const ENDED: &str = "channelgate_connections_ended_total";
const ENDED_HELP: &str = "Connections ended by the gate before their client ended them";

#[cfg(test)]
mod tests;
