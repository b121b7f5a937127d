//! `channelgate index …` as people type it.

use clap::Subcommand;
use uuid::Uuid;

use super::{Output, channel_name};
use crate::conda::{ChannelName, Location, Resource};

/// `channelgate index …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum IndexCommand {
    /// Show which indexes of a channel are kept, of which generation, and what a token sees of them
    ///
    /// Asks no upstream. With --as, the counts are those of the token's view at this moment: its grants, and the channel's rules.
    #[command(after_help = "Examples:\n  \
                      channelgate index show conda-forge\n  \
                      channelgate index show conda-forge --as 0198c1f0-5d0e-7c63-9d0e-9d2f6a3b1c55 --json")]
    Show {
        /// The channel
        #[arg(value_parser = channel_name)]
        channel: ChannelName,
        /// What the token with this id sees
        #[arg(long = "as", value_name = "TOKEN_ID")]
        token: Option<Uuid>,
        #[command(flatten)]
        output: Output,
    },
    /// Ask the upstream anew for indexes of a channel: exit 0 if all could be had, 1 if not
    ///
    /// Of all directories that are kept, if none is named. What cannot be had anew stays as it is. A running gate serves at once what came.
    #[command(after_help = "Examples:\n  \
                      channelgate index refresh conda-forge\n  \
                      channelgate index refresh conda-forge linux-64 label/dev/noarch")]
    Refresh {
        /// The channel
        #[arg(value_parser = channel_name)]
        channel: ChannelName,
        /// Subdirectories, as in linux-64, noarch or label/dev/noarch
        #[arg(value_name = "SUBDIR", value_parser = directory)]
        directories: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
}

/// A subdirectory of a channel or of one of its labels, with a slash behind it.
fn directory(text: &str) -> Result<String, String> {
    let directory = text.trim_end_matches('/');
    let index = format!("{directory}/repodata.json");
    match Location::parse(&index).resource {
        Resource::SubdirFile(..) => Ok(format!("{directory}/")),
        _ => Err("expected a subdirectory such as linux-64 or label/dev/noarch".to_owned()),
    }
}
