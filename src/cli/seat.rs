//! `channelgate seat …`.

use anyhow::Context as _;
use serde::Serialize;

use super::args::SeatCommand;
use super::output::{self, tell};
use super::session::Session;
use super::view::{details, table};
use crate::account::Seat;
use crate::clock::Timestamp;
use crate::store::RemovedSeat;

/// Runs one of the commands.
///
/// # Errors
///
/// The store's, names that there are not, and what nobody confirmed.
pub(super) async fn run(command: SeatCommand, session: &Session<'_>) -> anyhow::Result<()> {
    let (store, by, now) = (&session.store, &session.by, session.now());
    match command {
        SeatCommand::Assign { org, user, role, output } => {
            let seat = store.assign_seat(&org, &user, role, by, now).await?;
            output::print(output, &SeatView::new(&org, &seat), SeatView::to_text)
        }
        SeatCommand::List { org, output } => {
            let seats = store.seats(&org).await?;
            let views: Vec<_> = seats.iter().map(|seat| SeatView::new(&org, seat)).collect();
            output::print(output, &views, |views| seat_table(views))
        }
        SeatCommand::Remove { org, user, output } => {
            store.seat(&org, &user).await?.with_context(|| {
                format!(
                    "user \"{user}\" has no seat in organization \"{org}\"; `channelgate seat list {org}` shows them"
                )
            })?;
            session.confirm(&format!(
                "The seat of user \"{user}\" in organization \"{org}\" will be removed; their individual token and tokens that act as them \
                 will stop working at once"
            ))?;
            let removed = store.remove_seat(&org, &user, by, now).await?;
            for token in &removed.ended {
                tell(format_args!("The {token} ended with the seat."));
            }
            if !removed.left.is_empty() {
                tell(format_args!("User \"{user}\" left the groups {}.", removed.left.join(", ")));
            }
            output::print(output, &RemovedView::new(&org, &removed), |view| view.seat.to_text())
        }
    }
}

/// A seat, as printed.
#[derive(Debug, Serialize)]
struct SeatView<'a> {
    org: &'a str,
    user: &'a str,
    role: &'static str,
    assigned_at: Timestamp,
}

impl<'a> SeatView<'a> {
    fn new(org: &'a str, seat: &'a Seat) -> Self {
        Self { org, user: &seat.user, role: seat.role.as_str(), assigned_at: seat.assigned_at }
    }

    fn to_text(&self) -> String {
        details(&[
            ("organization", self.org.to_owned()),
            ("user", self.user.to_owned()),
            ("role", self.role.to_owned()),
            ("assigned", self.assigned_at.to_string()),
        ])
    }
}

/// A seat that was taken away, and what went with it.
#[derive(Debug, Serialize)]
struct RemovedView<'a> {
    #[serde(flatten)]
    seat: SeatView<'a>,
    /// The ids of the living tokens that ended.
    tokens_ended: Vec<uuid::Uuid>,
    groups_left: &'a [String],
}

impl<'a> RemovedView<'a> {
    fn new(org: &'a str, removed: &'a RemovedSeat) -> Self {
        Self {
            seat: SeatView::new(org, &removed.seat),
            tokens_ended: removed.ended.iter().map(|token| token.id.0).collect(),
            groups_left: &removed.left,
        }
    }
}

/// Seats for people.
fn seat_table(seats: &[SeatView<'_>]) -> String {
    let rows = seats
        .iter()
        .map(|seat| vec![seat.user.to_owned(), seat.role.to_owned(), seat.assigned_at.to_string()]);
    table(&["USER", "ROLE", "ASSIGNED"], rows)
}
