//! What the integration tests share: a gate, a client that can misbehave, an upstream that does, and the program as a process.

pub mod client;
pub mod faulty;
pub mod gate;
pub mod process;
