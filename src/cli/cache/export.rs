//! `cache export`: what the cache holds into a bundle.
//!
//! Indexes are held open from the beginning, so that a running gate that fetches a newer one does not change what goes out; packages are
//! opened when their turn comes, and one that has gone by then is left out and told. Bytes are compared with their digest before they go
//! out. The file gets its name when it is whole.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::runtime::Handle;

use super::super::UsageError;
use super::super::args::{Chosen, Output};
use super::super::output;
use super::progress::Progress;
use super::{count, size};
use crate::app::Shelf;
use crate::cache::bundle::{BundleWriter, Member};
use crate::cache::{Hashing, Object};

/// What went out, as printed.
#[derive(Debug, Default, Serialize)]
struct ExportView {
    objects: u64,
    bytes: u64,
    /// Objects that had gone or were damaged when their turn came.
    left_out: Vec<String>,
}

/// `cache export`. Exit status 1 if something was left out.
pub(super) async fn run(
    shelf: Shelf,
    file: PathBuf,
    chosen: Chosen,
    output: Output,
) -> anyhow::Result<ExitCode> {
    for name in &chosen.channels {
        shelf.channel(name).ok_or_else(|| UsageError(shelf.no_channel(name)))?;
    }
    // A device or a pipe would be replaced by the bundle, as a file is.
    if std::fs::metadata(&file).is_ok_and(|there| !there.is_file()) {
        let problem = format!("{} is no plain file: name one, or a new one", file.display());
        return Err(UsageError(problem).into());
    }
    let mut members = Vec::new();
    for entry in chosen.entries(&shelf).await {
        if shelf.is_current(&entry.facts) {
            members.extend(Member::new(entry.facts, entry.validated_at));
        }
    }
    members.sort_by_cached_key(Member::rank);
    let mut held = HashMap::new();
    for member in members.iter().filter(|member| member.is_index()).take(HELD_MAX) {
        if let Some(object) = find(&shelf, member).await {
            held.insert(member.name(), object);
        }
    }
    let handle = Handle::current();
    let writing = move || write(&shelf, &file, &members, &held, &handle);
    let view = tokio::task::spawn_blocking(writing).await??;
    output::print(output, &view, |view| {
        let left_out: String = view.left_out.iter().map(|name| format!("left out {name}\n")).collect();
        format!("{left_out}exported {}, {}\n", count(view.objects, "object"), size(view.bytes))
    })?;
    Ok(if view.left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The member's object, if it is still the one that was seen.
async fn find(shelf: &Shelf, member: &Member) -> Option<Object> {
    let object = shelf.disk().peek(&member.facts.key()).await?;
    (object.facts().sha256 == member.facts.sha256).then_some(object)
}

fn write(
    shelf: &Shelf,
    file: &Path,
    members: &[Member],
    held: &HashMap<String, Object>,
    handle: &Handle,
) -> anyhow::Result<ExportView> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    let part = NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))
        .with_context(|| format!("a file beside {} cannot be made", file.display()))?;
    let progress = Progress::of_bytes(members.iter().map(|member| member.facts.length).sum());
    let mut view = ExportView::default();
    let mut bundle = BundleWriter::begin(BufWriter::with_capacity(CHUNK_BYTES, part), members)?;
    for member in members {
        let name = member.name();
        progress.about(&name);
        let object = held.get(&name).cloned().or_else(|| handle.block_on(find(shelf, member)));
        match object {
            Some(object) if is_sound(&object)? => {
                bundle.add(member, Bodied::of(&object))?;
                view.objects += 1;
                view.bytes += member.facts.length;
            }
            Some(_) => {
                progress.tell(format_args!(
                    "channelgate: {name} is damaged: `channelgate cache scrub` removes it"
                ));
                view.left_out.push(name);
            }
            None => view.left_out.push(name),
        }
        progress.advance(member.facts.length);
    }
    progress.finish();
    let mut out = bundle.finish()?;
    out.flush().with_context(|| format!("{} cannot be written", file.display()))?;
    let part = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    part.as_file().sync_all()?;
    part.persist(file)
        .map_err(|error| error.error)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(view)
}

fn is_sound(object: &Object) -> anyhow::Result<bool> {
    let mut hashing = Hashing::new();
    let mut body = Bodied::of(object);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match body.read(&mut chunk)? {
            0 => break,
            count => hashing.update(chunk.get(..count).unwrap_or_default()),
        }
    }
    Ok(hashing.finish() == object.facts().sha256)
}

/// An object's body, read from its beginning whoever else reads it.
struct Bodied {
    file: Arc<File>,
    at: u64,
    length: u64,
}

impl Bodied {
    fn of(object: &Object) -> Self {
        Self { file: Arc::clone(object.file()), at: 0, length: object.facts().length }
    }
}

impl Read for Bodied {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(buffer.get_mut(..left).unwrap_or_default(), self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Indexes held open. A channel has a few for each of its platforms; whoever has more exports channel by channel, or takes what is there
/// when its turn comes.
const HELD_MAX: usize = 512;
const CHUNK_BYTES: usize = 256 << 10;
