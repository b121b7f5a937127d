//! `channeldata.json` as a view shows it, and documents that are put together from shards.

use serde_json::{Value, json};

use super::made::{index_of, pack_of, parse, shard_bytes};
use super::*;
use crate::clock::Timestamp;
use crate::index::{Assembly, Document, Selection, filter_channeldata};

fn directory(files: &[&str]) -> Document {
    let mut document = json!({"packages.conda": {}});
    for file in files {
        let parts: Vec<&str> = file.trim_end_matches(".conda").rsplitn(3, '-').collect();
        document["packages.conda"][*file] =
            json!({"name": parts[2].to_lowercase(), "version": parts[1], "build": parts[0]});
    }
    parse(document.to_string())
}

fn filtered(text: &str, subdirs: &[(&str, &Document, &Selection)]) -> Result<Value, FaultKind> {
    let mut out = Vec::new();
    filter_channeldata(text.as_bytes(), subdirs, &Limits::default(), &mut out)
        .map_err(|fault| fault.kind())?;
    Ok(serde_json::from_slice(&out).unwrap())
}

#[test]
fn channeldata_names_what_is_visible() {
    let noarch = directory(&["both-1-0.conda", "hidden-1-0.conda"]);
    let linux = directory(&["both-2-0.conda", "both-10-0.conda", "both-3-0.conda", "whole-1-0.conda"]);
    let in_noarch = Selection::of(&noarch, |record| record.name() == "both");
    let in_linux = Selection::of(&linux, |record| record.file() != "both-10-0.conda");
    let channeldata = json!({
        "channeldata_version": 1,
        "packages": {
            "both": {
                "subdirs": ["linux-64", "noarch", "win-64"], "version": "10", "reference_package": "linux-64/both-10-0.conda",
                "run_exports": {"1": {"weak": []}, "10": {"weak": ["x"]}}, "summary": "kept", "license": null,
            },
            "hidden": {"subdirs": ["noarch"], "version": "1"},
            "Whole": {"subdirs": ["linux-64", "old"], "version": "0"},
            "unknown": {"version": "1"},
        },
        "subdirs": ["linux-64", "noarch"],
    });
    let both = json!({
        "subdirs": ["linux-64", "noarch"], "version": "3", "reference_package": "linux-64/both-3-0.conda",
        "run_exports": {"1": {"weak": []}}, "summary": "kept", "license": null,
    });
    let shown = filtered(
        &channeldata.to_string(),
        &[("noarch", &noarch, &in_noarch), ("linux-64", &linux, &in_linux)],
    )
    .unwrap();
    let expected = json!({
        "channeldata_version": 1, "subdirs": ["linux-64", "noarch"],
        "packages": {"both": both, "Whole": {"subdirs": ["linux-64", "old"], "version": "0"}},
    });
    assert_eq!(shown, expected);
    // The upstream's own choice stays where it can be seen; what is nowhere is not named.
    let visible = Selection::of(&linux, |record| record.file() == "both-2-0.conda");
    let text = json!({"packages": {"both": {"version": "2", "reference_package": "linux-64/both-2-0.conda", "subdirs": ["noarch", "linux-64"]}}});
    let shown = filtered(&text.to_string(), &[("linux-64", &linux, &visible)]).unwrap();
    let both =
        json!({"version": "2", "reference_package": "linux-64/both-2-0.conda", "subdirs": ["linux-64"]});
    assert_eq!(shown, json!({"packages": {"both": both}}));
    let nothing = Selection::of(&linux, |_| false);
    assert_eq!(
        filtered(&text.to_string(), &[("linux-64", &linux, &nothing)]).unwrap(),
        json!({"packages": {}})
    );
    assert_eq!(filtered("{}", &[]).unwrap(), json!({}));
}

