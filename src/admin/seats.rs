//! Seats: the users of an organization.

use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admitted::{Admitted, Reads, Writes};
use super::conditions::entity_tag;
use super::document::{IfMatch, IfNoneMatch, IfNothing};
use super::organizations::OrganizationAt;
use super::paging::PageByName;
use super::parts::{Asked, At, JsonOrNothing};
use super::refusal::Refusal;
use super::word::{RoleWord, UserName, UserWord, Word};
use super::{Shared, reply};
use crate::account::{Role, Seat};
use crate::face::view::{RemovedSeatView, SeatView};
use crate::store::{Sought, Version};

/// The routes.
pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, assign, remove))
}

/// A seat's place.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct SeatAt {
    /// The organization's name.
    #[param(example = "acme")]
    pub(super) org: String,
    /// The user.
    #[param(inline)]
    pub(super) user: UserWord,
}

/// What a seat is to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Assignment {
    /// What the user may do for the organization; `member` unless said.
    #[schema(inline)]
    role: Option<RoleWord>,
}

/// List an organization's seats
///
/// Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/seats", tag = "seats", operation_id = "list_seats", params(OrganizationAt, PageByName),
    responses((status = 200, description = "A page of them, by user.", body = Vec<SeatView<'static>>, headers(("Link" = String, description = "The next page, if there is one (RFC 8288).")))))]
async fn list(
    asked: Admitted<Reads>,
    At(at): At<OrganizationAt>,
    Asked(page): Asked<PageByName>,
) -> Result<Response, Refusal> {
    let mut seats = asked.store().seats(&at.org, page.after.as_deref(), page.limit.and_one()).await?;
    let is_more = page.limit.cut(&mut seats);
    let next = seats.last().filter(|_| is_more).map(|last| last.user.clone());
    let next = next.map(|after| [("after", after), ("limit", page.limit.to_string())]);
    let views: Vec<_> = seats.iter().map(|seat| SeatView::new(&at.org, seat)).collect();
    Ok(reply::page(&views, &asked.path, next.as_ref().map(|next| &next[..])))
}

/// Show a user's seat
///
/// Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/seats/{user}", tag = "seats", operation_id = "show_seat", params(SeatAt, IfNoneMatch),
    responses((status = 200, description = "It.", body = SeatView<'static>, headers(("ETag" = String, description = "Its version.")))))]
async fn show(asked: Admitted<Reads>, At(at): At<SeatAt>) -> Result<Response, Refusal> {
    let SeatAt { org, user: Word(UserName(user)) } = at;
    let seat = asked.store().seat(&org, &user).await?;
    let seat = seat.ok_or_else(|| Sought::Seat { organization: org.clone(), user })?;
    Ok(reply::shown(&asked.headers, &SeatView::new(&org, &seat), tag(&seat)))
}

/// Give a user a seat, or another role
///
/// With `If-None-Match: *` only if they have none. Needs `api:write`.
#[utoipa::path(put, path = "/api/v1/organizations/{org}/seats/{user}", tag = "seats", operation_id = "assign_seat", params(SeatAt, IfMatch, IfNothing),
    request_body(content = Assignment, description = "The seat; nothing means a member's."),
    responses(
        (status = 200, description = "The seat that the user had, with this role.", body = SeatView<'static>, headers(("ETag" = String, description = "Its version."))),
        (status = 201, description = "The new seat.", body = SeatView<'static>, headers(("ETag" = String, description = "Its version.")))))]
async fn assign(
    asked: Admitted<Writes>,
    At(at): At<SeatAt>,
    JsonOrNothing(body): JsonOrNothing<Assignment>,
) -> Result<Response, Refusal> {
    let SeatAt { org, user: Word(UserName(user)) } = at;
    let role = body.value.role.map_or_else(Role::default, |Word(role)| role);
    let placed = asked.changing()?.assign_seat(&org, &user, role, &asked.by, asked.now).await?;
    asked.settle().await?;
    let seat = &placed.present;
    Ok(reply::placed(&SeatView::new(&org, seat), tag(seat), placed.is_new))
}

/// Take a user's seat away
///
/// Their individual token and every token that acts as them end at once, and they leave all groups. Needs `api:write`.
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/seats/{user}", tag = "seats", operation_id = "remove_seat", params(SeatAt, IfMatch),
    responses((status = 200, description = "The seat as it was, and what went with it.", body = RemovedSeatView<'static>)))]
async fn remove(asked: Admitted<Writes>, At(at): At<SeatAt>) -> Result<Response, Refusal> {
    let SeatAt { org, user: Word(UserName(user)) } = at;
    let removed = asked.changing()?.remove_seat(&org, &user, &asked.by, asked.now).await?;
    asked.settle().await?;
    Ok(reply::told(&RemovedSeatView::new(&org, &removed)))
}

fn tag(seat: &Seat) -> http::HeaderValue {
    entity_tag(Version::of_seat(seat), None)
}
