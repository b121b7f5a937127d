//! `cache warm`: fetches what a lock file or a specification names, before anybody asks for it.
//!
//! | step | |
//! | --- | --- |
//! | addresses of lock files to channels of the gate | `warm/map.rs` |
//! | the indexes of the subdirectories concerned, so that a gate without a network can tell its clients what there is | `repodata.json.zst`, else `repodata.json` |
//! | specifications to packages of those indexes | `warm/select.rs` |
//! | the packages, some at once, each compared with the lock file's digest | [`Shelf::fetch`], as for a client |
//!
//! What is kept already is not fetched again. Nothing ends the command early: what could not be had is listed at the end.

mod map;
mod select;

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde::Serialize;
use tokio::task::JoinSet;

use self::map::Map;
use super::super::UsageError;
use super::super::args::{Output, WarmArguments};
use super::super::output;
use super::progress::Progress;
use super::{count, size};
use crate::app::{self, Shelf, Shelved};
use crate::cache::{CacheError, CacheStatus, Object, Sha256, Supply};
use crate::conda::{LockFile, UpstreamPath};
use crate::config::Config;

/// What came of it, as printed.
#[derive(Debug, Default, Serialize)]
struct WarmView {
    /// Files fetched, indexes included.
    fetched: u64,
    bytes: u64,
    /// Kept already.
    present: u64,
    failed: Vec<FailureView>,
    /// Addresses that no channel of this gate stands for.
    unmapped: Vec<String>,
    /// Entries of lock files that are no conda packages.
    skipped: usize,
}

/// A file that could not be had, as printed.
#[derive(Debug, Serialize)]
struct FailureView {
    file: String,
    problem: String,
}

/// A file to fetch.
#[derive(Clone)]
struct Wanted {
    channel: Shelved,
    path: UpstreamPath,
    /// What a lock file expects.
    sha256: Option<Sha256>,
}

/// A subdirectory of a channel or of one of its labels, without a slash at its end.
type Directory = (usize, String);

