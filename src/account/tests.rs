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

#[test]
fn password_is_known_by_its_hash_only() {
    let hash = PasswordHash::of("four words are enough", &[1; 16]).unwrap();
    assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
    assert_eq!(format!("{hash:?}"), "PasswordHash(…)");
    assert_ne!(hash, PasswordHash::of("four words are enough", &[2; 16]).unwrap(), "salted");
    let kept = PasswordHash::parse(hash.as_str()).unwrap();
    assert!(PasswordHash::matches(Some(&kept), "four words are enough"));
    for other in ["four words are enougH", "four words are enough ", "", &"x".repeat(300)] {
        assert!(!PasswordHash::matches(Some(&kept), other), "{other}");
    }
    assert!(!PasswordHash::matches(None, "four words are enough"));
    // What nobody's password is checked against must be a hash, or it would take no time.
    assert!(!PasswordHash::matches(None, ""));
}

#[test]
fn hashes_of_another_make_are_none() {
    let good =
        "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert!(PasswordHash::parse(good).is_some());
    for (from, to) in [
        ("argon2id", "argon2i"),
        ("argon2id", "bcrypt"),
        ("m=19456", "m=999999"),
        ("t=2", "t=99"),
        ("p=1", "p=64"),
        ("$v=19", ""),
    ] {
        let bad = good.replace(from, to);
        // Without a version it is 19 as well, by the format.
        assert_eq!(PasswordHash::parse(&bad).is_some(), from == "$v=19", "{bad}");
    }
    for bad in ["", "secret", "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(PasswordHash::parse(bad), None, "{bad}");
    }
}

#[test]
fn passwords_are_long_enough_and_not_endless() {
    for (password, expected) in [
        ("elf letters", Err(PasswordError::TooShort)),
        ("twelve chars", Ok(())),
        ("äöüäöüäöüäöü", Ok(())),
        ("with\na line's end", Err(PasswordError::Control)),
        (&*"x".repeat(256), Ok(())),
        (&*"x".repeat(257), Err(PasswordError::TooLong)),
    ] {
        assert_eq!(check_password(password), expected, "{password}");
    }
}

#[test]
fn email_addresses_have_a_name_and_a_host() {
    for good in ["ann@example.org", "a.b+c@x", "_@127.0.0.1"] {
        assert_eq!(check_email(good), Ok(()), "{good}");
    }
    for bad in ["", "ann", "@x", "ann@", "a b@x", "a@b@c", "<a@b>", "ä@x", &format!("{}@x", "a".repeat(253))]
    {
        assert!(check_email(bad).is_err(), "{bad}");
    }
}
