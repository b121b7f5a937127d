//! `channelgate audit …` as people type it.

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Output;
use crate::clock::{Timestamp, parse_duration};
use crate::store::AuditHash;

/// `channelgate audit …`
#[derive(Debug, Args)]
pub(in crate::cli) struct AuditArguments {
    #[command(subcommand)]
    pub(in crate::cli) command: Option<AuditCommand>,
    /// Only what concerns this organization
    #[arg(long)]
    pub(in crate::cli) org: Option<String>,
    /// Only from this moment on: 2027-01-31, RFC 3339, or how long ago, as in 24h
    #[arg(long, value_name = "T")]
    pub(in crate::cli) since: Option<Since>,
    #[command(flatten)]
    pub(in crate::cli) output: Output,
}

/// What else the audit can be asked.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    /// Check that no record was altered, removed or inserted: exit 0 if so, 1 with the number of the first bad record if not
    ///
    /// Whoever cuts the latest records off leaves a whole chain behind. With a head that was noted before, from this command or from the
    /// gate's log, that is found, too.
    #[command(after_help = "Examples:\n  \
                      channelgate audit verify\n  \
                      channelgate audit verify --head \"$NOTED\"")]
    Verify {
        /// A head noted before, which must be in the chain: 64 hexadecimal digits
        #[arg(long, value_name = "HASH")]
        head: Option<AuditHash>,
        #[command(flatten)]
        output: Output,
    },
}

/// A moment, by itself or by how long ago it was.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) enum Since {
    /// Then.
    At(Timestamp),
    /// So long ago.
    Ago(Duration),
}

impl Since {
    /// The moment, seen from `now`.
    pub(in crate::cli) fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(duration) => now.minus(duration),
        }
    }
}

/// What is no moment.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "\"{0}\" is neither a date (2027-01-31), nor an RFC 3339 time (2027-01-31T12:00:00Z), nor how long ago (24h, 30d)"
)]
pub(in crate::cli) struct SinceError(String);

impl FromStr for Since {
    type Err = SinceError;

    fn from_str(text: &str) -> Result<Self, SinceError> {
        let at = text.parse().map(Self::At).ok();
        let ago = || parse_duration(text).map(Self::Ago).ok();
        at.or_else(ago).ok_or_else(|| SinceError(text.to_owned()))
    }
}
