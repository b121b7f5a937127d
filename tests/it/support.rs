//! What the integration tests share: a gate, clients that can misbehave, an upstream that does, and the program as a process.

pub mod client;
pub mod faulty;
pub mod gate;
pub mod hammer;
pub mod http2;
pub mod postgres;
pub mod process;
pub mod tls;
