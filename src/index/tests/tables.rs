//! What an index says of its files: picked up in every form, sorted within bounds, found by name.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::records::{Said, Sink};
use super::super::sorting::Sorting;
use super::super::table::{self, ENTRY_BYTES, Entry, NameDigest};
use super::super::{Coding, FaultKind, IndexKind, Limits, read};
use super::{JSON, in_every_form, zstd};
use crate::cache::Sha256;

fn sorting() -> Sorting {
    Sorting::new(std::env::temp_dir())
}

/// The table that `sorting` makes, as bytes.
fn bytes_of(sorting: Sorting) -> Vec<u8> {
    let mut bytes = Vec::new();
    sorting
        .finish(|entry| {
            bytes.extend(entry.to_bytes());
            Ok(())
        })
        .unwrap();
    bytes
}

fn find(table: &[u8], name: &str) -> Option<Said> {
    let (said, _) = find_counting(table, name);
    said
}

/// What is found, and how many reads it took.
fn find_counting(table: &[u8], name: &str) -> (Option<Said>, usize) {
    let mut reads = 0;
    let said = table::find(name, table.len() as u64, |buffer, at| {
        reads += 1;
        buffer.copy_from_slice(&table[at as usize..][..buffer.len()]);
        Ok(())
    });
    (said.unwrap(), reads)
}

fn table_of(kind: IndexKind, bytes: &[u8]) -> (Sha256, Vec<u8>) {
    let (generation, sink) = read(kind, bytes, &Limits::default(), Sink::Table(sorting())).unwrap();
    let Sink::Table(table) = sink else { panic!("the sink comes back") };
    (generation.unwrap(), bytes_of(table))
}

fn said(digit: u8, size: u64) -> Said {
    Said { sha256: Some(Sha256::from_bytes([digit * 0x11; 32])), size: Some(size) }
}

fn record(digit: u8, size: u64) -> Value {
    json!({"name": "x", "sha256": char::from(b'0' + digit).to_string().repeat(64), "size": size, "depends": ["sha256", "size"]})
}

#[test]
fn records_in_every_form_are_found_by_file_name() {
    let document = json!({
        "info": {"subdir": "linux-64", "size": 99, "sha256": "99"},
        "packages": {"x-1-0.tar.bz2": record(1, 10), "only-md5-1-0.tar.bz2": {"md5": "0", "size": 7}},
        "packages.conda": {"x-1-0.conda": record(2, 20), "bare-1-0.conda": {}},
        "v3": {
            "conda": {"y-1-0": record(3, 30)},
            "tar.bz2": {"y-1-0": record(4, 40)},
            "whl": {
                "z-1-py3_none_any_0": {"url": "./z+-1-py3-none-any.whl", "sha256": "5".repeat(64), "size": 50},
                "named": {"fn": "named-1-0.conda", "url": "other.conda", "sha256": "6".repeat(64), "size": 60},
                "deep": {"url": "deeper/deep.whl", "sha256": "7".repeat(64)},
            },
        },
        "removed": ["gone-1-0.conda"],
        "signatures": {"gone-1-0.conda": record(8, 80)},
    });
    for (kind, bytes) in in_every_form(&document) {
        let (_, table) = table_of(kind, &bytes);
        for (name, expected) in [
            ("x-1-0.tar.bz2", Some(said(1, 10))),
            ("x-1-0.conda", Some(said(2, 20))),
            ("only-md5-1-0.tar.bz2", Some(Said { sha256: None, size: Some(7) })),
            ("bare-1-0.conda", Some(Said::default())),
            ("y-1-0.conda", Some(said(3, 30))),
            ("y-1-0.tar.bz2", Some(said(4, 40))),
            ("z+-1-py3-none-any.whl", Some(said(5, 50))),
            ("named-1-0.conda", Some(said(6, 60))),
            ("other.conda", None),
            ("deep.whl", None),
            ("gone-1-0.conda", None),
        ] {
            assert_eq!(find(&table, name), expected, "{kind:?}: {name}");
        }
    }
}

#[test]
fn digests_as_bytes_of_messagepack_are_found() {
    #[derive(serde::Serialize)]
    struct Shard<'a> {
        #[serde(rename = "packages.conda")]
        packages: HashMap<&'a str, Record<'a>>,
    }
    #[derive(serde::Serialize)]
    struct Record<'a> {
        sha256: &'a Bytes,
        size: u64,
    }
    struct Bytes([u8; 32]);
    impl serde::Serialize for Bytes {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    let digest = Bytes([0x22; 32]);
    let shard = Shard { packages: HashMap::from([("x-1-0.conda", Record { sha256: &digest, size: 20 })]) };
    let bytes = zstd(&rmp_serde::to_vec_named(&shard).unwrap());
    let wanted = Sink::One { name: "x-1-0.conda".into(), said: None };
    let (_, sink) = read(IndexKind::Shard, &bytes[..], &Limits::default(), wanted).unwrap();
    assert!(matches!(sink, Sink::One { said: found, .. } if found == Some(said(2, 20))));

    let index = HashMap::from([("shards", HashMap::from([("url", &digest)]))]);
    let bytes = zstd(&rmp_serde::to_vec_named(&index).unwrap());
    let (_, table) = table_of(IndexKind::ShardIndex, &bytes);
    assert_eq!(find(&table, "url"), Some(Said { sha256: Some(Sha256::from_bytes([0x22; 32])), size: None }));
}

