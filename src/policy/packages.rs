//! Which packages of a channel are granted, by their names.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::conda::Glob;

/// All packages, or those of some names. Clones share what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packages(Option<Arc<Patterns>>);

/// Patterns of names, apart by what it takes to look at them.
#[derive(Debug, PartialEq, Eq)]
struct Patterns {
    /// All of them, in order.
    sorted: Vec<String>,
    /// Those that are names.
    names: HashSet<String>,
    /// The others.
    globs: Vec<Glob>,
}

impl Packages {
    /// All packages.
    pub const ALL: Self = Self(None);

    /// Those of any of the patterns: globs of names, in small letters.
    pub fn of(patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let sorted: BTreeSet<String> = patterns.into_iter().map(Into::into).collect();
        let (names, globs) = sorted.iter().map(|text| Glob::new(text)).partition::<Vec<_>, _>(Glob::is_plain);
        let names = names.iter().map(|glob| glob.as_str().to_owned()).collect();
        Self(Some(Arc::new(Patterns { sorted: sorted.into_iter().collect(), names, globs })))
    }

    /// True if it is all packages.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the package of this name, in small letters, is among them.
    pub fn include(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|patterns| {
            patterns.names.contains(name) || patterns.globs.iter().any(|glob| glob.matches(name))
        })
    }

    /// The patterns, in order; none for all packages.
    pub fn patterns(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |patterns| &patterns.sorted)
    }
}
