//! `channelgate bench` as people type it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::cache::subdir;
use super::{Output, duration};
use crate::load::{Carrier, Pattern, Profile, Protocol};

/// Whom to ask for what, how often.
#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArguments {
    /// The channel, such as http://127.0.0.1:8480/conda-forge; `-` reads its URL from standard input, which keeps a token out of the
    /// process list
    pub(in crate::cli) url: String,

    /// What clients do
    ///
    /// revalidate: ask whether the indexes that they have are current (304).
    /// shard-burst: solve, with hundreds of shards over few connections.
    /// install-storm: install a list of packages, sizes as they are.
    /// token-flood: revalidate among requests with garbage tokens; latencies of both are told apart.
    /// mixed: of a hundred requests 60 revalidations, 30 shards, 10 packages.
    #[arg(long, value_enum, default_value_t = ProfileName::Mixed, verbatim_doc_comment)]
    pub(in crate::cli) profile: ProfileName,

    /// A file with the token, `-` for standard input; else $CHANNELGATE_BENCH_TOKEN, or what the URL holds
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) token_file: Option<PathBuf>,

    /// Where the token stands in a request
    #[arg(long, value_enum, default_value_t = CarrierName::Path)]
    pub(in crate::cli) carrier: CarrierName,

    /// A second channel to compare: the two are asked in turns
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) against: Option<String>,

    /// A file with the second channel's token; it is never sent the first one's
    #[arg(long, value_name = "FILE", requires = "against")]
    pub(in crate::cli) against_token_file: Option<PathBuf>,

    /// How long a turn is
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1s", requires = "against")]
    pub(in crate::cli) slice: Duration,

    /// Requests a second, of all clients together, whether or not earlier ones were answered; without it every client asks as fast as it
    /// is answered
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(in crate::cli) rate: Option<f64>,

    /// How requests of a rate are spread over time
    #[arg(long, value_enum, default_value_t = ArrivalsName::Poisson, requires = "rate")]
    pub(in crate::cli) arrivals: ArrivalsName,

    /// Clients
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(in crate::cli) clients: u32,

    /// Connections of each client [default: 10 for shard-burst, 5 for install-storm, 2 for mixed, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(in crate::cli) connections: Option<u32>,

    /// How long to begin requests; those under way are waited for up to 10s more
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub(in crate::cli) duration: Duration,

    /// Requests at most
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub(in crate::cli) requests: u64,

    /// How long a request may take
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub(in crate::cli) timeout: Duration,

    /// Errors to put up with, as in 0.1%; more are exit status 1
    #[arg(long, value_name = "RATE", value_parser = error_rate, default_value = "0")]
    pub(in crate::cli) max_error_rate: f64,

    /// The platforms whose indexes are read; may be repeated [default: noarch and linux-64]
    #[arg(long = "subdir", value_name = "SUBDIR", value_parser = subdir)]
    pub(in crate::cli) subdirs: Vec<String>,

    /// The packages of a client: pixi.lock, conda-lock.yml, or an explicit list; only what is of this channel
    #[arg(long = "lockfile", value_name = "FILE")]
    pub(in crate::cli) lock_file: Option<PathBuf>,

    /// How many packages of the index a client installs, where there is no lock file
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with = "lock_file")]
    pub(in crate::cli) packages: u32,

    /// How many shards a client asks for in a burst
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(in crate::cli) shards: u32,

    /// Requests with garbage tokens for each valid one, in token-flood and mixed [default: 10 in token-flood, else 0]
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    pub(in crate::cli) garbage: Option<f64>,

    /// What to speak
    #[arg(long, value_enum, default_value_t = HttpName::Http1)]
    pub(in crate::cli) http: HttpName,

    /// Certificates to trust besides the platform's, in PEM
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) cacert: Option<PathBuf>,

    /// A new connection for every request
    #[arg(long)]
    pub(in crate::cli) no_keep_alive: bool,

    /// Do not compare bodies with their digests, which takes the generator's CPU
    #[arg(long)]
    pub(in crate::cli) no_verify: bool,

    /// Threads of the generator [default: half of the machine's CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(in crate::cli) threads: Option<u16>,

    /// What all choices follow from: the same number gives the same requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) seed: u64,

    /// A file for the report as a picture
    #[arg(long, value_name = "FILE.svg")]
    pub(in crate::cli) report: Option<PathBuf>,

    #[command(flatten)]
    pub(in crate::cli) output: Output,
}

/// [`Profile`], by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum ProfileName {
    Revalidate,
    ShardBurst,
    InstallStorm,
    TokenFlood,
    Mixed,
}

/// [`Carrier`], by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum CarrierName {
    /// /t/<TOKEN>/, as conda sends it
    Path,
    /// Authorization: Bearer
    Bearer,
    /// Authorization: token
    Token,
    /// Authorization: Basic, as password
    Basic,
    /// X-API-Key
    XApiKey,
}

/// [`Pattern`], by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum ArrivalsName {
    /// Independent of each other, as those of many people are
    Poisson,
    /// In equal gaps
    Even,
}

/// [`Protocol`], by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum HttpName {
    /// HTTP/1.1, as conda and mamba do
    #[value(name = "1.1")]
    Http1,
    /// HTTP/2; without TLS by prior knowledge
    #[value(name = "2")]
    Http2,
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Revalidate => Self::Revalidate,
            ProfileName::ShardBurst => Self::ShardBurst,
            ProfileName::InstallStorm => Self::InstallStorm,
            ProfileName::TokenFlood => Self::TokenFlood,
            ProfileName::Mixed => Self::Mixed,
        }
    }
}

impl From<CarrierName> for Carrier {
    fn from(name: CarrierName) -> Self {
        match name {
            CarrierName::Path => Self::Path,
            CarrierName::Bearer => Self::Bearer,
            CarrierName::Token => Self::Token,
            CarrierName::Basic => Self::Basic,
            CarrierName::XApiKey => Self::ApiKey,
        }
    }
}

impl From<ArrivalsName> for Pattern {
    fn from(name: ArrivalsName) -> Self {
        match name {
            ArrivalsName::Poisson => Self::Poisson,
            ArrivalsName::Even => Self::Even,
        }
    }
}

impl From<HttpName> for Protocol {
    fn from(name: HttpName) -> Self {
        match name {
            HttpName::Http1 => Self::Http1,
            HttpName::Http2 => Self::Http2,
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.strip_suffix("/s").unwrap_or(text).trim().parse().ok();
    rate.filter(|rate| (0.001..=10_000_000.0).contains(rate)).ok_or_else(|| {
        "expected requests a second between 0.001 and 10000000, such as 500 or 500/s".to_owned()
    })
}

fn error_rate(text: &str) -> Result<f64, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let rate = match text.strip_suffix('%') {
        Some(percent) => number(percent).map(|percent| percent / 100.0),
        None => number(text),
    };
    rate.filter(|rate| (0.0..=1.0).contains(rate)).ok_or_else(|| {
        "expected a part of the requests between 0 and 1, or 0% and 100%, such as 0.1%".to_owned()
    })
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.trim().parse().ok();
    ratio
        .filter(|ratio| (0.0..=1_000.0).contains(ratio))
        .ok_or_else(|| "expected a number between 0 and 1000".to_owned())
}