#[test]
fn generation_of_all_codings_is_one_and_of_another_document_another() {
    let document = |size| json!({"packages": {"x-1-0.tar.bz2": record(1, size)}});
    let repodata = |size| {
        in_every_form(&document(size)).into_iter().filter(|(kind, _)| matches!(kind, IndexKind::Repodata(_)))
    };
    let generations: Vec<_> = repodata(1).map(|(kind, bytes)| table_of(kind, &bytes).0).collect();
    assert_eq!(generations.len(), 3);
    assert!(generations.iter().all(|generation| generation == &generations[0]));
    assert!(repodata(2).all(|(kind, bytes)| table_of(kind, &bytes).0 != generations[0]));
}

#[test]
fn index_with_a_fault_gives_no_records() {
    let document =
        json!({"packages": {"x-1-0.tar.bz2": record(1, 10)}, "info": {"base_url": "https://a.example"}});
    let verdict = read(JSON, document.to_string().as_bytes(), &Limits::default(), Sink::Table(sorting()));
    assert!(verdict.is_err_and(|fault| fault.kind() == FaultKind::LeadsElsewhere));
}

#[test]
fn file_said_twice_counts_where_both_agree() {
    let document = r#"{"packages": {"x-1-0.conda": {"sha256": "A", "size": 1}, "x-1-0.conda": {"sha256": "B", "size": 1}}}"#;
    let document = document.replace('A', &"a".repeat(64)).replace('B', &"b".repeat(64));
    let (_, table) = table_of(IndexKind::Repodata(Coding::Plain), document.as_bytes());
    assert_eq!(find(&table, "x-1-0.conda"), Some(Said { sha256: None, size: Some(1) }));
    assert_eq!(table.len(), ENTRY_BYTES);
}

#[test]
fn sorted_runs_merge_into_the_table_that_memory_gives() {
    let fill = |mut sorting: Sorting| {
        for number in 0..10_000_u64 {
            sorting.add(
                &format!("x-{}-0.conda", number % 9_000),
                Said { sha256: None, size: Some(number % 9_000) },
            );
        }
        bytes_of(sorting)
    };
    let spilled = fill(Sorting::with_runs_of(700, std::env::temp_dir()));
    assert!(spilled == fill(sorting()));
    assert_eq!(spilled.len(), 9_000 * ENTRY_BYTES);
    let (entries, _) = spilled.as_chunks::<ENTRY_BYTES>();
    assert!(entries.is_sorted_by_key(|entry| Entry::of_bytes(entry).name));
}

#[test]
fn sorting_that_cannot_spill_fails_and_names_nothing() {
    let mut sorting = Sorting::with_runs_of(2, "/nonexistent".into());
    (0..5).for_each(|number| sorting.add(&number.to_string(), Said::default()));
    assert!(sorting.finish(|_| panic!("nothing comes out")).is_err());
}

#[test]
fn lookup_in_a_large_table_takes_a_handful_of_reads() {
    let mut sorting = sorting();
    (0..200_000_u64)
        .for_each(|n| sorting.add(&format!("x-{n}-0.conda"), Said { sha256: None, size: Some(n) }));
    let table = bytes_of(sorting);
    let mut total = 0;
    for n in (0..200_000).step_by(97) {
        let (said, reads) = find_counting(&table, &format!("x-{n}-0.conda"));
        assert_eq!(said.and_then(|said| said.size), Some(n));
        assert!(reads <= 6, "{reads} reads");
        total += reads;
    }
    assert!(total < 3 * 200_000 / 97, "{total} reads");
    assert_eq!(find(&table, "absent"), None);
}

proptest! {
    #[test]
    fn lookup_in_foreign_bytes_ends(mut bytes in proptest::collection::vec(any::<u8>(), 0..40 * ENTRY_BYTES), repeat in 1_usize..30) {
        bytes.truncate(bytes.len() / ENTRY_BYTES * ENTRY_BYTES);
        let table = bytes.repeat(repeat);
        let (_, reads) = find_counting(&table, "x");
        prop_assert!(reads <= 64);
    }

    #[test]
    fn entry_survives_its_bytes(name in ".*", sha256 in any::<Option<[u8; 32]>>(), size in any::<Option<u64>>()) {
        let sha256 = sha256.map(Sha256::from_bytes);
        let entry = Entry { name: NameDigest::of(&name), said: Said { sha256, size } };
        prop_assert_eq!(Entry::of_bytes(&entry.to_bytes()), entry);
    }
}
