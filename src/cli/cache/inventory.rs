//! `cache list`, `stats`, `purge` and `scrub`: what is on the disk already.

use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::super::UsageError;
use super::super::args::{Chosen, Output};
use super::super::output;
use super::super::view::{details, table};
use super::progress::Progress;
use super::{count, size};
use crate::app::Shelf;
use crate::cache::{Entry, Key, KeyDigest, Part, Sha256, Verdict};
use crate::clock::Timestamp;

/// An object, as printed.
#[derive(Debug, Serialize)]
struct ObjectView {
    channel: String,
    path: String,
    bytes: u64,
    sha256: Sha256,
    /// How its bytes are known to be right.
    proof: &'static str,
    upstream: String,
    /// Whether the channel still has the upstreams that it is from; what is not current is never served.
    current: bool,
    fetched_at: Timestamp,
    validated_at: Timestamp,
    used_at: Timestamp,
}

/// What there is of one channel, as printed.
#[derive(Debug, Default, Serialize)]
struct ChannelView {
    objects: u64,
    bytes: u64,
}

/// What there is in all, as printed.
#[derive(Debug, Serialize)]
struct StatsView {
    objects: u64,
    /// Disk space taken.
    bytes: u64,
    capacity: u64,
    channels: BTreeMap<String, ChannelView>,
    /// Of channels, or upstreams of channels, that are not configured any more.
    outdated: ChannelView,
}

/// Objects by what became of them, as printed.
#[derive(Debug, Default, Serialize)]
struct PurgeView {
    objects: u64,
    bytes: u64,
}

/// As printed.
#[derive(Debug, Default, Serialize)]
struct ScrubView {
    sound: u64,
    bytes: u64,
    /// Removed.
    damaged: Vec<String>,
}

impl ObjectView {
    fn new(entry: Entry, shelf: &Shelf) -> Self {
        let current = shelf.is_current(&entry.facts);
        let Entry { facts, validated_at, used_at, .. } = entry;
        Self {
            channel: facts.channel.to_string(),
            path: facts.path,
            bytes: facts.length,
            sha256: facts.sha256,
            proof: facts.proof.as_str(),
            upstream: facts.upstream,
            current,
            fetched_at: facts.fetched_at,
            validated_at,
            used_at,
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            size(self.bytes),
            self.proof.to_owned(),
            self.validated_at.to_string(),
            self.used_at.to_string(),
            format!("{}/{}{}", self.channel, self.path, if self.current { "" } else { " (outdated)" }),
        ]
    }
}

