//! The two requests by which a browser goes to the OpenID provider and comes back; what happens between them is in [`super::oidc`].

use std::error::Error as _;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;

use super::cookies::Cookie;
use super::form::Fields;
use super::meters::Attempt;
use super::next::Next;
use super::oidc::{CALLBACK, Claimed, Identified, JOURNEY_LIFE, Journey, Provider, ProviderError};
use super::pages::{Notice, lasting};
use super::seal::Purpose;
use super::sign_in::{begin, seconds};
use super::visit::{Visit, see, with_cookie, with_retry_after};
use crate::anaconda::Shared;
use crate::anaconda::refusal::Refusal;
use crate::face::network;
use crate::store::{ErrorKind, SignIn};

/// The routes.
pub(super) fn router() -> Router<Shared> {
    Router::new().route("/sign-in/oidc", get(depart)).route(CALLBACK, get(come_back))
}

/// Sends a browser to the provider.
async fn depart(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let Some(provider) = &visit.people().provider else { return Err(Refusal::Route) };
    let fields = Fields::of_query(query.as_deref()).unwrap_or_default();
    let next = fields.get("next").and_then(Next::parse).unwrap_or_default();
    let started = match provider.start(callback(&visit)).await {
        Ok(started) => started,
        Err(error) => return Ok(failed(&visit, &error)),
    };
    // Strings always serialize.
    let plain = serde_json::to_vec(&Journey::new(&started, &next)).unwrap_or_default();
    let sealed = visit.people().sealer.seal(Purpose::Oidc, &plain, visit.now.plus(JOURNEY_LIFE));
    let sealed = sealed.map_err(|_| Refusal::Overloaded)?;
    Ok(with_cookie(see(&started.url), Cookie::Oidc.set(&sealed, Some(JOURNEY_LIFE))))
}

/// Takes a browser that comes back.
async fn come_back(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let Some(provider) = &visit.people().provider else { return Err(Refusal::Route) };
    let answered = arrive(&visit, provider, query.as_deref()).await;
    // Whatever came of it, a journey ends once.
    answered.map(|response| with_cookie(response, Cookie::Oidc.end()))
}

async fn arrive(visit: &Visit, provider: &Provider, query: Option<&str>) -> Result<Response, Refusal> {
    let fields = Fields::of_query(query).unwrap_or_default();
    let Some((journey, fields)) = journey(visit, provider, fields) else {
        visit.people().meters.attempted(SignIn::OpenId, Attempt::Refused);
        let words = "This sign-in was not begun in this browser, or it took longer than ten minutes.";
        return Ok(again(visit, StatusCode::FORBIDDEN, "sign_in_outdated", words));
    };
    let Some(code) = fields.get("code") else {
        visit.people().meters.attempted(SignIn::OpenId, Attempt::Refused);
        let words = "You were not signed in: the provider was told no, or it refused.";
        return Ok(again(visit, StatusCode::FORBIDDEN, "sign_in_refused", words));
    };
    // Each code costs the provider a question: who comes back with ones that are none has to wait.
    let address = network(visit.client);
    if let Err(wait) = visit.people().arrivals.begin(address, visit.now) {
        visit.people().meters.attempted(SignIn::OpenId, Attempt::Throttled);
        let words = format!("There were too many attempts. Try again in {}.", lasting(wait));
        return Ok(with_retry_after(
            again(visit, StatusCode::TOO_MANY_REQUESTS, "rate_limited", &words),
            seconds(wait),
        ));
    }
    match provider.finish(&journey, code.to_owned(), callback(visit)).await {
        Ok(identified) => {
            visit.people().arrivals.take_back(&address);
            admit(visit, identified, &journey.next()).await
        }
        Err(error) => Ok(failed(visit, &error)),
    }
}

/// The journey that this browser began and that the answer is of.
fn journey(visit: &Visit, provider: &Provider, fields: Fields) -> Option<(Journey, Fields)> {
    let sealed = Cookie::Oidc.of(&visit.headers)?;
    let plain = visit.people().sealer.open(Purpose::Oidc, sealed, visit.now)?;
    let journey: Journey = serde_json::from_slice(&plain).ok()?;
    let state = fields.get("state")?;
    verify_slices_are_equal(journey.state.as_bytes(), state.as_bytes()).ok()?;
    let is_of_provider = fields.get("iss").is_none_or(|issuer| provider.is_issuer(issuer));
    is_of_provider.then_some((journey, fields))
}

/// Signs in whoever the provider identified, if that is somebody here.
async fn admit(visit: &Visit, identified: Identified, next: &Next) -> Result<Response, Refusal> {
    let store = &visit.shared.store;
    let Identified { issuer, subject, name } = identified;
    let user = match (store.user_of_identity(&issuer, &subject).await?, name) {
        (Some(user), _) => user,
        (None, Claimed::Is(name)) => {
            let by = visit.actor(&name);
            match store.bind_identity(&issuer, &subject, &name, &by, visit.now).await {
                Ok(user) => user,
                Err(error) => return unbound(visit, error),
            }
        }
        (None, Claimed::Unverified) => {
            return Ok(nobody(
                visit,
                "The provider does not say that it has verified your e-mail address, so it does not tell who you are here.",
            ));
        }
        (None, Claimed::Absent) => {
            return Ok(nobody(
                visit,
                "The provider does not tell by what name you are known here: its administrator finds the claim in sign_in.oidc.user_claim.",
            ));
        }
    };
    if user.is_disabled() {
        return Ok(nobody(visit, "Your account was disabled."));
    }
    begin(visit, &user.name, SignIn::OpenId, next).await
}

fn unbound(visit: &Visit, error: crate::store::StoreError) -> Result<Response, Refusal> {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Invalid => {
            Ok(nobody(visit, "You are known to the provider, but there is no seat for you here."))
        }
        ErrorKind::Conflict => Ok(nobody(
            visit,
            "Your name belongs to another account of the provider's, or it was disabled here.",
        )),
        _ => Err(error.into()),
    }
}

fn nobody(visit: &Visit, words: &str) -> Response {
    visit.people().meters.attempted(SignIn::OpenId, Attempt::Refused);
    again(visit, StatusCode::FORBIDDEN, "sign_in_refused", &format!("{words} Ask your administrator."))
}

fn failed(visit: &Visit, error: &ProviderError) -> Response {
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        cause = format!("{cause}: {inner}");
        source = inner.source();
    }
    tracing::warn!(cause, "signing in at the OpenID provider failed");
    visit.people().meters.attempted(SignIn::OpenId, Attempt::Failed);
    match error {
        ProviderError::Unreachable(_) | ProviderError::Overloaded => {
            let words = "The provider that signs you in does not answer. Try again shortly.";
            with_retry_after(again(visit, StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable", words), 10)
        }
        ProviderError::Refused(_) | ProviderError::Invalid(_) => {
            let words = "The provider's answer does not hold, so you are not signed in. If it happens again, tell your administrator, who finds the reason in the gate's log.";
            again(visit, StatusCode::BAD_GATEWAY, "provider_invalid", words)
        }
    }
}

fn again(visit: &Visit, status: StatusCode, code: &'static str, words: &str) -> Response {
    let way = Some(("/sign-in", "Sign in again"));
    visit.notice(status, code, &Notice { heading: "You are not signed in", words, way })
}

/// Where the provider sends this browser back to.
fn callback(visit: &Visit) -> String {
    format!("{}{CALLBACK}", visit.origin)
}
