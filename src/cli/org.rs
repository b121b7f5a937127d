//! `channelgate org …`.

use super::args::OrgCommand;
use super::output::{self, tell};
use super::session::{PAGE, Session, every_page};
use super::view::{details, table};
use crate::account::{Subscription, SubscriptionState};
use crate::face::view::OrganizationView;
use crate::store::Cancelled;

/// Runs one of the commands.
///
/// # Errors
///
/// The store's, names that there are not, and what nobody confirmed.
pub(super) async fn run(command: OrgCommand, session: &Session<'_>) -> anyhow::Result<()> {
    let (store, by, now) = (&session.store, &session.by, session.now());
    let (organization, output) = match command {
        OrgCommand::Create { name, title, subscription_ends, output } => {
            let title = title.as_deref().unwrap_or(&name);
            let subscription = Subscription::until(subscription_ends);
            (store.create_organization(&name, title, subscription, by, now).await?, output)
        }
        OrgCommand::List { output } => {
            let organizations = every_page(
                async |after| store.organizations(after, PAGE).await,
                |organization| &organization.name,
            )
            .await?;
            let views: Vec<_> =
                organizations.iter().map(|organization| OrganizationView::new(organization, now)).collect();
            return output::print(output, &views, |views| organization_table(views));
        }
        OrgCommand::Show { name, output } => (session.organization(&name).await?, output),
        OrgCommand::Renew { name, until, output } => {
            let renewed = store.renew_organization(&name, until, by, now).await?;
            tell(format_args!("No token's expiry moved; `channelgate token sync {name}` moves it."));
            (renewed, output)
        }
        OrgCommand::Cancel { name, output } => {
            let organization = session.organization(&name).await?;
            if !matches!(organization.subscription.state(now), SubscriptionState::Cancelled(_)) {
                session.confirm(&format!(
                    "The subscription of organization \"{name}\" will be cancelled, and all its tokens will stop working at once, for ever"
                ))?;
            }
            let Cancelled { organization, tokens_ended } = store.cancel_organization(&name, by, now).await?;
            tell(format_args!("Living tokens that ended with the subscription: {tokens_ended}."));
            (organization, output)
        }
    };
    output::print(output, &OrganizationView::new(&organization, now), OrganizationView::to_text)
}

impl OrganizationView<'_> {
    /// All there is to know of it, a line each.
    fn to_text(&self) -> String {
        details(&[
            ("name", self.name.to_owned()),
            ("title", self.title.to_owned()),
            ("subscription", self.subscription_in_words()),
            ("created", self.created_at.to_string()),
            ("id", self.id.to_string()),
        ])
    }

    fn subscription_in_words(&self) -> String {
        let state = self.subscription;
        match (self.cancelled_at, self.subscription_ends) {
            (Some(at), _) => format!("{state} on {at}"),
            (None, Some(at)) => format!("{state}, until {at}"),
            (None, None) => format!("{state}, no end"),
        }
    }
}

/// Organizations for people.
fn organization_table(organizations: &[OrganizationView<'_>]) -> String {
    let rows = organizations.iter().map(|organization| {
        vec![
            organization.name.to_owned(),
            organization.title.to_owned(),
            organization.subscription_in_words(),
            organization.id.to_string(),
        ]
    });
    table(&["NAME", "TITLE", "SUBSCRIPTION", "ID"], rows)
}
