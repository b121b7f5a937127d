//! Tests of versions and expectations.

use super::*;
use crate::account::Role;

#[test]
fn versions_are_written_and_read_and_nothing_else_is_one() {
    let version = Version([0x0f; 16]);
    assert_eq!(Version::from_hex(&version.to_hex()), Some(version));
    let hex = version.to_hex();
    for other in ["", "0f", &hex.to_uppercase(), &format!("{hex}0"), &hex.replacen('0', "+", 1)] {
        assert_eq!(Version::from_hex(other), None, "{other}");
    }
}

#[test]
fn expectations_are_met_by_what_they_name() {
    let at = Timestamp::from_millis(0);
    let member = Seat { user: "ann".into(), role: Role::Member, assigned_at: at };
    let admin = Seat { role: Role::Admin, ..member.clone() };
    let (member, admin) = (Version::of_seat(&member), Version::of_seat(&admin));
    assert_ne!(member, admin);
    let either = Expected::OneOf(vec![admin, member]);
    for (expected, present, met) in [
        (&Expected::Nothing, None, true),
        (&Expected::Nothing, Some(member), false),
        (&Expected::Something, None, false),
        (&Expected::Something, Some(member), true),
        (&Expected::OneOf(vec![admin]), Some(member), false),
        (&Expected::OneOf(vec![]), Some(member), false),
        (&either, Some(member), true),
        (&either, None, false),
    ] {
        assert_eq!(expected.is_met(present), met, "{expected:?} {present:?}");
    }
}
