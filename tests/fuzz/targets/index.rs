//! Any bytes for an index: inspecting them does no harm, and an index that passes says no reference that leads away.

#![no_main]

use channelgate::index::{Coding, IndexKind, Limits, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    let kind = match kind % 6 {
        0 => IndexKind::Repodata(Coding::Plain),
        1 => IndexKind::Repodata(Coding::Zstd),
        2 => IndexKind::Repodata(Coding::Bzip2),
        3 => IndexKind::ShardIndex,
        4 => IndexKind::Shard,
        _ => IndexKind::Patches,
    };
    let limits = Limits { decompressed_bytes_max: 4 << 20, ..Limits::default() };
    let passed = inspect(kind, bytes, &limits).is_ok();
    if passed && kind == IndexKind::Repodata(Coding::Plain) {
        let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        let base = document.pointer("/info/base_url").and_then(|base| base.as_str()).unwrap_or_default();
        assert!(matches!(base, "" | "." | "./"), "{base}");
    }
});
