//! What is read of files that are objects, and of files that are none.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::cache::{Part, Proof, Sha256};
use crate::clock::Timestamp;
use crate::conda::ChannelName;
use crate::semantics::{CacheControl, EntityTag};
use crate::upstream::UpstreamsId;

fn facts(length: u64) -> Facts {
    Facts {
        channel: ChannelName::parse("repo/main").unwrap(),
        upstreams: UpstreamsId::from_bytes(*b"\0\x01234567"),
        path: "label/dev ü/linux-64/x-1.0-0.conda".to_owned(),
        part: Part::File,
        length,
        sha256: Sha256::of(b"body"),
        proof: Proof::Index,
        etag: EntityTag::parse(&HeaderValue::from_bytes(b"W/\"a\xff\xc3\xbc\"").unwrap()),
        last_modified: Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)),
        cache_control: CacheControl { max_age_seconds: Some(1_200), ..CacheControl::default() },
        generation: Some(Sha256::of(b"document")),
        upstream: "https://conda.example.org".to_owned(),
        fetched_at: Timestamp::from_millis(1_800_000_000_123),
    }
}

/// The file of an object with a body of `length` bytes.
fn file(length: u64) -> Vec<u8> {
    let mut file = vec![b'x'; usize::try_from(length).unwrap()];
    file.extend(write(&facts(length)).unwrap());
    file
}

#[test]
fn facts_are_read_as_they_were_written() {
    for length in [0, 1, 4096] {
        let file = file(length);
        assert_eq!(read(&file, file.len() as u64), Ok(Read::Facts(Box::new(facts(length)))));
    }
    let bare = Facts { etag: None, last_modified: None, generation: None, part: Part::Digests, ..facts(0) };
    let footer = write(&bare).unwrap();
    assert_eq!(read(&footer, footer.len() as u64), Ok(Read::Facts(Box::new(bare))));
}

#[test]
fn footer_tells_how_much_of_the_end_it_needs() {
    let file = file(10_000);
    let end = &file[file.len() - 100..];
    let Ok(Read::Needs(bytes)) = read(end, file.len() as u64) else { panic!("100 bytes are not enough") };
    let end = &file[file.len() - bytes..];
    assert_eq!(read(end, file.len() as u64), Ok(Read::Facts(Box::new(facts(10_000)))));
}

#[test]
fn file_that_is_no_whole_object_is_refused() {
    let whole = file(100);
    let size = whole.len();
    let footer_bytes = size - 100;
    let changed = |at: usize, byte: u8| {
        let mut file = whole.clone();
        file[at] = byte;
        file
    };
    let with_json = |json: &str| {
        let mut file = json.as_bytes().to_vec();
        file.extend(u32::try_from(json.len()).unwrap().to_le_bytes());
        file.extend(MARK);
        file
    };
    let json = String::from_utf8(whole[100..size - TAIL_BYTES].to_vec()).unwrap();
    let json = json.replace("\"length\":100", "\"length\":0");
    assert!(read(&with_json(&json), (json.len() + TAIL_BYTES) as u64).is_ok());
    let replaced = |from: &str, to: &str| {
        assert!(json.contains(from), "{json}");
        with_json(&json.replace(from, to))
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("body alone", whole[..100].to_vec()),
        ("last byte missing", whole[..size - 1].to_vec()),
        ("a byte too many", [&whole[..], b"x"].concat()),
        ("a byte of the body missing", whole[1..].to_vec()),
        ("half of the body missing", whole[50..].to_vec()),
        ("footer of another body", [&[b'y'; 99][..], &whole[100..]].concat()),
        ("tail alone", whole[size - TAIL_BYTES..].to_vec()),
        ("mark alone", MARK.to_vec()),
        ("other version", changed(size - 1, 2)),
        ("length of facts too large for the file", changed(size - 11, 0xf0)),
        ("length of facts over the limit", changed(size - 10, 0xff)),
        ("length of facts too small", changed(size - TAIL_BYTES, 1)),
        ("no JSON", changed(100, b'x')),
        ("zeros for facts", [&vec![0; size - TAIL_BYTES][..], &whole[size - TAIL_BYTES..]].concat()),
        ("facts without a path", with_json(&json.replace("\"path\"", "\"paths\""))),
        ("path that climbs", replaced("label/dev ü", "label/..")),
        ("path with a control character", replaced("label/dev ü", "label/\\u0007")),
        ("absolute path", replaced("label/dev ü", "/label")),
        ("channel that cannot be", replaced("repo/main", "../main")),
        ("upstreams that cannot be", replaced("0001323334353637", "0001")),
        ("tag that is none", replaced("W/\\\"a", "W/a")),
        ("digest that is none", replaced("\"sha256\":\"", "\"sha256\":\"x")),
        ("time that is none", replaced("1700000000", "18446744073709551615")),
    ];
    for (name, file) in &cases {
        assert!(read(file, file.len() as u64).is_err(), "{name}: {:?}", read(file, file.len() as u64));
    }
    assert_eq!(footer_bytes, json.len() + 2 + TAIL_BYTES);
}

#[test]
fn facts_longer_than_any_reader_takes_are_not_written() {
    let long = Facts { upstream: "x".repeat(FACTS_BYTES_MAX), ..facts(0) };
    assert_eq!(write(&long), Err(FooterError::TooLong));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes: Vec<u8>, size: u64, length: u16, marked: bool) {
        let mut bytes = bytes;
        if marked {
            bytes.extend(u32::from(length).to_le_bytes());
            bytes.extend(MARK);
        }
        if let Ok(Read::Needs(more)) = read(&bytes, size) {
            prop_assert!(more > bytes.len() && more <= FACTS_BYTES_MAX + TAIL_BYTES && more as u64 <= size);
        }
    }
}
