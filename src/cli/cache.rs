//! `channelgate cache …`: what is kept, and how it comes and goes without a client asking.
//!
//! Every command opens the cache's directory itself, beside a running gate or without one: the file system is the truth, and a gate notices
//! what was added and removed. What commands fetch and import passes the same checks as what clients ask for ([`crate::app::Shelf`]).

mod export;
mod import;
mod inventory;
pub(super) mod progress;
mod warm;

use std::process::ExitCode;

use bytesize::ByteSize;

use super::UsageError;
use super::args::{CacheCommand, Chosen};
use crate::app::Shelf;
use crate::cache::{Entry, Part};
use crate::config::Config;

/// Runs one of the commands.
///
/// # Errors
///
/// The cache's, and what is said wrongly.
pub(super) async fn run(command: CacheCommand, config: &Config) -> anyhow::Result<ExitCode> {
    if let (false, CacheCommand::Warm { .. } | CacheCommand::Import { .. }) = (config.cache.enabled, &command)
    {
        let problem =
            "cache.enabled is false: a gate of this configuration would use nothing of it; set it to true";
        return Err(UsageError(problem.to_owned()).into());
    }
    let shelf = Shelf::open(config).await?;
    match command {
        CacheCommand::List { chosen, output } => inventory::list(&shelf, &chosen, output).await,
        CacheCommand::Stats { output } => inventory::stats(&shelf, output).await,
        CacheCommand::Purge { chosen, older_than, everything, output } => {
            inventory::purge(&shelf, &chosen, older_than, everything, output).await
        }
        CacheCommand::Scrub { chosen, output } => inventory::scrub(&shelf, &chosen, output).await,
        CacheCommand::Export { file, chosen, output } => export::run(shelf, file, chosen, output).await,
        CacheCommand::Import { file, channels, output } => import::run(shelf, file, channels, output).await,
        CacheCommand::Warm { warm, output } => warm::run(shelf, config, warm, output).await,
    }
}

impl Chosen {
    /// Whether nothing is said, which means everything.
    fn is_everything(&self) -> bool {
        self.channels.is_empty() && self.names.is_empty()
    }

    fn admits(&self, entry: &Entry) -> bool {
        let facts = &entry.facts;
        let name = facts.path.rsplit('/').next().unwrap_or_default();
        let whole = format!("{}/{}", facts.channel, facts.path);
        (self.channels.is_empty() || self.channels.contains(&facts.channel))
            && (self.names.is_empty()
                || self.names.iter().any(|glob| glob.matches(name) || glob.matches(&whole)))
    }

    /// The objects that are meant, as their upstreams sent them, sorted by name.
    async fn entries(&self, shelf: &Shelf) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut walk = shelf.disk().walk();
        while let Some(entry) = walk.next().await {
            if entry.facts.part == Part::File && self.admits(&entry) {
                entries.push(entry);
            }
        }
        entries.sort_by(|a, b| (&a.facts.channel, &a.facts.path).cmp(&(&b.facts.channel, &b.facts.path)));
        entries
    }
}

/// `1.5 MiB`.
fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// `1 object`, `2 objects`.
fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
