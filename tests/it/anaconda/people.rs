//! A gate with people: users with passwords and seats, over TLS.

use std::sync::Arc;

use channelgate::account::{NewUser, PasswordHash, Role};
use channelgate::store::{Actor, AuditFilter};

use super::browser::{Browser, Shown};
use crate::support::gate::{Builder, Gate};
use crate::support::tls::Identity;

/// The password of everybody who has one.
pub const PASSWORD: &str = "correct horse battery staple";

/// A gate with `alice`, who has a seat in `default`; `bob`, who has none; and `carol`, who has a seat and no password.
pub struct Town {
    pub gate: Gate,
    pub identity: Arc<Identity>,
}

impl Town {
    pub async fn found() -> Self {
        Self::with(|builder| builder).await
    }

    pub async fn with(change: impl FnOnce(Builder) -> Builder) -> Self {
        let identity = Arc::new(Identity::new());
        let builder = Gate::builder().fixtures().manual_clock().settings(&identity.setting());
        let gate = change(builder).start().await;
        let town = Self { gate, identity };
        town.settle("alice", Some(PASSWORD), true).await;
        town.settle("bob", Some(PASSWORD), false).await;
        town.settle("carol", None, true).await;
        town
    }

    /// A user of this name, with a seat in `default` perhaps.
    pub async fn settle(&self, name: &str, password: Option<&str>, seat: bool) {
        let (store, now) = (self.gate.store(), self.gate.app.clock().now());
        let password_hash = password.map(|password| PasswordHash::of(password, &[7; 16]).unwrap());
        let user = NewUser { name: name.into(), email: None, password_hash };
        store.create_user(&user, &Actor::gate(), now).await.unwrap();
        if seat {
            store.assign_seat("default", name, Role::Member, &Actor::gate(), now).await.unwrap();
        }
    }

    pub fn browser(&self) -> Browser {
        Browser::of(&self.gate, &self.identity)
    }

    /// A browser in which this user is signed in.
    pub async fn browser_of(&self, user: &str) -> Browser {
        let mut browser = self.browser();
        let shown: Shown = browser.sign_in(user, PASSWORD).await;
        assert_eq!(shown.heading(), "You are signed in");
        browser
    }

    pub fn pass(&self, seconds: u64) {
        self.gate.hands.as_ref().unwrap().advance(std::time::Duration::from_secs(seconds));
    }

    /// The actions in the audit that begin with one of these, with who did them, oldest first.
    pub async fn audit(&self, begins: &[&str]) -> Vec<(String, String)> {
        let records = self.gate.store().audit(&AuditFilter::default()).await.unwrap();
        records
            .into_iter()
            .filter(|record| begins.iter().any(|begin| record.action.starts_with(begin)))
            .map(|record| (record.action, record.actor.name))
            .collect()
    }
}
