//! Lock files: which package files an environment is made of, as pixi, conda-lock and `conda list --explicit` write it down.
//!
//! | format | told by | packages |
//! | --- | --- | --- |
//! | explicit | a line `@EXPLICIT` | a URL a line, with `#<md5>` or `#sha256:<digest>` behind it |
//! | `pixi.lock`, version 6 and later | `packages`, a list | entries with `conda: <URL>` |
//! | `pixi.lock`, versions 4 and 5 | `packages`, a list | entries with `kind: conda` and `url: <URL>` |
//! | `conda-lock.yml`, and `pixi.lock` up to version 3 | `package`, a list | entries with `manager: conda` and `url: <URL>` |
//!
//! Only addresses and digests are read; whatever else there is may change from version to version. What comes from elsewhere than a conda
//! channel (PyPI) is counted and left out. A lock file may hold tokens within its URLs: a [`PackageUrl`] forgets them where it is read.

mod package_url;

use serde::Deserialize;
use serde_saphyr::{Budget, Options};

pub use package_url::PackageUrl;

/// What a lock file names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LockFile {
    /// The files of conda packages, in the order of the file; none twice.
    pub packages: Vec<LockedPackage>,
    /// How many entries are no conda packages.
    pub foreign: usize,
}

/// A package file that a lock file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedPackage {
    /// Where it is from.
    pub url: PackageUrl,
    /// The SHA-256 that the lock file expects it to have.
    pub sha256: Option<[u8; 32]>,
}

/// Why a text is not taken as a lock file. Repeats nothing of it, for it may hold tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockFileError {
    /// Neither explicit nor YAML of the known shapes.
    #[error(
        "line {line} is not that of a lock file: expected pixi.lock, conda-lock.yml, or a list with a line @EXPLICIT"
    )]
    Malformed {
        /// Counted from 1.
        line: u64,
    },
    /// YAML that names no packages at all.
    #[error(
        "it names no packages: expected pixi.lock (a list `packages`), conda-lock.yml (a list `package`), or a line @EXPLICIT"
    )]
    NoPackages,
    /// An entry with an address or digest that is none.
    #[error("entry {entry} has no usable {what}")]
    Entry {
        /// Counted from 1.
        entry: usize,
        /// `URL` or `sha256`.
        what: &'static str,
    },
}

impl LockFile {
    /// Reads a lock file, telling its format by its content.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without its words.
    pub fn parse(text: &str) -> Result<Self, LockFileError> {
        if text.lines().any(|line| line.trim() == "@EXPLICIT") { explicit(text) } else { yaml(text) }
    }

    fn push(&mut self, entry: usize, url: &str, sha256: Option<&str>) -> Result<(), LockFileError> {
        let url = PackageUrl::parse(url).ok_or(LockFileError::Entry { entry, what: "URL" })?;
        let sha256 = match sha256 {
            Some(digits) => Some(digest(digits).ok_or(LockFileError::Entry { entry, what: "sha256" })?),
            None => None,
        };
        self.packages.push(LockedPackage { url, sha256 });
        Ok(())
    }

    /// The same without what it names twice, as a file of several environments does.
    fn without_repetitions(mut self) -> Self {
        let mut seen = std::collections::HashSet::new();
        self.packages.retain(|package| seen.insert((package.url.clone(), package.sha256)));
        self
    }
}

/// Lines; `#` begins a comment, or behind a URL its digest.
fn explicit(text: &str) -> Result<LockFile, LockFileError> {
    let mut lock = LockFile::default();
    for (at, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with(['#', '@']) {
            continue;
        }
        let (url, mark) = line.split_once('#').unwrap_or((line, ""));
        let digits = mark.strip_prefix("sha256:").or((mark.len() == 64).then_some(mark));
        lock.push(at + 1, url.trim(), digits)?;
    }
    Ok(lock.without_repetitions())
}

/// What is read of a `pixi.lock` or `conda-lock.yml`.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    packages: Vec<Entry>,
    #[serde(default)]
    package: Vec<Entry>,
}

/// What is read of one of its entries, whatever the format.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    conda: Option<String>,
    kind: Option<String>,
    manager: Option<String>,
    url: Option<String>,
    sha256: Option<String>,
    hash: Hash,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Hash {
    sha256: Option<String>,
}

fn yaml(text: &str) -> Result<LockFile, LockFileError> {
    let mut budget = Budget::default();
    // A lock file of many environments has some millions of nodes; what is in memory stays in proportion to its text.
    (budget.max_nodes, budget.max_events) = (NODES_MAX, 2 * NODES_MAX);
    let mut options = Options::default();
    options.budget = Some(budget);
    let document: Document = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        LockFileError::Malformed { line: error.location().map_or(1, |location| location.line()).max(1) }
    })?;
    let mut lock = LockFile::default();
    for (at, entry) in document.packages.into_iter().chain(document.package).enumerate() {
        let is_conda = |kind: &Option<String>| kind.as_deref() == Some("conda");
        let url = match entry.conda {
            Some(url) => Some(url),
            None if is_conda(&entry.kind) || is_conda(&entry.manager) => Some(entry.url.unwrap_or_default()),
            None => None,
        };
        match url {
            Some(url) => lock.push(at + 1, &url, entry.sha256.or(entry.hash.sha256).as_deref())?,
            None => lock.foreign += 1,
        }
    }
    let is_empty = lock.packages.is_empty() && lock.foreign == 0;
    if is_empty { Err(LockFileError::NoPackages) } else { Ok(lock.without_repetitions()) }
}

/// The bytes that 64 hexadecimal digits stand for.
fn digest(digits: &str) -> Option<[u8; 32]> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok());
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|&[high, low]| Some(nibble(high)? << 4 | nibble(low)?)).collect();
    bytes?.try_into().ok()
}

/// More than any lock file has, and less than memory.
const NODES_MAX: usize = 10_000_000;

#[cfg(test)]
mod tests;
