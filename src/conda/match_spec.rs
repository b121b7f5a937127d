//! A specification of packages by name, version and build: `numpy`, `numpy>=1.26,<2`, `numpy 1.26.* py311*`, `numpy=1.26=py311_0`.
//!
//! The part of CEP 29 that people type. What needs brackets is refused by name rather than half obeyed. Versions are compared by rattler's
//! own rules ([`rattler_conda_version`]).

use std::str::FromStr;

use rattler_conda_version::{ParseStrictness, Version, VersionSpec};

use super::glob::Glob;
use super::{ChannelName, ChannelNameError};

/// Which packages are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchSpec {
    /// As typed.
    text: String,
    /// The channel named before `::`.
    pub channel: Option<ChannelName>,
    name: Glob,
    version: VersionSpec,
    build: Option<Glob>,
}

/// A text that is no specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchSpecError {
    /// No name, or one with characters that names do not have.
    #[error(
        "\"{0}\" does not begin with a package's name; expected one as in \"numpy>=1.26,<2\" or \"numpy 1.26.* py311*\""
    )]
    Name(String),
    /// Brackets.
    #[error(
        "\"{0}\" has brackets, which are not understood here; write name, version and build: \"numpy 1.26.* py311*\""
    )]
    Brackets(String),
    /// The version part.
    #[error("\"{spec}\" has no usable version: {problem}")]
    Version {
        /// As typed.
        spec: String,
        /// What is wrong with it.
        problem: String,
    },
    /// More than name, version and build.
    #[error("\"{0}\" has more than a name, a version and a build")]
    TooMuch(String),
    /// The part before `::`.
    #[error(transparent)]
    Channel(#[from] ChannelNameError),
}

impl MatchSpec {
    /// Whether a record is meant. A version that cannot be read is meant only by what asks for any.
    pub fn matches(&self, name: &str, version: &str, build: &str) -> bool {
        self.name.matches(name)
            && self.build.as_ref().is_none_or(|wanted| wanted.matches(build))
            && (self.version == VersionSpec::Any
                || Version::from_str(version).is_ok_and(|version| self.version.matches(&version)))
    }

    /// As typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for MatchSpec {
    type Err = MatchSpecError;

    fn from_str(text: &str) -> Result<Self, MatchSpecError> {
        let spec = text.trim();
        if spec.contains('[') {
            return Err(MatchSpecError::Brackets(text.to_owned()));
        }
        let (channel, spec) = match spec.split_once("::") {
            Some((channel, spec)) => (Some(ChannelName::parse(channel.trim())?), spec.trim()),
            None => (None, spec),
        };
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*');
        let end = spec.find(|c| !is_of_name(c)).unwrap_or(spec.len());
        let (name, rest) = spec.split_at_checked(end).unwrap_or((spec, ""));
        if name.is_empty() {
            return Err(MatchSpecError::Name(text.to_owned()));
        }
        let rest = joined(rest.trim());
        let mut parts = rest.split_whitespace();
        let (version, build) = match (parts.next(), parts.next(), parts.next()) {
            (version, build, None) => (version.unwrap_or_default(), build),
            _ => return Err(MatchSpecError::TooMuch(text.to_owned())),
        };
        let (version, build) = match (equals_build(version), build) {
            (Some((version, build)), None) => (format!("=={version}"), Some(build)),
            (_, build) => (version.to_owned(), build),
        };
        let version = match version.as_str() {
            "" | "*" => VersionSpec::Any,
            version => VersionSpec::from_str(version, ParseStrictness::Lenient).map_err(|error| {
                MatchSpecError::Version { spec: text.to_owned(), problem: error.to_string() }
            })?,
        };
        let name = Glob::new(&name.to_ascii_lowercase());
        Ok(Self { text: text.to_owned(), channel, name, version, build: build.map(Glob::new) })
    }
}

/// Without the spaces around `,` and `|` and behind operators, which separate nothing.
fn joined(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        let binds = joined.ends_with([',', '|', '<', '>', '=', '!', '~']) || word.starts_with([',', '|']);
        if !binds && !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    joined
}

/// The version and build of `=1.26=py311_0`, where the version is an exact one.
fn equals_build(version: &str) -> Option<(&str, &str)> {
    let (version, build) = version.strip_prefix('=')?.trim_start_matches('=').split_once('=')?;
    let is_plain = !version.is_empty() && !version.contains(['<', '>', '!', '~', ',', '|', '*']);
    (is_plain && !build.is_empty() && !build.contains('=')).then_some((version, build))
}

#[cfg(test)]
mod tests;
