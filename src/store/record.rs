//! What goes into a store and comes out of it, besides [`TokenRecord`] and the records of [`crate::account`].

use std::net::IpAddr;

use uuid::Uuid;

use crate::account::{Organization, Seat};
use crate::auth::Carrier;
use crate::clock::Timestamp;
use crate::policy::Standing;
use crate::token::{Scope, Scopes, TokenDigest, TokenId, TokenKind, TokenRecord};

/// Who makes a change; the audit keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `cli:root@host`, `token:<id>`, `user:<name>`, `gate`.
    pub name: String,
    /// From where, if it came over the network.
    pub from: Option<IpAddr>,
}

impl Actor {
    /// Somebody at this machine.
    pub fn local(name: impl Into<String>) -> Self {
        Self { name: name.into(), from: None }
    }

    /// The gate itself.
    pub fn gate() -> Self {
        Self::local("gate")
    }

    /// A user who signed in, or whose tools did.
    pub fn user(name: &str, from: Option<IpAddr>) -> Self {
        Self { name: format!("user:{name}"), from }
    }
}

/// A token to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// The name of its organization.
    pub organization: String,
    /// What it is for.
    pub purpose: Purpose,
    /// What it may be used for.
    pub scopes: Scopes,
    /// The channels it is confined to; `None` for all that its organization may read.
    pub channels: Option<Vec<String>>,
    /// From when on a scoped token no longer serves; `None` for never. When a site or individual token ends follows from the subscription
    /// at the moment it is kept: it has `None` here.
    pub expires_at: Option<Timestamp>,
    /// True for a token that another system issued.
    pub imported: bool,
    /// The id of an API key, which acts as a user and whose value tells its id; `None` for any other token.
    pub api_key: Option<TokenId>,
    /// True for a scoped token that takes the place of a living one of its name, if that one acts as the same user: it ends at once.
    pub replaces_namesake: bool,
}

impl NewToken {
    /// The site token of an organization.
    pub fn site(organization: impl Into<String>) -> Self {
        Self::of(organization.into(), Purpose::Site)
    }

    /// The individual token of an organization's user.
    pub fn individual(organization: impl Into<String>, user: impl Into<String>) -> Self {
        Self::of(organization.into(), Purpose::Individual { user: user.into() })
    }

    /// With the scope `repos`, which is what site and individual tokens have.
    fn of(organization: String, purpose: Purpose) -> Self {
        let scopes = Scopes::of(&[Scope::Repos]);
        Self {
            organization,
            purpose,
            scopes,
            channels: None,
            expires_at: None,
            imported: false,
            api_key: None,
            replaces_namesake: false,
        }
    }
}

/// What a new token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Everybody of the organization; it takes the place of the previous one.
    Site,
    /// One user, who has a seat; it takes the place of their previous one.
    Individual {
        /// The user.
        user: String,
    },
    /// Whatever its name says.
    Scoped {
        /// Unique among the organization's living tokens.
        name: String,
        /// For whom it acts; for nobody else without, and it has no group then.
        acts_as: Option<ActsAs>,
    },
}

/// For whom a scoped token acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActsAs {
    /// A user, who has a seat: it has their groups, and ends with the seat.
    User(String),
    /// This group: it has what the group is granted.
    Group(String),
    /// Whoever runs the gate: it acts in every organization, and has no group.
    Operator,
}

impl Purpose {
    /// The kind of token that serves it.
    pub fn kind(&self) -> TokenKind {
        match self {
            Self::Site => TokenKind::Site,
            Self::Individual { .. } => TokenKind::Individual,
            Self::Scoped { .. } => TokenKind::Scoped,
        }
    }

    /// True if it acts for whoever runs the gate.
    pub fn is_operators(&self) -> bool {
        matches!(self, Self::Scoped { acts_as: Some(ActsAs::Operator), .. })
    }

    /// The name of such a token.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Site | Self::Individual { .. } => None,
            Self::Scoped { name, .. } => Some(name),
        }
    }

    /// The user it belongs to or acts as.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Individual { user } | Self::Scoped { acts_as: Some(ActsAs::User(user)), .. } => Some(user),
            Self::Site | Self::Scoped { .. } => None,
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

