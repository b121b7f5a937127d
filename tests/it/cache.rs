//! The package cache through the front door: what is served from the disk, for how long, and what the upstream is asked.

mod bypasses;
mod counted;
mod crash;
mod faults;
mod filler;
mod flights;
mod freshness;
mod full;
mod indexes;
mod kill;
mod negative;
mod offline;
pub mod origin;
mod outage;
mod republished;
mod revalidated;
mod sharing;
mod stage;
