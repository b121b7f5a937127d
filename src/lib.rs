//! channelgate: an authenticating reverse proxy for conda channels.
