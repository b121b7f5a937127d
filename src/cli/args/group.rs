//! `channelgate group …` as people type it.

use clap::Subcommand;

use super::{Output, channel_name, group_name, label, package_pattern};
use crate::account::Permission;
use crate::conda::ChannelName;

/// `channelgate group …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum GroupCommand {
    /// Create a group
    #[command(after_help = "Example:\n  channelgate group create acme builders")]
    Create {
        /// The organization
        org: String,
        /// Its name: [a-z0-9_][a-z0-9_.-]*
        #[arg(value_parser = group_name)]
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// List an organization's groups, their users and grants
    List {
        /// The organization
        org: String,
        #[command(flatten)]
        output: Output,
    },
    /// Put a user, who has a seat, into a group
    #[command(after_help = "Example:\n  channelgate group add acme builders alice")]
    Add {
        /// The organization
        org: String,
        /// The group
        name: String,
        /// The user
        user: String,
        #[command(flatten)]
        output: Output,
    },
    /// Take a user out of a group
    #[command(after_help = "Example:\n  channelgate group remove acme builders alice --yes")]
    Remove {
        /// The organization
        org: String,
        /// The group
        name: String,
        /// The user
        user: String,
        #[command(flatten)]
        output: Output,
    },
    /// Grant a channel to a group
    ///
    /// From its first grant on, the channel is restricted to the organization's granted groups: its tokens that belong to none of them,
    /// the site token among them, no longer read it. That lasts until `group unrestrict`, also after the last grant is gone.
    ///
    /// A grant takes the place of the one that the group had of the channel. Without --packages and --labels it is for the whole channel.
    /// What is not granted does not exist for whoever reads by it: indexes leave it out, and its files are not found. Who is in several
    /// groups has what all of them are granted.
    #[command(after_help = "Examples:\n  \
                      channelgate group grant acme builders team/main\n  \
                      channelgate group grant acme builders team/main --packages 'numpy*,scipy' --labels main,dev\n  \
                      channelgate group grant acme builders team/main --permission write")]
    Grant {
        /// The organization
        org: String,
        /// The group
        name: String,
        /// The channel
        #[arg(value_parser = channel_name)]
        channel: ChannelName,
        /// Only packages of these names: globs, separated by commas
        #[arg(long, value_name = "GLOB", value_delimiter = ',', value_parser = package_pattern)]
        packages: Vec<String>,
        /// Only these labels, separated by commas; what is asked for without a label is under `main`
        #[arg(long, value_name = "LABEL", value_delimiter = ',', value_parser = label)]
        labels: Vec<String>,
        /// `read`, `write` or `admin`; each includes the ones before it
        #[arg(long, default_value = "read")]
        permission: Permission,
        #[command(flatten)]
        output: Output,
    },
    /// Take a grant away; the channel stays restricted to the groups that are left
    #[command(after_help = "Example:\n  channelgate group ungrant acme builders team/main")]
    Ungrant {
        /// The organization
        org: String,
        /// The group
        name: String,
        /// The channel
        #[arg(value_parser = channel_name)]
        channel: ChannelName,
        #[command(flatten)]
        output: Output,
    },
    /// Open a channel to the whole organization again: all grants of it are taken away
    #[command(after_help = "Example:\n  channelgate group unrestrict acme team/main")]
    Unrestrict {
        /// The organization
        org: String,
        /// The channel
        #[arg(value_parser = channel_name)]
        channel: ChannelName,
        #[command(flatten)]
        output: Output,
    },
}
