//! The `Cache-Control` of an upstream, and the one that clients get instead.

use std::fmt::Write as _;

use http::HeaderValue;
use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES};
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use super::validators::parse_http_date;

/// The response directives that matter to a gate (RFC 9111 section 5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct CacheControl {
    /// What is left of `max-age` after the `Age` that the response has already (RFC 9111 section 4.2.3), in seconds: clients count from
    /// now. Without `max-age`, what `Expires` says against `Date`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<u64>,
    /// What is left of `s-maxage`, which counts for shared caches only: for the gate and not for its clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_max_age_seconds: Option<u64>,
    /// `stale-while-revalidate` (RFC 5861), in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate_seconds: Option<u64>,
    /// `stale-if-error` (RFC 5861), in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_if_error_seconds: Option<u64>,
    /// `no-store`.
    #[serde(skip_serializing_if = "is_unset")]
    pub no_store: bool,
    /// `no-cache`: revalidate each time.
    #[serde(skip_serializing_if = "is_unset")]
    pub no_cache: bool,
    /// `immutable` (RFC 8246).
    #[serde(skip_serializing_if = "is_unset")]
    pub immutable: bool,
}

impl CacheControl {
    /// Reads all `Cache-Control` fields, `Age`, and `Expires` with `Date`; unknown directives are ignored.
    pub fn of(fields: &Fields) -> Self {
        let mut directives = Self::default();
        let values = fields.get_all(&CACHE_CONTROL).filter_map(|value| value.to_str().ok());
        for directive in values.flat_map(|value| value.split(',')) {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            let seconds = || argument.trim().trim_matches('"').parse().ok();
            match name.trim().to_ascii_lowercase().as_str() {
                "max-age" => directives.max_age_seconds = seconds(),
                "s-maxage" => directives.shared_max_age_seconds = seconds(),
                "stale-while-revalidate" => directives.stale_while_revalidate_seconds = seconds(),
                "stale-if-error" => directives.stale_if_error_seconds = seconds(),
                "no-store" => directives.no_store = true,
                "no-cache" => directives.no_cache = true,
                "immutable" => directives.immutable = true,
                _ => {}
            }
        }
        directives.max_age_seconds = directives.max_age_seconds.or_else(|| expires_after_seconds(fields));
        let age = fields.get(&AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok()).unwrap_or(0u64);
        for lifetime in [&mut directives.max_age_seconds, &mut directives.shared_max_age_seconds] {
            *lifetime = lifetime.map(|seconds| seconds.saturating_sub(age));
        }
        directives
    }

    /// What a client is told: the upstream's directives, `private` if the answer was given to a credential. `None` if nothing is
    /// left to say.
    pub fn for_client(self, private: bool) -> Option<HeaderValue> {
        if !self.no_store && !self.no_cache && !self.immutable && self.max_age_seconds.is_none() {
            // Most upstreams say nothing of packages.
            return private.then_some(const { HeaderValue::from_static("private") });
        }
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

/// How long after `Date` the response expires; what is no date, as the usual `0`, has expired (RFC 9111 section 5.3).
fn expires_after_seconds(fields: &Fields) -> Option<u64> {
    let Some(expires) = parse_http_date(fields.get(&EXPIRES)?) else { return Some(0) };
    let date = parse_http_date(fields.get(&DATE)?)?;
    Some(expires.duration_since(date).map_or(0, |left| left.as_secs()))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde hands it")]
fn is_unset(flag: &bool) -> bool {
    !flag
}
