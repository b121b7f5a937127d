//! Any form and any place to go on to: read or refused without panic, and nobody is led off the gate.

#![no_main]

use channelgate::anaconda::people::form::Fields;
use channelgate::anaconda::people::next::Next;
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|bytes: &[u8]| {
    let read = Fields::parse(bytes);
    let fields = read.as_ref().ok();
    let texts = [std::str::from_utf8(bytes).ok(), fields.and_then(|fields| fields.get("next"))];
    for next in texts.into_iter().flatten().filter_map(Next::parse) {
        let page = Url::parse("https://gate.test/sign-in").expect("a fixed URL");
        let place = page.join(next.as_str()).expect("a path");
        assert_eq!(place.origin(), page.origin(), "{next}");
        assert!(["/device", "/sign-in", "/api/auth/oauth2/authorize"].contains(&place.path()), "{next}");
    }
});
