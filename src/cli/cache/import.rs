//! `cache import`: a bundle into the cache, believing nothing of it.
//!
//! The bundle is read twice. The first time nothing is written: channels, sizes, names, order and every digest are checked, so that a bundle
//! that is damaged or cut off anywhere changes nothing. The second time each object is written to a draft, checked again, and made whole:
//!
//! | object | must be |
//! | --- | --- |
//! | any | of the length and digest that the manifest names |
//! | an index or shard | one that passes inspection, as if an upstream had sent it |
//! | a package | of the digest and size that the index held for it names; indexes come first in a bundle |
//!
//! It is filed under the channel of the same name as this gate has it, whatever upstreams the other had. What is here already stays, unless
//! the bundle's is an index that was current later.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use bytes::Bytes;
use serde::Serialize;
use tokio::runtime::Handle;

use super::super::UsageError;
use super::super::args::Output;
use super::super::output;
use super::progress::Progress;
use super::{count, size};
use crate::app::{self, Shelf, Shelved};
use crate::cache::bundle::{self, BundleError, Manifest, Member};
use crate::cache::{DraftError, Facts, Object, Proof};
use crate::clock::Timestamp;
use crate::conda::{ChannelName, FileKind};

/// What came in, as printed.
#[derive(Debug, Default, Serialize)]
struct ImportView {
    imported: u64,
    bytes: u64,
    /// Here already.
    present: u64,
    failed: Vec<FailureView>,
}

/// An object that did not, as printed.
#[derive(Debug, Serialize)]
struct FailureView {
    file: String,
    problem: String,
}

