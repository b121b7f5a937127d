//! What is read of the fixture channel's indexes, and of made ones.

use std::collections::HashSet;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::index::Coding;

const BASE: &str = "http://gate.test/main/";

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/channel").join(name)).unwrap()
}

/// An index of shards that says this of where they are.
fn index(shards_base_url: &str) -> Vec<u8> {
    let mut document = vec![0x82, 0xa4];
    document.extend(b"info");
    document.extend(
        rmp_serde::to_vec_named(
            &json!({"base_url": "", "shards_base_url": shards_base_url, "subdir": "noarch"}),
        )
        .unwrap(),
    );
    document.extend(b"\xa6shards\x81\xa1x\xc4\x20");
    document.extend([7; 32]);
    zstd::encode_all(document.as_slice(), 1).unwrap()
}

#[test]
fn shards_of_the_fixture_are_named_by_their_digests() {
    let asks =
        shards(&fixture("noarch/repodata_shards.msgpack.zst"), BASE, "noarch", &Limits::default()).unwrap();
    assert_eq!(asks.len(), 3);
    for ask in asks {
        let sha256 = ask.sha256.unwrap();
        assert_eq!(ask.path, format!("noarch/shards/{sha256}.msgpack.zst"));
        assert_eq!(Sha256::of(&fixture(&ask.path)), sha256);
    }
}

#[test]
fn shards_are_asked_for_where_the_index_says_and_at_this_channel_only() {
    let digest = "07".repeat(32);
    for (said, expected) in [
        ("", "noarch/"),
        (".", "noarch/"),
        ("./shards/", "noarch/shards/"),
        ("shards", "noarch/shards/"),
        ("other/", "noarch/other/"),
    ] {
        let asks = shards(&index(said), BASE, "noarch", &Limits::default()).unwrap();
        assert_eq!(asks[0].path, format!("{expected}{digest}.msgpack.zst"), "{said}");
    }
    for said in ["https://elsewhere.test/shards/", "//elsewhere.test/", "/else/", "../../../x/"] {
        let refused = shards(&index(said), BASE, "noarch", &Limits::default());
        assert!(matches!(refused, Err(ShardsError::Elsewhere)), "{said}: {refused:?}");
    }
    for garbage in [&b"x"[..], &zstd::encode_all(&b"x"[..], 1).unwrap(), b""] {
        assert!(shards(garbage, BASE, "noarch", &Limits::default()).is_err());
    }
}

#[test]
fn packages_are_chosen_alike_by_the_same_seed_and_know_their_digests() {
    let plain = IndexKind::Repodata(Coding::Plain);
    let choose = |count, seed| {
        let mut sample = Sample::new(count, seed);
        sample.look_at(plain, &fixture("noarch/repodata.json"), "noarch", &Limits::default()).unwrap();
        sample.look_at(plain, &fixture("linux-64/repodata.json"), "linux-64", &Limits::default()).unwrap();
        sample.finish()
    };
    let all = choose(1_000, 1);
    assert!(all.len() >= 7, "{}", all.len());
    for ask in &all {
        let file = fixture(&percent_encoding::percent_decode_str(&ask.path).decode_utf8().unwrap());
        assert_eq!(
            (Some(Sha256::of(&file)), Some(file.len() as u64)),
            (ask.sha256, ask.size),
            "{}",
            ask.path
        );
        assert_eq!(ask.judge(200, file.len() as u64, ask.sha256), Ok(()));
        assert_eq!(ask.judge(200, file.len() as u64, Some(Sha256::of(b"x"))), Err(Fault::DigestMismatch));
        assert_eq!(ask.judge(200, 1, None), Err(Fault::DigestMismatch));
        assert_eq!(ask.judge(304, 0, None), Err(Fault::Status3xx));
    }
    let paths = |asks: Vec<Ask>| asks.into_iter().map(|ask| ask.path).collect::<Vec<_>>();
    assert_eq!(paths(choose(3, 5)), paths(choose(3, 5)));
    let chosen: HashSet<_> = (0..200).flat_map(|seed| paths(choose(2, seed))).collect();
    assert_eq!(chosen.len(), all.len(), "every package is chosen by some seed");
}

#[test]
fn lock_file_gives_the_packages_of_this_channel_from_wherever_it_has_it() {
    let lock = LockFile::parse(&format!(
        "@EXPLICIT\nhttps://conda.anaconda.org/conda-forge/linux-64/a-1-0.conda#sha256:{}\n\
         https://mirror.test/x/conda-forge/noarch/epoch-1!2.0-0.conda\n\
         https://conda.anaconda.org/bioconda/noarch/c-1-0.conda\n/somewhere/d-1-0.conda\n",
        "0a".repeat(32)
    ))
    .unwrap();
    let (asks, others) = locked(&lock, "conda-forge");
    let paths: Vec<_> = asks.iter().map(|ask| ask.path.as_str()).collect();
    assert_eq!((paths, others), (vec!["linux-64/a-1-0.conda", "noarch/epoch-1%212.0-0.conda"], 2));
    assert_eq!(asks[0].sha256, Some(Sha256::from_bytes([10; 32])));
}
