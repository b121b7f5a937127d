//! The `Cache-Control` of an upstream, and the one that clients get instead.

use std::fmt::Write as _;

use http::HeaderMap;
use http::HeaderValue;
use http::header::{AGE, CACHE_CONTROL};
use serde::{Deserialize, Serialize};

/// The response directives that matter to a gate (RFC 9111 section 5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheControl {
    /// What is left of `max-age` after the `Age` that the response has already (RFC 9111 section 4.2.3), in seconds: clients count from
    /// now.
    pub max_age_seconds: Option<u64>,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`: revalidate each time.
    pub no_cache: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
}

impl CacheControl {
    /// Reads all `Cache-Control` fields and `Age`; unknown directives are ignored.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        for directive in values.flat_map(|value| value.split(',')) {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "max-age" => directives.max_age_seconds = argument.trim().trim_matches('"').parse().ok(),
                "no-store" => directives.no_store = true,
                "no-cache" => directives.no_cache = true,
                "immutable" => directives.immutable = true,
                _ => {}
            }
        }
        let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok()).unwrap_or(0u64);
        directives.max_age_seconds = directives.max_age_seconds.map(|seconds| seconds.saturating_sub(age));
        directives
    }

    /// What a client is told: the upstream's directives, `private` if the answer was given to a credential. `None` if nothing is
    /// left to say.
    pub fn for_client(self, private: bool) -> Option<HeaderValue> {
        let mut value = String::new();
        let mut add = |directive: &str| {
            let separator = if value.is_empty() { "" } else { ", " };
            let _ = write!(value, "{separator}{directive}");
        };
        if private {
            add("private");
        }
        if self.no_store {
            add("no-store");
        }
        if self.no_cache {
            add("no-cache");
        }
        if let Some(seconds) = self.max_age_seconds {
            add(&format!("max-age={seconds}"));
        }
        if self.immutable {
            add("immutable");
        }
        if value.is_empty() { None } else { HeaderValue::try_from(value).ok() }
    }
}
