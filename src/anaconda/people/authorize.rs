//! The page on which a person lets a program on their own machine act for them: the authorization endpoint (RFC 6749 section 3.1).
//!
//! The request is sealed into the form, so that what is answered is what was shown. An answer leads the browser to the program, which listens
//! on a loopback address; everything else about the request is in [`super::grant`]. A code is one of the devices that the store knows, begun
//! and let in at once, and lives for a minute.

use std::time::Duration;

use axum::Router;
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;

use super::csrf::Form;
use super::device::{no_seat, organizations};
use super::form::Fields;
use super::grant::{Grant, GrantError};
use super::meters::Step;
use super::next::Next;
use super::oauth::CODE_LIFE;
use super::pages::{self, Consent, Mistake, Notice, Requester, lasting};
use super::seal::Purpose;
use super::sign_in::outdated;
use super::user_code::UserCode;
use super::visit::{Session, Visit, see, with_code};
use super::wire::{self, CLIENT_NAME};
use crate::anaconda::Shared;
use crate::anaconda::parts::Raw;
use crate::anaconda::refusal::Refusal;
use crate::store::{ErrorKind, NewDevice};
use crate::token::Minted;

/// The routes.
pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route(wire::path::AUTHORIZE, get(show).post(answer))
        .route("/app/local-login-success", get(arrived))
        .route("/app/local-login-error", get(lost))
}

/// Asks.
async fn show(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let Ok(fields) = Fields::of_query(query.as_deref()) else { return Ok(malformed(&visit, UNREADABLE)) };
    let grant = match Grant::parse(&fields) {
        Ok(grant) => grant,
        Err(GrantError::Page(words)) => return Ok(malformed(&visit, words)),
        Err(GrantError::Program { grant, error, description }) => {
            return Ok(tell(&visit, &grant, &[("error", error), ("error_description", description)], error));
        }
    };
    let Some(session) = visit.session().await? else {
        let next = Next::page(wire::path::AUTHORIZE, query.as_deref().unwrap_or_default());
        return Ok(next.map_or_else(|| malformed(&visit, UNREADABLE), |next| visit.sign_in_first(&next)));
    };
    ask(&visit, &session, &grant, StatusCode::OK, None).await
}

async fn ask(
    visit: &Visit,
    session: &Session,
    grant: &Grant,
    status: StatusCode,
    mistake: Option<&Mistake>,
) -> Result<Response, Refusal> {
    let organizations = match organizations(visit, &session.user.name).await? {
        organizations if organizations.is_empty() => return Ok(no_seat(visit)),
        organizations => organizations,
    };
    // Strings always serialize.
    let plain = serde_json::to_vec(grant).unwrap_or_default();
    let sealed = visit.people().sealer.seal(Purpose::Grant, &plain, visit.now.plus(CODE_LIFE));
    let sealed = sealed.map_err(|_| Refusal::Overloaded)?;
    let page = pages::consent(&Consent {
        person: session.person(&visit.sign_out_proof(session)),
        requester: Requester::Local,
        program: CLIENT_NAME,
        lasts: &lasting(visit.people().api_key_life),
        organizations: &organizations,
        proof: &visit.proof(Form::Authorize, &bound(session, &sealed)),
        carries: ("request", &sealed),
        action: wire::path::AUTHORIZE,
        mistake,
        now: visit.now,
    });
    let name = if mistake.is_some() { "form_outdated" } else { "ok" };
    Ok(with_code(pages::respond(status, &page, visit.place(), grant.origin().as_deref()), name))
}

