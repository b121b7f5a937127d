//! Who is a person: somebody who may act for themselves through their tools.
//!
//! A person is a user with a seat who is not disabled. Their tools prove to be theirs by an API key, or by a token that can do all that a
//! person's own token can: it acts as the user, reads all repositories, and is confined to no channels. A narrower token was given to
//! something that should do less, and does not become more here.
//!
//! What a person may make is what their organization would give them (an individual token and its like), and of what the shown token itself
//! has beyond that, the same: [`check_mint`](super::check_mint) decides, by [`Person::minter`].

use std::sync::Arc;

use super::decision::{Caller, DenyReason, serving};
use super::minting::Minter;
use super::standing::Standing;
use crate::account::User;
use crate::clock::Timestamp;
use crate::token::{Scope, Scopes, TokenRecord};

/// The right to act as a user in an organization. Only [`decide_person`] makes one.
#[derive(Clone, Debug)]
pub struct Person {
    standing: Arc<Standing>,
    user: String,
}

/// Why somebody is no person.
#[derive(Clone, Debug)]
pub enum PersonDenial {
    /// No token, or one that does not serve.
    Token(DenyReason),
    /// The token is a user's, but does less than the user may: they have to sign in.
    ScopeMissing(Arc<Standing>),
    /// The token is nobody's in particular: a site's, a group's, a machine's.
    Nobodys(Arc<Standing>),
    /// The user is disabled.
    UserDisabled(String),
}

impl Caller {
    /// The user that the token shown belongs to or acts as: whom [`decide_person`] must be told of.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Known(standing) => standing.token.user.as_deref(),
            Self::Anonymous { .. } | Self::Unknown => None,
        }
    }
}

/// Decides whether `caller` is a person at `now`. `user` is what the store knows of the [user of the token](Caller::user); one who only has
/// a seat it does not know, and is one all the same.
///
/// # Errors
///
/// Why not.
pub fn decide_person(caller: &Caller, user: Option<&User>, now: Timestamp) -> Result<Person, PersonDenial> {
    let standing = match caller {
        Caller::Anonymous { masked } => {
            return Err(PersonDenial::Token(DenyReason::TokenMissing { masked: *masked }));
        }
        Caller::Unknown => return Err(PersonDenial::Token(DenyReason::TokenUnknown)),
        Caller::Known(standing) => serving(standing, now).map_err(PersonDenial::Token)?,
    };
    let token = &standing.token;
    let Some(name) = token.user.as_deref().map(str::to_owned) else {
        return Err(PersonDenial::Nobodys(Arc::clone(standing)));
    };
    if user.is_some_and(|user| user.is_disabled() && user.name == name) {
        return Err(PersonDenial::UserDisabled(name));
    }
    let does_all = token.api_key || (token.scopes.cover(Scope::Repos) && token.channels.is_none());
    if does_all {
        Ok(Person { standing: Arc::clone(standing), user: name })
    } else {
        Err(PersonDenial::ScopeMissing(Arc::clone(standing)))
    }
}

impl Person {
    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The name of the organization that the token is of.
    pub fn organization(&self) -> &str {
        &self.standing.token.organization
    }

    /// The token that was shown.
    pub fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    /// What they may make tokens of in the organization of the shown token.
    pub fn minter(&self) -> Minter<'_> {
        let token: &TokenRecord = &self.standing.token;
        // An API key says who shows it, not what they may.
        if token.api_key { Minter::person(&self.user) } else { Minter::from(token) }
    }

    /// What they may make tokens of in another organization in which they have a seat: there, only they themselves count.
    pub fn minter_elsewhere(&self) -> Minter<'_> {
        Minter::person(&self.user)
    }

    /// The scopes of a token that is asked for without any.
    pub fn own_scopes(&self) -> Scopes {
        person_scopes()
    }
}

/// What a person has by being one: all repositories. Nobody gets a right to the admin API by being a person, whatever their role.
pub(super) fn person_scopes() -> Scopes {
    Scopes::of(&[Scope::Repos])
}
