//! A configuration's cache and channels without planes and store: what commands work with, beside a running gate or without one.
//!
//! What comes into the cache through here passes the same checks as what a client's request brings: the same cache, the same inspections,
//! the same digests. Several processes may use one directory at once; each finds what the others add and notices what they remove.

use std::sync::Arc;

use super::parts;
use crate::cache::{CacheError, Digests, Disk, Facts, Inspect, Key, Supply};
use crate::clock::Clock;
use crate::conda::{ChannelName, UpstreamPath};
use crate::config::Config;
use crate::index::{self, Indexes};
use crate::metrics::Metrics;
use crate::upstream::{self, Method, Upstreams};

/// The cache and the channels of a configuration.
pub struct Shelf {
    channels: Vec<Shelved>,
    indexes: Indexes,
    limits: index::Limits,
    clock: Clock,
}

/// A channel, and where its files come from.
#[derive(Clone)]
pub struct Shelved {
    /// Its name.
    pub name: ChannelName,
    /// Its upstreams.
    pub upstreams: Arc<Upstreams>,
}

impl Shelf {
    /// Opens the cache of a configuration, whether or not its gate is to use it.
    ///
    /// # Errors
    ///
    /// A [`ComposeError`](super::ComposeError) for upstreams that cannot be used, or that the cache's directory cannot be.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let (clock, metrics) = (Clock::system(), Metrics::new()?);
        let parts = parts::compose(config, &clock, &upstream::Meters::register(metrics.registry())?)?;
        let channels = config.channels.iter().filter_map(|channel| {
            let name = channel.rules.name.clone();
            let upstreams = Arc::clone(parts.routes.upstreams(&name)?);
            Some(Shelved { name, upstreams })
        });
        let channels = channels.collect();
        let mut config = config.clone();
        config.cache.enabled = true;
        let cache = parts::cache(&config, &clock, &metrics).await?;
        let indexes = parts::indexes(&config, cache, None, &clock, &metrics);
        Ok(Self { channels, indexes, limits: parts::inspection(&config).limits, clock })
    }

    /// The channels, in the order of the configuration.
    pub fn channels(&self) -> impl Iterator<Item = &Shelved> {
        self.channels.iter()
    }

    /// The channel of this name.
    pub fn channel(&self, name: &ChannelName) -> Option<&Shelved> {
        self.channels.iter().find(|channel| channel.name == *name)
    }

    /// That there is no channel of this name, and which there are.
    pub fn no_channel(&self, name: &ChannelName) -> String {
        let names: Vec<_> = self.channels.iter().map(|channel| channel.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("there is no channel \"{name}\" in the configuration; there are: {known}")
    }

    /// The objects.
    pub fn disk(&self) -> &Disk {
        self.indexes.cache().disk()
    }

    /// The time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What reading an index may cost.
    pub fn limits(&self) -> &index::Limits {
        &self.limits
    }

    /// Whether an object with these facts could be served: its channel is configured, with the upstreams that it is from.
    pub fn is_current(&self, facts: &Facts) -> bool {
        self.channel(&facts.channel).is_some_and(|channel| channel.upstreams.id() == facts.upstreams)
    }

    /// Gets a file as the gate gets it for a client: from the disk, or from the upstreams and then onto the disk.
    ///
    /// # Errors
    ///
    /// As [`Indexes::supply_plain`].
    pub async fn fetch(&self, channel: &Shelved, path: &UpstreamPath) -> Result<Supply, CacheError> {
        self.indexes.supply_plain(&channel.name, &channel.upstreams, path, Method::Get).await
    }

    /// The indexes.
    pub fn indexes(&self) -> &Indexes {
        &self.indexes
    }

    /// What the channel's index says of a file.
    pub fn digests(&self, channel: &Shelved, path: &UpstreamPath) -> Arc<dyn Digests> {
        self.indexes.digests(&channel.name, &channel.upstreams, path)
    }

    /// The inspection that a file must pass; `None` for what needs none.
    pub fn inspection(&self, channel: &Shelved, path: &UpstreamPath) -> Option<Arc<dyn Inspect>> {
        self.indexes.inspection(&channel.name, &channel.upstreams, path)
    }
}

impl Shelved {
    /// The key of one of its files.
    pub fn key(&self, path: &UpstreamPath) -> Key {
        Key::new(&self.name, self.upstreams.id(), path)
    }
}
