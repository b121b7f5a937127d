//! Seats as they are shown.

use serde::Serialize;
use utoipa::ToSchema;

use crate::account::Seat;
use crate::clock::Timestamp;
use crate::store::RemovedSeat;

/// A user's place in an organization.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Seat)]
pub struct SeatView<'a> {
    /// The organization's name.
    #[schema(example = "acme")]
    pub org: &'a str,
    /// The user.
    #[schema(example = "alice")]
    pub user: &'a str,
    /// `member` or `admin`.
    #[schema(example = "member")]
    pub role: &'static str,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub assigned_at: Timestamp,
}

impl<'a> SeatView<'a> {
    /// A seat of organization `org`.
    pub fn new(org: &'a str, seat: &'a Seat) -> Self {
        Self { org, user: &seat.user, role: seat.role.as_str(), assigned_at: seat.assigned_at }
    }
}

/// A seat that was taken away, and what went with it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RemovedSeat)]
pub struct RemovedSeatView<'a> {
    /// It.
    #[serde(flatten)]
    pub seat: SeatView<'a>,
    /// The ids of the living tokens that ended.
    pub tokens_ended: Vec<uuid::Uuid>,
    /// The groups that lost the user.
    pub groups_left: &'a [String],
}

impl<'a> RemovedSeatView<'a> {
    /// A seat that organization `org` took away.
    pub fn new(org: &'a str, removed: &'a RemovedSeat) -> Self {
        Self {
            seat: SeatView::new(org, &removed.seat),
            tokens_ended: removed.ended.iter().map(|token| token.id.0).collect(),
            groups_left: &removed.left,
        }
    }
}
