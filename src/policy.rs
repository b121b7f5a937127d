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
//! 5. The channel's organizations, the token's own channels, and the organization's groups with the labels granted to them each only narrow.
//!
//! A permit is for a channel, and carries the [`View`] of it: which packages were granted, and the channel's rules. What a package file or
//! an index shows follows from that, by [`View::judge`] alone.

mod api;
mod channel;
mod decision;
mod minting;
mod packages;
mod person;
mod rule;
mod standing;
mod view;

pub use api::{ApiDenial, ApiPermit, Deed, decide_api};
pub use channel::{Access, Channel, Channels};
pub use decision::{Asked, Basis, Caller, DenyReason, Forbidden, Permit, Question, decide};
pub use minting::{Holder, Mint, Minter, Overreach, check_mint};
pub use packages::Packages;
pub use person::{Person, PersonDenial, decide_person};
pub use rule::{Effect, Mode, Rule};
pub use standing::{Granted, Grants, Right, Rights, Standing};
pub use view::{Artifact, FirstSeen, View, ViewId, Visibility};

#[cfg(test)]
mod tests;
