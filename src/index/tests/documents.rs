//! Whole documents: what passes, what leads elsewhere, what is of the wrong shape.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::*;

#[test]
fn index_kind_is_told_by_the_file_name() {
    let shard = format!("{}.msgpack.zst", "0a".repeat(32));
    let rows = [
        ("repodata.json", Some(IndexKind::Repodata(Coding::Plain))),
        ("repodata.json.zst", Some(IndexKind::Repodata(Coding::Zstd))),
        ("repodata.json.bz2", Some(IndexKind::Repodata(Coding::Bzip2))),
        ("current_repodata.json", Some(IndexKind::Repodata(Coding::Plain))),
        ("current_repodata.json.zst", Some(IndexKind::Repodata(Coding::Zstd))),
        ("repodata_from_packages.json.bz2", Some(IndexKind::Repodata(Coding::Bzip2))),
        ("repodata_shards.msgpack.zst", Some(IndexKind::ShardIndex)),
        ("repodata_shards_from_packages.msgpack.zst", Some(IndexKind::ShardIndex)),
        (shard.as_str(), Some(IndexKind::Shard)),
        ("repodata.jlap", Some(IndexKind::Patches)),
        ("0a.msgpack.zst", None),
        ("repodata.json.gz", None),
        ("channeldata.json", None),
        ("run_exports.json.zst", None),
        ("x-1.0-0.conda", None),
        ("repodata", None),
        ("", None),
    ];
    for (name, kind) in rows {
        assert_eq!(IndexKind::of(name), kind, "{name}");
    }
}

#[test]
fn indexes_as_indexers_write_them_pass() {
    let record = json!({"name": "x", "version": "1!1.0", "depends": ["y >=1"], "subdir": "linux-64", "noarch": null,
        "timestamp": 1_767_225_600_000_u64, "size": 1.5, "app": true});
    let rows = [
        ("nothing", json!({})),
        ("no info", json!({"packages": {}})),
        ("null info", json!({"info": null, "packages": null})),
        (
            "conda-index",
            json!({"info": {"subdir": "linux-64"}, "packages": {"x-1!1.0-0.tar.bz2": record}, "removed": []}),
        ),
        ("base_url empty", json!({"info": {"base_url": "", "shards_base_url": ""}, "shards": {}})),
        ("base_url here", json!({"info": {"base_url": "./", "shards_base_url": "./shards/"}, "shards": {}})),
        (
            "base_url null",
            json!({"info": {"base_url": null}, "packages.conda": {"x-1.0+cu1-0.conda": record}}),
        ),
        (
            "v3",
            json!({"v3": {"conda": {"x-1.0-0": record}, "whl": {"y-1-0": {"url": "y-1-py3-none-any.whl"}}}}),
        ),
        ("fn of a v3 record", json!({"v3": {"conda": {"x-1.0-0": {"fn": "x-1.0-0.conda"}}}})),
        (
            "relations",
            json!({"info": {"channel_relations": {"base": "../main", "overrides": "../../team/other"}}}),
        ),
        ("package named url", json!({"shards": {"url": "not a reference: a digest", "base_url": [1, 2, 3]}})),
        (
            "words in info",
            json!({"info": {"arch": null, "homepage": "https://example.org", "url": "https://example.org"}}),
        ),
        ("extra named url", json!({"v3": {"whl": {"y-1-0": {"extra_depends": {"url": ["x"]}}}}})),
        (
            "null for references",
            json!({"packages": {"x-1-0.conda": {"url": null, "fn": null, "subdir": null}}}),
        ),
        ("signatures", json!({"signatures": {"x-1.0-0.conda": {"0123": {"signature": "ff"}}}})),
    ];
    for (name, document) in rows {
        for (kind, bytes) in in_every_form(&document) {
            assert_eq!(verdict(kind, &bytes), Ok(()), "{name} as {kind:?}");
        }
    }
}

#[test]
fn fixture_channel_passes() {
    let mut inspected = 0;
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/channel")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                directories.push(path);
            } else if let Some(kind) = IndexKind::of(name) {
                assert_eq!(verdict(kind, &fs::read(&path).unwrap()), Ok(()), "{}", path.display());
                inspected += 1;
            }
        }
    }
    assert_eq!(inspected, 4 * 3 + 7, "three indexes a subdirectory, one shard a package name");
}

