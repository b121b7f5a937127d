//! Tests of the bounded map.

use std::collections::HashMap;

use super::*;

fn digest(number: u32) -> TokenDigest {
    TokenDigest::of(&number.to_be_bytes())
}

fn remember(memory: &Memory<u32>, number: u32) {
    assert!(memory.remember(&digest(number), number, Duration::ZERO, || true));
}

fn recall(memory: &Memory<u32>, digest: &TokenDigest) -> Option<(u32, Duration)> {
    memory.recall(digest, |verdict| Some(*verdict))
}

#[test]
fn memory_recalls_replaces_and_forgets() {
    let memory = Memory::new(10);
    remember(&memory, 1);
    memory.remember(&digest(1), 11, Duration::from_secs(1), || true);
    assert_eq!(recall(&memory, &digest(1)), Some((11, Duration::from_secs(1))));
    assert_eq!(memory.len(), 1);
    memory.forget(&digest(1));
    memory.forget(&digest(1));
    assert_eq!(recall(&memory, &digest(1)), None);
    assert!(!memory.remember(&digest(2), 2, Duration::ZERO, || false));
    assert_eq!(memory.len(), 0);
}

#[test]
fn memory_full_keeps_its_bound_and_what_is_recalled() {
    for entries_max in [1, 100, 40_000] {
        let memory = Memory::new(entries_max);
        for number in 0..100_000 {
            remember(&memory, number);
            // One token in use among many that come once.
            let used = recall(&memory, &digest(0)).is_some();
            assert!(used || entries_max == 1, "{number} of {entries_max}");
        }
        assert!(memory.len() <= entries_max, "{} > {entries_max}", memory.len());
        assert!(memory.len() >= entries_max * 9 / 10, "{} << {entries_max}", memory.len());
        assert_eq!(recall(&memory, &digest(99_999)).map(|(verdict, _)| verdict), Some(99_999));
    }
}

#[test]
fn memory_all_recalled_still_takes_new_verdicts() {
    let memory = Memory::new(100);
    for number in 0..100 {
        remember(&memory, number);
    }
    for number in 0..100 {
        assert!(recall(&memory, &digest(number)).is_some());
    }
    remember(&memory, 100);
    assert_eq!(memory.len(), 100);
    assert!(recall(&memory, &digest(100)).is_some());
}

#[test]
fn memory_agrees_with_a_plain_map_under_random_use() {
    let memory = Memory::new(1_000_000);
    let mut model = HashMap::new();
    let mut state = 1_u32;
    for _ in 0..100_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let number = (state >> 8) % 5_000;
        if state >> 30 == 0 {
            memory.forget(&digest(number));
            model.remove(&number);
        } else {
            memory.remember(&digest(number), state, Duration::ZERO, || true);
            model.insert(number, state);
        }
    }
    assert_eq!(memory.len(), model.len());
    for number in 0..5_000 {
        assert_eq!(recall(&memory, &digest(number)).map(|(v, _)| v), model.get(&number).copied());
    }
}
