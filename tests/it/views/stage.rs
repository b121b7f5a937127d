//! A channel with a directory of every kind of file, behind a gate whose rules a test chooses, and readers of what it serves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use channelgate::cache::Sha256;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, Visitor};
use serde_json::{Value, json};

use crate::cache::origin::Origin;
use crate::support::client::Reply;
use crate::support::gate::{Builder, Gate};

/// Every package file of the channel that no record contradicts.
pub const FILES: [&str; 5] =
    ["numpy-1-0.tar.bz2", "numpy-2-0.conda", "scipy-1-0.tar.bz2", "secret-1-0.conda", "secret-2-0.tar.bz2"];

/// Hides `secret` from everybody.
pub const HIDING: &str =
    "[[channels.rules]]\npackages = \"secret\"\naction = \"block\"\nreason = \"not for you\"";

/// A file's bytes.
pub fn bytes_of(file: &str) -> Vec<u8> {
    format!("the bytes of {file}").into_bytes()
}

/// A record that fits its file's name.
pub fn record(file: &str) -> Value {
    let mut parts = file.trim_end_matches(".conda").trim_end_matches(".tar.bz2").rsplitn(3, '-');
    let (build, version, name) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let bytes = bytes_of(file);
    json!({
        "build": build, "build_number": 0, "depends": ["python >=3"], "name": name, "subdir": "noarch",
        "sha256": Sha256::of(&bytes).to_string(), "size": bytes.len(), "version": version, "x-unknown": [1, {"a": null}],
    })
}

/// A document that names these files.
pub fn document_of(files: &[&str]) -> Value {
    let of = |extension: &str| -> serde_json::Map<String, Value> {
        let files = files.iter().filter(|file| file.ends_with(extension));
        files.map(|file| ((*file).to_owned(), record(file))).collect()
    };
    json!({
        "info": { "subdir": "noarch" },
        "packages": of(".tar.bz2"),
        "packages.conda": of(".conda"),
        "removed": ["numpy-0-0.tar.bz2", "secret-0-0.tar.bz2"],
        "repodata_version": 1,
        "x-top": "kept",
    })
}

/// An upstream with all of it but shards.
pub async fn origin() -> Origin {
    let origin = Origin::start().await;
    let mut document = document_of(&FILES);
    // Its name says numpy, its record says secret: nobody knows.
    document["packages.conda"]["numpy-3-0.conda"] = record("secret-3-0.conda");
    put_document(&origin, "repodata.json", &document);
    put_document(&origin, "current_repodata.json", &document_of(&["numpy-2-0.conda", "secret-1-0.conda"]));
    let exports = |file: &str| (file.to_owned(), json!({ "run_exports": { "weak": [file] } }));
    let exports = json!({
        "info": { "subdir": "noarch", "version": 1 },
        "packages": BTreeMap::from([exports("numpy-1-0.tar.bz2"), exports("secret-2-0.tar.bz2")]),
        "packages.conda": BTreeMap::from([exports("numpy-2-0.conda"), exports("secret-1-0.conda")]),
    });
    origin.put("noarch/run_exports.json", exports.to_string(), &[]);
    let names = |name: &str| (name.to_owned(), json!({ "subdirs": ["noarch"], "version": "1", "x": name }));
    let names = json!({
        "channeldata_version": 1, "subdirs": ["noarch", "linux-64"],
        "packages": BTreeMap::from([names("numpy"), names("scipy"), names("secret")]),
    });
    origin.put("channeldata.json", names.to_string(), &[]);
    origin.put("notices.json", "{\"notices\": []}", &[]);
    for other in ["noarch/index.html", "rss.xml", "icons/secret.png", "noarch/repodata.info.json"] {
        origin.put(other, "secret", &[]);
    }
    origin.put("noarch/patch_instructions.json", "{\"packages\": {\"secret-1-0.conda\": {}}}", &[]);
    for file in FILES.iter().chain(&["numpy-3-0.conda", "unlisted-1-0.conda"]) {
        origin.put(&format!("noarch/{file}"), bytes_of(file), &[]);
    }
    origin
}

/// Puts a document there, plain and in both codings.
pub fn put_document(origin: &Origin, file: &str, document: &Value) {
    let text = document.to_string();
    origin.put(&format!("noarch/{file}"), &text, &[]);
    origin.put(&format!("noarch/{file}.zst"), zstd::encode_all(text.as_bytes(), 3).unwrap(), &[]);
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    origin.put(&format!("noarch/{file}.bz2"), encoder.finish().unwrap(), &[]);
}

/// True for a zstd frame that conda can read: `zstandard.decompress` wants to know how large its content is. RFC 8878, 3.1.1.1.1.
pub fn says_how_large_it_is(frame: &[u8]) -> bool {
    frame[4] & 0xe0 != 0
}

