//! Where a person goes after signing in: to a page of the gate's, or nowhere.
//!
//! Whatever a link says, nobody is sent to another place (an open redirect makes a stranger's page look like the gate's). Pure.

use std::fmt;

/// A path on the gate, with a query perhaps, that a browser takes for nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next(String);

impl Next {
    /// `text` if it leads to one of the pages that people are sent back to: `/device`, `/sign-in` and the consent to a program's request,
    /// with any query.
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.split_once('?').map_or(text, |(path, _)| path);
        let is_plain = text.len() <= BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(&byte));
        (is_plain && PAGES.contains(&path)).then(|| Self(text.to_owned()))
    }

    /// The page of this path, with a query that is encoded already.
    pub(super) fn page(path: &str, query: &str) -> Option<Self> {
        if query.is_empty() { Self::parse(path) } else { Self::parse(&format!("{path}?{query}")) }
    }

    /// The path and query.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The page that somebody who only wanted to sign in sees.
impl Default for Next {
    fn default() -> Self {
        Self("/sign-in".to_owned())
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The pages that ask for signing in.
const PAGES: [&str; 3] = ["/device", "/sign-in", "/api/auth/oauth2/authorize"];

/// Longer than any of them with its query.
const BYTES_MAX: usize = 2_048;

#[cfg(test)]
mod tests;
