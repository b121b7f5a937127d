//! Groups, what they are granted, and which channels are restricted to them.
//!
//! A member and a grant are parts of their group: changing one answers with the group, and `If-Match` is about the group.

use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admitted::{Admitted, Does, ModifiesGroups, Reads};
use super::conditions::entity_tag;
use super::document::{IfMatch, IfNoneMatch, IfNothing, Once};
use super::organizations::OrganizationAt;
use super::paging::PageByName;
use super::parts::{Asked, At, Json, JsonOrNothing};
use super::refusal::Refusal;
use super::word::{
    ChannelWord, LabelName, LabelWord, NameWord, Pattern, PatternWord, PermissionWord, PlainName, UserWord,
    Word,
};
use super::{Shared, reply};
use crate::account::{Grant, Group, Permission};
use crate::face::view::{GroupView, RestrictionView};
use crate::store::{Placed, Sought, StoreError, Version};

/// The routes.
pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show))
        .routes(routes!(add, remove))
        .routes(routes!(grant, ungrant))
        .routes(routes!(list_restrictions))
        .routes(routes!(show_restriction, unrestrict))
}

/// A group's place.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct GroupAt {
    /// The organization's name.
    #[param(example = "acme")]
    org: String,
    /// The group's name.
    #[param(inline)]
    group: NameWord,
}

/// A member's place.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct MemberAt {
    /// The organization's name.
    #[param(example = "acme")]
    org: String,
    /// The group's name.
    #[param(inline)]
    group: NameWord,
    /// The user.
    #[param(inline)]
    user: UserWord,
}

/// A grant's place.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct GrantAt {
    /// The organization's name.
    #[param(example = "acme")]
    org: String,
    /// The group's name.
    #[param(inline)]
    group: NameWord,
    /// The channel's name; a slash in it is written `%2F`.
    #[param(inline)]
    channel: ChannelWord,
}

/// A restriction's place.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct RestrictionAt {
    /// The organization's name.
    #[param(example = "acme")]
    org: String,
    /// The channel's name; a slash in it is written `%2F`.
    #[param(inline)]
    channel: ChannelWord,
}

/// A group to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGroup {
    /// Its name, unique in the organization.
    #[schema(inline)]
    name: NameWord,
}

/// What a group is to be granted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantTerms {
    /// What it may do in the channel; `read` unless said.
    #[schema(inline)]
    permission: Option<PermissionWord>,
    /// With which packages: globs of names, where `*` is any run of characters and `?` any one; all unless said.
    #[serde(default)]
    #[schema(inline, max_items = 100)]
    packages: Vec<PatternWord>,
    /// Under which labels; all unless said. What is asked for without a label is under `main`.
    #[serde(default)]
    #[schema(inline, max_items = 32)]
    labels: Vec<LabelWord>,
}

