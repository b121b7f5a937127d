//! Logs: events of [`tracing`], as lines for people or as JSON, on stderr.
//!
//! A request never waits for whoever reads the log. Events are formatted where they happen and queued; one thread writes them
//! (`logging/writer.rs`). The access log's lines come there past `tracing` (`logging/access.rs`). If the reader does not keep up, lines are dropped and counted, and the count is logged. What must not be lost,
//! such as the ready line, is not an event: whoever prints it writes to stderr directly.
//!
//! The level holds for this crate and for its access log, whose events have the target [`ACCESS`]. Of other crates only warnings and
//! errors are logged, whatever the level: what they print of requests at lower levels (headers, paths) holds tokens.
//!
//! A process has one log, as `tracing` has it: the first [`start`] decides its format, and another one in the same process (tests start
//! two gates) changes nothing. This module must know nothing of requests or configuration files; it is handed a [`Config`].

mod access;
mod writer;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;

pub use self::access::Access;
use self::writer::Writer;

/// Target of the events of the access log: one a request, when its response is over.
pub const ACCESS: &str = "access";

/// `[log]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct Config {
    /// How lines look. `human`.
    pub format: Format,
    /// The least important events that are logged. `info`, which includes the access log.
    pub level: Level,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Time, level, target, message, fields; in colour on a terminal, unless `NO_COLOR` is set.
    #[default]
    Human,
    /// One JSON object with the fields at its top.
    Json,
}

/// How important an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What failed and needs somebody.
    Error,
    /// What went wrong and was dealt with.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// How it happened.
    Debug,
    /// Each step of it.
    Trace,
}

/// Starts the process's log on stderr; does nothing if it has started.
pub fn start(config: &Config) {
    LOG.get_or_init(|| {
        let writer = Writer::start(io::stderr(), config.format);
        let is_coloured =
            io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let dispatch = dispatch(config, writer.clone(), is_coloured);
        // Somebody else may have set the process's subscriber, as a program that embeds this library would. Theirs holds.
        let _ = tracing::dispatcher::set_global_default(dispatch);
        Log { writer, config: config.clone(), is_coloured }
    });
}

/// Waits until everything logged so far is written, but not longer than `patience`.
pub fn flush(patience: Duration) {
    if let Some(log) = LOG.get() {
        log.writer.flush(patience);
    }
}

/// A log that was started.
struct Log {
    writer: Writer,
    config: Config,
    is_coloured: bool,
}

/// The process's log, if it has started.
fn log() -> Option<&'static Log> {
    LOG.get()
}

fn dispatch<W>(config: &Config, writer: W, is_coloured: bool) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).with_ansi(is_coloured);
    match config.format {
        Format::Human => Dispatch::new(filtered(lines, config.level)),
        Format::Json => Dispatch::new(filtered(
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false),
            config.level,
        )),
    }
}

fn filtered(
    lines: impl tracing_subscriber::Layer<Registry> + Send + Sync + 'static,
    level: Level,
) -> impl Subscriber + Send + Sync + 'static {
    let level = LevelFilter::from(level);
    let targets = Targets::new()
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_target(ACCESS, level)
        .with_default(level.min(LevelFilter::WARN));
    Registry::default().with(lines.with_filter(targets))
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// The process has one stderr and `tracing` one subscriber: a global is what they are.
static LOG: OnceLock<Log> = OnceLock::new();
