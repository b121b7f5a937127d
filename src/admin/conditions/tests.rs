//! Tests of conditions and keys.

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn conditions_of_changes_are_read() {
    const A: &str = "0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210";
    let version = |hex| Version::from_hex(hex).unwrap();
    for (name, pairs, outcome) in [
        ("none", vec![], Some(None)),
        ("one", vec![("if-match", format!("\"{A}\""))], Some(Some(Expected::OneOf(vec![version(A)])))),
        (
            "last use aside",
            vec![("if-match", format!("\"{A}.00\""))],
            Some(Some(Expected::OneOf(vec![version(A)]))),
        ),
        (
            "several, in two fields",
            vec![("if-match", format!("\"{A}\" , \"x,y\"")), ("if-match", format!("\"{B}\""))],
            Some(Some(Expected::OneOf(vec![version(A), version(B)]))),
        ),
        ("weak", vec![("if-match", format!("W/\"{A}\""))], Some(Some(Expected::OneOf(vec![])))),
        ("foreign", vec![("if-match", "\"abc\"".to_owned())], Some(Some(Expected::OneOf(vec![])))),
        ("unquoted", vec![("if-match", A.to_owned())], Some(Some(Expected::OneOf(vec![])))),
        ("blank", vec![("if-match", String::new())], Some(Some(Expected::OneOf(vec![])))),
        ("anything", vec![("if-match", "*".to_owned())], Some(Some(Expected::Something))),
        ("nothing", vec![("if-none-match", " * ".to_owned())], Some(Some(Expected::Nothing))),
        ("nothing of a version", vec![("if-none-match", format!("\"{A}\""))], None),
        (
            "both",
            vec![("if-none-match", "*".to_owned()), ("if-match", "*".to_owned())],
            Some(Some(Expected::OneOf(vec![]))),
        ),
    ] {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(expected(&headers(&pairs)).ok(), outcome, "{name}");
    }
}

#[test]
fn keys_are_read_quoted_and_bare() {
    let (longest, long) = ("x".repeat(255), "x".repeat(256));
    for (name, pairs, outcome) in [
        ("none", vec![], Some(None)),
        ("bare", vec![("idempotency-key", "a-1")], Some(Some("a-1"))),
        ("quoted", vec![("idempotency-key", "\"a-1\"")], Some(Some("a-1"))),
        ("blank", vec![("idempotency-key", " ")], None),
        ("empty", vec![("idempotency-key", "\"\"")], None),
        ("half quoted", vec![("idempotency-key", "\"a")], None),
        ("with a space", vec![("idempotency-key", "a b")], None),
        ("long", vec![("idempotency-key", &longest)], Some(Some(&longest))),
        ("too long", vec![("idempotency-key", &long)], None),
        ("twice", vec![("idempotency-key", "a"), ("idempotency-key", "a")], None),
    ] {
        let given = headers(&pairs);
        let read = idempotency_key(&given).ok();
        assert_eq!(read.map(|key| key.map(|key| std::str::from_utf8(key).unwrap())), outcome, "{name}");
    }
}

#[test]
fn known_tags_are_compared_weakly() {
    let tag = HeaderValue::from_static("\"a.b\"");
    for (value, known) in [
        ("\"a.b\"", true),
        ("W/\"a.b\"", true),
        ("\"x\", \"a.b\"", true),
        ("*", true),
        ("\"a\"", false),
        ("a.b", false),
        ("", false),
    ] {
        assert_eq!(is_known(&headers(&[("if-none-match", value)]), &tag), known, "{value}");
    }
}
