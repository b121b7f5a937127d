//! What a token is and may: the one question that requests wait for.

use std::collections::BTreeMap;

use super::row::{self, token_columns};
use super::session::Session;
use super::statement::{Row, either};
use super::{Failure, feed};
use crate::policy::{Granted, Rights, Standing};
use crate::store::{Backend, Change, FeedPosition, Reading, Store, StoreError};
use crate::token::TokenDigest;

impl Store {
    /// The token of this digest, what groups make of it, and the feed's position, all of one moment.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn token_by_digest(&self, digest: &TokenDigest) -> Result<Reading, StoreError> {
        self.call(async {
            if let Backend::Postgres(postgres) = &self.backend
                && let Some(reading) =
                    postgres.replicated(async |session| look_up(session, digest).await).await
            {
                return Ok(reading);
            }
            look_up(&mut self.reader().await?, digest).await
        })
        .await
    }
}

impl Store {
    /// What groups make of a token that acts as this user of the organization, whether there is one or not.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn rights_of_user(&self, organization: &str, user: &str) -> Result<Rights, StoreError> {
        self.call(async {
            let rights = either(select_rights!(json_group_array), select_rights!(json_agg));
            let rights = rights.bind(organization).bind(user);
            let row = rights.fetch_one(&mut self.reader().await?).await?;
            Ok(rights_in(&row)?)
        })
        .await
    }
}

async fn look_up(session: &mut Session, digest: &TokenDigest) -> Result<Reading, Failure> {
    let whole = either(
        select_standing!(
            json_group_array,
            ", c.seq, c.at AS changed_at, c.digest AS changed_digest, c.organization_id AS changed_organization",
            " LEFT JOIN changes c ON c.seq = f.position"
        ),
        select_standing!(
            json_agg,
            ", c.seq, c.at AS changed_at, c.digest AS changed_digest, c.organization_id AS changed_organization",
            " LEFT JOIN changes c ON c.seq = f.position"
        ),
    );
    match whole.bind(digest).fetch_one(session).await {
        Ok(row) => reading(&row, feed::change(&row)?),
        // Where the feed is broken, tokens are known all the same.
        Err(sqlx::Error::Database(_)) => {
            let without =
                either(select_standing!(json_group_array, "", ""), select_standing!(json_agg, "", ""));
            reading(&without.bind(digest).fetch_one(session).await?, None)
        }
        Err(error) => Err(error.into()),
    }
}

fn reading(row: &Row, last: Option<Change>) -> Result<Reading, Failure> {
    let is_found = row.read::<Option<Vec<u8>>>("id")?.is_some();
    let standing = is_found.then(|| standing(row)).transpose()?;
    Ok(Reading { standing, position: FeedPosition(row.read("position")?), last, current: true })
}

/// What groups make of a token, as one text of JSON.
macro_rules! json_group_array {
    () => {
        "json_group_array(json_array(r.channel, g.name, x.permission, x.packages, x.labels))"
    };
}
use json_group_array;

/// The same for PostgreSQL.
macro_rules! json_agg {
    () => {
        "coalesce(json_agg(json_build_array(r.channel, g.name, x.permission, x.packages, x.labels)), '[]')::text"
    };
}
use json_agg;

/// A token with its rights, as `$rights` gathers them, the feed's position, and what `$columns` say of the tables of `$joined`: one
/// statement, so one moment. A site token has neither user nor group, and so no grant.
macro_rules! select_standing {
    ($rights:ident, $columns:literal, $joined:literal) => {
        concat!(
            "SELECT f.position",
            $columns,
            ", ",
            token_columns!(),
            ", (SELECT ",
            $rights!(),
            " FROM restrictions r",
            " LEFT JOIN grants x ON x.organization_id = r.organization_id AND x.channel = r.channel",
            " AND (x.group_id = t.acts_as_group_id OR x.group_id IN (SELECT m.group_id FROM group_members m",
            " WHERE m.organization_id = t.organization_id AND m.user_name = t.user_name))",
            " LEFT JOIN groups g ON g.id = x.group_id WHERE r.organization_id = t.organization_id) AS rights",
            " FROM feed f",
            $joined,
            " LEFT JOIN tokens t ON t.digest = $1",
            " LEFT JOIN organizations o ON o.id = t.organization_id"
        )
    };
}
use select_standing;

/// The same for a user of an organization, by their names.
macro_rules! select_rights {
    ($rights:ident) => {
        concat!(
            "SELECT ",
            $rights!(),
            " AS rights FROM organizations o JOIN restrictions r ON r.organization_id = o.id",
            " LEFT JOIN grants x ON x.organization_id = r.organization_id AND x.channel = r.channel",
            " AND x.group_id IN (SELECT m.group_id FROM group_members m",
            " WHERE m.organization_id = o.id AND m.user_name = $2)",
            " LEFT JOIN groups g ON g.id = x.group_id WHERE o.name = $1"
        )
    };
}
use select_rights;

/// A token with what groups make of it.
fn standing(row: &Row) -> Result<Standing, sqlx::Error> {
    Ok(Standing { token: row::token(row)?, rights: rights_in(row)? })
}

/// The restricted channels of an organization, and the grants of them to the groups of whom it was asked for.
fn rights_in(row: &Row) -> Result<Rights, sqlx::Error> {
    type Restricted = (String, Option<String>, Option<String>, Option<String>, Option<String>);
    let json: String = row.read("rights")?;
    let restricted: Vec<Restricted> = serde_json::from_str(&json).map_err(row::decode)?;
    let mut channels = BTreeMap::<String, Vec<Granted>>::new();
    for (channel, group, permission, packages, labels) in restricted {
        let grants = channels.entry(channel).or_default();
        if let (Some(group), Some(permission)) = (group, permission) {
            grants.push(Granted {
                group,
                permission: permission.parse().map_err(row::decode)?,
                packages: row::texts(packages)?,
                labels: row::texts(labels)?,
            });
        }
    }
    Ok(Rights::new(channels))
}
