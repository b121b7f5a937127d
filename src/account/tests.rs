//! Tests of the rules of organizations.

use super::*;
use crate::clock::Timestamp;

#[test]
fn tokens_outlive_the_subscription_by_thirty_days() {
    let ends_at: Timestamp = "2027-01-31".parse().unwrap();
    let subscription = Subscription::until(Some(ends_at));
    assert_eq!(
        subscription.token_expiry(ends_at).unwrap().map(|at| at.to_string()),
        Some("2027-03-02T00:00:00Z".into())
    );
    assert_eq!(Subscription::default().token_expiry(ends_at), Ok(None));
}

#[test]
fn names_are_plain() {
    for name in ["default", "acme-1", "_x", "a.b"] {
        assert_eq!(check_name(name, "an organization's name"), Ok(()));
    }
    for name in ["", "Acme", "-a", ".a", "a b", "a/b", "ä", &"a".repeat(65)] {
        assert!(check_name(name, "an organization's name").is_err(), "{name}");
    }
}
