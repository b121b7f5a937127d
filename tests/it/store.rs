//! The contract of a token store, run against every backend, and what each backend adds to it.

pub(crate) mod contract;
pub(crate) mod embedded;
pub(crate) mod postgres;
mod size;
mod transfer;
