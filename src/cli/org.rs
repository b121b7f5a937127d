//! `channelgate org …`.

use super::args::OrgCommand;
use super::output;
use super::session::Session;
use super::view::{OrganizationView, organization_table};
use crate::account::Subscription;

/// Runs one of the commands.
///
/// # Errors
///
/// The store's, and names that there are not.
pub(super) async fn run(command: OrgCommand, session: &Session<'_>) -> anyhow::Result<()> {
    match command {
        OrgCommand::Create { name, title, subscription_ends, output } => {
            let title = title.as_deref().unwrap_or(&name);
            let subscription = Subscription { ends_at: subscription_ends };
            let organization =
                session.store.create_organization(&name, title, subscription, session.now()).await?;
            output::print(output, &OrganizationView::from(&organization), OrganizationView::to_text)
        }
        OrgCommand::List { output } => {
            let organizations = session.store.organizations().await?;
            let views: Vec<_> = organizations.iter().map(OrganizationView::from).collect();
            output::print(output, &views, |views| organization_table(views))
        }
        OrgCommand::Show { name, output } => {
            let organization = session.organization(&name).await?;
            output::print(output, &OrganizationView::from(&organization), OrganizationView::to_text)
        }
    }
}
