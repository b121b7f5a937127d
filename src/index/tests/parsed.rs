//! What a document is found to say, case by case: which records are odd, what is rewritten, what is refused.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use super::made::{json_of, parse};
use super::*;
use crate::cache::Sha256;
use crate::index::{Document, Selection, write_json};

fn refused(text: &str, limits: &Limits) -> (FaultKind, String) {
    let fault =
        Document::parse(Bytes::from(text.to_owned()), limits).expect_err("the document should be refused");
    (fault.kind(), fault.to_string())
}

#[test]
fn record_is_odd_unless_it_is_of_its_file() {
    for (case, file, record, expected) in [
        ("as it should be", "a-1-0.conda", json!({"name": "a", "version": "1", "build": "0"}), false),
        ("other case", "A-1-0.conda", json!({"name": "a", "version": "1", "build": "0"}), false),
        (
            "same names",
            "a-1-0.conda",
            json!({"name": "a", "version": "1", "build": "0", "fn": "a-1-0.conda", "url": "./a-1-0.conda"}),
            false,
        ),
        (
            "elsewhere",
            "a-1-0.conda",
            json!({"name": "a", "version": "1", "build": "0", "url": "https://x.example/b-1-0.conda"}),
            false,
        ),
        ("other name", "a-1-0.conda", json!({"name": "b", "version": "1", "build": "0"}), true),
        ("other version", "a-1-0.conda", json!({"name": "a", "version": "1.0", "build": "0"}), true),
        ("other build", "a-1-0.conda", json!({"name": "a", "version": "1", "build": "1"}), true),
        ("no name", "a-1-0.conda", json!({"version": "1", "build": "0"}), true),
        ("no string", "a-1-0.conda", json!({"name": "a", "version": 1, "build": "0"}), true),
        ("no map", "a-1-0.conda", json!(["a", "1", "0"]), true),
        (
            "other fn",
            "a-1-0.conda",
            json!({"name": "a", "version": "1", "build": "0", "fn": "b-1-0.conda"}),
            true,
        ),
        (
            "other url",
            "a-1-0.conda",
            json!({"name": "a", "version": "1", "build": "0", "url": "b-1-0.conda"}),
            true,
        ),
        ("no package", "a.conda", json!({"name": "a", "version": "1", "build": "0"}), true),
    ] {
        let document = parse(json!({"packages.conda": {file: record}}).to_string());
        let record = document.record(file).unwrap();
        assert_eq!(record.is_odd(), expected, "{case}");
        let asked = Selection::of(&document, |_| true);
        assert_eq!(asked.shows(&document, file), !expected, "{case}: an odd record is in no view");
        assert!(Selection::all().shows(&document, file), "{case}: but in the whole");
    }
}

#[test]
fn record_of_a_group_is_of_the_file_that_it_names() {
    let facts = |more: Value| {
        let mut record = json!({"name": "a-b", "version": "1", "build": "0"});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    for (case, group, key, more, file, is_odd) in [
        ("key", "conda", "a-b-1-0", json!({}), "a-b-1-0.conda", false),
        ("fn", "conda", "k", json!({"fn": "a-b-1-0.conda"}), "a-b-1-0.conda", false),
        ("url", "whl", "k", json!({"url": "a_b-1-py3-none-any.whl"}), "a_b-1-py3-none-any.whl", false),
        (
            "far url",
            "whl",
            "k",
            json!({"url": "https://x.example/p/a_b-1-py3-none-any.whl#sha"}),
            "a_b-1-py3-none-any.whl",
            false,
        ),
        ("escaped url", "conda", "k", json!({"url": "../p/a%2Db-1-0.conda"}), "a-b-1-0.conda", false),
        ("other key", "conda", "a-1-0", json!({}), "a-1-0.conda", true),
    ] {
        let document = parse(json!({"v3": {group: {key: facts(more)}}}).to_string());
        let record = document.record(file).unwrap_or_else(|| panic!("{case}"));
        assert_eq!((record.is_odd(), record.name()), (is_odd, "a-b"), "{case}");
    }
}

#[test]
fn escapes_hide_nothing() {
    let document = parse(
        r#"{"p\u0061ckages": {"x-\u0031-0.tar.bz2": {"n\u0061me": "\u0078", "version": "1", "build": "0", "si\u007ae": 7,
            "sha256": "0000000000000000000000000000000000000000000000000000000000000001"}}}"#,
    );
    let record = document.record("x-1-0.tar.bz2").unwrap();
    assert_eq!((record.is_odd(), record.name(), record.size()), (false, "x", Some(7)));
    assert_eq!(record.sha256().unwrap().to_string(), format!("{}1", "0".repeat(63)));
    let hidden = json_of(&document, &Selection::of(&document, |record| record.file() != "x-1-0.tar.bz2"));
    assert_eq!(hidden, json!({"packages": {}}));
}

