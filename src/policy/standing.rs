//! A token with what its organization's groups make of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::account::Permission;
use crate::token::TokenRecord;

/// All that is known of a token, read in one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The token itself.
    pub token: TokenRecord,
    /// What groups give it and keep from it.
    pub rights: Rights,
}

/// The channels that a token's organization restricted to groups, and what the token's own groups are granted of them.
///
/// A site token belongs to no group, an individual token has its user's groups, a scoped token those of the user or the group it acts as.
/// Whoever reads a token from the store reads this with it. Clones share what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights(Option<Arc<BTreeMap<String, Option<Granted>>>>);

/// Why a restricted channel may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The group that was granted it; the one of the strongest permission if there are several, the first by name among equals.
    pub group: String,
    /// What it may do there.
    pub permission: Permission,
}

/// What [`Rights`] say of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right<'r> {
    /// Nobody restricted it.
    Unrestricted,
    /// It is restricted, and granted to a group of this token.
    Granted(&'r Granted),
    /// It is restricted, and granted to other groups or to none.
    Withheld,
}

impl Rights {
    /// The rights of a token whose organization restricts `channels`, each with the grants of the token's own groups.
    pub fn new(channels: impl IntoIterator<Item = (String, Vec<Granted>)>) -> Self {
        let strongest = |grants: Vec<Granted>| {
            // Of equals `max_by` takes the last: compare names the other way round.
            grants
                .into_iter()
                .max_by(|a, b| a.permission.cmp(&b.permission).then_with(|| b.group.cmp(&a.group)))
        };
        let channels: BTreeMap<_, _> =
            channels.into_iter().map(|(channel, grants)| (channel, strongest(grants))).collect();
        Self((!channels.is_empty()).then(|| Arc::new(channels)))
    }

    /// True if nothing is restricted.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What they say of `channel`.
    pub fn of(&self, channel: &str) -> Right<'_> {
        match self.0.as_ref().and_then(|channels| channels.get(channel)) {
            None => Right::Unrestricted,
            Some(Some(granted)) => Right::Granted(granted),
            Some(None) => Right::Withheld,
        }
    }
}

/// How to speak of a token to its holder.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.token.fmt(f)
    }
}

/// A token that no group concerns.
impl From<TokenRecord> for Standing {
    fn from(token: TokenRecord) -> Self {
        Self { token, rights: Rights::default() }
    }
}
