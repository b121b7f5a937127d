//! Profiles: who asks for what, in which order. Pure; the same seed gives the same requests.
//!
//! A *visit* is what one client asks for when it comes once: to see whether its indexes are current, to solve an environment, to install
//! one. [`Plan::visit`] says what, of the files that [`Catalogue`] numbers.

use std::ops::Range;

use fastrand::Rng;

use super::catalogue::Catalogue;

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// They have the indexes and ask whether they are current.
    Revalidate,
    /// They solve: hundreds of shards.
    ShardBurst,
    /// They install: a list of packages, of all sizes.
    InstallStorm,
    /// They revalidate, among requests with tokens that nobody was given.
    TokenFlood,
    /// Of everything: 60 revalidations, 30 shards and 10 packages of a hundred requests.
    Mixed,
}

/// How large a visit is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Shards in a visit of [`Profile::ShardBurst`].
    pub shards: usize,
    /// Requests with garbage tokens for each other one; in [`Profile::TokenFlood`] and [`Profile::Mixed`].
    pub garbage: f64,
    /// What all choices follow from.
    pub seed: u64,
}

/// A request to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// Of the catalogue's files.
    pub(super) ask: usize,
    /// With a token that nobody was given.
    pub(super) is_garbage: bool,
}

/// What a profile asks of one channel.
#[derive(Clone, Debug)]
pub struct Plan {
    profile: Profile,
    shape: Shape,
    indexes: Range<usize>,
    shards: Range<usize>,
    packages: Range<usize>,
}

/// The channel does not have what the profile asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profile {profile} asks for {lacks}, and the channel has none that can be used: {way_out}", profile = .0.as_str(), lacks = .0.lacks().0, way_out = .0.lacks().1)]
pub struct PlanError(Profile);

impl Profile {
    /// Its name in options and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revalidate => "revalidate",
            Self::ShardBurst => "shard-burst",
            Self::InstallStorm => "install-storm",
            Self::TokenFlood => "token-flood",
            Self::Mixed => "mixed",
        }
    }

    /// Connections that a client has, unless told otherwise: conda downloads five packages at once and ten shards, and looks at its indexes
    /// one after the other.
    pub fn connections(self) -> usize {
        match self {
            Self::Revalidate | Self::TokenFlood => 1,
            Self::ShardBurst => 10,
            Self::InstallStorm => 5,
            Self::Mixed => 2,
        }
    }

    /// Whether it asks for these at all.
    pub fn uses_indexes(self) -> bool {
        matches!(self, Self::Revalidate | Self::TokenFlood | Self::Mixed)
    }

    /// Whether it asks for these at all.
    pub fn uses_shards(self) -> bool {
        matches!(self, Self::ShardBurst | Self::Mixed)
    }

    /// Whether it asks for these at all.
    pub fn uses_packages(self) -> bool {
        matches!(self, Self::InstallStorm | Self::Mixed)
    }

    /// What it cannot do without, and what to do without it.
    fn lacks(self) -> (&'static str, &'static str) {
        match self {
            Self::Revalidate | Self::TokenFlood => (
                "indexes with an ETag",
                "name further subdirectories with --subdir, or try --profile install-storm",
            ),
            Self::ShardBurst => {
                ("shards (CEP 16)", "name further subdirectories with --subdir, or try another profile")
            }
            Self::InstallStorm => {
                ("packages", "name further subdirectories with --subdir, or give a lock file of this channel")
            }
            Self::Mixed => ("anything", "name further subdirectories with --subdir"),
        }
    }
}

impl Plan {
    /// The plan of a profile for a channel that has this.
    ///
    /// # Errors
    ///
    /// It does not have what the profile asks for.
    pub fn new(profile: Profile, shape: Shape, catalogue: &Catalogue) -> Result<Self, PlanError> {
        let (indexes, shards, packages) = catalogue.counts();
        let plan = Self {
            profile,
            shape,
            indexes: 0..indexes,
            shards: indexes..indexes + shards,
            packages: indexes + shards..indexes + shards + packages,
        };
        let is_possible = match profile {
            Profile::Revalidate | Profile::TokenFlood => indexes > 0,
            Profile::ShardBurst => shards > 0,
            Profile::InstallStorm => packages > 0,
            Profile::Mixed => indexes + shards + packages > 0,
        };
        if is_possible { Ok(plan) } else { Err(PlanError(profile)) }
    }

    /// What a client asks for on its visit of this number: never nothing.
    pub(super) fn visit(&self, client: u64, number: u64) -> Vec<Job> {
        let mixed = self.shape.seed ^ client.rotate_left(40) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = Rng::with_seed(mixed);
        let asks: Vec<usize> = match self.profile {
            Profile::Revalidate | Profile::TokenFlood => self.indexes.clone().collect(),
            Profile::ShardBurst => random.choose_multiple(self.shards.clone(), self.shape.shards),
            Profile::InstallStorm => {
                let mut packages: Vec<usize> = self.packages.clone().collect();
                random.shuffle(&mut packages);
                packages
            }
            Profile::Mixed => {
                let kinds = [(60, &self.indexes), (30, &self.shards), (10, &self.packages)];
                let some = |(count, kind): (usize, &Range<usize>)| {
                    let pick = |_| (!kind.is_empty()).then(|| random.usize(kind.clone()));
                    (0..count).filter_map(pick).collect::<Vec<_>>()
                };
                let mut asks: Vec<usize> = kinds.into_iter().flat_map(some).collect();
                random.shuffle(&mut asks);
                asks
            }
        };
        let mut jobs: Vec<Job> = asks.into_iter().map(|ask| Job { ask, is_garbage: false }).collect();
        if matches!(self.profile, Profile::TokenFlood | Profile::Mixed) && self.shape.garbage > 0.0 {
            let garbage = self.garbage_after(number + 1, jobs.len()) - self.garbage_after(number, jobs.len());
            let files: Vec<usize> = jobs.iter().map(|job| job.ask).collect();
            let ask =
                |number: u64| files.get(usize::try_from(number).unwrap_or(0) % files.len().max(1)).copied();
            jobs.extend((0..garbage).filter_map(ask).map(|ask| Job { ask, is_garbage: true }));
            random.shuffle(&mut jobs);
        }
        jobs
    }

