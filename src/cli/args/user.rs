//! `channelgate user …` as people type it.

use clap::Subcommand;

use super::{Output, email, user_name};

/// `channelgate user …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UserCommand {
    /// Let a person sign in: by a password, or by the organization's OpenID provider alone
    ///
    /// The password is asked for twice on a terminal, and read from standard input elsewhere. What a user may follows from their seats, which
    /// have the same name.
    #[command(after_help = "Examples:\n  \
                      channelgate seat assign acme alice && channelgate user create alice --email alice@example.org\n  \
                      channelgate user create alice < password-file\n  \
                      channelgate user create bob@example.org --no-password")]
    Create {
        /// The user: the name of their seats
        #[arg(value_parser = user_name)]
        name: String,
        /// Where they can be reached
        #[arg(long, value_parser = email)]
        email: Option<String>,
        /// They sign in by the OpenID provider only
        #[arg(long)]
        no_password: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Give a user a password in place of the one they had; all their browsers are signed out
    #[command(after_help = "Example:\n  channelgate user set-password alice")]
    SetPassword {
        /// The user
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Keep a user from signing in: their browsers are signed out and their API keys stop working at once
    ///
    /// Their seats stay, and so do tokens that were issued for those: `channelgate seat remove` ends them.
    #[command(after_help = "Example:\n  channelgate user disable alice --yes")]
    Disable {
        /// The user
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Let a disabled user sign in again; what was ended stays so
    Enable {
        /// The user
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Forget who a user is at OpenID providers; who next signs in there with the user's name becomes it
    #[command(after_help = "Example:\n  channelgate user unbind alice")]
    Unbind {
        /// The user
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// List the users
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Show a user with their seats and who they are at OpenID providers
    Show {
        /// The user
        name: String,
        #[command(flatten)]
        output: Output,
    },
}
