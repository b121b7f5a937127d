//! A token with what its organization's groups make of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::packages::Packages;
use crate::account::Permission;
use crate::conda::DEFAULT_LABEL;
use crate::token::TokenRecord;

/// All that is known of a token, read in one moment.
///
/// Its fields stand in memory as they stand here, and so do the record's: what each request asks for is beside the reference count in front of
/// it, for half of all tokens in one cache line with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Standing {
    /// What groups give it and keep from it.
    pub rights: Rights,
    /// The token itself.
    pub token: TokenRecord,
}

/// The channels that a token's organization restricted to groups, and what the token's own groups are granted of them.
///
/// A site token belongs to no group, an individual token has its user's groups, a scoped token those of the user or the group it acts as.
/// Whoever reads a token from the store reads this with it. Clones share what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights(Option<Arc<BTreeMap<String, Grants>>>);

/// What one of a token's groups is granted of a restricted channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The group.
    pub group: String,
    /// What it may do there.
    pub permission: Permission,
    /// With which packages: globs of names, in order; none for all.
    pub packages: Vec<String>,
    /// Under which labels, in order; none for all.
    pub labels: Vec<String>,
}

/// What all of a token's groups are granted of one restricted channel: together they give what any of them gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The strongest permission first, then by the group's name. Of grants of the same packages and labels only the first is kept, and beside
    /// a grant of everything only stronger ones.
    all: Vec<Granted>,
    /// What is granted under labels that no grant names; `None` if nothing is.
    elsewhere: Option<Packages>,
    /// What is granted under the labels that a grant names.
    labels: BTreeMap<String, Packages>,
}

/// What [`Rights`] say of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right<'r> {
    /// Nobody restricted it.
    Unrestricted,
    /// It is restricted, and granted to groups of this token.
    Granted(&'r Grants),
    /// It is restricted, and granted to other groups or to none.
    Withheld,
}

impl Rights {
    /// The rights of a token whose organization restricts `channels`, each with the grants of the token's own groups.
    pub fn new(channels: impl IntoIterator<Item = (String, Vec<Granted>)>) -> Self {
        let channels: BTreeMap<_, _> =
            channels.into_iter().map(|(channel, grants)| (channel, Grants::new(grants))).collect();
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
            Some(grants) if grants.all.is_empty() => Right::Withheld,
            Some(grants) => Right::Granted(grants),
        }
    }
}

impl Grants {
    fn new(mut all: Vec<Granted>) -> Self {
        all.sort_by(|a, b| b.permission.cmp(&a.permission).then_with(|| a.group.cmp(&b.group)));
        let mut present = std::collections::BTreeSet::new();
        all.retain(|grant| present.insert((grant.packages.clone(), grant.labels.clone())));
        if let Some(of_all) = all.iter().position(Granted::is_of_all) {
            all.truncate(of_all + 1);
        }
        let packages = |label: Option<&str>| {
            let mut grants = all.iter().filter(|grant| grant.covers(label)).peekable();
            grants.peek()?;
            if grants.clone().any(|grant| grant.packages.is_empty()) {
                return Some(Packages::ALL);
            }
            Some(Packages::of(grants.flat_map(|grant| grant.packages.iter().cloned())))
        };
        let named = all.iter().flat_map(|grant| &grant.labels);
        let labels = named.filter_map(|label| Some((label.clone(), packages(Some(label))?))).collect();
        Self { elsewhere: packages(None), labels, all }
    }

    /// Each grant, the strongest permission first, then by the group's name.
    pub fn iter(&self) -> impl Iterator<Item = &Granted> {
        self.all.iter()
    }

    /// The strongest grant.
    pub fn strongest(&self) -> Option<&Granted> {
        self.all.first()
    }

    /// The strongest grant that covers `label`; no label is the channel's `main`.
    pub fn strongest_at(&self, label: Option<&str>) -> Option<&Granted> {
        let label = label.unwrap_or(DEFAULT_LABEL);
        self.all.iter().find(|grant| grant.covers(Some(label)))
    }

    /// What they give under `label`; no label is the channel's `main`. `None` if none of them covers it.
    pub fn packages(&self, label: Option<&str>) -> Option<&Packages> {
        self.labels.get(label.unwrap_or(DEFAULT_LABEL)).or(self.elsewhere.as_ref())
    }
}

impl Granted {
    fn is_of_all(&self) -> bool {
        self.packages.is_empty() && self.labels.is_empty()
    }

    /// Whether it is for a label; `None` is one that no grant names.
    fn covers(&self, label: Option<&str>) -> bool {
        self.labels.is_empty() || label.is_some_and(|label| self.labels.iter().any(|named| named == label))
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
