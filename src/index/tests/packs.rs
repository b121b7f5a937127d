//! Packs over time: what is copied, what is made, what stays, and what a damaged one does.

use serde_json::json;

use super::made::{index_of, open, pack_of, parse, shard_bytes, shards_of};
use super::*;
use crate::cache::Sha256;
use crate::clock::Timestamp;
use crate::index::{Ancestry, Document, Found, KEPT, Pack, Packed, Selection};

/// A document of packages, each by its name, number of builds, and what else its records say.
fn document(packages: &[(&str, usize, &str)]) -> Document {
    let mut document = json!({"info": {"subdir": "linux-64", "created_at": "now", "channel_relations": {"base": "../x"}}, "packages.conda": {}});
    for (name, builds, more) in packages {
        for build in 0..*builds {
            document["packages.conda"][format!("{name}-1-{build}.conda")] =
                json!({"name": name, "version": "1", "build": build.to_string(), "depends": [more]});
        }
    }
    parse(document.to_string())
}

fn at(hours: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000).plus(std::time::Duration::from_hours(hours))
}

fn digest_of(pack: &Pack, package: &str) -> Sha256 {
    index_of(pack)["shards"][package].as_str().unwrap().parse().unwrap()
}

#[test]
fn next_generation_copies_what_is_unchanged_and_is_what_it_would_be_without() {
    let (first, packed) = pack_of(
        &document(&[("a", 2, ""), ("b", 1, ""), ("c", 1, "")]),
        &Selection::all(),
        (None, None),
        at(0),
    );
    assert_eq!(packed, Packed { made: 3, ..Packed::default() });
    let next = document(&[("a", 2, ""), ("b", 1, "x"), ("d", 1, "")]);
    let (second, packed) = pack_of(&next, &Selection::all(), (Some(&first), None), at(1));
    assert_eq!(packed, Packed { made: 2, copied: 1, shared: 0, superseded: 2 });
    let (afresh, _) = pack_of(&next, &Selection::all(), (None, None), at(2));
    assert_eq!(second.index().1, afresh.index().1, "no trace of time or of what was before");
    assert_eq!(shards_of(&second, None), shards_of(&afresh, None));
}

#[test]
fn shard_stays_for_eight_days_after_its_last_index() {
    let all = Selection::all();
    let (first, _) = pack_of(&document(&[("a", 1, "old"), ("b", 1, "")]), &all, (None, None), at(0));
    let old = digest_of(&first, "a");
    let next = document(&[("a", 1, "new"), ("b", 1, "")]);
    let (second, _) = pack_of(&next, &all, (Some(&first), None), at(100));
    shard_bytes(&old.to_string(), &second, None);
    let kept = KEPT.as_secs() / 3_600;
    let (third, packed) = pack_of(&next, &all, (Some(&second), None), at(100 + kept - 1));
    assert_eq!(packed, Packed { made: 0, copied: 2, shared: 0, superseded: 1 });
    shard_bytes(&old.to_string(), &third, None);
    let (fourth, _) = pack_of(&next, &all, (Some(&third), None), at(100 + kept));
    assert_eq!(fourth.find(&old).unwrap(), None);
    // One that is listed again is like any other.
    let (again, packed) =
        pack_of(&document(&[("a", 1, "old")]), &all, (Some(&third), None), at(100 + kept - 1));
    assert_eq!(digest_of(&again, "a"), old);
    assert_eq!(packed, Packed { made: 1, copied: 0, shared: 0, superseded: 2 });
}

