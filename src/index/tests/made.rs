//! What is made of a document: whatever the document and whoever looks, JSON, zstd and shards say the same, and no more than was selected.
//! What they say is read by other means than the ones it was written by.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::*;
use crate::cache::Sha256;
use crate::clock::Timestamp;
use crate::index::{Ancestry, Document, Found, Pack, Packed, Selection, write_json, write_zst};

/// A value in MessagePack, bytes as hexadecimal digits.
pub(super) struct Unpacked(pub(super) Value);

impl<'de> Deserialize<'de> for Unpacked {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Unpacked;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_unit<E: Error>(self) -> Result<Unpacked, E> {
                Ok(Unpacked(Value::Null))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Unpacked, E> {
                Ok(Unpacked(value.into()))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Unpacked, E> {
                Ok(Unpacked(value.into()))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Unpacked, E> {
                Ok(Unpacked(value.into()))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Unpacked, E> {
                Ok(Unpacked(value.into()))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Unpacked, E> {
                Ok(Unpacked(value.into()))
            }
            fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Unpacked, E> {
                Ok(Unpacked(value.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Unpacked, A::Error> {
                let mut values = Vec::new();
                while let Some(Unpacked(value)) = elements.next_element()? {
                    values.push(value);
                }
                Ok(Unpacked(values.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unpacked, A::Error> {
                let mut map = Map::new();
                while let Some((key, Unpacked(value))) = entries.next_entry::<String, Unpacked>()? {
                    assert!(map.insert(key, value).is_none(), "a key twice");
                }
                Ok(Unpacked(map.into()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

pub(super) fn parse(text: impl Into<String>) -> Document {
    Document::parse(Bytes::from(text.into()), &Limits::default()).unwrap()
}

pub(super) fn json_of(document: &Document, selection: &Selection) -> Value {
    let mut out = Vec::new();
    write_json(document, selection, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// A pack in a file, behind something else.
pub(super) fn pack_of(
    document: &Document,
    selection: &Selection,
    (previous, whole): (Option<&Pack>, Option<&Pack>),
    now: Timestamp,
) -> (Pack, Packed) {
    let mut out = Vec::new();
    let ancestry = Ancestry { previous, whole, now };
    let packed = Pack::make(document, selection, "linux-64", &ancestry, &mut out).unwrap();
    (open(&out).unwrap(), packed)
}

pub(super) fn open(bytes: &[u8]) -> std::io::Result<Pack> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"other").unwrap();
    file.write_all(bytes).unwrap();
    Pack::open(Arc::<File>::from(file), 5, bytes.len() as u64)
}

pub(super) fn index_of(pack: &Pack) -> Value {
    let (range, sha256) = pack.index();
    let bytes = pack.read(range).unwrap();
    assert_eq!(Sha256::of(&bytes), sha256);
    let Unpacked(value) = rmp_serde::from_slice(&zstd::decode_all(&*bytes).unwrap()).unwrap();
    value
}

/// A shard by its digest, as it is fetched.
pub(super) fn shard_bytes(digest: &str, pack: &Pack, whole: Option<&Pack>) -> Vec<u8> {
    let digest: Sha256 = digest.parse().unwrap();
    let bytes = match (pack.find(&digest).unwrap(), whole) {
        (Some(Found::Here(range)), _) => pack.read(range).unwrap(),
        (Some(Found::InWhole), Some(whole)) => match whole.find(&digest).unwrap() {
            Some(Found::Here(range)) => whole.read(range).unwrap(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(Sha256::of(&bytes), digest);
    bytes
}

/// All shards that the index lists, by package.
pub(super) fn shards_of(pack: &Pack, whole: Option<&Pack>) -> BTreeMap<String, Value> {
    let index = index_of(pack);
    let shards = index["shards"].as_object().unwrap();
    shards
        .iter()
        .map(|(name, digest)| {
            let bytes = shard_bytes(digest.as_str().unwrap(), pack, whole);
            let Unpacked(shard) = rmp_serde::from_slice(&zstd::decode_all(&*bytes).unwrap()).unwrap();
            (name.clone(), shard)
        })
        .collect()
}

/// The records of a document or of a shard: section, key, record.
fn records_of(value: &Value) -> Vec<(String, String, Value)> {
    let mut records = Vec::new();
    let mut add = |section: &str, files: &Value| {
        for (key, record) in files.as_object().into_iter().flatten() {
            records.push((section.to_owned(), key.clone(), record.clone()));
        }
    };
    add("packages", &value["packages"]);
    add("packages.conda", &value["packages.conda"]);
    for (group, files) in value["v3"].as_object().into_iter().flatten() {
        add(group, files);
    }
    records
}

fn file_of((section, key, record): &(String, String, Value)) -> String {
    let is_grouped = !section.starts_with("packages");
    let own = record.get("fn").filter(|_| is_grouped).and_then(Value::as_str);
    own.map_or_else(|| if is_grouped { format!("{key}.{section}") } else { key.clone() }, str::to_owned)
}

/// Whether the record is of the file, by another reading of the names than the gate's.
fn is_odd(file: &str, record: &Value) -> bool {
    let stem = file.strip_suffix(".conda").or_else(|| file.strip_suffix(".tar.bz2"));
    let facts = ["name", "version", "build"].map(|key| record[key].as_str().unwrap_or_default());
    let name = facts[0].to_lowercase();
    stem.is_none_or(|stem| {
        let mut parts: Vec<&str> = stem.rsplitn(3, '-').collect();
        parts.reverse();
        parts.len() != 3 || parts[0].to_lowercase() != name || parts[1..] != facts[1..]
    })
}

#[derive(Clone, Debug)]
struct Draft {
    name: String,
    version: u8,
    build: u8,
    section: &'static str,
    oddness: u8,
    url: Option<String>,
    more: Value,
}

fn draft() -> impl Strategy<Value = Draft> {
    let name = prop_oneof!["[a-c]", Just("lib-x".to_owned()), Just("Big".to_owned())];
    let section = prop_oneof![Just("packages"), Just("packages.conda"), Just("conda"), Just("tar.bz2")];
    let url = prop_oneof![
        4 => Just(None),
        1 => Just(Some("https://elsewhere.example/pool/x%2By-1-0.conda?a#b".to_owned())),
        1 => Just(Some("../pool/x-1-0.conda".to_owned())),
    ];
    let more = prop_oneof![
        Just(json!({})),
        any::<(i64, i32, bool, String)>()
            .prop_map(|(a, b, c, d)| json!({"timestamp": a, "depends": [d, f64::from(b) / 8.0, c, null]})),
        prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|list| json!({"extra": {"list": list, "md5": "none"}})),
    ];
    (name, 0..3_u8, 0..2_u8, section, 0..12_u8, url, more).prop_map(
        |(name, version, build, section, oddness, url, more)| Draft {
            name,
            version,
            build,
            section,
            oddness,
            url,
            more,
        },
    )
}

impl Draft {
    fn add_to(&self, document: &mut Value) {
        let Self { name, version, build, section, oddness, url, more } = self;
        let stem = format!("{name}-{version}-{build}");
        let key = match *section {
            "packages" => format!("{stem}.tar.bz2"),
            "packages.conda" => format!("{stem}.conda"),
            _ => stem,
        };
        let mut record = more.as_object().unwrap().clone();
        record.insert("name".into(), if *oddness == 0 { "other".into() } else { name.to_lowercase().into() });
        record.insert("version".into(), if *oddness == 1 { 7.into() } else { version.to_string().into() });
        if *oddness != 2 {
            record.insert("build".into(), build.to_string().into());
        }
        record.insert("sha256".into(), Sha256::of(key.as_bytes()).to_string().into());
        record.insert(
            "md5".into(),
            if version % 2 == 0 { "00112233445566778899aabbccddeeff".into() } else { json!("?") },
        );
        if section.starts_with("packages") {
            if let Some(url) = url {
                record.insert("url".into(), url.as_str().into());
            }
            document[*section][key] = record.into();
        } else {
            document["v3"][*section][key] = record.into();
        }
    }
}

fn documents() -> impl Strategy<Value = Value> {
    let info = prop_oneof![
        Just(json!({"subdir": "linux-64"})),
        Just(
            json!({"subdir": "linux-64", "base_url": "https://elsewhere.example/", "shards_base_url": "https://s.example", "more": [1]})
        ),
        Just(json!({})),
    ];
    let removed = prop::collection::vec(prop_oneof!["[a-d]-[0-2]-0[.]conda", Just("?".to_owned())], 0..4);
    (prop::collection::vec(draft(), 0..24), info, removed, any::<bool>()).prop_map(|(drafts, info, removed, signed)| {
        let mut document = json!({
            "info": info, "packages": {}, "packages.conda": {}, "repodata_version": 1, "removed": removed, "v9x": {"kept": [1.5]},
        });
        for draft in drafts {
            draft.add_to(&mut document);
        }
        if signed {
            let files = records_of(&document).iter().map(file_of).map(|file| (file, json!("s"))).collect::<Map<_, _>>();
            document["signatures"] = files.into();
        }
        document
    })
}

/// Somebody's view: by file, so that any subset may come out.
fn sees(file: &str, salt: u8) -> bool {
    file.bytes().fold(salt, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) % 3 != 0
}

fn without_leads(mut document: Value) -> Value {
    if let Some(info) = document["info"].as_object_mut() {
        info.remove("base_url");
        info.remove("shards_base_url");
    }
    for section in ["packages", "packages.conda"] {
        for (key, record) in document[section].as_object_mut().into_iter().flatten() {
            if let Some(url) = record.get_mut("url") {
                *url = key.as_str().into();
            }
        }
    }
    document
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn all_representations_show_what_was_selected(input in documents(), salt in any::<u8>(), is_pretty in any::<bool>()) {
        let text = if is_pretty { format!("{input:#}\n") } else { input.to_string() };
        let document = parse(text);
        let selection = Selection::of(&document, |record| sees(record.file(), salt));
        let hidden: BTreeSet<String> = records_of(&input)
            .iter()
            .filter(|record| is_odd(&file_of(record), &record.2) || !sees(&file_of(record), salt))
            .map(file_of)
            .collect();
        let is_seen = |record: &(String, String, Value)| !hidden.contains(&file_of(record));
        let expected: Vec<_> = records_of(&without_leads(input.clone())).into_iter().filter(is_seen).collect();

        // The selection itself.
        let shown: BTreeSet<_> = selection.records(&document).map(|record| record.file().to_owned()).collect();
        prop_assert_eq!(&shown, &expected.iter().map(file_of).collect());
        for record in records_of(&input) {
            prop_assert_eq!(selection.shows(&document, &file_of(&record)), is_seen(&record));
        }
        // JSON, and the same in one frame.
        let mut plain = Vec::new();
        write_json(&document, &selection, &mut plain).unwrap();
        let json: Value = serde_json::from_slice(&plain).unwrap();
        prop_assert_eq!(&records_of(&json), &expected);
        for kept in ["repodata_version", "v9x"] {
            prop_assert_eq!(&json[kept], &input[kept]);
        }
        prop_assert_eq!(&json["info"], &without_leads(input.clone())["info"]);
        let signed: BTreeSet<_> = json["signatures"].as_object().into_iter().flatten().map(|(file, _)| file.clone()).collect();
        prop_assert!(input.get("signatures").is_none() || signed == shown);
        if !selection.is_all() {
            let removed = input["removed"].as_array().unwrap().iter().filter(|file| {
                let file = file.as_str().unwrap();
                file != "?" && sees(file, salt)
            });
            prop_assert!(removed.eq(json["removed"].as_array().unwrap()));
        }
        let mut zst = Vec::new();
        write_zst(&document, &selection, &mut zst).unwrap();
        prop_assert_eq!(zstd::decode_all(&*zst).unwrap(), plain.clone());
        prop_assert_eq!(zstd::zstd_safe::find_frame_compressed_size(&zst), Ok(zst.len()));
        prop_assert_eq!(zstd::zstd_safe::get_frame_content_size(&zst).unwrap(), Some(plain.len() as u64));
        // It may be inspected and read like the upstream's own.
        prop_assert_eq!(verdict(JSON, &plain), Ok(()));
        prop_assert!(!parse(String::from_utf8(plain).unwrap()).needs_rewriting());
        // Shards, with and without those of the whole beside them.
        let now = Timestamp::from_millis(0);
        let (whole, _) = pack_of(&document, &Selection::all(), (None, None), now);
        let (alone, _) = pack_of(&document, &selection, (None, None), now);
        let (view, _) = pack_of(&document, &selection, (None, Some(&whole)), now);
        prop_assert_eq!(alone.index().1, view.index().1);
        let shards = shards_of(&view, Some(&whole));
        let mut sharded: Vec<_> = shards.values().flat_map(records_of).collect();
        let mut expected = expected;
        sharded.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        expected.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        prop_assert_eq!(sharded, expected);
        for (name, shard) in &shards {
            for record in records_of(shard) {
                prop_assert_eq!(record.2["name"].as_str().unwrap_or_default(), name);
            }
        }
    }

    #[test]
    fn document_that_is_shown_whole_says_what_it_said(input in documents()) {
        let document = parse(input.to_string());
        prop_assert_eq!(json_of(&document, &Selection::all()), without_leads(input.clone()));
        let (pack, _) = pack_of(&document, &Selection::all(), (None, None), Timestamp::from_millis(0));
        let mut sharded: Vec<_> = shards_of(&pack, None).values().flat_map(records_of).collect();
        let mut expected = records_of(&without_leads(input));
        sharded.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        expected.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        prop_assert_eq!(sharded, expected);
    }

    #[test]
    fn arbitrary_bytes_are_no_document_or_one_that_can_be_written(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Document::parse(Bytes::from(bytes), &Limits::default());
    }

    #[test]
    fn document_that_is_damaged_is_refused_or_read(input in documents(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = input.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let passes = verdict(JSON, &text).is_ok();
        match Document::parse(Bytes::from(text), &Limits::default()) {
            Ok(document) => {
                let mut out = Vec::new();
                write_json(&document, &Selection::all(), &mut out).unwrap();
            }
            // `inspect` keeps no table, in which a file that is named twice would show.
            Err(fault) => prop_assert!(!passes || fault.kind() == FaultKind::Duplicate, "{fault}"),
        }
    }
}
