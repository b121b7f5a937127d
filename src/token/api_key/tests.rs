//! Tests of what an API key is, and of what is none.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::token::mask_values;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn key(kid: &str, byte: u8) -> SigningKey {
    SigningKey::new(kid.to_owned(), &[byte; 32]).unwrap()
}

fn claims() -> ApiKeyClaims {
    ApiKeyClaims {
        id: TokenId(Uuid::from_u128(7)),
        user: "ann@example.org".into(),
        organization: "acme".into(),
        issued_at: NOW,
        expires_at: Timestamp::from_millis(1_800_000_100_000),
    }
}

fn check(set: &ApiKeySet, value: &str) -> ApiKeyCheck {
    set.check(&Secret::new(value.as_bytes()), NOW)
}

fn json_of(part: &str) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn api_key_says_what_clients_read() {
    let minted = key("k1", 1).sign("https://gate", &claims()).unwrap();
    let parts: Vec<_> = minted.expose().split('.').collect();
    assert_eq!(json_of(parts[0]), json!({ "typ": "JWT", "alg": "HS256", "kid": "k1" }));
    let said = json!({
        "iss": "https://gate", "aud": "channelgate", "sub": "ann@example.org", "org": "acme",
        "jti": Uuid::from_u128(7), "iat": 1_800_000_000, "exp": 1_800_000_100,
    });
    assert_eq!(json_of(parts[1]), said);
    let secret = Secret::new(minted.expose().as_bytes());
    assert!(secret.is_plausible() && secret.is_api_key_shaped());
    let set = ApiKeySet::new("https://gate".into(), vec![key("k0", 0), key("k1", 1)]);
    assert_eq!(check(&set, minted.expose()), ApiKeyCheck::Genuine(claims()));
    let late = set.check(&secret, claims().expires_at);
    assert_eq!(late, ApiKeyCheck::Expired);
    assert_eq!(format!("{set:?}").matches("kid").count(), 2);
    assert!(!format!("{set:?}").contains("secret"));
}

#[test]
fn whatever_is_pinned_must_be_so() {
    let value = key("k1", 1).sign("https://gate", &claims()).unwrap().expose().to_owned();
    let set = |issuer: &str, kid: &str, byte| ApiKeySet::new(issuer.into(), vec![key(kid, byte)]);
    assert_eq!(check(&set("https://other", "k1", 1), &value), ApiKeyCheck::Forged);
    assert_eq!(check(&set("https://gate", "k1", 2), &value), ApiKeyCheck::Forged);
    assert_eq!(check(&set("https://gate", "k2", 1), &value), ApiKeyCheck::Unknown);
    let ours = set("https://gate", "k1", 1);
    let secret = EncodingKey::from_secret(&[1; 32]).unwrap();
    let signed = |header: &Header, claims: &Value| encode(header, claims, &secret).unwrap();
    let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
    let good = json!({
        "iss": "https://gate", "aud": "channelgate", "sub": "ann", "org": "acme",
        "jti": Uuid::from_u128(7), "iat": 1_800_000_000, "exp": 1_800_000_100,
    });
    assert!(matches!(check(&ours, &signed(&header, &good)), ApiKeyCheck::Genuine(_)));
    for (claim, other) in [
        ("aud", json!("else")),
        ("aud", json!(["else"])),
        ("iss", json!("x")),
        ("exp", json!("soon")),
        ("jti", json!("x")),
    ] {
        let mut bad = good.clone();
        bad[claim] = other;
        assert_eq!(check(&ours, &signed(&header, &bad)), ApiKeyCheck::Forged, "{bad}");
        bad.as_object_mut().unwrap().remove(claim);
        assert_eq!(check(&ours, &signed(&header, &bad)), ApiKeyCheck::Forged, "without {claim}");
    }
    // Another algorithm, though the signature by it is right; none at all; no name of a key.
    let longer = Header { alg: Algorithm::HS512, ..header };
    assert_eq!(check(&ours, &signed(&longer, &good)), ApiKeyCheck::Forged);
    assert_eq!(check(&ours, &signed(&Header::new(Algorithm::HS256), &good)), ApiKeyCheck::Forged);
    let (_, rest) = value.split_once('.').unwrap();
    let (payload, _) = rest.split_once('.').unwrap();
    for header in [
        json!({ "alg": "none", "kid": "k1" }),
        json!({ "alg": "RS256", "kid": "k1" }),
        json!({ "kid": "k1" }),
    ] {
        let header = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
        for signature in ["", "AAAA", rest.rsplit_once('.').unwrap().1] {
            assert_eq!(check(&ours, &format!("{header}.{payload}.{signature}")), ApiKeyCheck::Forged);
        }
    }
}

#[test]
fn any_changed_character_makes_it_another_one() {
    let set = ApiKeySet::new("i".into(), vec![key("k1", 1)]);
    let value = key("k1", 1).sign("i", &claims()).unwrap().expose().to_owned();
    for at in 0..value.len() {
        let mut bytes = value.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let found = check(&set, &changed);
        assert!(!matches!(found, ApiKeyCheck::Genuine(_) | ApiKeyCheck::Expired), "at {at}: {found:?}");
    }
}

#[test]
fn form_of_an_api_key_is_told_from_others() {
    let value = key("k1", 1).sign("i", &claims()).unwrap().expose().to_owned();
    let is_shaped = |value: &str| Secret::new(value.as_bytes()).is_api_key_shaped();
    assert!(is_shaped(&value));
    for other in [
        value.trim_start_matches('e').to_owned(),
        format!("{value}."),
        format!("{value}.x"),
        value.replace('.', ""),
        value.replacen('.', "", 1),
        format!("{value} "),
        format!("{value}="),
        "eyJ..".to_owned(),
        format!("eyJAAAAAAA.BBBBBBBBBB.{}", "A".repeat(1_003)),
        "eyJAAAAAA.BBBBBBBBBB.CCCCCCCCCC".to_owned(),
        "eyJAAAAAAA.BBBBBBBBB.CCCCCCCCCC".to_owned(),
    ] {
        assert!(!is_shaped(&other) && !Secret::new(other.as_bytes()).is_plausible(), "{other}");
        assert!(!crate::token::is_importable(&other));
    }
    assert!(
        is_shaped(&format!("eyJAAAAAAA.BBBBBBBBBB.{}", "A".repeat(1_002)))
            && !crate::token::is_importable(&value)
    );
    let long = ApiKeyClaims { user: "u".repeat(700), ..claims() };
    assert!(matches!(key("k", 1).sign("i", &long), Err(SignError::TooLong(_))));
}

#[test]
fn api_keys_are_masked_wherever_they_stand() {
    let value = key("k1", 1).sign("i", &claims()).unwrap().expose().to_owned();
    for (text, shown) in [
        (format!("leaked: {value}."), "leaked: <TOKEN>.".to_owned()),
        (format!("({value}), {value}"), "(<TOKEN>), <TOKEN>".to_owned()),
        (format!("eyJ.x.y then {value}"), "eyJ.x.y then <TOKEN>".to_owned()),
    ] {
        assert_eq!(mask_values(&text), shown);
        assert_eq!(crate::conda::redact::sentence(&text), shown);
    }
    let path = format!("/main/{value}/noarch/x");
    assert_eq!(crate::conda::redact::raw_path(&path), "/main/<TOKEN>/noarch/x");
    assert_eq!(crate::conda::redact::raw_path(&format!("/t/{value}/main")), "/t/<TOKEN>/main");
}
