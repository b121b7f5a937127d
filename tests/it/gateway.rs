//! The data plane through its front door: a request goes in, a response comes out.

mod access_log;
mod bodies;
mod canary;
mod carriers;
mod hostile;
mod hygiene;
mod indexes;
mod last_use;
mod malformed;
mod memory;
mod paths;
mod protocols;
mod reach;
mod refusals;
mod streams;
mod twins;
mod upstreams;
