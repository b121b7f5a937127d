//! Tokens. A value is in the answer that issues it and nowhere else.

use std::time::Duration;

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admitted::{Admitted, Does, Reads, Writes};
use super::conditions::entity_tag;
use super::document::{IfMatch, IfNoneMatch, IfNothing, Once};
use super::organizations::OrganizationAt;
use super::paging::Limit;
use super::parts::{Asked, At, Json, JsonOrNothing, sha256};
use super::refusal::Refusal;
use super::seats::SeatAt;
use super::word::{
    ChannelWord, Line, LineWord, Moment, NameWord, PlainName, ScopeWord, Span, SpanWord, TokenNameWord,
    UserName, UserWord, Word,
};
use super::{Shared, reply};
use crate::clock::{Timestamp, format_duration};
use crate::face::view::{SyncedView, TokenView, UnknownTokenView};
use crate::policy::{Holder, Mint};
use crate::store::{ActsAs, LastUse, NewToken, Purpose, Sought, StoreError, SyncedTokens, Version, Which};
use crate::token::{
    End, EndCause, Minted, Scopes, Secret, TokenDigest, TokenId, TokenRecord, is_importable, scoped_expiry,
};

/// The routes.
pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(import))
        .routes(routes!(sync))
        .routes(routes!(verify))
        .routes(routes!(show))
        .routes(routes!(revoke))
        .routes(routes!(show_site, issue_site))
        .routes(routes!(show_individual, issue_individual))
}

/// A token's place.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct TokenAt {
    /// The organization's name.
    #[param(example = "acme")]
    org: String,
    /// The token's id.
    id: uuid::Uuid,
}

/// Which page of the list of tokens.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TokenPage {
    /// How many tokens at most, from 1 to 1000; 100 unless said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// Only what comes behind the token of this id; the header Link has it for the next page.
    after: Option<uuid::Uuid>,
    /// Only living tokens that stop working by themselves within this time, as in `30d`; the soonest first.
    #[param(inline)]
    expiring: Option<SpanWord>,
}

/// A token to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewScopedToken {
    /// Its name, unique among the organization's living tokens.
    #[schema(inline)]
    name: TokenNameWord,
    /// What it may be used for.
    #[schema(inline, min_items = 1)]
    scopes: Vec<ScopeWord>,
    /// The channels it is confined to; none unless said.
    #[schema(inline, min_items = 1)]
    channels: Option<Vec<ChannelWord>>,
    /// The user it acts as, who has a seat. Not with `group`.
    #[schema(inline)]
    user: Option<UserWord>,
    /// The group it acts as. Not with `user`.
    #[schema(inline)]
    group: Option<NameWord>,
    /// How long it lives; a year unless said. Not with `expires_at`.
    #[schema(inline)]
    expires_in: Option<SpanWord>,
    /// When it ends. Not with `expires_in`.
    #[schema(inline)]
    expires_at: Option<Moment>,
}

/// A token of another system to be taken over.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForeignToken {
    /// Its value: 20 to 256 characters of `[A-Za-z0-9-]`.
    #[schema(pattern = "^[A-Za-z0-9-]{20,256}$", write_only)]
    token: String,
    /// Its name, unique among the organization's living tokens.
    #[schema(inline)]
    name: TokenNameWord,
    /// What it may be used for.
    #[schema(inline, min_items = 1)]
    scopes: Vec<ScopeWord>,
    /// The channels it is confined to; none unless said.
    #[schema(inline, min_items = 1)]
    channels: Option<Vec<ChannelWord>>,
    /// How long it lives; a year unless said. Not with `expires_at`.
    #[schema(inline)]
    expires_in: Option<SpanWord>,
    /// When it ends. Not with `expires_in`.
    #[schema(inline)]
    expires_at: Option<Moment>,
}

/// A token to be issued in place of the previous one.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Issue {
    /// How long the previous one goes on working; not at all unless said.
    #[schema(inline)]
    grace: Option<SpanWord>,
}

/// A token to be revoked.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    /// Why; kept with the token.
    #[schema(inline)]
    reason: Option<LineWord>,
}

/// Which tokens to sync: the site token and all individual ones unless said.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SyncTarget {
    /// Only the site token. Not with `user`.
    #[serde(default)]
    site: bool,
    /// Only this user's individual token. Not with `site`.
    #[schema(inline)]
    user: Option<UserWord>,
}

/// Where to go on with a sync.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SyncPage {
    /// Only individual tokens of users whose names come behind this one; the header Link has it for the rest. Not with `site` or `user`.
    #[param(inline)]
    after: Option<UserWord>,
}