/// `cache list`.
pub(super) async fn list(shelf: &Shelf, chosen: &Chosen, output: Output) -> anyhow::Result<ExitCode> {
    let entries = chosen.entries(shelf).await;
    let views: Vec<_> = entries.into_iter().map(|entry| ObjectView::new(entry, shelf)).collect();
    output::print(output, &views, |views| {
        table(&["SIZE", "PROOF", "CURRENT AT", "USED AT", "FILE"], views.iter().map(ObjectView::row))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// `cache stats`.
pub(super) async fn stats(shelf: &Shelf, output: Output) -> anyhow::Result<ExitCode> {
    let totals = shelf.disk().totals();
    let mut view = StatsView {
        objects: totals.objects,
        bytes: totals.bytes,
        capacity: totals.capacity_bytes,
        channels: shelf
            .channels()
            .map(|channel| (channel.name.to_string(), ChannelView::default()))
            .collect(),
        outdated: ChannelView::default(),
    };
    let mut walk = shelf.disk().walk();
    while let Some(entry) = walk.next().await {
        let of = match shelf.is_current(&entry.facts) {
            true => view.channels.entry(entry.facts.channel.to_string()).or_default(),
            false => &mut view.outdated,
        };
        // What is derived from an index takes space, but is no object to whoever asks.
        of.objects += u64::from(entry.facts.part == Part::File);
        of.bytes += entry.bytes;
    }
    view.objects = view.channels.values().map(|channel| channel.objects).sum::<u64>() + view.outdated.objects;
    output::print(output, &view, StatsView::to_text)?;
    Ok(ExitCode::SUCCESS)
}

impl StatsView {
    fn to_text(&self) -> String {
        let parts_per_thousand =
            self.bytes.saturating_mul(1_000).checked_div(self.capacity).unwrap_or_default();
        let share = format!("{}.{} %", parts_per_thousand / 10, parts_per_thousand % 10);
        let totals = details(&[
            ("objects", self.objects.to_string()),
            ("size", format!("{} of {} ({share})", size(self.bytes), size(self.capacity))),
        ]);
        let row = |name: &str, view: &ChannelView| {
            vec![name.to_owned(), view.objects.to_string(), size(view.bytes)]
        };
        let channels = self.channels.iter().map(|(name, view)| row(name, view));
        let outdated = (self.outdated.bytes > 0).then(|| row("(outdated)", &self.outdated));
        format!("{totals}\n{}", table(&["CHANNEL", "OBJECTS", "SIZE"], channels.chain(outdated)))
    }
}

/// `cache purge`.
pub(super) async fn purge(
    shelf: &Shelf,
    chosen: &Chosen,
    older_than: Option<Duration>,
    everything: bool,
    output: Output,
) -> anyhow::Result<ExitCode> {
    if chosen.is_everything() && older_than.is_none() && !everything {
        let problem =
            "purge what? Name files ('numpy-*'), --channel CHANNEL, --older-than DURATION, or --everything";
        return Err(UsageError(problem.to_owned()).into());
    }
    let unused_since = older_than.map(|age| shelf.clock().now().minus(age));
    let (mut view, mut purged) = (PurgeView::default(), HashSet::new());
    for entry in chosen.entries(shelf).await {
        if unused_since.is_some_and(|since| entry.used_at > since) {
            continue;
        }
        let key = entry.facts.key();
        if shelf.disk().remove(&key).await {
            view.objects += 1;
            view.bytes += entry.bytes;
        }
        purged.insert(key.digest());
    }
    for derived in derived(shelf, |file| everything || purged.contains(file)).await {
        shelf.disk().remove(&derived).await;
    }
    output::print(output, &view, |view| {
        format!("purged {}, {}\n", count(view.objects, "object"), size(view.bytes))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What the gate has made of the files that `of` admits.
async fn derived(shelf: &Shelf, of: impl Fn(&KeyDigest) -> bool) -> Vec<Key> {
    let (mut keys, mut walk) = (Vec::new(), shelf.disk().walk());
    while let Some(entry) = walk.next().await {
        let key = entry.facts.key();
        if key.part().is_derived() && of(&key.of_part(Part::File).digest()) {
            keys.push(key);
        }
    }
    keys
}

/// `cache scrub`.
pub(super) async fn scrub(shelf: &Shelf, chosen: &Chosen, output: Output) -> anyhow::Result<ExitCode> {
    let entries = chosen.entries(shelf).await;
    let progress = Progress::of_bytes(entries.iter().map(|entry| entry.facts.length).sum());
    let (mut view, mut scrubbed) = (ScrubView::default(), HashSet::new());
    for entry in entries {
        let key = entry.facts.key();
        progress.about(&key);
        scrubbed.insert(key.digest());
        match shelf.disk().scrub(&key).await {
            Some(Verdict::Sound) => {
                view.sound += 1;
                view.bytes += entry.facts.length;
            }
            Some(Verdict::Bad) => {
                progress.tell(format_args!("channelgate: {key} is damaged and was removed"));
                view.damaged.push(key.to_string());
            }
            // Evicted or purged meanwhile.
            None => {}
        }
        progress.advance(entry.facts.length);
    }
    for derived in derived(shelf, |file| scrubbed.contains(file)).await {
        shelf.disk().scrub(&derived).await;
    }
    progress.finish();
    output::print(output, &view, |view| {
        let damaged: String = view.damaged.iter().map(|name| format!("removed {name}\n")).collect();
        format!(
            "{damaged}{} sound, {}; {} damaged\n",
            count(view.sound, "object"),
            size(view.bytes),
            view.damaged.len()
        )
    })?;
    Ok(if view.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
