//! Where the verdicts of a shard stand: a table of tags and places.
//!
//! Each slot has 16 bits of a digest, and the place in the row where the rest of it can be compared; so a recall reads one cache line here and
//! goes to the right entry at once, but for one in some twenty. A general hash table has its tags in one line and what they stand for in
//! another, which a recall among a million waits for one after the other.
//!
//! Linear probing: what is removed leaves no trace, since those behind it move up. The tag says where each wants to stand, so neither that nor
//! growing looks at a digest.

/// Places by digest, as many as there are entries.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// A power of two of them, or none.
    slots: Box<[Slot]>,
    taken: usize,
}

/// A tag and a place, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot(u32);

impl Slot {
    /// No place is as high.
    const EMPTY: Self = Self(u32::MAX);

    fn new(tag: u16, place: u16) -> Self {
        Self(u32::from(tag) << 16 | u32::from(place))
    }

    fn tag(self) -> u16 {
        (self.0 >> 16) as u16
    }

    fn place(self) -> u16 {
        self.0 as u16
    }
}

impl Places {
    /// The highest place that there can be.
    pub(super) const LAST: u16 = u16::MAX - 1;

    /// The place of the one with this tag that `is_it`.
    pub(super) fn find(&self, tag: u16, is_it: impl Fn(u16) -> bool) -> Option<u16> {
        self.slot_of(tag, is_it).map(|(_, slot)| slot.place())
    }

    /// Notes a place of one that has none yet.
    pub(super) fn insert(&mut self, tag: u16, place: u16) {
        if (self.taken + 1) * 8 > self.slots.len() * 7 {
            self.grow();
        }
        self.taken += 1;
        self.put(Slot::new(tag, place));
    }

    /// The one with this tag that was at a place is at another one now.
    pub(super) fn moved(&mut self, tag: u16, from: u16, to: u16) {
        if let Some((at, _)) = self.slot_of(tag, |place| place == from)
            && let Some(slot) = self.slots.get_mut(at)
        {
            *slot = Slot::new(tag, to);
        }
    }

    /// The one with this tag that was at a place is gone.
    pub(super) fn remove(&mut self, tag: u16, place: u16) {
        let Some((mut hole, _)) = self.slot_of(tag, |found| found == place) else { return };
        self.taken -= 1;
        let mut at = hole;
        loop {
            at = self.next(at);
            let slot = self.slots.get(at).copied().unwrap_or(Slot::EMPTY);
            if slot == Slot::EMPTY {
                break;
            }
            // It moves up unless it would then stand before its home.
            if self.distance(self.home(slot.tag()), at) >= self.distance(hole, at) {
                self.set(hole, slot);
                hole = at;
            }
        }
        self.set(hole, Slot::EMPTY);
    }

    fn slot_of(&self, tag: u16, is_it: impl Fn(u16) -> bool) -> Option<(usize, Slot)> {
        let mut at = self.home(tag);
        loop {
            // Of an empty table there is no slot at all.
            let slot = *self.slots.get(at)?;
            if slot == Slot::EMPTY {
                return None;
            }
            if slot.tag() == tag && is_it(slot.place()) {
                return Some((at, slot));
            }
            at = self.next(at);
        }
    }

    /// Twice as many slots.
    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(SLOTS_MIN);
        let before = std::mem::replace(&mut self.slots, vec![Slot::EMPTY; slots].into());
        for slot in before {
            if slot != Slot::EMPTY {
                self.put(slot);
            }
        }
    }

    /// Puts a slot where there is room for it, which there always is.
    fn put(&mut self, slot: Slot) {
        let mut at = self.home(slot.tag());
        while self.slots.get(at).is_some_and(|taken| *taken != Slot::EMPTY) {
            at = self.next(at);
        }
        self.set(at, slot);
    }

    fn set(&mut self, at: usize, slot: Slot) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }

    /// As far along the slots as the tag is among all tags.
    fn home(&self, tag: u16) -> usize {
        (usize::from(tag) * self.slots.len()) >> 16
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }

    /// How many slots behind one another is.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }
}

const SLOTS_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few tags, so that runs are long and go round the end.
        #[test]
        fn places_are_those_that_were_noted(steps in proptest::collection::vec((any::<bool>(), 0..60_u16), 1..400)) {
            let tag = |place: u16| (place % 7) * 9_000 + 9_000;
            let (mut places, mut noted) = (Places::default(), BTreeSet::new());
            for (adds, place) in steps {
                if adds && noted.insert(place) {
                    places.insert(tag(place), place);
                } else if !adds && noted.remove(&place) {
                    places.remove(tag(place), place);
                }
                for place in 0..60 {
                    let found = places.find(tag(place), |found| found == place);
                    prop_assert_eq!(found, noted.contains(&place).then_some(place));
                }
            }
            let all: Vec<u16> = noted.into_iter().collect();
            for &place in &all {
                places.moved(tag(place), place, place + 100);
            }
            for place in all {
                // It keeps its tag.
                prop_assert_eq!(places.find(tag(place), |found| found == place + 100), Some(place + 100));
                prop_assert_eq!(places.find(tag(place), |found| found == place), None);
            }
        }
    }
}
