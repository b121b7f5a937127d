//! What an index says of its files: picked up in every form, sorted within bounds, found by name.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::records::{Said, Sink};
use super::super::sorting::Sorting;
use super::super::table::{self, ENTRY_BYTES, Entry, Found, Layout, NameDigest};
use super::super::{FaultKind, IndexKind, Leads, Limits, read};
use super::{JSON, in_every_form, zstd};
use crate::cache::Sha256;

fn sorting() -> Sorting {
    Sorting::new(std::env::temp_dir())
}

/// The table that `sorting` makes, as bytes.
fn bytes_of(sorting: Sorting) -> Vec<u8> {
    let mut bytes = Vec::new();
    let urls = sorting
        .finish(|entry| {
            bytes.extend(entry.to_bytes());
            Ok(())
        })
        .unwrap();
    let entry_bytes = bytes.len() as u64;
    let url_bytes = urls
        .copy(|piece| {
            bytes.extend(piece);
            Ok(())
        })
        .unwrap();
    bytes.extend(table::ending(entry_bytes, url_bytes, 0, &Leads::default()));
    bytes
}

fn entries_of(table: &[u8]) -> Vec<Entry> {
    let foot = table.len() - 28;
    let entries = u64::from_le_bytes(*table[foot..].first_chunk().unwrap()) as usize;
    table[..entries].as_chunks().0.iter().map(Entry::of_bytes).collect()
}

fn find(table: &[u8], name: &str) -> Option<Said> {
    let (found, _) = find_counting(table, name);
    found.map(|found| found.said)
}

/// What is found, and how many reads it took.
fn find_counting(table: &[u8], name: &str) -> (Option<Found>, usize) {
    let mut reads = 0;
    let mut read_at = |buffer: &mut [u8], at: u64| {
        reads += 1;
        buffer.copy_from_slice(&table[at as usize..][..buffer.len()]);
        Ok(())
    };
    let layout = Layout::read(table.len() as u64, &mut read_at).unwrap();
    let found = layout.find(name, &mut read_at).unwrap();
    (found, reads - 2)
}

fn table_of(kind: IndexKind, bytes: &[u8]) -> (Sha256, Vec<u8>) {
    let found = read(kind, bytes, &Limits::default(), Sink::Table(sorting()), None).unwrap();
    let Sink::Table(table) = found.sink else { panic!("the sink comes back") };
    (found.generation.unwrap(), bytes_of(table))
}

/// Of a record whose name is another package's: odd.
fn odd(digit: u8, size: u64) -> Said {
    Said { odd: true, ..said(digit, size) }
}

fn said(digit: u8, size: u64) -> Said {
    Said { sha256: Some(Sha256::from_bytes([digit * 0x11; 32])), size: Some(size), odd: false }
}

fn record(digit: u8, size: u64) -> Value {
    json!({"name": "x", "version": "1", "build": "0", "sha256": char::from(b'0' + digit).to_string().repeat(64), "size": size, "depends": ["sha256", "size"]})
}