    /// Garbage in so many visits of `valid` other requests each.
    fn garbage_after(&self, visits: u64, valid: usize) -> u64 {
        (visits as f64 * valid as f64 * self.shape.garbage) as u64
    }
}

/// One visit after the other.
pub(super) struct Jobs {
    plan: std::sync::Arc<Plan>,
    client: u64,
    number: u64,
    left: std::vec::IntoIter<Job>,
}

impl Jobs {
    pub(super) fn new(plan: std::sync::Arc<Plan>, client: u64) -> Self {
        Self { plan, client, number: 0, left: Vec::new().into_iter() }
    }
}

impl Iterator for Jobs {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        self.left.next().or_else(|| {
            self.left = self.plan.visit(self.client, self.number).into_iter();
            self.number += 1;
            self.left.next()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::load::catalogue::Ask;

    fn catalogue(indexes: usize, shards: usize, packages: usize) -> Catalogue {
        let asks = |count| (0..count).map(|number| Ask::new(number.to_string())).collect();
        Catalogue {
            indexes: asks(indexes),
            shards: asks(shards),
            packages: asks(packages),
            notes: Vec::new(),
        }
    }

    fn plan(profile: Profile, garbage: f64, has: (usize, usize, usize)) -> Result<Plan, PlanError> {
        let shape = Shape { shards: 256, garbage, seed: 9 };
        Plan::new(profile, shape, &catalogue(has.0, has.1, has.2))
    }

    #[test]
    fn visits_ask_for_what_their_profile_is_about() {
        let of = |profile, garbage| plan(profile, garbage, (3, 1_000, 40)).unwrap().visit(1, 2);
        let asks = |jobs: &[Job]| {
            let mut asks: Vec<_> = jobs.iter().map(|job| job.ask).collect();
            asks.sort_unstable();
            asks
        };
        assert_eq!(asks(&of(Profile::Revalidate, 5.0)), [0, 1, 2]);
        let burst = asks(&of(Profile::ShardBurst, 5.0));
        assert!(burst.len() == 256 && burst.iter().all(|ask| (3..1_003).contains(ask)));
        assert!(burst.windows(2).all(|pair| pair[0] < pair[1]), "no shard twice");
        assert_eq!(asks(&of(Profile::InstallStorm, 5.0)), (1_003..1_043).collect::<Vec<_>>());
        let flood = of(Profile::TokenFlood, 10.0);
        assert_eq!(flood.iter().filter(|job| job.is_garbage).count(), 30);
        assert!(flood.iter().all(|job| job.ask < 3) && flood.len() == 33);
        let mixed = of(Profile::Mixed, 0.0);
        let count = |range: Range<usize>| mixed.iter().filter(|job| range.contains(&job.ask)).count();
        assert_eq!((count(0..3), count(3..1_003), count(1_003..1_043)), (60, 30, 10));
    }

    #[test]
    fn mixed_goes_without_what_there_is_not_and_others_refuse() {
        assert_eq!(plan(Profile::Mixed, 0.0, (2, 0, 0)).unwrap().visit(0, 0).len(), 60);
        for (profile, has) in [
            (Profile::Revalidate, (0, 5, 5)),
            (Profile::TokenFlood, (0, 5, 5)),
            (Profile::ShardBurst, (5, 0, 5)),
            (Profile::InstallStorm, (5, 5, 0)),
            (Profile::Mixed, (0, 0, 0)),
        ] {
            let error = plan(profile, 1.0, has).unwrap_err().to_string();
            assert!(error.contains(profile.as_str()) && error.contains("--"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_comes_in_its_ratio_and_visits_are_never_empty(
            ratio in 0.0..12.0, indexes in 1_usize..6, profile in prop_oneof![Just(Profile::TokenFlood), Just(Profile::Mixed)],
        ) {
            let plan = plan(profile, ratio, (indexes, 2, 2)).unwrap();
            let visits: Vec<_> = (0..50).map(|number| plan.visit(3, number)).collect();
            prop_assert!(visits.iter().all(|visit| !visit.is_empty()));
            let count = |is_garbage| visits.iter().flatten().filter(|job| job.is_garbage == is_garbage).count() as f64;
            prop_assert!((count(true) - ratio * count(false)).abs() <= 1.0, "{} of {}", count(true), count(false));
            prop_assert_eq!(plan.visit(3, 7), plan.visit(3, 7));
        }
    }
}
