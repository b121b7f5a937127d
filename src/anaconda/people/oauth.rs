//! The endpoints that programs ask: what the gate can do, a device's request, and the token for it.
//!
//! They need no credential, so everything is bounded: how often an address may begin, how many wait (the store), how often one may poll (the
//! store). A code that cannot be the gate's is not looked up.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use super::People;
use super::form::Fields;
use super::grant;
use super::meters::Step;
use super::sign_in::seconds;
use super::user_code::UserCode;
use super::visit::own_origin;
use super::wire::{self, CLIENT_ID, CLIENT_NAME, DeviceAuthorization, Granted, Metadata, OAuthError, json};
use crate::anaconda::Shared;
use crate::anaconda::asking::Arrival;
use crate::anaconda::parts::Raw;
use crate::anaconda::refusal::Refusal;
use crate::face::network;
use crate::store::{ErrorKind, NewDevice, Poll, StoreError};
use crate::token::{Minted, Secret, TokenDigest};

/// The routes.
pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/.well-known/openid-configuration", get(describe))
        .route("/.well-known/oauth-authorization-server", get(describe))
        .route(wire::path::DEVICE_AUTHORIZATION, post(begin))
        .route(wire::path::TOKEN, post(grant))
}

/// A program's request over TLS.
struct Asked {
    shared: Shared,
    people: Arc<People>,
    arrival: Arrival,
    headers: HeaderMap,
    origin: String,
}

impl FromRequestParts<Shared> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let arrival = Arrival::from_request_parts(parts, shared).await.map_err(Refusal::into_response)?;
        let own = own_origin(parts);
        let Some(origin) = shared.surroundings.load().place.origin(own.as_deref()) else {
            let problem = "signing in needs TLS: use https, or have listen.tls configured";
            return Err(OAuthError::InvalidRequest(problem).respond());
        };
        let Some(people) = shared.people.clone() else {
            return Err(OAuthError::TemporarilyUnavailable(60).respond());
        };
        Ok(Self { shared: Arc::clone(shared), people, arrival, headers: parts.headers.clone(), origin })
    }
}

/// What the gate can do.
async fn describe(asked: Asked) -> Response {
    json(StatusCode::OK, &Metadata::of(&asked.origin))
}

/// Begins a device's request.
async fn begin(asked: Asked, Raw(body): Raw) -> Result<Response, Refusal> {
    let Asked { shared, people, arrival, headers, origin } = asked;
    let fields = match form(&headers, &body) {
        Ok(fields) => fields,
        Err(error) => return Ok(error.respond()),
    };
    if fields.get("client_id") != Some(CLIENT_ID) {
        return Ok(OAuthError::InvalidClient.respond());
    }
    if let Err(wait) = people.beginners.begin(network(arrival.client), arrival.at) {
        people.meters.stepped(Step::TurnedAway);
        return Ok(OAuthError::TemporarilyUnavailable(seconds(wait)).respond());
    }
    let (device, code) = match (Minted::random(), UserCode::random()) {
        (Ok(device), Ok(code)) => (device, code),
        _ => return Err(Refusal::Overloaded),
    };
    let request = NewDevice {
        device_digest: device.digest(),
        user_code_digest: code.digest(&people.codes),
        client_name: CLIENT_NAME.to_owned(),
        address: arrival.client,
        agent: agent(&headers),
        scopes: "openid".to_owned(),
        expires_at: arrival.at.plus(CODE_LIFE),
        interval: INTERVAL,
    };
    match shared.store.begin_device(&request, arrival.at).await {
        Ok(()) => people.meters.stepped(Step::Asked),
        Err(error) if error.kind() == ErrorKind::Conflict => {
            people.meters.stepped(Step::TurnedAway);
            return Ok(OAuthError::TemporarilyUnavailable(60).respond());
        }
        Err(error) => return Ok(unavailable(error)),
    }
    let place = format!("{origin}{}", wire::path::DEVICE);
    let answer = DeviceAuthorization {
        device_code: device.expose(),
        user_code: code.to_string(),
        verification_uri_complete: format!("{place}?user_code={code}"),
        verification_uri: place,
        expires_in: CODE_LIFE.as_secs(),
        interval: INTERVAL.as_secs(),
    };
    Ok(json(StatusCode::OK, &answer))
}

