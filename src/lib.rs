//! channelgate: an authenticating reverse proxy for conda channels.

pub mod account;
pub mod auth;
pub mod clock;
pub mod conda;
pub mod policy;
pub mod semantics;
pub mod token;