#[test]
fn records_in_every_form_are_found_by_file_name() {
    let document = json!({
        "info": {"subdir": "linux-64", "size": 99, "sha256": "99"},
        "packages": {"x-1-0.tar.bz2": record(1, 10), "only-md5-1-0.tar.bz2": {"md5": "0", "size": 7}},
        "packages.conda": {"x-1-0.conda": record(2, 20), "bare-1-0.conda": {}},
        "v3": {
            "conda": {"y-1-0": record(3, 30)},
            "whl": {
                "x-1-py3_none_any_0": {"url": "./x-1-py3-none-any.whl", "name": "X", "version": "1", "sha256": "4".repeat(64), "size": 40},
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
            ("only-md5-1-0.tar.bz2", Some(Said { sha256: None, size: Some(7), odd: true })),
            ("bare-1-0.conda", Some(Said { odd: true, ..Said::default() })),
            ("y-1-0.conda", Some(odd(3, 30))),
            ("x-1-0.tar.zip", None),
            ("z+-1-py3-none-any.whl", Some(odd(5, 50))),
            ("x-1-py3-none-any.whl", Some(said(4, 40))),
            ("named-1-0.conda", Some(odd(6, 60))),
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
    let found = read(IndexKind::Shard, &bytes[..], &Limits::default(), wanted, None).unwrap();
    assert!(matches!(found.sink, Sink::One { said: found, .. } if found == Some(odd(2, 20))));

    let index = HashMap::from([("shards", HashMap::from([("url", &digest)]))]);
    let bytes = zstd(&rmp_serde::to_vec_named(&index).unwrap());
    let (_, table) = table_of(IndexKind::ShardIndex, &bytes);
    assert_eq!(
        find(&table, "url"),
        Some(Said { sha256: Some(Sha256::from_bytes([0x22; 32])), ..Said::default() })
    );
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
    let verdict =
        read(JSON, document.to_string().as_bytes(), &Limits::default(), Sink::Table(sorting()), None);
    assert!(verdict.is_err_and(|fault| fault.kind() == FaultKind::LeadsElsewhere));
}

#[test]
fn file_of_two_sections_counts_where_both_agree() {
    let record = |digit: &str| json!({"name": "x", "version": "1", "build": "0", "sha256": digit.repeat(64), "size": 1});
    let document =
        json!({"packages": {"x-1-0.conda": record("a")}, "packages.conda": {"x-1-0.conda": record("b")}});
    let (_, table) = table_of(JSON, document.to_string().as_bytes());
    assert_eq!(find(&table, "x-1-0.conda"), Some(Said { sha256: None, size: Some(1), odd: false }));
    assert_eq!(entries_of(&table).len(), 1);
}

#[test]
fn file_that_a_section_names_twice_is_found_however_far_apart() {
    for run_rows in [2, 1_000_000] {
        let mut sorting = Sorting::with_runs_of(run_rows, std::env::temp_dir());
        for number in 0..20_u32 {
            let section = u8::try_from(number / 10).unwrap();
            sorting.add((section, number), &format!("x-{}-0.conda", number % 10), Said::default(), None);
        }
        sorting.add((1, 20), "x-3-0.conda", Said::default(), None);
        let fault = sorting.finish(|_| Ok(())).err().unwrap();
        let fault = fault.into_fault(&["packages".to_owned(), "packages.conda".to_owned()]);
        let words = "packages.conda names one file twice, in the records 14 and 21 of the document";
        assert_eq!((fault.kind(), fault.to_string().as_str()), (FaultKind::Duplicate, words));
    }
}

#[test]
fn record_that_is_not_of_its_file_is_odd() {
    let rows = [
        ("as the file's name says", json!({"name": "x", "version": "1", "build": "0"}), false),
        ("name in capitals", json!({"name": "X", "version": "1", "build": "0"}), false),
        (
            "with a place of its own",
            json!({"name": "x", "version": "1", "build": "0", "fn": "x-1-0.conda", "url": "./x-1-0.conda"}),
            false,
        ),
        ("another name", json!({"name": "y", "version": "1", "build": "0"}), true),
        ("another version", json!({"name": "x", "version": "2", "build": "0"}), true),
        ("another build", json!({"name": "x", "version": "1", "build": "1"}), true),
        ("without a name", json!({"version": "1", "build": "0"}), true),
        ("a number for a name", json!({"name": 1, "version": "1", "build": "0"}), true),
        ("another fn", json!({"name": "x", "version": "1", "build": "0", "fn": "y-1-0.conda"}), true),
        ("another url", json!({"name": "x", "version": "1", "build": "0", "url": "y-1-0.conda"}), true),
        ("facts in a map below", json!({"more": {"name": "x", "version": "1", "build": "0"}}), true),
    ];
    for (name, record, odd) in rows {
        let document = json!({"packages.conda": {"x-1-0.conda": record}});
        for (kind, bytes) in in_every_form(&document) {
            let (_, table) = table_of(kind, &bytes);
            assert_eq!(find(&table, "x-1-0.conda").map(|said| said.odd), Some(odd), "{name} as {kind:?}");
        }
    }
}

#[test]
fn files_with_urls_of_their_own_are_found_with_them() {
    let mut sorting = Sorting::with_runs_of(3, std::env::temp_dir());
    let url =
        |number: u32| format!("https://files.example/{}/x-{number}-0.conda", "d".repeat(number as usize));
    for number in 0..50 {
        let own = (number % 3 != 0).then(|| url(number));
        sorting.add((0, number), &format!("x-{number}-0.conda"), Said::default(), own.as_deref());
    }
    let table = bytes_of(sorting);
    for number in 0..50 {
        let (found, _) = find_counting(&table, &format!("x-{number}-0.conda"));
        let at = found.unwrap().at.map(|lead| lead.url().as_str().to_owned());
        assert_eq!(at, (number % 3 != 0).then(|| url(number)), "{number}");
    }
}

/// A table of another version is none: it is made anew.
#[test]
fn table_that_ends_otherwise_is_none() {
    let mut sorting = sorting();
    sorting.add((0, 0), "x-1-0.conda", Said::default(), Some("https://files.example/x"));
    let table = bytes_of(sorting);
    let read = |bytes: &[u8]| {
        Layout::read(bytes.len() as u64, |buffer, at| {
            buffer.copy_from_slice(&bytes[at as usize..][..buffer.len()]);
            Ok(())
        })
    };
    assert!(read(&table).is_ok());
    for (name, bytes) in [
        ("nothing", Vec::new()),
        ("entries of the first version", vec![0; 57 * 3]),
        ("cut off at the front", table[1..].to_vec()),
        ("cut off at the end", table[..table.len() - 1].to_vec()),
        ("without its entries", table[ENTRY_BYTES..].to_vec()),
    ] {
        assert!(read(&bytes).is_err(), "{name}");
    }
}

#[test]
fn sorted_runs_merge_into_the_table_that_memory_gives() {
    let fill = |mut sorting: Sorting| {
        for number in 0..10_000_u32 {
            let (section, number_in) = (u8::try_from(number / 9_000).unwrap(), number % 9_000);
            let said = Said { size: Some(number_in.into()), ..Said::default() };
            sorting.add((section, number), &format!("x-{number_in}-0.conda"), said, None);
        }
        bytes_of(sorting)
    };
    let spilled = fill(Sorting::with_runs_of(700, std::env::temp_dir()));
    assert!(spilled == fill(sorting()));
    let entries = entries_of(&spilled);
    assert_eq!(entries.len(), 9_000);
    assert!(entries.is_sorted_by_key(|entry| entry.name));
}

#[test]
fn sorting_that_cannot_spill_fails_and_names_nothing() {
    let mut sorting = Sorting::with_runs_of(2, "/nonexistent".into());
    (0..5).for_each(|number| sorting.add((0, number), &number.to_string(), Said::default(), None));
    assert!(sorting.finish(|_| panic!("nothing comes out")).is_err());
}

#[test]
fn lookup_in_a_large_table_takes_a_handful_of_reads() {
    let mut sorting = sorting();
    (0..200_000_u32).for_each(|n| {
        let said = Said { size: Some(n.into()), ..Said::default() };
        sorting.add((0, n), &format!("x-{n}-0.conda"), said, None);
    });
    let table = bytes_of(sorting);
    let mut total = 0;
    for n in (0..200_000).step_by(97) {
        let (found, reads) = find_counting(&table, &format!("x-{n}-0.conda"));
        assert_eq!(found.and_then(|found| found.said.size), Some(n));
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
        let mut table = bytes.repeat(repeat);
        let entry_bytes = table.len() as u64;
        table.extend(table::ending(entry_bytes, 0, 0, &Leads::default()));
        let (_, reads) = find_counting(&table, "x");
        prop_assert!(reads <= 64);
    }

    #[test]
    fn url_that_foreign_bytes_point_to_is_no_panic(url_at in any::<u64>(), urls in proptest::collection::vec(any::<u8>(), 0..40)) {
        let entry = Entry { name: NameDigest::of("x"), said: Said::default(), url_at: Some(url_at) };
        let mut table = entry.to_bytes().to_vec();
        table.extend(&urls);
        table.extend(table::ending(ENTRY_BYTES as u64, urls.len() as u64, 0, &Leads::default()));
        let read_at = |buffer: &mut [u8], at: u64| {
            buffer.copy_from_slice(&table[at as usize..][..buffer.len()]);
            Ok(())
        };
        let _ = Layout::read(table.len() as u64, read_at).unwrap().find("x", read_at);
    }

    #[test]
    fn entry_survives_its_bytes(
        name in ".*",
        sha256 in any::<Option<[u8; 32]>>(),
        size in any::<Option<u64>>(),
        odd in any::<bool>(),
        url_at in proptest::option::of(0_u64..1 << 56),
    ) {
        let sha256 = sha256.map(Sha256::from_bytes);
        let entry = Entry { name: NameDigest::of(&name), said: Said { sha256, size, odd }, url_at };
        prop_assert_eq!(Entry::of_bytes(&entry.to_bytes()), entry);
    }
}
