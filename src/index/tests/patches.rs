//! `repodata.jlap`.

use serde_json::json;

use super::super::patch::leaves_references_alone;
use super::*;

fn jlap(lines: &[Value]) -> Vec<u8> {
    let digest = "0a".repeat(32);
    let mut text = digest.clone();
    for line in lines {
        text.push('\n');
        text.push_str(&line.to_string());
    }
    format!("{text}\n{digest}").into_bytes()
}

fn one_operation(operation: Value) -> Vec<u8> {
    let patch = json!({"from": "0a", "to": "0b", "patch": [operation]});
    jlap(&[patch, json!({"url": "repodata.json", "latest": "0b"})])
}

#[test]
fn patches_as_conda_index_writes_them_pass() {
    let rows = [
        json!({"op": "add", "path": "/packages/x-1!1.0+cu1-0.tar.bz2", "value": {"name": "x", "depends": ["y >=1"]}}),
        json!({"op": "remove", "path": "/packages.conda/x-1.0-0.conda"}),
        json!({"op": "replace", "path": "/packages.conda/x-1.0-0.conda/depends/0", "value": "z"}),
        json!({"op": "move", "from": "/removed/0", "path": "/removed/-"}),
        json!({"op": "replace", "path": "/repodata_version", "value": 2}),
        json!({"op": "add", "path": "/removed", "value": []}),
        json!({"op": "test", "path": "/info/arch", "value": null}),
    ];
    for operation in rows {
        assert_eq!(verdict(IndexKind::Patches, &one_operation(operation.clone())), Ok(()), "{operation}");
    }
    assert_eq!(verdict(IndexKind::Patches, &jlap(&[])), Ok(()), "no patches");
}

#[test]
fn patch_that_leads_elsewhere_is_refused() {
    let rows = [
        (
            json!({"op": "add", "path": "/info/base_url", "value": ""}),
            r#"the patch in line 2 changes "/info/base_url""#,
        ),
        (
            json!({"op": "copy", "path": "/info/base_url", "from": "/info/arch"}),
            r#"the patch in line 2 changes "/info/base_url""#,
        ),
        (
            json!({"op": "add", "path": "/info", "value": ["linux-64", "https://a.example"]}),
            r#"the patch in line 2 changes "/info""#,
        ),
        (json!({"op": "replace", "path": "", "value": {}}), r#"the patch in line 2 changes """#),
        (
            json!({"op": "add", "path": "/packages/https:~1~1a.example~1x-1-0.conda", "value": {}}),
            r#"the patch in line 2 changes "/packages/https:~1~1a.example~1x-1-0.conda""#,
        ),
        (
            json!({"op": "add", "value": {"url": "https://a.example"}, "path": "/v3/whl/y-1-0"}),
            r#"patch[].value.url leads to "https://a.example/…""#,
        ),
        (
            json!({"op": "add", "path": "/v3", "value": {"whl": {"//a.example/y-1-0": {}}}}),
            r#"a file name in patch[].value.whl leads to "http://a.example/…""#,
        ),
        (
            json!({"op": "add", "path": "/x", "value": [{"base_url": "sub"}]}),
            r#"…[].value[].base_url leads to "sub""#,
        ),
    ];
    for (operation, words) in rows {
        let expected = Err((FaultKind::LeadsElsewhere, words.to_owned()));
        assert_eq!(verdict(IndexKind::Patches, &one_operation(operation.clone())), expected, "{operation}");
    }
    let description = jlap(&[json!({"url": "https://a.example/repodata.json"})]);
    let expected = Err((FaultKind::LeadsElsewhere, r#"url leads to "https://a.example/…""#.to_owned()));
    assert_eq!(verdict(IndexKind::Patches, &description), expected);
}

#[test]
fn patch_of_an_unexpected_shape_is_refused() {
    let rows = [
        (jlap(&[json!({"patch": {"op": "add"}})]), "patch is not an array"),
        (jlap(&[json!({"patch": [["add", "/info/base_url", "x"]]})]), "patch[] is not a map"),
        (one_operation(json!({"path": ["info", "base_url"]})), "patch[].path is not a string"),
        (one_operation(json!({"path": "/x", "value": {"info": ["x"]}})), "patch[].value.info is not a map"),
    ];
    for (bytes, words) in rows {
        let expected = Err((FaultKind::Malformed, words.to_owned()));
        assert_eq!(verdict(IndexKind::Patches, &bytes), expected, "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn what_is_no_jlap_is_refused_with_its_line() {
    let digest = "0a".repeat(32);
    let rows = [
        (String::new(), FaultKind::Truncated, "its JLAP ends in the middle, after 0 decompressed bytes"),
        ("<html>".to_owned(), FaultKind::Malformed, "it is not valid JLAP at line 1 column 1"),
        ("0a".to_owned(), FaultKind::Malformed, "it is not valid JLAP at line 1 column 2"),
        (format!("{digest}0"), FaultKind::Malformed, "it is not valid JLAP at line 1 column 65"),
        (format!("{digest}\n\n{digest}"), FaultKind::Malformed, "it is not valid JLAP at line 2 column 0"),
        (format!("{digest}\n [1]"), FaultKind::Malformed, "it is not valid JLAP at line 2 column 1"),
        (format!("{digest}\n{{}}\n{{}}x\n"), FaultKind::Malformed, "it is not valid JSON at line 3 column 3"),
        (
            format!("{digest}\n{{\n}}\n"),
            FaultKind::Truncated,
            "its JSON ends in the middle, after 69 decompressed bytes",
        ),
    ];
    for (text, kind, words) in rows {
        assert_eq!(verdict(IndexKind::Patches, text.as_bytes()), Err((kind, words.to_owned())), "{text:?}");
    }
}

#[test]
fn long_line_is_refused_before_it_fills_memory() {
    let line = format!("{{\"a\": \"{}\"}}", "a".repeat(2 << 20));
    let kind = verdict(IndexKind::Patches, line.as_bytes()).map_err(|(kind, _)| kind);
    assert_eq!(kind, Err(FaultKind::OverLimit));
}

#[test]
fn pointers_are_judged_by_what_they_reach() {
    let rows = [
        ("/packages/x-1-0.conda", true),
        ("/info/arch", true),
        ("/removed/-", true),
        ("/packages/a~1b", true),
        ("", false),
        ("/info", false),
        ("info", false),
        ("/info/base_url", false),
        ("/info/shards_base_url", false),
        ("/info/channel_relations/base", false),
        ("/v3/whl/y-1-0/url", false),
        ("/v3/conda/x-1-0/fn", false),
        ("/packages/..~1x", false),
        ("/packages/~2", false),
        ("/packages/x~", false),
        ("/packages/~é", false),
    ];
    for (pointer, harmless) in rows {
        assert_eq!(leaves_references_alone(pointer), harmless, "{pointer}");
    }
}
