//! What a caller may see of a channel, through the front door: the same in every representation, and nothing past the gate.

mod documents;
mod grants;
mod leading;
mod packages;
mod property;
mod shards;
mod stage;
mod uncached;
