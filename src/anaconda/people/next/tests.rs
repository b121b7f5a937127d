//! Where a link may lead after signing in.

use proptest::prelude::*;
use url::Url;

use super::Next;

#[test]
fn only_pages_of_the_gate_are_gone_to() {
    for good in [
        "/device",
        "/device?user_code=BCDFG-HJKLM",
        "/sign-in",
        "/api/auth/oauth2/authorize?client_id=x&redirect_uri=http%3A%2F%2F127.0.0.1%3A8000%2Fauth%2Foidc",
    ] {
        assert_eq!(Next::parse(good).unwrap().as_str(), good);
    }
    for bad in [
        "",
        "/",
        "device",
        "//evil.test",
        "//evil.test/device",
        "///evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "/device\\..\\..\\evil",
        "https://evil.test/device",
        "https:evil.test",
        "javascript:alert(1)",
        "data:text/html,x",
        "/device/../../evil",
        "/device/",
        "/%2f/evil.test",
        "/.//evil.test",
        "/device#x",
        " /device",
        "/device ",
        "\t/device",
        "/dev\tice",
        "/device?x=\r\nSet-Cookie: a=b",
        "/device?x=\"><script>",
        "/device?x=\u{e9}",
        "/sign-out",
        "/sign-in/oidc",
        "/t/token/main",
        "/api/auth/api-keys",
        "@evil.test",
        "/device@evil.test",
    ] {
        assert_eq!(Next::parse(bad), None, "{bad:?}");
    }
    assert_eq!(Next::parse(&format!("/device?{}", "x".repeat(4_096))), None);
    assert_eq!(Next::default().as_str(), "/sign-in");
}

proptest! {
    #[test]
    fn what_is_gone_to_stays_on_the_gate(text in ".{0,60}", path in "[/\\\\.@:%a-z]{0,12}", query in ".{0,30}") {
        let base = Url::parse("https://gate.test/sign-in").unwrap();
        for text in [text, format!("/device{path}?{query}"), format!("{path}/device?{query}")] {
            if let Some(next) = Next::parse(&text) {
                let url = base.join(next.as_str()).unwrap();
                prop_assert_eq!(url.origin(), base.origin());
                prop_assert!(url.path() == "/device" || url.path() == "/sign-in");
                prop_assert!(!next.as_str().contains(['\r', '\n', '"', '<']));
            }
        }
    }
}
