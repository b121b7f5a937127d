//! Seats.

use serde_json::json;
use uuid::Uuid;

use super::change::{self, Story};
use super::session::Session;
use super::statement::sql;
use super::{Failure, organizations, row, tokens};
use crate::account::{Role, Seat, check_user};
use crate::clock::Timestamp;
use crate::store::{Actor, Placed, RemovedSeat, Sought, Store, StoreError, Version};
use crate::token::{End, EndCause};

impl Store {
    /// Gives a user a seat; one who has it gets the role.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization, [`ErrorKind::Invalid`](crate::store::ErrorKind::Invalid) for a user's name that cannot be or holds a token's value.
    pub async fn assign_seat(
        &self,
        organization: &str,
        user: &str,
        role: Role,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Placed<Seat>, StoreError> {
        check_user(user)?;
        super::refuse_value(user, "a user's name")?;
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let id = organizations::demand(change.session(), organization).await?.id;
            let before = find(change.session(), id, user).await?;
            change.overwrites(before.as_ref().map(Version::of_seat))?;
            let assigned_at = before.as_ref().map_or(now, |seat| seat.assigned_at);
            let seat = Seat { user: user.to_owned(), role, assigned_at };
            if before.as_ref() == Some(&seat) {
                return Ok(Placed { present: seat, is_new: false });
            }
            sql("INSERT INTO seats (organization_id, user_name, role, assigned_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (organization_id, user_name) DO UPDATE SET role = excluded.role")
            .bind(id)
            .bind(user)
            .bind(role.as_str())
            .bind(assigned_at)
            .execute(change.session())
            .await?;
            let story = Story {
                action: "seat.assign",
                organization: Some(organization),
                user: Some(user),
                before: before.as_ref().map(change::seat),
                after: Some(change::seat(&seat)),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(Placed { present: seat, is_new: before.is_none() })
        })
        .await
    }

    /// Takes a user's seat away: their individual token and every token that acts as them end now, and they leave all groups.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization or the seat.
    pub async fn remove_seat(
        &self,
        organization: &str,
        user: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<RemovedSeat, StoreError> {
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let id = organizations::demand(change.session(), organization).await?.id;
            let seat = demand(change.session(), id, organization, user).await?;
            change.overwrites(Some(Version::of_seat(&seat)))?;
            let left = sql("SELECT g.name FROM group_members m JOIN groups g ON g.id = m.group_id \
                 WHERE m.organization_id = $1 AND m.user_name = $2 ORDER BY g.name");
            let left = left.bind(id).bind(user).fetch_all(change.session()).await?;
            let left: Vec<String> =
                left.iter().map(|row| row.read("name")).collect::<Result<_, sqlx::Error>>()?;
            let end = End { cause: EndCause::SeatRemoved, at: now, reason: None };
            let ended = tokens::end_of_user(&mut change, id, user, &end).await?;
            for delete in [
                "DELETE FROM group_members WHERE organization_id = $1 AND user_name = $2",
                "DELETE FROM seats WHERE organization_id = $1 AND user_name = $2",
            ] {
                sql(delete).bind(id).bind(user).execute(change.session()).await?;
            }
            let mut before = change::seat(&seat);
            if let Some(before) = before.as_object_mut() {
                let tokens: Vec<_> = ended.iter().map(|record| record.id.to_string()).collect();
                before.insert("groups".to_owned(), json!(left));
                before.insert("tokens".to_owned(), json!(tokens));
            }
            let story = Story {
                action: "seat.remove",
                organization: Some(organization),
                user: Some(user),
                before: Some(before),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(RemovedSeat { seat, ended, left })
        })
        .await
    }

    /// At most `limit` seats of an organization by user, beginning behind the user `after`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization.
    pub async fn seats(
        &self,
        organization: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Seat>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let id = organizations::demand(&mut reader, organization).await?.id;
            let rows = sql(
                "SELECT user_name, role, assigned_at FROM seats WHERE organization_id = $1 AND user_name > $2 ORDER BY user_name LIMIT $3",
            );
            let rows = rows.bind(id).bind(after.unwrap_or_default()).bind(limit);
            let rows = rows.fetch_all(&mut reader).await?;
            Ok(rows.iter().map(row::seat).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// A user's seat.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization.
    pub async fn seat(&self, organization: &str, user: &str) -> Result<Option<Seat>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let id = organizations::demand(&mut reader, organization).await?.id;
            Ok(find(&mut reader, id, user).await?)
        })
        .await
    }
}

async fn find(session: &mut Session, organization: Uuid, user: &str) -> Result<Option<Seat>, sqlx::Error> {
    let row =
        sql("SELECT user_name, role, assigned_at FROM seats WHERE organization_id = $1 AND user_name = $2");
    let row = row.bind(organization).bind(user).fetch_optional(session).await?;
    row.as_ref().map(row::seat).transpose()
}

/// The user's seat, which must be there.
pub(super) async fn demand(
    session: &mut Session,
    id: Uuid,
    organization: &str,
    user: &str,
) -> Result<Seat, Failure> {
    let sought = || Sought::Seat { organization: organization.to_owned(), user: user.to_owned() };
    find(session, id, user).await?.ok_or_else(|| sought().into())
}
