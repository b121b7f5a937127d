//! Makes a pack from a document and the packs before it. One pass over the packages, one shard in memory.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use super::{Found, IN_WHOLE, KEPT, MAGIC, Pack, Package, Shard, Trailer, invalid};
use crate::cache::Sha256;
use crate::clock::Timestamp;
use crate::index::document::Document;
use crate::index::msgpack::{self, Open};
use crate::index::selection::Selection;
use crate::index::shards::{Source, encode_info};

/// What a pack may take over.
#[derive(Clone, Copy, Debug)]
pub struct Ancestry<'p> {
    /// The pack of the same directory and view before this one.
    pub previous: Option<&'p Pack>,
    /// For a view's pack, that of the whole directory. Of another generation it does no harm, and little good.
    pub whole: Option<&'p Pack>,
    /// The time, for what is listed no more.
    pub now: Timestamp,
}

/// How the shards of a pack came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Made from records.
    pub made: usize,
    /// Taken from the pack before.
    pub copied: usize,
    /// Left in the pack of the whole.
    pub shared: usize,
    /// Kept though no index lists them any more.
    pub superseded: usize,
}

/// See [`Pack::make`].
pub(super) fn make(
    document: &Document,
    selection: &Selection,
    subdir: &str,
    ancestry: &Ancestry<'_>,
    out: &mut impl Write,
) -> io::Result<Packed> {
    let mut making = Making::new(ancestry, out)?;
    making.write(MAGIC)?;
    for (name, entries) in document.by_package() {
        if let Some(source) = Source::of(document, selection, entries) {
            let digest = source.digest();
            let shard = making.shard(name, &source, digest)?;
            making.packages.push(Package { name: name.into(), source: digest, shard });
        }
    }
    making.keep_superseded()?;
    making.finish(document, subdir)
}

struct Making<'m, W> {
    out: &'m mut W,
    written: u64,
    now: Timestamp,
    previous: Option<&'m Pack>,
    whole: Option<&'m Pack>,
    /// What the pack before made of what.
    before: HashMap<Box<str>, Package>,
    /// What the pack of the whole made of what.
    in_whole: HashMap<Box<str>, Package>,
    compressor: zstd::bulk::Compressor<'static>,
    /// The shard that is being made, and its compressed bytes.
    buffers: (Vec<u8>, Vec<u8>),
    shards: BTreeMap<[u8; 32], Shard>,
    packages: Vec<Package>,
    packed: Packed,
}

