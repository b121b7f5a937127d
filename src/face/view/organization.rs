//! Organizations as they are shown.

use serde::Serialize;
use utoipa::ToSchema;

use crate::account::Organization;
use crate::clock::Timestamp;
use crate::store::Cancelled;

/// An organization: who hands out tokens, and until when.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
pub struct OrganizationView<'a> {
    /// Its id.
    pub id: uuid::Uuid,
    /// Its name, unique in this gate.
    #[schema(example = "acme")]
    pub name: &'a str,
    /// What people call it.
    #[schema(example = "Acme Corporation")]
    pub title: &'a str,
    /// `active`, `ended` or `cancelled`.
    #[schema(example = "active")]
    pub subscription: &'static str,
    /// When the subscription ends; `null` for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub subscription_ends: Option<Timestamp>,
    /// When it was cancelled, if it was.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub cancelled_at: Option<Timestamp>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl<'a> OrganizationView<'a> {
    /// An organization as it stands at `now`.
    pub fn new(organization: &'a Organization, now: Timestamp) -> Self {
        Self {
            id: organization.id,
            name: &organization.name,
            title: &organization.title,
            subscription: organization.subscription.state(now).as_str(),
            subscription_ends: organization.subscription.ends_at,
            cancelled_at: organization.subscription.cancelled_at,
            created_at: organization.created_at,
        }
    }
}

/// An organization whose subscription was cancelled, and what ended with it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CancelledOrganization)]
pub struct CancelledView<'a> {
    /// It.
    #[serde(flatten)]
    pub organization: OrganizationView<'a>,
    /// How many living tokens ended now; 0 if it had been cancelled before.
    pub tokens_ended: u64,
}

impl<'a> CancelledView<'a> {
    /// An organization as it stands at `now`.
    pub fn new(cancelled: &'a Cancelled, now: Timestamp) -> Self {
        let organization = OrganizationView::new(&cancelled.organization, now);
        Self { organization, tokens_ended: cancelled.tokens_ended }
    }
}
