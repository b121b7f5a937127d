//! What a caller may see of a channel at one of its labels: the packages that were granted, and the channel's rules.
//!
//! The judgement of one artifact, in this order: not granted is hidden, as if it were not there; of the rules that hold for it the first one
//! decides; without one it is visible. Rules in shadow mode decide nothing, and are asked for apart.
//!
//! Whatever serves a part of a channel asks here: indexes leave out what is not visible, and files are refused.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};

use super::packages::Packages;
use super::rule::{Effect, Mode, Rule};
use crate::clock::Timestamp;
use crate::conda::PackageFile;

/// What may be seen of a channel at one label. Clones share what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    packages: Packages,
    /// `None` if there are none, as most channels have it.
    rules: Option<Arc<[Rule]>>,
}

/// Which view it is: equal for callers who see the same, whatever grants and words that comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId([u8; 32]);

/// One package of a channel, in the form of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Artifact<'a> {
    /// The package's name; its case is of no account.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Its build.
    pub build: &'a str,
}

/// When the gate saw an artifact for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstSeen {
    /// It was there when the gate first looked at the directory: that is as good as long ago.
    Baseline,
    /// Then.
    At(Timestamp),
    /// Not that it is known, which counts as just now.
    Unknown,
}

/// Whether an artifact may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility<'v> {
    /// It may.
    Visible,
    /// It was not granted: it must look as if it did not exist.
    Hidden,
    /// This rule blocks it.
    Blocked(&'v Rule),
    /// This rule withholds it until it has been known for long enough.
    Quarantined {
        /// The rule.
        rule: &'v Rule,
        /// When it lets go of it.
        until: Timestamp,
    },
}

impl View {
    /// Everything.
    pub fn whole() -> Self {
        Self::default()
    }

    /// These packages, as far as these rules let them through.
    pub fn new(packages: Packages, rules: Arc<[Rule]>) -> Self {
        Self { packages, rules: Some(rules).filter(|rules| !rules.is_empty()) }
    }

    /// These packages, all of them.
    pub fn unruled(packages: Packages) -> Self {
        Self { packages, rules: None }
    }

    /// True if nothing can be hidden. Shadow rules hide nothing.
    pub fn is_whole(&self) -> bool {
        self.packages.is_all() && self.deciding().next().is_none()
    }

    /// Which view it is.
    pub fn id(&self) -> ViewId {
        let mut context = Context::new(&SHA256);
        let mut part = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        // No packages at all are no patterns, too.
        part(&[u8::from(self.packages.is_all())]);
        part(&(self.packages.patterns().len() as u64).to_be_bytes());
        self.packages.patterns().iter().for_each(|pattern| part(pattern.as_bytes()));
        for rule in self.deciding() {
            part(rule.effect.as_str().as_bytes());
            if let Effect::Quarantine(duration) = rule.effect {
                part(&duration.as_nanos().to_be_bytes());
            }
            part(rule.packages.as_str().trim().as_bytes());
        }
        let mut id = [0; 32];
        let digest = context.finish();
        id.iter_mut().zip(digest.as_ref()).for_each(|(byte, &of_digest)| *byte = of_digest);
        ViewId(id)
    }

    /// True if a rule hides what was first seen lately, so that the view changes with time alone.
    pub fn quarantines(&self) -> bool {
        self.longest_quarantine().is_some()
    }

    /// The longest time for which a rule hides what is new; `None` if none does.
    pub fn longest_quarantine(&self) -> Option<Duration> {
        self.deciding().filter_map(|rule| rule.effect.quarantine()).max()
    }

    /// The longest time for which a rule asks how new something is, shadow rules among them; `None` if none does.
    pub fn longest_observed(&self) -> Option<Duration> {
        self.rules().iter().filter_map(|rule| rule.effect.quarantine()).max()
    }

    /// True if it is only shadow rules that ask how new something is.
    pub fn only_observes(&self) -> bool {
        self.longest_observed().is_some() && !self.quarantines()
    }

    /// The packages that were granted.
    pub fn packages(&self) -> &Packages {
        &self.packages
    }

    /// The channel's rules, shadow rules among them, in the order in which they are asked.
    pub fn rules(&self) -> &[Rule] {
        self.rules.as_deref().unwrap_or_default()
    }

