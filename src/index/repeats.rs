//! Keys that a map of an index must not have twice. Pure; told by the walk which map it is in. That a section names no file twice is seen where
//! its records are sorted (`sorting.rs`).

use std::collections::HashSet;

use super::walk::Place;

/// The keys that a map had so far, of those that it must not have twice: serde has the last, others the first or an error.
pub(super) enum Seen {
    /// Of a map with few keys: all.
    All(HashSet<String>),
    /// Of a map that may have many: those that somebody goes by, each of which is a bit.
    Some(fn(&str) -> u16, u16),
    /// No matter.
    Nothing,
}

/// What is wrong with one more key.
pub(super) enum Repeated {
    /// It was there before.
    Key,
    /// There are too many.
    TooMany,
}

impl Seen {
    /// Of a map in this place.
    pub(super) fn of(place: Place) -> Self {
        match place {
            Place::Root | Place::PackageGroups => Self::All(HashSet::new()),
            Place::Description => Self::Some(description_key, 0),
            Place::Record => Self::Some(record_key, 0),
            // File names meet where they are sorted.
            _ => Self::Nothing,
        }
    }

    /// One more key.
    pub(super) fn note(&mut self, key: &str) -> Result<(), Repeated> {
        match self {
            Self::All(keys) if keys.contains(key) => Err(Repeated::Key),
            Self::All(keys) if keys.len() >= KEYS_MAX => Err(Repeated::TooMany),
            Self::All(keys) => {
                keys.insert(key.to_owned());
                Ok(())
            }
            Self::Some(bit_of, seen) => {
                let bit = bit_of(key);
                let is_new = *seen & bit == 0;
                *seen |= bit;
                if is_new { Ok(()) } else { Err(Repeated::Key) }
            }
            Self::Nothing => Ok(()),
        }
    }
}

/// What a client, or the gate, goes by in `info`, a bit for each.
fn description_key(key: &str) -> u16 {
    match key {
        "base_url" => 1,
        "shards_base_url" => 1 << 1,
        "subdir" => 1 << 2,
        "channel_relations" => 1 << 3,
        _ => 0,
    }
}

/// What a client, or the gate, goes by in a record, a bit for each.
fn record_key(key: &str) -> u16 {
    match key {
        "name" => 1,
        "version" => 1 << 1,
        "build" => 1 << 2,
        "build_number" => 1 << 3,
        "subdir" => 1 << 4,
        "fn" => 1 << 5,
        "url" => 1 << 6,
        "sha256" => 1 << 7,
        "md5" => 1 << 8,
        "size" => 1 << 9,
        _ => 0,
    }
}

/// How many keys a document may have of its own, and how many groups each revision: ten times what any has.
pub(super) const KEYS_MAX: usize = 64;
