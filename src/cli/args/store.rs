//! `channelgate store …` as people type it.

use clap::Subcommand;

use super::Output;

/// `channelgate store …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum StoreCommand {
    /// Copy a store to another database: from SQLite to PostgreSQL, or back
    ///
    /// The target is an empty database, or the copy that an earlier run began: what is there already is not copied again. Every table is compared by
    /// its number of rows and a digest. Gates may go on meanwhile; if a change was made, the copy says so and is run again. Until it is whole,
    /// no gate opens it. A password comes from $PGPASSWORD or ~/.pgpass, so that it is not in the process list.
    #[command(after_help = "Example:\n  \
                      channelgate store migrate --from sqlite:var/channelgate.db --to postgres://gate@db.example/channelgate")]
    Migrate {
        /// The store to copy
        #[arg(long, value_name = "URL")]
        from: String,
        /// Where to
        #[arg(long, value_name = "URL")]
        to: String,
        #[command(flatten)]
        output: Output,
    },
}
