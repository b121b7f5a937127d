//! Tokens that people make, list and remove for themselves: what `anaconda auth` and `anaconda org login|logout|whoami` ask for.
//!
//! A person sees and removes their own tokens. A token that covers `api:read` or `api:write` does here for its organization what the admin API
//! lets it do there; whose it is makes no difference.

mod making;
mod removing;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{delete, get};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use self::view::AuthenticationView;
use super::asking::Asking;
use super::refusal::Refusal;
use super::{Shared, reply};
use crate::policy::{Deed, PersonDenial, Standing, decide_api};
use crate::store::Listed;
use crate::token::{Scope, TokenId, TokenRecord, TokenState};

/// The routes.
pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/authentication-type", get(kind))
        .route("/scopes", get(scopes))
        .route("/user", get(user))
        .route("/authentication", get(current))
        .route("/authentications", get(list).post(making::create).delete(removing::current))
        .route("/authentications/name/{*name}", delete(removing::by_name))
        // What goes on behind the organization is one name, slashes and all.
        .route("/authentications/org/{org}/name/{*name}", delete(removing::of_organization))
}

/// How one signs in.
async fn kind() -> Response {
    reply::json(StatusCode::OK, &serde_json::json!({"authentication_type": "password"}))
}

/// Every scope with what it is for.
async fn scopes() -> Response {
    let scopes: Map<_, _> = Scope::EVERY
        .into_iter()
        .map(|scope| (scope.as_str().to_owned(), Value::from(meaning(scope))))
        .collect();
    reply::json(StatusCode::OK, &scopes)
}

fn meaning(scope: Scope) -> &'static str {
    match scope {
        Scope::All => "Everything: all repositories and the admin API",
        Scope::Repos => "All package repositories",
        Scope::Conda => "All operations on conda repositories",
        Scope::CondaDownload => "Downloads from conda repositories",
        Scope::Pypi => "All operations on Python repositories",
        Scope::PypiDownload => "Downloads from Python repositories",
        Scope::PypiUpload => "Uploads to Python repositories",
        Scope::Api => "All operations of the admin API",
        Scope::ApiRead => "Reading through the admin API",
        Scope::ApiWrite => "Changes through the admin API",
        Scope::ApiModifyGroup => "Managing groups through the admin API",
    }
}

#[derive(Serialize)]
struct UserView<'a> {
    login: &'a str,
    name: &'a str,
    user_type: &'static str,
    email: Option<&'a str>,
    created_at: String,
}

/// Who asks: the person, or the organization whose token it is.
async fn user(asking: Asking) -> Result<Response, Refusal> {
    let standing = asking.anybody().await?;
    let (name, is_user) = match standing.token.user.as_deref() {
        Some(user) => (user, true),
        None => (&*standing.token.organization, false),
    };
    let known = if is_user { asking.shared.store.user(name).await? } else { None };
    let view = UserView {
        login: name,
        name,
        user_type: if is_user { "user" } else { "org" },
        email: known.as_ref().and_then(|user| user.email.as_deref()),
        // The client needs a date: of whom the gate knows nothing but the token, it is the token's.
        created_at: known.as_ref().map_or(standing.token.created_at, |user| user.created_at).to_string(),
    };
    Ok(reply::json(StatusCode::OK, &view))
}

/// The token that was shown.
async fn current(asking: Asking) -> Result<Response, Refusal> {
    let shown = asking.anybody().await?;
    let last_use = asking.shared.store.last_use(shown.token.id).await?;
    let listed = Listed { record: shown.token.clone(), last_use };
    Ok(reply::json(StatusCode::OK, &AuthenticationView::new(&listed)))
}

impl Asking {
    /// The token that was shown, whoever's it is.
    async fn anybody(&self) -> Result<Arc<Standing>, Refusal> {
        let standing = match self.person().await {
            Ok(person) => Arc::clone(person.standing()),
            Err(Refusal::NoPerson(
                PersonDenial::Nobodys(standing) | PersonDenial::ScopeMissing(standing),
            )) => standing,
            Err(refusal) => return Err(refusal),
        };
        self.used();
        Ok(standing)
    }
}

/// The living tokens that the caller may see, oldest first: a person's own, or with `api:read` all of an organization's.
async fn list(asking: Asking) -> Result<Response, Refusal> {
    let tokens = match asking.person().await {
        Ok(person) => {
            asking.used();
            own(&asking, person.user(), None).await?
        }
        Err(Refusal::NoPerson(PersonDenial::Nobodys(_) | PersonDenial::ScopeMissing(_))) => {
            let permit = decide_api(&asking.caller, Deed::Read, None, asking.now);
            let permit = permit.map_err(Refusal::Api)?;
            asking.used();
            living_of(&asking, &permit.standing().token.organization).await?
        }
        Err(refusal) => return Err(refusal),
    };
    let views: Vec<_> = tokens.iter().map(AuthenticationView::new).collect();
    Ok(reply::json(StatusCode::OK, &views))
}

/// The living tokens of a user, of one organization or of all, oldest first.
async fn own(asking: &Asking, user: &str, organization: Option<&str>) -> Result<Vec<Listed>, Refusal> {
    let store = &asking.shared.store;
    let mut tokens: Vec<Listed> = Vec::new();
    loop {
        let after = tokens.last().map(|last| last.record.id);
        let page = store.tokens_of_user(user, organization, after, PAGE, asking.now).await?;
        let is_last = page.len() < PAGE as usize;
        tokens.extend(page);
        if is_last || tokens.len() >= LISTED_MAX {
            return Ok(tokens);
        }
    }
}

/// The living tokens of an organization, oldest first.
async fn living_of(asking: &Asking, organization: &str) -> Result<Vec<Listed>, Refusal> {
    let store = &asking.shared.store;
    let (mut living, mut after): (Vec<Listed>, Option<TokenId>) = (Vec::new(), None);
    loop {
        let page = store.tokens(organization, after, PAGE).await?;
        after = page.last().map(|last| last.record.id);
        let is_last = page.len() < PAGE as usize;
        living.extend(page.into_iter().filter(|listed| is_living(&listed.record, asking)));
        if is_last || living.len() >= LISTED_MAX {
            return Ok(living);
        }
    }
}

fn is_living(record: &TokenRecord, asking: &Asking) -> bool {
    record.state(asking.now) == TokenState::Live
}

/// Tokens that are read at once.
const PAGE: u32 = 500;

/// Tokens that are listed; nobody reads a longer table.
const LISTED_MAX: usize = 5_000;
