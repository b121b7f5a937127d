//! What an index offers to a specification.

use crate::index::{Coding, IndexKind, Limits, Offer, offers};

fn offered(kind: IndexKind, bytes: &[u8]) -> Vec<(String, Offer)> {
    let mut all = Vec::new();
    offers(kind, bytes, &Limits::default(), |file, offer| all.push((file.to_owned(), offer))).unwrap();
    all
}

#[test]
fn packages_of_both_formats_are_offered_in_every_coding() {
    let text = r#"{"info":{"subdir":"noarch"},"removed":["x"],"packages":{"a-1-0.tar.bz2":{"name":"a","version":"1","build":"0",
        "build_number":0,"depends":["b"]}},"packages.conda":{"a-1-1.conda":{"name":"a","version":"1","build":"1","build_number":1,
        "sha256":"0a","size":7}}}"#;
    let plain = offered(IndexKind::Repodata(Coding::Plain), text.as_bytes());
    assert_eq!(
        plain.iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>(),
        ["a-1-0.tar.bz2", "a-1-1.conda"]
    );
    assert_eq!((plain[1].1.name.as_str(), plain[1].1.build_number), ("a", 1));
    let promised = |at: usize| (plain[at].1.sha256.as_deref(), plain[at].1.size);
    assert_eq!((promised(0), promised(1)), ((None, None), (Some("0a"), Some(7))));
    let packed = zstd::encode_all(text.as_bytes(), 0).unwrap();
    assert_eq!(offered(IndexKind::Repodata(Coding::Zstd), &packed), plain);
    assert_eq!(offered(IndexKind::ShardIndex, b"anything"), []);
}

#[test]
fn what_is_ignored_may_be_long() {
    let removed = "\"x-1-0.conda\",".repeat(200_000);
    let text = format!(r#"{{"removed":[{removed}"y"],"packages":{{"a-1-0.conda":{{"name":"a"}}}}}}"#);
    assert_eq!(offered(IndexKind::Repodata(Coding::Plain), text.as_bytes()).len(), 1);
}

#[test]
fn broken_index_is_a_fault() {
    for text in ["", "[]", r#"{"packages":[]}"#, r#"{"packages":{"a":1}}"#, r#"{"packages":{}"#, "{} {}"] {
        let read = offers(IndexKind::Repodata(Coding::Plain), text.as_bytes(), &Limits::default(), |_, _| {});
        assert!(read.is_err(), "{text}");
    }
}

#[test]
fn newer_is_by_version_then_build_number() {
    let offer =
        |version: &str, build_number| Offer { version: version.to_owned(), build_number, ..Offer::default() };
    let mut all = [
        offer("1.10", 0),
        offer("1!0.1", 0),
        offer("1.9", 3),
        offer("1.10", 2),
        offer("1.10rc1", 9),
        offer("??", 9),
    ];
    all.sort_by(Offer::cmp_age);
    let sorted: Vec<_> = all.iter().map(|offer| (offer.version.as_str(), offer.build_number)).collect();
    assert_eq!(sorted, [("??", 9), ("1.9", 3), ("1.10rc1", 9), ("1.10", 0), ("1.10", 2), ("1!0.1", 0)]);
}