#[test]
fn pack_of_a_view_has_what_is_its_own_and_refers_to_the_rest() {
    let document = document(&[("a", 2, ""), ("b", 2, ""), ("hidden", 2, "")]);
    let view = |sees_b1: bool| {
        Selection::of(&document, |record| {
            record.name() != "hidden" && (sees_b1 || record.file() != "b-1-1.conda")
        })
    };
    let (whole, _) = pack_of(&document, &Selection::all(), (None, None), at(0));
    let (first, packed) = pack_of(&document, &view(false), (None, Some(&whole)), at(0));
    assert_eq!(packed, Packed { made: 1, copied: 0, shared: 1, superseded: 0 });
    assert_eq!(first.find(&digest_of(&whole, "a")).unwrap(), Some(Found::InWhole));
    assert_eq!(shards_of(&first, Some(&whole)).into_keys().collect::<Vec<_>>(), ["a", "b"]);
    for hidden in ["b", "hidden"] {
        assert_eq!(first.find(&digest_of(&whole, hidden)).unwrap(), None, "{hidden}");
    }
    // What was partly hidden is shown: its former shard stays, and stays the view's own.
    let (second, packed) = pack_of(&document, &view(true), (Some(&first), Some(&whole)), at(1));
    assert_eq!(packed, Packed { made: 0, copied: 0, shared: 2, superseded: 1 });
    shard_bytes(&digest_of(&first, "b").to_string(), &second, Some(&whole));
    // What the view shared and sees no more is in the whole as long as that has it.
    let (third, packed) = pack_of(&document, &view(false), (Some(&second), Some(&whole)), at(2));
    assert_eq!(packed, Packed { made: 1, copied: 0, shared: 1, superseded: 1 });
    assert_eq!(digest_of(&third, "b"), digest_of(&first, "b"));
    assert_eq!(third.find(&digest_of(&whole, "b")).unwrap(), Some(Found::InWhole));
}

#[test]
fn view_is_never_given_a_shard_of_a_whole_that_has_more() {
    let seen = document(&[("a", 1, "")]);
    let (other, _) = pack_of(&document(&[("a", 2, "")]), &Selection::all(), (None, None), at(0));
    let (view, packed) = pack_of(&seen, &Selection::all(), (None, Some(&other)), at(0));
    assert_eq!(packed, Packed { made: 1, ..Packed::default() });
    assert_eq!(view.find(&digest_of(&other, "a")).unwrap(), None);
}

#[test]
fn index_of_shards_says_what_the_document_said_of_the_directory() {
    let (pack, _) = pack_of(&document(&[("a", 1, "")]), &Selection::all(), (None, None), at(0));
    let index = index_of(&pack);
    let expected = json!({
        "base_url": "", "shards_base_url": "./shards/", "subdir": "linux-64", "channel_relations": {"base": "../x"},
    });
    assert_eq!((&index["version"], &index["info"]), (&json!(1), &expected));
    assert_eq!(verdict(IndexKind::ShardIndex, &pack.read(pack.index().0).unwrap()), Ok(()));
}

#[test]
fn shard_holds_removed_files_of_its_package() {
    let text = json!({
        "packages": {"a-1-0.tar.bz2": {"name": "a", "version": "1", "build": "0"}},
        "removed": ["a-0-1.conda", "gone-1-0.conda", "A-0-0.tar.bz2", "?"],
    });
    let (pack, _) = pack_of(&parse(text.to_string()), &Selection::all(), (None, None), at(0));
    let shards = shards_of(&pack, None);
    assert_eq!(shards.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(shards["a"]["removed"], json!(["A-0-0.tar.bz2", "a-0-1.conda"]));
}

#[test]
fn damaged_pack_is_an_error_and_no_harm() {
    let document = document(&[("a", 2, ""), ("b", 1, "")]);
    let mut bytes = Vec::new();
    let ancestry = Ancestry { previous: None, whole: None, now: at(0) };
    Pack::make(&document, &Selection::all(), "noarch", &ancestry, &mut bytes).unwrap();
    let (whole, _) = pack_of(&document, &Selection::all(), (None, None), at(0));
    let digest = digest_of(&whole, "a");
    for length in 0..bytes.len() {
        let pack = open(&bytes[..length]);
        assert!(pack.is_err(), "{length}");
    }
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x80;
        let Ok(pack) = open(&damaged) else { continue };
        // Whatever is found is held against its digest by whoever serves it.
        if let Ok(Some(Found::Here(range))) = pack.find(&digest) {
            let _ = pack.read(range);
        }
        let _ = pack.read(pack.index().0);
        let mut next = Vec::new();
        let ancestry = Ancestry { previous: Some(&pack), whole: None, now: at(1) };
        let _ = Pack::make(&document, &Selection::all(), "noarch", &ancestry, &mut next);
    }
}
