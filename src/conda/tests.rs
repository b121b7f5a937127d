//! Tests of the path grammar: tables of rules, and properties that hold for any bytes.

use proptest::prelude::*;

use super::*;

fn parse(path: &str) -> Result<RequestTarget<'_>, PathError> {
    RequestTarget::parse(path)
}

fn token_of<'t>(target: &'t RequestTarget<'_>) -> &'t str {
    match target.token() {
        PathToken::Absent => "-",
        PathToken::Masked => "masked",
        PathToken::Present(value) => value,
    }
}

#[test]
fn target_token_position_is_found_and_removed() {
    for (path, token, rest) in [
        ("/", "-", ""),
        ("/t/TOK/main/noarch/repodata.json", "TOK", "main/noarch/repodata.json"),
        ("/T/TOK/main/noarch/repodata.json", "TOK", "main/noarch/repodata.json"),
        ("/%74/TOK/main/x", "TOK", "main/x"),
        ("/repo/t/TOK/main/noarch/repodata.json", "TOK", "repo/main/noarch/repodata.json"),
        ("/conda/t/TOK/main/label/dev/x", "TOK", "conda/main/label/dev/x"),
        ("/main/noarch/repodata.json", "-", "main/noarch/repodata.json"),
        ("/t//main/noarch/repodata.json", "-", "main/noarch/repodata.json"),
        ("/t/*****/main/x", "masked", "main/x"),
        ("/t/********/main/x", "masked", "main/x"),
        ("/t/%3CTOKEN%3E/main/x", "masked", "main/x"),
        ("/t/t/main/x", "t", "main/x"),
        ("/t", "-", ""),
        ("/t/TOK", "TOK", ""),
        ("/main/t", "-", "main"),
        ("/t/a%2Bb/main/x", "a+b", "main/x"),
        ("/c/noarch/plus-1.0%2Bcu118-0.conda", "-", "c/noarch/plus-1.0+cu118-0.conda"),
        ("/c/noarch/epoch-1%212.0-0.conda", "-", "c/noarch/epoch-1!2.0-0.conda"),
        ("/a/b%2Bc/t/TOK/d", "TOK", "a/b+c/d"),
    ] {
        let target = parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!((token_of(&target), target.rest()), (token, rest), "{path}");
    }
}

#[test]
fn target_bad_paths_are_refused_each_by_its_rule() {
    for (path, error) in [
        ("*", PathError::NotAbsolute),
        ("", PathError::NotAbsolute),
        ("/main//x", PathError::EmptySegment),
        ("//main/x", PathError::EmptySegment),
        ("/main/noarch/", PathError::EmptySegment),
        ("/t/TOK/", PathError::EmptySegment),
        ("/main/../x", PathError::LeadingDot),
        ("/main/./x", PathError::LeadingDot),
        ("/main/%2e%2e/x", PathError::LeadingDot),
        ("/main/noarch/.cache", PathError::LeadingDot),
        ("/t/../x", PathError::LeadingDot),
        ("/main/%", PathError::BadEscape),
        ("/main/%4", PathError::BadEscape),
        ("/main/%zz", PathError::BadEscape),
        ("/main/%252e%252e/x", PathError::DoubleEncoding),
        ("/main/%25zz", PathError::DoubleEncoding),
        ("/main%2Fnoarch/x", PathError::EncodedSlash),
        ("/main%2fnoarch/x", PathError::EncodedSlash),
        ("/t/a%2Fb/x", PathError::EncodedSlash),
        ("/main\\x", PathError::Backslash),
        ("/main/%5Cx", PathError::Backslash),
        ("/main/%00", PathError::Control),
        ("/main/%0d%0a", PathError::Control),
        ("/main/%7f", PathError::Control),
        ("/main/%C2%85", PathError::Control),
        ("/main/%ff", PathError::NotUtf8),
        ("/t/A/t/B/main/x", PathError::SecondToken),
        ("/t/A/main/T/B/x", PathError::SecondToken),
        ("/t//t/B/x", PathError::SecondToken),
    ] {
        assert_eq!(parse(path).err(), Some(error), "{path}");
    }
}

