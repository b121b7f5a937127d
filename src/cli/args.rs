//! The command line as people type it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::account::{NameError, check_name};
use crate::clock::{TimeError, Timestamp, parse_duration};
use crate::conda::{ChannelName, ChannelNameError};
use crate::token::{Scopes, TokenNameError, check_token_name};

/// An authenticating reverse proxy for conda channels
#[derive(Debug, Parser)]
#[command(
    name = "channelgate",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Exit status: 0 done, 1 failed, 64 bad usage or configuration. Data goes to standard output, words to standard error.\n\n\
                  Examples:\n  \
                  channelgate serve\n  \
                  channelgate org create acme && channelgate token issue acme --site > site-token"
)]
pub(super) struct Arguments {
    /// The configuration file; else $CHANNELGATE_CONFIG, config/channelgate.toml, /etc/channelgate/channelgate.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Do not ask before cutting anybody off
    #[arg(long, global = true)]
    pub(super) yes: bool,

    /// What to do
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gate until it is told to stop
    ///
    /// SIGTERM and SIGINT let running responses finish, a second one ends them; SIGHUP reloads channels, upstreams and certificates.
    #[command(after_help = "Example:\n  channelgate serve --config /etc/channelgate/channelgate.toml")]
    Serve,
    /// Check the configuration and print what is in effect
    ///
    /// What is printed is a configuration file itself; it names the files and variables that hold secrets, never their contents.
    #[command(
        after_help = "Examples:\n  channelgate check > effective.toml\n  channelgate check --ready || echo 'do not send it traffic'"
    )]
    Check {
        /// Ask the running gate whether it is ready instead: exit 0 if it is, 1 if not (for container health checks)
        #[arg(long)]
        ready: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Print the version
    Version {
        #[command(flatten)]
        output: Output,
    },
    /// Organizations: who hands out tokens
    #[command(subcommand)]
    Org(OrgCommand),
    /// Tokens: issue, list, revoke, verify
    #[command(subcommand)]
    Token(TokenCommand),
    /// Explain how one request would be decided, without any network
    ///
    /// The URL may be a path. `-` reads it from standard input, which keeps a token out of the process list.
    #[command(after_help = "Examples:\n  \
                      channelgate explain /main/noarch/repodata.json\n  \
                      echo \"https://gate.example/t/$TOKEN/main/noarch/repodata.json\" | channelgate explain -")]
    Explain {
        /// The URL or path, or `-` for standard input
        url: String,
        /// A request header, as in --header 'Authorization: token …'; may be repeated
        #[arg(long = "header", value_name = "NAME: VALUE")]
        headers: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
}

/// How to print data.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Output {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `channelgate org …`
#[derive(Debug, Subcommand)]
pub(super) enum OrgCommand {
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
}

/// `channelgate token …`
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Issue the organization's site token; issuing again replaces the previous one
    #[command(after_help = "Examples:\n  \
                      channelgate token issue acme --site > site-token\n  \
                      channelgate token issue acme --site --grace 24h --yes")]
    Issue {
        /// The organization
        org: String,
        /// The token that everybody of the organization uses
        #[arg(long, required = true)]
        site: bool,
        /// How long the replaced token goes on working
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
        grace: Duration,
        #[command(flatten)]
        output: Output,
    },
    /// Create a token for one purpose
    #[command(
        after_help = "Example:\n  channelgate token create acme --name ci --scopes conda:download --expires-in 90d > ci-token"
    )]
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
        expiry: Expiry,
        #[command(flatten)]
        output: Output,
    },
    /// List an organization's tokens
    List {
        /// The organization
        org: String,
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

/// When a token ends by itself.
#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
pub(super) struct Expiry {
    /// How long it lives; 365d unless --expires-at says when it ends
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_in: Option<Duration>,
    /// When it ends (2027-01-31 or RFC 3339)
    #[arg(long, value_name = "DATE")]
    expires_at: Option<Timestamp>,
}

/// Scoped tokens live for a year unless told otherwise.
pub(super) const SCOPED_LIFE: Duration = Duration::from_secs(365 * 24 * 3_600);

impl Expiry {
    /// The moment of the end for a token made at `now`.
    ///
    /// # Errors
    ///
    /// A moment that has passed: such a token would never serve.
    pub(super) fn after(self, now: Timestamp) -> Result<Timestamp, String> {
        let at = self.expires_at.unwrap_or_else(|| now.plus(self.expires_in.unwrap_or(SCOPED_LIFE)));
        if at > now { Ok(at) } else { Err(format!("the token would expire at {at}, which has passed")) }
    }
}

fn duration(text: &str) -> Result<Duration, TimeError> {
    parse_duration(text)
}

fn organization_name(text: &str) -> Result<String, NameError> {
    check_name(text, "an organization's name").map(|()| text.to_owned())
}

fn token_name(text: &str) -> Result<String, TokenNameError> {
    check_token_name(text).map(|()| text.to_owned())
}

/// People write a space behind the comma.
fn channel_name(text: &str) -> Result<ChannelName, ChannelNameError> {
    ChannelName::parse(text.trim())
}
