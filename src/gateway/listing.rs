//! The files of one package of a channel, as a caller may see them: for clients that ask for a package by its name instead of reading indexes.
//!
//! It is read as a client would read it: the shard index of each platform directory (CEP 16), and of each that names the package the shard, all of
//! them under the caller's own permit. So what a view hides is not there, and nothing has to be known of how indexes come to be.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::refusal::Refusal;
use super::served::Asked;
use super::{Gateway, Routing, fetch, respond};
use crate::conda::{RequestTarget, redact};
use crate::face::{PackageEntry, Verdict};
use crate::policy::{self, Caller};

impl Gateway {
    /// The files of the package `name` below `base`, a channel with or without a label, in the order of platforms and names. Empty if
    /// there is none that the caller may see.
    ///
    /// # Errors
    ///
    /// What a request for the channel's index would be told.
    pub async fn package(
        self: &Arc<Self>,
        caller: &Caller,
        base: &str,
        name: &str,
    ) -> Result<Vec<PackageEntry>, Verdict> {
        let routing = self.routing.load_full();
        let turns = Arc::new(Semaphore::new(DIRECTORIES_AT_ONCE));
        let mut directories = JoinSet::new();
        for subdir in SUBDIRS {
            let (gateway, routing, caller) = (Arc::clone(self), Arc::clone(&routing), caller.clone());
            let (directory, name) = (format!("/{base}/{subdir}"), name.to_owned());
            let turns = Arc::clone(&turns);
            directories.spawn(async move {
                let _turn = turns.acquire().await;
                gateway.files_of(&routing, &caller, subdir, &directory, &name).await
            });
        }
        let mut files = Vec::new();
        while let Some(found) = directories.join_next().await {
            let found = found.unwrap_or_else(|_| Err(Refusal::Overloaded));
            files.extend(found.map_err(|refusal| respond::verdict(&refusal, &redact::text(base)))?);
        }
        files.sort_by(|a, b| (&a.subdir, &a.file).cmp(&(&b.subdir, &b.file)));
        Ok(files)
    }

    /// Those in one directory.
    async fn files_of(
        &self,
        routing: &Routing,
        caller: &Caller,
        subdir: &str,
        directory: &str,
        name: &str,
    ) -> Result<Vec<PackageEntry>, Refusal> {
        let path = format!("{directory}/repodata_shards.msgpack.zst");
        let Some(index) = self.read(routing, caller, &path).await? else { return Ok(Vec::new()) };
        let index: ShardIndex = decode(&index)?;
        let Some(digest) = index.shards.get(name) else { return Ok(Vec::new()) };
        let base = index.info.shards_base_url.trim_start_matches("./").trim_end_matches('/');
        let below = if base.is_empty() || base == "." { String::new() } else { format!("{base}/") };
        let path = format!("{directory}/{below}{}.msgpack.zst", digest.0);
        let Some(shard) = self.read(routing, caller, &path).await? else { return Ok(Vec::new()) };
        let shard: Shard = decode(&shard)?;
        let records = shard.conda.into_iter().chain(shard.packages);
        Ok(records.map(|(file, record)| record.entry(subdir, file)).collect())
    }

    /// The file at `path`; `None` if there is none.
    async fn read(&self, routing: &Routing, caller: &Caller, path: &str) -> Result<Option<Bytes>, Refusal> {
        let target = RequestTarget::parse(path).map_err(Refusal::Path)?;
        let asked = routing.routes.channels().locate(&target);
        let permit = policy::decide(caller, &asked, self.clock.now()).map_err(Refusal::Denied)?;
        let (method, headers) = (Method::GET, HeaderMap::new());
        let asked = Asked { permit: &permit, method: &method, headers: &headers };
        match fetch::fetch(asked, routing, self.clock.now(), &self.books.metrics).await {
            Ok(served) => {
                served.content.collect(COMPRESSED_BYTES_MAX).await.map(Some).map_err(|_| Refusal::Broken)
            }
            Err(Refusal::Missing) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }
}

/// A document in MessagePack and zstd; how large it can be was bounded when it was inspected or made, and is bounded here again.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let plain = zstd::Decoder::new(bytes).map_err(|_| Refusal::Broken)?;
    rmp_serde::from_read(plain.take(BYTES_MAX)).map_err(|_| Refusal::Broken)
}

#[derive(Deserialize)]
struct ShardIndex {
    #[serde(default)]
    info: Info,
    shards: HashMap<String, Hexadecimal>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    shards_base_url: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Shard {
    packages: HashMap<String, Record>,
    #[serde(rename = "packages.conda")]
    conda: HashMap<String, Record>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Record {
    version: String,
    build: String,
    build_number: u64,
    size: Option<u64>,
    md5: Option<Hexadecimal>,
    sha256: Option<Hexadecimal>,
    timestamp: Option<i64>,
    depends: Vec<String>,
    license: Option<String>,
}

impl Record {
    fn entry(self, subdir: &str, file: String) -> PackageEntry {
        PackageEntry {
            subdir: subdir.to_owned(),
            file,
            version: self.version,
            build: self.build,
            build_number: self.build_number,
            size: self.size,
            md5: self.md5.map(|digest| digest.0),
            sha256: self.sha256.map(|digest| digest.0),
            // Older records have seconds.
            timestamp: self.timestamp.map(|at| if at < 100_000_000_000 { at * 1_000 } else { at }),
            depends: self.depends,
            license: self.license,
        }
    }
}

/// A digest in hexadecimal digits, which shards have as bytes.
struct Hexadecimal(String);

impl<'de> Deserialize<'de> for Hexadecimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Hexadecimal;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a digest")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Hexadecimal, E> {
                Ok(Hexadecimal(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Hexadecimal, E> {
                let is_digest = text.bytes().all(|byte| byte.is_ascii_hexdigit());
                if is_digest { Ok(Hexadecimal(text.to_owned())) } else { Err(E::custom("no digest")) }
            }
        }
        deserializer.deserialize_any(Digits)
    }
}

/// Where packages are: conda's `KNOWN_SUBDIRS` (`conda/base/constants.py`).
const SUBDIRS: [&str; 19] = [
    "noarch",
    "emscripten-wasm32",
    "freebsd-64",
    "linux-32",
    "linux-64",
    "linux-aarch64",
    "linux-armv6l",
    "linux-armv7l",
    "linux-ppc64",
    "linux-ppc64le",
    "linux-riscv64",
    "linux-s390x",
    "osx-64",
    "osx-arm64",
    "wasi-wasm32",
    "win-32",
    "win-64",
    "win-arm64",
    "zos-z",
];

/// A package's directories that are read at the same time.
const DIRECTORIES_AT_ONCE: usize = 4;

/// A shard index of half a million packages takes some 20 MB.
const COMPRESSED_BYTES_MAX: usize = 32 * 1024 * 1024;
const BYTES_MAX: u64 = 128 * 1024 * 1024;
