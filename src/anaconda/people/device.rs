//! The page on which a person connects a device (RFC 8628 section 3.3).
//!
//! Codes travel by eye, so they can be phished: somebody sends a code of their own and a good story. What stands against it: the page names
//! where the request came from, when, and what it will be able to do, and says what to do if somebody sent the code; it is shown only to
//! people who are signed in, and answered only by a form of that very page. Guessing is answered by the throttle: a person and an address
//! that enter codes nobody waits with have to wait soon. A code is answered once; sending the answer again shows what became of it.

use std::time::Duration;

use axum::Router;
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;

use super::csrf::Form;
use super::form::Fields;
use super::meters::Step;
use super::next::Next;
use super::pages::{self, Answered, Consent, Entry, Mistake, Notice, Requester, lasting};
use super::sign_in::{outdated, seconds};
use super::user_code::UserCode;
use super::visit::{Session, Visit, see, with_retry_after};
use super::wire::{self, CLIENT_NAME};
use crate::anaconda::Shared;
use crate::anaconda::parts::Raw;
use crate::anaconda::refusal::Refusal;
use crate::face::network;
use crate::store::{Device, DeviceState, ErrorKind};
use crate::token::mask_values;

/// The routes.
pub(super) fn router() -> Router<Shared> {
    Router::new().route(wire::path::DEVICE, get(show).post(answer))
}

/// Asks for the code, or what to say to the device that waits with it.
async fn show(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let fields = Fields::of_query(query.as_deref()).unwrap_or_default();
    let session = visit.session().await?;
    let Some(typed) = fields.get("user_code") else {
        return Ok(entry(&visit, session.as_ref(), StatusCode::OK, "ok", "", None));
    };
    let Some(code) = UserCode::parse(typed) else {
        let mistake =
            Mistake::at("code", "A code has ten letters, such as BCDFG-HJKLM. Look at your terminal again.");
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let typed = mask_values(typed);
        return Ok(entry(&visit, session.as_ref(), status, "value_invalid", &typed, Some(&mistake)));
    };
    match session {
        Some(session) => ask(&visit, &session, code, StatusCode::OK, None).await,
        None => Ok(visit.sign_in_first(&of_code(code))),
    }
}

/// Takes the answer.
async fn answer(visit: Visit, Raw(body): Raw) -> Result<Response, Refusal> {
    let fields = Fields::of_body(&visit.headers, &body).map_err(|error| Refusal::Value(error.to_string()))?;
    let Some(code) = fields.get("user_code").and_then(UserCode::parse) else {
        return Ok(see(wire::path::DEVICE));
    };
    let Some(session) = visit.session().await? else { return Ok(visit.sign_in_first(&of_code(code))) };
    if !visit.is_genuine(Form::Device, &bound(&session, code), fields.get("proof")) {
        return ask(&visit, &session, code, StatusCode::FORBIDDEN, Some(&outdated())).await;
    }
    let (store, digest) = (&visit.shared.store, code.digest(&visit.people().codes));
    let (user, by) = (session.user.name.as_str(), visit.actor(&session.user.name));
    let said = match (fields.get("answer"), fields.get("organization")) {
        (Some("approve"), Some(organization)) => {
            store.approve_device(&digest, user, organization, &by, visit.now).await.map(|_| Step::Approved)
        }
        (Some("deny"), _) => store.deny_device(&digest, user, &by, visit.now).await.map(|_| Step::Denied),
        _ => return ask(&visit, &session, code, StatusCode::UNPROCESSABLE_ENTITY, Some(&outdated())).await,
    };
    match said {
        Ok(step) => visit.people().meters.stepped(step),
        // It was answered before, or its time is over, or the seat is gone: the page says what is.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => {}
        Err(error) => return Err(error.into()),
    }
    // By GET, so that loading the page again sends nothing again.
    Ok(see(of_code(code).as_str()))
}

