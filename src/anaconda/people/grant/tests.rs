//! Requests for authorization codes: which are shown to a person, and where an answer goes.

use proptest::prelude::*;

use super::*;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Of that verifier, by RFC 7636 appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://127.0.0.1:8000/auth/oidc";

/// A good request with some of its fields replaced, or left out where they are empty.
fn fields(changes: &[(&str, &str)]) -> Fields {
    let mut pairs = vec![
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("scope", "openid email profile offline_access"),
        ("state", "s t&te"),
        ("redirect_uri", REDIRECT),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        pairs.retain(|(given, _)| given != name);
        pairs.push((name, value));
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    Fields::of_query(Some(&query)).unwrap()
}

#[test]
fn answer_goes_to_the_program_with_its_state() {
    let grant = Grant::parse(&fields(&[])).unwrap();
    assert_eq!(
        grant.answer(&[("code", "c&d")]).unwrap(),
        "http://127.0.0.1:8000/auth/oidc?code=c%26d&state=s+t%26te"
    );
    assert_eq!(grant.origin().unwrap(), "http://127.0.0.1:8000");
    for good in ["http://127.0.0.1:49152/", "http://[::1]:8000/auth/oidc", "http://127.0.0.1/x"] {
        assert!(Grant::parse(&fields(&[("redirect_uri", good)])).is_ok(), "{good}");
    }
}

#[test]
fn request_that_would_lead_elsewhere_is_shown_and_answered_nowhere() {
    for bad in [
        "https://evil.test/",
        "http://evil.test:8000/auth/oidc",
        "http://localhost:8000/auth/oidc",
        "http://127.0.0.1.evil.test:8000/",
        "http://127.0.0.1:8000@evil.test/",
        "http://evil.test\\@127.0.0.1:8000/",
        "http://user@127.0.0.1:8000/",
        "http://2130706433:8000/",
        "http://0x7f.1:8000/",
        "http://127.1:8000/",
        "http://10.0.0.1:8000/",
        "https://127.0.0.1:8000/",
        "http://127.0.0.1:8000/?x=1",
        "http://127.0.0.1:8000/#x",
        "http://127.0.0.1:8000/\r\nx",
        "http://127.0.0.1:8000/;x",
        "javascript:alert(1)",
        "127.0.0.1:8000",
        "",
    ] {
        assert!(matches!(Grant::parse(&fields(&[("redirect_uri", bad)])), Err(GrantError::Page(_))), "{bad}");
    }
    assert!(matches!(Grant::parse(&fields(&[("client_id", "other")])), Err(GrantError::Page(_))));
}

#[test]
fn program_is_told_what_its_request_lacks() {
    for (change, word) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "unsupported_response_type"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("state", &"x".repeat(600)), "invalid_request"),
    ] {
        match Grant::parse(&fields(&[change])) {
            Err(GrantError::Program { grant, error, .. }) => {
                assert_eq!(error, word, "{change:?}");
                assert!(grant.answer(&[("error", error)]).unwrap().starts_with(REDIRECT));
            }
            other => panic!("{change:?}: {other:?}"),
        }
    }
}

#[test]
fn code_is_worth_nothing_without_its_verifier_and_address() {
    let grant = Grant::parse(&fields(&[])).unwrap();
    let kept = grant.digest("code");
    assert_eq!(shown("code", VERIFIER, REDIRECT), Some(kept));
    let another = VERIFIER.replace('d', "e");
    for (why, code, verifier, redirect) in [
        ("another code", "codf", VERIFIER, REDIRECT),
        ("another verifier", "code", another.as_str(), REDIRECT),
        ("the challenge", "code", CHALLENGE, REDIRECT),
        ("another address", "code", VERIFIER, "http://127.0.0.1:8001/auth/oidc"),
        ("moved borders", "ecode", VERIFIER, "http://127.0.0.1:8000/auth/oidcc"),
    ] {
        assert_ne!(shown(code, verifier, redirect), Some(kept), "{why}");
    }
    for bad in ["", "short", &"x".repeat(129), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEj k"] {
        assert_eq!(shown("code", bad, REDIRECT), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn whatever_is_asked_answers_stay_on_this_machine(uri in "(http://)?[0-9a-z.:@/\\\\\\[\\]%?#]{0,40}") {
        for uri in [uri.clone(), format!("http://127.0.0.1{uri}")] {
            if let Ok(grant) = Grant::parse(&fields(&[("redirect_uri", &uri)])) {
                let url = Url::parse(&grant.answer(&[("code", "x")]).unwrap()).unwrap();
                let is_loopback = match url.host().unwrap() {
                    Host::Ipv4(address) => address.is_loopback(),
                    Host::Ipv6(address) => address.is_loopback(),
                    Host::Domain(_) => false,
                };
                prop_assert!(is_loopback, "{uri}");
            }
        }
    }
}
