//! Which files are indexes, told by name. Never looks at content; `index.rs` reads what is named here.

/// An index file a client may ask for, as its name tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexKind {
    /// `repodata.json`, `current_repodata.json`, `repodata_from_packages.json`, plain or compressed.
    Repodata(Coding),
    /// `repodata_shards.msgpack.zst` (CEP 16): which shard holds which package name.
    ShardIndex,
    /// `<sha256>.msgpack.zst` (CEP 16): the records of one package name.
    Shard,
    /// `repodata.jlap`: lines of JSON patches to `repodata.json`. conda 23.1 to 25 and older rattlers ask for it.
    Patches,
}

/// How a file's bytes are coded, as its name tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// As they are.
    Plain,
    /// `.zst`: zstd frames (RFC 8878), window at most 2^27 bytes, which is what clients accept.
    Zstd,
    /// `.bz2`: bzip2 streams, one after the other.
    Bzip2,
}

impl IndexKind {
    /// The kind of index a file is, or `None` for any other file. `file_name` is the last segment of a path, decoded.
    #[must_use]
    pub fn of(file_name: &str) -> Option<Self> {
        if let Some(stem) = file_name.strip_suffix(".msgpack.zst") {
            return match stem {
                "repodata_shards" | "repodata_shards_from_packages" => Some(Self::ShardIndex),
                _ if stem.len() == SHA256_HEX_CHARS && stem.bytes().all(|b| b.is_ascii_hexdigit()) => {
                    Some(Self::Shard)
                }
                _ => None,
            };
        }
        let stems = ["repodata", "current_repodata", "repodata_from_packages"];
        let extension = stems.iter().find_map(|stem| file_name.strip_prefix(stem)?.strip_prefix('.'))?;
        match extension {
            "json" => Some(Self::Repodata(Coding::Plain)),
            "json.zst" => Some(Self::Repodata(Coding::Zstd)),
            "json.bz2" => Some(Self::Repodata(Coding::Bzip2)),
            "jlap" => Some(Self::Patches),
            _ => None,
        }
    }

    /// How the file is coded.
    #[must_use]
    pub fn coding(self) -> Coding {
        match self {
            Self::Repodata(coding) => coding,
            Self::ShardIndex | Self::Shard => Coding::Zstd,
            Self::Patches => Coding::Plain,
        }
    }
}

const SHA256_HEX_CHARS: usize = 64;
