//! The JSON representations of a directory, its run exports, and the channel's data, as a view shows them.

use std::io;
use std::sync::Arc;

use serde::Deserialize;

use super::made::{Recipe, Writing, digest_of};
use super::sight::Sight;
use super::truth::{refused, unkept};
use super::{SupplyError, Wanted, leads_away};
use crate::cache::{CacheError, CacheStatus, FillError, Kind, Object, Part, Sha256, Supply, Want};
use crate::conda::{Subdir, UpstreamPath};
use crate::index::family::{Family, beside};
use crate::index::indexes::{Origin, Shared};
use crate::index::making::decoded;
use crate::index::{Coding, IndexFault, Selection, filter_channeldata, write_json, write_zst};
use crate::metrics::MadeKind;
use crate::policy::{Artifact, FirstSeen, View, Visibility};
use crate::upstream::Method;

impl Shared {
    /// An index in JSON for who may see all: the upstream's own, or made of another form of it where it has none in this one.
    pub(super) async fn own_or_made_document(
        self: &Arc<Self>,
        origin: &Origin,
        wanted: &Wanted<'_>,
        family: &Family<'_>,
        coding: Coding,
    ) -> Result<Supply, SupplyError> {
        let missing = match self.fetch(origin, wanted.path, false).await {
            Ok(Supply::Object(object, _)) if leads_away(&object) => {
                return self.document(origin, wanted, family, coding).await;
            }
            Err(missing @ CacheError::Missing { .. }) if family.is_whole() && coding != Coding::Bzip2 => {
                missing
            }
            supply => return Ok(supply?),
        };
        // Whatever is the matter with the other forms: this one is not there, and who asks goes on to them and is told.
        let Ok((source, status)) = self.truth(origin, family.directory()).await else {
            return Err(missing.into());
        };
        if leads_away(&source) {
            return self.document(origin, wanted, family, coding).await;
        }
        let made = self.made(origin, wanted.path, &source).await.map_err(CacheError::Fill)?;
        Ok(Supply::Object(made, status))
    }

    /// An index in JSON as the view shows it.
    pub(super) async fn document(
        self: &Arc<Self>,
        origin: &Origin,
        wanted: &Wanted<'_>,
        family: &Family<'_>,
        coding: Coding,
    ) -> Result<Supply, SupplyError> {
        if coding == Coding::Bzip2 {
            return Err(SupplyError::MISSING);
        }
        let (source, status, sight) = self.sight(origin, family.directory(), wanted.view).await?;
        let (own, status) =
            if family.is_whole() { (source.clone(), status) } else { self.newest_of(origin, family).await? };
        // Nothing is hidden, and nothing leads elsewhere. A document of its own may name more than the directory's.
        let is_as_it_is = sight.shown.is_none() && (family.is_whole() || wanted.view.is_whole());
        if is_as_it_is && !leads_away(&own) {
            let supply = self.fetch(origin, wanted.path, false).await;
            if let Ok(Supply::Object(object, _)) = &supply
                && object.facts().generation == own.facts().generation
            {
                return Ok(supply?);
            }
        }
        let made =
            self.make_document(origin, wanted.path, wanted.view, coding, (&source, &sight), (own, status));
        made.await
    }

    /// `run_exports.json` as the view shows it.
    pub(super) async fn exports(
        self: &Arc<Self>,
        origin: &Origin,
        wanted: &Wanted<'_>,
        directory: &str,
        coding: Coding,
    ) -> Result<Supply, SupplyError> {
        let (source, _, sight) = self.sight(origin, directory, wanted.view).await?;
        // One of the two is the truth for both.
        let paths = ["run_exports.json.zst", "run_exports.json"];
        for path in paths.into_iter().filter_map(|file| beside(directory, file)) {
            let own = match self.whole_file(origin, &path).await {
                Err(SupplyError::Cache(CacheError::Missing { .. })) => continue,
                own => own?,
            };
            let sight = (&source, &*sight);
            return self.make_document(origin, wanted.path, wanted.view, coding, sight, own).await;
        }
        Err(SupplyError::MISSING)
    }