#[test]
fn channeldata_that_is_none_is_refused() {
    for (case, text, kind) in [
        ("no JSON", "packages", FaultKind::Malformed),
        ("cut off", r#"{"packages":{"#, FaultKind::Truncated),
        ("twice", r#"{"packages":{},"packages":{}}"#, FaultKind::Duplicate),
        ("a package twice", r#"{"packages":{"a":{},"A":{}}}"#, FaultKind::Duplicate),
        ("no text in subdirs", r#"{"packages":{"both":{"subdirs":[1]}}}"#, FaultKind::Malformed),
    ] {
        let document = directory(&["both-1-0.conda", "both-2-0.conda"]);
        let selection = Selection::of(&document, |record| record.file() == "both-1-0.conda");
        assert_eq!(filtered(text, &[("noarch", &document, &selection)]), Err(kind), "{case}");
    }
}

#[test]
fn shards_make_the_document_that_they_were_made_of() {
    let record = |name: &str, more: Value| json!({"name": name, "version": "1", "build": "0", "sha256": "ab".repeat(32), "more": more});
    let input = json!({
        "info": {"subdir": "linux-64", "channel_relations": {"base": "../x"}},
        "packages": {"a-1-0.tar.bz2": record("a", json!([1, -2, 0.5, "\"é", null, {"x": true}]))},
        "packages.conda": {"a-1-0.conda": record("a", json!({})), "b-1-0.conda": record("b", json!([]))},
        "v3": {"whl": {"k": {"name": "b", "version": "1", "build": "0", "fn": "b-1-py3-none-any.whl"}}, "conda": {"c-1-0": record("c", json!(1))}},
        "removed": ["b-0-0.conda"],
    });
    let (pack, _) =
        pack_of(&parse(input.to_string()), &Selection::all(), (None, None), Timestamp::from_millis(0));
    let index = index_of(&pack);
    let mut assembly = Assembly::new(&Limits::default());
    for digest in index["shards"].as_object().unwrap().values() {
        assembly.add(&*shard_bytes(digest.as_str().unwrap(), &pack, None)).unwrap();
    }
    assembly.add_index(&*pack.read(pack.index().0).unwrap()).unwrap();
    let mut out = Vec::new();
    assembly.write(&mut out).unwrap();
    let assembled: Value = serde_json::from_slice(&out).unwrap();
    for section in ["packages", "packages.conda", "v3", "removed"] {
        assert_eq!(assembled[section], input[section], "{section}");
    }
    assert_eq!(assembled["info"]["channel_relations"], input["info"]["channel_relations"]);
    assert!(!parse(String::from_utf8(out).unwrap()).needs_rewriting());
}

#[test]
fn base_url_of_a_shard_index_is_the_documents() {
    let index = msgpack(
        &json!({"info": {"subdir": "noarch", "base_url": "https://x.example/p/", "shards_base_url": ""}, "shards": {}}),
    );
    let mut assembly = Assembly::new(&Limits::default());
    assembly.add_index(&*index).unwrap();
    let mut out = Vec::new();
    assembly.write(&mut out).unwrap();
    let document = parse(String::from_utf8(out).unwrap());
    assert_eq!(document.info("base_url").as_deref(), Some("https://x.example/p/"));
    assert!(document.needs_rewriting());
}

#[test]
fn shards_that_are_none_are_refused() {
    let limits = Limits { decompressed_bytes_max: 2_000, ..Limits::default() };
    let large = msgpack(&json!({"packages": {"a-1-0.conda": {"license": "x".repeat(900)}}}));
    for (case, shards, kind) in [
        ("no zstd", vec![b"shard".to_vec()], FaultKind::Malformed),
        ("cut off", vec![zstd(b"\x82\xa8packages")], FaultKind::Truncated),
        ("no map", vec![zstd(b"\x01")], FaultKind::Malformed),
        ("a bomb", vec![zstd(&vec![0; 1 << 20])], FaultKind::OverLimit),
        ("too many", vec![large.clone(), large.clone(), large], FaultKind::OverLimit),
        ("deep", vec![zstd(&[b"\x81\xa8packages".as_slice(), &[0x91; 500]].concat())], FaultKind::Malformed),
        // Four thousand million elements in six bytes.
        ("absurd length", vec![zstd(b"\x81\xa7removed\xdd\xff\xff\xff\xff\x01")], FaultKind::Truncated),
    ] {
        let mut assembly = Assembly::new(&limits);
        let added = shards.iter().try_for_each(|shard| assembly.add(&**shard)).map_err(|fault| fault.kind());
        assert_eq!(added, Err(kind), "{case}");
    }
}
