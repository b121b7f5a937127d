//! Proof that a form was filled in on a page of the gate, in the browser that sends it.
//!
//! A page's form holds a value that only the gate can make, for that form, that browser and a few hours. The browser is known by a cookie
//! that other sites can neither read nor set (`__Host-`, `SameSite=Lax`): that of its session once somebody is signed in, else that of its
//! visit. Besides, what the browser itself says of where a request comes from (`Sec-Fetch-Site`, `Origin`) has to be right. Pure.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::ORIGIN;
use http::{HeaderMap, HeaderName};
use url::Url;

use crate::clock::Timestamp;

/// A form of the gate's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Signing in by a password.
    SignIn,
    /// Signing out.
    SignOut,
    /// The answer to a device.
    Device,
    /// The answer to a program on this machine.
    Authorize,
}

/// Makes and checks the proofs.
pub(super) struct Csrf(hmac::Key);

impl Csrf {
    /// Under this key.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The proof for a form that is shown now to a browser that `browser` tells from others.
    pub(super) fn issue(&self, form: Form, browser: &[u8], now: Timestamp) -> String {
        let mut proof = now.as_millis().to_be_bytes().to_vec();
        proof.extend_from_slice(self.tag(form, browser, now).as_ref());
        URL_SAFE_NO_PAD.encode(proof)
    }

    /// True for a proof that [`Csrf::issue`] made for this form and browser within [`LIFE`].
    pub(super) fn holds(&self, form: Form, browser: &[u8], proof: &str, now: Timestamp) -> bool {
        if proof.len() > PROOF_CHARS_MAX {
            return false;
        }
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(proof) else { return false };
        let Some((at, tag)) = bytes.split_first_chunk() else { return false };
        let at = Timestamp::from_millis(i64::from_be_bytes(*at));
        // Gates over one store share the key, and their clocks need not be the same to the millisecond.
        let is_young = now.since(at) < LIFE && at.since(now) < SKEW;
        verify_slices_are_equal(self.tag(form, browser, at).as_ref(), tag).is_ok() && is_young
    }

    fn tag(&self, form: Form, browser: &[u8], at: Timestamp) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(match form {
            Form::SignIn => b"form sign-in ",
            Form::SignOut => b"form sign-out ",
            Form::Device => b"form device ",
            Form::Authorize => b"form authorize ",
        });
        context.update(&at.as_millis().to_be_bytes());
        context.update(browser);
        context.sign()
    }
}

/// True unless the browser says that another site is behind a request that changes something; `origins` are the gate's own, as it is reached.
/// Not every browser says it: that the request comes from a page of the gate's is what the proof in the form is for.
pub(super) fn is_same_origin(headers: &HeaderMap, origins: &[&str]) -> bool {
    let site_fits =
        headers.get(SEC_FETCH_SITE).is_none_or(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    let origin_fits = headers.get(ORIGIN).is_none_or(|given| {
        let given = given.to_str().ok().and_then(|given| Url::parse(given).ok());
        given.map(|given| given.origin()).is_some_and(|given| {
            let is = |own: &&str| Url::parse(own).is_ok_and(|own| own.origin() == given);
            given.is_tuple() && origins.iter().any(is)
        })
    });
    site_fits && origin_fits
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How long a form may stay open.
pub(super) const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
const SKEW: Duration = Duration::from_secs(120);
/// A moment and a tag in base64: 54 characters.
const PROOF_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests;
