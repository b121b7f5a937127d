//! People: how they sign in, and how they let programs act for them.
//!
//! ```text
//! a terminal                        the gate                                  a browser
//! POST …/oauth2/device       ─▶     user code, device code
//!   "open /device, enter …"                                            ◀─     GET /device?user_code=…
//!                                   nobody is signed in                 ─▶    /sign-in: password, or OpenID provider
//!                                   session                             ─▶    GET /device: who asks, from where, for what
//! POST …/oauth2/token (polls) ─▶    authorization_pending
//!                                   approved, for an organization      ◀─     POST /device
//! POST …/oauth2/token        ─▶     access token, good once
//! ```
//!
//! | file | owns |
//! | --- | --- |
//! | `pages` | HTML and the headers that go with it |
//! | `visit` | a browser's request: origin, session |
//! | `sign_in`, `open_id`, `device`, `authorize` | the pages' handlers; each says which attacks it faces |
//! | `oauth`, `wire`, `grant` | what programs ask and are told |
//! | `oidc` | the OpenID provider |
//! | `passwords`, `throttle` | how often somebody may try |
//! | `seal`, `csrf`, `cookies`, `next`, `form`, `user_code` | what goes out to browsers and comes back, as pure functions |
//!
//! What a person may do is none of its business: it ends with an access token, which says who let whom in, for which organization.

mod authorize;
mod cookies;
mod csrf;
mod device;
pub mod form;
mod grant;
mod meters;
pub mod next;
mod oauth;
mod oidc;
mod open_id;
mod pages;
mod passwords;
mod seal;
mod sign_in;
mod throttle;
mod user_code;
mod visit;
mod wire;

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use http::HeaderMap;
use url::Url;

pub use self::meters::Meters;
pub use self::oidc::{Provider, ProviderConfig};
pub(in crate::anaconda) use self::passwords::{PasswordRefusal, Passwords};

use self::csrf::Csrf;
use self::pages::Notice;
use self::seal::Sealer;
use self::throttle::{Policy, Throttle};
use super::Shared;
use crate::keys::GateSecret;
use crate::store::Store;

/// What signing in needs.
pub struct People {
    /// `None` where nobody signs in by a password.
    pub(in crate::anaconda) passwords: Option<Passwords>,
    provider: Option<Provider>,
    session_life: Duration,
    api_key_life: Duration,
    sealer: Sealer,
    csrf: Csrf,
    /// User codes are kept under it.
    codes: hmac::Key,
    /// Who enters codes that nobody waits with, by name and by address.
    guessers: Throttle<String>,
    guesses: Throttle<IpAddr>,
    /// Who comes back from the provider with what it does not confirm.
    arrivals: Throttle<IpAddr>,
    /// Who begins requests of devices.
    beginners: Throttle<IpAddr>,
    meters: Meters,
}

/// What signing in is configured to.
pub struct Config {
    /// Whether people sign in by a password.
    pub passwords: bool,
    /// How long a browser stays signed in.
    pub session_life: Duration,
    /// How long what a program gets serves.
    pub api_key_life: Duration,
    /// The secret of the gates over one store.
    pub secret: GateSecret,
    /// The organization's OpenID provider.
    pub provider: Option<Provider>,
}

/// How browsers reach the gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The configured URL.
    pub public_url: Option<Url>,
    /// Whether the gate does TLS itself.
    pub tls: bool,
}

impl People {
    /// Of this configuration.
    ///
    /// # Errors
    ///
    /// The cipher refuses its key, which it does for none of 32 bytes.
    pub fn new(config: Config, store: &Store, meters: Meters) -> Result<Self, KeyError> {
        let key = |purpose| config.secret.derive(purpose);
        let sealer = Sealer::new(&key("people seal v1")).map_err(|_| KeyError)?;
        Ok(Self {
            passwords: config.passwords.then(|| Passwords::new(store.clone())),
            provider: config.provider,
            session_life: config.session_life,
            api_key_life: config.api_key_life,
            sealer,
            csrf: Csrf::new(&key("people csrf v1")),
            codes: hmac::Key::new(hmac::HMAC_SHA256, &key("people user codes v1")),
            guessers: Throttle::new(GUESSES),
            guesses: Throttle::new(GUESSES),
            arrivals: Throttle::new(GUESSES),
            beginners: Throttle::new(BEGINNINGS),
            meters,
        })
    }
}

impl Place {
    /// How people reach the gate: as configured, else by what their request says (`own`); `None` where that is not over TLS.
    fn origin(&self, own: Option<&str>) -> Option<String> {
        match &self.public_url {
            Some(url) if url.scheme() == "https" => Some(url.origin().ascii_serialization()),
            _ if self.tls => own.map(str::to_owned),
            _ => None,
        }
    }
}

/// A key that the cipher refuses.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no key can be made of the secret for signing in")]
pub struct KeyError;

/// The routes.
pub(super) fn router() -> Router<Shared> {
    Router::new()
        .merge(oauth::router())
        .merge(sign_in::router())
        .merge(device::router())
        .merge(authorize::router())
        .merge(open_id::router())
}

/// A page that says why something is refused.
pub(super) fn notice(heading: &str, words: &str) -> String {
    pages::notice(&Notice { heading, words, way: None }).render("")
}

/// Adds the headers that go with every page.
pub(super) fn dress(headers: &mut HeaderMap) {
    pages::dress(headers, None);
}

/// Entering a code that nobody waits with, or that the provider does not confirm: people mistype, machines guess.
const GUESSES: Policy = Policy {
    free: 10,
    wait: Duration::from_secs(2),
    wait_max: Duration::from_secs(15 * 60),
    forget: Duration::from_secs(60 * 60),
    remembered_max: 16_384,
};

/// Beginning requests: an office behind one address begins many, a machine endlessly many.
const BEGINNINGS: Policy = Policy {
    free: 60,
    wait: Duration::from_secs(1),
    wait_max: Duration::from_secs(60),
    forget: Duration::from_secs(10 * 60),
    remembered_max: 16_384,
};
