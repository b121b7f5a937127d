//! What a reference may say, by table and against the WHATWG URL rules.

use proptest::prelude::*;
use url::Url;

use super::super::reference::Reach;

#[test]
fn references_that_stay() {
    let rows = [
        (Reach::Here, "", true),
        (Reach::Here, ".", true),
        (Reach::Here, "./", true),
        (Reach::Here, "x", false),
        (Reach::Here, "..", false),
        (Reach::Below, "", true),
        (Reach::Below, "./shards/", true),
        (Reach::Below, "shards", true),
        (Reach::Below, "a/b/c.d/", true),
        (Reach::Below, "plus-1.0+cu118-0.conda", true),
        (Reach::Below, "epoch-1!2.0-0.conda", true),
        (Reach::Below, "plus-1.0%2Bcu118-0.conda", true),
        (Reach::Below, "...", true),
        (Reach::Below, "x..y", true),
        (Reach::Beside, "../other", true),
        (Reach::Beside, "../../team/other/", true),
        (Reach::Beside, "other", true),
    ];
    for (reach, reference, permitted) in rows {
        assert_eq!(reach.permits(reference), permitted, "{reach:?} {reference:?}");
    }
}

#[test]
fn references_that_leave_or_are_doubtful() {
    let rows = [
        ("scheme", "https://a.example"),
        ("scheme without slashes", "HTTP:a.example"),
        ("scheme of one letter", "c:/x"),
        ("other scheme", "javascript:x"),
        ("file scheme", "file:x"),
        ("host", "//a.example/x"),
        ("host after many slashes", "////a.example"),
        ("host by backslashes", r"\\a.example\x"),
        ("host by mixed slashes", r"/\a.example"),
        ("absolute path", "/x"),
        ("parent", ".."),
        ("parent in the middle", "a/../../x"),
        ("parent at the end", "a/.."),
        ("parent, encoded", "%2e%2E/x"),
        ("parent, half encoded", ".%2e/x"),
        ("parent by backslash", r"..\x"),
        ("empty segment", "a//b"),
        ("encoded slash", "a%2Fb"),
        ("encoded backslash", "a%5cb"),
        ("encoded percent", "%252e%252e/x"),
        ("encoded colon", "https%3a//x"),
        ("encoded control", "a%00"),
        ("broken escape", "a%2"),
        ("signed escape", "a%+2"),
        ("query", "x?y"),
        ("fragment", "x#y"),
        ("leading blank", " https://a.example"),
        ("trailing blank", "x "),
        ("leading control", "\u{1}https://a.example"),
        ("tab inside", "ht\ttps://a.example"),
        ("line feed inside", "/\n/a.example"),
        ("tab between dots", ".\t./x"),
        ("not ASCII", "ſhards/"),
        ("ideographic full stop", "。。/x"),
    ];
    for (name, reference) in rows {
        assert!(!Reach::Below.permits(reference), "{name}: {reference:?}");
        assert!(!Reach::Here.permits(reference), "{name}: {reference:?}");
    }
    for reference in
        ["", "../", "//a.example", "..//a.example", "../a/../../../b", "../https://a.example", "/x", ".."]
    {
        assert!(!Reach::Beside.permits(reference), "{reference:?}");
    }
}

/// Strings that are nearly references, thick with what URL parsers treat specially.
fn near_reference() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("..".to_owned()),
        Just("%2e".to_owned()),
        Just("http:".to_owned()),
        Just("a.example".to_owned()),
        "[/\\\\:?#%@.]{1,3}",
        "[a-z0-9+!_-]{1,4}",
        "[ \t\r\n\u{0}\u{7f}\u{a0}\u{3002}]",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn permitted_reference_stays_below_for_the_whatwg_rules(reference in near_reference()) {
        let here = Url::parse("http://gate.example/t/TOKEN/channel/linux-64/").unwrap();
        if Reach::Below.permits(&reference) {
            let there = here.join(&reference).unwrap();
            prop_assert!(there.as_str().starts_with(here.as_str()), "{reference:?} leads to {there}");
        }
        if Reach::Beside.permits(&reference) {
            let there = here.join(&reference).unwrap();
            prop_assert_eq!(there.origin(), here.origin());
        }
    }

    #[test]
    fn package_file_name_is_permitted(name in "[A-Za-z0-9_][A-Za-z0-9._+!-]{0,40}") {
        prop_assert!(Reach::Below.permits(&name));
    }
}