/// `cache warm`. Exit status 1 if anything is missing at the end.
pub(super) async fn run(
    shelf: Shelf,
    config: &Config,
    warm: WarmArguments,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let map = Map::new(&shelf, config);
    let mut view = WarmView::default();
    let mut wanted = Vec::new();
    let mut directories = BTreeSet::new();
    for file in &warm.lock_files {
        let lock = read(file)?;
        view.skipped += lock.foreign;
        for package in lock.packages {
            let Some(mapped) = map.of(&package.url) else {
                view.unmapped.push(package.url.to_string());
                continue;
            };
            let is_wanted = (warm.channels.is_empty() || warm.channels.contains(&mapped.channel.name))
                && (warm.subdirs.is_empty() || mapped.is_for(&warm.subdirs));
            if is_wanted {
                directories.extend([mapped.directory("noarch"), mapped.directory(&mapped.subdir)]);
                let sha256 = package.sha256.map(Sha256::from_bytes);
                wanted.push(Wanted { channel: mapped.channel, path: mapped.path, sha256 });
            }
        }
    }
    let chosen = select::Selection::of(&shelf, &warm)?;
    directories.extend(chosen.directories(&warm.subdirs));

    let shelf = Arc::new(shelf);
    let mut indexes = Vec::new();
    for (at, directory) in directories {
        let Some(channel) = shelf.channels().nth(at).cloned() else { continue };
        match index(&shelf, &channel, &directory).await {
            Ok(Some((object, status))) => {
                view.count(&object, status);
                indexes.push((at, directory, object));
            }
            Ok(None) if directory.ends_with("noarch") => {}
            Ok(None) => output::tell(format_args!(
                "channelgate: {}/{directory} has no index: its packages are kept unproven",
                channel.name
            )),
            Err(error) => view.fail(format!("{}/{directory}/repodata.json.zst", channel.name), &error.into()),
        }
    }
    wanted.extend(chosen.packages(&shelf, &indexes, warm.all, &mut view.failed).await?);
    drop(indexes);

    let progress = Progress::of_files(wanted.len() as u64);
    let fetched = fetch(&shelf, wanted, usize::from(warm.jobs), &progress, &mut view).await;
    progress.finish();
    fetched?;
    output::print(output, &view, WarmView::to_text)?;
    let is_complete = view.failed.is_empty() && view.unmapped.is_empty();
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A lock file's packages.
fn read(file: &Path) -> anyhow::Result<LockFile> {
    let mut text = String::new();
    File::open(file)
        .and_then(|file| file.take(LOCK_FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .with_context(|| format!("{} cannot be read", file.display()))?;
    if text.len() as u64 > LOCK_FILE_BYTES_MAX {
        return Err(UsageError(format!("{} is larger than any lock file: 256 MiB", file.display())).into());
    }
    LockFile::parse(&text).map_err(|error| UsageError(format!("{}: {error}", file.display())).into())
}

/// The index of a directory, if it has one.
async fn index(
    shelf: &Shelf,
    channel: &Shelved,
    directory: &str,
) -> Result<Option<(Object, CacheStatus)>, FetchProblem> {
    for name in ["repodata.json.zst", "repodata.json"] {
        let Some(path) = UpstreamPath::parse(&format!("{directory}/{name}")) else { continue };
        match object(shelf, channel, &path).await {
            Err(FetchProblem::Cache(CacheError::Missing { .. })) => {}
            decided => return decided.map(Some),
        }
    }
    Ok(None)
}

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
enum FetchProblem {
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("the cache cannot keep it: its disk is full, or its upstream forbids it")]
    Unkept,
    #[error("the lock file names the SHA-256 {expected}, and the channel has it with {found}")]
    NotOfTheLockFile { expected: Sha256, found: Sha256 },
}

/// The file, whole and kept.
async fn object(
    shelf: &Shelf,
    channel: &Shelved,
    path: &UpstreamPath,
) -> Result<(Object, CacheStatus), FetchProblem> {
    match shelf.fetch(channel, path).await? {
        Supply::Object(object, status) => Ok((object, status)),
        Supply::Filling(filling, status) => {
            let object = filling.whole().await.map_err(CacheError::from)?;
            Ok((object, status))
        }
        Supply::Portion(..) | Supply::Through(..) | Supply::Head(_) => Err(FetchProblem::Unkept),
    }
}

/// Fetches them, `jobs` at once.
async fn fetch(
    shelf: &Arc<Shelf>,
    wanted: Vec<Wanted>,
    jobs: usize,
    progress: &Progress,
    view: &mut WarmView,
) -> anyhow::Result<()> {
    let queue = Arc::new(Mutex::new(VecDeque::from(wanted)));
    let next = move |queue: &Mutex<VecDeque<Wanted>>| {
        queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    };
    let mut workers = JoinSet::new();
    for _ in 0..jobs {
        let (shelf, queue, progress) = (Arc::clone(shelf), Arc::clone(&queue), progress.clone());
        workers.spawn(async move {
            let mut view = WarmView::default();
            while let Some(Wanted { channel, path, sha256 }) = next(&queue) {
                let name = channel.key(&path).to_string();
                progress.about(&name);
                match object(&shelf, &channel, &path).await.and_then(|got| compare(got, sha256)) {
                    Ok((object, status)) => {
                        view.count(&object, status);
                        if !is_present(status) {
                            progress.tell_without_bar(format_args!(
                                "fetched {name}, {}",
                                size(object.facts().length)
                            ));
                        }
                    }
                    Err(error) => view.fail(name, &error.into()),
                }
                progress.advance(1);
            }
            view
        });
    }
    while let Some(done) = workers.join_next().await {
        let done = done.context("a file could not be fetched")?;
        view.fetched += done.fetched;
        view.bytes += done.bytes;
        view.present += done.present;
        view.failed.extend(done.failed);
    }
    view.failed.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(())
}

fn compare(
    (object, status): (Object, CacheStatus),
    expected: Option<Sha256>,
) -> Result<(Object, CacheStatus), FetchProblem> {
    let found = object.facts().sha256;
    match expected {
        Some(expected) if expected != found => Err(FetchProblem::NotOfTheLockFile { expected, found }),
        _ => Ok((object, status)),
    }
}

/// Whether it was here before.
fn is_present(status: CacheStatus) -> bool {
    status.is_stored() || status == CacheStatus::Revalidated
}

impl WarmView {
    fn count(&mut self, object: &Object, status: CacheStatus) {
        if is_present(status) {
            self.present += 1;
        } else {
            self.fetched += 1;
            self.bytes += object.facts().length;
        }
    }

    fn fail(&mut self, file: String, error: &anyhow::Error) {
        self.failed.push(FailureView { file, problem: app::story(error) });
    }

    fn to_text(&self) -> String {
        let failed =
            self.failed.iter().map(|FailureView { file, problem }| format!("failed {file}: {problem}\n"));
        let unmapped = self.unmapped.iter().map(|url| {
            format!(
                "no channel for {url}: give a channel of this gate that upstream, or lock against the gate\n"
            )
        });
        let skipped = match self.skipped {
            0 => String::new(),
            entries => format!("; {entries} of the lock file are no conda packages"),
        };
        format!(
            "{}fetched {}, {}; {} here already; {} failed{skipped}\n",
            failed.chain(unmapped).collect::<String>(),
            count(self.fetched, "file"),
            size(self.bytes),
            self.present,
            self.failed.len() + self.unmapped.len(),
        )
    }
}

const LOCK_FILE_BYTES_MAX: u64 = 256 << 20;
