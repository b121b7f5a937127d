//! Each limit, met; and a source that fails.

use std::io;

use super::*;

const SMALL: Limits = Limits {
    compressed_bytes_max: 4 << 10,
    decompressed_bytes_max: 1 << 20,
    ratio_max: 200,
    ratio_free_bytes: 128 << 10,
    token_bytes_max: 1 << 10,
    depth_max: 8,
    records_max: 10,
    shards_max: 5,
};

fn array_of_zeros(bytes: usize) -> Vec<u8> {
    let mut text = b"{\"a\": [".to_vec();
    text.extend(b"0,".repeat(bytes / 2));
    text.extend(b"0]}");
    text
}

#[test]
fn default_limits_are_as_documented() {
    let limits = Limits::default();
    assert_eq!(limits.compressed_bytes_max, 1 << 30);
    assert_eq!(limits.decompressed_bytes_max, 1 << 32);
    assert_eq!((limits.ratio_max, limits.ratio_free_bytes), (200, 16 << 20));
    assert_eq!((limits.token_bytes_max, limits.depth_max), (1 << 20, 64));
    assert_eq!((limits.records_max, limits.shards_max), (5_000_000, 1_000_000));
}

#[test]
fn plain_file_over_the_decompressed_limit_is_refused() {
    let found = fault(JSON, &array_of_zeros(1 << 20), &SMALL);
    assert!(matches!(found, IndexFault::DecompressedTooLarge { bytes_max: 0x10_0000 }), "{found}");
    assert_eq!(found.kind(), FaultKind::OverLimit);
}

#[test]
fn compressed_file_over_the_compressed_limit_is_refused() {
    let noise: String = (0_u32..4000).map(|n| format!("{},", n.wrapping_mul(2_654_435_761))).collect();
    let text = format!("{{\"a\": [{noise}0]}}");
    assert!(inspect(JSON, text.as_bytes(), &SMALL).is_ok(), "plain, it is within the limits");
    for (kind, bytes) in [
        (IndexKind::Repodata(Coding::Zstd), zstd(text.as_bytes())),
        (IndexKind::Repodata(Coding::Bzip2), bzip2(text.as_bytes())),
    ] {
        let found = fault(kind, &bytes, &SMALL);
        assert!(matches!(found, IndexFault::CompressedTooLarge { bytes_max: 4096 }), "{kind:?}: {found}");
    }
}

#[test]
fn compressed_bomb_is_refused_by_its_ratio() {
    let text = array_of_zeros(512 << 10);
    for (kind, bytes) in
        [(IndexKind::Repodata(Coding::Zstd), zstd(&text)), (IndexKind::Repodata(Coding::Bzip2), bzip2(&text))]
    {
        let found = fault(kind, &bytes, &SMALL);
        assert!(matches!(found, IndexFault::RatioTooHigh { ratio_max: 200 }), "{kind:?}: {found}");
        assert!(inspect(kind, &bytes[..], &Limits::default()).is_ok(), "small bombs do no harm");
    }
}

#[test]
fn zstd_window_beyond_what_clients_accept_is_refused() {
    // RFC 8878: magic, a frame header with nothing but the window descriptor, one last raw block of "{}".
    let frame = |window_log: u8| {
        [b"\x28\xb5\x2f\xfd\x00".as_slice(), &[(window_log - 10) << 3], b"\x11\0\0{}"].concat()
    };
    let kind = IndexKind::Repodata(Coding::Zstd);
    assert_eq!(verdict(kind, &frame(27)), Ok(()));
    assert_eq!(verdict(kind, &frame(28)).map_err(|(kind, _)| kind), Err(FaultKind::Malformed));
    assert_eq!(verdict(kind, &frame(41)).map_err(|(kind, _)| kind), Err(FaultKind::Malformed));
}

#[test]
fn long_key_string_or_blank_is_refused_before_it_fills_memory() {
    let long = "a".repeat(256 << 10);
    let blank = " ".repeat(256 << 10);
    let rows = [
        ("value", format!("{{\"a\": \"{long}\"}}")),
        ("key", format!("{{\"{long}\": 1}}")),
        ("number", format!("{{\"a\": {}}}", "1".repeat(256 << 10))),
        ("blank", format!("{{\"a\": {blank}1}}")),
    ];
    for (name, text) in rows {
        let found = fault(JSON, text.as_bytes(), &SMALL);
        assert!(matches!(found, IndexFault::TokenTooLong { bytes_max: 1024 }), "{name}: {found}");
    }
    let text =
        rmp_serde::to_vec(&[("a", long)].into_iter().collect::<std::collections::BTreeMap<_, _>>()).unwrap();
    let found = fault(IndexKind::Shard, &zstd(&text), &Limits { ratio_max: 1 << 20, ..SMALL });
    assert!(matches!(found, IndexFault::TokenTooLong { bytes_max: 1024 }), "msgpack: {found}");
}

