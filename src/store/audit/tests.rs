//! Tests of the hash that chains the audit.

use proptest::prelude::*;

use super::*;

fn fields() -> impl Strategy<Value = Fields> {
    let text = || "[ab]{0,3}";
    let maybe = || proptest::option::of("[ab]{0,3}");
    let who = (0..3_i64, 0..3_i64, text(), maybe(), text());
    let what = (maybe(), maybe(), maybe(), maybe(), maybe());
    (who, what).prop_map(|((seq, at, actor, origin, action), (organization, target, user, before, after))| {
        Fields { seq, at, actor, origin, action, organization, target, user, before, after }
    })
}

proptest! {
    #[test]
    fn different_records_have_different_hashes(a in fields(), b in fields()) {
        let same = format!("{a:?}") == format!("{b:?}");
        prop_assert_eq!(a.hash(&AuditHash([0; 32])) == b.hash(&AuditHash([0; 32])), same);
        prop_assert_ne!(a.hash(&AuditHash([0; 32])), a.hash(&AuditHash([1; 32])));
    }

    #[test]
    fn hashes_read_back_as_they_are_written(bytes: [u8; 32]) {
        prop_assert_eq!(AuditHash(bytes).to_string().parse(), Ok(AuditHash(bytes)));
    }
}

#[test]
fn hashes_are_sixty_four_hexadecimal_digits() {
    for bad in ["", "0", &"g".repeat(64), &"0".repeat(63), &"0".repeat(65), &"é".repeat(32)] {
        assert_eq!(bad.parse::<AuditHash>(), Err(AuditHashError), "{bad}");
    }
}
