//! Sealed values: what opens, and everything that does not.

use std::time::Duration;

use proptest::prelude::*;

use super::{Purpose, Sealer};
use crate::clock::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn later() -> Timestamp {
    NOW.plus(Duration::from_secs(600))
}

#[test]
fn sealed_value_opens_for_its_purpose_until_its_end_and_under_its_key() {
    let sealer = Sealer::new(&[7; 32]).unwrap();
    let sealed = sealer.seal(Purpose::Oidc, b"state", later()).unwrap();
    let opened = |purpose, now| sealer.open(purpose, &sealed, now);
    assert_eq!(opened(Purpose::Oidc, NOW).as_deref(), Some(&b"state"[..]));
    assert_eq!(opened(Purpose::Grant, NOW), None, "another purpose");
    assert_eq!(opened(Purpose::Oidc, later()), None, "the first moment of the end is the end");
    assert_eq!(Sealer::new(&[8; 32]).unwrap().open(Purpose::Oidc, &sealed, NOW), None, "another key");
    let again = sealer.seal(Purpose::Oidc, b"state", later()).unwrap();
    assert_ne!(sealed, again, "the same twice looks different");
    assert!(!sealed.contains("state"));
    assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
}

#[test]
fn value_changed_anywhere_or_cut_does_not_open() {
    let sealer = Sealer::new(&[7; 32]).unwrap();
    let sealed = sealer.seal(Purpose::Oidc, b"", later()).unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(sealer.open(Purpose::Oidc, &changed, NOW), None, "changed at {at}");
        assert_eq!(sealer.open(Purpose::Oidc, sealed.get(..at).unwrap(), NOW), None, "cut at {at}");
    }
    assert_eq!(sealer.open(Purpose::Oidc, &"A".repeat(10_000), NOW), None);
}

proptest! {
    #[test]
    fn what_is_sealed_is_what_opens(plain in proptest::collection::vec(any::<u8>(), 0..500), garbage in ".{0,200}") {
        let sealer = Sealer::new(&[1; 32]).unwrap();
        let sealed = sealer.seal(Purpose::Grant, &plain, later()).unwrap();
        prop_assert_eq!(sealer.open(Purpose::Grant, &sealed, NOW), Some(plain));
        prop_assert_eq!(sealer.open(Purpose::Grant, &garbage, NOW), None);
    }
}