#[test]
fn index_that_leads_elsewhere_is_refused_and_the_fault_says_where() {
    let rows = [
        (
            json!({"info": {"base_url": "https://other.example/t/SECRET/x"}}),
            r#"info.base_url leads to "https://other.example/…""#,
        ),
        (
            json!({"info": {"base_url": "https://me:pw@other.example:8443"}}),
            r#"info.base_url leads to "https://other.example:8443/…""#,
        ),
        (json!({"info": {"base_url": "sub"}}), r#"info.base_url leads to "sub""#),
        (json!({"info": {"base_url": "/t/SECRET/x"}}), r#"info.base_url leads to "/…""#),
        (json!({"info": {"more": {"base_url": "x"}}}), r#"info.more.base_url leads to "x""#),
        (
            json!({"info": {"shards_base_url": "//other.example/s/"}}),
            r#"info.shards_base_url leads to "http://other.example/…""#,
        ),
        (json!({"info": {"shards_base_url": "../shards/"}}), r#"info.shards_base_url leads to "../shards/""#),
        (
            json!({"info": {"subdir": "https://a.example/t/SECRET"}, "shards": {}}),
            r#"info.subdir leads to "https://a.example/…""#,
        ),
        (
            json!({"info": {"channel_relations": {"base": "https://a.example/c"}}}),
            r#"info.channel_relations.base leads to "https://a.example/…""#,
        ),
        (
            json!({"info": {"channel_relations": {"base": "../a/../../b"}}}),
            r#"info.channel_relations.base leads to "../a/../../b""#,
        ),
        (
            json!({"info": {"channel_relations": {"overrides": ""}}}),
            r#"info.channel_relations.overrides leads to """#,
        ),
        (
            json!({"packages": {"x-1-0.conda": {"url": "https://a.example/x-1-0.conda"}}}),
            r#"packages["x-1-0.conda"].url leads to "https://a.example/…""#,
        ),
        (
            json!({"packages": {"x-1-0.conda": {"nested": [[{"url": "\\\\a.example\\x"}]]}}}),
            r#"….nested[][].url leads to "http://a.example/…""#,
        ),
        (
            json!({"packages.conda": {"https://a.example/x-1-0.conda": {}}}),
            r#"a file name in ["packages.conda"] leads to "https://a.example/…""#,
        ),
        (
            json!({"packages": {"../../x-1-0.conda": {}}}),
            r#"a file name in packages leads to "../../x-1-0.conda""#,
        ),
        (
            json!({"v3": {"whl": {"y-1-0": {"url": "https://files.example/y.whl"}}}}),
            r#"v3.whl["y-1-0"].url leads to "https://files.example/…""#,
        ),
        (
            json!({"v3": {"conda": {"//a.example/x-1-0": {}}}}),
            r#"a file name in v3.conda leads to "http://a.example/…""#,
        ),
        (
            json!({"v4": {"conda": {"//a.example/x-1-0": {}}}}),
            r#"a file name in v4.conda leads to "http://a.example/…""#,
        ),
        (
            json!({"v3": {"conda": {"x-1-0": {"fn": "../x-1-0.conda"}}}}),
            r#"v3.conda["x-1-0"].fn leads to "../x-1-0.conda""#,
        ),
        (
            json!({"packages": {"x-1-0.conda": {"subdir": "https://a.example"}}}),
            r#"packages["x-1-0.conda"].subdir leads to "https://a.example/…""#,
        ),
        (json!({"url": "mailto:x"}), r#"url leads to "mailto:…""#),
        (json!({"base_url": "http:/\u{202e}\n"}), r#"base_url leads to "http:/\u{202e}\n""#),
        (json!({"unknown": [{"base_url": "?x"}]}), r#"unknown[].base_url leads to "?x""#),
    ];
    for (document, words) in rows {
        for (kind, bytes) in in_every_form(&document) {
            let expected = Err((FaultKind::LeadsElsewhere, words.to_owned()));
            assert_eq!(verdict(kind, &bytes), expected, "{document} as {kind:?}");
        }
    }
}

#[test]
fn escaped_key_hides_nothing() {
    let rows = [
        ("escaped key", r#"{"info": {"base\u005furl": "https://a.example"}}"#),
        ("escaped parent", r#"{"\u0069nfo": {"base_url": "https://a.example"}}"#),
        ("escaped value", r#"{"info": {"base_url": "\u0068ttps\u003a//a.example"}}"#),
        ("second value", r#"{"info": {"x": {"base_url": "", "base_url": "https://a.example"}}}"#),
    ];
    for (name, text) in rows {
        let kind = verdict(JSON, text.as_bytes()).map_err(|(kind, _)| kind);
        assert_eq!(kind, Err(FaultKind::LeadsElsewhere), "{name}");
    }
}

/// Clients differ on which of two counts: serde has the last or an error, others have the first.
#[test]
fn key_that_somebody_goes_by_must_not_be_there_twice() {
    let rows = [
        (
            "the last base_url",
            r#"{"info": {"base_url": "", "base_url": "x"}}"#,
            r#"info has the key "base_url" twice"#,
        ),
        ("info", r#"{"info": {}, "packages": {}, "info": {}}"#, r#"the document has the key "info" twice"#),
        ("packages", r#"{"packages": {}, "packages": {}}"#, r#"the document has the key "packages" twice"#),
        (
            "escaped",
            r#"{"packages": {}, "packa\u0067es": {}}"#,
            r#"the document has the key "packages" twice"#,
        ),
        ("unknown", r#"{"x": 1, "x": 1}"#, r#"the document has the key "x" twice"#),
        ("group", r#"{"v3": {"whl": {}, "whl": {}}}"#, r#"v3 has the key "whl" twice"#),
        (
            "name",
            r#"{"packages": {"x-1-0.conda": {"name": "x", "name": "y"}}}"#,
            r#"packages["x-1-0.conda"] has the key "name" twice"#,
        ),
        (
            "sha256",
            r#"{"packages.conda": {"x": {"sha256": "", "a": 1, "sha256": ""}}}"#,
            r#"["packages.conda"].x has the key "sha256" twice"#,
        ),
        (
            "url of v3",
            r#"{"v3": {"whl": {"x": {"url": "x.whl", "url": "y.whl"}}}}"#,
            r#"v3.whl.x has the key "url" twice"#,
        ),
    ];
    for (name, text, words) in rows {
        assert_eq!(verdict(JSON, text.as_bytes()), Err((FaultKind::Duplicate, words.to_owned())), "{name}");
    }
    for (name, text) in [
        ("what nobody goes by", r#"{"packages": {"x-1-0.conda": {"license": "a", "license": "b"}}}"#),
        ("names below", r#"{"packages": {"x-1-0.conda": {"a": {"name": 1, "name": 2}}}}"#),
    ] {
        assert_eq!(verdict(JSON, text.as_bytes()), Ok(()), "{name}");
    }
}

#[test]
fn reference_after_a_megabyte_of_records_is_found() {
    let record = json!({"name": "x", "depends": ["a", "b"], "sha256": "0".repeat(64)});
    let mut text = String::from("{\"packages\": {");
    for number in 0.. {
        if text.len() > 1 << 20 {
            break;
        }
        text.push_str(&format!("\"x-{number}-0.conda\": {record},"));
    }
    text.push_str("\"last-1-0.conda\": {}}, \"info\": {\"base_url\": \"https://a.example\"}}");
    let expected =
        Err((FaultKind::LeadsElsewhere, r#"info.base_url leads to "https://a.example/…""#.to_owned()));
    assert_eq!(verdict(JSON, text.as_bytes()), expected);
    assert_eq!(verdict(IndexKind::Repodata(Coding::Zstd), &zstd(text.as_bytes())), expected);
}

#[test]
fn shape_that_clients_read_differently_is_refused() {
    let rows = [
        (json!([{"info": {}}]), "the document is not a map"),
        (json!("x"), "the document is not a map"),
        (json!(null), "the document is not a map"),
        (json!({"info": ["linux-64", "https://a.example"]}), "info is not a map"),
        (json!({"info": "linux-64"}), "info is not a map"),
        (
            json!({"info": {"channel_relations": ["https://a.example"]}}),
            "info.channel_relations is not a map",
        ),
        (json!({"packages": [["https://a.example/x-1-0.conda", {}]]}), "packages is not a map"),
        (json!({"packages": {"x-1-0.conda": ["x"]}}), r#"packages["x-1-0.conda"] is not a map"#),
        (json!({"packages": {"x-1-0.conda": 1}}), r#"packages["x-1-0.conda"] is not a map"#),
        (json!({"v3": [{"https://a.example/x-1-0": {}}]}), "v3 is not a map"),
        (json!({"v3": {"conda": [1]}}), "v3.conda is not a map"),
    ];
    for (document, words) in rows {
        for (kind, bytes) in in_every_form(&document) {
            assert_eq!(
                verdict(kind, &bytes),
                Err((FaultKind::Malformed, words.to_owned())),
                "{document} as {kind:?}"
            );
        }
    }
}

#[test]
fn msgpack_forms_that_serde_takes_for_strings_and_names_hide_nothing() {
    let reference = "https://a.example";
    let mut bin_value = b"\x81\xa4info\x81\xa8base_url\xc4".to_vec();
    bin_value.push(u8::try_from(reference.len()).unwrap());
    bin_value.extend(reference.bytes());
    let rows: [(&str, &[u8], FaultKind, &str); 9] = [
        (
            "bytes for a value",
            &bin_value,
            FaultKind::LeadsElsewhere,
            r#"info.base_url leads to "https://a.example/…""#,
        ),
        (
            "bytes for a key",
            b"\x81\xa4info\x81\xc4\x08base_url\xa2..",
            FaultKind::LeadsElsewhere,
            r#"info.base_url leads to "..""#,
        ),
        (
            "number for a key",
            b"\x81\xa4info\x81\x01\xa2..",
            FaultKind::Malformed,
            "a key of info is not a string",
        ),
        (
            "negative number for a key",
            b"\x81\xff\xc0",
            FaultKind::Malformed,
            "a key of the document is not a string",
        ),
        ("array for a key", b"\x81\x90\xc0", FaultKind::Malformed, "a key of the document is not a string"),
        ("map for a key", b"\x81\x80\xc0", FaultKind::Malformed, "a key of the document is not a string"),
        (
            "extension for a key",
            b"\x81\xd4\x01\x00\xc0",
            FaultKind::Malformed,
            "a key of the document is not a string",
        ),
        ("extension for info", b"\x81\xa4info\xd4\x01\x00", FaultKind::Malformed, "info is not a map"),
        ("bytes that are no text", b"\x81\xa3url\xc4\x01\xff", FaultKind::Malformed, "url is not a string"),
    ];
    for (name, bytes, kind, words) in rows {
        assert_eq!(verdict(IndexKind::Shard, &zstd(bytes)), Err((kind, words.to_owned())), "{name}");
    }
}

#[test]
fn msgpack_timestamp_and_digest_bytes_pass() {
    let timestamp = b"\x81\xa4info\x81\xaacreated_at\xd6\xff\x00\x00\x00\x00";
    let digest = b"\x81\xa6shards\x81\xa3url\xc4\x04\xff\xfe\x00:";
    assert_eq!(verdict(IndexKind::ShardIndex, &zstd(timestamp)), Ok(()));
    assert_eq!(verdict(IndexKind::ShardIndex, &zstd(digest)), Ok(()));
}

#[test]
fn what_is_no_index_is_refused_with_its_format_and_place() {
    let json_zstd = IndexKind::Repodata(Coding::Zstd);
    let json_bzip2 = IndexKind::Repodata(Coding::Bzip2);
    let rows: [(&str, IndexKind, Vec<u8>, &str); 12] = [
        ("html", JSON, b"<html>".to_vec(), "it is not valid JSON at line 1 column 1"),
        ("second line", JSON, b"{\n  nope}".to_vec(), "it is not valid JSON at line 2 column 3"),
        ("two documents", JSON, b"{} {}".to_vec(), "it is not valid JSON at line 1 column 4"),
        ("UTF-16", JSON, b"\xff\xfe{\0}\0".to_vec(), "it is not valid JSON at line 1 column 1"),
        ("byte order mark", JSON, b"\xef\xbb\xbf{}".to_vec(), "it is not valid JSON at line 1 column 1"),
        ("not a number", JSON, b"{\"a\": NaN}".to_vec(), "it is not valid JSON at line 1 column 7"),
        (
            "plain as zstd",
            json_zstd,
            b"{\"info\": {}}".to_vec(),
            "it is not valid zstd data near decompressed byte 0",
        ),
        (
            "tail after zstd",
            json_zstd,
            [zstd(b"{}"), b"tail".to_vec()].concat(),
            "it is not valid zstd data near decompressed byte 2",
        ),
        (
            "plain as bzip2",
            json_bzip2,
            b"{\"info\": {}}".to_vec(),
            "it is not valid bzip2 data near decompressed byte 0",
        ),
        (
            "tail after bzip2",
            json_bzip2,
            [bzip2(b"{}"), b"tail".to_vec()].concat(),
            "it is not valid bzip2 data near decompressed byte 2",
        ),
        (
            "reserved marker",
            IndexKind::Shard,
            zstd(b"\x81\xa1a\xc1"),
            "it is not valid MessagePack near decompressed byte 4",
        ),
        (
            "two values",
            IndexKind::Shard,
            zstd(b"\x80\x80"),
            "it is not valid MessagePack near decompressed byte 2",
        ),
    ];
    for (name, kind, bytes, words) in rows {
        assert_eq!(verdict(kind, &bytes), Err((FaultKind::Malformed, words.to_owned())), "{name}");
    }
}

#[test]
fn several_compressed_streams_are_one_document() {
    let (first, second) = (br#"{"info": {"#, br#""base_url": "https://a.example"}}"#);
    let expected =
        Err((FaultKind::LeadsElsewhere, r#"info.base_url leads to "https://a.example/…""#.to_owned()));
    let frames = [zstd(first), zstd(second)].concat();
    assert_eq!(verdict(IndexKind::Repodata(Coding::Zstd), &frames), expected);
    let streams = [bzip2(first), bzip2(second)].concat();
    assert_eq!(verdict(IndexKind::Repodata(Coding::Bzip2), &streams), expected);
}

#[test]
fn index_cut_anywhere_is_refused() {
    let document =
        json!({"info": {"subdir": "linux-64"}, "packages": {"x-1.0-0.tar.bz2": {"depends": ["a"]}}});
    for (kind, bytes) in in_every_form(&document) {
        for end in 0..bytes.len() {
            let (found, words) = verdict(kind, &bytes[..end]).expect_err("a part is no index");
            assert_eq!(found, FaultKind::Truncated, "{kind:?} cut after {end} bytes: {words}");
        }
    }
}

#[test]
fn reference_that_is_no_text_is_of_the_wrong_shape() {
    let here = json!("./");
    for (name, value) in [
        ("number", json!(5)),
        ("fraction", json!(0.5)),
        ("flag", json!(true)),
        ("list of text", json!([here])),
        ("text that leads elsewhere in a list", json!(["https://other.example"])),
        ("map", json!({"base_url": here})),
    ] {
        for (place, document) in [
            ("info.base_url", json!({"info": {"base_url": value}})),
            ("info.shards_base_url", json!({"info": {"shards_base_url": value}})),
            ("info.subdir", json!({"info": {"subdir": value}})),
            ("base_url", json!({"base_url": value})),
            (".url", json!({"packages": {"x-1-0.conda": {"url": value}}})),
            (".fn", json!({"v3": {"conda": {"x-1-0": {"fn": value}}}})),
        ] {
            for (kind, bytes) in in_every_form(&document) {
                let (fault, words) = verdict(kind, &bytes).expect_err(name);
                assert_eq!(fault, FaultKind::Malformed, "{name} as {kind:?}: {words}");
                assert!(words.contains(&format!("{place} is not a string")), "{name} as {kind:?}: {words}");
            }
        }
    }
}
