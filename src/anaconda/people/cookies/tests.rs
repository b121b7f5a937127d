//! Cookies, as browsers send them and are told to keep them.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::Cookie;

fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append("cookie", line.parse().unwrap());
    }
    headers
}

#[test]
fn cookie_is_found_among_others() {
    for (lines, found) in [
        (&["__Host-channelgate-session=abc"][..], Some("abc")),
        (&["a=b; __Host-channelgate-session=abc; c=d"], Some("abc")),
        (&["a=b", "__Host-channelgate-session=abc"], Some("abc")),
        (&["__Host-channelgate-session=a=b"], Some("a=b")),
        (&["a=__Host-channelgate-session=abc"], None),
        (&["channelgate-session=abc"], None),
        (&["__host-channelgate-session=abc"], None),
        (&["__Host-channelgate-session="], None),
        (&["__Host-channelgate-session=abc; __Host-channelgate-session=def"], None),
        (&["__Host-channelgate-session=abc", "__Host-channelgate-session=abc"], None),
        (&[], None),
    ] {
        assert_eq!(Cookie::Session.of(&headers(lines)), found, "{lines:?}");
    }
}

#[test]
fn cookie_is_kept_for_this_host_over_tls_and_out_of_scripts_sight() {
    let line = |value: Option<HeaderValue>| value.unwrap().to_str().unwrap().to_owned();
    assert_eq!(
        line(Cookie::Session.set("abc", Some(Duration::from_secs(60)))),
        "__Host-channelgate-session=abc; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60"
    );
    assert_eq!(
        line(Cookie::Visit.set("abc", None)),
        "__Host-channelgate-visit=abc; Path=/; Secure; HttpOnly; SameSite=Lax"
    );
    assert!(line(Cookie::Oidc.end()).ends_with("; Max-Age=0"));
    assert!(Cookie::Oidc.set("a\r\nb", None).is_none());
}
