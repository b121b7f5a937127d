//! From specifications to packages of indexes. There is no solving: what a package depends on is not looked at.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::super::super::UsageError;
use super::super::super::args::WarmArguments;
use super::{Directory, FailureView, Wanted};
use crate::app::Shelf;
use crate::cache::Object;
use crate::conda::{ChannelName, MatchSpec, UpstreamPath};
use crate::index::{IndexKind, Offer, offers};

/// Specifications, each with the places of its channels among the shelf's.
pub(super) struct Selection(Vec<(MatchSpec, Vec<usize>)>);

impl Selection {
    /// What is asked for on the command line.
    ///
    /// # Errors
    ///
    /// A specification without a channel, or with one that there is not.
    pub(super) fn of(shelf: &Shelf, warm: &WarmArguments) -> Result<Self, UsageError> {
        let places = |spec: &MatchSpec| {
            let named: Vec<_> = match &spec.channel {
                Some(channel) => vec![channel],
                None => warm.channels.iter().collect(),
            };
            if named.is_empty() {
                let spec = spec.as_str();
                return Err(UsageError(format!(
                    "which channel is \"{spec}\" of? Name it with --channel, or as in \"conda-forge::{spec}\""
                )));
            }
            let place = |name: &ChannelName| {
                shelf
                    .channels()
                    .position(|channel| channel.name == *name)
                    .ok_or_else(|| UsageError(shelf.no_channel(name)))
            };
            named.into_iter().map(place).collect()
        };
        let specs = warm.specs.iter().map(|spec| Ok((spec.clone(), places(spec)?)));
        let unknown = warm.channels.iter().find(|name| shelf.channel(name).is_none());
        match unknown {
            Some(name) => Err(UsageError(shelf.no_channel(name))),
            None => specs.collect::<Result<_, _>>().map(Self),
        }
    }

    /// Where their packages are.
    pub(super) fn directories(&self, subdirs: &[String]) -> Vec<Directory> {
        let places = self.0.iter().flat_map(|(_, places)| places);
        let of_place = |place: &usize| {
            let place = *place;
            subdirs.iter().map(String::as_str).chain(["noarch"]).map(move |subdir| (place, subdir.to_owned()))
        };
        places.flat_map(of_place).collect()
    }

    /// The packages that they mean: of each name and directory the newest build, or with `all` every one. What means nothing is a failure.
    ///
    /// # Errors
    ///
    /// An index cannot be read.
    pub(super) async fn packages(
        self,
        shelf: &Arc<Shelf>,
        indexes: &[(usize, String, Object)],
        all: bool,
        failed: &mut Vec<FailureView>,
    ) -> anyhow::Result<Vec<Wanted>> {
        let Self(specs) = self;
        if specs.is_empty() {
            return Ok(Vec::new());
        }
        let specs = Arc::new(specs);
        let mut wanted = Vec::new();
        let mut is_met = vec![false; specs.len()];
        for (at, directory, object) in indexes {
            let (at, specs, object, limits) = (*at, Arc::clone(&specs), object.clone(), *shelf.limits());
            let read = move || chosen(&object, &limits, at, &specs, all);
            let (files, met) = tokio::task::spawn_blocking(read).await??;
            for (is_met, met) in is_met.iter_mut().zip(met) {
                *is_met |= met;
            }
            let Some(channel) = shelf.channels().nth(at) else { continue };
            for file in files {
                // An inspected index names no other files than the grammar has.
                let Some(path) = UpstreamPath::parse(&format!("{directory}/{file}")) else { continue };
                wanted.push(Wanted { channel: channel.clone(), path, sha256: None });
            }
        }
        for ((spec, _), _) in specs.iter().zip(&is_met).filter(|(_, is_met)| !**is_met) {
            failed.push(FailureView {
                file: spec.as_str().to_owned(),
                problem: "no package of the indexes that could be read is meant by it".to_owned(),
            });
        }
        Ok(wanted)
    }
}

/// The files of one index that are meant, and which specifications meant one.
fn chosen(
    object: &Object,
    limits: &crate::index::Limits,
    at: usize,
    specs: &[(MatchSpec, Vec<usize>)],
    all: bool,
) -> anyhow::Result<(Vec<String>, Vec<bool>)> {
    let name = object.facts().path.rsplit('/').next().unwrap_or_default();
    let Some(kind) = IndexKind::of(name) else { return Ok(Default::default()) };
    let mut met = vec![false; specs.len()];
    let mut files = Vec::new();
    let mut newest: BTreeMap<(usize, String), (String, Offer)> = BTreeMap::new();
    let body = Body { object, at: 0 };
    offers(kind, body, limits, |file, offer| {
        for (number, (spec, places)) in specs.iter().enumerate() {
            if !places.contains(&at) || !spec.matches(&offer.name, &offer.version, &offer.build) {
                continue;
            }
            if let Some(met) = met.get_mut(number) {
                *met = true;
            }
            if all {
                files.push(file.to_owned());
                continue;
            }
            let place = (number, offer.name.clone());
            let is_newer = newest.get(&place).is_none_or(|(before, known)| {
                // The same build in both formats: the newer format, which clients prefer.
                offer.cmp_age(known).then_with(|| is_conda(file).cmp(&is_conda(before))).is_gt()
            });
            if is_newer {
                newest.insert(place, (file.to_owned(), offer.clone()));
            }
        }
    })?;
    files.extend(newest.into_values().map(|(file, _)| file));
    files.sort();
    files.dedup();
    Ok((files, met))
}

fn is_conda(file: &str) -> bool {
    file.ends_with(".conda")
}

/// An object's bytes.
struct Body<'o> {
    object: &'o Object,
    at: u64,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.object.facts().length.saturating_sub(self.at);
        let left = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.object.file().read_at(buffer.get_mut(..left).unwrap_or_default(), self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