/// A gate with the channel `main`, public, under these rules.
pub fn gate(origin: &Origin, rules: &str) -> Builder {
    let lines = format!("access = \"public\"\nupstreams = [\"{}\"]\n{rules}", origin.url());
    Gate::builder().channel_with("main", &lines).manual_clock()
}

/// Who asks for what.
pub struct Client<'g> {
    pub gate: &'g Gate,
    /// What stands before the channel.
    pub prefix: String,
}

impl<'g> Client<'g> {
    pub fn anonymous(gate: &'g Gate) -> Self {
        Self { gate, prefix: String::new() }
    }

    pub fn with_token(gate: &'g Gate, token: &str) -> Self {
        Self { gate, prefix: format!("/t/{token}") }
    }

    pub fn target(&self, path: &str) -> String {
        format!("{}/main/{path}", self.prefix)
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.gate.get(&self.target(path)).await
    }

    pub async fn verdict(&self, path: &str) -> String {
        self.get(path).await.verdict()
    }

    /// A file that has to be there, decompressed.
    pub async fn bytes(&self, path: &str) -> Vec<u8> {
        let reply = self.get(path).await;
        assert_eq!(
            (reply.status, reply.complete),
            (200, true),
            "{path}: {}",
            String::from_utf8_lossy(&reply.body)
        );
        match path.rsplit('.').next() {
            Some("zst") => zstd::decode_all(&reply.body[..]).unwrap(),
            _ => reply.body,
        }
    }

    pub async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.bytes(path).await).unwrap()
    }

    /// The files that a document names.
    pub async fn files(&self, path: &str) -> BTreeSet<String> {
        files_in(&self.json(path).await)
    }

    /// The shard index.
    pub async fn shard_index(&self) -> ShardIndex {
        rmp_serde::from_slice(&self.bytes("noarch/repodata_shards.msgpack.zst").await).unwrap()
    }

    /// The files that the shards name which the shard index names.
    pub async fn files_in_shards(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        for (name, Digest(digest)) in self.shard_index().await.shards {
            let path = format!("noarch/shards/{digest}.msgpack.zst");
            let reply = self.get(&path).await;
            assert_eq!((reply.status, reply.complete), (200, true), "{name}: {}", reply.verdict());
            assert_eq!(Sha256::of(&reply.body), digest, "{name}");
            let shard: Shard = rmp_serde::from_slice(&zstd::decode_all(&reply.body[..]).unwrap()).unwrap();
            files.extend(shard.packages.into_keys().chain(shard.conda.into_keys()));
        }
        files
    }

    /// The package files that it gets, of those that there are.
    pub async fn fetched(&self) -> BTreeSet<String> {
        let mut fetched = BTreeSet::new();
        for file in FILES.iter().chain(&["numpy-3-0.conda", "unlisted-1-0.conda"]) {
            let path = format!("noarch/{file}");
            let reply = self.get(&path).await;
            let head = self.gate.head(&self.target(&path)).await;
            let range = [("range", "bytes=0-3")];
            let part = self.gate.ask("GET", &self.target(&path), &range).await;
            assert_eq!(head.status, reply.status, "{file}");
            assert_eq!(part.status, if reply.status == 200 { 206 } else { reply.status }, "{file}");
            if reply.status == 200 {
                assert_eq!(reply.body, bytes_of(file));
                fetched.insert((*file).to_owned());
            }
        }
        fetched
    }
}

/// The files that a document names.
pub fn files_in(document: &Value) -> BTreeSet<String> {
    let maps = ["packages", "packages.conda"].into_iter().filter_map(|key| document[key].as_object());
    maps.flat_map(|map| map.keys().cloned()).collect()
}

/// These files, as a set.
pub fn set(files: &[&str]) -> BTreeSet<String> {
    files.iter().map(|file| (*file).to_owned()).collect()
}

#[derive(Debug, Deserialize, PartialEq)]
pub struct ShardIndex {
    pub info: Info,
    pub shards: BTreeMap<String, Digest>,
}

#[derive(Debug, Deserialize, PartialEq)]
pub struct Info {
    pub base_url: String,
    pub shards_base_url: String,
    pub subdir: String,
}

#[derive(Debug, Deserialize)]
struct Shard {
    #[serde(default)]
    packages: BTreeMap<String, IgnoredAny>,
    #[serde(default, rename = "packages.conda")]
    conda: BTreeMap<String, IgnoredAny>,
}

/// A digest in MessagePack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Digest(pub Sha256);

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Digest, E> {
                Ok(Digest(Sha256::from_bytes(bytes.try_into().map_err(E::custom)?)))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}
