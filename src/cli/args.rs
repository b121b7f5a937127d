//! The command line as people type it.

mod audit;
mod bench;
mod cache;
mod fleet;
mod group;
mod index;
mod org;
mod seat;
mod store;
mod token;
mod user;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use self::audit::{AuditArguments, AuditCommand};
pub(super) use self::bench::BenchArguments;
pub(super) use self::cache::{CacheCommand, Chosen, WarmArguments};
pub(super) use self::fleet::FleetCommand;
pub(super) use self::group::GroupCommand;
pub(super) use self::index::IndexCommand;
pub(super) use self::org::OrgCommand;
pub(super) use self::seat::SeatCommand;
pub(super) use self::store::StoreCommand;
pub(super) use self::token::{Expiry, TokenCommand};
pub(super) use self::user::UserCommand;
use crate::account::{
    EmailError, GrantError, NameError, check_email, check_label, check_name, check_pattern, check_user,
};
use crate::clock::{TimeError, parse_duration};
use crate::conda::{ChannelName, ChannelNameError};
use crate::token::{TokenNameError, check_token_name};

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
    /// Organizations: who hands out tokens, and until when
    #[command(subcommand)]
    Org(OrgCommand),
    /// Seats: the users of an organization
    #[command(subcommand)]
    Seat(SeatCommand),
    /// Users: the people who sign in, for `anaconda login` and the pages of the gate
    #[command(subcommand)]
    User(UserCommand),
    /// Tokens: issue, create, sync, list, revoke, verify
    #[command(subcommand)]
    Token(TokenCommand),
    /// Groups: which users of an organization read which channels
    #[command(subcommand)]
    Group(GroupCommand),
    /// Who changed what, and when
    ///
    /// Every change leaves a record that nobody can alter unnoticed: `audit verify` checks that.
    #[command(after_help = "Examples:\n  \
                      channelgate audit --org acme --since 24h\n  \
                      channelgate audit --since 2027-01-31 --json\n  \
                      channelgate audit verify")]
    Audit(AuditArguments),
    /// The package cache: list, stats, purge, scrub, export, import, warm
    ///
    /// Works beside a running gate and without one.
    #[command(subcommand)]
    Cache(CacheCommand),
    /// The store itself: copy it to another database
    #[command(subcommand)]
    Store(StoreCommand),
    /// The gates over one store
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// The indexes of channels: show, refresh
    ///
    /// Works beside a running gate and without one.
    #[command(subcommand)]
    Index(IndexCommand),
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
    /// Load a gate or mirror as conda clients do, and measure it
    ///
    /// Reads the channel's index first and asks for what is in it. Ends by itself; an interrupt ends it early, with a report of what was
    /// done. Exit status 1 if there were more errors than --max-error-rate. Hosts other than this one are asked about first; without a
    /// terminal that needs --yes.
    #[command(after_help = "Examples:\n  \
                      channelgate bench http://127.0.0.1:8480/conda-forge --token-file var/bootstrap-token --profile revalidate\n  \
                      channelgate bench https://gate.example/main --token-file t --profile install-storm --lockfile pixi.lock --clients 50\n  \
                      channelgate bench http://127.0.0.1:8480/main --token-file t --profile token-flood --rate 2000 --report flood.svg\n  \
                      channelgate bench http://127.0.0.1:8480/main --token-file t --against http://127.0.0.1:8090/main --json")]
    Bench(Box<BenchArguments>),
    /// Print what makes a shell complete the command line
    #[command(after_help = "Examples:\n  \
                      channelgate completions bash > /etc/bash_completion.d/channelgate\n  \
                      channelgate completions zsh > /usr/local/share/zsh/site-functions/_channelgate\n  \
                      channelgate completions fish > ~/.config/fish/completions/channelgate.fish")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// A shell that completions are written for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// How to print data.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Output {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn duration(text: &str) -> Result<Duration, TimeError> {
    parse_duration(text)
}

fn organization_name(text: &str) -> Result<String, NameError> {
    check_name(text, "an organization's name").map(|()| text.to_owned())
}

fn group_name(text: &str) -> Result<String, NameError> {
    check_name(text, "a group's name").map(|()| text.to_owned())
}

fn user_name(text: &str) -> Result<String, NameError> {
    check_user(text).map(|()| text.to_owned())
}

fn email(text: &str) -> Result<String, EmailError> {
    check_email(text).map(|()| text.to_owned())
}

fn token_name(text: &str) -> Result<String, TokenNameError> {
    check_token_name(text).map(|()| text.to_owned())
}

/// People write a space behind the comma.
fn package_pattern(text: &str) -> Result<String, GrantError> {
    check_pattern(text.trim()).map(|()| text.trim().to_owned())
}

/// People write a space behind the comma.
fn label(text: &str) -> Result<String, GrantError> {
    check_label(text.trim()).map(|()| text.trim().to_owned())
}

/// People write a space behind the comma.
fn channel_name(text: &str) -> Result<ChannelName, ChannelNameError> {
    ChannelName::parse(text.trim())
}