#[test]
fn location_reads_labels_subdirs_and_files() {
    for (tail, label, expected) in [
        ("noarch/repodata.json", None, "subdir noarch repodata.json Index"),
        ("linux-64/x-1.0-0.conda", None, "subdir linux-64 x-1.0-0.conda Package"),
        ("linux-64/x-1.0-0.tar.bz2", None, "subdir linux-64 x-1.0-0.tar.bz2 Package"),
        ("label/dev/noarch/repodata.json.zst", Some("dev"), "subdir noarch repodata.json.zst Index"),
        ("label/Dev_1.x/noarch/x.conda", Some("Dev_1.x"), "subdir noarch x.conda Package"),
        ("label/dev/channeldata.json", Some("dev"), "channel channeldata.json Other"),
        ("channeldata.json", None, "channel channeldata.json Other"),
        ("icons/x.png", None, "icon x.png Other"),
        ("noarch/repodata_shards.msgpack.zst", None, "subdir noarch repodata_shards.msgpack.zst Index"),
        ("noarch/icons/x.png", None, "nowhere"),
        ("repodata_shards.msgpack.zst/linux-64", None, "nowhere"),
        ("noarch", None, "nowhere"),
        ("label", None, "nowhere"),
        ("label/dev", None, "nowhere"),
        ("", None, "nowhere"),
        ("noarch/shards/x.msgpack.zst", None, "nowhere"),
        ("noarch/a/b", None, "nowhere"),
        ("other/x", None, "nowhere"),
    ] {
        let location = Location::parse(tail);
        let shown = match location.resource {
            Resource::ChannelFile(file) => format!("channel {} {:?}", file.as_str(), file.kind()),
            Resource::Icon(file) => format!("icon {} {:?}", file.as_str(), file.kind()),
            Resource::SubdirFile(subdir, file) => {
                format!("subdir {subdir} {} {:?}", file.as_str(), file.kind())
            }
            Resource::Shard(subdir, file) => format!("shard {subdir} {} {:?}", file.as_str(), file.kind()),
            Resource::Nowhere => "nowhere".to_owned(),
        };
        assert_eq!((location.label, shown.as_str()), (label, expected), "{tail}");
    }
    let digest = "0123456789abcdef".repeat(4);
    for tail in [format!("noarch/shards/{digest}.msgpack.zst"), format!("noarch/{digest}.msgpack.zst")] {
        let location = Location::parse(&tail);
        assert_eq!(location.file().map(|file| file.kind()), Some(FileKind::Shard), "{tail}");
        assert_eq!(UpstreamPath::of(&location).unwrap().decoded(), tail);
    }
}

#[test]
fn channel_names_follow_cep26_and_leave_reserved_words_alone() {
    for name in ["conda-forge", "repo/main", "_private", "a.b", "user2", "x/api", "0install"] {
        assert_eq!(ChannelName::parse(name).unwrap().as_str(), name);
    }
    for name in [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "A",
        "conda forge",
        "t",
        "a/t",
        "label",
        "a/label/b",
        "noarch",
        "a/linux-64",
        "api",
        "api/x",
        "user",
        "device",
        ".well-known",
        ".x",
        "-x",
        "a/.b",
        "ä",
    ] {
        assert!(ChannelName::parse(name).is_err(), "{name}");
    }
    assert!(ChannelName::parse(&"a".repeat(129)).is_err());
    assert!(ChannelName::parse(&["abcdefgh"; 30].join("/")).is_err());
}

#[test]
fn prefixes_come_longest_first() {
    let target = parse("/a/b/c").unwrap();
    assert_eq!(target.prefixes().collect::<Vec<_>>(), [("a/b/c", ""), ("a/b", "c"), ("a", "b/c")]);
    assert_eq!(parse("/").unwrap().prefixes().count(), 0);
}

#[test]
fn asked_channel_depends_on_the_grammar_alone() {
    for (path, asked) in [
        ("/a/b/noarch/repodata.json", "a/b"),
        ("/t/TOK/a/label/dev/noarch/x", "a"),
        ("/a/notices.json", "a"),
        ("/a/b/icons/x.png", "a/b"),
        ("/notices.json", ""),
        ("/noarch/x", ""),
        ("/", ""),
    ] {
        assert_eq!(parse(path).unwrap().asked_channel(), asked, "{path}");
    }
}

#[test]
fn upstream_path_is_encoded_in_one_way() {
    for path in ["/c/noarch/a-1!2+x~_-.conda", "/c/noarch/a-1%212%2bx%7E_-.conda"] {
        let target = parse(path).unwrap();
        let location = Location::parse(target.rest().strip_prefix("c/").unwrap());
        let upstream = UpstreamPath::of(&location).unwrap();
        assert_eq!(upstream.decoded(), "noarch/a-1!2+x~_-.conda");
        assert_eq!(upstream.encoded(), "noarch/a-1%212%2Bx~_-.conda");
        assert_eq!(upstream.file_name(), "a-1!2+x~_-.conda");
    }
}

