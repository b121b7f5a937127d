//! Groups as they are shown.

use serde::Serialize;
use utoipa::ToSchema;

use crate::account::{Grant, Group};
use crate::clock::Timestamp;
use crate::store::Restriction;

/// Some users of an organization, granted channels together.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub struct GroupView<'a> {
    /// Its id.
    pub id: uuid::Uuid,
    /// The organization's name.
    #[schema(example = "acme")]
    pub org: &'a str,
    /// Its name, unique in the organization.
    #[schema(example = "builders")]
    pub name: &'a str,
    /// Its users, by name.
    pub members: &'a [String],
    /// What they are granted, by channel.
    pub grants: Vec<GrantView<'a>>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A channel granted to a group.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Grant)]
pub struct GrantView<'a> {
    /// The channel's name.
    #[schema(example = "team/main")]
    pub channel: &'a str,
    /// `read`, `write` or `admin`.
    #[schema(example = "read")]
    pub permission: &'static str,
    /// With which packages: globs of names; all if there are none.
    #[schema(example = json!(["numpy*", "scipy"]))]
    pub packages: &'a [String],
    /// Under which labels; all if there are none. What is asked for without a label is under `main`.
    #[schema(example = json!(["main"]))]
    pub labels: &'a [String],
}

impl<'a> GroupView<'a> {
    /// A group of organization `org`.
    pub fn new(org: &'a str, group: &'a Group) -> Self {
        let grant = |grant: &'a Grant| GrantView {
            channel: &grant.channel,
            permission: grant.permission.as_str(),
            packages: &grant.packages,
            labels: &grant.labels,
        };
        Self {
            id: group.id,
            org,
            name: &group.name,
            members: &group.members,
            grants: group.grants.iter().map(grant).collect(),
            created_at: group.created_at,
        }
    }
}

/// A channel that an organization restricted to groups.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Restriction)]
pub struct RestrictionView<'a> {
    /// The organization's name.
    #[schema(example = "acme")]
    pub org: &'a str,
    /// The channel's name.
    #[schema(example = "team/main")]
    pub channel: &'a str,
    /// The groups that are granted it; nobody of the organization reads it while there are none.
    pub groups: &'a [String],
}

impl<'a> RestrictionView<'a> {
    /// A restriction of organization `org`.
    pub fn new(org: &'a str, restriction: &'a Restriction) -> Self {
        Self { org, channel: &restriction.channel, groups: &restriction.groups }
    }
}
