//! Somebody who acts for themselves, with their seats: what nearly every route of this face begins with.

use super::asking::Asking;
use super::refusal::Refusal;
use crate::account::{Organization, Seat};
use crate::clock::Timestamp;
use crate::policy::{Caller, Minter, Person, decide_person};
use crate::store::Actor;
use crate::token::TokenId;

/// A person with their seats.
pub(super) struct Member {
    pub(super) person: Person,
    /// The oldest first.
    pub(super) seats: Vec<(Organization, Seat)>,
}

impl Asking {
    /// The person who asks, as the store knows them now.
    ///
    /// # Errors
    ///
    /// Nobody acts as a person here, or one who is disabled.
    pub(super) async fn person(&self) -> Result<Person, Refusal> {
        let user = match self.caller.user() {
            Some(name) => self.shared.store.user(name).await?,
            None => None,
        };
        decide_person(&self.caller, user.as_ref(), self.now).map_err(Refusal::NoPerson)
    }

    /// The same with their seats; what they ask for is about to be done.
    ///
    /// # Errors
    ///
    /// Nobody acts as a person here, or one who is disabled.
    pub(super) async fn member(&self) -> Result<Member, Refusal> {
        let person = self.person().await?;
        let seats = self.shared.store.seats_of(person.user()).await?;
        self.used();
        Ok(Member { person, seats })
    }

    /// The id of the token that was shown, if it is known.
    pub(super) fn token_id(&self) -> Option<TokenId> {
        match &self.caller {
            Caller::Known(standing) => Some(standing.token.id),
            Caller::Anonymous { .. } | Caller::Unknown => None,
        }
    }

    /// Who makes a change, for the audit: the user.
    pub(super) fn by_user(&self, user: &str) -> Actor {
        Actor::user(user, Some(self.arrival.client))
    }

    /// The same for a token that does not act as a person.
    pub(super) fn by_token(&self) -> Actor {
        let id = self.token_id().map(|id| id.to_string()).unwrap_or_default();
        Actor { name: format!("token:{id}"), from: Some(self.arrival.client) }
    }
}

impl Member {
    /// Their seat in the organization of this name or id.
    ///
    /// # Errors
    ///
    /// They have none there, or there is no such organization: that looks the same.
    pub(super) fn seat_in(&self, organization: &str) -> Result<&Organization, Refusal> {
        seat_in(&self.seats, self.person.user(), organization)
    }

    /// What they may make tokens of there.
    pub(super) fn minter_in(&self, organization: &Organization) -> Minter<'_> {
        if organization.name == self.person.organization() {
            self.person.minter()
        } else {
            self.person.minter_elsewhere()
        }
    }
}

/// The organization of this name or id, in which the user has one of the seats.
///
/// # Errors
///
/// They have none there, or there is no such organization: that looks the same.
pub(super) fn seat_in<'s>(
    seats: &'s [(Organization, Seat)],
    user: &str,
    organization: &str,
) -> Result<&'s Organization, Refusal> {
    let is_meant = |known: &Organization| {
        known.name == organization || known.id.to_string().eq_ignore_ascii_case(organization)
    };
    let seat = seats.iter().map(|(known, _)| known).find(|known| is_meant(known));
    seat.ok_or_else(|| Refusal::NoSeat { user: user.to_owned(), organization: organization.to_owned() })
}

/// When a token that the organization issues now would expire.
///
/// # Errors
///
/// Its subscription is over.
pub(super) fn subscribed(organization: &Organization, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    organization
        .subscription
        .token_expiry(now)
        .map_err(|over| Refusal::Unsubscribed { organization: organization.name.clone(), over })
}
