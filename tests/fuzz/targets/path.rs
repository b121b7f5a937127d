//! Any path: what is accepted stays below the channel upstream and reads back as itself, and no token survives redaction.

#![no_main]

use channelgate::conda::{Location, PathToken, RequestTarget, UpstreamPath, redact};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| {
    // What follows is the query, which no part of the gate looks at.
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let shown = redact::raw_path(path);
    let Ok(target) = RequestTarget::parse(path) else {
        assert_eq!(shown, redact::UNPARSABLE);
        return;
    };
    if let PathToken::Present(token) = target.token() {
        // A short one may be part of what stays; one of 20 characters of a token's alphabet is a token.
        let is_plausible = token.len() >= 20 && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_elsewhere = target.rest().contains(&**token);
        assert!(!is_plausible || is_elsewhere || !shown.contains(&**token), "{shown}");
    }
    for (_, tail) in target.prefixes() {
        let location = Location::parse(tail);
        let Some(upstream) = UpstreamPath::of(&location) else { continue };
        for segment in upstream.decoded().split('/') {
            assert!(!segment.is_empty() && !segment.starts_with('.'), "{:?}", upstream.decoded());
            assert!(!segment.contains(['\\', '%', '\0', '\r', '\n']), "{:?}", upstream.decoded());
        }
        assert!(upstream.encoded().bytes().all(|byte| byte.is_ascii_graphic()));
        let again = format!("/{}", upstream.encoded());
        let again = RequestTarget::parse(&again).expect("what goes upstream is a path");
        assert!(*again.token() == PathToken::Absent && again.rest() == upstream.decoded());
    }
});
