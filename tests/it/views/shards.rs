//! Shards that the gate makes, and shards of an upstream that cannot be relied on.

use channelgate::cache::Sha256;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

use super::stage::{Client, FILES, HIDING, document_of, gate, origin, put_document, set};
use crate::cache::origin::Origin;

const INDEX: &str = "noarch/repodata_shards.msgpack.zst";

#[tokio::test]
async fn upstream_without_shards_is_given_them() {
    let origin = origin().await;
    let gate = gate(&origin, "").start().await;
    let client = Client::anonymous(&gate);
    let index = client.shard_index().await;
    assert_eq!(
        (&*index.info.base_url, &*index.info.shards_base_url, &*index.info.subdir),
        ("", "./shards/", "noarch")
    );
    let mut all = set(&FILES);
    all.insert("numpy-3-0.conda".to_owned());
    assert_eq!(client.files_in_shards().await, all);
    let digest = index.shards["scipy"].0;
    let path = format!("noarch/shards/{digest}.msgpack.zst");
    let reply = client.get(&path).await;
    assert!(reply.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
    let part = gate.ask("GET", &client.target(&path), &[("range", "bytes=-5")]).await;
    assert_eq!((part.status, &part.body[..]), (206, &reply.body[reply.body.len() - 5..]));
    let head = gate.head(&client.target(&path)).await;
    assert_eq!((head.status, head.header("etag")), (200, reply.header("etag")));
}

#[tokio::test]
async fn large_index_that_is_not_compressed_is_given_shards() {
    let origin = Origin::start().await;
    let mut document = document_of(&["numpy-2-0.conda"]);
    // Longer than anything in it may be: 8 MiB in all.
    for number in 0..4_096 {
        let note = "x".repeat(2_048);
        document["packages.conda"][format!("library-{number}-0.conda")] = serde_json::json!({ "name": "library", "version": number.to_string(), "build": "0", "note": note });
    }
    origin.put("noarch/repodata.json", document.to_string(), &[]);
    let gate = gate(&origin, "").start().await;
    let files = Client::anonymous(&gate).files_in_shards().await;
    assert_eq!(files.len(), 4_097);
}

#[tokio::test]
async fn shard_of_one_view_is_missing_in_another() {
    let origin = origin().await;
    let whole = gate(&origin, "").start().await;
    let shards = Client::anonymous(&whole).shard_index().await.shards;
    let hiding = gate(&origin, HIDING).start().await;
    let client = Client::anonymous(&hiding);
    let visible = client.shard_index().await.shards;
    assert_eq!(visible["scipy"], shards["scipy"], "what is shown whole is the same shard");
    assert_eq!(visible["numpy"], shards["numpy"], "what contradicts its name stands where its record says");
    assert!(!visible.contains_key("secret"));
    for folder in ["noarch/shards", "noarch"] {
        let path = format!("{folder}/{}.msgpack.zst", shards["secret"].0);
        assert_eq!(client.verdict(&path).await, "404 not_found", "{path}");
    }
}

#[tokio::test]
async fn superseded_shards_stay_for_a_week_and_unchanged_ones_keep_their_names() {
    let origin = origin().await;
    let gate = gate(&origin, HIDING).start().await;
    let client = Client::anonymous(&gate);
    let old = client.shard_index().await.shards;
    put_document(
        &origin,
        "repodata.json",
        &document_of(&["numpy-1-0.tar.bz2", "scipy-1-0.tar.bz2", "secret-1-0.conda"]),
    );
    let later = |seconds| gate.hands.as_ref().unwrap().advance(Duration::from_secs(seconds));
    later(61);
    let new = client.shard_index().await.shards;
    assert_eq!(old["scipy"], new["scipy"]);
    assert_ne!(old["numpy"], new["numpy"]);
    let path = format!("noarch/shards/{}.msgpack.zst", old["numpy"].0);
    assert_eq!(client.verdict(&path).await, "200");
    later(7 * 24 * 3_600);
    assert_eq!(client.verdict(&path).await, "200");
    assert_eq!(client.shard_index().await.shards, new);
}

/// Puts a shard index there that names these shards, and the shards themselves.
fn put_shards(origin: &Origin, shards: &BTreeMap<&str, Vec<u8>>, base: &str) -> BTreeMap<String, Sha256> {
    #[derive(Serialize)]
    struct Index<'a> {
        version: u32,
        info: BTreeMap<&'a str, &'a str>,
        shards: BTreeMap<&'a str, Bytes>,
    }
    struct Bytes([u8; 32]);
    impl Serialize for Bytes {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    let digests: BTreeMap<String, Sha256> =
        shards.iter().map(|(name, shard)| ((*name).to_owned(), Sha256::of(shard))).collect();
    let index = Index {
        version: 1,
        info: BTreeMap::from([("base_url", ""), ("shards_base_url", base), ("subdir", "noarch")]),
        shards: shards.iter().map(|(name, shard)| (*name, Bytes(*Sha256::of(shard).as_bytes()))).collect(),
    };
    let bytes = rmp_serde::to_vec_named(&index).unwrap();
    origin.put(INDEX, zstd::encode_all(&bytes[..], 3).unwrap(), &[]);
    for (name, shard) in shards {
        origin.put(&format!("noarch/shards/{}.msgpack.zst", digests[*name]), shard, &[]);
    }
    digests
}

/// Shards of these packages, as another gate makes them.
async fn shards_of(origin: &Origin) -> BTreeMap<&'static str, Vec<u8>> {
    let gate = gate(origin, "").start().await;
    let client = Client::anonymous(&gate);
    let index = client.shard_index().await.shards;
    let mut shards = BTreeMap::new();
    for name in ["numpy", "scipy", "secret"] {
        let path = format!("noarch/shards/{}.msgpack.zst", index[name].0);
        shards.insert(name, client.get(&path).await.body);
    }
    shards
}

