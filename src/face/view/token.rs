//! Tokens as they are shown.

use std::net::IpAddr;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::store::{LastUse, Refused, Synced, Used};
use crate::token::{Scope, TokenRecord};

/// A token. Its value is there once, where it is issued.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenView<'a> {
    /// Its value: only in the answer that issues it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub token: Option<&'a str>,
    /// Its id, safe to show.
    pub id: uuid::Uuid,
    /// `site`, `individual` or `scoped`.
    #[schema(example = "scoped")]
    pub kind: &'static str,
    /// The name of a scoped token.
    #[schema(example = "ci")]
    pub name: Option<&'a str>,
    /// The organization's name.
    #[schema(example = "acme")]
    pub org: &'a str,
    /// The user it belongs to or acts as.
    pub user: Option<&'a str>,
    /// The group it acts as.
    pub group: Option<&'a str>,
    /// True for an operator's, which acts in every organization.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub operator: bool,
    /// True for an API key: what the tools of its user show to act as the user.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub api_key: bool,
    /// How many times it was issued, this time included.
    pub generation: u32,
    /// What it may be used for.
    #[schema(value_type = Vec<String>, example = json!(["conda:download"]))]
    pub scopes: Vec<&'static str>,
    /// The channels it is confined to; empty where it is not confined.
    pub channels: &'a [String],
    /// When it was issued.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// From when on it no longer serves by itself; `null` for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// `active`, `expired`, `revoked`, `replaced`, `subscription_ended`, `seat_removed` or `user_disabled`.
    #[schema(example = "active")]
    pub state: &'static str,
    /// When somebody ended it; in the future for one that was issued again with a grace and still serves.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Why, in the words of whoever did.
    pub reason: Option<&'a str>,
    /// The latest request that it opened, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<UsedView>)]
    pub last_use: Option<Option<UsedView>>,
    /// The requests that were refused although the token is known, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RefusedView<'static>>)]
    pub last_refusal: Option<Option<RefusedView<'a>>>,
}

/// That a value is no token that is known here.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = UnknownToken)]
pub struct UnknownTokenView {
    /// `unknown`.
    #[schema(example = "unknown")]
    pub state: &'static str,
    /// What kind of unknown it is.
    pub detail: &'static str,
}

impl UnknownTokenView {
    /// Of a value that has a token's form, or has not.
    pub fn new(is_plausible: bool) -> Self {
        let detail = if is_plausible {
            "This gate has not issued this token."
        } else {
            "This cannot be a token of this gate: its form or checksum is wrong. Was it copied whole?"
        };
        Self { state: "unknown", detail }
    }
}

/// A request that a token opened.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TokenUse)]
pub struct UsedView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Where the token stood.
    #[schema(example = "path")]
    pub carrier: &'static str,
    /// The client's address.
    #[schema(value_type = String)]
    pub address: IpAddr,
}

/// Refused requests of a token.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TokenRefusal)]
pub struct RefusedView<'a> {
    /// When the latest was.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The code it was refused with.
    #[schema(example = "token_revoked")]
    pub code: &'a str,
    /// How many there were.
    pub count: u64,
}

impl<'a> TokenView<'a> {
    /// A token as it stands at `now`.
    pub fn new(record: &'a TokenRecord, now: Timestamp) -> Self {
        Self {
            token: None,
            id: record.id.0,
            kind: record.kind.as_str(),
            name: record.name.as_deref(),
            org: &record.organization,
            user: record.user.as_deref(),
            group: record.group.as_deref(),
            operator: record.operator,
            api_key: record.api_key,
            generation: record.generation,
            scopes: record.scopes.iter().map(Scope::as_str).collect(),
            channels: record.channels.as_deref().unwrap_or_default(),
            created_at: record.created_at,
            expires_at: record.expires_at,
            state: record.state(now).as_str(),
            ended_at: record.end.as_ref().map(|end| end.at),
            reason: record.end.as_ref().and_then(|end| end.reason.as_deref()),
            last_use: None,
            last_refusal: None,
        }
    }

    /// The same with when it was last shown.
    #[must_use]
    pub fn with_use(self, last_use: &'a LastUse) -> Self {
        let used =
            |&Used { at, carrier, address }: &Used| UsedView { at, carrier: carrier.as_str(), address };
        let refused = |Refused { at, code, count }: &'a Refused| RefusedView { at: *at, code, count: *count };
        Self {
            last_use: Some(last_use.used.as_ref().map(used)),
            last_refusal: Some(last_use.refused.as_ref().map(refused)),
            ..self
        }
    }

    /// The same with its value.
    #[must_use]
    pub fn with_value(self, value: &'a str) -> Self {
        Self { token: Some(value), ..self }
    }
}

/// A token whose expiry was set to what the subscription gives now.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SyncedToken)]
pub struct SyncedView<'a> {
    /// It.
    #[serde(flatten)]
    pub token: TokenView<'a>,
    /// Its expiry before.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub previous_expires_at: Option<Timestamp>,
}

impl<'a> SyncedView<'a> {
    /// The token as it stands at `now`.
    pub fn new(synced: &'a Synced, now: Timestamp) -> Self {
        Self { token: TokenView::new(&synced.record, now), previous_expires_at: synced.before }
    }
}
