//! `channelgate serve`: an app, the lines that people and supervisors read, and signals.

use std::path::Path;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::App;
use crate::clock::Clock;
use crate::config::Config;

/// Runs a gate until SIGTERM or SIGINT, then drains it. SIGHUP calls `reread` and takes up what it returns.
///
/// # Errors
///
/// Whatever kept it from starting.
pub async fn serve(config: Config, reread: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be listened for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be listened for")?;
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be listened for")?;
    let app = App::start(&config, Clock::system()).await?;
    for notice in config.notices() {
        tracing::warn!("{notice}");
    }
    warn_of_unknown_organizations(&app, &config).await;
    if let Some(file) = app.first_start() {
        eprint!("{}", first_words(&config.listen.url(app.data_address()), &config, file));
    }
    eprintln!("{}", app.ready_line());
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                let reloaded = reread().and_then(|config| app.reload(&config).map(|()| config));
                match reloaded {
                    Ok(config) => {
                        tracing::info!(channels = config.channels.len(), "the configuration was reloaded");
                        warn_of_unknown_organizations(&app, &config).await;
                    }
                    Err(error) => tracing::error!("the configuration was not reloaded, the old one stays: {error:#}"),
                }
            }
        }
    }
    tracing::info!("stopping: running responses may finish");
    let cut = app.stop().await;
    if cut > 0 {
        tracing::warn!(connections = cut, "connections were cut at the end of the drain timeout");
    }
    Ok(())
}

/// An organization that a channel names may be created later; but a typing mistake shuts everybody out, so it is told.
async fn warn_of_unknown_organizations(app: &App, config: &Config) {
    let Ok(known) = app.store().organizations().await else { return };
    for channel in &config.channels {
        for name in channel.organizations() {
            if !known.iter().any(|organization| organization.name == *name) {
                tracing::warn!(
                    channel = channel.rules.name.as_str(),
                    organization = %name,
                    "the channel names an organization that does not exist; create it with `channelgate org create`"
                );
            }
        }
    }
}

/// What a person pastes after the first start. It names the file of the token, never the token.
fn first_words(url: &str, config: &Config, file: &Path) -> String {
    let channel = config.channels.first().map_or("<channel>", |channel| channel.rules.name.as_str());
    let (scheme, host) = url.split_once("://").unwrap_or(("http", url));
    let file = file.display();
    format!(
        "This is the first start: organization \"default\" has a site token, in {file}\n\
         To use a channel, paste one of these:\n\
         \x20 conda    conda config --add channels \"{url}/t/$(cat {file})/{channel}\"\n\
         \x20 mamba    mamba create -n demo -c \"{url}/t/$(cat {file})/{channel}\" PACKAGE\n\
         \x20 pixi     pixi auth login {scheme}://{host} --conda-token \"$(cat {file})\"\n\
         \x20          pixi init --channel {url}/{channel} demo\n"
    )
}
