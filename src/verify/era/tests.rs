//! Tests of what a known token takes and shares.

use super::*;
use crate::clock::Timestamp;
use crate::token::{Scope, Scopes, TokenId, TokenKind, TokenRecord};

/// As the store reads it: nothing of it is shared.
fn reading(number: u8, user: Option<&str>) -> Reading {
    let warrant = Warrant {
        kind: TokenKind::Scoped,
        organization_id: Uuid::nil(),
        organization: "acme".into(),
        user: user.map(Box::from),
        group: None,
        generation: 1,
        scopes: Scopes::of(&[Scope::CondaDownload]),
        channels: None,
        operator: false,
        api_key: false,
        end: None,
    };
    let token = TokenRecord {
        id: TokenId(Uuid::from_u128(number.into())),
        name: Some(format!("token {number}").as_str().into()),
        created_at: Timestamp::from_millis(0),
        expires_at: Some(Timestamp::from_millis(1)),
        warrant: Arc::new(warrant),
    };
    Reading { standing: Some(token.into()), position: FeedPosition::START, last: None, current: true }
}

fn known(era: &Era, number: u8, user: Option<&str>) -> Arc<Standing> {
    match era.remember(&TokenDigest::of(&[number]), reading(number, user), Duration::ZERO) {
        Lookup::Known(standing) => standing,
        Lookup::Unknown => panic!("{number}"),
    }
}

/// `benches/admit.rs` counts 157 bytes a token at a million: these, four in the table of places, and a little room to grow.
#[test]
fn known_token_takes_so_many_bytes() {
    assert_eq!(Memory::<Known>::ENTRY_BYTES, 64, "the entry: the digest of 32, and four words");
    assert_eq!(size_of::<Standing>(), 72, "behind an Arc's 16; a name up to 22 bytes included");
    assert_eq!(size_of::<Warrant>(), 104, "once for all tokens of the same, or once for each of a user's");
}

#[test]
fn tokens_share_a_warrant_or_the_name_of_their_organization() {
    let era = Era::begin(FeedPosition::START, &Config::default());
    let [one, other] = [1, 2].map(|number| known(&era, number, None));
    assert!(Arc::ptr_eq(&one.token.warrant, &other.token.warrant));
    // Many users do not drive out what the others share.
    let users: Vec<_> = (3..100).map(|number| known(&era, number, Some(&format!("user {number}")))).collect();
    let [first, last] = [users.first(), users.last()].map(|standing| &standing.unwrap().token);
    assert!(!Arc::ptr_eq(&first.warrant, &last.warrant));
    assert!(Arc::ptr_eq(&first.organization, &last.organization));
    assert_eq!((first.user.as_deref(), last.user.as_deref()), (Some("user 3"), Some("user 99")));
    assert!(Arc::ptr_eq(&one.token.warrant, &known(&era, 100, None).token.warrant));
}

#[test]
fn tokens_of_many_warrants_keep_their_own() {
    let era = Era::begin(FeedPosition::START, &Config::default());
    for number in 0..=u8::MAX {
        let mut reading = reading(number, None);
        let generation = number.into();
        reading.standing = reading.standing.map(|standing| Standing {
            token: standing.token.with(|warrant| warrant.generation = generation),
            ..standing
        });
        let digest = TokenDigest::of(&[number]);
        era.remember(&digest, reading, Duration::ZERO);
        let (standing, _) = era.recall_known(&digest).unwrap();
        assert_eq!((standing.token.generation, standing.token.id.0.as_u128()), (generation, number.into()));
    }
    let shared = era.organization(Uuid::nil());
    assert_eq!(shared.shared().warrants.len(), SHARED_MAX);
}
