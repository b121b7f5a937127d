//! Seats: the users of an organization.

use std::str::FromStr;

use crate::clock::Timestamp;

/// A user's place in an organization. Only who has one can have an individual token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The user.
    pub user: String,
    /// What they may do for the organization.
    pub role: Role,
    /// Since when.
    pub assigned_at: Timestamp,
}

/// What a user may do for the organization where people act for themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// Have a token.
    #[default]
    Member,
    /// Issue site tokens, manage seats and groups.
    Admin,
}

/// A word that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a role; the roles are member, admin")]
pub struct UnknownRole(String);

impl Role {
    /// The word that people and the store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        let roles = [Self::Member, Self::Admin];
        roles.into_iter().find(|role| role.as_str() == word).ok_or_else(|| UnknownRole(word.to_owned()))
    }
}
