//! Tests of carriers and their precedence.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::conda::RequestTarget;
use crate::token::TokenDigest;

const T: &str = "cg-TokenTokenTokenTokenToken";

fn basic(credentials: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(credentials))
}

/// The carrier and the secret's digest, or what else came of it.
fn extracted(
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(Option<Carrier>, Option<TokenDigest>, bool), CredentialError> {
    let target = RequestTarget::parse(path).unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    }
    let mut scratch = Scratch::new();
    Ok(match extract(&target, &map, &mut scratch)? {
        Credential::Absent { masked } => (None, None, masked),
        Credential::Presented { secret, carrier } => (Some(carrier), Some(secret.digest()), false),
    })
}

#[test]
fn every_carrier_is_found() {
    let digest = TokenDigest::of(T.as_bytes());
    for (name, path, header, value, carrier) in [
        ("path", format!("/t/{T}/main/x"), "x-none", String::new(), Carrier::Path),
        ("path behind a prefix", format!("/repo/t/{T}/main/x"), "x-none", String::new(), Carrier::Path),
        (
            "escaped path",
            format!("/t/%63g{}/main/x", T.trim_start_matches("cg")),
            "x-none",
            String::new(),
            Carrier::Path,
        ),
        ("token", "/main/x".into(), "authorization", format!("token {T}"), Carrier::Token),
        ("Token", "/main/x".into(), "authorization", format!("Token {T}"), Carrier::Token),
        ("bearer", "/main/x".into(), "authorization", format!("Bearer {T}"), Carrier::Bearer),
        ("BEARER, spaces", "/main/x".into(), "authorization", format!("BEARER   {T} "), Carrier::Bearer),
        ("password", "/main/x".into(), "authorization", basic(&format!("bob:{T}")), Carrier::Basic),
        ("password, no user", "/main/x".into(), "authorization", basic(&format!(":{T}")), Carrier::Basic),
        ("user", "/main/x".into(), "authorization", basic(&format!("{T}:")), Carrier::Basic),
        (
            "user, oauth",
            "/main/x".into(),
            "authorization",
            basic(&format!("{T}:x-oauth-basic")),
            Carrier::Basic,
        ),
        (
            "unpadded",
            "/main/x".into(),
            "authorization",
            basic(&format!("a:{T}")).trim_end_matches('=').into(),
            Carrier::Basic,
        ),
        ("api key", "/main/x".into(), "x-api-key", T.into(), Carrier::ApiKey),
        ("x-auth", "/main/x".into(), "x-auth", T.into(), Carrier::XAuth),
        ("empty path token", "/t//main/x".into(), "x-auth", T.into(), Carrier::XAuth),
        (
            "masked path token",
            "/t/*****/main/x".into(),
            "authorization",
            format!("token {T}"),
            Carrier::Token,
        ),
        ("masked header", "/main/x".into(), "x-api-key", T.into(), Carrier::ApiKey),
    ] {
        let mut headers = vec![(header, value.as_str())];
        if name == "masked header" {
            headers.push(("authorization", "token <TOKEN>"));
        }
        assert_eq!(extracted(&path, &headers), Ok((Some(carrier), Some(digest), false)), "{name}");
    }
}

#[test]
fn path_then_authorization_then_the_rest_decide() {
    let all = [("x-auth", "four"), ("x-api-key", "three"), ("authorization", "token two")];
    let of = |value: &str| Some(TokenDigest::of(value.as_bytes()));
    assert_eq!(extracted("/t/one/main/x", &all), Ok((Some(Carrier::Path), of("one"), false)));
    assert_eq!(extracted("/main/x", &all), Ok((Some(Carrier::Token), of("two"), false)));
    assert_eq!(extracted("/main/x", &all[..2]), Ok((Some(Carrier::ApiKey), of("three"), false)));
    assert_eq!(extracted("/main/x", &all[..1]), Ok((Some(Carrier::XAuth), of("four"), false)));
}

#[test]
fn blank_headers_yield_to_the_next_carrier() {
    let of = |carrier| Ok((Some(carrier), Some(TokenDigest::of(T.as_bytes())), false));
    for blank in ["", " ", "\t \t"] {
        let headers = [("authorization", blank), ("x-api-key", T)];
        assert_eq!(extracted("/main/x", &headers), of(Carrier::ApiKey), "{blank:?}");
        let headers = [("authorization", blank), ("x-api-key", blank), ("x-auth", T)];
        assert_eq!(extracted("/main/x", &headers), of(Carrier::XAuth), "{blank:?}");
        assert!(extracted("/main/x", &[("x-auth", blank), ("x-auth", T)]).is_err(), "twice is twice");
    }
}

#[test]
fn placeholders_and_nothing_are_no_credential() {
    for (path, header, masked) in [
        ("/main/x", None, false),
        ("/t//main/x", None, false),
        ("/t/*****/main/x", None, true),
        ("/t/%3CTOKEN%3E/main/x", None, true),
        ("/main/x", Some(("authorization", "token ********")), true),
        ("/main/x", Some(("x-auth", "<TOKEN>")), true),
        ("/main/x", Some(("authorization", "")), false),
        ("/main/x", Some(("x-api-key", " \t")), false),
        ("/main/x", Some(("x-auth", "")), false),
        ("/t/*****/main/x", Some(("authorization", " ")), true),
    ] {
        let headers: Vec<_> = header.into_iter().collect();
        assert_eq!(extracted(path, &headers), Ok((None, None, masked)), "{path} {header:?}");
    }
}

#[test]
fn nonsense_is_presented_and_not_plausible() {
    for value in [
        "token",
        "token ",
        "Bearer",
        "Bearer \t ",
        "Digest abc",
        "Basic",
        "Basic !!!",
        "Basic YQ==",
        "Basic Og==",
        "x",
        &basic(&"a".repeat(1_100)),
    ] {
        let target = RequestTarget::parse("/main/x").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        let mut scratch = Scratch::new();
        match extract(&target, &headers, &mut scratch).unwrap() {
            Credential::Absent { .. } => panic!("{value:?} was taken for anonymity"),
            Credential::Presented { secret, .. } => assert!(!secret.is_plausible(), "{value:?}"),
        }
    }
}

#[test]
fn repeated_credential_headers_are_an_error_whoever_decides() {
    for name in ["authorization", "x-api-key", "x-auth"] {
        assert!(extracted("/t/one/main/x", &[(name, "token a"), (name, "token a")]).is_err(), "{name}");
    }
}

proptest! {
    #[test]
    fn any_authorization_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let target = RequestTarget::parse("/main/x").unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value);
            let mut scratch = Scratch::new();
            prop_assert!(extract(&target, &headers, &mut scratch).is_ok());
        }
    }
}
