//! `channelgate seat …`.

use super::args::SeatCommand;
use super::output::{self, tell};
use super::session::{PAGE, Session, every_page};
use super::view::{details, table};
use crate::face::view::{RemovedSeatView, SeatView};
use anyhow::Context as _;

/// Runs one of the commands.
///
/// # Errors
///
/// The store's, names that there are not, and what nobody confirmed.
pub(super) async fn run(command: SeatCommand, session: &Session<'_>) -> anyhow::Result<()> {
    let (store, by, now) = (&session.store, &session.by, session.now());
    match command {
        SeatCommand::Assign { org, user, role, output } => {
            let seat = store.assign_seat(&org, &user, role, by, now).await?.present;
            output::print(output, &SeatView::new(&org, &seat), SeatView::to_text)
        }
        SeatCommand::List { org, output } => {
            let seats =
                every_page(async |after| store.seats(&org, after, PAGE).await, |seat| &seat.user).await?;
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
            output::print(output, &RemovedSeatView::new(&org, &removed), |view| view.seat.to_text())
        }
    }
}

impl SeatView<'_> {
    fn to_text(&self) -> String {
        details(&[
            ("organization", self.org.to_owned()),
            ("user", self.user.to_owned()),
            ("role", self.role.to_owned()),
            ("assigned", self.assigned_at.to_string()),
        ])
    }
}

/// Seats for people.
fn seat_table(seats: &[SeatView<'_>]) -> String {
    let rows = seats
        .iter()
        .map(|seat| vec![seat.user.to_owned(), seat.role.to_owned(), seat.assigned_at.to_string()]);
    table(&["USER", "ROLE", "ASSIGNED"], rows)
}
