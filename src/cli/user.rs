//! `channelgate user …`.

use anyhow::Context as _;

use super::args::UserCommand;
use super::output::{self, tell};
use super::password;
use super::session::{PAGE, Session, every_page};
use super::view::{details, table};
use crate::account::{NewUser, PasswordHash, User};
use crate::face::view::{DisabledUserView, UserDetailsView, UserView};

/// Runs one of the commands.
///
/// # Errors
///
/// The store's, names that there are not, passwords that cannot be, and what nobody confirmed.
pub(super) async fn run(command: UserCommand, session: &Session<'_>) -> anyhow::Result<()> {
    let (store, by) = (&session.store, &session.by);
    match command {
        UserCommand::Create { name, email, no_password, output } => {
            if store.user(&name).await?.is_some() {
                return Err(crate::store::StoreError::from(crate::store::Conflict::User(name)).into());
            }
            let password_hash = if no_password { None } else { Some(ask_password(&name)?) };
            let new = NewUser { name, email, password_hash };
            let user = store.create_user(&new, by, session.now()).await?;
            if store.seats_of(&user.name).await?.is_empty() {
                tell(format_args!(
                    "User \"{0}\" has no seat yet: `channelgate seat assign ORG {0}` gives them one.",
                    user.name
                ));
            }
            output::print(output, &UserView::new(&user), UserView::to_text)
        }
        UserCommand::SetPassword { name, output } => {
            demand(session, &name).await?;
            let user = store.set_password(&name, &ask_password(&name)?, by, session.now()).await?;
            output::print(output, &UserView::new(&user), UserView::to_text)
        }
        UserCommand::Disable { name, output } => {
            if !demand(session, &name).await?.is_disabled() {
                session.confirm(&format!(
                    "User \"{name}\" will be disabled; their browsers will be signed out and their API keys will stop working at once"
                ))?;
            }
            let disabled = store.disable_user(&name, by, session.now()).await?;
            for token in &disabled.keys_ended {
                tell(format_args!("The {token} ended."));
            }
            output::print(output, &DisabledUserView::new(&disabled), |view| view.user.to_text())
        }
        UserCommand::Enable { name, output } => {
            let user = store.enable_user(&name, by, session.now()).await?;
            output::print(output, &UserView::new(&user), UserView::to_text)
        }
        UserCommand::Unbind { name, output } => {
            let gone = store.unbind_identities(&name, by, session.now()).await?;
            for identity in &gone {
                tell(format_args!(
                    "User \"{name}\" is no longer \"{}\" of {}.",
                    identity.subject, identity.issuer
                ));
            }
            let user = demand(session, &name).await?;
            output::print(output, &UserView::new(&user), UserView::to_text)
        }
        UserCommand::List { output } => {
            let users = every_page(async |after| store.users(after, PAGE).await, |user| &user.name).await?;
            let views: Vec<_> = users.iter().map(UserView::new).collect();
            output::print(output, &views, |views| user_table(views))
        }
        UserCommand::Show { name, output } => {
            let user = demand(session, &name).await?;
            let (seats, identities) = (store.seats_of(&name).await?, store.identities(&name).await?);
            output::print(output, &UserDetailsView::new(&user, &seats, &identities), UserDetailsView::to_text)
        }
    }
}

async fn demand(session: &Session<'_>, name: &str) -> anyhow::Result<User> {
    let found = session.store.user(name).await?;
    found.with_context(|| {
        format!("there is no user \"{name}\"; `channelgate user list` shows those there are")
    })
}

/// What is kept of the password that somebody chooses for a user.
fn ask_password(user: &str) -> anyhow::Result<PasswordHash> {
    let password = password::choose(user)?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)
        .map_err(|error| anyhow::anyhow!("the operating system's random source failed: {error}"))?;
    Ok(PasswordHash::of(&password, &salt)?)
}

impl UserView<'_> {
    fn to_text(&self) -> String {
        details(&self.rows())
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("user", self.name.to_owned()),
            ("email", self.email.unwrap_or("-").to_owned()),
            ("password", if self.has_password { "yes" } else { "no" }.to_owned()),
            ("state", self.state.to_owned()),
            ("created", self.created_at.to_string()),
        ];
        rows.extend(self.disabled_at.map(|at| ("disabled", at.to_string())));
        rows
    }
}

impl UserDetailsView<'_> {
    fn to_text(&self) -> String {
        let mut rows = self.user.rows();
        rows.extend(self.seats.iter().map(|seat| ("seat", format!("{} ({})", seat.org, seat.role))));
        let identity = |identity: &crate::face::view::IdentityView<'_>| {
            ("identity", format!("\"{}\" of {}", identity.subject, identity.issuer))
        };
        rows.extend(self.identities.iter().map(identity));
        details(&rows)
    }
}

/// Users for people.
fn user_table(users: &[UserView<'_>]) -> String {
    let rows = users.iter().map(|user| {
        vec![
            user.name.to_owned(),
            user.email.unwrap_or("-").to_owned(),
            if user.has_password { "yes" } else { "no" }.to_owned(),
            user.state.to_owned(),
            user.created_at.to_string(),
        ]
    });
    table(&["USER", "EMAIL", "PASSWORD", "STATE", "CREATED"], rows)
}
