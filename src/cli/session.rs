//! What a command works with: the configuration, the store, the time, the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context as _, bail};

use super::UsageError;
use super::output::tell;
use crate::account::{Organization, check_user};
use crate::app;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::store::{Actor, Store, StoreError};

/// One command's surroundings.
pub(super) struct Session<'c> {
    /// The configuration in effect.
    pub(super) config: &'c Config,
    /// The store that it names.
    pub(super) store: Store,
    /// The time.
    pub(super) clock: Clock,
    /// Who is at the terminal, for the audit.
    pub(super) by: Actor,
    yes: bool,
}

impl<'c> Session<'c> {
    /// Opens the store, does `work`, and closes it again, whatever came of it; `yes` answers what `work` may ask.
    ///
    /// # Errors
    ///
    /// The store's and those of `work`.
    pub(super) async fn during<T>(
        config: &'c Config,
        yes: bool,
        work: impl AsyncFnOnce(&Session<'c>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let store = Store::open(&app::store_config(config)).await?;
        let session = Self { config, store, clock: Clock::system(), by: actor(), yes };
        let outcome = work(&session).await;
        session.store.close().await;
        outcome
    }

    /// The present.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The organization of this name.
    ///
    /// # Errors
    ///
    /// There is none, or the store's.
    pub(super) async fn organization(&self, name: &str) -> anyhow::Result<Organization> {
        let found = self.store.organization(name).await?;
        found.with_context(|| {
            format!("there is no organization \"{name}\"; `channelgate org list` shows them, and the first `channelgate serve` makes \"default\"")
        })
    }

    /// Makes sure that somebody wants `deed`, which cuts people off: `--yes`, or an answer on the terminal.
    ///
    /// # Errors
    ///
    /// Nobody does.
    pub(super) fn confirm(&self, deed: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !at_terminal() {
            return Err(UsageError(format!(
                "{deed}. This cuts people off, and nobody can be asked here whether it is meant: say --yes if it is"
            ))
            .into());
        }
        ask(deed)
    }

    /// Asks at a terminal whether somebody wants `deed`, which may cut people off but takes nothing away for good. Where nobody can be
    /// asked, they are told.
    ///
    /// # Errors
    ///
    /// They do not.
    pub(super) fn mention(&self, deed: &str) -> anyhow::Result<()> {
        if self.yes || !at_terminal() {
            tell(format_args!("{deed}."));
            return Ok(());
        }
        ask(deed)
    }
}

/// All of what the store gives page by page, of [`PAGE`] things each, by a name that is in each of them.
///
/// # Errors
///
/// The store's.
pub(super) async fn every_page<T>(
    page: impl AsyncFn(Option<&str>) -> Result<Vec<T>, StoreError>,
    name: impl Fn(&T) -> &str,
) -> Result<Vec<T>, StoreError> {
    let mut all: Vec<T> = Vec::new();
    loop {
        let next = page(all.last().map(&name)).await?;
        let is_last = next.len() < PAGE as usize;
        all.extend(next);
        if is_last {
            return Ok(all);
        }
    }
}

/// How many things are read at once.
pub(super) const PAGE: u32 = 1_000;

/// Makes sure that somebody answers for `deed`, which may harm others: `--yes`, or an answer on the terminal.
///
/// # Errors
///
/// Nobody does.
pub(super) fn approve(deed: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !at_terminal() {
        return Err(UsageError(format!(
            "{deed}. Nobody can be asked here whether they did: say --yes if so"
        ))
        .into());
    }
    let _ = write!(io::stderr(), "{deed}. Proceed? [y/N] ");
    if answers_yes()? { Ok(()) } else { bail!("nothing was sent") }
}

fn at_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn ask(deed: &str) -> anyhow::Result<()> {
    let _ = write!(io::stderr(), "{deed}. This cuts people off. Proceed? [y/N] ");
    if answers_yes()? { Ok(()) } else { bail!("nothing was changed") }
}

fn answers_yes() -> anyhow::Result<bool> {
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("the terminal cannot be read")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// `cli:root@host`: the number of the user at least, which the system says.
fn actor() -> Actor {
    let user = ["LOGNAME", "USER"].into_iter().find_map(|name| std::env::var(name).ok());
    let user = user.filter(|name| check_user(name).is_ok());
    let user = user.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string());
    Actor::local(format!("cli:{user}@{}", app::host_name()))
}

/// A line from standard input: a token's value, or a URL that may hold one.
///
/// # Errors
///
/// Standard input's, and nothing or too much on it.
pub(super) fn read_line(what: &str) -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        tell(format_args!("Paste {what} and press Enter:"));
    }
    let mut text = String::new();
    let mut input = io::BufReader::new(io::stdin().take(LINE_BYTES_MAX + 1));
    input.read_line(&mut text).context("standard input cannot be read")?;
    if text.len() as u64 > LINE_BYTES_MAX {
        return Err(UsageError(format!("the line on standard input is too long for {what}")).into());
    }
    let line = text.trim();
    if line.is_empty() {
        return Err(UsageError(format!("{what} is expected on standard input")).into());
    }
    Ok(line.to_owned())
}

/// Longer than any token or URL that the gate takes.
const LINE_BYTES_MAX: u64 = 16 * 1024;
