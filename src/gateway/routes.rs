//! The configured channels with their upstreams.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::conda::ChannelName;
use crate::policy::{Channel, Channels};
use crate::upstream::Upstreams;

/// Which channels there are, and where each comes from.
#[derive(Clone, Default)]
pub struct Routes {
    channels: Channels,
    upstreams: HashMap<ChannelName, Arc<Upstreams>>,
}

impl Routes {
    /// The routes to these channels.
    pub fn new(channels: impl IntoIterator<Item = (Channel, Arc<Upstreams>)>) -> Self {
        let (channels, upstreams): (Vec<_>, HashMap<_, _>) = channels
            .into_iter()
            .map(|(channel, upstreams)| (channel.clone(), (channel.name, upstreams)))
            .unzip();
        Self { channels: Channels::new(channels), upstreams }
    }

    /// The channels, for decisions.
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Where the files of a channel come from.
    pub fn upstreams(&self, channel: &ChannelName) -> Option<&Arc<Upstreams>> {
        self.upstreams.get(channel)
    }
}
