//! What can go wrong with a store, grouped by what the asker can do about it.

use std::error::Error;
use std::fmt;

use uuid::Uuid;

use crate::account::{EmailError, EndsInThePast, GrantError, NameError, SubscriptionOver};
use crate::token::{TokenId, TokenNameError};

/// A store's refusal or failure. The messages name the store and the way out; the source says what the system reported.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer in time, or the system under it fails. A change may or may not have been made.
    #[error("the store {store} does not answer; {advice}")]
    Unavailable {
        /// The database file, or the server and the database on it.
        store: Box<str>,
        /// What to do.
        advice: &'static str,
        /// What the system reported.
        source: Box<dyn Error + Send + Sync>,
    },
    /// What it holds cannot be read.
    #[error(
        "the store {store} is damaged; restore it from a backup, or move it away to begin with an empty one"
    )]
    Corrupt {
        /// The database file, or the server and the database on it.
        store: Box<str>,
        /// What was found.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Something like it is there already.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// What the change was about is not there.
    #[error(transparent)]
    NotFound(#[from] Sought),
    /// A name that nothing can have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An address that nobody can have.
    #[error(transparent)]
    Email(#[from] EmailError),
    /// A grant that cannot be.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A name that no token can have.
    #[error(transparent)]
    TokenName(#[from] TokenNameError),
    /// A name that holds a token's value, and would be kept and shown.
    #[error("{0} cannot hold the value of a token: it is kept, and shown to others. Choose another one")]
    Revealing(&'static str),
    /// The organization cannot hand out a token.
    #[error("organization \"{organization}\" cannot have such a token: {source}")]
    Subscription {
        /// The organization's name.
        organization: String,
        /// Why.
        source: SubscriptionOver,
    },
    /// A subscription that cannot be had.
    #[error(transparent)]
    Renewal(#[from] EndsInThePast),
    /// What the change would overwrite is not what was expected.
    #[error("it is no longer what it was when you read it; read it again and decide anew")]
    Outdated,
    /// A request with this key was carried out already.
    #[error("a request with this key was carried out already")]
    Repeated {
        /// The id of what it made.
        made: Uuid,
    },
    /// A request with this key was carried out already, and it was another one.
    #[error("another request had this key before; choose a new key for each request")]
    KeyReused,
    /// A URL of a store that means nothing.
    #[error("{url} {problem}")]
    Url {
        /// What it is called, and the URL itself where it has no password.
        url: Box<str>,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A place or a database that this program cannot work with, whatever is retried.
    #[error("the store {store} {problem}")]
    Unsupported {
        /// The database file, or the server and the database on it.
        store: Box<str>,
        /// Why, and what to do.
        problem: Box<str>,
    },
}

/// What a [`StoreError`] means to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Trying again later may help.
    Unavailable,
    /// Only a repair helps.
    Corrupt,
    /// Something like it is there already.
    Conflict,
    /// It is not there.
    NotFound,
    /// It is not what was expected.
    Outdated,
    /// The request was made before.
    Repeated,
    /// The request or the configuration is wrong.
    Invalid,
    /// The place or the database is one that this program cannot work with.
    Unsupported,
}

/// What stands in the way of something new.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The name is taken.
    #[error("there is an organization \"{0}\" already; choose another name")]
    Organization(String),
    /// A living token has the name.
    #[error(
        "organization \"{organization}\" has a living token \"{name}\" already; revoke it first or choose another name"
    )]
    TokenName {
        /// The organization's name.
        organization: String,
        /// The token's name.
        name: String,
    },
    /// A token with this value is known, whether living or dead.
    #[error(
        "a token with this value is known already; a token's value is used once, even if the token is dead"
    )]
    TokenValue,
    /// The organization restricts as many channels as it can.
    #[error(
        "organization \"{organization}\" restricts {max} channels to groups, which is the most it can; lift the restriction of one that needs none"
    )]
    Restrictions {
        /// The organization's name.
        organization: String,
        /// How many.
        max: u32,
    },
    /// No more directories' artifacts can be recorded.
    #[error(
        "the artifacts of {max} directories are recorded already, which is the most there can be; take the quarantine off channels that need none"
    )]
    SeenDirectories {
        /// How many.
        max: u32,
    },
    /// The group's name is taken.
    #[error("organization \"{organization}\" has a group \"{name}\" already; choose another name")]
    Group {
        /// The organization's name.
        organization: String,
        /// The group's name.
        name: String,
    },
    /// The user's name is taken.
    #[error("there is a user \"{0}\" already; `channelgate user show {0}` shows them")]
    User(String),
    /// The user can neither sign in nor be given anything.
    #[error("user \"{0}\" is disabled; `channelgate user enable {0}` lets them in again")]
    UserDisabled(String),
    /// The user is somebody else at the OpenID provider.
    #[error(
        "the OpenID provider knows user \"{0}\" as somebody else; if that is over, `channelgate user unbind {0}` forgets it"
    )]
    Identity(String),
    /// As many devices wait as can.
    #[error("too many devices wait to be let in; try again in some minutes")]
    Devices,
    /// Another device has the code.
    #[error("another device has this code; choose another one")]
    DeviceCode,
}

