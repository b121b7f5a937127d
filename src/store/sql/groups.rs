//! Groups in SQLite: their members, what they are granted, and which channels are restricted to them.

use serde_json::json;
use uuid::Uuid;

use super::change::{self, Change, Story};
use super::session::Session;
use super::statement::{Row, either, sql};
use super::{Failure, organizations, row, seats, tokens};
use crate::account::{Grant, Group, check_name};
use crate::clock::Timestamp;
use crate::store::{Actor, Conflict, Placed, Restriction, Sought, Store, StoreError, Subject, Version};

impl Store {
    /// Creates a group without members or grants.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization, [`ErrorKind::Invalid`](crate::store::ErrorKind::Invalid) for a name that cannot be, [`ErrorKind::Conflict`](crate::store::ErrorKind::Conflict)
    /// for one that is taken.
    pub async fn create_group(
        &self,
        organization: &str,
        name: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Group, StoreError> {
        check_name(name, "a group's name")?;
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let id = organizations::demand(change.session(), organization).await?.id;
            let present = find(change.session(), id, name).await?;
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
            sql("INSERT INTO groups (id, organization_id, name, created_at) VALUES ($1, $2, $3, $4)")
                .bind(group.id)
                .bind(id)
                .bind(name)
                .bind(now)
                .execute(change.session())
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

    /// At most `limit` groups of an organization by name, beginning behind the name `after`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization.
    pub async fn groups(
        &self,
        organization: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Group>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let id = organizations::demand(&mut reader, organization).await?.id;
            let rows = select_groups!("g.organization_id = $1 AND g.name > $2 ORDER BY g.name LIMIT $3")
                .bind(id)
                .bind(after.unwrap_or_default())
                .bind(limit);
            let rows = rows.fetch_all(&mut reader).await?;
            Ok(rows.iter().map(group).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// A group of an organization.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization.
    pub async fn group(&self, organization: &str, name: &str) -> Result<Option<Group>, StoreError> {
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
        let id = organizations::demand(change.session(), organization).await?.id;
        let before = demand(change.session(), id, organization, group).await?;
        Ok((change, id, before))
    }

    /// Puts a user, who has a seat, into a group. Returns the group as it is then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization, the group or the seat.
    pub async fn add_member(
        &self,
        organization: &str,
        group: &str,
        user: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Placed<Group>, StoreError> {
        self.call(async {
            let (mut change, id, before) = self.begin_on_group(organization, group, by, now).await?;
            seats::demand(change.session(), id, organization, user).await?;
            let is_member = before.members.iter().any(|member| member == user);
            change.overwrites_part(is_member, Version::of_group(&before))?;
            if is_member {
                return Ok(Placed { present: before, is_new: false });
            }
            sql("INSERT INTO group_members (group_id, organization_id, user_name) VALUES ($1, $2, $3)")
                .bind(before.id)
                .bind(id)
                .bind(user)
                .execute(change.session())
                .await?;
            tokens::tell_of_user(&mut change, id, user).await?;
            let present = finish(change, "group.add", (id, organization), &before, Some(user)).await?;
            Ok(Placed { present, is_new: true })
        })
        .await
    }

    /// Takes a user out of a group. Returns the group as it is then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization, the group or the user in it.
    pub async fn remove_member(
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
            let gone = sql("DELETE FROM group_members WHERE group_id = $1 AND user_name = $2")
                .bind(before.id)
                .bind(user)
                .execute(change.session())
                .await?;
            if gone == 0 {
                return Err(Sought::Member { group: group.to_owned(), user: user.to_owned() }.into());
            }
            tokens::tell_of_user(&mut change, id, user).await?;
            finish(change, "group.remove", (id, organization), &before, Some(user)).await
        })
        .await
    }

    /// Grants a channel to a group, in place of the grant that it had there, and restricts the channel to the organization's granted groups.
    /// Returns the group as it is then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization or the group, [`ErrorKind::Conflict`](crate::store::ErrorKind::Conflict) if the organization restricts 1,000 other channels,
    /// [`ErrorKind::Invalid`](crate::store::ErrorKind::Invalid) for packages and labels that nothing can have.
    pub async fn grant(
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
            sql(
                "INSERT INTO grants (group_id, organization_id, channel, permission, packages, labels) VALUES ($1, $2, $3, $4, $5, $6) \
                 ON CONFLICT (group_id, channel) DO UPDATE \
                 SET permission = excluded.permission, packages = excluded.packages, labels = excluded.labels",
            )
            .bind(before.id)
            .bind(id)
            .bind(&grant.channel)
            .bind(grant.permission.as_str())
            .bind(row::texts_or_all(&grant.packages)?)
            .bind(row::texts_or_all(&grant.labels)?)
            .execute(change.session())
            .await?;
            change.tell(Subject::Organization(id)).await?;
            let present = finish(change, "group.grant", (id, organization), &before, None).await?;
            Ok(Placed { present, is_new: !is_granted })
        })
        .await
    }

    /// Takes a grant away. The channel stays restricted. Returns the group as it is then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization, the group or the grant.
    pub async fn ungrant(
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
            let gone = sql("DELETE FROM grants WHERE group_id = $1 AND channel = $2")
                .bind(before.id)
                .bind(channel)
                .execute(change.session())
                .await?;
            if gone == 0 {
                return Err(Sought::Grant { group: group.to_owned(), channel: channel.to_owned() }.into());
            }
            change.tell(Subject::Organization(id)).await?;
            finish(change, "group.ungrant", (id, organization), &before, None).await
        })
        .await
    }

    /// At most `limit` channels that an organization restricted to groups, by name, beginning behind the name `after`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization.
    pub async fn restrictions(
        &self,
        organization: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Restriction>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let id = organizations::demand(&mut reader, organization).await?.id;
            let rows =
                select_restrictions!("r.organization_id = $1 AND r.channel > $2 ORDER BY r.channel LIMIT $3")
                    .bind(id)
                    .bind(after.unwrap_or_default());
            let rows = rows.bind(limit).fetch_all(&mut reader).await?;
            Ok(rows.iter().map(restriction).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The restriction of a channel to groups.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization.
    pub async fn restriction(
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

    /// Lifts the restriction of a channel to groups, and takes the organization's grants of it away with it. Returns it as it was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::store::ErrorKind::NotFound) without the organization or the restriction.
    pub async fn unrestrict(
        &self,
        organization: &str,
        channel: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Restriction, StoreError> {
        self.call(async {
            let mut change = self.begin(by, now).await?;
            let id = organizations::demand(change.session(), organization).await?.id;
            let sought =
                || Sought::Restriction { organization: organization.to_owned(), channel: channel.to_owned() };
            let restriction = find_restriction(change.session(), id, channel).await?.ok_or_else(sought)?;
            change.overwrites(Some(Version::of_restriction(&restriction.groups)))?;
            let granted =
                sql("SELECT g.name, x.permission, x.packages, x.labels FROM grants x JOIN groups g ON g.id = x.group_id \
                 WHERE x.organization_id = $1 AND x.channel = $2 ORDER BY g.name");
            let granted = granted.bind(id).bind(channel);
            let granted = granted.fetch_all(change.session()).await?;
            let granted = granted
                .iter()
                .map(|row| {
                    let grant = Grant {
                        channel: channel.to_owned(),
                        permission: row::permission(row)?,
                        packages: row::texts(row.read("packages")?)?,
                        labels: row::texts(row.read("labels")?)?,
                    };
                    Ok((row.read("name")?, change::grant(&grant)))
                })
                .collect::<Result<serde_json::Map<_, _>, sqlx::Error>>()?;
            for delete in [
                "DELETE FROM grants WHERE organization_id = $1 AND channel = $2",
                "DELETE FROM restrictions WHERE organization_id = $1 AND channel = $2",
            ] {
                let delete = sql(delete).bind(id).bind(channel);
                delete.execute(change.session()).await?;
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
    let restricted =
        sql("INSERT INTO restrictions (organization_id, channel) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(id)
            .bind(channel)
            .execute(change.session())
            .await?;
    if restricted == 0 {
        return Ok(());
    }
    let all = sql("SELECT count(*) AS count FROM restrictions WHERE organization_id = $1")
        .bind(id)
        .fetch_one(change.session())
        .await?
        .count("count")?;
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
    let after = demand(change.session(), id, organization, &before.name).await?;
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

async fn find(session: &mut Session, organization: Uuid, name: &str) -> Result<Option<Group>, sqlx::Error> {
    let row = select_groups!("g.organization_id = $1 AND g.name = $2").bind(organization).bind(name);
    row.fetch_optional(session).await?.as_ref().map(group).transpose()
}

async fn find_restriction(
    session: &mut Session,
    organization: Uuid,
    channel: &str,
) -> Result<Option<Restriction>, sqlx::Error> {
    let row =
        select_restrictions!("r.organization_id = $1 AND r.channel = $2").bind(organization).bind(channel);
    row.fetch_optional(session).await?.as_ref().map(restriction).transpose()
}

fn restriction(row: &Row) -> Result<Restriction, sqlx::Error> {
    let groups = serde_json::from_str(&row.read::<String>("groups")?).map_err(row::decode)?;
    Ok(Restriction { channel: row.read("channel")?, groups })
}

/// The group of this name, which must be there.
pub(super) async fn demand(
    session: &mut Session,
    id: Uuid,
    organization: &str,
    name: &str,
) -> Result<Group, Failure> {
    let sought = || Sought::Group { organization: organization.to_owned(), name: name.to_owned() };
    find(session, id, name).await?.ok_or_else(|| sought().into())
}

fn group(row: &Row) -> Result<Group, sqlx::Error> {
    let text = |column| row.read::<String>(column);
    let members: Vec<String> = serde_json::from_str(&text("members")?).map_err(row::decode)?;
    type Granted = (String, String, Option<String>, Option<String>);
    let grants: Vec<Granted> = serde_json::from_str(&text("grants")?).map_err(row::decode)?;
    let grant = |(channel, permission, packages, labels): Granted| {
        let permission = permission.parse().map_err(row::decode)?;
        Ok(Grant { channel, permission, packages: row::texts(packages)?, labels: row::texts(labels)? })
    };
    Ok(Group {
        id: row::uuid(row, "id")?,
        name: row.read("name")?,
        members,
        grants: grants.into_iter().map(grant).collect::<Result<_, sqlx::Error>>()?,
        created_at: Timestamp::from_millis(row.read("created_at")?),
    })
}

/// Groups with their members and grants in one statement, so of one moment.
macro_rules! select_groups {
    ($members:literal, $grants:literal, $condition:literal) => {
        concat!(
            "SELECT g.id, g.name, g.created_at, (SELECT ",
            $members,
            " FROM group_members m WHERE m.group_id = g.id) AS members, (SELECT ",
            $grants,
            " FROM grants x WHERE x.group_id = g.id) AS grants FROM groups g WHERE ",
            $condition
        )
    };
    ($condition:literal) => {
        either(
            select_groups!(
                "json_group_array(m.user_name ORDER BY m.user_name)",
                "json_group_array(json_array(x.channel, x.permission, x.packages, x.labels) ORDER BY x.channel)",
                $condition
            ),
            select_groups!(
                "coalesce(json_agg(m.user_name ORDER BY m.user_name), '[]')::text",
                "coalesce(json_agg(json_build_array(x.channel, x.permission, x.packages, x.labels) ORDER BY x.channel), '[]')::text",
                $condition
            ),
        )
    };
}
use select_groups;

/// Restricted channels with the groups that were granted them, of one moment.
macro_rules! select_restrictions {
    ($groups:literal, $condition:literal) => {
        concat!(
            "SELECT r.channel, (SELECT ",
            $groups,
            " FROM grants x JOIN groups g ON g.id = x.group_id \
             WHERE x.organization_id = r.organization_id AND x.channel = r.channel) AS groups \
             FROM restrictions r WHERE ",
            $condition
        )
    };
    ($condition:literal) => {
        either(
            select_restrictions!("json_group_array(g.name ORDER BY g.name)", $condition),
            select_restrictions!("coalesce(json_agg(g.name ORDER BY g.name), '[]')::text", $condition),
        )
    };
}
use select_restrictions;
