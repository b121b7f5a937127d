//! Which index files are one document in several codings, and which of two states of it is the newer. Pure: names and facts in, answers
//! out. What is done about a lagging file is `indexes.rs`'s.

use std::time::SystemTime;

use crate::cache::{Facts, Sha256};
use crate::clock::Timestamp;
use crate::conda::{Location, UpstreamPath};

/// The files of one directory that are one document: `repodata.json`, `.json.zst`, `.json.bz2`, and the same of its two sisters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family<'p> {
    /// With a slash behind it.
    directory: &'p str,
    stem: &'static str,
}

impl<'p> Family<'p> {
    /// The family of the file at this decoded path, if it has one.
    pub(super) fn of(path: &'p str) -> Option<Self> {
        let (directory, file) = split(path);
        STEMS
            .into_iter()
            .find(|stem| file.strip_prefix(stem).is_some_and(|coding| CODINGS.contains(&coding)))
            .map(|stem| Self { directory, stem })
    }

    /// The family that names all packages of a directory, which ends with a slash.
    pub(super) fn whole(directory: &'p str) -> Self {
        Self { directory, stem: WHOLE }
    }

    /// The families that name some of its packages.
    pub(super) fn partial(directory: &'p str) -> impl Iterator<Item = Self> {
        STEMS.into_iter().filter(|stem| *stem != WHOLE).map(move |stem| Self { directory, stem })
    }

    /// Its directory, with a slash behind it.
    pub(super) fn directory(&self) -> &'p str {
        self.directory
    }

    /// True if it names all packages of its directory.
    pub(super) fn is_whole(&self) -> bool {
        self.stem == WHOLE
    }

    /// The plain member's path: a name for the family.
    pub(super) fn name(&self) -> String {
        format!("{}{}", self.directory, self.stem)
    }

    /// All its files, the one that is cheapest to fetch first.
    pub(super) fn members(&self) -> impl Iterator<Item = UpstreamPath> {
        let (directory, stem) = (self.directory, self.stem);
        CODINGS.into_iter().filter_map(move |coding| beside(directory, &format!("{stem}{coding}")))
    }
}

/// A state of a document, by any of its representations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation {
    /// The digest of the decompressed document.
    pub(super) digest: Sha256,
    last_modified: Option<SystemTime>,
    pub(super) fetched_at: Timestamp,
}

impl Generation {
    /// The state that an object is of, if it is an index.
    pub(super) fn of(facts: &Facts) -> Option<Self> {
        let (last_modified, fetched_at) = (facts.last_modified, facts.fetched_at);
        facts.generation.map(|digest| Self { digest, last_modified, fetched_at })
    }

    /// True if this is another state and a later one: by the upstream's own dates where both have one and they differ, else by when they
    /// were fetched.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        let later = match (self.last_modified, other.last_modified) {
            (Some(this), Some(other)) if this != other => this > other,
            _ => self.fetched_at > other.fetched_at,
        };
        self.digest != other.digest && later
    }
}

/// The directory of a path, with a slash behind it, and the file.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rfind('/').and_then(|slash| path.split_at_checked(slash + 1)).unwrap_or(("", path))
}

/// The path of a file in a directory, which ends with a slash; `None` for what the path grammar does not have.
pub(super) fn beside(directory: &str, file: &str) -> Option<UpstreamPath> {
    UpstreamPath::of(&Location::parse(&format!("{directory}{file}")))
}

const WHOLE: &str = "repodata.json";
const STEMS: [&str; 3] = [WHOLE, "current_repodata.json", "repodata_from_packages.json"];
const CODINGS: [&str; 3] = [".zst", "", ".bz2"];