/// Why an import ends, or an object of it is refused.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(
        "the bundle has objects of channels that are not configured here: {}. Configure them, or import only some of it with --channel",
        .0.join(", ")
    )]
    UnknownChannels(Vec<String>),
    #[error("its objects take {}, and the cache's capacity is {}: raise cache.capacity, or import only some of it with --channel", size(*.bytes), size(*.capacity))]
    TooLarge { bytes: u64, capacity: u64 },
    #[error("its bytes are not those that its channel's index names")]
    NotOfTheIndex,
    #[error("the index is refused: {0}")]
    Refused(String),
    #[error("too many indexes are being inspected")]
    Busy,
    #[error("its inspection cannot begin")]
    Inspection(#[source] io::Error),
    #[error(transparent)]
    Draft(#[from] DraftError),
}

/// An import under way.
struct Import {
    shelf: Shelf,
    channels: Vec<ChannelName>,
    handle: Handle,
    view: ImportView,
}

/// `cache import`. Exit status 1 if something was refused.
pub(super) async fn run(
    shelf: Shelf,
    file: PathBuf,
    channels: Vec<ChannelName>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    for name in &channels {
        shelf.channel(name).ok_or_else(|| UsageError(shelf.no_channel(name)))?;
    }
    let import = Import { shelf, channels, handle: Handle::current(), view: ImportView::default() };
    let view = tokio::task::spawn_blocking(move || import.run(&file)).await??;
    output::print(output, &view, |view| {
        let failed: String = view
            .failed
            .iter()
            .map(|FailureView { file, problem }| format!("failed {file}: {problem}\n"))
            .collect();
        format!(
            "{failed}imported {}, {}; {} here already; {} failed\n",
            count(view.imported, "object"),
            size(view.bytes),
            view.present,
            view.failed.len()
        )
    })?;
    Ok(if view.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Import {
    fn run(mut self, file: &PathBuf) -> anyhow::Result<ImportView> {
        let mut source = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let mut progress = Progress::of_bytes(0);
        let checked = bundle::read(
            BufReader::with_capacity(CHUNK_BYTES, &source),
            |manifest| {
                progress = Progress::of_bytes(manifest.header.bytes.saturating_mul(2));
                progress.about("checking");
                self.accept(manifest)
            },
            |_, _| Ok(()),
        );
        checked.with_context(|| format!("{} is not imported", file.display()))?;
        io::Seek::rewind(&mut source)?;
        progress.about("importing");
        let broken_off = |error: ImportError| {
            anyhow::Error::from(error).context(format!("the import of {} was broken off", file.display()))
        };
        bundle::read(
            BufReader::with_capacity(CHUNK_BYTES, &source),
            |_| Ok(()),
            |member, body| {
                if self.wants(member) {
                    self.take(member, body)?;
                }
                progress.advance(member.facts.length.saturating_mul(2));
                Ok(())
            },
        )
        .map_err(broken_off)?;
        progress.finish();
        Ok(self.view)
    }

    fn wants(&self, member: &Member) -> bool {
        self.channels.is_empty() || self.channels.contains(&member.facts.channel)
    }

    /// Whether there is a place for all of it.
    fn accept(&self, manifest: &Manifest) -> Result<(), ImportError> {
        let wanted = || manifest.members.iter().filter(|member| self.wants(member));
        let is_unknown = |name: &&ChannelName| self.shelf.channel(name).is_none();
        let unknown: BTreeSet<_> = wanted().map(|member| &member.facts.channel).filter(is_unknown).collect();
        if !unknown.is_empty() {
            return Err(ImportError::UnknownChannels(unknown.into_iter().map(ToString::to_string).collect()));
        }
        let bytes = wanted().fold(0, |bytes: u64, member| bytes.saturating_add(member.facts.length));
        let capacity = self.shelf.disk().totals().capacity_bytes;
        if bytes > capacity { Err(ImportError::TooLarge { bytes, capacity }) } else { Ok(()) }
    }

    /// Takes one object in, or notes why not. Only a bundle that is not what it was a moment ago ends the import.
    fn take(&mut self, member: &Member, body: &mut dyn Read) -> Result<(), ImportError> {
        let Some(channel) = self.shelf.channel(&member.facts.channel).cloned() else { return Ok(()) };
        if self.is_here(&channel, member) {
            self.view.present += 1;
            return Ok(());
        }
        match self.store(&channel, member, body) {
            Ok(object) => {
                self.handle.block_on(self.shelf.disk().confirm(&object, self.validated_at(member)));
                self.view.imported += 1;
                self.view.bytes += member.facts.length;
                Ok(())
            }
            Err(ImportError::Bundle(error)) => Err(error.into()),
            Err(refusal) => {
                let failure =
                    FailureView { file: member.name(), problem: app::story(&anyhow::Error::from(refusal)) };
                self.view.failed.push(failure);
                Ok(())
            }
        }
    }

    /// When it was current, which is never later than now: what is of tomorrow would be newer than whatever an upstream has to say.
    fn validated_at(&self, member: &Member) -> Timestamp {
        member.validated_at.min(self.shelf.clock().now())
    }

    /// Whether what is kept here is as good as what the bundle has.
    fn is_here(&self, channel: &Shelved, member: &Member) -> bool {
        let key = channel.key(member.path());
        let Some(object) = self.handle.block_on(self.shelf.disk().peek(&key)) else { return false };
        let validated_at = self.validated_at(member);
        let is_same = object.facts().sha256 == member.facts.sha256;
        let is_older = object.validated_at() < validated_at;
        if is_same && is_older {
            self.handle.block_on(self.shelf.disk().confirm(&object, validated_at));
        }
        // Of two packages the index decides, and it does so in `store`.
        is_same || (member.path().kind() != FileKind::Package && !is_older)
    }

    fn store(&self, channel: &Shelved, member: &Member, body: &mut dyn Read) -> Result<Object, ImportError> {
        let key = channel.key(member.path());
        let mut proof = Proof::Unproven;
        if member.path().kind() == FileKind::Package {
            let digests = self.shelf.digests(channel, member.path());
            if let Some(expected) = self.handle.block_on(digests.known()) {
                if !expected.fits(member.facts.sha256, member.facts.length) {
                    return Err(ImportError::NotOfTheIndex);
                }
                if expected.sha256.is_some() {
                    proof = Proof::Index;
                }
            }
        }
        let inspection = self.shelf.inspection(channel, member.path());
        let upstream = channel.upstreams.position(&member.facts.upstream).unwrap_or(0);
        let begun = inspection.map(|inspection| inspection.begin(upstream)).transpose();
        let mut inspection = begun.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ImportError::Busy,
            _ => ImportError::Inspection(error),
        })?;
        let mut draft = self.handle.block_on(self.shelf.disk().draft(&key, Some(member.facts.length)))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = body.read(&mut chunk).map_err(BundleError::Read)?;
            let bytes = chunk.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            draft.write(bytes)?;
            if let Some(inspection) = &mut inspection {
                let refuse = |refused: crate::cache::Refused| ImportError::Refused(refused.to_string());
                inspection.chunk(&Bytes::copy_from_slice(bytes)).map_err(refuse)?;
            }
        }
        if draft.sha256_so_far() != member.facts.sha256 {
            return Err(BundleError::Damaged { name: member.name() }.into());
        }
        let mut generation = None;
        if let Some(inspection) = inspection {
            let passed = inspection.end().map_err(|refused| ImportError::Refused(refused.to_string()))?;
            generation = passed.generation;
            proof = if passed.leads_away { Proof::Leading } else { Proof::Inspected };
        }
        let now = self.shelf.clock().now();
        let facts = Facts {
            upstreams: channel.upstreams.id(),
            generation,
            proof,
            fetched_at: member.facts.fetched_at.min(now),
            last_modified: member.facts.last_modified.filter(|modified| {
                let since_epoch = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since_epoch.as_millis()).is_ok_and(|millis| millis <= now.as_millis())
            }),
            ..member.facts.clone()
        };
        Ok(draft.seal(facts)?)
    }
}

const CHUNK_BYTES: usize = 128 << 10;
