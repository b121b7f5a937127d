//! `channelgate fleet …` as people type it.

use clap::Subcommand;

use super::Output;

/// `channelgate fleet …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum FleetCommand {
    /// List the gates over this store, as each last said of itself
    ///
    /// STATE: ready; unproven (it reads its verdicts again as they age, because the change feed proves nothing to it); draining; stopped; silent
    /// (it has said nothing for 15 seconds). BEHIND: changes of the store that it had not applied. LAG: how long ago the change feed had last
    /// proved to it that it missed nothing. Gates that are gone are listed for a day.
    #[command(after_help = "Examples:\n  \
                      channelgate fleet status\n  \
                      channelgate fleet status --json | jq '.[] | select(.state != \"ready\")'")]
    Status {
        #[command(flatten)]
        output: Output,
    },
}