#[tokio::test]
async fn shards_that_lie_are_replaced_until_there_is_a_new_shard_index() {
    for lie in ["missing", "another"] {
        let origin = origin().await;
        let shards = shards_of(&origin).await;
        let digests = put_shards(&origin, &shards, "./shards/");
        let path = format!("noarch/shards/{}.msgpack.zst", digests["scipy"]);
        match lie {
            "missing" => origin.remove(&path),
            _ => origin.put(&path, &shards["numpy"], &[]),
        }
        let gate = gate(&origin, "").start().await;
        let client = Client::anonymous(&gate);
        assert_eq!(
            client.bytes(INDEX).await.len(),
            zstd::decode_all(&gate_upstream(&origin).await[..]).unwrap().len()
        );
        let refused = client.get(&path).await.status;
        assert!(matches!(refused, 404 | 502), "{lie}: {refused}");
        let mut all = set(&FILES);
        all.insert("numpy-3-0.conda".to_owned());
        assert_eq!(client.files_in_shards().await, all, "{lie}");
    }
}

/// The upstream's shard index, as a gate passes it on.
async fn gate_upstream(origin: &Origin) -> Vec<u8> {
    let gate = gate(origin, "").start().await;
    Client::anonymous(&gate).get(INDEX).await.body
}

#[tokio::test]
async fn unknown_shard_of_an_honest_upstream_changes_nothing() {
    let origin = origin().await;
    let shards = shards_of(&origin).await;
    put_shards(&origin, &shards, "./shards/");
    let asked = origin.asked("noarch/repodata.json.zst").len();
    let gate = gate(&origin, "").start().await;
    let client = Client::anonymous(&gate);
    let index = client.get(INDEX).await.body;
    let unknown = format!("noarch/shards/{}.msgpack.zst", Sha256::of(b"unknown"));
    assert_eq!(client.verdict(&unknown).await, "404 not_found");
    assert_eq!(client.get(INDEX).await.body, index);
    assert_eq!(origin.asked("noarch/repodata.json.zst").len(), asked, "nothing had to be made");
}

#[tokio::test]
async fn directory_with_nothing_but_shards_is_put_together_for_a_view() {
    let origin = origin().await;
    let shards = shards_of(&origin).await;
    let only = Origin::start().await;
    put_shards(&only, &shards, "./shards/");
    only.put("noarch/numpy-2-0.conda", super::stage::bytes_of("numpy-2-0.conda"), &[]);
    let gate = gate(&only, HIDING).start().await;
    let client = Client::anonymous(&gate);
    let visible = set(&["numpy-1-0.tar.bz2", "numpy-2-0.conda", "scipy-1-0.tar.bz2"]);
    assert_eq!(client.files_in_shards().await, visible);
    assert_eq!(client.files("noarch/repodata.json.zst").await, visible);
    assert_eq!(client.verdict("noarch/numpy-2-0.conda").await, "200");
    assert_eq!(client.verdict("noarch/secret-1-0.conda").await, "451 package_blocked");
    assert_eq!(client.verdict("noarch/numpy-3-0.conda").await, "404 not_found");
}