#[test]
fn redaction_masks_tokens_wherever_they_stand() {
    const TOKEN: &str = "cg-0123456789abcdefghijABCDEFGHIJ01Zz9yXx";
    for (path, shown) in [
        (format!("/t/{TOKEN}/main/noarch/repodata.json"), "/t/<TOKEN>/main/noarch/repodata.json"),
        (format!("/repo/t/{TOKEN}/main/x"), "/t/<TOKEN>/repo/main/x"),
        (format!("/{TOKEN}/main/x"), "/<TOKEN>/main/x"),
        ("/cg-YNMqfHskMxFoSwtdpSNiwYsdaVimjwRXGjrcPV/x/y".into(), "/<TOKEN>/x/y"),
        ("/main/noarch/cg-YNMqfHskMxFoSwtdpSNiwYsdaVimjwRXGjrcPV.conda".into(), "/main/noarch/<TOKEN>.conda"),
        (format!("/main/noarch/{TOKEN}.conda"), "/main/noarch/<TOKEN>.conda"),
        (format!("/main/x?token={TOKEN}"), "/main/x"),
        (format!("/t/A/t/{TOKEN}/x"), redact::UNPARSABLE),
        (
            "/main/linux-64/ca-certificates-2026.2.25-hbd8a1cb_0.conda".into(),
            "/main/linux-64/ca-certificates-2026.2.25-hbd8a1cb_0.conda",
        ),
        ("/t//main/x".into(), "/main/x"),
        ("/".into(), "/"),
        ("/t/abc".into(), "/t/<TOKEN>"),
    ] {
        assert_eq!(redact::raw_path(&path), shown, "{path}");
    }
    let shard = format!("/main/noarch/{}.msgpack.zst", "0123456789abcdef".repeat(4));
    assert_eq!(redact::raw_path(&shard), shard);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_parses_or_is_refused_without_panic(path in "\\PC{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = parse(&path);
        let text = String::from_utf8_lossy(&bytes);
        let _ = parse(&format!("/{text}"));
        let _ = redact::text(&text);
    }

    /// What is accepted can never climb out of the channel's root, in whatever encoding it came.
    #[test]
    fn accepted_paths_stay_below_the_channel(path in "/(%[0-9a-fA-F]{2}|[a-z./\\\\%]|\\.\\.|noarch|label){0,12}") {
        if let Ok(target) = parse(&path) {
            for (_, tail) in target.prefixes() {
                let Some(upstream) = UpstreamPath::of(&Location::parse(tail)) else { continue };
                for segment in upstream.decoded().split('/') {
                    prop_assert!(!segment.is_empty() && !segment.starts_with('.'));
                    prop_assert!(!segment.contains(['\\', '%', '\0']));
                }
                prop_assert!(!upstream.encoded().contains("//"));
            }
        }
    }

    /// Printing what was parsed and parsing it again changes nothing.
    #[test]
    fn parse_of_print_is_the_identity(token in "[A-Za-z0-9-]{20,40}", rest in "[a-z]{2,5}(/[a-zA-Z0-9_+!~ä-]{2,9}){1,4}") {
        let printed = format!("/t/{token}/{rest}");
        let target = parse(&printed).unwrap();
        prop_assert_eq!(token_of(&target), token);
        prop_assert_eq!(target.rest(), rest.as_str());
        let location = Location::parse(&rest);
        if let Some(upstream) = UpstreamPath::of(&location) {
            let again = format!("/{}", upstream.encoded());
            let reparsed = parse(&again).unwrap();
            prop_assert_eq!(reparsed.rest(), upstream.decoded());
            prop_assert_eq!(Location::parse(reparsed.rest()), location);
        }
    }

    #[test]
    fn redacted_paths_never_hold_the_secret(
        token in "cg-[A-Za-z0-9]{38}", before in "(/[a-z]{2,4}){0,2}", after in "(/[a-z0-9.-]{2,8}){0,3}",
        spelling in 0..6,
    ) {
        let path = match spelling {
            0 => format!("{before}/t/{token}{after}"),
            1 => format!("{before}/{token}{after}"),
            2 => format!("{before}/x-{token}.conda{after}"),
            3 => format!("{before}/%74/{token}{after}"),
            4 => format!("/t/A{before}/t/{token}{after}"),
            _ => format!("{before}/t/%63{}{after}", token.trim_start_matches('c')),
        };
        prop_assert!(!redact::raw_path(&path).contains(&token), "{}", redact::raw_path(&path));
    }

    #[test]
    fn redaction_of_text_keeps_short_text(text in "[a-z0-9._-]{0,19}(/[a-z0-9._-]{0,19}){0,3}") {
        prop_assert_eq!(redact::text(&text), text.as_str());
    }
}

#[test]
fn redaction_of_sentences_masks_quoted_tokens_and_keeps_words() {
    for (sentence, shown) in [
        (
            "unknown field `cg-blDoAbBLioET9QJ4SS4Ol9agkqu`, expected `x`",
            "unknown field `<TOKEN>`, expected `x`",
        ),
        ("\"a1b2c3d4e5f6g7h8i9j0\" is none", "\"<TOKEN>\" is none"),
        ("\"cg-YNMqfHskMxFoSwtdpSNiwYsdaVimjwRXGjrcPV\" is none", "\"<TOKEN>\" is none"),
        (
            "the scopes are api, api:modify-group; 2027-01-31T12:00:00Z",
            "the scopes are api, api:modify-group; 2027-01-31T12:00:00Z",
        ),
        ("", ""),
    ] {
        assert_eq!(redact::sentence(sentence), shown);
    }
}
