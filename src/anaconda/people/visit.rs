//! A browser's request: where it came to, from whom, and who is signed in.
//!
//! Every handler of a page takes one first. Without TLS there is none: a browser keeps the gate's cookies from TLS only, so nothing could
//! work, and a password must not be typed into a page that anybody on the way can read; the page says so.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::header::{HOST, LOCATION, RETRY_AFTER, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use super::cookies::Cookie;
use super::csrf::{self, Form};
use super::next::Next;
use super::pages::{self, Notice, Page, Person};
use super::{People, wire};
use crate::account::User;
use crate::anaconda::Shared;
use crate::anaconda::asking::Arrival;
use crate::anaconda::refusal::Refusal;
use crate::anaconda::reply::Code;
use crate::clock::Timestamp;
use crate::store::Actor;
use crate::token::TokenDigest;

/// A browser's request.
pub(super) struct Visit {
    pub(super) shared: Shared,
    people: Arc<People>,
    pub(super) now: Timestamp,
    /// From where.
    pub(super) client: IpAddr,
    pub(super) headers: HeaderMap,
    /// How the gate is reached: `https://HOST[:PORT]`.
    pub(super) origin: String,
    /// How this request reached it, where the configuration says otherwise.
    own_origin: Option<String>,
}

/// Somebody who is signed in.
pub(super) struct Session {
    pub(super) user: User,
    /// The digest of the cookie's value.
    pub(super) digest: TokenDigest,
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let arrival = Arrival::from_request_parts(parts, shared).await.map_err(Refusal::into_response)?;
        let own = own_origin(parts);
        let Some(origin) = shared.surroundings.load().place.origin(own.as_deref()) else {
            return Err(needs_tls());
        };
        let Some(people) = shared.people.clone() else { return Err(off()) };
        Ok(Self {
            shared: Arc::clone(shared),
            people,
            now: arrival.at,
            client: arrival.client,
            headers: parts.headers.clone(),
            origin,
            own_origin: own,
        })
    }
}

/// The origin that a request names, if it is over TLS.
pub(super) fn own_origin(parts: &Parts) -> Option<String> {
    let host = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => parts.headers.get(HOST)?.to_str().ok()?,
    };
    let url = Url::parse(&format!("https://{host}")).ok()?;
    let is_host =
        url.username().is_empty() && url.password().is_none() && url.path() == "/" && url.query().is_none();
    is_host.then(|| url.origin().ascii_serialization())
}

impl Visit {
    /// What people are.
    pub(super) fn people(&self) -> &People {
        &self.people
    }

    /// The name by which the gate is reached, for people.
    pub(super) fn place(&self) -> &str {
        self.origin.strip_prefix("https://").unwrap_or(&self.origin)
    }

    /// Who is signed in.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(super) async fn session(&self) -> Result<Option<Session>, Refusal> {
        let Some(value) = Cookie::Session.of(&self.headers) else { return Ok(None) };
        let digest = TokenDigest::of(value.as_bytes());
        let found = self.shared.store.session(&digest, self.now).await?;
        Ok(found.map(|found| Session { user: found.user, digest }))
    }

    /// Who makes a change, for the audit.
    pub(super) fn actor(&self, user: &str) -> Actor {
        Actor { name: format!("user:{user}"), from: Some(self.client) }
    }

    /// True for a form that came from a page of the gate's which this browser was shown.
    pub(super) fn is_genuine(&self, form: Form, browser: &[u8], proof: Option<&str>) -> bool {
        let origins: Vec<&str> =
            std::iter::once(self.origin.as_str()).chain(self.own_origin.as_deref()).collect();
        csrf::is_same_origin(&self.headers, &origins)
            && proof.is_some_and(|proof| self.people().csrf.holds(form, browser, proof, self.now))
    }

    /// The proof of a form that is shown now.
    pub(super) fn proof(&self, form: Form, browser: &[u8]) -> String {
        self.people().csrf.issue(form, browser, self.now)
    }

    /// The proof of the form that signs this one out.
    pub(super) fn sign_out_proof(&self, session: &Session) -> String {
        self.proof(Form::SignOut, session.digest.as_bytes())
    }

    /// A page.
    pub(super) fn page(&self, status: StatusCode, code: &'static str, page: &Page) -> Response {
        with_code(pages::respond(status, page, self.place(), None), code)
    }

    /// A page that only says something.
    pub(super) fn notice(&self, status: StatusCode, code: &'static str, notice: &Notice<'_>) -> Response {
        self.page(status, code, &pages::notice(notice))
    }

    /// To the page for signing in, and then to `next`.
    pub(super) fn sign_in_first(&self, next: &Next) -> Response {
        let next: String = url::form_urlencoded::byte_serialize(next.as_str().as_bytes()).collect();
        see(&format!("{}?next={next}", wire::path::SIGN_IN))
    }
}

impl Session {
    /// As a page shows them.
    pub(super) fn person<'a>(&'a self, sign_out_proof: &'a str) -> Person<'a> {
        Person { user: &self.user.name, sign_out_proof }
    }
}

/// To another place, by GET.
pub(super) fn see(place: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(place) = HeaderValue::try_from(place) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

/// With what the response is counted as.
pub(super) fn with_code(mut response: Response, code: &'static str) -> Response {
    response.extensions_mut().insert(Code(code));
    response
}

/// With a cookie.
pub(super) fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// With when to try again.
pub(super) fn with_retry_after(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn needs_tls() -> Response {
    let page = pages::notice(&Notice {
        heading: "Signing in needs TLS",
        words: "This gate is reached without TLS, so that passwords and sign-ins could be read on the way: nobody can sign in here. Its administrator \
                sets listen.tls, or listen.public_url to an https:// address where a proxy in front of it does TLS. Channels are not concerned.",
        way: None,
    });
    with_code(pages::respond(StatusCode::FORBIDDEN, &page, "", None), "tls_required")
}

fn off() -> Response {
    let page = pages::notice(&Notice {
        heading: "Nobody can sign in here",
        words: "Signing in is switched off at this gate, or its secret for it cannot be used: its administrator finds the reason in its log. Channels are \
                not concerned.",
        way: None,
    });
    let response = pages::respond(StatusCode::SERVICE_UNAVAILABLE, &page, "", None);
    with_retry_after(with_code(response, "sign_in_off"), 60)
}