/// An access token for a code.
async fn grant(asked: Asked, Raw(body): Raw) -> Result<Response, Refusal> {
    let Asked { shared, people, arrival, headers, .. } = asked;
    let answered = async {
        let fields = form(&headers, &body)?;
        if fields.get("client_id") != Some(CLIENT_ID) {
            return Err(OAuthError::InvalidClient);
        }
        let code = code(&fields)?;
        let access = Minted::random().map_err(|_| OAuthError::TemporarilyUnavailable(1))?;
        let polled = shared.store.poll_device(&code, &access.digest(), arrival.at).await;
        match polled.map_err(|error| said(&error))? {
            Poll::Granted { access_expires_at } => Ok((access, access_expires_at.since(arrival.at))),
            Poll::Pending => Err(OAuthError::AuthorizationPending),
            Poll::SlowDown => Err(OAuthError::SlowDown),
            Poll::Denied => Err(OAuthError::AccessDenied),
            Poll::Expired => Err(OAuthError::ExpiredToken),
            Poll::Unknown => Err(OAuthError::InvalidGrant),
        }
    };
    Ok(match answered.await {
        Ok((access, life)) => {
            people.meters.stepped(Step::Granted);
            let granted =
                Granted { access_token: access.expose(), token_type: "Bearer", expires_in: life.as_secs() };
            json(StatusCode::OK, &granted)
        }
        Err(error) => error.respond(),
    })
}

/// The digest that the code of a request is kept under.
fn code(fields: &Fields) -> Result<TokenDigest, OAuthError> {
    let needed = |name, problem| fields.get(name).ok_or(OAuthError::InvalidRequest(problem));
    let sound = |code: &str| {
        if Secret::new(code.as_bytes()).is_plausible() { Ok(()) } else { Err(OAuthError::InvalidGrant) }
    };
    match needed("grant_type", "grant_type is missing")? {
        wire::DEVICE_GRANT => {
            let code = needed("device_code", "device_code is missing")?;
            sound(code)?;
            Ok(TokenDigest::of(code.as_bytes()))
        }
        "authorization_code" => {
            let code = needed("code", "code is missing")?;
            let verifier = needed("code_verifier", "code_verifier is missing")?;
            let redirect_uri = needed("redirect_uri", "redirect_uri is missing")?;
            sound(code)?;
            grant::shown(code, verifier, redirect_uri).ok_or(OAuthError::InvalidGrant)
        }
        _ => Err(OAuthError::UnsupportedGrantType),
    }
}

fn form(headers: &HeaderMap, body: &[u8]) -> Result<Fields, OAuthError> {
    Fields::of_body(headers, body).map_err(|_| {
        OAuthError::InvalidRequest(
            "the request has to be a form, application/x-www-form-urlencoded, with each field once",
        )
    })
}

/// What a program calls itself, as far as it is words of the usual kind: people read it on the page, and it must not tell them a story.
fn agent(headers: &HeaderMap) -> Option<String> {
    let first = headers.get(USER_AGENT)?.to_str().ok()?.split(' ').next()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/+".contains(&byte);
    (first.len() <= AGENT_CHARS_MAX && first.bytes().all(is_plain)).then(|| first.to_owned())
}

fn unavailable(error: StoreError) -> Response {
    said(&error).respond()
}

fn said(error: &StoreError) -> OAuthError {
    tracing::error!(%error, "the store failed a program's request");
    OAuthError::TemporarilyUnavailable(2)
}

/// How long a person has to answer.
pub(super) const CODE_LIFE: Duration = Duration::from_secs(10 * 60);

/// How long a device waits between two polls: a person waits for it.
const INTERVAL: Duration = Duration::from_secs(2);

const AGENT_CHARS_MAX: usize = 64;
