//! `channelgate org …` as people type it.

use clap::Subcommand;

use super::{Output, organization_name};
use crate::clock::Timestamp;

/// `channelgate org …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum OrgCommand {
    /// Create an organization
    #[command(
        after_help = "Example:\n  channelgate org create acme --title 'Acme Inc.' --subscription-ends 2027-12-31"
    )]
    Create {
        /// Its name: [a-z0-9_][a-z0-9_.-]*
        #[arg(value_parser = organization_name)]
        name: String,
        /// What people call it
        #[arg(long)]
        title: Option<String>,
        /// When its subscription ends (2027-01-31 or RFC 3339); its site and individual tokens expire 30 days later
        #[arg(long, value_name = "DATE")]
        subscription_ends: Option<Timestamp>,
        #[command(flatten)]
        output: Output,
    },
    /// List the organizations
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Show one organization
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Renew an organization's subscription
    ///
    /// No token's expiry moves with it: `token sync` moves that of site and individual tokens. Tokens that are dead stay dead.
    #[command(
        after_help = "Example:\n  channelgate org renew acme --until 2028-12-31 && channelgate token sync acme"
    )]
    Renew {
        /// Its name
        name: String,
        /// When the subscription ends (2027-01-31 or RFC 3339)
        #[arg(long, value_name = "DATE")]
        until: Timestamp,
        #[command(flatten)]
        output: Output,
    },
    /// Cancel an organization's subscription: all its tokens stop working at once, for ever
    #[command(after_help = "Example:\n  channelgate org cancel acme --yes")]
    Cancel {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
}
