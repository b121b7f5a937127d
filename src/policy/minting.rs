//! Which tokens a token may make: those that can do nothing that it cannot do itself.
//!
//! The right to be served for longer is none: when a token ends is not looked at, so that a token can make its own successor. The rule is
//! transitive (a test holds it): what a made token makes, its maker could have made.

use super::person::person_scopes;
use crate::token::{Scope, Scopes, TokenRecord};

/// A token that somebody wants, as far as it has rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mint<'m> {
    /// What it may be used for.
    pub scopes: Scopes,
    /// The channels it is confined to; `None` for all that its organization may read.
    pub channels: Option<&'m [String]>,
    /// Whose groups it has.
    pub holder: Holder<'m>,
}

/// Whoever makes a token, as far as they have rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minter<'m> {
    scopes: Scopes,
    channels: Option<&'m [String]>,
    user: Option<&'m str>,
    group: Option<&'m str>,
}

impl<'m> Minter<'m> {
    /// A user who signed in, without any token.
    pub fn person(user: &'m str) -> Self {
        Self { scopes: person_scopes(), channels: None, user: Some(user), group: None }
    }
}

impl<'m> From<&'m TokenRecord> for Minter<'m> {
    fn from(token: &'m TokenRecord) -> Self {
        Self {
            scopes: token.scopes,
            channels: token.channels.as_deref(),
            user: token.user.as_deref(),
            group: token.group.as_deref(),
        }
    }
}

/// Whose groups a token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder<'m> {
    /// Nobody's.
    Nobody,
    /// This user's.
    User(&'m str),
    /// It is this group.
    Group(&'m str),
}

impl<'m> Mint<'m> {
    /// A site token: all repositories, all channels, no group.
    pub fn site() -> Self {
        Self { scopes: Scopes::of(&[Scope::Repos]), channels: None, holder: Holder::Nobody }
    }

    /// A user's individual token: the same with the user's groups.
    pub fn individual(user: &'m str) -> Self {
        Self { holder: Holder::User(user), ..Self::site() }
    }
}

/// What a token wanted to give away without having it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overreach {
    /// Scopes.
    #[error("its scopes do not cover \"{0}\"")]
    Scopes(Scopes),
    /// A channel; all of them if it is none in particular.
    #[error("it is confined to other channels than {}", .0.as_ref().map_or_else(|| "all of them".to_owned(), |name| format!("\"{name}\"")))]
    Channel(Option<String>),
    /// A group's rights.
    #[error("it neither acts as {0} nor may change groups (api:modify-group)")]
    Groups(String),
}

/// Checks that `minter` may make the token that is wanted.
///
/// # Errors
///
/// What it lacks.
pub fn check_mint<'m>(minter: impl Into<Minter<'m>>, wanted: &Mint<'_>) -> Result<(), Overreach> {
    let minter: Minter<'m> = minter.into();
    let lacking: Vec<_> = wanted.scopes.iter().filter(|&scope| !minter.scopes.cover(scope)).collect();
    if !lacking.is_empty() {
        return Err(Overreach::Scopes(Scopes::of(&lacking)));
    }
    match (minter.channels, wanted.channels) {
        (None, _) => {}
        (Some(_), None) => return Err(Overreach::Channel(None)),
        (Some(own), Some(channels)) => {
            if let Some(other) = channels.iter().find(|name| !own.contains(name)) {
                return Err(Overreach::Channel(Some(other.clone())));
            }
        }
    }
    // Whoever may change groups could put anybody into any group first.
    let may_change_groups = minter.scopes.cover(Scope::ApiModifyGroup);
    let (is_own, whose) = match wanted.holder {
        Holder::Nobody => return Ok(()),
        Holder::User(user) => (minter.user == Some(user), format!("user \"{user}\"")),
        Holder::Group(group) => (minter.group == Some(group), format!("group \"{group}\"")),
    };
    if is_own || may_change_groups { Ok(()) } else { Err(Overreach::Groups(whose)) }
}
