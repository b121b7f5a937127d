//! What the configuration says of a channel, and how the channel of a path is found.

use std::sync::Arc;

use hashbrown::HashMap;

use super::decision::Asked;
use super::rule::Rule;
use crate::conda::{ChannelName, Location, RequestTarget};

/// A configured channel, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Who may read it.
    pub access: Access,
    /// What holds for some of its packages, whoever asks: the first rule that holds decides.
    pub rules: Arc<[Rule]>,
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
    /// Longer prefixes of a path are not even looked up: hashing them would cost more than the rest of a decision.
    longest_name_bytes: usize,
}

impl Channels {
    /// The channels in `channels`; of two with one name the later counts (the configuration refuses such twins).
    pub fn new(channels: impl IntoIterator<Item = Channel>) -> Self {
        let by_name: HashMap<_, _> =
            channels.into_iter().map(|channel| (channel.name.clone(), Arc::new(channel))).collect();
        let longest_name_bytes = by_name.keys().map(|name| name.as_str().len()).max().unwrap_or(0);
        Self { by_name, longest_name_bytes }
    }

    /// The channel that a path leads to, and what the path names in it.
    pub fn locate<'t>(&'t self, target: &'t RequestTarget<'_>) -> Asked<'t> {
        match self.prefixes_of(target).next() {
            Some((channel, tail)) => {
                Asked { channels: self, channel: Some(channel), location: Location::parse(tail), target }
            }
            None => Asked {
                channels: self,
                channel: None,
                location: Location::parse(target.tail_by_grammar()),
                target,
            },
        }
    }

    /// The channels whose names are prefixes of a path, longest first, each with what follows its name.
    pub(super) fn prefixes_of<'t>(
        &'t self,
        target: &'t RequestTarget<'_>,
    ) -> impl Iterator<Item = (&'t Arc<Channel>, &'t str)> {
        let prefixes = target.prefixes().filter(|(name, _)| name.len() <= self.longest_name_bytes);
        prefixes.filter_map(|(name, tail)| Some((self.by_name.get(name)?, tail)))
    }

    /// The channels, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.by_name.values().map(|channel| &**channel)
    }
}