#[test]
fn what_leads_elsewhere_is_rewritten_and_nothing_else() {
    let record = |url: &str| json!({"name": "a", "version": "1+x", "build": "0", "url": url});
    let file = "a-1+x-0.conda";
    for (case, url, expected) in [
        ("bare", file, None),
        ("here", "./a-1+x-0.conda", None),
        ("absolute", "https://x.example/pool/a-1%2Bx-0.conda", Some(file)),
        ("other name", "https://x.example/pool/b.conda", Some(file)),
        ("root", "/pool/a-1+x-0.conda", Some(file)),
        ("up", "../pool/a-1+x-0.conda", Some(file)),
        ("below", "pool/a-1+x-0.conda", Some(file)),
    ] {
        let document = parse(json!({"packages.conda": {file: record(url)}}).to_string());
        assert_eq!(document.needs_rewriting(), expected.is_some(), "{case}");
        let written = json_of(&document, &Selection::all());
        assert_eq!(written["packages.conda"][file]["url"], expected.unwrap_or(url), "{case}");
    }
    for (case, info, expected, needs) in [
        ("none", json!({"subdir": "noarch"}), json!({"subdir": "noarch"}), false),
        ("empty", json!({"base_url": "", "a": [1]}), json!({"a": [1]}), false),
        ("null", json!({"base_url": null}), json!({}), false),
        (
            "away",
            json!({"a": {"base_url": ""}, "base_url": "https://x.example/"}),
            json!({"a": {"base_url": ""}}),
            true,
        ),
        ("shards", json!({"shards_base_url": "../s/", "z": 1}), json!({"z": 1}), true),
    ] {
        let document = parse(json!({"info": info, "packages": {}}).to_string());
        assert_eq!(document.needs_rewriting(), needs, "{case}");
        assert_eq!(
            json_of(&document, &Selection::all()),
            json!({"info": expected, "packages": {}}),
            "{case}"
        );
    }
}

#[test]
fn unknown_members_are_kept_byte_for_byte() {
    let text = r#"{ "a" : [ 1.50, "\u00e9" ],"info":{ "subdir" :  "noarch", "x": 1e5 },
        "packages":{"b-1-0.tar.bz2" : {"name":"b","version":"1","build":"0", "n" : 1.0e0 } ,"a-1-0.tar.bz2":{"name":"a","version":"1","build":"0"}},
        "packages.conda":null,"v3":{"x":null,"conda":{}}}"#;
    let document = parse(text);
    let mut out = Vec::new();
    write_json(&document, &Selection::of(&document, |record| record.name() == "b"), &mut out).unwrap();
    let expected = r#"{"a" : [ 1.50, "\u00e9" ],"info":{"subdir" :  "noarch","x": 1e5},"packages":{"b-1-0.tar.bz2" : {"name":"b","version":"1","build":"0", "n" : 1.0e0 }},"packages.conda":null,"v3":{"x":null,"conda":{}}}"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn file_is_seen_only_if_all_its_records_may_be() {
    let record = |name: &str| json!({"name": name, "version": "1", "build": "0"});
    let document = parse(
        json!({"packages.conda": {"a-1-0.conda": record("a")}, "v3": {"conda": {"a-1-0": record("other")}}})
            .to_string(),
    );
    let selection = Selection::of(&document, |_| true);
    assert_eq!((selection.record_count(&document), selection.hidden_count()), (0, 2));
    assert!(!selection.shows(&document, "a-1-0.conda"));
    assert!(!selection.shows(&document, "none-1-0.conda"), "what is not there is not seen");
}

#[test]
fn companion_documents_show_what_the_directory_shows() {
    let record = |name: &str| json!({"name": name, "version": "1", "build": "0"});
    let source = parse(
        json!({"packages": {"a-1-0.tar.bz2": record("a"), "b-1-0.tar.bz2": record("b"), "c-1-0.tar.bz2": record("c")}}).to_string(),
    );
    let selection = Selection::of(&source, |record| record.name() != "b");
    // As run_exports.json has it: nothing of what the file is.
    let exports = json!({"run_exports": {"weak": ["a"]}});
    let companion = json!({
        "packages": {"a-1-0.tar.bz2": exports, "b-1-0.tar.bz2": exports, "gone-1-0.tar.bz2": exports, "c-1-0.tar.bz2": {"name": "x"}},
        "removed": ["a-0-0.conda", "b-0-0.conda"],
    });
    let companion = parse(companion.to_string());
    let within =
        Selection::within(&companion, (&source, &selection), |removed| removed.file().starts_with('a'));
    let expected = json!({"packages": {"a-1-0.tar.bz2": exports}, "removed": ["a-0-0.conda"]});
    assert_eq!(json_of(&companion, &within), expected);
}

