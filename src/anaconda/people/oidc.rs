//! Signing in at the organization's own OpenID provider: authorization code with PKCE (OpenID Connect Core 1.0 section 3.1, RFC 7636).
//!
//! ```text
//! /sign-in/oidc            state, nonce and verifier are made and sealed into a cookie of this browser    ─▶ the provider
//! the provider ─▶ /sign-in/oidc/callback
//!   1 the cookie opens, and its state is the one that came        another browser's, or no answer to us
//!   2 iss, if it came, is the provider's (RFC 9207)               another provider's answer
//!   3 code and verifier for tokens
//!   4 the ID token: signature, issuer, audience, time, nonce      `openidconnect`
//!   5 issuer + subject name a user                                the only thing that identifies somebody
//!   6 else the claim of the configuration (in the ID token, or from the userinfo endpoint for the same subject) is the name of a user
//!     who has a seat: they are bound together, for good           an e-mail address only if the provider has verified it
//! ```
//!
//! What goes wrong is told in a sentence and logged with its cause; passwords go on when the provider is down. No token of the provider's
//! is kept, shown or logged.

mod claim;
mod provider;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use self::claim::{Claimed, claimed};
pub use self::provider::Provider;
pub(super) use self::provider::{Identified, ProviderError, Started};

use super::next::Next;

/// How the provider is reached and what it is asked.
#[derive(Clone)]
pub struct ProviderConfig {
    /// Its issuer, below which its metadata is.
    pub issuer: String,
    /// What the gate is called there.
    pub client_id: String,
    /// What it proves itself by; without, by PKCE alone.
    pub client_secret: Option<String>,
    /// The claim that is the name of a user.
    pub user_claim: String,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// PEM certificates to trust besides the platform's.
    pub ca_file: Option<PathBuf>,
    /// What the button says.
    pub title: String,
}

/// What a browser keeps while its person is at the provider.
#[derive(Serialize, Deserialize)]
pub(super) struct Journey {
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
    next: String,
}

impl Journey {
    /// Of somebody who wants to go there.
    pub(super) fn new(started: &Started, next: &Next) -> Self {
        let Started { state, nonce, verifier, .. } = started;
        let [state, nonce, verifier] = [state, nonce, verifier].map(Clone::clone);
        Self { state, nonce, verifier, next: next.as_str().to_owned() }
    }

    /// Where they go on.
    pub(super) fn next(&self) -> Next {
        Next::parse(&self.next).unwrap_or_default()
    }
}

/// How long signing in at the provider may take.
pub(super) const JOURNEY_LIFE: Duration = Duration::from_secs(10 * 60);

/// Where the provider sends people back to.
pub(super) const CALLBACK: &str = "/sign-in/oidc/callback";
