//! The pages for signing in and out.
//!
//! | attack | what stands against it |
//! | --- | --- |
//! | guessing passwords | [`super::passwords`]: throttled per account and address |
//! | finding out who is known | one answer, one time, one throttle for all names |
//! | another site signs a person in or out | the proof in the form, bound to this browser; `Sec-Fetch-Site`, `Origin` |
//! | a session that somebody planted | signing in makes a new one and ends the one that came along; `__Host-` cookies |
//! | a link that leads away after signing in | [`Next`] knows three pages |
//! | a frame around the page | `frame-ancestors 'none'` |

use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;

use super::cookies::Cookie;
use super::csrf::Form;
use super::form::Fields;
use super::meters::Attempt;
use super::next::Next;
use super::pages::{self, Mistake, SignIn as SignInPage, SignedIn, lasting};
use super::passwords::PasswordRefusal;
use super::visit::{Session, Visit, see, with_cookie, with_retry_after};
use super::wire;
use crate::anaconda::Shared;
use crate::anaconda::parts::Raw;
use crate::anaconda::refusal::Refusal;
use crate::store::SignIn;
use crate::token::{Minted, TokenDigest, mask_values};

/// The routes.
pub(super) fn router() -> Router<Shared> {
    Router::new().route(wire::path::SIGN_IN, get(show).post(enter)).route("/sign-out", post(leave))
}

/// Who is signed in; else the page for it.
async fn show(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let fields = Fields::of_query(query.as_deref()).unwrap_or_default();
    let next = fields.get("next").and_then(Next::parse);
    match (visit.session().await?, next) {
        (Some(_), Some(next)) if next != Next::default() => Ok(see(next.as_str())),
        (Some(session), _) => {
            let page = SignedIn { proof: &visit.sign_out_proof(&session), user: &session.user.name };
            Ok(visit.page(StatusCode::OK, "ok", &pages::signed_in(&page)))
        }
        (None, next) => {
            let asked =
                Asked { next: &next.unwrap_or_default(), user: "", left: fields.get("left").is_some() };
            Ok(asked.page(&visit, StatusCode::OK, "ok", None))
        }
    }
}

/// What the page for signing in is about.
struct Asked<'a> {
    next: &'a Next,
    user: &'a str,
    left: bool,
}

impl Asked<'_> {
    /// The page, for a browser that is known by a cookie from now on.
    fn page(
        &self,
        visit: &Visit,
        status: StatusCode,
        code: &'static str,
        mistake: Option<&Mistake>,
    ) -> Response {
        let known = Cookie::Visit.of(&visit.headers).filter(|value| value.len() == VISIT_CHARS);
        let mut random = [0; 32];
        let fresh = match known {
            Some(_) => None,
            // Without randomness there is no proof that holds; the form will say that it is to be tried again.
            None => getrandom::fill(&mut random).is_ok().then(|| URL_SAFE_NO_PAD.encode(random)),
        };
        let browser = known.map(str::to_owned).or_else(|| fresh.clone()).unwrap_or_default();
        let people = visit.people();
        let page = SignInPage {
            proof: &visit.proof(Form::SignIn, browser.as_bytes()),
            next: self.next,
            user: self.user,
            passwords: people.passwords.is_some(),
            provider: people.provider.as_ref().map(|provider| provider.title()),
            mistake,
            left: self.left,
        };
        let response = visit.page(status, code, &pages::sign_in(&page));
        with_cookie(response, fresh.and_then(|fresh| Cookie::Visit.set(&fresh, None)))
    }
}

/// Signs in by a password.
async fn enter(visit: Visit, Raw(body): Raw) -> Result<Response, Refusal> {
    let fields = Fields::of_body(&visit.headers, &body).map_err(|error| Refusal::Value(error.to_string()))?;
    let next = fields.get("next").and_then(Next::parse).unwrap_or_default();
    let user = fields.get("user").unwrap_or_default().trim();
    // What is shown again could have been pasted into the wrong field.
    let asked = Asked { next: &next, user: &mask_values(user), left: false };
    let browser = Cookie::Visit.of(&visit.headers).unwrap_or_default();
    if browser.len() != VISIT_CHARS
        || !visit.is_genuine(Form::SignIn, browser.as_bytes(), fields.get("proof"))
    {
        return Ok(asked.page(&visit, StatusCode::FORBIDDEN, "form_outdated", Some(&outdated())));
    }
    let Some(passwords) = &visit.people().passwords else {
        let mistake = Mistake::of_form("Nobody signs in by a password here.");
        return Ok(asked.page(&visit, StatusCode::FORBIDDEN, "password_off", Some(&mistake)));
    };
    let missing = match (user, fields.get("password")) {
        ("", _) => Mistake::at("user", "Enter your user name."),
        (_, None) => Mistake::at("password", "Enter your password."),
        (user, Some(password)) => {
            let checked = passwords.check(user, password.to_owned(), visit.client, visit.now).await;
            return match checked {
                Ok(user) => begin(&visit, &user.name, SignIn::Password, &next).await,
                Err(refusal) => refuse(&visit, &asked, refusal),
            };
        }
    };
    Ok(asked.page(&visit, StatusCode::UNPROCESSABLE_ENTITY, "value_invalid", Some(&missing)))
}