#[test]
fn equal_selections_have_equal_digests() {
    let text = json!({"packages": {"a-1-0.tar.bz2": {"name": "a", "version": "1", "build": "0"},
        "b-1-0.tar.bz2": {"name": "b", "version": "1", "build": "0"}}});
    let document = parse(text.to_string());
    let one = |name: &'static str| Selection::of(&document, move |record| record.name() == name).digest();
    assert_eq!(one("a"), one("a"));
    assert_ne!(one("a"), one("b"));
    assert_eq!(Selection::of(&document, |_| true), Selection::all());
    assert_ne!(Sha256::of(b""), one("a"));
}

#[test]
fn what_is_no_document_is_refused_by_kind() {
    let record = r#"{"name":"a","version":"1","build":"0"}"#;
    let twice = |key: &str| format!(r#"{{"packages":{{"a-1-0.tar.bz2":{{{key}:"x","c":1,{key}:"y"}}}}}}"#);
    for (case, text, kind) in [
        ("empty", String::new(), FaultKind::Truncated),
        ("cut off", r#"{"packages":{"#.to_owned(), FaultKind::Truncated),
        ("no map", "[]".to_owned(), FaultKind::Malformed),
        ("trailing", "{} {}".to_owned(), FaultKind::Malformed),
        ("member twice", r#"{"packages":{},"packages":{}}"#.to_owned(), FaultKind::Duplicate),
        ("member twice, escaped", r#"{"packages":{},"p\u0061ckages":{}}"#.to_owned(), FaultKind::Duplicate),
        ("info twice", r#"{"info":{"a":1,"a":2}}"#.to_owned(), FaultKind::Duplicate),
        ("group twice", r#"{"v3":{"conda":{},"conda":{}}}"#.to_owned(), FaultKind::Duplicate),
        (
            "file twice",
            format!(r#"{{"packages":{{"a-1-0.conda":{record},"a-1-0.conda":{record}}}}}"#),
            FaultKind::Duplicate,
        ),
        (
            "file twice in a group",
            format!(r#"{{"v3":{{"conda":{{"a-1-0":{record},"k":{{"fn":"a-1-0.conda"}}}}}}}}"#),
            FaultKind::Duplicate,
        ),
        ("name twice", twice("\"name\""), FaultKind::Duplicate),
        ("url twice", twice("\"url\""), FaultKind::Duplicate),
        ("sha256 twice", twice("\"sha256\""), FaultKind::Duplicate),
        (
            "a directory",
            r#"{"packages":{"a-1-0.conda":{"url":"https://x.example/"}}}"#.to_owned(),
            FaultKind::Malformed,
        ),
        ("nested", format!("{{\"a\":{}", "[".repeat(10_000)), FaultKind::OverLimit),
    ] {
        assert_eq!(refused(&text, &Limits::default()).0, kind, "{case}");
    }
    let harmless = parse(format!(
        r#"{{"packages":{{"a-1-0.conda":{record}}},"packages.conda":{{"a-1-0.conda":{record}}}}}"#
    ));
    assert!(Selection::of(&harmless, |_| true).is_all(), "one file in two sections is two records");
}

#[test]
fn document_over_a_limit_is_refused() {
    let mut text = String::from(r#"{"packages":{"#);
    for number in 0..10 {
        write!(text, r#"{}"a-{number}-0.conda":{{}}"#, if number > 0 { "," } else { "" }).unwrap();
    }
    text.push_str("}}");
    let limits = |records_max| Limits { records_max, ..Limits::default() };
    assert!(Document::parse(Bytes::from(text.clone()), &limits(10)).is_ok());
    assert_eq!(refused(&text, &limits(9)), (FaultKind::OverLimit, "it has more than 9 records".to_owned()));
    let removed = json!({"removed": vec!["x"; 40]}).to_string();
    assert!(Document::parse(Bytes::from(removed.clone()), &limits(11)).is_ok());
    assert_eq!(refused(&removed, &limits(9)).0, FaultKind::OverLimit, "names under removed take memory too");
    let shallow = Limits { depth_max: 2, ..Limits::default() };
    assert_eq!(refused(&text, &shallow).0, FaultKind::OverLimit);
}
