//! What the integration tests share: a gate, a client that can misbehave, and an upstream that does.

pub mod client;
pub mod faulty;
pub mod gate;
