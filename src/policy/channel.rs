//! What the configuration says of a channel, and how the channel of a path is found.

use std::collections::HashMap;
use std::sync::Arc;

use super::decision::Asked;
use crate::conda::{ChannelName, Location, RequestTarget};

/// A configured channel, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Who may read it.
    pub access: Access,
}

/// Who may read a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Tokens of these organizations; of any organization of this gate where the list is empty.
    Private {
        /// Names of organizations.
        organizations: Vec<String>,
    },
}

impl Channel {
    /// True if everybody may read it.
    pub fn is_public(&self) -> bool {
        self.access == Access::Public
    }

    /// True if tokens of `organization` may read it.
    pub fn admits(&self, organization: &str) -> bool {
        match &self.access {
            Access::Public => true,
            Access::Private { organizations } => {
                organizations.is_empty() || organizations.iter().any(|name| name == organization)
            }
        }
    }
}

/// All configured channels, found by the longest name that is a prefix of a path.
#[derive(Clone, Debug, Default)]
pub struct Channels {
    by_name: HashMap<ChannelName, Arc<Channel>>,
}

impl Channels {
    /// The channels in `channels`; of two with one name the later counts (the configuration refuses such twins).
    pub fn new(channels: impl IntoIterator<Item = Channel>) -> Self {
        Self {
            by_name: channels.into_iter().map(|channel| (channel.name.clone(), Arc::new(channel))).collect(),
        }
    }

    /// The channel that a path leads to, and what the path names in it.
    pub fn locate<'t>(&'t self, target: &'t RequestTarget<'_>) -> Asked<'t> {
        let by_grammar = target.rest().strip_prefix(target.asked_channel()).unwrap_or_default();
        let by_grammar = Location::parse(by_grammar.strip_prefix('/').unwrap_or(by_grammar));
        let found = target.prefixes().find_map(|(name, tail)| Some((self.by_name.get(name)?, tail)));
        Asked {
            channel: found.map(|(channel, _)| channel),
            location: found.map_or(by_grammar, |(_, tail)| Location::parse(tail)),
            is_for_notices: by_grammar.is_notices(),
        }
    }

    /// The channels, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.by_name.values().map(|channel| &**channel)
    }
}
