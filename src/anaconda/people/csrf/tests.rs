//! Proofs of forms, and what browsers say of where a request comes from.

use std::time::Duration;

use http::HeaderMap;

use super::{Csrf, Form, LIFE, is_same_origin};
use crate::clock::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

#[test]
fn proof_holds_for_its_form_its_browser_and_its_time() {
    let csrf = Csrf::new(&[3; 32]);
    let proof = csrf.issue(Form::Device, b"browser", NOW);
    let holds = |form, browser: &[u8], proof: &str, now| csrf.holds(form, browser, proof, now);
    assert!(holds(Form::Device, b"browser", &proof, NOW));
    assert!(holds(Form::Device, b"browser", &proof, NOW.plus(LIFE - Duration::from_millis(1))));
    assert!(holds(Form::Device, b"browser", &proof, NOW.minus(Duration::from_secs(60))), "a clock behind");
    for (why, form, browser, proof, now) in [
        ("another form", Form::SignIn, &b"browser"[..], proof.as_str(), NOW),
        ("another browser", Form::Device, b"another", &proof, NOW),
        ("no browser", Form::Device, b"", &proof, NOW),
        ("too late", Form::Device, b"browser", &proof, NOW.plus(LIFE)),
        ("from the future", Form::Device, b"browser", &proof, NOW.minus(Duration::from_secs(600))),
        ("nothing", Form::Device, b"browser", "", NOW),
        ("a part", Form::Device, b"browser", proof.get(..40).unwrap(), NOW),
        ("more", Form::Device, b"browser", &"A".repeat(4_096), NOW),
    ] {
        assert!(!holds(form, browser, proof, now), "{why}");
    }
    assert!(!Csrf::new(&[4; 32]).holds(Form::Device, b"browser", &proof, NOW), "another key");
    for at in 0..proof.len() {
        let mut changed = proof.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(!holds(Form::Device, b"browser", &changed, NOW), "changed at {at}");
    }
}

#[test]
fn request_of_another_site_is_told_by_what_the_browser_says() {
    for (fits, headers) in [
        (true, &[][..]),
        (true, &[("sec-fetch-site", "same-origin"), ("origin", "https://gate.test")]),
        (true, &[("origin", "https://gate.test:443")]),
        (true, &[("sec-fetch-site", "none")]),
        (true, &[("origin", "https://other.name:8443")]),
        (false, &[("sec-fetch-site", "same-site")]),
        (false, &[("sec-fetch-site", "cross-site")]),
        (false, &[("origin", "https://evil.test")]),
        (false, &[("origin", "http://gate.test")]),
        (false, &[("origin", "https://gate.test:8443")]),
        (false, &[("origin", "https://gate.test.evil.test")]),
        (false, &[("origin", "null")]),
        (false, &[("origin", "data:text/html,x")]),
        (false, &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.test")]),
    ] {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        assert_eq!(
            is_same_origin(&map, &["https://gate.test", "https://other.name:8443", "data:,"]),
            fits,
            "{headers:?}"
        );
    }
}
