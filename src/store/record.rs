//! What goes into a store and comes out of it, besides [`TokenRecord`] and [`Organization`](crate::account::Organization).

use crate::clock::Timestamp;
use crate::token::{Scopes, TokenDigest, TokenKind, TokenRecord};

/// A token to be kept.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The name of its organization.
    pub organization: String,
    /// What it is for.
    pub purpose: Purpose,
    /// What it may be used for.
    pub scopes: Scopes,
    /// The channels it is confined to; `None` for all that its organization may read.
    pub channels: Option<Vec<String>>,
    /// From when on it no longer serves; `None` for never.
    pub expires_at: Option<Timestamp>,
}

/// What a new token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Everybody of the organization; it takes the place of the previous one.
    Site,
    /// Whatever its name says.
    Scoped {
        /// Unique among the organization's living tokens.
        name: String,
    },
}

impl Purpose {
    /// The kind of token that serves it.
    pub fn kind(&self) -> TokenKind {
        match self {
            Self::Site => TokenKind::Site,
            Self::Scoped { .. } => TokenKind::Scoped,
        }
    }

    /// The name of such a token.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Site => None,
            Self::Scoped { name } => Some(name),
        }
    }
}

/// A token just kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// It.
    pub record: TokenRecord,
    /// The living token whose place it takes, with its end.
    pub replaced: Option<TokenRecord>,
}

/// A token that was told to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The token as it is now.
    pub record: TokenRecord,
    /// True if it was dead before, by an end or by its expiry; nothing was changed then.
    pub was_dead: bool,
}

/// What the store knew of one digest at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The token, if there is one.
    pub record: Option<TokenRecord>,
    /// How much of the change feed this reading knows: every change up to here, none after it.
    pub position: FeedPosition,
}

/// A place in the change feed: the number of the last change before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedPosition(pub(in crate::store) i64);

impl FeedPosition {
    /// Before the first change.
    pub const START: Self = Self(0);

    /// How many changes came before it since the store was made.
    pub const fn as_number(self) -> i64 {
        self.0
    }

    /// The position that [`FeedPosition::as_number`] gave.
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }
}

/// Something that can alter the verdict on a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The position right behind it.
    pub position: FeedPosition,
    /// When it was made, by the clock of whoever made it.
    pub at: Timestamp,
    /// The token concerned.
    pub digest: TokenDigest,
}

/// What the feed says to a reader who knows it up to some position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// All changes from there to `position`, oldest first.
    Read {
        /// What changed.
        changes: Vec<Change>,
        /// How much the reader knows now.
        position: FeedPosition,
        /// True if there are more to read from `position`.
        more: bool,
    },
    /// The changes from there on are no longer kept, or the store is an older one restored: whoever remembers verdicts must forget all
    /// of them and go on from `position`.
    Lost {
        /// The feed's present end.
        position: FeedPosition,
    },
}