/// What was looked for in vain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Sought {
    /// An organization of this name.
    #[error("there is no organization \"{0}\"; `channelgate org list` shows those there are")]
    Organization(String),
    /// A token of this id.
    #[error("there is no token with the id {0}; `channelgate token list` shows those there are")]
    Token(TokenId),
    /// A user's seat in an organization.
    #[error(
        "user \"{user}\" has no seat in organization \"{organization}\"; `channelgate seat assign {organization} {user}` gives them one"
    )]
    Seat {
        /// The organization's name.
        organization: String,
        /// The user.
        user: String,
    },
    /// A user of this name.
    #[error("there is no user \"{0}\"; `channelgate user list` shows those there are")]
    User(String),
    /// A seat of the user in any organization.
    #[error("user \"{0}\" has no seat in any organization; `channelgate seat assign ORG {0}` gives them one")]
    AnySeat(String),
    /// A device that waits with the code.
    #[error(
        "no device waits with this code: it was used, it has expired, or it was mistyped; begin again on the device"
    )]
    Device,
    /// A group of an organization.
    #[error(
        "organization \"{organization}\" has no group \"{name}\"; `channelgate group list {organization}` shows those it has"
    )]
    Group {
        /// The organization's name.
        organization: String,
        /// The group's name.
        name: String,
    },
    /// A user in a group.
    #[error("user \"{user}\" is not in group \"{group}\"")]
    Member {
        /// The group's name.
        group: String,
        /// The user.
        user: String,
    },
    /// A group's grant.
    #[error("group \"{group}\" was not granted channel \"{channel}\"")]
    Grant {
        /// The group's name.
        group: String,
        /// The channel's name.
        channel: String,
    },
    /// A restriction of a channel to groups.
    #[error("organization \"{organization}\" has not restricted channel \"{channel}\" to groups")]
    Restriction {
        /// The organization's name.
        organization: String,
        /// The channel's name.
        channel: String,
    },
}

impl StoreError {
    /// What the failure means to whoever asked.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Conflict(_) | Self::Subscription { .. } => ErrorKind::Conflict,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Outdated => ErrorKind::Outdated,
            Self::Repeated { .. } | Self::KeyReused => ErrorKind::Repeated,
            Self::Name(_)
            | Self::Email(_)
            | Self::Grant(_)
            | Self::TokenName(_)
            | Self::Revealing(_)
            | Self::Renewal(_)
            | Self::Url { .. } => ErrorKind::Invalid,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
        }
    }

    /// The store of this name does not answer, because of `source`.
    pub(super) fn unavailable(
        store: impl fmt::Display,
        advice: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { store: store.to_string().into(), advice, source: source.into() }
    }

    /// The store of this name cannot be read, because of `source`.
    pub(super) fn corrupt(store: impl fmt::Display, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt { store: store.to_string().into(), source: source.into() }
    }

    /// The store of this name is none for this program.
    pub(super) fn unsupported(store: impl fmt::Display, problem: impl Into<Box<str>>) -> Self {
        Self::Unsupported { store: store.to_string().into(), problem: problem.into() }
    }
}
