//! Groups: users of an organization, and what they are granted.

use std::str::FromStr;

use uuid::Uuid;

use crate::clock::Timestamp;

/// Some users of an organization, granted channels together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: Uuid,
    /// Its name, unique in its organization.
    pub name: String,
    /// Its users, by name.
    pub members: Vec<String>,
    /// What they are granted, by channel.
    pub grants: Vec<Grant>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A channel granted to a group. A grant only narrows: once a channel is granted to a group of an organization, it stays restricted to that
/// organization's granted groups, also after the last grant is taken away, until somebody lifts the restriction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The channel's name.
    pub channel: String,
    /// What the group may do there.
    pub permission: Permission,
}

/// What a group may do in a channel; each includes the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Download.
    #[default]
    Read,
    /// Upload.
    Write,
    /// Manage.
    Admin,
}

/// A word that is no permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a permission; the permissions are read, write, admin")]
pub struct UnknownPermission(String);

impl Permission {
    /// The word that people and the store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(word: &str) -> Result<Self, UnknownPermission> {
        let all = [Self::Read, Self::Write, Self::Admin];
        all.into_iter()
            .find(|permission| permission.as_str() == word)
            .ok_or_else(|| UnknownPermission(word.to_owned()))
    }
}
