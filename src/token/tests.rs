//! Tests of the token format, scopes and states.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;

fn plausible(value: &str) -> bool {
    Secret::new(value.as_bytes()).is_plausible()
}

#[test]
fn minted_tokens_have_the_format_that_conda_can_carry() {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        let minted = Minted::random().unwrap();
        let value = minted.expose();
        assert_eq!(value.len(), 41);
        assert!(value.starts_with("cg-"));
        assert!(value.chars().skip(3).all(|c| c.is_ascii_alphanumeric()));
        assert!(plausible(value));
        assert!(minted.digest() == Secret::new(value.as_bytes()).digest());
        assert!(seen.insert(value.to_owned()));
    }
    let letters: std::collections::HashSet<char> =
        seen.iter().flat_map(|value| value.chars().skip(3).take(32)).collect();
    assert_eq!(letters.len(), 62, "every letter occurs");
}

#[test]
fn mistyped_and_foreign_values_are_told_apart() {
    let value = Minted::random().unwrap().expose().to_owned();
    for at in 3..value.len() {
        let mut mistyped: Vec<u8> = value.clone().into_bytes();
        mistyped[at] = if mistyped[at] == b'x' { b'y' } else { b'x' };
        assert!(!Secret::new(&mistyped).is_plausible(), "changed at {at}");
    }
    assert!(!plausible(&value.chars().take(40).collect::<String>()));
    assert!(!plausible(&format!("{value}0")));
    for (foreign, expected) in [
        ("xy-72b914cc-c105-4ec7-a969-ab21d23480ed", true),
        ("01234567890123456789", true),
        ("0123456789012345678", false),
        ("0123456789012345678_", false),
        ("0123456789 0123456789", false),
        ("cg-0123456789012345678901234567890123456789", false),
        ("", false),
    ] {
        assert_eq!(plausible(foreign), expected, "{foreign}");
        assert_eq!(is_importable(foreign), expected, "{foreign}");
    }
    assert!(!plausible(&"a".repeat(257)));
}

#[test]
fn scopes_are_read_by_name_and_unknown_ones_listed() {
    let scopes: Scopes = "repos conda:download".parse().unwrap();
    assert_eq!(scopes.to_string(), "repos conda:download");
    let unknown = "repos write".parse::<Scopes>().unwrap_err().to_string();
    assert!(unknown.contains("\"write\"") && unknown.contains("api:modify-group"), "{unknown}");
    assert!(" ".parse::<Scopes>().is_err());
    for scope in Scope::EVERY {
        let reads = matches!(scope, Scope::All | Scope::Repos | Scope::Conda | Scope::CondaDownload);
        let scopes: Scopes = scope.as_str().parse().unwrap();
        assert_eq!(scopes.permit_conda_download(), reads, "{scopes}");
        assert_eq!(scopes.iter().collect::<Vec<_>>(), [scope]);
    }
}

#[test]
fn scopes_cover_what_lies_below_them() {
    let below = |scope: &str| {
        let scopes: Scopes = scope.parse().unwrap();
        let covered: Vec<_> =
            Scope::EVERY.into_iter().filter(|&other| scopes.cover(other)).map(Scope::as_str).collect();
        covered.join(" ")
    };
    let everything = Scope::EVERY.map(Scope::as_str).join(" ");
    for (scope, covered) in [
        ("all", everything.as_str()),
        ("repos", "repos conda conda:download pypi pypi:download pypi:upload"),
        ("conda", "conda conda:download"),
        ("conda:download", "conda:download"),
        ("pypi", "pypi pypi:download pypi:upload"),
        ("pypi:download", "pypi:download"),
        ("pypi:upload", "pypi:upload"),
        ("api", "api api:read api:write api:modify-group"),
        ("api:read", "api:read"),
        ("api:write", "api:write"),
        ("api:modify-group", "api:modify-group"),
    ] {
        assert_eq!(below(scope), covered, "{scope}");
    }
    // The parts of a scope are less than it.
    assert_eq!(below("conda:download pypi"), "conda:download pypi pypi:download pypi:upload");
    let (few, many): (Scopes, Scopes) =
        ("conda:download api:read".parse().unwrap(), "repos api".parse().unwrap());
    assert!(many.cover_all(few) && !few.cover_all(many));
}

