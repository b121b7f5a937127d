//! Users as they are shown.

use serde::Serialize;

use super::SeatView;
use crate::account::{Organization, Seat, User};
use crate::clock::Timestamp;
use crate::store::{DisabledUser, Identity};

/// A person who signs in.
#[derive(Clone, Debug, Serialize)]
pub struct UserView<'a> {
    /// The name, which is the one of their seats.
    pub name: &'a str,
    /// Where they can be reached.
    pub email: Option<&'a str>,
    /// True if they can sign in by a password.
    pub has_password: bool,
    /// `active` or `disabled`.
    pub state: &'static str,
    /// Since when they are known.
    pub created_at: Timestamp,
    /// Since when they cannot sign in.
    pub disabled_at: Option<Timestamp>,
}

impl<'a> UserView<'a> {
    /// A user.
    pub fn new(user: &'a User) -> Self {
        Self {
            name: &user.name,
            email: user.email.as_deref(),
            has_password: user.has_password,
            state: if user.is_disabled() { "disabled" } else { "active" },
            created_at: user.created_at,
            disabled_at: user.disabled_at,
        }
    }
}

/// A user with what belongs to them.
#[derive(Clone, Debug, Serialize)]
pub struct UserDetailsView<'a> {
    /// The user.
    #[serde(flatten)]
    pub user: UserView<'a>,
    /// Their seats, the oldest first.
    pub seats: Vec<SeatView<'a>>,
    /// Who they are at OpenID providers.
    pub identities: Vec<IdentityView<'a>>,
}

impl<'a> UserDetailsView<'a> {
    /// A user, their seats and identities.
    pub fn new(user: &'a User, seats: &'a [(Organization, Seat)], identities: &'a [Identity]) -> Self {
        Self {
            user: UserView::new(user),
            seats: seats.iter().map(|(organization, seat)| SeatView::new(&organization.name, seat)).collect(),
            identities: identities.iter().map(IdentityView::new).collect(),
        }
    }
}

/// Who a user is at an OpenID provider.
#[derive(Clone, Debug, Serialize)]
pub struct IdentityView<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// What it calls the user.
    pub subject: &'a str,
    /// Since when.
    pub bound_at: Timestamp,
}

impl<'a> IdentityView<'a> {
    fn new(identity: &'a Identity) -> Self {
        Self { issuer: &identity.issuer, subject: &identity.subject, bound_at: identity.bound_at }
    }
}

/// A user who was disabled, and what ended with it.
#[derive(Clone, Debug, Serialize)]
pub struct DisabledUserView<'a> {
    /// The user.
    #[serde(flatten)]
    pub user: UserView<'a>,
    /// The ids of the API keys that ended.
    pub tokens_ended: Vec<uuid::Uuid>,
    /// How many browsers were signed out.
    pub sessions_ended: u64,
}

impl<'a> DisabledUserView<'a> {
    /// What became of a user.
    pub fn new(disabled: &'a DisabledUser) -> Self {
        Self {
            user: UserView::new(&disabled.user),
            tokens_ended: disabled.keys_ended.iter().map(|token| token.id.0).collect(),
            sessions_ended: disabled.sessions_ended,
        }
    }
}
