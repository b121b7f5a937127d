//! The decision: who may read what.
//!
//! [`decide`] takes facts (what is known of the caller, what the configuration says of the channel, the time) and returns a [`Permit`]
//! or a [`DenyReason`]. Only this module can make a `Permit`, and nothing behind it serves a byte without one. It must never await, read
//! a clock, or choose a status; the statuses are in `gateway::respond`.
//!
//! The order of the questions is part of the contract:
//!
//! 1. A credential that is unknown or no longer serves is refused, on a public channel too.
//! 2. A public channel is read by everybody else, whatever a token's scopes and channels are.
//! 3. Without a credential the answer is "token missing" whether or not the channel exists (`notices.json`: "not found").
//! 4. The scope is looked at before the channel, so that a channel that does not exist answers as one that is forbidden.
//! 5. The channel's organizations, the token's own channels, and the organization's groups each only narrow.

mod api;
mod channel;
mod decision;
mod minting;
mod standing;

pub use api::{ApiDenial, ApiPermit, Deed, decide_api};
pub use channel::{Access, Channel, Channels};
pub use decision::{Asked, Basis, Caller, DenyReason, Forbidden, Permit, Question, decide};
pub use minting::{Holder, Mint, Overreach, check_mint};
pub use standing::{Granted, Right, Rights, Standing};

#[cfg(test)]
mod tests;
