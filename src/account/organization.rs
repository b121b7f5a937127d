//! An organization and its subscription.

use std::time::Duration;

use uuid::Uuid;

use crate::clock::Timestamp;

/// How long tokens outlive the end of the subscription they were issued under: 30 days, as at Anaconda.
pub const AFTER_SUBSCRIPTION: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Somebody who hands out tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: Uuid,
    /// Its name, unique in this gate.
    pub name: String,
    /// What people call it; the name where they gave nothing else.
    pub title: String,
    /// Until when it has paid.
    pub subscription: Subscription,
    /// When it was created.
    pub created_at: Timestamp,
}

/// An organization's subscription.
///
/// It decides when tokens end at two moments only: when they are issued or synced, and when it is cancelled. Renewing it moves no token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// When it ends; `None` where there is no end.
    pub ends_at: Option<Timestamp>,
    /// When it was cancelled, if it was.
    pub cancelled_at: Option<Timestamp>,
}

/// Whether a subscription runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// It does.
    Active,
    /// It ended by itself then; tokens go on for [`AFTER_SUBSCRIPTION`].
    Ended(Timestamp),
    /// It was cancelled then, and all tokens ended with it.
    Cancelled(Timestamp),
}

impl SubscriptionState {
    /// The word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended(_) => "ended",
            Self::Cancelled(_) => "cancelled",
        }
    }
}

/// Why an organization cannot hand out a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionOver {
    /// It was cancelled.
    #[error("its subscription was cancelled on {0}; renew it first")]
    Cancelled(Timestamp),
    /// It ended so long ago that a token would be dead at birth.
    #[error("its subscription ended on {0}, more than 30 days ago; renew it first")]
    LongEnded(Timestamp),
}

/// A subscription that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subscription until {0} would be over already")]
pub struct EndsInThePast(pub Timestamp);

impl Subscription {
    /// One that ends at `ends_at`, or never.
    pub fn until(ends_at: Option<Timestamp>) -> Self {
        Self { ends_at, cancelled_at: None }
    }

    /// Whether it runs at `now`.
    pub fn state(&self, now: Timestamp) -> SubscriptionState {
        match (self.cancelled_at, self.ends_at) {
            (Some(at), _) => SubscriptionState::Cancelled(at),
            (None, Some(at)) if at <= now => SubscriptionState::Ended(at),
            _ => SubscriptionState::Active,
        }
    }

    /// When a site or individual token issued or synced at `now` expires: 30 days after the subscription's end.
    ///
    /// # Errors
    ///
    /// None can be issued.
    pub fn token_expiry(&self, now: Timestamp) -> Result<Option<Timestamp>, SubscriptionOver> {
        if let Some(at) = self.cancelled_at {
            return Err(SubscriptionOver::Cancelled(at));
        }
        let Some(end) = self.ends_at else { return Ok(None) };
        let expiry = end.plus(AFTER_SUBSCRIPTION);
        if expiry > now { Ok(Some(expiry)) } else { Err(SubscriptionOver::LongEnded(end)) }
    }

    /// The subscription renewed at `now` until `until`. A cancelled one begins anew; the tokens that ended with it stay dead.
    ///
    /// # Errors
    ///
    /// `until` has passed.
    pub fn renewed(until: Timestamp, now: Timestamp) -> Result<Self, EndsInThePast> {
        if until > now { Ok(Self::until(Some(until))) } else { Err(EndsInThePast(until)) }
    }

    /// The subscription cancelled at `now`; one that was cancelled before stays as it is.
    #[must_use]
    pub fn cancelled(self, now: Timestamp) -> Self {
        Self { cancelled_at: self.cancelled_at.or(Some(now)), ..self }
    }
}
