//! Tests of the library through its public face, in one binary.

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

mod admin;
mod anaconda;
mod cache;
mod cli;
mod explain;
mod gateway;
mod layering;
mod model;
mod product;
mod server;
mod store;
mod support;
mod upstream;
mod verify;
mod views;
