//! The program as a person types it: the real binary, its output, its exit status, its signals.

mod beside;
mod commands;
mod explain;
mod failures;
mod first_start;
mod logs;
mod reload;
mod secrets;
mod serve;
mod terminal;
mod tokens;
mod usage;
