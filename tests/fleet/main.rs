//! Three gates over one PostgreSQL: what the bound on revocations is worth when things fail. A binary of its own, because its load would disturb the other tests.

// Tests stop where they fail; the clippy setting that allows this knows only unit tests and functions marked as tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]
// One binary: nothing here is reached from outside.
#![allow(unreachable_pub)]

mod cluster;
mod fleet;
mod line;
mod load;
mod scenarios;

/// What the other integration tests use as well; they use more of it.
#[allow(dead_code)]
#[path = "../it/support"]
mod support {
    pub mod client;
    pub mod gate;
    pub mod postgres;
    pub mod process;
}
