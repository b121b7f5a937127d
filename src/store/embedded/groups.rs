//! Groups in SQLite: their members, what they are granted, and which channels are restricted to them.

use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use super::change::{self, Change, Story};
use super::{Embedded, Failure, organizations, row, seats, tokens};
use crate::account::{Grant, Group, check_name};
use crate::clock::Timestamp;
use crate::store::{Actor, Conflict, Placed, Restriction, Sought, StoreError, Subject, Version};

impl Embedded {
    pub(in crate::store) async fn create_group(
        &self,
        organization: &str,
        name: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Group, StoreError> {
        check_name(name, "a group's name")?;
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let id = organizations::demand(change.connection(), organization).await?.id;
            let present = find(change.connection(), id, name).await?;
            change.overwrites(present.as_ref().map(Version::of_group))?;
            if present.is_some() {
                let (organization, name) = (organization.to_owned(), name.to_owned());
                return Err(Conflict::Group { organization, name }.into());
            }
            let group = Group {
                id: Uuid::new_v4(),
                name: name.to_owned(),
                members: Vec::new(),
                grants: Vec::new(),
                created_at: now,
            };
            sqlx::query("INSERT INTO groups (id, organization_id, name, created_at) VALUES (?, ?, ?, ?)")
                .bind(&group.id.as_bytes()[..])
                .bind(&id.as_bytes()[..])
                .bind(name)
                .bind(now.as_millis())
                .execute(change.connection())
                .await?;
            let story = Story {
                action: "group.create",
                organization: Some(organization),
                target: Some(name.to_owned()),
                after: Some(change::group(&group, &group)),
                ..Story::default()
            };
            change.record(story).await?;
            change.makes(group.id);
            change.commit().await?;
            Ok(group)
        })
        .await
    }

    pub(in crate::store) async fn groups(
        &self,
        organization: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Group>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let id = organizations::demand(&mut reader, organization).await?.id;
            let rows =
                sqlx::query(GROUPS).bind(&id.as_bytes()[..]).bind(after.unwrap_or_default()).bind(limit);
            let rows = rows.fetch_all(&mut *reader).await?;
            Ok(rows.iter().map(group).collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::store) async fn group(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<Option<Group>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let id = organizations::demand(&mut reader, organization).await?.id;
            Ok(find(&mut reader, id, name).await?)
        })
        .await
    }

    /// Begins a change to a group: also gives the organization's id, and the group as it is before.
    async fn begin_on_group(
        &self,
        organization: &str,
        group: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<(Change, Uuid, Group), Failure> {
        let mut change = self.begin(by, now).await?;
        let id = organizations::demand(change.connection(), organization).await?.id;
        let before = demand(change.connection(), id, organization, group).await?;
        Ok((change, id, before))
    }

    pub(in crate::store) async fn add_member(
        &self,
        organization: &str,
        group: &str,
        user: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Placed<Group>, StoreError> {
        self.call(async {
            let (mut change, id, before) = self.begin_on_group(organization, group, by, now).await?;
            seats::demand(change.connection(), id, organization, user).await?;
            let is_member = before.members.iter().any(|member| member == user);
            change.overwrites_part(is_member, Version::of_group(&before))?;
            if is_member {
                return Ok(Placed { present: before, is_new: false });
            }
            sqlx::query("INSERT INTO group_members (group_id, organization_id, user_name) VALUES (?, ?, ?)")
                .bind(&before.id.as_bytes()[..])
                .bind(&id.as_bytes()[..])
                .bind(user)
                .execute(change.connection())
                .await?;
            tokens::tell_of_user(&mut change, id, user).await?;
            let present = finish(change, "group.add", (id, organization), &before, Some(user)).await?;
            Ok(Placed { present, is_new: true })
        })
        .await
    }

    pub(in crate::store) async fn remove_member(
        &self,
        organization: &str,
        group: &str,
        user: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Group, StoreError> {
        self.call(async {
            let (mut change, id, before) = self.begin_on_group(organization, group, by, now).await?;
            change.overwrites(Some(Version::of_group(&before)))?;
            let gone = sqlx::query("DELETE FROM group_members WHERE group_id = ? AND user_name = ?")
                .bind(&before.id.as_bytes()[..])
                .bind(user)
                .execute(change.connection())
                .await?;
            if gone.rows_affected() == 0 {
                return Err(Sought::Member { group: group.to_owned(), user: user.to_owned() }.into());
            }
            tokens::tell_of_user(&mut change, id, user).await?;
            finish(change, "group.remove", (id, organization), &before, Some(user)).await
        })
        .await
    }

    pub(in crate::store) async fn grant(
        &self,
        organization: &str,
        group: &str,
        grant: &Grant,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Placed<Group>, StoreError> {
        // Before patterns are put into small letters: nobody would know a value then.
        for text in grant.packages.iter().chain(&grant.labels) {
            super::refuse_value(text, "a grant's package or label")?;
        }
        let grant = &grant.normalized()?;
        self.call(async {
            let (mut change, id, before) = self.begin_on_group(organization, group, by, now).await?;
            let is_granted = before.grants.iter().any(|present| present.channel == grant.channel);
            change.overwrites_part(is_granted, Version::of_group(&before))?;
            if before.grants.contains(grant) {
                return Ok(Placed { present: before, is_new: false });
            }
            restrict(&mut change, (id, organization), &grant.channel).await?;
            sqlx::query(
                "INSERT INTO grants (group_id, organization_id, channel, permission, packages, labels) VALUES (?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (group_id, channel) DO UPDATE \
                 SET permission = excluded.permission, packages = excluded.packages, labels = excluded.labels",
            )
            .bind(&before.id.as_bytes()[..])
            .bind(&id.as_bytes()[..])
            .bind(&grant.channel)
            .bind(grant.permission.as_str())
            .bind(row::texts_or_all(&grant.packages)?)
            .bind(row::texts_or_all(&grant.labels)?)
            .execute(change.connection())
            .await?;
            change.tell(Subject::Organization(id)).await?;
            let present = finish(change, "group.grant", (id, organization), &before, None).await?;
            Ok(Placed { present, is_new: !is_granted })
        })
        .await
    }

    pub(in crate::store) async fn ungrant(
        &self,
        organization: &str,
        group: &str,
        channel: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Group, StoreError> {
        self.call(async {
            let (mut change, id, before) = self.begin_on_group(organization, group, by, now).await?;
            change.overwrites(Some(Version::of_group(&before)))?;
            let gone = sqlx::query("DELETE FROM grants WHERE group_id = ? AND channel = ?")
                .bind(&before.id.as_bytes()[..])
                .bind(channel)
                .execute(change.connection())
                .await?;
            if gone.rows_affected() == 0 {
                return Err(Sought::Grant { group: group.to_owned(), channel: channel.to_owned() }.into());
            }
            change.tell(Subject::Organization(id)).await?;
            finish(change, "group.ungrant", (id, organization), &before, None).await
        })
        .await
    }

    pub(in crate::store) async fn restrictions(
        &self,
        organization: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Restriction>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let id = organizations::demand(&mut reader, organization).await?.id;
            let rows = sqlx::query(RESTRICTIONS).bind(&id.as_bytes()[..]).bind(after.unwrap_or_default());
            let rows = rows.bind(limit).fetch_all(&mut *reader).await?;
            Ok(rows.iter().map(restriction).collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::store) async fn restriction(
        &self,
        organization: &str,
        channel: &str,
    ) -> Result<Option<Restriction>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let id = organizations::demand(&mut reader, organization).await?.id;
            Ok(find_restriction(&mut reader, id, channel).await?)
        })
        .await
    }

    pub(in crate::store) async fn unrestrict(
        &self,
        organization: &str,
        channel: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Restriction, StoreError> {
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let id = organizations::demand(change.connection(), organization).await?.id;
            let sought =
                || Sought::Restriction { organization: organization.to_owned(), channel: channel.to_owned() };
            let restriction = find_restriction(change.connection(), id, channel).await?.ok_or_else(sought)?;
            change.overwrites(Some(Version::of_restriction(&restriction.groups)))?;
            let granted = sqlx::query(
                "SELECT g.name, x.permission, x.packages, x.labels FROM grants x JOIN groups g ON g.id = x.group_id \
                 WHERE x.organization_id = ? AND x.channel = ? ORDER BY g.name",
            );
            let granted = granted.bind(&id.as_bytes()[..]).bind(channel);
            let granted = granted.fetch_all(change.connection()).await?;
            let granted = granted
                .iter()
                .map(|row| {
                    let grant = Grant {
                        channel: channel.to_owned(),
                        permission: row::permission(row)?,
                        packages: row::texts(row.try_get("packages")?)?,
                        labels: row::texts(row.try_get("labels")?)?,
                    };
                    Ok((row.try_get("name")?, change::grant(&grant)))
                })
                .collect::<Result<serde_json::Map<_, _>, sqlx::Error>>()?;
            for delete in [
                "DELETE FROM grants WHERE organization_id = ? AND channel = ?",
                "DELETE FROM restrictions WHERE organization_id = ? AND channel = ?",
            ] {
                let delete = sqlx::query(delete).bind(&id.as_bytes()[..]).bind(channel);
                delete.execute(change.connection()).await?;
            }
            change.tell(Subject::Organization(id)).await?;
            let story = Story {
                action: "group.unrestrict",
                organization: Some(organization),
                target: Some(channel.to_owned()),
                before: Some(json!({ "granted": granted })),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(restriction)
        })
        .await
    }
}

/// Restricts a channel to the organization's granted groups, if it is not.
async fn restrict(
    change: &mut Change,
    (id, organization): (Uuid, &str),
    channel: &str,
) -> Result<(), Failure> {
    let restricted = sqlx::query(
        "INSERT INTO restrictions (organization_id, channel) VALUES (?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&id.as_bytes()[..])
    .bind(channel)
    .execute(change.connection())
    .await?;
    if restricted.rows_affected() == 0 {
        return Ok(());
    }
    let all: u32 = sqlx::query_scalar("SELECT count(*) FROM restrictions WHERE organization_id = ?")
        .bind(&id.as_bytes()[..])
        .fetch_one(change.connection())
        .await?;
    if all > RESTRICTIONS_MAX {
        return Err(
            Conflict::Restrictions { organization: organization.to_owned(), max: RESTRICTIONS_MAX }.into()
        );
    }
    Ok(())
}

/// Most channels that one organization restricts. Every token of it is remembered with all of them.
const RESTRICTIONS_MAX: u32 = 1_000;

/// Commits a change to a group, and says what it is then.
async fn finish(
    mut change: Change,
    action: &'static str,
    (id, organization): (Uuid, &str),
    before: &Group,
    user: Option<&str>,
) -> Result<Group, Failure> {
    let after = demand(change.connection(), id, organization, &before.name).await?;
    let story = Story {
        action,
        organization: Some(organization),
        target: Some(after.name.clone()),
        user,
        before: Some(change::group(before, &after)),
        after: Some(change::group(&after, before)),
    };
    change.record(story).await?;
    change.commit().await?;
    Ok(after)
}

async fn find(
    connection: &mut SqliteConnection,
    organization: Uuid,
    name: &str,
) -> Result<Option<Group>, sqlx::Error> {
    let row = sqlx::query(GROUP).bind(&organization.as_bytes()[..]).bind(name);
    row.fetch_optional(connection).await?.as_ref().map(group).transpose()
}

async fn find_restriction(
    connection: &mut SqliteConnection,
    organization: Uuid,
    channel: &str,
) -> Result<Option<Restriction>, sqlx::Error> {
    let row = sqlx::query(RESTRICTION).bind(&organization.as_bytes()[..]).bind(channel);
    row.fetch_optional(connection).await?.as_ref().map(restriction).transpose()
}

fn restriction(row: &SqliteRow) -> Result<Restriction, sqlx::Error> {
    let groups = serde_json::from_str(&row.try_get::<String, _>("groups")?).map_err(row::decode)?;
    Ok(Restriction { channel: row.try_get("channel")?, groups })
}

/// The group of this name, which must be there.
pub(super) async fn demand(
    connection: &mut SqliteConnection,
    id: Uuid,
    organization: &str,
    name: &str,
) -> Result<Group, Failure> {
    let sought = || Sought::Group { organization: organization.to_owned(), name: name.to_owned() };
    find(connection, id, name).await?.ok_or_else(|| sought().into())
}

fn group(row: &SqliteRow) -> Result<Group, sqlx::Error> {
    let text = |column| row.try_get::<String, _>(column);
    let members: Vec<String> = serde_json::from_str(&text("members")?).map_err(row::decode)?;
    type Granted = (String, String, Option<String>, Option<String>);
    let grants: Vec<Granted> = serde_json::from_str(&text("grants")?).map_err(row::decode)?;
    let grant = |(channel, permission, packages, labels): Granted| {
        let permission = permission.parse().map_err(row::decode)?;
        Ok(Grant { channel, permission, packages: row::texts(packages)?, labels: row::texts(labels)? })
    };
    Ok(Group {
        id: row::uuid(row, "id")?,
        name: row.try_get("name")?,
        members,
        grants: grants.into_iter().map(grant).collect::<Result<_, sqlx::Error>>()?,
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
    })
}

/// A group with its members and grants in one statement, so of one moment.
macro_rules! select_groups {
    ($condition:literal) => {
        concat!(
            "SELECT g.id, g.name, g.created_at, \
             (SELECT json_group_array(m.user_name ORDER BY m.user_name) FROM group_members m WHERE m.group_id = g.id) AS members, \
             (SELECT json_group_array(json_array(x.channel, x.permission, x.packages, x.labels) ORDER BY x.channel) FROM grants x \
              WHERE x.group_id = g.id) AS grants \
             FROM groups g WHERE ",
            $condition
        )
    };
}

const GROUP: &str = select_groups!("g.organization_id = ? AND g.name = ?");
const GROUPS: &str = select_groups!("g.organization_id = ? AND g.name > ? ORDER BY g.name LIMIT ?");

/// A restricted channel with the groups that were granted it, of one moment.
macro_rules! select_restrictions {
    ($condition:literal) => {
        concat!(
            "SELECT r.channel, (SELECT json_group_array(g.name ORDER BY g.name) FROM grants x JOIN groups g ON g.id = x.group_id \
             WHERE x.organization_id = r.organization_id AND x.channel = r.channel) AS groups \
             FROM restrictions r WHERE ",
            $condition
        )
    };
}

const RESTRICTION: &str = select_restrictions!("r.organization_id = ? AND r.channel = ?");
const RESTRICTIONS: &str =
    select_restrictions!("r.organization_id = ? AND r.channel > ? ORDER BY r.channel LIMIT ?");
