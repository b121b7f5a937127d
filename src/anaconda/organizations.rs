//! Organizations of a person, and their individual tokens there: what `anaconda token install` asks for.
//!
//! The tool issues first and looks afterwards whether the new token works, and it does not look at the status of the answer that issues. So
//! whatever can be refused is refused at GET, in the words that the tool shows, and again before anything is issued: nobody is left with a dead
//! token and no living one. To the tool 404 at GET means that there is none yet, and it goes on: every refusal there is another status.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::asking::{Asking, settle};
use super::member::{Member, subscribed};
use super::parts::At;
use super::refusal::Refusal;
use super::{Shared, reply};
use crate::account::Organization;
use crate::clock::Timestamp;
use crate::policy::{Mint, Standing, check_mint};
use crate::store::{Actor, NewToken};
use crate::token::{Minted, TokenId, TokenKind, TokenRecord, Warrant};

/// The routes.
pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/api/organizations/my", get(mine))
        .route("/api/organizations/{org}/ce/current-token", get(current).put(issue))
        .route("/api/account", get(account))
}

/// An organization of the person's. The tool reads these three members, and the id has to be a UUID.
#[derive(Serialize)]
struct OrganizationView<'a> {
    id: Uuid,
    name: &'a str,
    title: &'a str,
    role: &'static str,
}

/// A subscription. The tool offers an organization if there is one of it whose product is no starter's.
#[derive(Serialize)]
struct SubscriptionView {
    org_id: Uuid,
    product_code: &'static str,
    status: &'static str,
    ends_at: Option<Timestamp>,
}

/// The token that there is. The tool wants a date.
#[derive(Serialize)]
struct CurrentView {
    id: Uuid,
    expires_at: String,
}

/// The token that was issued.
#[derive(Serialize)]
struct IssuedView<'a> {
    token: &'a str,
    id: Uuid,
    expires_at: String,
}

async fn mine(asking: Asking) -> Result<Response, Refusal> {
    let member = asking.member().await?;
    let views: Vec<_> = member
        .seats
        .iter()
        .map(|(organization, seat)| OrganizationView {
            id: organization.id,
            name: &organization.name,
            title: &organization.title,
            role: seat.role.as_str(),
        })
        .collect();
    Ok(reply::json(StatusCode::OK, &views))
}

async fn account(asking: Asking) -> Result<Response, Refusal> {
    let member = asking.member().await?;
    let name = member.person.user();
    let user = asking.shared.store.user(name).await?;
    let email = user.as_ref().and_then(|user| user.email.clone());
    let since = user.map(|user| user.created_at);
    let since = since.or_else(|| member.seats.first().map(|(_, seat)| seat.assigned_at));
    let subscriptions: Vec<_> = member
        .seats
        .iter()
        .map(|(organization, _)| SubscriptionView {
            org_id: organization.id,
            product_code: "channelgate",
            status: organization.subscription.state(asking.now).as_str(),
            ends_at: organization.subscription.ends_at,
        })
        .collect();
    let view = serde_json::json!({
        "user": {"id": name, "username": name, "email": email, "created_at": since},
        "profile": {"username": name},
        "subscriptions": subscriptions,
    });
    Ok(reply::json(StatusCode::OK, &view))
}

async fn current(asking: Asking, at: At) -> Result<Response, Refusal> {
    let (member, organization) = eligible(&asking, &at).await?;
    let (store, user) = (&asking.shared.store, member.person.user());
    let living = store.living_token(&organization.name, Some(user), asking.now).await?;
    let record = living.ok_or_else(|| Refusal::NoTokenYet {
        user: user.to_owned(),
        organization: organization.name.clone(),
    })?;
    let view = CurrentView { id: record.id.0, expires_at: date(record.ends_at()) };
    Ok(reply::json(StatusCode::OK, &view))
}

/// The same as `channelgate token issue ORG --user USER`, by the user. The body confirms what the method says already.
async fn issue(State(shared): State<Shared>, asking: Asking, at: At) -> Result<Response, Refusal> {
    let (member, organization) = eligible(&asking, &at).await?;
    let user = member.person.user();
    let minted = Minted::random().map_err(Refusal::of_random)?;
    let token = NewToken::individual(&organization.name, user);
    let by = Actor::user(user, Some(asking.arrival.client));
    let digest = minted.digest();
    let issued = shared.store.insert_token(&token, &digest, &by, asking.now, Duration::ZERO).await?;
    settle(&shared).await?;
    let view = IssuedView {
        token: minted.expose(),
        id: issued.record.id.0,
        expires_at: date(issued.record.ends_at()),
    };
    Ok(reply::json(StatusCode::OK, &view))
}

/// The person and the organization for which they can have a token that would serve at once.
async fn eligible(asking: &Asking, at: &At) -> Result<(Member, Organization), Refusal> {
    let member = asking.member().await?;
    let organization = member.seat_in(at.named("org"))?.clone();
    let user = member.person.user();
    check_mint(member.minter_in(&organization), &Mint::individual(user)).map_err(Refusal::Overreach)?;
    let expires_at = subscribed(&organization, asking.now)?;
    let shared = &asking.shared;
    let rights = shared.store.rights_of_user(&organization.name, user).await?;
    let warrant = Warrant {
        kind: TokenKind::Individual,
        organization_id: organization.id,
        organization: organization.name.as_str().into(),
        user: Some(user.into()),
        group: None,
        generation: 1,
        scopes: Mint::individual(user).scopes,
        channels: None,
        operator: false,
        api_key: false,
        end: None,
    };
    let token = TokenRecord {
        id: TokenId(Uuid::nil()),
        name: None,
        created_at: asking.now,
        expires_at,
        warrant: Arc::new(warrant),
    };
    let channel = shared.surroundings.load().default_channel.clone();
    let probed = (shared.data_plane.probe)(Standing { token, rights }, channel.clone()).await;
    probed.map_err(|verdict| Refusal::Unusable { channel, verdict })?;
    Ok((member, organization))
}

/// No end is far away.
fn date(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "9999-12-31T00:00:00Z".to_owned(), |at| at.to_string())
}
