//! Platform sub-directories of a channel.

use std::fmt;

/// A channel's platform directory: `noarch` or `<os>-<arch>` of a known operating system and architecture.
///
/// Known ones only, because `conda-forge` has the same shape. The lists are the union of conda's `KNOWN_SUBDIRS`
/// (`conda/base/constants.py`) and rattler's `Platform`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subdir<'r>(&'r str);

const SYSTEMS: [&str; 7] = ["linux", "osx", "win", "freebsd", "emscripten", "wasi", "zos"];

const ARCHITECTURES: [&str; 16] = [
    "64",
    "32",
    "aarch64",
    "arm64",
    "armv6l",
    "armv7l",
    "loongarch64",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv32",
    "riscv64",
    "s390x",
    "wasm32",
    "wasm64",
    "z",
];

impl<'r> Subdir<'r> {
    /// Reads a segment as a platform directory; the case counts, as it does on upstreams.
    pub fn parse(segment: &'r str) -> Option<Self> {
        let known = segment == "noarch"
            || segment
                .split_once('-')
                .is_some_and(|(system, arch)| SYSTEMS.contains(&system) && ARCHITECTURES.contains(&arch));
        known.then_some(Self(segment))
    }

    /// The name as it stands in URLs.
    pub fn as_str(&self) -> &'r str {
        self.0
    }
}

impl fmt::Display for Subdir<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
