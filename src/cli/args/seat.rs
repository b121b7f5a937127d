//! `channelgate seat …` as people type it.

use clap::Subcommand;

use super::{Output, user_name};
use crate::account::Role;

/// `channelgate seat …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SeatCommand {
    /// Give a user a seat, or change the role of one who has it
    ///
    /// Only who has a seat can have an individual token and be in groups. The site token needs none.
    #[command(after_help = "Examples:\n  \
                      channelgate seat assign acme alice && channelgate token issue acme --user alice\n  \
                      channelgate seat assign acme bob@example.org --role admin")]
    Assign {
        /// The organization
        org: String,
        /// The user: a login or an e-mail address
        #[arg(value_parser = user_name)]
        user: String,
        /// `member`, or `admin` for who manages seats, groups and the site token where people act for themselves
        #[arg(long, default_value = "member")]
        role: Role,
        #[command(flatten)]
        output: Output,
    },
    /// Take a user's seat away: their individual token, and tokens that act as them, stop working at once
    #[command(after_help = "Example:\n  channelgate seat remove acme alice --yes")]
    Remove {
        /// The organization
        org: String,
        /// The user
        user: String,
        #[command(flatten)]
        output: Output,
    },
    /// List an organization's seats
    List {
        /// The organization
        org: String,
        #[command(flatten)]
        output: Output,
    },
}
