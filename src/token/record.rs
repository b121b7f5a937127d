//! What is known of a token: everything but its value.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::name::TokenName;
use super::scope::Scopes;
use crate::clock::Timestamp;

/// Names one token for ever; safe to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(pub Uuid);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who uses a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Everybody of an organization; at most one.
    Site,
    /// One user of an organization; at most one for each.
    Individual,
    /// Whatever it was made for; named.
    Scoped,
}

impl TokenKind {
    /// The word that people and the store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Individual => "individual",
            Self::Scoped => "scoped",
        }
    }
}

/// Why a token ended before it expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndCause {
    /// Somebody revoked it.
    Revoked,
    /// It was issued again.
    Replaced,
    /// The organization's subscription was cancelled.
    SubscriptionEnded,
    /// Its user lost the seat.
    SeatRemoved,
    /// Its user was disabled.
    UserDisabled,
}

impl EndCause {
    /// The word that people and the store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Replaced => "replaced",
            Self::SubscriptionEnded => "subscription_ended",
            Self::SeatRemoved => "seat_removed",
            Self::UserDisabled => "user_disabled",
        }
    }
}

/// Scoped tokens live for a year unless told otherwise.
const SCOPED_LIFE: Duration = Duration::from_secs(365 * 24 * 3_600);

/// When a scoped token made at `now` ends that is to end at a moment, or to live for a time.
///
/// # Errors
///
/// That has passed: such a token would never serve.
pub fn scoped_expiry(
    at: Option<Timestamp>,
    life: Option<Duration>,
    now: Timestamp,
) -> Result<Timestamp, DeadAtBirth> {
    let at = at.unwrap_or_else(|| now.plus(life.unwrap_or(SCOPED_LIFE)));
    if at > now { Ok(at) } else { Err(DeadAtBirth(at)) }
}

/// A token that would never serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token would expire at {0}, which has passed")]
pub struct DeadAtBirth(pub Timestamp);

/// A word that the store should not contain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a known word here")]
pub struct UnknownWord(pub String);

impl FromStr for TokenKind {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let kinds = [Self::Site, Self::Individual, Self::Scoped];
        kinds.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| UnknownWord(word.to_owned()))
    }
}

impl FromStr for EndCause {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let causes =
            [Self::Revoked, Self::Replaced, Self::SubscriptionEnded, Self::SeatRemoved, Self::UserDisabled];
        causes.into_iter().find(|cause| cause.as_str() == word).ok_or_else(|| UnknownWord(word.to_owned()))
    }
}

/// The end of a token, by somebody's act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub cause: EndCause,
    /// From when on it no longer serves; in the future while a reissue's grace lasts.
    pub at: Timestamp,
    /// What the person who did it wrote about it.
    pub reason: Option<String>,
}

/// A token as the store keeps it, without its digest.
///
/// A million of them are in memory, so it has only what is a token's own, and its warrant is shared by those that have the same. Whether it
/// is shared is a matter of memory and not of meaning: what the warrant says is read as if it were the record's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct TokenRecord {
    /// Whose it is and what it may do.
    pub warrant: Arc<Warrant>,
    /// From when on it no longer serves by itself; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// Its id.
    pub id: TokenId,
    /// When it was issued.
    pub created_at: Timestamp,
    /// The name it was given; scoped tokens have one.
    pub name: Option<TokenName>,
}

/// All that tokens can have in common: whose they are and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warrant {
    /// Who uses it.
    pub kind: TokenKind,
    /// The id of its organization.
    pub organization_id: Uuid,
    /// The name of its organization.
    pub organization: Arc<str>,
    /// The user it belongs to or acts as.
    pub user: Option<Box<str>>,
    /// The group it acts as, by name.
    pub group: Option<Box<str>>,
    /// How many times it was issued, this time included: for the organization, for its user, or under its name.
    pub generation: u32,
    /// What it may be used for.
    pub scopes: Scopes,
    /// The channels it is confined to; `None` for all that its organization may read.
    pub channels: Option<Box<[String]>>,
    /// True for an operator's, which acts in every organization.
    pub operator: bool,
    /// True for an API key: what a user's tools show to act as the user.
    pub api_key: bool,
    /// Its end by somebody's act.
    pub end: Option<Box<End>>,
}

impl Warrant {
    /// True if there may be many tokens of this warrant: it is not of one user, and still holds.
    pub fn is_common(&self) -> bool {
        self.user.is_none() && self.end.is_none()
    }
}

impl Deref for TokenRecord {
    type Target = Warrant;

    fn deref(&self) -> &Warrant {
        &self.warrant
    }
}

/// Whether a token serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState<'t> {
    /// It does.
    Live,
    /// Its time is over since then.
    Expired(Timestamp),
    /// Somebody ended it.
    Ended(&'t End),
}

impl TokenState<'_> {
    /// The word that people read. A replaced token in its grace still serves, so it is `active`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "active",
            Self::Expired(_) => "expired",
            Self::Ended(end) => end.cause.as_str(),
        }
    }
}

impl TokenRecord {
    /// Whether the token serves at `now`. Of two ends the earlier one counts; the first moment of an end is the end.
    ///
    /// Only a reissue ends a token later than it is decided. Any other end has come, even if by the clock that reads `now` it has not:
    /// that clock is behind the one of the machine on which it was decided, and a revocation does not wait for it.
    pub fn state(&self, now: Timestamp) -> TokenState<'_> {
        let ended = self.end.as_deref().filter(|end| end.at <= now || end.cause != EndCause::Replaced);
        let expired = self.expires_at.filter(|&at| at <= now);
        match (ended, expired) {
            (Some(end), Some(expiry)) if expiry < end.at => TokenState::Expired(expiry),
            (Some(end), _) => TokenState::Ended(end),
            (None, Some(expiry)) => TokenState::Expired(expiry),
            (None, None) => TokenState::Live,
        }
    }

    /// The token, after the subscription that it was issued under was cancelled at `at`: it ended then, unless it was dead already.
    #[must_use]
    pub fn cancelled(self, at: Timestamp) -> Self {
        let lived = self.state(at) == TokenState::Live;
        if lived { self.ended(End { cause: EndCause::SubscriptionEnded, at, reason: None }) } else { self }
    }

    /// The token with this end by somebody's act.
    #[must_use]
    pub fn ended(self, end: End) -> Self {
        self.with(|warrant| warrant.end = Some(Box::new(end)))
    }

    /// The token with what `change` makes of its warrant; other tokens' is left as it is.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Warrant)) -> Self {
        change(Arc::make_mut(&mut self.warrant));
        self
    }

    /// From when on it no longer serves, by whichever end comes first; `None` for never.
    pub fn ends_at(&self) -> Option<Timestamp> {
        let end = self.end.as_deref().map(|end| end.at);
        end.into_iter().chain(self.expires_at).min()
    }

    /// True if it is confined to channels and `channel` is not one of them.
    pub fn excludes_channel(&self, channel: &str) -> bool {
        self.channels.as_ref().is_some_and(|channels| !channels.iter().any(|name| name == channel))
    }
}

/// How to speak of a token to its holder: `token "ci" (id …) of organization "acme"`.
impl fmt::Display for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.user, self.kind) {
            (Some(name), ..) => write!(f, "token \"{name}\"")?,
            (None, Some(user), _) => write!(f, "token of user \"{user}\"")?,
            (None, None, TokenKind::Site) => f.write_str("site token")?,
            (None, None, _) => f.write_str("token")?,
        }
        write!(f, " (id {}) of organization \"{}\"", self.id, self.organization)
    }
}
