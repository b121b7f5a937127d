//! What upstreams are counted by: one outcome for each request to one, exactly once, when it is over.
//!
//! A request is over when its body has ended or was dropped, not when its head arrived. [`Tally`] sees to that: it travels
//! with the request and then with the body, and counts [`Outcome::Abandoned`] if nobody tells it otherwise.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::body::BodyError;
use super::error::{FetchError, Unavailable};

/// How a request to one upstream ended; the label `outcome` of `channelgate_upstream_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A body, whole or in part, was delivered to its end; or a HEAD was answered.
    Ok,
    /// 304.
    NotModified,
    /// 416.
    NotSatisfiable,
    /// It has no such file.
    Missing,
    /// A directory's symlink leads out of it; to the client it is missing.
    Escaped,
    /// It answered wrongly.
    Invalid,
    /// No connection, or no TLS.
    ConnectFailed,
    /// No response head in time.
    Timeout,
    /// The connection ended before a response.
    Closed,
    /// 408, 429 or 5xx.
    ServerError,
    /// Too many requests to it were running.
    Busy,
    /// A directory that cannot be read.
    Unreadable,
    /// The body ended short, stalled or broke.
    BodyFailed,
    /// Our side lost interest before the end: usually the client left.
    Abandoned,
}

impl Outcome {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 14] = [
        Self::Ok,
        Self::NotModified,
        Self::NotSatisfiable,
        Self::Missing,
        Self::Escaped,
        Self::Invalid,
        Self::ConnectFailed,
        Self::Timeout,
        Self::Closed,
        Self::ServerError,
        Self::Busy,
        Self::Unreadable,
        Self::BodyFailed,
        Self::Abandoned,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotModified => "not_modified",
            Self::NotSatisfiable => "not_satisfiable",
            Self::Missing => "missing",
            Self::Escaped => "escaped",
            Self::Invalid => "invalid",
            Self::ConnectFailed => "connect_failed",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::ServerError => "server_error",
            Self::Busy => "busy",
            Self::Unreadable => "unreadable",
            Self::BodyFailed => "body_failed",
            Self::Abandoned => "abandoned",
        }
    }
}

impl From<FetchError> for Outcome {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Missing => Self::Missing,
            FetchError::Invalid(_) => Self::Invalid,
            FetchError::Unavailable(reason) => match reason {
                Unavailable::Connect | Unavailable::Handshake => Self::ConnectFailed,
                Unavailable::Timeout => Self::Timeout,
                Unavailable::Closed => Self::Closed,
                Unavailable::Status(_) => Self::ServerError,
                Unavailable::Busy => Self::Busy,
                Unavailable::Unreadable => Self::Unreadable,
            },
        }
    }
}

/// The counters of all upstreams of one gate. A clone counts into the same ones.
#[derive(Clone, Debug)]
pub struct Meters {
    requests: Arc<[IntCounter]>,
}

impl Meters {
    /// Makes the counters and adds them to `registry`, each outcome from zero.
    ///
    /// # Errors
    ///
    /// If the registry already has a metric of that name.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            "channelgate_upstream_requests_total",
            "Requests to upstreams, by how they ended; counted when the body has ended.",
        );
        let requests = IntCounterVec::new(opts, &["outcome"])?;
        registry.register(Box::new(requests.clone()))?;
        Ok(Self {
            requests: Outcome::ALL.map(|outcome| requests.with_label_values(&[outcome.as_str()])).into(),
        })
    }

    /// The counter of one outcome.
    pub fn requests(&self, outcome: Outcome) -> Option<&IntCounter> {
        self.requests.get(outcome as usize)
    }
}

/// How requests to one upstream are counted, and what it is called in the log.
pub(super) struct Known {
    pub(super) meters: Meters,
    /// Its origin, or its directory.
    pub(super) name: String,
}

/// One request to one upstream, to be counted once.
pub(super) struct Tally {
    upstream: Arc<Known>,
    is_settled: bool,
}

impl Tally {
    pub(super) fn new(upstream: Arc<Known>) -> Self {
        Self { upstream, is_settled: false }
    }

    /// Counts `outcome`, unless one was counted before.
    pub(super) fn settle(&mut self, outcome: Outcome) {
        if !self.is_settled {
            self.is_settled = true;
            if let Some(counter) = self.upstream.meters.requests(outcome) {
                counter.inc();
            }
        }
    }

    /// Counts and logs the loss of a body that had begun.
    pub(super) fn fail(&mut self, error: &BodyError) {
        if !self.is_settled {
            tracing::warn!(upstream = %self.upstream.name, error = %chain(error), "upstream body failed");
        }
        self.settle(Outcome::BodyFailed);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.settle(Outcome::Abandoned);
    }
}

/// An error and its sources on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}
