//! Organizations. Everybody sees their own; only operators change any.

use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admitted::{Admitted, Operates, Reads};
use super::conditions::entity_tag;
use super::document::{IfMatch, IfNoneMatch, Once};
use super::paging::PageByName;
use super::parts::{Asked, At, Json, JsonOrNothing};
use super::refusal::Refusal;
use super::word::{Line, LineWord, Moment, NameWord, PlainName, Word};
use super::{Shared, reply};
use crate::account::{Organization, Subscription};
use crate::clock::Timestamp;
use crate::face::view::{CancelledView, OrganizationView};
use crate::store::{Sought, StoreError, Version};

/// The routes.
pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show))
        .routes(routes!(renew))
        .routes(routes!(cancel))
}

/// An organization's place.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OrganizationAt {
    /// The organization's name.
    #[param(example = "acme")]
    pub(super) org: String,
}

/// An organization to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrganization {
    /// Its name, unique in this gate.
    #[schema(inline)]
    name: NameWord,
    /// What people call it; the name unless said.
    #[schema(inline)]
    title: Option<LineWord>,
    /// When its subscription ends; never unless said.
    #[schema(inline)]
    subscription_ends: Option<Moment>,
}

/// A subscription to be renewed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Renewal {
    /// When it ends then.
    #[schema(inline)]
    until: Moment,
}

/// A request that has nothing to say.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// List organizations
///
/// The token's own; all of them, page by page, for an operator's. Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations", tag = "organizations", operation_id = "list_organizations", params(PageByName),
    responses((status = 200, description = "A page of them, by name.", body = Vec<OrganizationView<'static>>, headers(("Link" = String, description = "The next page, if there is one (RFC 8288).")))))]
async fn list(asked: Admitted<Reads>, Asked(page): Asked<PageByName>) -> Result<Response, Refusal> {
    let after = page.after.as_deref();
    let mut organizations = match asked.permit.organization() {
        None => asked.store().organizations(after, page.limit.and_one()).await?,
        Some(own) => {
            let own = asked.store().organization(own).await?;
            own.into_iter().filter(|own| after.is_none_or(|after| *own.name > *after)).collect()
        }
    };
    let is_more = page.limit.cut(&mut organizations);
    let next = organizations.last().filter(|_| is_more).map(|last| last.name.clone());
    let next = next.map(|after| [("after", after), ("limit", page.limit.to_string())]);
    let views: Vec<_> = organizations.iter().map(|of| OrganizationView::new(of, asked.now)).collect();
    Ok(reply::page(&views, &asked.path, next.as_ref().map(|next| &next[..])))
}

/// Create an organization
///
/// Needs an operator's token with `api:write`.
#[utoipa::path(post, path = "/api/v1/organizations", tag = "organizations", operation_id = "create_organization", params(Once), request_body = NewOrganization,
    responses((status = 201, description = "The new one.", body = OrganizationView<'static>, headers(("ETag" = String, description = "Its version."), ("Location" = String, description = "Where it is.")))))]
async fn create(asked: Admitted<Operates>, body: Json<NewOrganization>) -> Result<Response, Refusal> {
    let NewOrganization { name: Word(PlainName(name)), title, subscription_ends } = body.value;
    let title = title.map_or_else(|| name.clone(), |Word(Line(title))| title);
    let subscription = Subscription::until(subscription_ends.map(|Word(at)| at));
    let (store, _running) = asked.creating(&body.digest)?;
    let created = store.create_organization(&name, &title, subscription, &asked.by, asked.now).await;
    let (organization, is_replayed) = match created {
        Err(StoreError::Repeated { .. }) => (find(&asked, &name).await?, true),
        created => (created?, false),
    };
    asked.settle().await?;
    let view = OrganizationView::new(&organization, asked.now);
    let location = format!("/api/v1/organizations/{}", reply::segment(&name));
    Ok(reply::created(&view, tag(&organization, asked.now), &location, is_replayed))
}

/// Show an organization
///
/// Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations/{org}", tag = "organizations", operation_id = "show_organization", params(OrganizationAt, IfNoneMatch),
    responses((status = 200, description = "It.", body = OrganizationView<'static>, headers(("ETag" = String, description = "Its version.")))))]
async fn show(asked: Admitted<Reads>, At(at): At<OrganizationAt>) -> Result<Response, Refusal> {
    let organization = find(&asked, &at.org).await?;
    let view = OrganizationView::new(&organization, asked.now);
    Ok(reply::shown(&asked.headers, &view, tag(&organization, asked.now)))
}

/// Renew an organization's subscription
///
/// No token's expiry moves: `sync` moves it. Needs an operator's token with `api:write`.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/renew", tag = "organizations", operation_id = "renew_organization", params(OrganizationAt, IfMatch), request_body = Renewal,
    responses((status = 200, description = "It, renewed.", body = OrganizationView<'static>, headers(("ETag" = String, description = "Its version.")))))]
async fn renew(
    asked: Admitted<Operates>,
    At(at): At<OrganizationAt>,
    body: Json<Renewal>,
) -> Result<Response, Refusal> {
    let Renewal { until: Word(until) } = body.value;
    let renewed = asked.changing()?.renew_organization(&at.org, until, &asked.by, asked.now).await?;
    asked.settle().await?;
    Ok(reply::changed(&OrganizationView::new(&renewed, asked.now), tag(&renewed, asked.now)))
}

/// Cancel an organization's subscription
///
/// All its living tokens end at once, for ever. Needs an operator's token with `api:write`.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/cancel", tag = "organizations", operation_id = "cancel_organization", params(OrganizationAt, IfMatch),
    request_body(content = Nothing, description = "Nothing, or an empty object."),
    responses((status = 200, description = "It, cancelled.", body = CancelledView<'static>, headers(("ETag" = String, description = "Its version.")))))]
async fn cancel(
    asked: Admitted<Operates>,
    At(at): At<OrganizationAt>,
    JsonOrNothing(_): JsonOrNothing<Nothing>,
) -> Result<Response, Refusal> {
    let cancelled = asked.changing()?.cancel_organization(&at.org, &asked.by, asked.now).await?;
    asked.settle().await?;
    let view = CancelledView::new(&cancelled, asked.now);
    Ok(reply::changed(&view, tag(&cancelled.organization, asked.now)))
}

async fn find<D: super::admitted::Does>(asked: &Admitted<D>, name: &str) -> Result<Organization, Refusal> {
    let found = asked.store().organization(name).await?;
    Ok(found.ok_or_else(|| Sought::Organization(name.to_owned()))?)
}

fn tag(organization: &Organization, now: Timestamp) -> http::HeaderValue {
    entity_tag(Version::of_organization(organization, now), None)
}
