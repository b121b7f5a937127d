//! What the gate counts, in the Prometheus text format.
//!
//! One struct, passed in; the doc comment of a field is its help text. Labels are closed enums and never hold a client's string: no
//! package names, no paths, no tokens. Components with counters of their own register them with [`Metrics::registry`].

use std::sync::Arc;

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

/// The gate's metrics; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    registry: Registry,
    ends: [End; Outcome::ALL.len()],
    denials: IntCounterVec,
    body_bytes: [IntCounter; Source::ALL.len()],
    duration: Histogram,
    inspections: IntCounterVec,
    made: IntCounterVec,
    making: HistogramVec,
    rule_matches: IntCounterVec,
}

/// What is counted of requests that end in one way. Looked up once: by its label each would cost a hash and a lock for every request.
#[derive(Debug)]
struct End {
    requests: IntCounter,
    first_byte: Histogram,
}

/// How a request ended, for `channelgate_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A body, whole or in part, or its head.
    Served,
    /// 304.
    NotModified,
    /// 401, 403.
    Denied,
    /// 404.
    NotFound,
    /// 451.
    Withheld,
    /// 400, 405, 416.
    BadRequest,
    /// 502, 503.
    Failed,
    /// The body broke off, by the client or by the upstream.
    Aborted,
}

impl Outcome {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Served,
        Self::NotModified,
        Self::Denied,
        Self::NotFound,
        Self::Withheld,
        Self::BadRequest,
        Self::Failed,
        Self::Aborted,
    ];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::NotModified => "not_modified",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Withheld => "withheld",
            Self::BadRequest => "bad_request",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

/// Where the bytes of a body came from, for `channelgate_body_bytes_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An upstream, past the cache's disk.
    Upstream,
    /// The cache, from the kernel's page cache.
    Memory,
    /// The cache, from its disk.
    Disk,
    /// The gate itself: problem bodies.
    Gate,
}

impl Source {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Upstream, Self::Memory, Self::Disk, Self::Gate];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Gate => "gate",
        }
    }
}

/// Bytes of one body, by where they came from.
#[derive(Clone, Copy, Debug, Default)]
pub struct BodyBytes {
    upstream: u64,
    memory: u64,
    disk: u64,
    gate: u64,
}

impl BodyBytes {
    /// So many more came from `source`.
    pub fn add(&mut self, source: Source, bytes: u64) {
        let sum = match source {
            Source::Upstream => &mut self.upstream,
            Source::Memory => &mut self.memory,
            Source::Disk => &mut self.disk,
            Source::Gate => &mut self.gate,
        };
        *sum = sum.saturating_add(bytes);
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_source().into_iter().fold(0, |sum, (_, bytes)| sum.saturating_add(bytes))
    }

    fn by_source(&self) -> [(Source, u64); 4] {
        [
            (Source::Upstream, self.upstream),
            (Source::Memory, self.memory),
            (Source::Disk, self.disk),
            (Source::Gate, self.gate),
        ]
    }
}

/// What came of asking for an index, for `channelgate_index_inspections_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// It was inspected and is served.
    Passed,
    /// This version had passed before.
    Remembered,
    /// It would lead clients away.
    LeadsElsewhere,
    /// It says one thing twice.
    Duplicate,
    /// It is not readable as what it claims to be.
    Malformed,
    /// It ends too early.
    Truncated,
    /// It exceeds a limit.
    OverLimit,
    /// The upstream died before its end.
    NotRead,
    /// It could not be kept while it was inspected.
    NotKept,
    /// Too many inspections were under way.
    Busy,
}

impl Inspection {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Remembered => "remembered",
            Self::LeadsElsewhere => "leads_elsewhere",
            Self::Duplicate => "duplicate",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::OverLimit => "over_limit",
            Self::NotRead => "not_read",
            Self::NotKept => "not_kept",
            Self::Busy => "busy",
        }
    }
}

/// What the gate makes of indexes, for `channelgate_index_made_total` and `channelgate_index_making_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeKind {
    /// An index or run exports in JSON.
    Document,
    /// Channel data.
    Names,
    /// All shards of a directory, with their index.
    Pack,
    /// The document of a directory whose upstream has nothing but shards.
    Assembled,
}

impl MadeKind {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Names => "names",
            Self::Pack => "shards",
            Self::Assembled => "assembled",
        }
    }
}

/// What came of asking for something that the gate makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Making {
    /// It was made.
    Made,
    /// It had been made before.
    Kept,
    /// It could not be made; what was made before may have been served.
    Failed,
}