/// Takes the answer.
async fn answer(visit: Visit, Raw(body): Raw) -> Result<Response, Refusal> {
    let fields = Fields::of_body(&visit.headers, &body).map_err(|error| Refusal::Value(error.to_string()))?;
    let sealed = fields.get("request").unwrap_or_default();
    let opened = visit.people().sealer.open(Purpose::Grant, sealed, visit.now);
    let Some(grant) = opened.and_then(|plain| serde_json::from_slice::<Grant>(&plain).ok()) else {
        return Ok(malformed(&visit, "The request has expired. Start again in your terminal."));
    };
    let session = visit.session().await?;
    let Some(session) = session else {
        return Ok(malformed(&visit, "You are no longer signed in. Start again in your terminal."));
    };
    if !visit.is_genuine(Form::Authorize, &bound(&session, sealed), fields.get("proof")) {
        return ask(&visit, &session, &grant, StatusCode::FORBIDDEN, Some(&outdated())).await;
    }
    match (fields.get("answer"), fields.get("organization")) {
        (Some("approve"), Some(organization)) => approve(&visit, &session, &grant, organization).await,
        _ => {
            visit.people().meters.stepped(Step::Denied);
            let said =
                [("error", "access_denied"), ("error_description", "the request was denied in the browser")];
            Ok(tell(&visit, &grant, &said, "access_denied"))
        }
    }
}

async fn approve(
    visit: &Visit,
    session: &Session,
    grant: &Grant,
    organization: &str,
) -> Result<Response, Refusal> {
    let (code, user_code) = match (Minted::random(), UserCode::random()) {
        (Ok(code), Ok(user_code)) => (code, user_code),
        _ => return Err(Refusal::Overloaded),
    };
    let (store, now) = (&visit.shared.store, visit.now);
    let user_code = user_code.digest(&visit.people().codes);
    let request = NewDevice {
        device_digest: grant.digest(code.expose()),
        user_code_digest: user_code,
        client_name: CLIENT_NAME.to_owned(),
        address: visit.client,
        agent: None,
        scopes: "openid".to_owned(),
        expires_at: now.plus(GRANT_LIFE),
        interval: Duration::ZERO,
    };
    store.begin_device(&request, now).await?;
    let user = &session.user.name;
    match store.approve_device(&user_code, user, organization, &visit.actor(user), now).await {
        Ok(_) => {}
        // The seat is gone since the page was shown.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => {
            return ask(visit, session, grant, StatusCode::CONFLICT, Some(&outdated())).await;
        }
        Err(error) => return Err(error.into()),
    }
    visit.people().meters.stepped(Step::Approved);
    Ok(tell(visit, grant, &[("code", code.expose())], "ok"))
}

/// Leads the browser to the program.
fn tell(visit: &Visit, grant: &Grant, fields: &[(&str, &str)], code: &'static str) -> Response {
    let place = grant.answer(fields);
    place.map_or_else(|| malformed(visit, UNREADABLE), |place| with_code(see(&place), code))
}

fn malformed(visit: &Visit, words: &str) -> Response {
    let notice = Notice { heading: "This does not work", words, way: None };
    visit.notice(StatusCode::BAD_REQUEST, "request_invalid", &notice)
}

/// Where the program leads the browser when it has its code.
async fn arrived(visit: Visit) -> Response {
    let notice = Notice {
        heading: "You are signed in",
        words: "Go back to your terminal. You can close this page.",
        way: None,
    };
    visit.notice(StatusCode::OK, "ok", &notice)
}

/// Where the program leads the browser when it has none.
async fn lost(visit: Visit) -> Response {
    let notice = Notice {
        heading: "Nothing was given to the program",
        words: "The request was denied, or the program did not understand the answer. If you want to sign in, start again in your terminal.",
        way: None,
    };
    visit.notice(StatusCode::OK, "ok", &notice)
}

/// What the proof of the form is bound to: the person's browser and this request.
fn bound(session: &Session, sealed: &str) -> Vec<u8> {
    let mut bound = session.digest.as_bytes().to_vec();
    bound.extend_from_slice(sealed.as_bytes());
    bound
}

const UNREADABLE: &str = "The link is not whole. Start again in your terminal.";

/// A program takes its code at once.
const GRANT_LIFE: Duration = Duration::from_secs(60);