    /// Makes `path` of the records of `own` whose files the directory's document, too, has and shows.
    async fn make_document(
        self: &Arc<Self>,
        origin: &Origin,
        path: &UpstreamPath,
        view: &View,
        coding: Coding,
        (source, sight): (&Object, &Sight),
        (own, status): (Object, CacheStatus),
    ) -> Result<Supply, SupplyError> {
        let own_digest = own.facts().generation.unwrap_or(own.facts().sha256);
        let pieces: [&[u8]; 4] = [
            own_digest.as_bytes(),
            sight.generation.as_bytes(),
            &sight.words(),
            if coding == Coding::Zstd { b"zst" } else { b"json" },
        ];
        let recipe = Recipe {
            kind: MadeKind::Document,
            key: origin.key(path).of_part(Part::View(Sha256::from_bytes(*view.id().as_bytes()))),
            digest: digest_of(MadeKind::Document, &pieces),
            source: own.clone(),
        };
        let prepare = || async {
            let document = self.document_of(&own).await?;
            let selection = if own_digest == sight.generation || view.is_whole() {
                sight.selection()
            } else {
                let whole = self.document_of(source).await?;
                let (shown, now) = (sight.selection(), self.bench.clock.now());
                Selection::within(&document, (&whole, &shown), |removed| {
                    removed.package().is_some_and(|package| {
                        let seen = FirstSeen::Baseline;
                        view.judge(&Artifact::of(&package), seen, now) == Visibility::Visible
                    })
                })
            };
            let write: Writing = Box::new(move |mut out| match coding {
                Coding::Zstd => write_zst(&document, &selection, &mut out),
                Coding::Plain | Coding::Bzip2 => write_json(&document, &selection, &mut out),
            });
            Ok(write)
        };
        let (made, status) = self.made_of(recipe, status, prepare).await?;
        Ok(Supply::Object(made, status))
    }

    /// `channeldata.json` as the view shows it: the names that have a file in one of their platforms that is shown.
    pub(super) async fn channel_names(
        self: &Arc<Self>,
        origin: &Origin,
        wanted: &Wanted<'_>,
        above: &str,
    ) -> Result<Supply, SupplyError> {
        let (own, status) = self.whole_file(origin, wanted.path).await?;
        let subdirs = self.subdirs_of(&own).await?;
        let mut sights: Vec<(String, Object, Arc<Sight>)> = Vec::new();
        for subdir in subdirs {
            match self.sight(origin, &format!("{above}{subdir}/"), wanted.view).await {
                Ok((source, _, sight)) => sights.push((subdir, source, sight)),
                // A platform that the channel has no more, or has not yet.
                Err(SupplyError::Cache(CacheError::Missing { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        let mut pieces = vec![own.facts().sha256.as_bytes().to_vec()];
        for (subdir, _, sight) in &sights {
            pieces.push(subdir.as_bytes().to_vec());
            pieces.push(sight.generation.as_bytes().to_vec());
            pieces.push(sight.words().to_vec());
        }
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let view = Sha256::from_bytes(*wanted.view.id().as_bytes());
        let recipe = Recipe {
            kind: MadeKind::Names,
            key: origin.key(wanted.path).of_part(Part::View(view)),
            digest: digest_of(MadeKind::Names, &pieces),
            source: own.clone(),
        };
        let prepare = || async {
            let mut shown = Vec::new();
            for (subdir, source, sight) in sights {
                let document = self.document_of(&source).await?;
                let selection = sight.selection();
                shown.push((subdir, document, selection));
            }
            let limits = self.bench.config.limits;
            let write: Writing = Box::new(move |mut out| {
                let bytes = decoded(&own, &limits).map_err(io::Error::other)?;
                let shown: Vec<_> = shown
                    .iter()
                    .map(|(subdir, document, selection)| (subdir.as_str(), &**document, selection))
                    .collect();
                filter_channeldata(&bytes, &shown, &limits, &mut out)
                    .map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))
            });
            Ok(write)
        };
        let (made, status) = self.made_of(recipe, status, prepare).await?;
        Ok(Supply::Object(made, status))
    }

    /// The platforms that a `channeldata.json` names.
    async fn subdirs_of(&self, own: &Object) -> Result<Vec<String>, SupplyError> {
        #[derive(Deserialize)]
        struct Channel {
            #[serde(default)]
            subdirs: Vec<String>,
        }
        let (own, limits) = (own.clone(), self.bench.config.limits);
        let reading = tokio::task::spawn_blocking(move || {
            let bytes = decoded(&own, &limits)?;
            serde_json::from_slice::<Channel>(&bytes)
                .map_err(|error| IndexFault::of_json(&error, 0, bytes.len() as u64))
        });
        let read = reading.await.map_err(|_| FillError::Broken)?;
        let mut subdirs = read.map_err(refused)?.subdirs;
        subdirs.retain(|subdir| Subdir::parse(subdir).is_some());
        subdirs.truncate(SUBDIRS_MAX);
        Ok(subdirs)
    }

    /// A file of the upstream that is no index, whole.
    pub(super) async fn whole_file(
        self: &Arc<Self>,
        origin: &Origin,
        path: &UpstreamPath,
    ) -> Result<(Object, CacheStatus), SupplyError> {
        let Origin { channel, upstreams } = origin;
        let want = Want {
            channel,
            upstreams,
            path,
            at: None,
            method: Method::Get,
            kind: Kind::Metadata,
            anew: false,
        };
        match self.cache.fetch(&want).await? {
            Supply::Object(object, status) => Ok((object, status)),
            Supply::Filling(filling, status) => Ok((filling.whole().await?, status)),
            other => Err(unkept(&other).into()),
        }
    }
}

/// How many platforms of a channel are looked at: there are some twenty.
const SUBDIRS_MAX: usize = 64;