#[test]
fn records_and_shards_are_counted_over_all_sections() {
    let records = |count: usize| -> serde_json::Map<String, Value> {
        (0..count).map(|n| (format!("x-{n}-0.conda"), Value::Object(Default::default()))).collect()
    };
    let of = |first, second, third| serde_json::json!({"packages": records(first), "packages.conda": records(second), "v3": {"conda": records(third)}});
    for (kind, bytes) in in_every_form(&of(3, 4, 3)) {
        assert!(inspect(kind, &bytes[..], &SMALL).is_ok(), "{kind:?}");
    }
    for (kind, bytes) in in_every_form(&of(3, 4, 4)) {
        let found = fault(kind, &bytes, &SMALL);
        assert!(matches!(found, IndexFault::TooManyRecords { records_max: 10 }), "{kind:?}: {found}");
        assert_eq!(found.kind(), FaultKind::OverLimit);
    }
    let shards = |count| msgpack(&serde_json::json!({"shards": records(count)}));
    assert!(inspect(IndexKind::ShardIndex, &shards(5)[..], &SMALL).is_ok());
    let found = fault(IndexKind::ShardIndex, &shards(6), &SMALL);
    assert!(matches!(found, IndexFault::TooManyShards { shards_max: 5 }), "{found}");
}

#[test]
fn documents_own_keys_are_few() {
    let keys = |count: usize| -> Value {
        (0..count).map(|n| (format!("k{n}"), Value::Null)).collect::<serde_json::Map<_, _>>().into()
    };
    assert_eq!(verdict(JSON, keys(64).to_string().as_bytes()), Ok(()));
    let found = fault(JSON, keys(65).to_string().as_bytes(), &Limits::default());
    assert!(matches!(found, IndexFault::TooManyKeys { keys_max: 64, .. }), "{found}");
}

#[test]
fn msgpack_lengths_are_not_believed() {
    let rows: [(&str, &[u8]); 7] = [
        ("array32", b"\x81\xa1a\xdd\xff\xff\xff\xff"),
        ("map32", b"\xdf\xff\xff\xff\xff"),
        ("str32", b"\x81\xa1a\xdb\xff\xff\xff\xff"),
        ("bin32", b"\x81\xa1a\xc6\xff\xff\xff\xff"),
        ("ext32", b"\x81\xa1a\xc9\xff\xff\xff\xff\x01"),
        ("str32 for a key", b"\x81\xdb\xff\xff\xff\xff"),
        ("array32 with some", b"\x81\xa1a\xdd\xff\xff\xff\xff\xc0\xc0\xc0"),
    ];
    for (name, bytes) in rows {
        let kind = verdict(IndexKind::ShardIndex, &zstd(bytes)).map_err(|(kind, _)| kind);
        assert_eq!(kind, Err(FaultKind::Truncated), "{name}");
    }
}

#[test]
fn deep_nesting_is_refused_however_deep() {
    let at_the_limit = format!("{{\"a\": {}0{}}}", "[".repeat(63), "]".repeat(63));
    assert_eq!(verdict(JSON, at_the_limit.as_bytes()), Ok(()));
    for levels in [64, 127, 128, 1024, 1 << 20] {
        let kind = IndexKind::Shard;
        let packed = zstd(&[b"\x81\xa1a".as_slice(), &b"\x91".repeat(levels), b"\xc0"].concat());
        let mapped = zstd(&b"\x81\xa1a".repeat(levels + 1));
        let text = format!("{{\"a\": {}", "[".repeat(levels));
        for (kind, bytes) in [(JSON, text.as_bytes()), (kind, &packed), (kind, &mapped)] {
            let found = fault(kind, bytes, &Limits::default());
            assert!(
                matches!(found, IndexFault::TooDeep { depth_max: 64, .. }),
                "{levels} levels, {kind:?}: {found}"
            );
        }
    }
}

#[test]
fn failing_source_is_not_the_indexs_fault() {
    struct Fails;
    impl io::Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    for kind in
        [JSON, IndexKind::Repodata(Coding::Zstd), IndexKind::Repodata(Coding::Bzip2), IndexKind::Patches]
    {
        let Err(IndexFault::Read { source }) = inspect(kind, Fails, &Limits::default()) else {
            panic!("{kind:?}: the source's error should come back");
        };
        assert_eq!(source.kind(), io::ErrorKind::ConnectionReset, "{kind:?}");
    }
}

#[test]
fn fault_echoes_little_of_a_long_reference_or_key() {
    let long = format!("../{}", "\u{7f}x".repeat(100_000));
    let document = serde_json::json!({"packages": {"k".repeat(100_000): {"url": long}}});
    let (_, words) = verdict(JSON, document.to_string().as_bytes()).unwrap_err();
    assert!(words.chars().count() < 200, "{} characters", words.chars().count());
    assert!(words.chars().all(|c| c == '…' || (' '..='~').contains(&c)), "{words}");
}