fn refuse(visit: &Visit, asked: &Asked<'_>, refusal: PasswordRefusal) -> Result<Response, Refusal> {
    let attempted = |attempt| visit.people().meters.attempted(SignIn::Password, attempt);
    let page = |status, code, mistake: &Mistake| asked.page(visit, status, code, Some(mistake));
    Ok(match refusal {
        PasswordRefusal::Wrong => {
            attempted(Attempt::Refused);
            let mistake = Mistake::at("password", "The user name or the password is not right.");
            page(StatusCode::FORBIDDEN, "sign_in_refused", &mistake)
        }
        PasswordRefusal::Disabled => {
            attempted(Attempt::Refused);
            page(StatusCode::FORBIDDEN, "user_disabled", &disabled())
        }
        PasswordRefusal::Throttled(wait) => {
            attempted(Attempt::Throttled);
            let words = format!("There were too many attempts. Try again in {}.", lasting(wait));
            let response = page(StatusCode::TOO_MANY_REQUESTS, "rate_limited", &Mistake::of_form(words));
            with_retry_after(response, seconds(wait))
        }
        PasswordRefusal::Overloaded => {
            attempted(Attempt::Failed);
            let mistake =
                Mistake::of_form("Too many people sign in at this moment. Try again in a few seconds.");
            with_retry_after(page(StatusCode::SERVICE_UNAVAILABLE, "overloaded", &mistake), 2)
        }
        PasswordRefusal::Store(error) => {
            attempted(Attempt::Failed);
            return Err(error.into());
        }
    })
}

/// Begins a session of this user and leads on. Whatever session the browser had before ends: nobody goes on with one that was there before
/// they proved who they are.
pub(super) async fn begin(visit: &Visit, user: &str, how: SignIn, next: &Next) -> Result<Response, Refusal> {
    let minted = Minted::random().map_err(|_| Refusal::Overloaded)?;
    let (store, life) = (&visit.shared.store, visit.people().session_life);
    let until = visit.now.plus(life);
    let by = visit.actor(user);
    store.begin_session(&minted.digest(), user, how, visit.client, until, &by, visit.now).await?;
    if let Some(old) = Cookie::Session.of(&visit.headers) {
        store.end_session(&TokenDigest::of(old.as_bytes())).await?;
    }
    visit.people().meters.attempted(how, Attempt::Ok);
    let response = with_cookie(see(next.as_str()), Cookie::Session.set(minted.expose(), Some(life)));
    Ok(with_cookie(response, Cookie::Visit.end()))
}

/// Signs out. A form that is not genuine signs nobody out, and says so only to whoever is signed in.
async fn leave(visit: Visit, State(shared): State<Shared>, Raw(body): Raw) -> Result<Response, Refusal> {
    let fields = Fields::of_body(&visit.headers, &body).map_err(|error| Refusal::Value(error.to_string()))?;
    if let Some(Session { user, digest }) = visit.session().await? {
        if !visit.is_genuine(Form::SignOut, digest.as_bytes(), fields.get("proof")) {
            let page = SignedIn { proof: &visit.proof(Form::SignOut, digest.as_bytes()), user: &user.name };
            return Ok(visit.page(StatusCode::FORBIDDEN, "form_outdated", &pages::signed_in(&page)));
        }
        shared.store.end_session(&digest).await?;
    }
    Ok(with_cookie(see("/sign-in?left=1"), Cookie::Session.end()))
}

/// What somebody is told whose form does not hold.
pub(super) fn outdated() -> Mistake {
    Mistake::of_form(
        "This page was open for too long, or your browser does not keep the cookies of this site. Try again.",
    )
}

/// What somebody is told who was disabled.
pub(super) fn disabled() -> Mistake {
    Mistake::of_form("Your account was disabled. Ask your administrator.")
}

/// Whole seconds, at least one.
pub(super) fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX).max(1)
}

/// 32 bytes in base64url.
const VISIT_CHARS: usize = 43;