    /// Whether `artifact`, first seen at `seen`, may be seen at `now`.
    pub fn judge(&self, artifact: &Artifact<'_>, seen: FirstSeen, now: Timestamp) -> Visibility<'_> {
        let name = small(artifact.name);
        if !self.packages.include(&name) {
            return Visibility::Hidden;
        }
        let artifact = Artifact { name: &name, ..*artifact };
        match self.decisive(&artifact, seen, now).and_then(|at| self.rules().get(at)) {
            None => Visibility::Visible,
            Some(rule) => match rule.effect {
                Effect::Allow => Visibility::Visible,
                Effect::Block => Visibility::Blocked(rule),
                Effect::Quarantine(duration) => {
                    Visibility::Quarantined { rule, until: seen.or(now).plus(duration) }
                }
            },
        }
    }

    /// The rule that decides of a granted artifact, and its place among [`Self::rules`].
    pub fn deciding_rule(
        &self,
        artifact: &Artifact<'_>,
        seen: FirstSeen,
        now: Timestamp,
    ) -> Option<(usize, &Rule)> {
        let name = small(artifact.name);
        let artifact = Artifact { name: &name, ..*artifact };
        let at = self.packages.include(&name).then(|| self.decisive(&artifact, seen, now))??;
        Some((at, self.rules().get(at)?))
    }

    /// The shadow rules that hold for a granted artifact and come before the rule that decides, if one does.
    pub fn shadows<'v>(
        &'v self,
        artifact: &Artifact<'v>,
        seen: FirstSeen,
        now: Timestamp,
    ) -> impl Iterator<Item = &'v Rule> {
        let name = small(artifact.name);
        let (version, build) = (artifact.version, artifact.build);
        let is_granted = self.packages.include(&name);
        let reached =
            self.decisive(&Artifact { name: &name, version, build }, seen, now).unwrap_or(self.rules().len());
        let shadows = self.rules().iter().take(reached).filter(|rule| rule.mode == Mode::Shadow);
        shadows.filter(move |rule| {
            is_granted && rule.holds_for(&Artifact { name: &name, version, build }, seen, now)
        })
    }

    /// The place of the first enforced rule that holds for an artifact whose name is in small letters.
    fn decisive(&self, artifact: &Artifact<'_>, seen: FirstSeen, now: Timestamp) -> Option<usize> {
        self.rules().iter().position(|rule| rule.mode == Mode::Enforce && rule.holds_for(artifact, seen, now))
    }

    /// The enforced rules up to the last one that can hide something: what comes after it decides nothing.
    fn deciding(&self) -> impl Iterator<Item = &Rule> {
        let can_hide = |rule: &Rule| rule.mode == Mode::Enforce && rule.effect != Effect::Allow;
        let end = self.rules().iter().rposition(can_hide).map_or(0, |last| last + 1);
        self.rules().iter().take(end).filter(|rule| rule.mode == Mode::Enforce)
    }
}

impl Rule {
    /// Whether it holds for an artifact whose name is in small letters.
    fn holds_for(&self, artifact: &Artifact<'_>, seen: FirstSeen, now: Timestamp) -> bool {
        let is_time = match (self.effect, seen) {
            (Effect::Allow | Effect::Block, _) => true,
            (Effect::Quarantine(_), FirstSeen::Baseline) => false,
            (Effect::Quarantine(duration), _) => now < seen.or(now).plus(duration),
        };
        is_time && self.packages.matches(artifact.name, artifact.version, artifact.build)
    }
}

impl Effect {
    fn quarantine(self) -> Option<Duration> {
        match self {
            Self::Allow | Self::Block => None,
            Self::Quarantine(duration) => Some(duration),
        }
    }
}

impl FirstSeen {
    /// When it was, as far as that is known.
    fn or(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Baseline | Self::Unknown => now,
        }
    }
}

impl<'a> Artifact<'a> {
    /// What the name of a package file says.
    pub fn of(file: &'a PackageFile<'_>) -> Self {
        Self { name: &file.name, version: file.version, build: file.build }
    }
}

impl ViewId {
    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 hexadecimal digits.
impl std::fmt::Display for ViewId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for ViewId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ViewId({self})")
    }
}

/// A name in small letters.
fn small(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}