impl Making {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Kept => "kept",
            Self::Failed => "failed",
        }
    }
}

impl Metrics {
    /// New metrics in a registry of their own, so that two gates in one process do not count together.
    ///
    /// # Errors
    ///
    /// A name that the Prometheus library refuses, which is a mistake in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let requests = counters(
            "channelgate_requests_total",
            "Requests on the data plane, by how they ended.",
            "outcome",
        )?;
        let denials = counters(
            "channelgate_denials_total",
            "Refusals and faults, by the code in their problem body.",
            "code",
        )?;
        let body_bytes = counters(
            "channelgate_body_bytes_total",
            "Body bytes given to clients, by where they came from.",
            "source",
        )?;
        let inspections = counters(
            "channelgate_index_inspections_total",
            "Indexes asked for and not answered with 304, by what their inspection said.",
            "verdict",
        )?;
        let made = IntCounterVec::new(
            Opts::new(
                "channelgate_index_made_total",
                "Files asked for that the gate makes of indexes, by what they are and what came of it.",
            ),
            &["kind", "outcome"],
        )?;
        registry.register(Box::new(made.clone()))?;
        let rule_matches = IntCounterVec::new(
            Opts::new(
                "channelgate_rule_matches_total",
                "Packages asked for that a rule of their channel was for, by what the rule does and whether it is enforced.",
            ),
            &["action", "mode"],
        )?;
        registry.register(Box::new(rule_matches.clone()))?;
        let seconds = |name: &str, help: &str| {
            HistogramOpts::new(name, help)
                .buckets(vec![0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0])
        };
        let duration = Histogram::with_opts(seconds(
            "channelgate_request_duration_seconds",
            "From the request's head to the end of the response's body.",
        ))?;
        registry.register(Box::new(duration.clone()))?;
        let first_byte = HistogramVec::new(
            seconds(
                "channelgate_first_byte_seconds",
                "From the request's head to the response's, by outcome.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(first_byte.clone()))?;
        let ends = Outcome::ALL.map(|outcome| End {
            requests: requests.with_label_values(&[outcome.as_str()]),
            first_byte: first_byte.with_label_values(&[outcome.as_str()]),
        });
        let body_bytes = Source::ALL.map(|source| body_bytes.with_label_values(&[source.as_str()]));
        let making = HistogramVec::new(
            seconds("channelgate_index_making_seconds", "How long it took to make a file of indexes."),
            &["kind"],
        )?;
        registry.register(Box::new(making.clone()))?;
        Ok(Self(Arc::new(Instruments {
            registry,
            ends,
            denials,
            body_bytes,
            duration,
            inspections,
            made,
            making,
            rule_matches,
        })))
    }

    /// Where components register counters of their own.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// A request has ended: its outcome, its durations in seconds, and the bytes that went out.
    pub fn request_ended(&self, outcome: Outcome, first_byte_seconds: f64, seconds: f64, bytes: &BodyBytes) {
        let instruments = &self.0;
        if let Some(end) = instruments.ends.get(outcome as usize) {
            end.requests.inc();
            end.first_byte.observe(first_byte_seconds);
        }
        instruments.duration.observe(seconds);
        for (source, bytes) in bytes.by_source() {
            if let Some(counter) = instruments.body_bytes.get(source as usize).filter(|_| bytes > 0) {
                counter.inc_by(bytes);
            }
        }
    }

    /// A refusal or fault with this code.
    pub fn denied(&self, code: &'static str) {
        self.0.denials.with_label_values(&[code]).inc();
    }

    /// An index was asked for, with this result.
    pub fn index_inspected(&self, inspection: Inspection) {
        self.0.inspections.with_label_values(&[inspection.as_str()]).inc();
    }

    /// Something was asked for that the gate makes of indexes.
    pub fn index_made(&self, kind: MadeKind, outcome: Making) {
        self.0.made.with_label_values(&[kind.as_str(), outcome.as_str()]).inc();
    }

    /// Making one took so many seconds.
    pub fn index_making_took(&self, kind: MadeKind, seconds: f64) {
        self.0.making.with_label_values(&[kind.as_str()]).observe(seconds);
    }

    /// A package was asked for that a rule was for: `allow`, `block` or `quarantine`, and `enforce` or `shadow`.
    pub fn rule_matched(&self, action: &'static str, mode: &'static str) {
        self.0.rule_matches.with_label_values(&[action, mode]).inc();
    }

    /// All metrics in the text format.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Encoding into memory fails only on a metric without a name, which registration has refused.
        let _ = TextEncoder::new().encode(&self.0.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}
