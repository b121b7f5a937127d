//! What a token may be used for.

use std::fmt;
use std::str::FromStr;

/// One right, by the name that people give it. The names are anaconda.org's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Scope {
    /// Everything.
    All,
    /// All package repositories.
    Repos,
    /// All operations on conda repositories.
    Conda,
    /// Downloads from conda repositories.
    CondaDownload,
    /// All operations on Python repositories.
    Pypi,
    /// Downloads from Python repositories.
    PypiDownload,
    /// Uploads to Python repositories.
    PypiUpload,
    /// All operations of the admin API.
    Api,
    /// Reading through the admin API.
    ApiRead,
    /// Changes through the admin API.
    ApiWrite,
    /// Managing groups through the admin API.
    ApiModifyGroup,
}

impl Scope {
    /// Every scope, in the order in which they are listed to people.
    pub const EVERY: [Self; 11] = [
        Self::All,
        Self::Repos,
        Self::Conda,
        Self::CondaDownload,
        Self::Pypi,
        Self::PypiDownload,
        Self::PypiUpload,
        Self::Api,
        Self::ApiRead,
        Self::ApiWrite,
        Self::ApiModifyGroup,
    ];

    /// The name that people and the store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Repos => "repos",
            Self::Conda => "conda",
            Self::CondaDownload => "conda:download",
            Self::Pypi => "pypi",
            Self::PypiDownload => "pypi:download",
            Self::PypiUpload => "pypi:upload",
            Self::Api => "api",
            Self::ApiRead => "api:read",
            Self::ApiWrite => "api:write",
            Self::ApiModifyGroup => "api:modify-group",
        }
    }

    /// The scopes that have everything this one has, itself among them.
    fn covered_by(self) -> &'static [Self] {
        match self {
            Self::All => &[Self::All],
            Self::Repos => &[Self::All, Self::Repos],
            Self::Conda => &[Self::All, Self::Repos, Self::Conda],
            Self::CondaDownload => &[Self::All, Self::Repos, Self::Conda, Self::CondaDownload],
            Self::Pypi => &[Self::All, Self::Repos, Self::Pypi],
            Self::PypiDownload => &[Self::All, Self::Repos, Self::Pypi, Self::PypiDownload],
            Self::PypiUpload => &[Self::All, Self::Repos, Self::Pypi, Self::PypiUpload],
            Self::Api => &[Self::All, Self::Api],
            Self::ApiRead => &[Self::All, Self::Api, Self::ApiRead],
            Self::ApiWrite => &[Self::All, Self::Api, Self::ApiWrite],
            Self::ApiModifyGroup => &[Self::All, Self::Api, Self::ApiModifyGroup],
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(word: &str) -> Result<Self, ScopeError> {
        let scope = Self::EVERY.into_iter().find(|scope| scope.as_str() == word);
        scope.ok_or_else(|| ScopeError::Unknown(word.to_owned()))
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u16);

impl Scopes {
    /// The set of `scopes`.
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    /// True if `scope` itself is in the set.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// True if the set has everything that `scope` has.
    pub fn cover(self, scope: Scope) -> bool {
        scope.covered_by().iter().any(|&covering| self.contains(covering))
    }

    /// True if the set has everything that `others` have.
    pub fn cover_all(self, others: Self) -> bool {
        others.iter().all(|scope| self.cover(scope))
    }

    /// True if a conda channel may be read with these.
    pub fn permit_conda_download(self) -> bool {
        self.cover(Scope::CondaDownload)
    }

    /// The scopes of the set.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::EVERY.into_iter().filter(move |scope| self.contains(*scope))
    }
}

/// Separated by spaces, as the command line takes them.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{}", scope.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for Scopes {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let mut scopes = Self::default();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            scopes.0 |= word.parse::<Scope>()?.bit();
        }
        if scopes == Self::default() { Err(ScopeError::None) } else { Ok(scopes) }
    }
}

/// Scopes that cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A word that is no scope.
    #[error("\"{0}\" is not a scope; the scopes are {known}", known = known())]
    Unknown(String),
    /// No scope at all: a token that opens nothing helps nobody.
    #[error("a token needs at least one scope; the scopes are {known}", known = known())]
    None,
}

fn known() -> String {
    Scope::EVERY.map(Scope::as_str).join(", ")
}