/// A subscription that was cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// The organization as it is now.
    pub organization: Organization,
    /// How many living tokens ended with it.
    pub tokens_ended: u64,
}

/// A seat that was taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedSeat {
    /// It.
    pub seat: Seat,
    /// The living tokens that ended with it: the user's individual one, and the scoped ones that acted as the user.
    pub ended: Vec<TokenRecord>,
    /// The groups that lost the user, by name.
    pub left: Vec<String>,
}

/// A channel that an organization restricted to groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// The channel's name.
    pub channel: String,
    /// The groups that were granted it, by name.
    pub groups: Vec<String>,
}

/// Which tokens to sync with the subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The site token.
    Site,
    /// This user's individual token.
    User(String),
    /// The site token and all individual tokens.
    All,
    /// The individual tokens of users whose names come behind this one.
    Behind(String),
}

/// Tokens that were synced by one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncedTokens {
    /// Those whose expiry moved.
    pub synced: Vec<Synced>,
    /// The rest, which was not looked at.
    pub next: Option<Which>,
}

/// A token whose expiry was set to what the subscription gives now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// It.
    pub record: TokenRecord,
    /// Its expiry before.
    pub before: Option<Timestamp>,
}

/// A token in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// It.
    pub record: TokenRecord,
    /// When it was last shown.
    pub last_use: LastUse,
}

/// When a token was last shown to the gate, as far as it was written down: a few seconds late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastUse {
    /// The latest request that it opened.
    pub used: Option<Used>,
    /// The requests that were refused although the token is known.
    pub refused: Option<Refused>,
}

/// What a change put in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// It, or what it is a part of, as it is then.
    pub present: T,
    /// True if there was nothing in its place.
    pub is_new: bool,
}

/// A request that a token opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// When.
    pub at: Timestamp,
    /// Where the token stood.
    pub carrier: Carrier,
    /// The client's address.
    pub address: IpAddr,
}

/// Requests with a known token that were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When the latest was.
    pub at: Timestamp,
    /// The code that it was refused with.
    pub code: String,
    /// How many there were.
    pub count: u64,
}

/// What is new about one token's use since the last batch: the counts are added to what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The token.
    pub token: TokenId,
    /// What is new.
    pub news: LastUse,
}

/// What the store knew of one digest at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The token, if there is one, with what groups make of it.
    pub standing: Option<Standing>,
    /// How much of the change feed this reading knows: every change up to here, none after it.
    pub position: FeedPosition,
    /// The last of these changes, if it was kept: which feed's position it is.
    pub last: Option<Change>,
    /// True if it is of a moment after the question was put. A replica's is not: it is as old as its position.
    pub current: bool,
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

/// Something that can alter the verdict on tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The position right behind it.
    pub position: FeedPosition,
    /// When it was made, by the clock of whoever made it.
    pub at: Timestamp,
    /// What it concerns.
    pub subject: Subject,
}

/// How far a reader has read the feed, and the change that it read last. By that it tells the feed from another one that has become as
/// long: of a backup that was restored, or of a standby that had not heard of the latest changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    position: FeedPosition,
    /// The change right before the position, if it is known and was kept.
    last: Option<Change>,
}

impl Place {
    /// Right behind a change.
    pub const fn behind(last: Change) -> Self {
        Self { position: last.position, last: Some(last) }
    }

    /// How much is read.
    pub const fn position(&self) -> FeedPosition {
        self.position
    }

    /// The change right before the position, if the reader knows it.
    pub const fn last(&self) -> Option<Change> {
        self.last
    }
}

/// A place of which nothing but the number is known.
impl From<FeedPosition> for Place {
    fn from(position: FeedPosition) -> Self {
        Self { position, last: None }
    }
}

/// What a change concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The token of this digest.
    Token(TokenDigest),
    /// Every token of the organization of this id.
    Organization(Uuid),
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
