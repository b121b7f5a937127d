//! The cookies that a browser keeps for the gate: read and written in one form. Pure.
//!
//! Each has the prefix `__Host-`: a browser takes it from this very host over TLS only, for all of it and nothing else, so that no other
//! host of the domain can put one in its place. None is readable by scripts, and none goes along with what another site sends, but for
//! following a link.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// A cookie of the gate's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cookie {
    /// Who is signed in.
    Session,
    /// Which browser somebody signs in with.
    Visit,
    /// A sign-in at the OpenID provider that is under way, sealed.
    Oidc,
}

impl Cookie {
    fn name(self) -> &'static str {
        match self {
            Self::Session => "__Host-channelgate-session",
            Self::Visit => "__Host-channelgate-visit",
            Self::Oidc => "__Host-channelgate-oidc",
        }
    }

    /// Its value among those of a request. Of two of the same name, which only somebody can send who is no browser, none counts.
    pub(super) fn of(self, headers: &HeaderMap) -> Option<&str> {
        let mut values = headers
            .get_all(COOKIE)
            .into_iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.name())
            .map(|(_, value)| value);
        let value = values.next()?;
        (values.next().is_none() && !value.is_empty()).then_some(value)
    }

    /// Makes a browser keep a value, which is of letters that cookies carry; without a time until it is closed.
    pub(super) fn set(self, value: &str, life: Option<Duration>) -> Option<HeaderValue> {
        let age = life.map(|life| format!("; Max-Age={}", life.as_secs())).unwrap_or_default();
        let line = format!("{}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}", self.name());
        let mut line = HeaderValue::try_from(line).ok()?;
        line.set_sensitive(true);
        Some(line)
    }

    /// Makes a browser forget it.
    pub(super) fn end(self) -> Option<HeaderValue> {
        self.set("", Some(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests;
