//! Organizations and the rules of their life: pure functions of facts and time.
//!
//! Knows no SQL and no HTTP. Neighbours: [`crate::token`] for what an organization hands out, [`crate::store`] for where it is kept.

mod organization;

pub use organization::{AFTER_SUBSCRIPTION, NameError, Organization, Subscription, check_name};

#[cfg(test)]
mod tests;
