//! `channelgate group …`.

use super::UsageError;
use super::args::{GroupCommand, Output};
use super::channel::warn_if_closed;
use super::output::{self, tell};
use super::session::{PAGE, Session, every_page};
use super::view::{details, table};
use crate::account::{Grant, Group};
use crate::conda::ChannelName;
use crate::face::view::{GrantView, GroupView, RestrictionView};
use crate::store::Restriction;

/// Runs one of the commands.
///
/// # Errors
///
/// The store's, names that there are not, grants that cannot be, and what nobody confirmed.
pub(super) async fn run(command: GroupCommand, session: &Session<'_>) -> anyhow::Result<()> {
    let (store, by, now) = (&session.store, &session.by, session.now());
    match command {
        GroupCommand::Create { org, name, output } => {
            print(output, &org, &store.create_group(&org, &name, by, now).await?)
        }
        GroupCommand::List { org, output } => list(session, &org, output).await,
        GroupCommand::Add { org, name, user, output } => {
            print(output, &org, &store.add_member(&org, &name, &user, by, now).await?.present)
        }
        GroupCommand::Remove { org, name, user, output } => {
            session.confirm(&format!(
                "User \"{user}\" will lose what group \"{name}\" of organization \"{org}\" is granted"
            ))?;
            print(output, &org, &store.remove_member(&org, &name, &user, by, now).await?)
        }
        GroupCommand::Grant { org, name, channel, packages, labels, permission, output } => {
            let wish = Grant { channel: channel.to_string(), permission, packages, labels };
            print(output, &org, &grant(session, &org, &name, &channel, &wish).await?)
        }
        GroupCommand::Ungrant { org, name, channel, output } => {
            session.mention(&format!("Group \"{name}\" will no longer read channel \"{channel}\""))?;
            print(output, &org, &store.ungrant(&org, &name, channel.as_str(), by, now).await?)
        }
        GroupCommand::Unrestrict { org, channel, output } => {
            let lifted = store.unrestrict(&org, channel.as_str(), by, now).await?;
            output::print(output, &RestrictionView::new(&org, &lifted), RestrictionView::to_text)
        }
    }
}

async fn grant(
    session: &Session<'_>,
    org: &str,
    group: &str,
    channel: &ChannelName,
    grant: &Grant,
) -> anyhow::Result<Group> {
    let mut configured = session.config.channels.iter().map(|channel| &channel.rules);
    if configured.any(|rules| rules.name == *channel && rules.is_public()) {
        return Err(UsageError(format!(
            "channel \"{channel}\" is public: everybody reads it, and a grant only narrows. Make it private first"
        ))
        .into());
    }
    warn_if_closed(session.config, org, channel, "the group");
    if session.store.restriction(org, channel.as_str()).await?.is_none() {
        session.mention(&format!(
            "From now on only granted groups of organization \"{org}\" read channel \"{channel}\": its other tokens, the site token among \
             them, do not, until `channelgate group unrestrict {org} {channel}`"
        ))?;
    }
    Ok(session.store.grant(org, group, grant, &session.by, session.now()).await?.present)
}

async fn list(session: &Session<'_>, org: &str, output: Output) -> anyhow::Result<()> {
    let store = &session.store;
    let groups = every_page(async |after| store.groups(org, after, PAGE).await, |group| &group.name).await?;
    let restrictions = every_page(
        async |after| store.restrictions(org, after, PAGE).await,
        |restriction| &restriction.channel,
    )
    .await?;
    let views: Vec<_> = groups.iter().map(|group| GroupView::new(org, group)).collect();
    output::print(output, &views, |views| group_table(views))?;
    for Restriction { channel, .. } in restrictions.iter().filter(|restriction| restriction.groups.is_empty())
    {
        tell(format_args!(
            "channelgate: channel \"{channel}\" is restricted to groups, and granted to none: nobody of organization \"{org}\" reads it; \
             `channelgate group unrestrict {org} {channel}` opens it again"
        ));
    }
    Ok(())
}

fn print(output: Output, org: &str, group: &Group) -> anyhow::Result<()> {
    output::print(output, &GroupView::new(org, group), GroupView::to_text)
}

impl GroupView<'_> {
    fn to_text(&self) -> String {
        details(&[
            ("name", self.name.to_owned()),
            ("organization", self.org.to_owned()),
            ("users", in_words(self.members)),
            ("grants", self.grants_in_words()),
            ("created", self.created_at.to_string()),
            ("id", self.id.to_string()),
        ])
    }

    fn grants_in_words(&self) -> String {
        let grants: Vec<_> = self.grants.iter().map(GrantView::in_words).collect();
        in_words(&grants)
    }
}

impl GrantView<'_> {
    fn in_words(&self) -> String {
        let Self { channel, permission, packages, labels } = self;
        format!("{channel} ({permission}{})", narrowing(packages, labels))
    }
}

/// What a grant is confined to, to follow other words: nothing for a whole one.
pub(super) fn narrowing(packages: &[String], labels: &[String]) -> String {
    let mut words = String::new();
    for (what, named) in [("packages", packages), ("labels", labels)] {
        if !named.is_empty() {
            words.push_str(&format!(", {what} {}", named.join(" ")));
        }
    }
    words
}

/// Groups for people.
fn group_table(groups: &[GroupView<'_>]) -> String {
    let rows = groups
        .iter()
        .map(|group| vec![group.name.to_owned(), in_words(group.members), group.grants_in_words()]);
    table(&["NAME", "USERS", "GRANTS"], rows)
}

impl RestrictionView<'_> {
    fn to_text(&self) -> String {
        details(&[
            ("organization", self.org.to_owned()),
            ("unrestricted", self.channel.to_owned()),
            ("granted until now", in_words(self.groups)),
        ])
    }
}

fn in_words(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
