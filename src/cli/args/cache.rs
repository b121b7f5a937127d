//! `channelgate cache …` as people type it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Output, channel_name, duration};
use crate::conda::{ChannelName, Glob, MatchSpec, MatchSpecError, Subdir};

/// `channelgate cache …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CacheCommand {
    /// List what is kept
    #[command(after_help = "Examples:\n  \
                      channelgate cache list --channel conda-forge\n  \
                      channelgate cache list 'numpy-*' --json")]
    List {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        output: Output,
    },
    /// How much is kept, in all and of each channel
    #[command(after_help = "Example:\n  channelgate cache stats --json")]
    Stats {
        #[command(flatten)]
        output: Output,
    },
    /// Remove what is kept, to have it fetched afresh
    ///
    /// A running gate notices at once. What it is serving at this moment it serves to the end.
    #[command(after_help = "Examples:\n  \
                      channelgate cache purge 'numpy-2.0.0-*'\n  \
                      channelgate cache purge --channel repo/main --older-than 90d\n  \
                      channelgate cache purge --everything")]
    Purge {
        #[command(flatten)]
        chosen: Chosen,
        /// Only what nobody has used for so long, as in 90d
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        older_than: Option<Duration>,
        /// All that is kept
        #[arg(long, conflicts_with_all = ["channels", "names", "older_than"])]
        everything: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Read all that is kept and remove what is damaged: exit 0 if nothing was, 1 if something was
    ///
    /// A running gate does so by itself, slowly (cache.scrub_rate).
    #[command(after_help = "Example:\n  channelgate cache scrub --channel conda-forge")]
    Scrub {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        output: Output,
    },
    /// Write what is kept into one file, for a gate that the network does not reach
    ///
    /// A tar archive with a manifest in front. It holds packages and indexes, and nothing of tokens or clients.
    #[command(after_help = "Example:\n  channelgate cache export bundle.tar --channel conda-forge")]
    Export {
        /// The file to write
        file: PathBuf,
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        output: Output,
    },
    /// Take up what `cache export` wrote
    ///
    /// Nothing in the file is believed: names must be those of channels configured here, digests are computed again, indexes inspected, and
    /// packages compared with their index. A file that is damaged or cut off anywhere changes nothing. What is here already is left alone.
    #[command(after_help = "Examples:\n  \
                      channelgate cache import bundle.tar\n  \
                      channelgate cache import bundle.tar --channel conda-forge")]
    Import {
        /// The file to read
        file: PathBuf,
        /// Only what is of this channel; may be repeated
        #[arg(long = "channel", value_name = "CHANNEL", value_parser = channel_name)]
        channels: Vec<ChannelName>,
        #[command(flatten)]
        output: Output,
    },
    /// Fetch packages before anybody asks for them
    ///
    /// Takes lock files as pixi, conda-lock and `conda list --explicit` write them, whose packages are fetched with the indexes of their
    /// subdirectories; or specifications, which mean packages of an index and not what those depend on. What is kept already is not fetched
    /// again, so an interrupted command is simply run again. Exit status 1 if anything is missing at the end.
    #[command(after_help = "Examples:\n  \
                      channelgate cache warm --lockfile pixi.lock\n  \
                      channelgate cache warm --spec 'numpy>=1.26' --spec python --channel conda-forge --subdir linux-64")]
    Warm {
        #[command(flatten)]
        warm: WarmArguments,
        #[command(flatten)]
        output: Output,
    },
}

/// Which objects are meant; all of them if nothing is said.
#[derive(Debug, Args)]
pub(in crate::cli) struct Chosen {
    /// Only what is of this channel; may be repeated
    #[arg(long = "channel", value_name = "CHANNEL", value_parser = channel_name)]
    pub(in crate::cli) channels: Vec<ChannelName>,
    /// Only files of these names, as in 'numpy-*'; with a slash, of these paths: 'conda-forge/noarch/*'
    #[arg(value_name = "GLOB")]
    pub(in crate::cli) names: Vec<Glob>,
}

/// What to fetch.
#[derive(Debug, Args)]
pub(in crate::cli) struct WarmArguments {
    /// A lock file: pixi.lock, conda-lock.yml, or an explicit list; may be repeated
    #[arg(long = "lockfile", value_name = "FILE", required_unless_present = "specs")]
    pub(in crate::cli) lock_files: Vec<PathBuf>,
    /// Packages, as in 'numpy>=1.26' or 'conda-forge::numpy 2.* py312*'; may be repeated. Of each name the newest build only
    #[arg(long = "spec", value_name = "SPEC", value_parser = match_spec, requires = "subdirs")]
    pub(in crate::cli) specs: Vec<MatchSpec>,
    /// The channel of the specifications that name none; of lock files, only what is of this channel. May be repeated
    #[arg(long = "channel", value_name = "CHANNEL", value_parser = channel_name)]
    pub(in crate::cli) channels: Vec<ChannelName>,
    /// Only this subdirectory and noarch; specifications need one. May be repeated
    #[arg(long = "subdir", value_name = "SUBDIR", value_parser = subdir)]
    pub(in crate::cli) subdirs: Vec<String>,
    /// All packages that the specifications mean, not only the newest build of each
    #[arg(long, requires = "specs")]
    pub(in crate::cli) all: bool,
    /// Files to fetch at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(in crate::cli) jobs: u8,
}

fn match_spec(text: &str) -> Result<MatchSpec, MatchSpecError> {
    text.parse()
}

pub(super) fn subdir(text: &str) -> Result<String, String> {
    Subdir::parse(text)
        .map(|subdir| subdir.to_string())
        .ok_or_else(|| "expected a subdirectory such as linux-64, osx-arm64 or noarch".to_owned())
}
