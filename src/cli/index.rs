//! `channelgate index …`: which indexes are kept, what somebody sees of them, and how to have them anew. Beside a running gate or without one.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use super::UsageError;
use super::args::{IndexCommand, Output};
use super::cache::progress::Progress;
use super::output;
use super::session::Session;
use super::view::table;
use crate::app::{self, Shelf, Shelved};
use crate::cache::Sha256;
use crate::clock::{Timestamp, format_duration};
use crate::conda::{ChannelName, RequestTarget, redact};
use crate::gateway::{Refusal, verdict};
use crate::index::{Held, Seen, Tally};
use crate::policy::{Caller, Channels, Standing, View, decide};
use crate::token::TokenId;

/// One directory of a channel, as printed.
#[derive(Debug, Serialize)]
struct DirectoryView {
    label: Option<String>,
    subdir: String,
    /// The file that is the truth, and what it is of.
    file: String,
    generation: Option<Sha256>,
    fetched_at: Timestamp,
    validated_at: Timestamp,
    age_seconds: u64,
    bytes: u64,
    /// What the index names; `null` where it cannot be read.
    records: Option<usize>,
    packages: Option<usize>,
    removed: Option<usize>,
    /// Whether it is never served as it is, because it leads elsewhere.
    rewritten: bool,
    /// Whether it was put together of shards.
    assembled: bool,
    /// For how many views something made of it is kept.
    views: usize,
    /// With `--as`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sees: Option<SeesView>,
}

/// What a token sees of a directory, as printed.
#[derive(Debug, Default, Serialize)]
struct SeesView {
    /// `permit`, or the code of the refusal.
    decision: &'static str,
    visible: usize,
    hidden: usize,
    blocked: usize,
    quarantined: usize,
}

/// What became of one directory, as printed.
#[derive(Debug, Serialize)]
struct RefreshView {
    directory: String,
    /// `changed`, `unchanged` or `failed`.
    outcome: &'static str,
    generation: Option<Sha256>,
    problem: Option<String>,
}

/// Runs one of the commands.
///
/// # Errors
///
/// The cache's and the store's, and what is said wrongly.
pub(super) async fn run(command: IndexCommand, session: &Session<'_>) -> anyhow::Result<ExitCode> {
    let shelf = Shelf::open(session.config).await?;
    let find =
        |name: &ChannelName| shelf.channel(name).cloned().ok_or_else(|| UsageError(shelf.no_channel(name)));
    match command {
        IndexCommand::Show { channel, token, output } => {
            show(&shelf, &find(&channel)?, session, token.map(TokenId), output).await
        }
        IndexCommand::Refresh { channel, directories, output } => {
            refresh(&shelf, &find(&channel)?, directories, output).await
        }
    }
}

async fn show(
    shelf: &Shelf,
    channel: &Shelved,
    session: &Session<'_>,
    token: Option<TokenId>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let standing = match token {
        Some(id) => Some(standing(session, id).await?),
        None => None,
    };
    let now = session.now();
    let mut views = Vec::new();
    for held in shelf.indexes().held(&channel.name, &channel.upstreams).await {
        let tally = match shelf.indexes().tally(&held).await {
            Ok(tally) => Some(tally),
            Err(error) => {
                output::tell(format_args!(
                    "channelgate: the index of {}/{} cannot be read: {}",
                    channel.name,
                    held.directory,
                    app::story(&error.into())
                ));
                None
            }
        };
        let sees = match &standing {
            Some(standing) => Some(sees(shelf, channel, session, &held, standing, now).await?),
            None => None,
        };
        views.push(DirectoryView { sees, ..DirectoryView::new(&held, tally, now) });
    }
    if views.is_empty() {
        output::tell(format_args!(
            "channelgate: no index of {} is kept; one is once somebody asks for it, or `channelgate index refresh {} noarch`",
            channel.name, channel.name
        ));
    }
    output::print(output, &views, |views| DirectoryView::to_text(views))?;
    Ok(ExitCode::SUCCESS)
}

/// All that is known of the token with this id.
async fn standing(session: &Session<'_>, id: TokenId) -> anyhow::Result<Arc<Standing>> {
    let digest = session.store.token_digest(id).await?;
    let standing = match digest {
        Some(digest) => session.store.token_by_digest(&digest).await?.standing,
        None => None,
    };
    let standing = standing.with_context(|| {
        format!("there is no token with the id {id}; `channelgate token list` shows those there are")
    })?;
    Ok(Arc::new(standing))
}

/// What becomes of a directory's files for the bearer of a token, by the code that serves.
async fn sees(
    shelf: &Shelf,
    channel: &Shelved,
    session: &Session<'_>,
    held: &Held,
    standing: &Arc<Standing>,
    now: Timestamp,
) -> anyhow::Result<SeesView> {
    let channels = Channels::new(session.config.channels.iter().map(|channel| channel.rules.clone()));
    let path = format!("/{}/{}repodata.json", channel.name, held.directory);
    let target = RequestTarget::parse(&path).context("the path of a kept index cannot be asked for")?;
    let caller = Caller::Known(Arc::clone(standing));
    let view: View = match decide(&caller, &channels.locate(&target), now) {
        Ok(permit) => permit.view().clone(),
        Err(refusal) => {
            let decision = verdict(&Refusal::Denied(refusal), channel.name.as_str()).code;
            return Ok(SeesView { decision, ..SeesView::default() });
        }
    };
    let seen = Seen::new(session.store.clone(), session.clock.clone());
    let judged = shelf.indexes().judge(held, &view, &seen, now).await?;
    Ok(SeesView {
        decision: "permit",
        visible: judged.visible,
        hidden: judged.hidden,
        blocked: judged.blocked,
        quarantined: judged.quarantined,
    })
}

