//! channelgate: an authenticating reverse proxy for conda channels.

pub mod clock;
pub mod conda;
pub mod semantics;
