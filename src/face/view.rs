//! The objects that people and programs are shown: `--json` of the command line, the bodies of the admin API.
//!
//! There is one definition of each, so that what a script learned of one face it knows of the other. Nothing here holds a token's value but
//! [`TokenView::with_value`]. Times are RFC 3339 to the second.

mod audit;
mod group;
mod organization;
mod seat;
mod token;
mod user;

pub use audit::{RecordView, VerdictView};
pub use group::{GrantView, GroupView, RestrictionView};
pub use organization::{CancelledView, OrganizationView};
pub use seat::{RemovedSeatView, SeatView};
pub use token::{RefusedView, SyncedView, TokenView, UnknownTokenView, UsedView};
pub use user::{DisabledUserView, IdentityView, UserDetailsView, UserView};
