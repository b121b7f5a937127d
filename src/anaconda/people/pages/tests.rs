//! Pages: what comes from outside is text in them, and they are accessible as far as markup tells.

use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;

use super::device::Person;
use super::*;
use crate::anaconda::people::next::Next;
use crate::clock::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Every page there is, with `text` wherever a page shows what comes from outside.
fn pages(text: &str) -> Vec<String> {
    let mistakes = [
        None,
        Some(Mistake::at("user", text)),
        Some(Mistake::at("code", text)),
        Some(Mistake::at("organization-0", text)),
        Some(Mistake::of_form(text)),
    ];
    let organizations = [(text.to_owned(), text.to_owned()), (text.to_owned(), format!("{text} Corp"))];
    let mut pages = Vec::new();
    let next = Next::parse("/device?user_code=BCDFG-HJKLM").unwrap();
    for mistake in &mistakes {
        let mistake = mistake.as_ref();
        for (passwords, provider) in [(true, None), (true, Some(text)), (false, Some(text))] {
            pages.push(sign_in(&SignIn {
                proof: text,
                next: &next,
                user: text,
                passwords,
                provider,
                mistake,
                left: true,
            }));
        }
        let person = || Person { user: text, sign_out_proof: text };
        pages.push(entry(&Entry { person: Some(person()), typed: text, mistake }));
        for requester in [
            Requester::Device {
                code: text,
                address: "192.0.2.7".parse().unwrap(),
                agent: Some(text),
                at: NOW,
            },
            Requester::Local,
        ] {
            pages.push(consent(&Consent {
                person: person(),
                requester,
                program: text,
                lasts: text,
                organizations: &organizations,
                proof: text,
                carries: ("user_code", text),
                action: "/device",
                mistake,
                now: NOW,
            }));
        }
    }
    pages.push(signed_in(&SignedIn { proof: text, user: text }));
    pages.push(notice(&Notice { heading: text, words: text, way: Some(("/sign-in", text)) }));
    pages.push(answered(Answered::Connected));
    pages.push(answered(Answered::Denied));
    pages.iter().map(|page| page.render(text)).collect()
}

/// The tags of a page, each with what stands in it.
fn tags(page: &str) -> Vec<&str> {
    let (_, body) = page.split_once("</style>").unwrap();
    body.split('<').skip(1).map(|rest| rest.split_once('>').unwrap().0).collect()
}

#[test]
fn whatever_comes_from_outside_is_text_and_no_markup() {
    let plain = pages("x");
    for hostile in [
        "<script>alert(1)</script>",
        "\"><img src=x>",
        "' onfocus='x",
        "</title><b>",
        "&lt;",
        "\" autofocus x=\"",
    ] {
        for (page, plain) in pages(hostile).iter().zip(&plain) {
            let names = |page: &str| {
                tags(page)
                    .iter()
                    .map(|tag| tag.split([' ', '\n']).next().unwrap().to_owned())
                    .collect::<Vec<_>>()
            };
            assert_eq!(names(page), names(plain), "{hostile}");
            assert!(!page.contains(hostile) || !hostile.contains(['<', '"']), "{hostile}");
        }
    }
}

#[test]
fn pages_load_and_run_nothing() {
    for page in pages("x") {
        for tag in tags(&page) {
            let name = tag.split(' ').next().unwrap();
            assert!(!["script", "link", "img", "iframe", "object", "base"].contains(&name), "{tag}");
            assert!(
                !tag.contains(" on") && !tag.contains(" style=") && !tag.contains("javascript:"),
                "{tag}"
            );
            for attribute in ["href=\"", "action=\""] {
                if let Some((_, target)) = tag.split_once(attribute) {
                    assert!(target.starts_with('/') || target.starts_with('#'), "{tag}");
                    assert!(!target.starts_with("//"), "{tag}");
                }
            }
        }
    }
}

