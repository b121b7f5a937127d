//! The package cache: what it keeps, what it gives out, and what it survives.

mod filler;
mod full;
mod kill;