fn record(expires_at: Option<i64>, end: Option<(EndCause, i64)>) -> TokenRecord {
    let warrant = Warrant {
        kind: TokenKind::Site,
        organization_id: uuid::Uuid::nil(),
        organization: "acme".into(),
        user: None,
        group: None,
        generation: 1,
        scopes: Scopes::of(&[Scope::Repos]),
        channels: None,
        operator: false,
        api_key: false,
        end: end.map(|(cause, at)| Box::new(End { cause, at: Timestamp::from_millis(at), reason: None })),
    };
    TokenRecord {
        id: TokenId(uuid::Uuid::nil()),
        name: None,
        created_at: Timestamp::from_millis(0),
        expires_at: expires_at.map(Timestamp::from_millis),
        warrant: Arc::new(warrant),
    }
}

#[test]
fn state_counts_the_earlier_end_and_its_first_moment() {
    use EndCause::{Replaced, Revoked, SeatRemoved};
    for (name, expires_at, end, now, expected) in [
        ("no end", None, None, 10, "live"),
        ("before expiry", Some(11), None, 10, "live"),
        ("at expiry", Some(10), None, 10, "expired"),
        ("at the end", None, Some((Revoked, 10)), 10, "ended"),
        ("grace of a reissue", None, Some((Replaced, 11)), 10, "live"),
        ("after the grace", None, Some((Replaced, 10)), 10, "ended"),
        ("revoked by a clock that is ahead", None, Some((Revoked, 11)), 10, "ended"),
        ("removed by a clock that is ahead", Some(20), Some((SeatRemoved, 11)), 10, "ended"),
        ("revoked, then expired", Some(9), Some((Revoked, 8)), 10, "ended"),
        ("expired, then revoked", Some(8), Some((Revoked, 9)), 10, "expired"),
    ] {
        let record = record(expires_at, end);
        let state = match record.state(Timestamp::from_millis(now)) {
            TokenState::Live => "live",
            TokenState::Expired(_) => "expired",
            TokenState::Ended(_) => "ended",
        };
        assert_eq!(state, expected, "{name}");
    }
}

proptest! {
    /// conda finds exactly the token that was issued: its pattern is `/t/([a-zA-Z0-9-]*)`.
    #[test]
    fn any_bytes_are_screened_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let secret = Secret::new(&bytes);
        if secret.is_plausible() {
            prop_assert!(bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-'));
        }
        let _ = secret.digest();
    }
}

#[test]
fn token_record_shares_its_warrant_until_one_of_them_changes() {
    let one = record(None, None);
    let mut other = one.clone();
    assert!(Arc::ptr_eq(&one.warrant, &other.warrant));
    other = other.with(|warrant| warrant.user = Some("ann".into()));
    assert_eq!((one.user.as_deref(), other.user.as_deref()), (None, Some("ann")));
    let at = Timestamp::from_millis(1);
    let other = other.ended(End { cause: EndCause::Revoked, at, reason: None });
    assert!(one.warrant.is_common() && one.end.is_none() && other.ends_at() == Some(at));
}

#[test]
fn token_name_is_what_it_was_made_of_short_or_long() {
    for length in [0, 1, 21, 22, 23, 128, 256] {
        for text in ["a".repeat(length), "ä".repeat(length / 2)] {
            let name = TokenName::from(text.as_str());
            assert_eq!(&*name, text);
            assert_eq!((name.to_string(), format!("{name:?}")), (text.clone(), format!("{text:?}")));
        }
    }
}

#[test]
fn token_names_are_whatever_people_can_read() {
    for name in ["ci", "CI on Monday", "binstar_client:alice@laptop", "a/b c", "ä"] {
        assert_eq!(check_token_name(name), Ok(()), "{name}");
    }
    for name in ["", " ci", "ci ", "c\ni", "c\u{85}i", &"a".repeat(129)] {
        assert!(check_token_name(name).is_err(), "{name:?}");
    }
}
