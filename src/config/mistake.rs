//! What is wrong with a configuration, said so that it can be mended without opening the documentation.
//!
//! Every mistake names its key, shows the value where that cannot be a secret, and says what is expected. It must never show a password
//! or a token: [`shown`] is the only way from a value to a message. Read `config/reading.rs` next.

use std::fmt;
use std::path::PathBuf;

use toml::Value;

use crate::conda::redact;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key as one writes it in a message: `limits.header_timeout`, `channels[2].upstreams[0].url`.
    pub key: String,
    /// The value, masked; `None` where there is none or where it may be a secret.
    pub given: Option<String>,
    /// What is expected instead, or what is wrong, as the end of a sentence.
    pub problem: String,
    /// The environment variable that the value came from; `None` for the file.
    pub variable: Option<String>,
}

impl Mistake {
    /// A mistake about `key`, with nothing of its value shown.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), given: None, problem: problem.into(), variable: None }
    }

    /// The same mistake with the value that it is about, masked.
    #[must_use]
    pub fn with_given(self, given: &str) -> Self {
        Self { given: Some(format!("{:?}", shown(given))), ..self }
    }

    pub(super) fn with_value(self, value: &Value) -> Self {
        match value {
            Value::String(text) => self.with_given(text),
            other => Self { given: Some(other.to_string()), ..self },
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(given) = &self.given {
            write!(f, " = {given}")?;
        }
        if let Some(variable) = &self.variable {
            write!(f, " (from {variable})")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// A configuration that cannot be used, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file; `None` where none was found.
    pub file: Option<PathBuf>,
    /// One or more.
    pub mistakes: Vec<Mistake>,
}

/// A line that counts the mistakes, then one line for each.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}: ", file.display())?,
            None => f.write_str("configuration: ")?,
        }
        match self.mistakes.len() {
            1 => f.write_str("1 mistake")?,
            count => write!(f, "{count} mistakes")?,
        }
        self.mistakes.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

/// `text` without what could be a secret: passwords and users of URLs, and everything that looks like a token.
pub(super) fn shown(text: &str) -> String {
    redact::text(&without_userinfo(text)).into_owned()
}

fn without_userinfo(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, path) =
        rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len())).unwrap_or((rest, ""));
    // A slash in a password ends the authority too early: what then follows up to the last at sign is hidden as well.
    match (authority.rsplit_once('@'), path.rsplit_once('@')) {
        (_, Some((_, after))) => format!("{scheme}://***@{after}"),
        (Some((_, host)), None) => format!("{scheme}://***@{host}{path}"),
        (None, None) => text.to_owned(),
    }
}
