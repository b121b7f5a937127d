//! Any `Authorization`: it is read without panic, never taken for anonymity unless it is a placeholder, and never printed.

#![no_main]

use channelgate::auth::{self, Credential, Scratch};
use channelgate::conda::RequestTarget;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let target = RequestTarget::parse("/main/noarch/repodata.json").expect("a fixed path");
    let mut scratch = Scratch::new();
    match auth::extract(&target, &headers, &mut scratch).expect("one header contradicts nothing") {
        Credential::Absent { masked } => assert!(masked, "a credential was taken for anonymity"),
        Credential::Presented { secret, .. } => {
            // What the gate could have issued or imported is in its alphabet; anything else must cost no lookup.
            let is_in_alphabet =
                bytes.iter().filter(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count() >= 20;
            assert!(!secret.is_plausible() || is_in_alphabet || secret.is_api_key_shaped());
        }
    }
});
