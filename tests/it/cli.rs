//! The program as a person types it: the real binary, its output, its exit status, its signals.

mod audit;
mod bench;
mod beside;
mod cache;
mod commands;
mod explain;
mod failures;
mod first_start;
mod fleet;
mod groups;
mod index;
mod logs;
mod reload;
mod seats;
mod secrets;
mod serve;
mod store;
mod subscriptions;
mod terminal;
mod tokens;
mod usage;
mod users;
