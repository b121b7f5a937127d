//! `channelgate store …`.

use std::path::Path;

use serde::Serialize;

use super::UsageError;
use super::args::StoreCommand;
use super::output::{self, tell};
use super::view::table;
use crate::clock::Clock;
use crate::store::{Config, CopiedTable, Copying, Store};

/// Runs one of the commands.
///
/// # Errors
///
/// Those of both stores.
pub(super) async fn run(command: StoreCommand) -> anyhow::Result<()> {
    let StoreCommand::Migrate { from, to, output } = command;
    if from == to {
        let problem = "--from and --to are the same store";
        return Err(UsageError(problem.to_owned()).into());
    }
    if let Some(file) = from.strip_prefix("sqlite:")
        && !Path::new(file.strip_prefix("//").unwrap_or(file)).exists()
    {
        return Err(UsageError(format!("--from: there is no file {file}")).into());
    }
    let config = |url: String| Config { url, ..Config::default() };
    let source = Store::open(&config(from)).await?;
    let target = Store::open_unfinished(&config(to)).await?;
    let copied = source.copy_to(&target, Clock::system().now(), &mut progress).await;
    source.close().await;
    target.close().await;
    let tables: Vec<_> = copied?.iter().map(TableView::new).collect();
    output::print(output, &tables, |tables| table_of(tables))?;
    tell(
        "The copy is whole and verified. Before anything is changed again: set store.url (or what is in the file of store.url_file) to the \
         new store in the configuration of every gate, and restart them.",
    );
    Ok(())
}

fn progress(Copying { table, rows, verified }: Copying) {
    if verified {
        tell(format_args!("{table}: the same, {rows} rows"));
    } else if rows % TOLD_EVERY == 0 {
        tell(format_args!("{table}: {rows} rows"));
    }
}

/// A copied table as it is shown.
#[derive(Debug, Serialize)]
struct TableView {
    table: &'static str,
    rows: u64,
    /// How many of them this run wrote or removed.
    written: u64,
    sha256: String,
}

impl TableView {
    fn new(copied: &CopiedTable) -> Self {
        let CopiedTable { name, rows, written, sha256 } = copied;
        let sha256 = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { table: name, rows: *rows, written: *written, sha256 }
    }
}

fn table_of(tables: &[TableView]) -> String {
    let rows = tables.iter().map(|copied| {
        vec![
            copied.table.to_owned(),
            copied.rows.to_string(),
            copied.written.to_string(),
            copied.sha256.clone(),
        ]
    });
    table(&["TABLE", "ROWS", "WRITTEN", "SHA-256"], rows)
}

/// Rows between two words about a large table.
const TOLD_EVERY: u64 = 100_000;
