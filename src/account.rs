//! Organizations and the rules of their life: pure functions of facts and time.
//!
//! Knows no SQL and no HTTP. Neighbours: [`crate::token`] for what an organization hands out, `store` for where it is kept.

mod group;
mod name;
mod organization;
mod password;
mod seat;
mod user;

pub use group::{Grant, GrantError, Group, Permission, UnknownPermission, check_label, check_pattern};
pub use name::{NameError, check_name, check_user};
pub use organization::{
    AFTER_SUBSCRIPTION, EndsInThePast, Organization, Subscription, SubscriptionOver, SubscriptionState,
};
pub use password::{
    HashError, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PasswordError, PasswordHash, Salt, check_password,
};
pub use seat::{Role, Seat, UnknownRole};
pub use user::{EmailError, NewUser, User, check_email};

#[cfg(test)]
mod tests;
