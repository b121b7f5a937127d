//! Freshness of a stored response (RFC 9111 section 4.2) and how long it may be served after (RFC 5861).
//!
//! | age since it was last known current | |
//! | --- | --- |
//! | below the lifetime | [`Freshness::Fresh`]: serve it |
//! | beyond it, within `stale-while-revalidate` | [`Freshness::Lapsed`] with `meanwhile`: serve it and ask the upstream besides |
//! | beyond it, within `stale-if-error` | [`Freshness::Lapsed`] with `on_error`: ask first, serve it where no good answer comes |
//! | beyond all | ask first, serve nothing else |
//!
//! The lifetime is `s-maxage`, else `max-age`, else [`Patience::lifetime`]; `no-cache` makes it zero. `private` means nothing here: the
//! gate asks in its operator's name and gives nothing to who may not read it. `must-revalidate` does not outrank `stale-if-error`: whoever
//! runs the gate has said that an outage of the upstream is not to be one of the clients.

use std::time::Duration;

use super::CacheControl;

/// What holds where the upstream says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long a response is fresh.
    pub lifetime: Duration,
    /// For how long after that it is served while it is asked for anew.
    pub stale_while_revalidate: Duration,
    /// For how long after that it is served where asking for it fails.
    pub stale_if_error: Duration,
}

/// Whether a stored response may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// As it is.
    Fresh,
    /// Its lifetime is over.
    Lapsed {
        /// It may be served while the upstream is asked.
        meanwhile: bool,
        /// It may be served if the upstream gives no good answer.
        on_error: bool,
    },
}

impl Freshness {
    /// Of a response with these directives, `age` after it was last known to be current. `None` is an age that nobody knows, because the
    /// clock was set back: it counts as lapsed a moment ago.
    pub fn of(directives: &CacheControl, age: Option<Duration>, patience: &Patience) -> Self {
        let told = |seconds: Option<u64>| seconds.map(Duration::from_secs);
        let lifetime = if directives.no_cache {
            Duration::ZERO
        } else {
            told(directives.shared_max_age_seconds)
                .or(told(directives.max_age_seconds))
                .unwrap_or(patience.lifetime)
        };
        let Some(age) = age else { return Self::Lapsed { meanwhile: false, on_error: true } };
        if age < lifetime {
            return Self::Fresh;
        }
        let lapsed = age.saturating_sub(lifetime);
        let meanwhile = told(directives.stale_while_revalidate_seconds).unwrap_or(if directives.no_cache {
            Duration::ZERO
        } else {
            patience.stale_while_revalidate
        });
        let on_error = told(directives.stale_if_error_seconds).unwrap_or(patience.stale_if_error);
        Self::Lapsed { meanwhile: lapsed < meanwhile, on_error: lapsed < on_error }
    }
}
