//! Tests of the inspection, by what they throw at it. Each table's first column is the row's name.

mod companions;
mod documents;
mod families;
mod leads;
mod limits;
mod made;
mod offered;
mod packs;
mod parsed;
mod patches;
mod properties;
mod references;
mod tables;

use std::io::Write;

use serde_json::Value;

use super::{Coding, FaultKind, IndexFault, IndexKind, Limits, inspect};

const JSON: IndexKind = IndexKind::Repodata(Coding::Plain);

/// The verdict under the default limits, a fault as its kind and its words.
fn verdict(kind: IndexKind, bytes: &[u8]) -> Result<(), (FaultKind, String)> {
    inspect(kind, bytes, &Limits::default()).map_err(|fault| (fault.kind(), fault.to_string()))
}

fn fault(kind: IndexKind, bytes: &[u8], limits: &Limits) -> IndexFault {
    inspect(kind, bytes, limits).expect_err("the index should be refused")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn msgpack(value: &Value) -> Vec<u8> {
    zstd(&rmp_serde::to_vec(value).unwrap())
}

/// The same document in every form a client may fetch it in.
fn in_every_form(document: &Value) -> Vec<(IndexKind, Vec<u8>)> {
    let text = document.to_string().into_bytes();
    vec![
        (IndexKind::Repodata(Coding::Zstd), zstd(&text)),
        (IndexKind::Repodata(Coding::Bzip2), bzip2(&text)),
        (IndexKind::ShardIndex, msgpack(document)),
        (IndexKind::Shard, msgpack(document)),
        (JSON, text),
    ]
}
