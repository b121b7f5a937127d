//! From the addresses in a lock file to files of the gate's channels.
//!
//! Two kinds of addresses are known: below an upstream of a channel, and below a channel of the gate itself, at its public URL or where it
//! listens. Of several that fit, the longest counts; of equals, the first in the configuration.

use crate::app::{Shelf, Shelved};
use crate::conda::{Location, PackageUrl, RequestTarget, Resource, UpstreamPath};
use crate::config::Config;

/// Which address stands for which channel.
pub(super) struct Map<'s> {
    shelf: &'s Shelf,
    /// Base, and the channel's place among the shelf's.
    bases: Vec<(PackageUrl, usize)>,
}

/// A file of a channel.
pub(super) struct Mapped {
    /// Whose.
    pub(super) channel: Shelved,
    /// Its place among the shelf's.
    pub(super) at: usize,
    /// The file.
    pub(super) path: UpstreamPath,
    /// The label it is under, if any.
    pub(super) label: Option<String>,
    /// Its platform.
    pub(super) subdir: String,
}

impl<'s> Map<'s> {
    /// The addresses of a configuration.
    pub(super) fn new(shelf: &'s Shelf, config: &Config) -> Self {
        let gate = config.listen.url(config.listen.address);
        let mut bases = Vec::new();
        for (at, channel) in shelf.channels().enumerate() {
            let configured = config.channels.iter().find(|other| other.rules.name == channel.name);
            let upstreams = configured.into_iter().flat_map(|channel| &channel.upstreams);
            let own = format!("{gate}/{}", channel.name);
            let urls = upstreams.map(|source| source.location.to_string()).chain([own]);
            bases.extend(urls.filter_map(|url| PackageUrl::parse(&url)).map(|base| (base, at)));
        }
        bases.sort_by_key(|(base, at)| (std::cmp::Reverse(base.depth()), *at));
        Self { shelf, bases }
    }

    /// The file that an address stands for: one of a platform directory.
    pub(super) fn of(&self, url: &PackageUrl) -> Option<Mapped> {
        self.bases.iter().find_map(|(base, at)| {
            let tail = format!("/{}", url.below(base)?);
            let target = RequestTarget::parse(&tail).ok()?;
            let location = Location::parse(target.rest());
            let Resource::SubdirFile(subdir, _) = location.resource else { return None };
            Some(Mapped {
                channel: self.shelf.channels().nth(*at)?.clone(),
                at: *at,
                path: UpstreamPath::of(&location)?,
                label: location.label.map(str::to_owned),
                subdir: subdir.to_string(),
            })
        })
    }
}

impl Mapped {
    /// Another platform's directory beside this file's.
    pub(super) fn directory(&self, subdir: &str) -> super::Directory {
        let label = self.label.as_ref().map(|label| format!("label/{label}/")).unwrap_or_default();
        (self.at, format!("{label}{subdir}"))
    }

    /// Whether it is for one of these platforms, or for all.
    pub(super) fn is_for(&self, subdirs: &[String]) -> bool {
        self.subdir == "noarch" || subdirs.contains(&self.subdir)
    }
}
