//! `channelgate token …` as people type it.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Output, channel_name, duration, token_name, user_name};
use crate::clock::Timestamp;
use crate::conda::ChannelName;
use crate::store::{ActsAs, Which};
use crate::token::{DeadAtBirth, Scopes, scoped_expiry};

/// `channelgate token …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TokenCommand {
    /// Issue an organization's site token or a user's individual token; issuing again replaces the previous one
    ///
    /// They expire 30 days after the end of the subscription. A user needs a seat for one.
    #[command(after_help = "Examples:\n  \
                      channelgate token issue acme --site > site-token\n  \
                      channelgate token issue acme --user alice\n  \
                      channelgate token issue acme --site --grace 24h --yes")]
    Issue {
        /// The organization
        org: String,
        #[command(flatten)]
        holder: Holder,
        /// How long the replaced token goes on working
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
        grace: Duration,
        #[command(flatten)]
        output: Output,
    },
    /// Create a token for one purpose
    ///
    /// It expires after a year unless told otherwise. With --user it has that user's groups and ends with their seat; with --group it has
    /// that group's grants; with neither it has none, and does not read channels that the organization restricted to groups.
    #[command(after_help = "Examples:\n  \
                      channelgate token create acme --name ci --scopes conda:download --expires-in 90d > ci-token\n  \
                      channelgate token create acme --name nightly --scopes 'conda:download api:read' --group builders\n  \
                      channelgate token create acme --name operator --scopes api --operator > operator-token")]
    Create {
        /// The organization
        org: String,
        /// Its name, unique among the organization's living tokens
        #[arg(long, value_parser = token_name)]
        name: String,
        /// What it may be used for, separated by spaces: all, repos, conda, conda:download, pypi, pypi:download, pypi:upload, api,
        /// api:read, api:write, api:modify-group
        #[arg(long)]
        scopes: Scopes,
        /// Confine it to these channels, separated by commas
        #[arg(long, value_delimiter = ',', value_name = "A,B", value_parser = channel_name)]
        channels: Option<Vec<ChannelName>>,
        #[command(flatten)]
        acts_as: ActsAsArguments,
        #[command(flatten)]
        expiry: Expiry,
        #[command(flatten)]
        output: Output,
    },
    /// Set the expiry of site and individual tokens to what the subscription gives now
    ///
    /// Living tokens only: a dead one is issued again. One that was issued again and is in its grace is left alone.
    #[command(after_help = "Examples:\n  \
                      channelgate token sync acme\n  \
                      channelgate token sync acme --user alice")]
    Sync {
        /// The organization
        org: String,
        #[command(flatten)]
        target: SyncTarget,
        #[command(flatten)]
        output: Output,
    },
    /// List an organization's tokens
    #[command(after_help = "Examples:\n  \
                      channelgate token list acme\n  \
                      channelgate token list acme --expiring 30d --json")]
    List {
        /// The organization
        org: String,
        /// Only living tokens that stop working by themselves within this time
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        expiring: Option<Duration>,
        #[command(flatten)]
        output: Output,
    },
    /// Show one token
    Show {
        /// Its id
        id: uuid::Uuid,
        #[command(flatten)]
        output: Output,
    },
    /// Revoke a token, by id or by name
    #[command(after_help = "Examples:\n  \
                      channelgate token revoke 1b4e28ba-2fa1-41d2-883f-0016d3cca427 --reason 'in a public log'\n  \
                      channelgate token revoke --name ci --org acme --yes")]
    Revoke {
        /// Its id
        #[arg(required_unless_present = "name", conflicts_with = "name")]
        id: Option<uuid::Uuid>,
        /// Its name, with --org
        #[arg(long, requires = "org")]
        name: Option<String>,
        /// The organization of the name
        #[arg(long, requires = "name")]
        org: Option<String>,
        /// Why; kept with the token
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Take over a token that another system issued; its value is read from standard input
    #[command(
        after_help = "Example:\n  channelgate token import acme --name legacy --scopes repos < token.txt"
    )]
    Import {
        /// The organization
        org: String,
        /// Its name, unique among the organization's living tokens
        #[arg(long, value_parser = token_name)]
        name: String,
        /// What it may be used for, separated by spaces: all, repos, conda, conda:download, pypi, pypi:download, pypi:upload, api,
        /// api:read, api:write, api:modify-group
        #[arg(long)]
        scopes: Scopes,
        /// Confine it to these channels, separated by commas
        #[arg(long, value_delimiter = ',', value_name = "A,B", value_parser = channel_name)]
        channels: Option<Vec<ChannelName>>,
        #[command(flatten)]
        expiry: Expiry,
        #[command(flatten)]
        output: Output,
    },
    /// Say what the gate knows of a token; its value is read from standard input
    ///
    /// The exit status is 0 whatever the answer is: look at the state.
    #[command(after_help = "Example:\n  channelgate token verify --json < token.txt")]
    Verify {
        #[command(flatten)]
        output: Output,
    },
}

/// Whose token is issued.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct Holder {
    /// The token that everybody of the organization uses
    #[arg(long)]
    site: bool,
    /// The token of this user, who has a seat
    #[arg(long, value_name = "USER", value_parser = user_name)]
    pub(in crate::cli) user: Option<String>,
}

/// For whom a scoped token acts.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub(in crate::cli) struct ActsAsArguments {
    /// Act as this user, who has a seat
    #[arg(long, value_name = "USER", value_parser = user_name)]
    user: Option<String>,
    /// Act as this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Act for whoever runs the gate: in every organization, and on organizations themselves, through the admin API
    #[arg(long)]
    operator: bool,
}

impl From<ActsAsArguments> for Option<ActsAs> {
    fn from(ActsAsArguments { user, group, operator }: ActsAsArguments) -> Self {
        let operator = operator.then_some(ActsAs::Operator);
        user.map(ActsAs::User).or_else(|| group.map(ActsAs::Group)).or(operator)
    }
}

/// Which tokens to sync; all of them where nothing is said.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub(in crate::cli) struct SyncTarget {
    /// The site token
    #[arg(long)]
    site: bool,
    /// This user's individual token
    #[arg(long, value_name = "USER", value_parser = user_name)]
    user: Option<String>,
    /// The site token and all individual tokens; the default
    #[arg(long)]
    all: bool,
}

impl From<SyncTarget> for Which {
    fn from(target: SyncTarget) -> Self {
        match target.user {
            Some(user) => Self::User(user),
            None if target.site => Self::Site,
            None => Self::All,
        }
    }
}

/// When a token ends by itself.
#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
pub(in crate::cli) struct Expiry {
    /// How long it lives; 365d unless --expires-at says when it ends
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_in: Option<Duration>,
    /// When it ends (2027-01-31 or RFC 3339)
    #[arg(long, value_name = "DATE")]
    expires_at: Option<Timestamp>,
}

impl Expiry {
    /// The moment of the end for a token made at `now`.
    ///
    /// # Errors
    ///
    /// A moment that has passed: such a token would never serve.
    pub(in crate::cli) fn after(self, now: Timestamp) -> Result<Timestamp, DeadAtBirth> {
        scoped_expiry(self.expires_at, self.expires_in, now)
    }
}