async fn refresh(
    shelf: &Shelf,
    channel: &Shelved,
    mut directories: Vec<String>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let indexes = shelf.indexes();
    let held = indexes.held(&channel.name, &channel.upstreams).await;
    if directories.is_empty() {
        directories.extend(held.iter().map(|held| held.directory.clone()));
    }
    if directories.is_empty() {
        let problem = format!("no index of {} is kept: name the subdirectories, as in noarch", channel.name);
        return Err(UsageError(problem).into());
    }
    let generation = |directory: &str| {
        let held = held.iter().find(|held| held.directory == directory)?;
        held.source.facts().generation
    };
    let progress = Progress::of_files(directories.len() as u64);
    let mut views = Vec::new();
    for directory in directories {
        let name = redact::text(&directory).into_owned();
        progress.about(&name);
        let before = generation(&directory);
        let refreshed = indexes.refresh(&channel.name, &channel.upstreams, &directory).await;
        let view = match refreshed {
            Ok(object) => {
                let generation = object.facts().generation;
                let outcome = if generation == before { "unchanged" } else { "changed" };
                RefreshView { directory: name, outcome, generation, problem: None }
            }
            Err(error) => {
                let problem = app::story(&error.into());
                progress.tell(format_args!("channelgate: {}/{name}: {problem}", channel.name));
                RefreshView { directory: name, outcome: "failed", generation: before, problem: Some(problem) }
            }
        };
        views.push(view);
        progress.advance(1);
    }
    progress.finish();
    output::print(output, &views, |views| {
        table(&["SUBDIR", "OUTCOME", "GENERATION"], views.iter().map(RefreshView::row))
    })?;
    let failed = views.iter().any(|view| view.problem.is_some());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl DirectoryView {
    fn new(held: &Held, tally: Option<Tally>, now: Timestamp) -> Self {
        let facts = held.source.facts();
        let directory = held.directory.trim_end_matches('/');
        let (above, subdir) = directory.rsplit_once('/').unwrap_or(("", directory));
        let (validated_at, fetched_at) = (held.source.validated_at(), facts.fetched_at);
        Self {
            label: above.strip_prefix("label/").map(|label| redact::text(label).into_owned()),
            subdir: subdir.to_owned(),
            file: facts.path.rsplit('/').next().unwrap_or_default().to_owned(),
            generation: facts.generation,
            fetched_at,
            validated_at,
            age_seconds: now.since(validated_at).as_secs(),
            bytes: facts.length,
            records: tally.map(|tally| tally.records),
            packages: tally.map(|tally| tally.packages),
            removed: tally.map(|tally| tally.removed),
            rewritten: held.is_rewritten(),
            assembled: held.is_assembled(),
            views: held.views,
            sees: None,
        }
    }

    fn to_text(views: &[Self]) -> String {
        let mut header = vec!["SUBDIR", "FILE", "GENERATION", "AGE", "FILES", "PACKAGES", "REMOVED", "VIEWS"];
        let is_judged = views.iter().any(|view| view.sees.is_some());
        if is_judged {
            header.extend(["DECISION", "VISIBLE", "HIDDEN", "BLOCKED", "QUARANTINED"]);
        }
        table(&header, views.iter().map(Self::row))
    }

    fn row(&self) -> Vec<String> {
        let place = match &self.label {
            Some(label) => format!("label/{label}/{}", self.subdir),
            None => self.subdir.clone(),
        };
        let marks = [(self.rewritten, " (rewritten)"), (self.assembled, " (of shards)")];
        let marks: String = marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect();
        let count = |count: Option<usize>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        let age = std::time::Duration::from_secs(self.age_seconds);
        let mut row = vec![
            place,
            format!("{}{marks}", self.file),
            short(self.generation),
            format_duration(age),
            count(self.records),
            count(self.packages),
            count(self.removed),
            self.views.to_string(),
        ];
        if let Some(sees) = &self.sees {
            row.push(sees.decision.to_owned());
            let counts = [sees.visible, sees.hidden, sees.blocked, sees.quarantined];
            row.extend(counts.map(|count| count.to_string()));
        }
        row
    }
}

impl RefreshView {
    fn row(&self) -> Vec<String> {
        vec![self.directory.clone(), self.outcome.to_owned(), short(self.generation)]
    }
}

/// Enough of a digest to tell two apart.
fn short(digest: Option<Sha256>) -> String {
    digest.map_or_else(|| "?".to_owned(), |digest| digest.to_string().chars().take(12).collect())
}
