//! `channelgate serve`: an app, the lines that people and supervisors read, and signals.

use std::io::{self, Write as _};
use std::path::{self, Path};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{App, story};
use crate::clock::Clock;
use crate::config::Config;
use crate::logging;

/// Runs a gate until SIGTERM or SIGINT, then drains it; a second one ends the drain. SIGHUP calls `reread` and takes up what it returns.
///
/// # Errors
///
/// Whatever kept it from starting.
pub async fn serve(config: Config, reread: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<()> {
    let mut stop = StopSignals::listen()?;
    let mut hangup = listen(SignalKind::hangup())?;
    let app = App::start(&config, Clock::system()).await?;
    warn(&app, &config).await;
    let words =
        app.first_start().map(|file| first_words(&config.listen.url(app.data_address()), &config, file));
    // What was said of the start stands before the line that says it is over; the log's writer gathers lines for a moment.
    logging::flush(READ_WITHIN);
    // No event of the log, so that it is there whatever the log's level; lost if nobody reads it, which must not stop the gate.
    let _ = writeln!(io::stderr(), "{}{}", words.unwrap_or_default(), app.ready_line());
    loop {
        tokio::select! {
            () = stop.received() => break,
            _ = hangup.recv() => reload(&app, reread()).await,
        }
    }
    tracing::info!("stopping: running responses may finish");
    tokio::select! {
        cut = app.stop() => {
            if cut > 0 {
                tracing::warn!(connections = cut, "connections were cut at the end of the drain timeout");
            }
        }
        () = stop.received() => tracing::warn!("stopping at once, as told a second time"),
    }
    Ok(())
}

/// SIGTERM, of supervisors, and SIGINT, of keyboards.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("signals cannot be listened for")
}

async fn reload(app: &App, reread: anyhow::Result<Config>) {
    let reloaded = reread.and_then(|config| app.reload(&config).map(|waiting| (config, waiting)));
    match reloaded {
        Ok((config, waiting)) => {
            tracing::info!(channels = config.channels.len(), "the configuration was reloaded");
            if !waiting.is_empty() {
                let keys = waiting.join(", ");
                tracing::warn!("changed, but read only when the gate starts: {keys}; restart it to use them");
            }
            warn(app, &config).await;
        }
        Err(error) => {
            tracing::error!("the configuration was not reloaded, the old one stays: {}", story(&error));
        }
    }
}

/// What a person should know of a configuration although it is no mistake.
async fn warn(app: &App, config: &Config) {
    for notice in config.notices() {
        tracing::warn!("{notice}");
    }
    warn_of_unknown_organizations(app, config).await;
}

/// An organization that a channel names may be created later; but a typing mistake shuts everybody out, so it is told.
async fn warn_of_unknown_organizations(app: &App, config: &Config) {
    for channel in &config.channels {
        for name in channel.organizations() {
            if matches!(app.store().organization(name).await, Ok(None)) {
                tracing::warn!(
                    channel = channel.rules.name.as_str(),
                    organization = %name,
                    "the channel names an organization that does not exist; create it with `channelgate org create`"
                );
            }
        }
    }
}

/// What a person pastes after the first start, in any directory. It names the file of the token, never the token.
fn first_words(url: &str, config: &Config, file: &Path) -> String {
    let channel = config.channels.first().map_or("<channel>", |channel| channel.rules.name.as_str());
    let file = quoted(&path::absolute(file).unwrap_or_else(|_| file.to_owned()));
    format!(
        "This is the first start: organization \"default\" has a site token, in {file}\n\
         To use a channel, paste one of these:\n\
         \x20 conda    conda config --add channels \"{url}/t/$(cat {file})/{channel}\"\n\
         \x20 mamba    mamba create -n demo -c \"{url}/t/$(cat {file})/{channel}\" PACKAGE\n\
         \x20 pixi     pixi auth login {url} --conda-token \"$(cat {file})\"\n\
         \x20          pixi init --channel {url}/{channel} demo\n"
    )
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ',' | '@');
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// How long the ready line waits for what was logged before it, where nobody reads the log.
const READ_WITHIN: Duration = Duration::from_millis(250);