#[test]
fn fields_have_labels_and_mistakes_lead_to_them() {
    for page in pages("x") {
        let tags = tags(&page);
        let value = |tag: &str, name: &str| {
            tag.split_once(&format!("{name}=\"")).map(|(_, rest)| rest.split('"').next().unwrap().to_owned())
        };
        let ids: Vec<_> = tags.iter().filter_map(|tag| value(tag, " id")).collect();
        for tag in &tags {
            if tag.starts_with("input") && !tag.contains("type=\"hidden\"") {
                let id = value(tag, " id").unwrap_or_else(|| panic!("{tag}"));
                assert!(
                    tags.iter()
                        .any(|label| label.starts_with("label") && label.contains(&format!("for=\"{id}\""))),
                    "{tag}"
                );
            }
            for described in value(tag, "aria-describedby").iter().flat_map(|ids| ids.split(' ')) {
                assert!(ids.iter().any(|id| id == described), "{tag}");
            }
        }
        let mut once = ids.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), ids.len(), "ids are unique: {ids:?}");
        assert_eq!(tags.iter().filter(|tag| **tag == "h1").count(), 1);
        assert!(tags.iter().filter(|tag| tag.contains(" autofocus")).count() <= 1);
        assert!(page.contains("<html lang=\"en\">") && page.contains("width=device-width"));
        assert_eq!(page.contains("<title>Error: "), page.contains("role=\"alert\""));
    }
}

#[test]
fn mistake_in_a_field_is_linked_from_the_top() {
    let mistake = Mistake::at("code", "There is no such code.");
    let page = entry(&Entry { person: None, typed: "BCDFG", mistake: Some(&mistake) }).render("gate.test");
    assert!(page.contains("<a href=\"#code\">There is no such code.</a>"), "{page}");
    assert!(page.contains("id=\"code-mistake\"") && page.contains("aria-invalid=\"true\""), "{page}");
}

#[test]
fn organization_is_asked_for_only_where_there_are_several() {
    let page = |organizations: &[(String, String)]| {
        consent(&Consent {
            person: Person { user: "alice", sign_out_proof: "p" },
            requester: Requester::Local,
            program: "anaconda",
            lasts: "90 days",
            organizations,
            proof: "p",
            carries: ("request", "r"),
            action: "/api/auth/oauth2/authorize",
            mistake: None,
            now: NOW,
        })
        .render("gate.test")
    };
    let one = page(&[("acme".into(), "acme".into())]);
    assert!(
        one.contains("<input type=\"hidden\" name=\"organization\" value=\"acme\">")
            && !one.contains("radio")
    );
    let two = page(&[("acme".into(), "Acme Corp".into()), ("beta".into(), "beta".into())]);
    assert_eq!(two.matches("type=\"radio\"").count(), 2);
    assert_eq!(two.matches(" checked").count(), 1);
    assert!(two.contains("Acme Corp<small>acme</small>"), "{two}");
}

#[test]
fn answer_lets_a_browser_load_nothing_and_frame_nothing() {
    let response = respond(StatusCode::OK, &answered(Answered::Denied), "gate.test", None);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(
        policy.ends_with("='; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
        "{policy}"
    );
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-frame-options"), "DENY");
    assert_eq!(header("referrer-policy"), "same-origin");
    let local =
        respond(StatusCode::OK, &answered(Answered::Denied), "gate.test", Some("http://127.0.0.1:8000"));
    let policy = local.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("; form-action 'self' http://127.0.0.1:8000; "), "{policy}");
    // A closing tag in it would end it early, and its digest would be of something else.
    assert!(!STYLE.contains('<'));
}

#[test]
fn times_are_told_in_words() {
    for (seconds, told) in [
        (0, "just now"),
        (12, "12 seconds ago"),
        (60, "1 minute ago"),
        (119, "1 minute ago"),
        (150, "2 minutes ago"),
        (600, "10 minutes ago"),
    ] {
        assert_eq!(ago(Duration::from_secs(seconds)), told);
    }
    for (seconds, told) in [
        (0, "1 second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (61, "61 seconds"),
        (900, "15 minutes"),
        (3_600, "1 hour"),
        (90 * 86_400, "90 days"),
    ] {
        assert_eq!(lasting(Duration::from_secs(seconds)), told);
    }
}

proptest! {
    // Each case renders every page.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_text_leaves_the_tags_as_they_are(text in "\\PC{0,40}") {
        for (page, plain) in pages(&text).iter().zip(pages("x")) {
            prop_assert_eq!(tags(page).len(), tags(&plain).len());
        }
    }
}
