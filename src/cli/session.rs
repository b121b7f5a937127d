//! What a command works with: the store, the time, the terminal.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::UsageError;
use super::args::Output;
use crate::account::Organization;
use crate::clock::{Clock, Timestamp};
use crate::store::Store;

/// One command's surroundings.
pub(super) struct Session {
    /// The store that the configuration names.
    pub(super) store: Store,
    /// The time.
    pub(super) clock: Clock,
    /// `--yes`.
    pub(super) yes: bool,
}

impl Session {
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

    /// Prints `data` as JSON, or as `text` makes it.
    ///
    /// # Errors
    ///
    /// Standard output's.
    pub(super) fn print<T: Serialize>(
        &self,
        output: Output,
        data: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text =
            if output.json { format!("{}\n", serde_json::to_string_pretty(data)?) } else { text(data) };
        io::stdout().write_all(text.as_bytes()).context("standard output cannot be written to")
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
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(UsageError(format!(
                "{deed}: this cuts people off, so it needs --yes where nobody can be asked"
            ))
            .into());
        }
        eprint!("{deed}. This takes effect at once. Proceed? [y/N] ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { bail!("nothing was changed") }
    }
}

/// A line from standard input: a token's value, or a URL that may hold one.
///
/// # Errors
///
/// Standard input's, and nothing on it.
pub(super) fn read_line(what: &str) -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        eprintln!("Paste {what} and press Enter:");
    }
    let mut text = String::new();
    let mut input = io::BufReader::new(io::stdin().take(LINE_BYTES_MAX));
    io::BufRead::read_line(&mut input, &mut text).context("standard input cannot be read")?;
    let line = text.trim();
    if line.is_empty() {
        return Err(UsageError(format!("{what} is expected on standard input")).into());
    }
    Ok(line.to_owned())
}

/// Longer than any token or URL that the gate takes.
const LINE_BYTES_MAX: u64 = 16 * 1024;