/// A value that somebody wants to know more of.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Verification {
    /// It.
    #[schema(write_only)]
    token: String,
}

/// List an organization's tokens
///
/// Oldest first, with their last use. Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/tokens", tag = "tokens", operation_id = "list_tokens", params(OrganizationAt, TokenPage),
    responses((status = 200, description = "A page of them.", body = Vec<TokenView<'static>>, headers(("Link" = String, description = "The next page, if there is one (RFC 8288).")))))]
async fn list(
    asked: Admitted<Reads>,
    At(at): At<OrganizationAt>,
    Asked(page): Asked<TokenPage>,
) -> Result<Response, Refusal> {
    let after = match page.after {
        Some(after) => Some(demand(&asked, &at.org, after).await?),
        None => None,
    };
    let (store, limit) = (asked.store(), page.limit.and_one());
    let mut tokens = match &page.expiring {
        None => store.tokens(&at.org, after.map(|after| after.id), limit).await?,
        Some(Word(Span(within))) => {
            let soon = asked.now.plus(*within);
            let after = after.map(|after| (after.ends_at().unwrap_or(soon), after.id));
            store.expiring_tokens(&at.org, soon, after, limit, asked.now).await?
        }
    };
    let is_more = page.limit.cut(&mut tokens);
    let next = tokens.last().filter(|_| is_more).map(|last| {
        let mut next = vec![("after", last.record.id.to_string()), ("limit", page.limit.to_string())];
        next.extend(page.expiring.as_ref().map(|Word(Span(within))| ("expiring", format_duration(*within))));
        next
    });
    let views: Vec<_> = tokens
        .iter()
        .map(|token| TokenView::new(&token.record, asked.now).with_use(&token.last_use))
        .collect();
    Ok(reply::page(&views, &asked.path, next.as_deref()))
}

/// Create a token for one purpose
///
/// It can do nothing that the token which asks for it cannot do itself. Needs `api:write`.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/tokens", tag = "tokens", operation_id = "create_token", params(OrganizationAt, Once), request_body = NewScopedToken,
    responses((status = 201, description = "The new one, with its value.", body = TokenView<'static>, headers(("ETag" = String, description = "Its version."), ("Location" = String, description = "Where it is.")))))]
async fn create(
    asked: Admitted<Writes>,
    At(at): At<OrganizationAt>,
    body: Json<NewScopedToken>,
) -> Result<Response, Refusal> {
    let wish = body.value;
    let acts_as = match (wish.user, wish.group) {
        (Some(_), Some(_)) => {
            return Err(Refusal::Value("a token acts as a user or as a group, not as both".into()));
        }
        (Some(Word(UserName(user))), None) => Some(ActsAs::User(user)),
        (None, Some(Word(PlainName(group)))) => Some(ActsAs::Group(group)),
        (None, None) => None,
    };
    let token = NewToken {
        organization: at.org,
        purpose: Purpose::Scoped { name: wish.name.0.0, acts_as },
        scopes: scopes(&wish.scopes)?,
        channels: channels(wish.channels)?,
        expires_at: Some(expiry(wish.expires_in, wish.expires_at, asked.now)?),
        imported: false,
        api_key: None,
        replaces_namesake: false,
    };
    mint(&asked, &token, Duration::ZERO, &body.digest).await
}

/// Take over a token that another system issued
///
/// Needs `api:write`.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/tokens/import", tag = "tokens", operation_id = "import_token", params(OrganizationAt, Once), request_body = ForeignToken,
    responses((status = 201, description = "It, without its value.", body = TokenView<'static>, headers(("ETag" = String, description = "Its version."), ("Location" = String, description = "Where it is.")))))]
async fn import(
    asked: Admitted<Writes>,
    At(at): At<OrganizationAt>,
    body: Json<ForeignToken>,
) -> Result<Response, Refusal> {
    let wish = body.value;
    if !is_importable(&wish.token) {
        return Err(Refusal::Value(
            "this value cannot be imported: it must have 20 to 256 characters of [A-Za-z0-9-], and if it begins with cg- it must be a token that a channelgate issued".to_owned(),
        ));
    }
    if wish.name.0.0.contains(&wish.token) {
        return Err(Refusal::Value(
            "a token's name cannot hold its value: it is kept, and shown to others".to_owned(),
        ));
    }
    let token = NewToken {
        organization: at.org,
        purpose: Purpose::Scoped { name: wish.name.0.0, acts_as: None },
        scopes: scopes(&wish.scopes)?,
        channels: channels(wish.channels)?,
        expires_at: Some(expiry(wish.expires_in, wish.expires_at, asked.now)?),
        imported: true,
        api_key: None,
        replaces_namesake: false,
    };
    let digest = TokenDigest::of(wish.token.as_bytes());
    insert(&asked, &token, &digest, None, Duration::ZERO, &body.digest).await
}

/// Set the expiry of site and individual tokens to what the subscription gives now
///
/// Living tokens only. One request looks at some thousand tokens: as long as an answer has the header Link, send the same there. Needs
/// `api:write`.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/tokens/sync", tag = "tokens", operation_id = "sync_tokens", params(OrganizationAt, SyncPage),
    request_body(content = SyncTarget, description = "Which; nothing means all."),
    responses((status = 200, description = "Those whose expiry moved.", body = Vec<SyncedView<'static>>, headers(("Link" = String, description = "Where the rest is, if there is any (RFC 8288).")))))]
async fn sync(
    asked: Admitted<Writes>,
    At(at): At<OrganizationAt>,
    Asked(page): Asked<SyncPage>,
    JsonOrNothing(body): JsonOrNothing<SyncTarget>,
) -> Result<Response, Refusal> {
    let which = match (body.value.site, body.value.user, page.after) {
        (false, None, None) => Which::All,
        (false, None, Some(Word(UserName(user)))) => Which::Behind(user),
        (true, None, None) => Which::Site,
        (false, Some(Word(UserName(user))), None) => Which::User(user),
        _ => {
            let problem = "sync the site token, a user's, or all behind a user: one of them";
            return Err(Refusal::Value(problem.to_owned()));
        }
    };
    let SyncedTokens { synced, next } =
        asked.store().sync_tokens(&at.org, &which, &asked.by, asked.now).await?;
    asked.settle().await?;
    let views: Vec<_> = synced.iter().map(|synced| SyncedView::new(synced, asked.now)).collect();
    let next = match next {
        Some(Which::Behind(user)) => Some([("after", user)]),
        _ => None,
    };
    Ok(reply::page(&views, &asked.path, next.as_ref().map(|next| &next[..])))
}

/// Say what is known of a token
///
/// One of another organization is unknown. Needs `api:read`.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/tokens/verify", tag = "tokens", operation_id = "verify_token", params(OrganizationAt), request_body = Verification,
    responses((status = 200, description = "The token, or that it is unknown.", body = VerifiedToken<'static>)))]
async fn verify(
    asked: Admitted<Reads>,
    At(at): At<OrganizationAt>,
    body: Json<Verification>,
) -> Result<Response, Refusal> {
    let secret = Secret::new(body.value.token.as_bytes());
    let is_plausible = secret.is_plausible();
    let found = if is_plausible {
        asked.store().token_by_digest(&secret.digest()).await?.standing.map(|standing| standing.token)
    } else {
        None
    };
    let Some(record) = found.filter(|record| *record.organization == *at.org) else {
        return Ok(reply::told(&VerifiedToken::Unknown(UnknownTokenView::new(is_plausible))));
    };
    let last_use = asked.store().last_use(record.id).await?;
    let view = TokenView::new(&record, asked.now).with_use(&last_use);
    Ok(reply::told(&VerifiedToken::Known(Box::new(view))))
}

/// What is known of a token.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum VerifiedToken<'a> {
    /// This.
    Known(Box<TokenView<'a>>),
    /// Nothing.
    Unknown(UnknownTokenView),
}

/// Show a token
///
/// Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/tokens/{id}", tag = "tokens", operation_id = "show_token", params(TokenAt, IfNoneMatch),
    responses((status = 200, description = "It, with its last use.", body = TokenView<'static>, headers(("ETag" = String, description = "Its version, and behind the dot its last use.")))))]
async fn show(asked: Admitted<Reads>, At(at): At<TokenAt>) -> Result<Response, Refusal> {
    let record = demand(&asked, &at.org, at.id).await?;
    shown(&asked, &record).await
}

/// Revoke a token
///
/// A dead one stays as it died. Needs `api:write`.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/tokens/{id}/revoke", tag = "tokens", operation_id = "revoke_token", params(TokenAt, IfMatch),
    request_body(content = Revocation, description = "Why; nothing if there is nothing to say."),
    responses((status = 200, description = "It, as it is now.", body = TokenView<'static>, headers(("ETag" = String, description = "Its version, and behind the dot its last use.")))))]
async fn revoke(
    asked: Admitted<Writes>,
    At(at): At<TokenAt>,
    JsonOrNothing(body): JsonOrNothing<Revocation>,
) -> Result<Response, Refusal> {
    let id = demand(&asked, &at.org, at.id).await?.id;
    let reason = body.value.reason.map(|Word(Line(reason))| reason);
    let end = End { cause: EndCause::Revoked, at: asked.now, reason };
    let ended = asked.changing()?.end_token(id, &end, &asked.by, asked.now).await?;
    asked.settle().await?;
    let last_use = asked.store().last_use(id).await?;
    let view = TokenView::new(&ended.record, asked.now).with_use(&last_use);
    Ok(reply::changed(&view, tag(&ended.record, &last_use, asked.now)))
}

/// Show an organization's site token
///
/// The living one; not one that was issued again and is in its grace. Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/site-token", tag = "tokens", operation_id = "show_site_token", params(OrganizationAt, IfNoneMatch),
    responses((status = 200, description = "It, with its last use.", body = TokenView<'static>, headers(("ETag" = String, description = "Its version, and behind the dot its last use.")))))]
async fn show_site(asked: Admitted<Reads>, At(at): At<OrganizationAt>) -> Result<Response, Refusal> {
    let living = asked.store().living_token(&at.org, None, asked.now).await?;
    let record = living.ok_or_else(|| Refusal::Missing("The organization has no living site token."))?;
    shown(&asked, &record).await
}

/// Issue an organization's site token
///
/// It takes the place of the living one, which ends at once or after the grace; `If-Match` says which one is meant, `If-None-Match: *` that there
/// is none. The token that asks has to cover `repos` and be confined to no channels. Needs `api:write`.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/site-token", tag = "tokens", operation_id = "issue_site_token", params(OrganizationAt, IfMatch, IfNothing, Once),
    request_body(content = Issue, description = "The grace; nothing means none."),
    responses((status = 201, description = "The new one, with its value.", body = TokenView<'static>, headers(("ETag" = String, description = "Its version."), ("Location" = String, description = "Where it is.")))))]
async fn issue_site(
    asked: Admitted<Writes>,
    At(at): At<OrganizationAt>,
    JsonOrNothing(body): JsonOrNothing<Issue>,
) -> Result<Response, Refusal> {
    let grace = body.value.grace.map_or(Duration::ZERO, |Word(Span(grace))| grace);
    mint(&asked, &NewToken::site(at.org), grace, &body.digest).await
}

/// Show a user's individual token
///
/// The living one; not one that was issued again and is in its grace. Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/seats/{user}/token", tag = "tokens", operation_id = "show_individual_token", params(SeatAt, IfNoneMatch),
    responses((status = 200, description = "It, with its last use.", body = TokenView<'static>, headers(("ETag" = String, description = "Its version, and behind the dot its last use.")))))]
async fn show_individual(asked: Admitted<Reads>, At(at): At<SeatAt>) -> Result<Response, Refusal> {
    let SeatAt { org, user: Word(UserName(user)) } = at;
    let living = asked.store().living_token(&org, Some(&user), asked.now).await?;
    let record = living.ok_or_else(|| Refusal::Missing("The user has no living individual token."))?;
    shown(&asked, &record).await
}

/// Issue a user's individual token
///
/// The user needs a seat. It takes the place of the living one, which ends at once or after the grace; `If-Match` says which one is meant,
/// `If-None-Match: *` that there is none. The token that asks has to cover `repos`, be confined to no channels, and act as this user or cover
/// `api:modify-group`. Needs `api:write`.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/seats/{user}/token", tag = "tokens", operation_id = "issue_individual_token", params(SeatAt, IfMatch, IfNothing, Once),
    request_body(content = Issue, description = "The grace; nothing means none."),
    responses((status = 201, description = "The new one, with its value.", body = TokenView<'static>, headers(("ETag" = String, description = "Its version."), ("Location" = String, description = "Where it is.")))))]
async fn issue_individual(
    asked: Admitted<Writes>,
    At(at): At<SeatAt>,
    JsonOrNothing(body): JsonOrNothing<Issue>,
) -> Result<Response, Refusal> {
    let SeatAt { org, user: Word(UserName(user)) } = at;
    let grace = body.value.grace.map_or(Duration::ZERO, |Word(Span(grace))| grace);
    mint(&asked, &NewToken::individual(org, user), grace, &body.digest).await
}

/// Makes a token with a new value.
async fn mint(
    asked: &Admitted<Writes>,
    token: &NewToken,
    grace: Duration,
    body: &[u8; 32],
) -> Result<Response, Refusal> {
    let minted = Minted::random().map_err(|error| {
        tracing::error!(%error, "no token can be made");
        Refusal::Overloaded
    })?;
    insert(asked, token, &minted.digest(), Some(&minted), grace, body).await
}

/// Keeps a token and answers with it; with its value, if it was made now.
async fn insert(
    asked: &Admitted<Writes>,
    token: &NewToken,
    digest: &TokenDigest,
    minted: Option<&Minted>,
    grace: Duration,
    body: &[u8; 32],
) -> Result<Response, Refusal> {
    asked.may_mint(&wanted(token))?;
    let (store, _running) = asked.creating(body)?;
    let (record, is_replayed) = match store.insert_token(token, digest, &asked.by, asked.now, grace).await {
        Err(StoreError::Repeated { made }) => (demand(asked, &token.organization, made).await?, true),
        issued => (issued?.record, false),
    };
    asked.settle().await?;
    let view = TokenView::new(&record, asked.now);
    let view = match minted.filter(|_| !is_replayed) {
        Some(minted) => view.with_value(minted.expose()),
        None => view,
    };
    let location =
        format!("/api/v1/organizations/{}/tokens/{}", reply::segment(&token.organization), record.id);
    Ok(reply::created(&view, tag(&record, &LastUse::default(), asked.now), &location, is_replayed))
}

/// What a new token would have a right to.
fn wanted(token: &NewToken) -> Mint<'_> {
    let holder = match &token.purpose {
        Purpose::Individual { user } | Purpose::Scoped { acts_as: Some(ActsAs::User(user)), .. } => {
            Holder::User(user)
        }
        Purpose::Scoped { acts_as: Some(ActsAs::Group(group)), .. } => Holder::Group(group),
        Purpose::Site | Purpose::Scoped { acts_as: Some(ActsAs::Operator) | None, .. } => Holder::Nobody,
    };
    Mint { scopes: token.scopes, channels: token.channels.as_deref(), holder }
}

async fn shown(asked: &Admitted<Reads>, record: &TokenRecord) -> Result<Response, Refusal> {
    let last_use = asked.store().last_use(record.id).await?;
    let view = TokenView::new(record, asked.now).with_use(&last_use);
    Ok(reply::shown(&asked.headers, &view, tag(record, &last_use, asked.now)))
}

/// The organization's token of this id.
async fn demand<D: Does>(asked: &Admitted<D>, org: &str, id: uuid::Uuid) -> Result<TokenRecord, Refusal> {
    let found = asked.store().token(TokenId(id)).await?;
    let found = found.filter(|record| *record.organization == *org);
    Ok(found.ok_or(Sought::Token(TokenId(id)))?)
}

fn scopes(words: &[ScopeWord]) -> Result<Scopes, Refusal> {
    if words.is_empty() {
        return Err(Refusal::Value("a token needs at least one scope".to_owned()));
    }
    Ok(Scopes::of(&words.iter().map(|&Word(scope)| scope).collect::<Vec<_>>()))
}

fn channels(words: Option<Vec<ChannelWord>>) -> Result<Option<Vec<String>>, Refusal> {
    let Some(words) = words else { return Ok(None) };
    let mut names: Vec<String> = Vec::new();
    for Word(channel) in words {
        if !names.iter().any(|name| name == channel.as_str()) {
            names.push(channel.to_string());
        }
    }
    match names.len() {
        0 => Err(Refusal::Value(
            "a token is confined to one channel at least, or, without channels, to none".into(),
        )),
        count if count > CHANNELS_MAX => {
            Err(Refusal::Value(format!("a token is confined to {CHANNELS_MAX} channels at most")))
        }
        _ => Ok(Some(names)),
    }
}

fn expiry(within: Option<SpanWord>, at: Option<Moment>, now: Timestamp) -> Result<Timestamp, Refusal> {
    if within.is_some() && at.is_some() {
        return Err(Refusal::Value("expires_in and expires_at contradict each other; send one".to_owned()));
    }
    scoped_expiry(at.map(|Word(at)| at), within.map(|Word(Span(life))| life), now)
        .map_err(|error| Refusal::Value(error.to_string()))
}

fn tag(record: &TokenRecord, last_use: &LastUse, now: Timestamp) -> http::HeaderValue {
    let digest = sha256(format!("{last_use:?}").as_bytes());
    let short = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
    entity_tag(Version::of_token(record, now), Some(&short))
}

/// How many channels a token can be confined to.
const CHANNELS_MAX: usize = 100;
