//! What a program on a person's own machine asks for in their browser (RFC 6749 section 4.1, with PKCE and RFC 8252's rules). Pure.
//!
//! `anaconda org login` without a stored API key opens the browser at the authorization endpoint and listens on a port of this machine for
//! the code. Only a loopback address is redirected to, by number, so that no name can lead it elsewhere; and a code is worth nothing without
//! the verifier that only the program has: what is kept of a code is a digest of it together with the challenge, the address and the client.

use std::net::IpAddr;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::form::Fields;
use super::wire::CLIENT_ID;
use crate::token::TokenDigest;

/// A request for an authorization code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grant {
    /// Where the code goes: a program on this machine.
    pub(super) redirect_uri: String,
    /// What only the program can undo.
    challenge: String,
    /// What the program knows its request by.
    state: Option<String>,
}

/// Why there is no code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GrantError {
    /// Nobody knows where the code would go: it is said to the person, and nowhere else.
    Page(&'static str),
    /// The program is told, by this word and in this sentence.
    Program {
        /// Where it is told.
        grant: Grant,
        /// The word.
        error: &'static str,
        /// The sentence.
        description: &'static str,
    },
}

impl Grant {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// See [`GrantError`].
    pub(super) fn parse(fields: &Fields) -> Result<Self, GrantError> {
        if fields.get("client_id") != Some(CLIENT_ID) {
            return Err(GrantError::Page(
                "The program is not known here: this gate knows the client id of anaconda-auth only.",
            ));
        }
        let redirect_uri = fields.get("redirect_uri").filter(|uri| is_loopback(uri)).ok_or(GrantError::Page(
            "The program does not wait for the answer on this computer (redirect_uri has to be http://127.0.0.1:PORT/…), so it gets none.",
        ))?;
        let state = fields.get("state").map(str::to_owned);
        let grant = Self { redirect_uri: redirect_uri.to_owned(), challenge: String::new(), state };
        let tell = |grant: Self, error, description| Err(GrantError::Program { grant, error, description });
        if grant.state.as_ref().is_some_and(|state| state.len() > STATE_BYTES_MAX) {
            return tell(Self { state: None, ..grant }, "invalid_request", "state is too long");
        }
        if fields.get("response_type") != Some("code") {
            return tell(grant, "unsupported_response_type", "only response_type=code is served");
        }
        let challenge = fields.get("code_challenge").filter(|challenge| is_digest(challenge));
        let Some(challenge) = challenge.filter(|_| fields.get("code_challenge_method") == Some("S256"))
        else {
            return tell(grant, "invalid_request", "a code_challenge of the method S256 is needed");
        };
        let challenge = challenge.to_owned();
        Ok(Self { challenge, ..grant })
    }

    /// What is kept of a code for this request.
    pub(super) fn digest(&self, code: &str) -> TokenDigest {
        kept(code, &self.challenge, &self.redirect_uri)
    }

    /// Where the browser goes with these fields, and with what the program knows its request by.
    pub(super) fn answer(&self, fields: &[(&str, &str)]) -> Option<String> {
        let mut url = Url::parse(&self.redirect_uri).ok()?;
        url.query_pairs_mut()
            .extend_pairs(fields)
            .extend_pairs(self.state.as_ref().map(|state| ("state", state)));
        Some(url.into())
    }

    /// The origin that the program listens at.
    pub(super) fn origin(&self) -> Option<String> {
        Url::parse(&self.redirect_uri).ok().map(|url| url.origin().ascii_serialization())
    }
}

/// What is kept of the code that a program shows with its verifier; `None` for what cannot be a verifier (RFC 7636 section 4.1).
pub(super) fn shown(code: &str, verifier: &str, redirect_uri: &str) -> Option<TokenDigest> {
    let is_verifier = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    is_verifier.then(|| kept(code, &challenge, redirect_uri))
}

fn kept(code: &str, challenge: &str, redirect_uri: &str) -> TokenDigest {
    let mut context = Context::new(&SHA256);
    for part in ["channelgate authorization code v1", CLIENT_ID, challenge, redirect_uri, code] {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part.as_bytes());
    }
    // SHA-256 has 32 bytes.
    TokenDigest::from_bytes(context.finish().as_ref()).unwrap_or_else(|| TokenDigest::of(code.as_bytes()))
}

/// The SHA-256 of something, in base64url.
fn is_digest(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

/// `http://` to a loopback address, with a port and without anything that could lead elsewhere.
fn is_loopback(uri: &str) -> bool {
    let is_plain = uri.len() <= URI_BYTES_MAX
        && uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"'<>;,".contains(&byte));
    let Some(url) = Url::parse(uri).ok().filter(|_| is_plain) else { return false };
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return false,
    };
    url.scheme() == "http"
        && address.is_loopback()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        // As written: no other reader of it can see another host in it.
        && uri.starts_with(&url.origin().ascii_serialization())
}

const STATE_BYTES_MAX: usize = 512;
const URI_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests;
