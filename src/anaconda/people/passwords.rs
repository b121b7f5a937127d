//! Signing in by a password: bounded in number, throttled, and the same for whoever is not known.
//!
//! A password is hashed on purpose slowly and with much memory ([`PasswordHash`]), so strangers could keep the gate busy with it. At most
//! [`RUNNING_MAX`] are checked at once and [`WAITING_MAX`] wait; for more there is no room. Before that, an account and an address that
//! failed too often have to wait ([`Throttle`]): 5 failures of an account are free, and 20 of an address, behind which a whole office may
//! be. Nothing tells whether a user is known: unknown ones, those without a password and those of a wrong one get the same answer after the
//! same work, and are throttled alike.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::throttle::{Policy, Throttle};
use crate::account::{PasswordHash, User};
use crate::clock::Timestamp;
use crate::face::network;
use crate::store::{Store, StoreError};

/// Checks passwords.
pub(in crate::anaconda) struct Passwords {
    store: Store,
    accounts: Throttle<String>,
    addresses: Throttle<IpAddr>,
    /// Places of those that are checked or wait for it.
    room: Semaphore,
    running: Arc<Semaphore>,
}

/// Why somebody is not who they say, as far as anybody can tell.
#[derive(Debug)]
pub(in crate::anaconda) enum PasswordRefusal {
    /// There is no such user, or they have no password, or another one.
    Wrong,
    /// The password is right; the user was disabled.
    Disabled,
    /// The account or the address failed too often: how long to wait.
    Throttled(Duration),
    /// Too many are checked at once.
    Overloaded,
    /// The store failed.
    Store(StoreError),
}

impl Passwords {
    /// Checks the passwords of this store's users.
    pub(in crate::anaconda) fn new(store: Store) -> Self {
        Self {
            store,
            accounts: Throttle::new(ACCOUNTS),
            addresses: Throttle::new(ADDRESSES),
            room: Semaphore::new(RUNNING_MAX + WAITING_MAX),
            running: Arc::new(Semaphore::new(RUNNING_MAX)),
        }
    }

    /// The user of this name, if the password is theirs.
    ///
    /// # Errors
    ///
    /// See [`PasswordRefusal`].
    pub(in crate::anaconda) async fn check(
        &self,
        user: &str,
        password: String,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<User, PasswordRefusal> {
        // A longer name is nobody's, and is not remembered whole.
        let user: String = user.chars().take(USER_CHARS_MAX).collect();
        let address = network(address);
        self.addresses.begin(address, now).map_err(PasswordRefusal::Throttled)?;
        if let Err(wait) = self.accounts.begin(user.clone(), now) {
            self.addresses.take_back(&address);
            return Err(PasswordRefusal::Throttled(wait));
        }
        let checked = self.decide(&user, password).await;
        match &checked {
            Ok(_) | Err(PasswordRefusal::Disabled) => {
                self.accounts.succeeded(&user);
                self.addresses.take_back(&address);
            }
            Err(PasswordRefusal::Overloaded | PasswordRefusal::Store(_)) => {
                self.accounts.take_back(&user);
                self.addresses.take_back(&address);
            }
            Err(PasswordRefusal::Wrong | PasswordRefusal::Throttled(_)) => {}
        }
        checked
    }

    async fn decide(&self, user: &str, password: String) -> Result<User, PasswordRefusal> {
        let overloaded = || PasswordRefusal::Overloaded;
        let _place = self.room.try_acquire().map_err(|_| overloaded())?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_| overloaded())?;
        let found = self.store.password_of(user).await.map_err(PasswordRefusal::Store)?;
        let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), hash));
        // The turn goes along: a client that leaves does not make room for another while the work goes on.
        let matches = tokio::task::spawn_blocking(move || {
            let matches = PasswordHash::matches(hash.as_ref(), &password);
            drop(turn);
            matches
        });
        match (matches.await.map_err(|_| overloaded())?, user) {
            (true, Some(user)) if user.is_disabled() => Err(PasswordRefusal::Disabled),
            (true, Some(user)) => Ok(user),
            _ => Err(PasswordRefusal::Wrong),
        }
    }
}

/// Checked at once: each takes a core and 19 MiB for some 20 ms.
const RUNNING_MAX: usize = 2;
/// More do not wait: the last of them gets its turn within a fraction of a second.
const WAITING_MAX: usize = 16;
/// The longest name.
const USER_CHARS_MAX: usize = 128;

const ACCOUNTS: Policy = Policy {
    free: 5,
    wait: Duration::from_secs(1),
    wait_max: Duration::from_secs(15 * 60),
    forget: Duration::from_secs(60 * 60),
    remembered_max: 16_384,
};
const ADDRESSES: Policy = Policy { free: 20, ..ACCOUNTS };
