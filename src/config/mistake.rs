//! What is wrong with a configuration, said so that it can be mended without opening the documentation.
//!
//! Every mistake names its key, shows the value where that cannot be a secret, and says what is expected. It must never show a password
//! or a token: [`shown`] is the only way from a value to a message. Read `config/reading.rs` next.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
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

/// `text` without what could be a secret: users and passwords of URLs, what stands behind `/t/`, queries and fragments, and everything
/// that looks like a token. The text is shown because it could not be read, so it is taken apart without relying on its being a URL.
pub(super) fn shown(text: &str) -> String {
    redact::text(&without_path_token(&without_query(&without_userinfo(text)))).into_owned()
}

/// `text` with `***` for all that stands before an at sign.
fn without_userinfo(text: &str) -> Cow<'_, str> {
    let authority_at = match (text.find("://"), text.find(':')) {
        (Some(at), _) => at + 3,
        (None, Some(at)) => at + 1,
        (None, None) => 0,
    };
    let (scheme, rest) = split(text, authority_at);
    let (authority, after) = split(rest, rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()));
    if !scheme.is_empty() && after.contains('@') {
        // A password with a slash, or a path, a query with an at sign: nobody can tell what of it is secret.
        return format!("{scheme}***@***").into();
    }
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}***@{host}{after}").into(),
        None => text.into(),
    }
}

/// `text` with `***` for what follows the first `?` or `#`.
fn without_query(text: &str) -> Cow<'_, str> {
    match text.find(['?', '#']) {
        Some(at) => format!("{}***", split(text, at + 1).0).into(),
        None => text.into(),
    }
}

/// `text` with [`redact::MASK`] for every segment that stands where a token does.
fn without_path_token(text: &str) -> String {
    let mut is_token = false;
    let mut shown = String::with_capacity(text.len());
    for piece in text.split_inclusive(['/', '\\']) {
        let segment = piece.trim_end_matches(['/', '\\']);
        if is_token && !segment.is_empty() {
            shown.push_str(redact::MASK);
            shown.extend(piece.strip_prefix(segment));
            is_token = false;
        } else {
            shown.push_str(piece);
            is_token |= announces_token(segment);
        }
    }
    shown
}

/// Does a token follow this segment of a URL's path?
pub(super) fn announces_token(segment: &str) -> bool {
    percent_decode_str(segment).map(|byte| byte.to_ascii_lowercase()).eq(*b"t")
}

fn split(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}