/// The page that asks, or that says what became of it.
async fn ask(
    visit: &Visit,
    session: &Session,
    code: UserCode,
    status: StatusCode,
    mistake: Option<&Mistake>,
) -> Result<Response, Refusal> {
    let people = visit.people();
    let (user, address) = (&session.user.name, network(visit.client));
    let throttled = people.guesses.begin(address, visit.now).and_then(|()| {
        let begun = people.guessers.begin(user.clone(), visit.now);
        begun.inspect_err(|_| people.guesses.take_back(&address))
    });
    if let Err(wait) = throttled {
        return Ok(slow_down(visit, session, code, wait));
    }
    let found = visit.shared.store.device_by_user_code(&code.digest(&people.codes), visit.now).await;
    if !matches!(found, Ok(None)) {
        people.guesses.take_back(&address);
        people.guessers.take_back(user);
    }
    let is_mine = |device: &Device| device.approved.as_ref().is_some_and(|approval| approval.user == *user);
    match found? {
        Some(device) if device.state == DeviceState::Pending => {
            consent(visit, session, code, &device, status, mistake).await
        }
        Some(device) if device.state == DeviceState::Denied => {
            Ok(visit.page(StatusCode::OK, "ok", &pages::answered(Answered::Denied)))
        }
        Some(device) if is_mine(&device) => {
            Ok(visit.page(StatusCode::OK, "ok", &pages::answered(Answered::Connected)))
        }
        Some(_) | None => {
            people.meters.stepped(Step::WrongCode);
            let mistake = Mistake::at(
                "code",
                "No device waits with this code. Codes work once, and for ten minutes: look at your terminal, or start again there.",
            );
            let typed = code.to_string();
            Ok(entry(visit, Some(session), StatusCode::NOT_FOUND, "code_unknown", &typed, Some(&mistake)))
        }
    }
}

async fn consent(
    visit: &Visit,
    session: &Session,
    code: UserCode,
    device: &Device,
    status: StatusCode,
    mistake: Option<&Mistake>,
) -> Result<Response, Refusal> {
    let organizations = match organizations(visit, &session.user.name).await? {
        organizations if organizations.is_empty() => return Ok(no_seat(visit)),
        organizations => organizations,
    };
    let (text, sign_out_proof) = (code.to_string(), visit.sign_out_proof(session));
    let page = Consent {
        person: session.person(&sign_out_proof),
        requester: Requester::Device {
            code: &text,
            address: device.address,
            agent: device.agent.as_deref(),
            at: device.created_at,
        },
        program: CLIENT_NAME,
        lasts: &lasting(visit.people().api_key_life),
        organizations: &organizations,
        proof: &visit.proof(Form::Device, &bound(session, code)),
        carries: ("user_code", &text),
        action: wire::path::DEVICE,
        mistake,
        now: visit.now,
    };
    let name = if mistake.is_some() { "form_outdated" } else { "ok" };
    Ok(visit.page(status, name, &pages::consent(&page)))
}

/// The organizations in which a person can act now, with their titles.
pub(super) async fn organizations(visit: &Visit, user: &str) -> Result<Vec<(String, String)>, Refusal> {
    let seats = visit.shared.store.seats_of(user).await?;
    let living = seats.into_iter().map(|(organization, _)| organization);
    let living = living.filter(|organization| organization.subscription.token_expiry(visit.now).is_ok());
    Ok(living.map(|organization| (organization.name, organization.title)).collect())
}

/// What somebody is told who has no seat.
pub(super) fn no_seat(visit: &Visit) -> Response {
    let notice = Notice {
        heading: "You have no seat",
        words: "You are signed in, but no organization with a living subscription has a seat for you, so nothing can act in your name. Ask your administrator for a seat.",
        way: Some((wire::path::SIGN_IN, "Your account")),
    };
    visit.notice(StatusCode::FORBIDDEN, "seat_missing", &notice)
}

fn entry(
    visit: &Visit,
    session: Option<&Session>,
    status: StatusCode,
    code: &'static str,
    typed: &str,
    mistake: Option<&Mistake>,
) -> Response {
    let proof = session.map(|session| visit.sign_out_proof(session)).unwrap_or_default();
    let person = session.map(|session| session.person(&proof));
    visit.page(status, code, &pages::entry(&Entry { person, typed, mistake }))
}

fn slow_down(visit: &Visit, session: &Session, code: UserCode, wait: Duration) -> Response {
    let words = format!("There were too many codes that nobody waits with. Try again in {}.", lasting(wait));
    let mistake = Mistake::at("code", words);
    let typed = code.to_string();
    let status = StatusCode::TOO_MANY_REQUESTS;
    let page = entry(visit, Some(session), status, "rate_limited", &typed, Some(&mistake));
    with_retry_after(page, seconds(wait))
}

/// What the proof of the form is bound to: the person's browser and this code.
fn bound(session: &Session, code: UserCode) -> Vec<u8> {
    let mut bound = session.digest.as_bytes().to_vec();
    bound.extend_from_slice(code.to_string().as_bytes());
    bound
}

/// The page about a code.
fn of_code(code: UserCode) -> Next {
    Next::page(wire::path::DEVICE, &format!("user_code={code}")).unwrap_or_default()
}
