//! The gate before a real client: py-rattler, the network stack of rattler and pixi, solves and installs the packages of
//! `tests/fixtures/` through a running `channelgate`, with every carrier it knows.
//!
//! `description.rs` lets schemathesis ask the admin API whatever its description allows. `venv.rs` makes the client, `gate.rs` runs the gate, `client.rs` drives one against the other; `installs.rs`, `made.rs` and `refusals.rs`
//! are the tests; `recorder.rs` counts what goes over the wire. `driver.rs` runs the client against a plain file server, so that a fault of the client or of the fixtures is not
//! taken for one of the gate.
//!
//! The client is fetched from PyPI once for each set of pinned requirements and kept below `target/`. Without python3 these tests
//! fail; they never skip.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test program a broken expectation is a failed test"
)]

mod anaconda;
mod client;
mod description;
mod driver;
mod gate;
mod installs;
mod made;
mod recorder;
mod refusals;
mod venv;
