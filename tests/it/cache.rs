//! The package cache: what it fetches, from whom and how often, what it keeps, and what it survives.

mod bypasses;
mod faults;
mod filler;
mod flights;
mod full;
mod kill;
mod stage;