/// List an organization's groups
///
/// Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/groups", tag = "groups", operation_id = "list_groups", params(OrganizationAt, PageByName),
    responses((status = 200, description = "A page of them, by name.", body = Vec<GroupView<'static>>, headers(("Link" = String, description = "The next page, if there is one (RFC 8288).")))))]
async fn list(
    asked: Admitted<Reads>,
    At(at): At<OrganizationAt>,
    Asked(page): Asked<PageByName>,
) -> Result<Response, Refusal> {
    let mut groups = asked.store().groups(&at.org, page.after.as_deref(), page.limit.and_one()).await?;
    let is_more = page.limit.cut(&mut groups);
    let next = groups.last().filter(|_| is_more).map(|last| last.name.clone());
    let next = next.map(|after| [("after", after), ("limit", page.limit.to_string())]);
    let views: Vec<_> = groups.iter().map(|group| GroupView::new(&at.org, group)).collect();
    Ok(reply::page(&views, &asked.path, next.as_ref().map(|next| &next[..])))
}

/// Create a group
///
/// Needs `api:modify-group`.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/groups", tag = "groups", operation_id = "create_group", params(OrganizationAt, Once), request_body = NewGroup,
    responses((status = 201, description = "The new one, without members or grants.", body = GroupView<'static>, headers(("ETag" = String, description = "Its version."), ("Location" = String, description = "Where it is.")))))]
async fn create(
    asked: Admitted<ModifiesGroups>,
    At(at): At<OrganizationAt>,
    body: Json<NewGroup>,
) -> Result<Response, Refusal> {
    let NewGroup { name: Word(PlainName(name)) } = body.value;
    let (store, _running) = asked.creating(&body.digest)?;
    let (group, is_replayed) = match store.create_group(&at.org, &name, &asked.by, asked.now).await {
        Err(StoreError::Repeated { .. }) => (demand(&asked, &at.org, &name).await?, true),
        created => (created?, false),
    };
    asked.settle().await?;
    let (org, place) = (reply::segment(&at.org), reply::segment(&name));
    let location = format!("/api/v1/organizations/{org}/groups/{place}");
    Ok(reply::created(&GroupView::new(&at.org, &group), tag(&group), &location, is_replayed))
}

/// Show a group
///
/// Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/groups/{group}", tag = "groups", operation_id = "show_group", params(GroupAt, IfNoneMatch),
    responses((status = 200, description = "It.", body = GroupView<'static>, headers(("ETag" = String, description = "Its version.")))))]
async fn show(asked: Admitted<Reads>, At(at): At<GroupAt>) -> Result<Response, Refusal> {
    let group = demand(&asked, &at.org, &at.group.0.0).await?;
    Ok(reply::shown(&asked.headers, &GroupView::new(&at.org, &group), tag(&group)))
}

/// Put a user into a group
///
/// The user needs a seat. With `If-None-Match: *` only if they are not in it. Needs `api:modify-group`.
#[utoipa::path(put, path = "/api/v1/organizations/{org}/groups/{group}/members/{user}", tag = "groups", operation_id = "add_member", params(MemberAt, IfMatch, IfNothing),
    responses(
        (status = 200, description = "The group; the user was in it.", body = GroupView<'static>, headers(("ETag" = String, description = "The group's version."))),
        (status = 201, description = "The group, with the user in it.", body = GroupView<'static>, headers(("ETag" = String, description = "The group's version.")))))]
async fn add(asked: Admitted<ModifiesGroups>, At(at): At<MemberAt>) -> Result<Response, Refusal> {
    let (group, user) = (&at.group.0.0, &at.user.0.0);
    let placed = asked.changing()?.add_member(&at.org, group, user, &asked.by, asked.now).await?;
    self::placed(&asked, &at.org, &placed).await
}

/// Take a user out of a group
///
/// Needs `api:modify-group`.
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/groups/{group}/members/{user}", tag = "groups", operation_id = "remove_member", params(MemberAt, IfMatch),
    responses((status = 200, description = "The group, without the user.", body = GroupView<'static>, headers(("ETag" = String, description = "The group's version.")))))]
async fn remove(asked: Admitted<ModifiesGroups>, At(at): At<MemberAt>) -> Result<Response, Refusal> {
    let (group, user) = (&at.group.0.0, &at.user.0.0);
    let group = asked.changing()?.remove_member(&at.org, group, user, &asked.by, asked.now).await?;
    changed(&asked, &at.org, &group).await
}

/// Grant a channel to a group
///
/// From then on the channel is restricted to the organization's granted groups, until the restriction is lifted. A public channel cannot be
/// granted. The grant takes the place of the one that the group had of the channel; what is not granted does not exist for whoever reads by
/// it. With `If-None-Match: *` only if it is not granted. Needs `api:modify-group`.
#[utoipa::path(put, path = "/api/v1/organizations/{org}/groups/{group}/grants/{channel}", tag = "groups", operation_id = "grant_channel", params(GrantAt, IfMatch, IfNothing),
    request_body(content = GrantTerms, description = "What it may do there, and with what; nothing means to read all of it."),
    responses(
        (status = 200, description = "The group, with the grant that it had, changed or not.", body = GroupView<'static>, headers(("ETag" = String, description = "The group's version."))),
        (status = 201, description = "The group, with the new grant.", body = GroupView<'static>, headers(("ETag" = String, description = "The group's version.")))))]
async fn grant(
    asked: Admitted<ModifiesGroups>,
    At(at): At<GrantAt>,
    JsonOrNothing(body): JsonOrNothing<GrantTerms>,
) -> Result<Response, Refusal> {
    let channel = at.channel.0.to_string();
    if asked.shared.is_public(&channel) {
        return Err(Refusal::Value(format!(
            "channel \"{channel}\" is public: everybody reads it, and a grant only narrows"
        )));
    }
    let GrantTerms { permission, packages, labels } = body.value;
    let grant = Grant {
        channel,
        permission: permission.map_or_else(Permission::default, |Word(permission)| permission),
        packages: packages.into_iter().map(|Word(Pattern(text))| text).collect(),
        labels: labels.into_iter().map(|Word(LabelName(text))| text).collect(),
    };
    let placed = asked.changing()?.grant(&at.org, &at.group.0.0, &grant, &asked.by, asked.now).await?;
    self::placed(&asked, &at.org, &placed).await
}

/// Take a grant away
///
/// The channel stays restricted. Needs `api:modify-group`.
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/groups/{group}/grants/{channel}", tag = "groups", operation_id = "ungrant_channel", params(GrantAt, IfMatch),
    responses((status = 200, description = "The group, without the grant.", body = GroupView<'static>, headers(("ETag" = String, description = "The group's version.")))))]
async fn ungrant(asked: Admitted<ModifiesGroups>, At(at): At<GrantAt>) -> Result<Response, Refusal> {
    let (group, channel) = (&at.group.0.0, at.channel.0.as_str());
    let group = asked.changing()?.ungrant(&at.org, group, channel, &asked.by, asked.now).await?;
    changed(&asked, &at.org, &group).await
}

/// List the channels that an organization restricted to groups
///
/// Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/restrictions", tag = "groups", operation_id = "list_restrictions", params(OrganizationAt, PageByName),
    responses((status = 200, description = "A page of them, by channel.", body = Vec<RestrictionView<'static>>, headers(("Link" = String, description = "The next page, if there is one (RFC 8288).")))))]
async fn list_restrictions(
    asked: Admitted<Reads>,
    At(at): At<OrganizationAt>,
    Asked(page): Asked<PageByName>,
) -> Result<Response, Refusal> {
    let after = page.after.as_deref();
    let mut restrictions = asked.store().restrictions(&at.org, after, page.limit.and_one()).await?;
    let is_more = page.limit.cut(&mut restrictions);
    let next = restrictions.last().filter(|_| is_more).map(|last| last.channel.clone());
    let next = next.map(|after| [("after", after), ("limit", page.limit.to_string())]);
    let views: Vec<_> = restrictions.iter().map(|of| RestrictionView::new(&at.org, of)).collect();
    Ok(reply::page(&views, &asked.path, next.as_ref().map(|next| &next[..])))
}

/// Show the restriction of a channel to groups
///
/// Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/restrictions/{channel}", tag = "groups", operation_id = "show_restriction", params(RestrictionAt, IfNoneMatch),
    responses((status = 200, description = "It.", body = RestrictionView<'static>, headers(("ETag" = String, description = "Its version.")))))]
async fn show_restriction(asked: Admitted<Reads>, At(at): At<RestrictionAt>) -> Result<Response, Refusal> {
    let (org, channel) = (&at.org, at.channel.0.as_str());
    let restriction = asked.store().restriction(org, channel).await?;
    let missing = || Sought::Restriction { organization: org.clone(), channel: channel.to_owned() };
    let restriction = restriction.ok_or_else(missing)?;
    let tag = entity_tag(Version::of_restriction(&restriction.groups), None);
    Ok(reply::shown(&asked.headers, &RestrictionView::new(org, &restriction), tag))
}

/// Lift the restriction of a channel to groups
///
/// The organization's grants of it are taken away with it. Needs `api:modify-group`.
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/restrictions/{channel}", tag = "groups", operation_id = "unrestrict_channel", params(RestrictionAt, IfMatch),
    responses((status = 200, description = "The restriction as it was.", body = RestrictionView<'static>)))]
async fn unrestrict(asked: Admitted<ModifiesGroups>, At(at): At<RestrictionAt>) -> Result<Response, Refusal> {
    let channel = at.channel.0.as_str();
    let lifted = asked.changing()?.unrestrict(&at.org, channel, &asked.by, asked.now).await?;
    asked.settle().await?;
    Ok(reply::told(&RestrictionView::new(&at.org, &lifted)))
}

async fn changed(asked: &Admitted<ModifiesGroups>, org: &str, group: &Group) -> Result<Response, Refusal> {
    asked.settle().await?;
    Ok(reply::changed(&GroupView::new(org, group), tag(group)))
}

async fn placed(
    asked: &Admitted<ModifiesGroups>,
    org: &str,
    placed: &Placed<Group>,
) -> Result<Response, Refusal> {
    asked.settle().await?;
    let group = &placed.present;
    Ok(reply::placed(&GroupView::new(org, group), tag(group), placed.is_new))
}

/// The organization's group of this name.
async fn demand<D: Does>(asked: &Admitted<D>, org: &str, name: &str) -> Result<Group, Refusal> {
    let found = asked.store().group(org, name).await?;
    let missing = || Sought::Group { organization: org.to_owned(), name: name.to_owned() };
    Ok(found.ok_or_else(missing)?)
}

fn tag(group: &Group) -> http::HeaderValue {
    entity_tag(Version::of_group(group), None)
}
