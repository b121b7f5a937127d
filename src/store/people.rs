//! What goes into a store and comes out of it about people: their sessions, their identities, the devices they let in, and the keys that
//! sign API keys. Users themselves are [`crate::account::User`].
//!
//! Secrets are known by their digests here, whatever they are: the value of a cookie, a device code, a user code, an access token.

use std::net::IpAddr;
use std::time::Duration;

use crate::account::User;
use crate::clock::Timestamp;
use crate::token::{TokenDigest, TokenRecord};

/// A user who was disabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisabledUser {
    /// The user.
    pub user: User,
    /// The living API keys that ended with it.
    pub keys_ended: Vec<TokenRecord>,
    /// How many browsers were signed out.
    pub sessions_ended: u64,
}

/// Who a user is at an OpenID provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// What it calls the user, for ever.
    pub subject: String,
    /// Since when it is this user's.
    pub bound_at: Timestamp,
}

/// How somebody signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignIn {
    /// By a password.
    Password,
    /// By an OpenID provider.
    OpenId,
}

impl SignIn {
    /// The word that the audit uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::OpenId => "openid",
        }
    }
}

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// Who, as they are now.
    pub user: User,
    /// Until when.
    pub expires_at: Timestamp,
}

/// How many browsers of one user are signed in at once; a further one signs out the oldest.
pub const SESSIONS_MAX: u32 = 100;

/// A device that asks to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// Of the device code.
    pub device_digest: TokenDigest,
    /// Of the user code.
    pub user_code_digest: TokenDigest,
    /// What it calls itself.
    pub client_name: String,
    /// From where it asks.
    pub address: IpAddr,
    /// What its program calls itself.
    pub agent: Option<String>,
    /// What it asks for, in its words.
    pub scopes: String,
    /// Until when a person can let it in.
    pub expires_at: Timestamp,
    /// How long it has to wait between two polls.
    pub interval: Duration,
}

/// How many devices wait for a person at once.
pub const DEVICES_MAX: u32 = 1_000;

/// How many of them from one address.
pub const DEVICES_OF_ADDRESS_MAX: u32 = 100;

/// How often a user code may be looked at before the device is denied.
pub const DEVICE_ATTEMPTS_MAX: u32 = 20;

/// A device that asked to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What it calls itself.
    pub client_name: String,
    /// From where it asked.
    pub address: IpAddr,
    /// What its program calls itself.
    pub agent: Option<String>,
    /// What it asked for, in its words.
    pub scopes: String,
    /// When it asked.
    pub created_at: Timestamp,
    /// Until when a person can let it in.
    pub expires_at: Timestamp,
    /// What was said to it.
    pub state: DeviceState,
    /// Who let it in, and for which organization, by name.
    pub approved: Option<Approval>,
}

/// Who let a device in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The user it acts as.
    pub user: String,
    /// The organization it acts in, by name.
    pub organization: String,
}

/// What was said to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceState {
    /// Nothing yet.
    Pending,
    /// It may come in.
    Approved,
    /// It may not.
    Denied,
    /// It came in, and its access token is spent.
    Used,
}

impl DeviceState {
    /// The word that the store uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Used => "used",
        }
    }

    pub(super) fn named(word: &str) -> Option<Self> {
        let states = [Self::Pending, Self::Approved, Self::Denied, Self::Used];
        states.into_iter().find(|state| state.as_str() == word)
    }
}

/// What a device is told that asks whether it was let in (RFC 8628, section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Nobody has said anything.
    Pending,
    /// It asks too often; the interval is longer now.
    SlowDown,
    /// A person said no, or was disabled.
    Denied,
    /// Nobody said anything in time.
    Expired,
    /// Nobody knows the device code, or it has been spent.
    Unknown,
    /// It was let in; the access token of the digest it gave is good once, until then.
    Granted {
        /// Until when.
        access_expires_at: Timestamp,
    },
}

/// A signing key as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    /// Its name in what it signs.
    pub kid: String,
    /// It, encrypted.
    pub sealed: Vec<u8>,
    /// Since when there is one.
    pub created_at: Timestamp,
    /// Until when it signs.
    pub signs_until: Timestamp,
    /// Until when what it signed may be shown.
    pub verifies_until: Timestamp,
}