impl<'m, W: Write> Making<'m, W> {
    fn new(ancestry: &Ancestry<'m>, out: &'m mut W) -> io::Result<Self> {
        let by_name = |pack: Option<&Pack>| -> io::Result<HashMap<_, _>> {
            let packages = pack.map(Pack::packages).transpose()?.unwrap_or_default();
            Ok(packages.into_iter().map(|package| (package.name.clone(), package)).collect())
        };
        let Ancestry { previous, whole, now } = *ancestry;
        let mut compressor = zstd::bulk::Compressor::new(SHARD_ZSTD_LEVEL)?;
        compressor.include_contentsize(true)?;
        Ok(Self {
            out,
            written: 0,
            now,
            previous,
            whole,
            before: by_name(previous)?,
            in_whole: by_name(whole)?,
            compressor,
            buffers: (Vec::new(), Vec::new()),
            shards: BTreeMap::new(),
            packages: Vec::new(),
            packed: Packed::default(),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<(u64, u64)> {
        let at = self.written;
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok((at, bytes.len() as u64))
    }

    /// The shard of a package: one that there is already, or a new one.
    fn shard(&mut self, name: &str, source: &Source<'_>, digest: Sha256) -> io::Result<Sha256> {
        let of_source = |packages: &HashMap<Box<str>, Package>| {
            packages.get(name).filter(|package| package.source == digest).map(|package| package.shard)
        };
        if let Some(sha256) = of_source(&self.in_whole) {
            self.packed.shared += 1;
            self.list(Shard { sha256, offset: IN_WHOLE, length: 0, superseded_at: None });
            return Ok(sha256);
        }
        if let Some(sha256) = of_source(&self.before)
            && let Some(bytes) = self.of_previous(&sha256)?
        {
            self.packed.copied += 1;
            return self.add(sha256, &bytes, None);
        }
        let (mut plain, mut compressed) = std::mem::take(&mut self.buffers);
        plain.clear();
        source.encode(&mut plain).map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
        compressed.clear();
        compressed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        self.compressor.compress_to_buffer(&plain, &mut compressed)?;
        self.packed.made += 1;
        let added = self.add(Sha256::of(&compressed), &compressed, None);
        self.buffers = (plain, compressed);
        added
    }

    /// The bytes of a shard of the pack before, if it has them itself.
    fn of_previous(&self, sha256: &Sha256) -> io::Result<Option<Vec<u8>>> {
        let Some(previous) = self.previous else { return Ok(None) };
        match previous.find(sha256)? {
            Some(Found::Here(range)) => previous.read(range).map(Some),
            Some(Found::InWhole) | None => Ok(None),
        }
    }

    fn add(&mut self, sha256: Sha256, bytes: &[u8], superseded_at: Option<Timestamp>) -> io::Result<Sha256> {
        if !self.shards.contains_key(sha256.as_bytes()) {
            let (offset, length) = self.write(bytes)?;
            self.list(Shard { sha256, offset, length, superseded_at });
        }
        Ok(sha256)
    }

    fn list(&mut self, shard: Shard) {
        self.shards.entry(*shard.sha256.as_bytes()).or_insert(shard);
    }

    /// Takes over what the pack before had and this one does not list, as long as its time lasts.
    fn keep_superseded(&mut self) -> io::Result<()> {
        let before = self.previous.map(Pack::shards).transpose()?.unwrap_or_default();
        for shard in before {
            let superseded_at = shard.superseded_at.unwrap_or(self.now);
            if self.shards.contains_key(shard.sha256.as_bytes()) || self.now.since(superseded_at) >= KEPT {
                continue;
            }
            let superseded_at = Some(superseded_at);
            match self.of_previous(&shard.sha256)? {
                Some(bytes) => {
                    self.add(shard.sha256, &bytes, superseded_at)?;
                }
                None => match self.whole.map(|whole| whole.find(&shard.sha256)).transpose()?.flatten() {
                    Some(_) => self.list(Shard { offset: IN_WHOLE, length: 0, superseded_at, ..shard }),
                    None => continue,
                },
            }
            self.packed.superseded += 1;
        }
        Ok(())
    }

    fn finish(mut self, document: &Document, subdir: &str) -> io::Result<Packed> {
        let index = self.index(document, subdir)?;
        let index_sha256 = Sha256::of(&index);
        let index = self.write(&index)?;
        let mut table = Vec::with_capacity(self.shards.len() * super::SHARD_BYTES);
        self.shards.values().for_each(|shard| table.extend(shard.to_bytes()));
        let shards = (self.write(&table)?.0, self.shards.len() as u64);
        table.clear();
        self.packages.iter().for_each(|package| package.write(&mut table));
        let packages = self.write(&table)?;
        self.write(&Trailer { index, index_sha256, shards, packages }.to_bytes())?;
        Ok(self.packed)
    }

    /// The shard index of what is listed. It has no time in it: two gates that know the same write the same.
    fn index(&self, document: &Document, subdir: &str) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut root = Open::map(&mut plain);
        root.next();
        msgpack::text(&mut plain, "version");
        msgpack::number(&mut plain, "1");
        root.next();
        msgpack::text(&mut plain, "info");
        encode_info(document, subdir, &mut plain).map_err(|_| invalid())?;
        root.next();
        msgpack::text(&mut plain, "shards");
        let mut shards = Open::map(&mut plain);
        for package in &self.packages {
            shards.next();
            msgpack::text(&mut plain, &package.name);
            msgpack::bytes(&mut plain, package.shard.as_bytes());
        }
        shards.end(&mut plain);
        root.end(&mut plain);
        zstd::bulk::compress(&plain, SHARD_ZSTD_LEVEL)
    }
}

/// Of a directory's 20,834 shards, level 1 makes 69 MiB in 0.8 s, level 3 71 MiB in 1.1 s, and level 9 69 MiB in 4.7 s.
/// `cargo bench --bench subdir -- 700000 levels`.
const SHARD_ZSTD_LEVEL: i32 = 1;
