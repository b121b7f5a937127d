//! Where documents lead, found in every form; and the index of shards, rewritten.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::super::leads::{self, Surroundings};
use super::super::records::Sink;
use super::super::{Leads, read, shard_index};
use super::*;
use crate::conda::UpstreamPath;
use crate::upstream::{Meters, UpstreamConfig, Upstreams};

fn surroundings() -> Option<Surroundings> {
    let config = UpstreamConfig {
        url: "https://conda.example/chan".to_owned(),
        allowed_hosts: vec!["cdn.example".to_owned()],
        ..UpstreamConfig::default()
    };
    let upstreams =
        Arc::new(Upstreams::new(&[config], Meters::register(&prometheus::Registry::new()).unwrap()).unwrap());
    Surroundings::new(&upstreams, 0, &UpstreamPath::parse("linux-64/repodata.json").unwrap())
}

fn leads_of(kind: IndexKind, bytes: &[u8]) -> Result<Leads, String> {
    read(kind, bytes, &Limits::default(), Sink::Nobody, surroundings())
        .map(|found| found.leads)
        .map_err(|fault| fault.to_string())
}

/// A name, a document, whether it must be rewritten, and the directories of its packages and shards.
type Row = (&'static str, Value, bool, Option<&'static str>, Option<&'static str>);

#[test]
fn documents_say_where_they_lead() {
    let record = |url: &str| json!({"packages.conda": {"x-1-0.conda": {"url": url}}});
    let rows: [Row; 17] = [
        ("nothing", json!({}), false, None, None),
        ("in place", json!({"info": {"base_url": "./", "shards_base_url": "./shards/"}}), false, None, None),
        ("in place, null", json!({"info": {"base_url": null, "shards_base_url": ""}}), false, None, None),
        ("in place, shards", json!({"info": {"shards_base_url": "shards"}}), false, None, None),
        ("in place, record", record("x-1-0.conda"), false, None, None),
        ("in place, record with dot", record("./x-1-0.conda"), false, None, None),
        (
            "own directory by name",
            json!({"info": {"base_url": "https://conda.example/chan/linux-64"}}),
            true,
            None,
            None,
        ),
        (
            "below",
            json!({"info": {"base_url": "pkgs"}}),
            true,
            Some("https://conda.example/chan/linux-64/pkgs/"),
            None,
        ),
        (
            "above",
            json!({"info": {"base_url": "../noarch/"}}),
            true,
            Some("https://conda.example/chan/noarch/"),
            None,
        ),
        (
            "elsewhere",
            json!({"info": {"base_url": "//cdn.example/x"}}),
            true,
            Some("https://cdn.example/x/"),
            None,
        ),
        (
            "shards below",
            json!({"info": {"shards_base_url": "a/b"}}),
            true,
            None,
            Some("https://conda.example/chan/linux-64/a/b/"),
        ),
        (
            "shards here",
            json!({"info": {"shards_base_url": "https://conda.example/chan/linux-64/"}}),
            true,
            None,
            None,
        ),
        (
            "shards elsewhere",
            json!({"info": {"shards_base_url": "https://cdn.example/s/"}}),
            true,
            None,
            Some("https://cdn.example/s/"),
        ),
        ("record elsewhere", record("https://cdn.example/x-1-0.conda"), true, None, None),
        ("record below", record("deep/x-1-0.conda"), true, None, None),
        ("record of v3", json!({"v3": {"whl": {"y": {"url": "/y-1-py3-none-any.whl"}}}}), true, None, None),
        (
            "url that nobody reads",
            json!({"packages": {"x-1-0.conda": {"more": {"url": "x"}}}}),
            false,
            None,
            None,
        ),
    ];
    for (name, document, rewrite, base, shards_base) in rows {
        for (kind, bytes) in in_every_form(&document) {
            let leads = leads_of(kind, &bytes).unwrap_or_else(|fault| panic!("{name} as {kind:?}: {fault}"));
            let url = |lead: &Option<crate::upstream::Lead>| lead.as_ref().map(|lead| lead.url().to_string());
            let found = (leads.rewrite, url(&leads.base), url(&leads.shards_base));
            let expected = (rewrite, base.map(str::to_owned), shards_base.map(str::to_owned));
            assert_eq!(found, expected, "{name} as {kind:?}");
            assert_eq!(leads::of_bytes(&leads::to_bytes(0, &leads)), Some((0, leads)), "{name}");
        }
    }
}

#[test]
fn what_nobody_rewrites_or_reaches_is_refused_in_words() {
    let rows = [
        (
            json!({"info": {"base_url": "https://evil.example/secret"}}),
            r#"info.base_url leads to "https://evil.example/…", which is neither the upstream's own origin nor in its allowed_hosts: list the host there if the gate may fetch from it"#,
        ),
        (
            json!({"info": {"shards_base_url": "http://cdn.example/"}}),
            r#"info.shards_base_url leads to "http://cdn.example/…", which is not https, as the upstream is"#,
        ),
        (
            json!({"packages": {"x-1-0.conda": {"url": "/t/secret/x-1-0.conda"}}}),
            r#"packages["x-1-0.conda"].url leads to "/…", with a credential in the URL, which an index must not hand out"#,
        ),
        (
            json!({"packages": {"x-1-0.conda": {"url": "https://cdn.example/files/"}}}),
            r#"packages["x-1-0.conda"].url is not the URL of a file"#,
        ),
        (
            json!({"info": {"more": {"base_url": "https://cdn.example"}}}),
            r#"info.more.base_url leads to "https://cdn.example/…""#,
        ),
        (
            json!({"packages": {"x-1-0.conda": {"fn": "https://cdn.example/x"}}}),
            r#"packages["x-1-0.conda"].fn leads to "https://cdn.example/…""#,
        ),
        (
            json!({"packages": {"https://cdn.example/x": {}}}),
            r#"a file name in packages leads to "https://cdn.example/…""#,
        ),
        (json!({"url": "https://cdn.example/x"}), r#"url leads to "https://cdn.example/…""#),
        (
            json!({"info": {"channel_relations": {"base": "https://cdn.example/x"}}}),
            r#"info.channel_relations.base leads to "https://cdn.example/…""#,
        ),
    ];
    for (document, words) in rows {
        for (kind, bytes) in in_every_form(&document) {
            assert_eq!(leads_of(kind, &bytes), Err(words.to_owned()), "{document} as {kind:?}");
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,40}".prop_map(Value::from),
        "x{250,300}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::hash_map(".{0,8}", inner, 0..20)
                .prop_map(|entries| entries.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rewritten_index_of_shards_says_all_else_as_before(info in value(), more in value(), shards in value()) {
        let mut info = if info.is_object() { info } else { json!({ "subdir": info }) };
        info["base_url"] = json!("https://cdn.example/x");
        info["shards_base_url"] = json!("https://cdn.example/s/");
        let document = json!({ "info": info, "shards": shards, "more": more });
        let mut written = Vec::new();
        shard_index::rewrite(&rmp_serde::to_vec_named(&document).unwrap()[..], &mut written).unwrap();
        let mut expected = document;
        expected["info"]["base_url"] = json!("");
        expected["info"]["shards_base_url"] = json!("./shards/");
        prop_assert_eq!(rmp_serde::from_slice::<Value>(&written).unwrap(), expected);
    }

    #[test]
    fn foreign_bytes_for_an_index_of_shards_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = shard_index::rewrite(&bytes[..], std::io::sink());
        let info = [&b"\x81\xa4info"[..], &bytes].concat();
        let _ = shard_index::rewrite(&info[..], std::io::sink());
    }
}

#[test]
fn bytes_and_extensions_of_messagepack_are_copied() {
    let rows: [&[u8]; 9] = [
        b"\xc4\x03\x00\xff\x01",
        b"\xc5\x00\x01z",
        b"\xc6\x00\x00\x00\x01z",
        b"\xd4\x01\xaa",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xd8\x01\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
        b"\xc7\x02\x01\xaa\xbb",
        b"\xdc\x00\x01\xc0",
        b"\xde\x00\x01\xa1a\xc3",
    ];
    for value in rows {
        let document = [&b"\x82\xa4info\x80\xa1x"[..], value].concat();
        let mut written = Vec::new();
        shard_index::rewrite(&document[..], &mut written).unwrap();
        assert!(written.ends_with(value), "{value:02x?}: {written:02x?}");
        assert!(
            shard_index::rewrite(&document[..document.len() - 1], std::io::sink()).is_err(),
            "{value:02x?} cut off"
        );
    }
    let deep = [&b"\x81\xa1a"[..], &[0x91; 100_000], b"\xc0"].concat();
    assert!(shard_index::rewrite(&deep[..], std::io::sink()).is_err());
}
