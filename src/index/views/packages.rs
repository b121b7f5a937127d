//! Packages under a view: judged by their names before anything is asked, then by what the directory's document says of them.

use std::sync::Arc;
use std::time::Duration;

use super::{SupplyError, Wanted};
use crate::cache::{Bypass, FillError, Object, Part};
use crate::clock::Timestamp;
use crate::conda::PackageFile;
use crate::index::indexes::{Origin, Shared};
use crate::index::records::Said;
use crate::index::sources::Table;
use crate::policy::{Artifact, Effect, FirstSeen, View, Visibility};
use crate::store::SeenDigest;

impl Shared {
    /// Lets a package pass that the view shows.
    ///
    /// # Errors
    ///
    /// [`SupplyError`], which of a package that is hidden is the same as of one that is not there.
    pub(super) async fn admit_package(
        self: &Arc<Self>,
        origin: &Origin,
        wanted: &Wanted<'_>,
        directory: &str,
        file: &str,
    ) -> Result<(), SupplyError> {
        let package = PackageFile::parse(file).ok_or(SupplyError::MISSING)?;
        let artifact = Artifact::of(&package);
        let (view, now) = (wanted.view, self.bench.clock.now());
        // What the rules say of the oldest and of the youngest. Where they agree, its age is nobody's business.
        let eldest = view.judge(&artifact, FirstSeen::Baseline, now);
        let youngest = view.judge(&artifact, FirstSeen::At(now), now);
        if !matches!(eldest, Visibility::Visible) {
            self.count_shadows_of(view, &artifact, FirstSeen::Baseline);
        }
        self.admitted(eldest)?;
        let (source, _) = self.truth(origin, directory).await?;
        let said = self.said_of(origin, &source, file).await?.ok_or(SupplyError::MISSING)?;
        if said.odd {
            return Err(SupplyError::MISSING);
        }
        let mut seen = FirstSeen::Baseline;
        if !matches!(youngest, Visibility::Visible) {
            let ages = self.ages(origin, directory, &source, view).await?;
            let digest = SeenDigest::of(said.sha256, file, said.size);
            seen = ages.map_or(FirstSeen::Baseline, |ages| ages.of(&digest));
            let judged = view.judge(&artifact, seen, now);
            if !matches!(judged, Visibility::Visible) {
                self.count_shadows_of(view, &artifact, seen);
            }
            self.admitted(judged)?;
        } else if asks_age(view, &artifact, now) {
            seen = self.observed(origin, view, directory, Some(file)).await;
        }
        if let Some((_, rule)) = view.deciding_rule(&artifact, seen, now) {
            self.bench.metrics.rule_matched(rule.effect.as_str(), rule.mode.as_str());
        }
        self.count_shadows_of(view, &artifact, seen);
        Ok(())
    }

    /// Counts what shadow rules would have done to a package that somebody asks for who may have it.
    pub(super) async fn count_shadows(
        self: &Arc<Self>,
        origin: &Origin,
        view: &View,
        directory: &str,
        file: &str,
    ) {
        if view.rules().is_empty() {
            return;
        }
        if let Some(package) = PackageFile::parse(file) {
            let artifact = Artifact::of(&package);
            let seen = if asks_age(view, &artifact, self.bench.clock.now()) {
                Box::pin(self.observed(origin, view, directory, Some(file))).await
            } else {
                FirstSeen::Baseline
            };
            self.count_shadows_of(view, &artifact, seen);
        }
    }

    /// How old a file is, for shadow rules, and with it that all of its directory was seen. Nobody is refused for want of an answer, nor
    /// kept waiting for it: what is not known soon counts as old, and is found out all the same.
    pub(super) async fn observed(
        self: &Arc<Self>,
        origin: &Origin,
        view: &View,
        directory: &str,
        file: Option<&str>,
    ) -> FirstSeen {
        let Some(longest) = view.longest_observed() else { return FirstSeen::Baseline };
        let Ok(turn) = Arc::clone(&self.sights.observing).try_acquire_owned() else {
            return FirstSeen::Baseline;
        };
        let (shared, origin) = (Arc::clone(self), origin.clone());
        let (directory, file) = (directory.to_owned(), file.map(str::to_owned));
        let observing = tokio::spawn(async move {
            let _turn = turn;
            let (source, _) = shared.truth(&origin, &directory).await?;
            let ages = shared.ages_within(&origin, &directory, &source, longest).await?;
            let Some(file) = file else { return Ok(FirstSeen::Baseline) };
            let said = shared.said_of(&origin, &source, &file).await?;
            let digest = said.map(|said| SeenDigest::of(said.sha256, &file, said.size));
            Ok::<_, SupplyError>(digest.map_or(FirstSeen::Baseline, |digest| ages.of(&digest)))
        });
        match tokio::time::timeout(OBSERVING_MAX, observing).await {
            Ok(Ok(Ok(seen))) => seen,
            _ => FirstSeen::Baseline,
        }
    }

    fn count_shadows_of(&self, view: &View, artifact: &Artifact<'_>, seen: FirstSeen) {
        for rule in view.shadows(artifact, seen, self.bench.clock.now()) {
            self.bench.metrics.rule_matched(rule.effect.as_str(), rule.mode.as_str());
        }
    }

    /// What the index says of a file; `None` if it does not list it.
    async fn said_of(
        self: &Arc<Self>,
        origin: &Origin,
        source: &Object,
        file: &str,
    ) -> Result<Option<Said>, SupplyError> {
        let key = source.facts().key().of_part(Part::Digests);
        for is_second in [false, true] {
            if is_second {
                self.tabulate(origin, source).await;
            }
            let table = self.bench.disk.find(&key).await;
            let table = table.filter(|table| table.facts().generation == source.facts().generation);
            let Some(table) = table else { continue };
            if let Some(table) = Table::open(&table).await {
                return Ok(table.find(file).await.map(|found| found.said));
            }
        }
        // The table could not be written: nobody can tell what there is.
        Err(FillError::Unkept(Bypass::DiskError).into())
    }

    /// Counts and tells what a rule says against a package.
    fn admitted(&self, visibility: Visibility<'_>) -> Result<(), SupplyError> {
        match visibility {
            Visibility::Visible => Ok(()),
            Visibility::Hidden => Err(SupplyError::MISSING),
            Visibility::Blocked(rule) => {
                self.bench.metrics.rule_matched(rule.effect.as_str(), rule.mode.as_str());
                Err(SupplyError::Blocked { reason: rule.reason.clone() })
            }
            Visibility::Quarantined { rule, until } => {
                self.bench.metrics.rule_matched(rule.effect.as_str(), rule.mode.as_str());
                Err(SupplyError::Quarantined { reason: rule.reason.clone(), until })
            }
        }
    }
}

/// True if a shadow rule would hold an artifact back if it were new.
fn asks_age(view: &View, artifact: &Artifact<'_>, now: Timestamp) -> bool {
    view.shadows(artifact, FirstSeen::At(now), now).any(|rule| matches!(rule.effect, Effect::Quarantine(_)))
}

/// How long a request waits to know how old a file is that shadow rules alone ask about.
const OBSERVING_MAX: Duration = Duration::from_millis(500);
