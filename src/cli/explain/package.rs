//! What the view of a channel says of a package file, as far as its name tells: when the gate first saw the file is not asked here.

use serde::Serialize;

use crate::clock::{Timestamp, format_duration};
use crate::conda::{FileKind, PackageFile, Resource, redact};
use crate::gateway::Refusal;
use crate::policy::{Artifact, Effect, FirstSeen, Permit, Rule, View, Visibility};

/// A package, and what the view says of it.
#[derive(Debug, Serialize)]
pub(super) struct Package {
    name: String,
    version: String,
    build: String,
    /// False if no grant includes it.
    granted: bool,
    /// The channel's rule that decides, once the gate has known the file for long enough.
    rule: Option<RuleView>,
    /// The rule that holds the file back until then.
    while_new: Option<RuleView>,
    /// Shadow rules that are counted.
    shadow: Vec<RuleView>,
}

/// A rule of the channel.
#[derive(Debug, Serialize)]
struct RuleView {
    /// Its place among the channel's rules, from 0, as `channelgate check` counts them.
    index: Option<usize>,
    packages: String,
    action: &'static str,
    quarantine: Option<String>,
    mode: &'static str,
    reason: Option<String>,
}

/// What comes of a package file that may be asked for.
pub(super) struct Judgement {
    /// What is told of it; `None` where its name tells nothing.
    pub(super) package: Option<Package>,
    /// The rule that the answer rests on, if it is a refusal.
    pub(super) refusal: Option<(Refusal, &'static str)>,
}

impl Judgement {
    /// That of the file which `permit` is for, if it is a package and the view is not whole.
    pub(super) fn of(permit: &Permit<'_>, now: Timestamp) -> Option<Self> {
        let view = permit.view();
        let Resource::SubdirFile(_, file) = permit.location().resource else { return None };
        if file.kind() != FileKind::Package || (view.is_whole() && view.rules().is_empty()) {
            return None;
        }
        let parsed = PackageFile::parse(file.as_str());
        let Some(parsed) = parsed else {
            let refusal = (!view.is_whole()).then_some((Refusal::Missing, "not_granted"));
            return Some(Self { package: None, refusal });
        };
        let artifact = Artifact::of(&parsed);
        // As if it had been there from the beginning, and as if it were new.
        let refusal = match view.judge(&artifact, FirstSeen::Baseline, now) {
            Visibility::Visible | Visibility::Quarantined { .. } => None,
            Visibility::Hidden => Some((Refusal::Missing, "not_granted")),
            Visibility::Blocked(rule) => {
                Some((Refusal::Blocked { reason: rule.reason.clone() }, "channel_rule"))
            }
        };
        Some(Self { package: Some(Package::of(view, &artifact, now)), refusal })
    }
}

impl Package {
    fn of(view: &View, artifact: &Artifact<'_>, now: Timestamp) -> Self {
        let shown = |part: &str| redact::text(part).into_owned();
        let decided = |seen| view.deciding_rule(artifact, seen, now);
        let while_new = match decided(FirstSeen::Unknown) {
            Some((index, rule)) if matches!(rule.effect, Effect::Quarantine(_)) => Some((index, rule)),
            _ => None,
        };
        let shadow = view.shadows(artifact, FirstSeen::Unknown, now);
        Self {
            name: shown(artifact.name),
            version: shown(artifact.version),
            build: shown(artifact.build),
            granted: view.judge(artifact, FirstSeen::Baseline, now) != Visibility::Hidden,
            rule: decided(FirstSeen::Baseline).map(|(index, rule)| RuleView::of(Some(index), rule)),
            while_new: while_new.map(|(index, rule)| RuleView::of(Some(index), rule)),
            shadow: shadow.map(|rule| RuleView::of(None, rule)).collect(),
        }
    }

    /// The answer in words.
    pub(super) fn to_line(&self) -> String {
        let Self { name, version, build, .. } = self;
        let mut line = format!("{name} {version} {build}: ");
        if !self.granted {
            line.push_str("not granted, so it does not exist here");
            return line;
        }
        match &self.rule {
            None => line.push_str("no rule is for it"),
            Some(rule) => line.push_str(&rule.to_line()),
        }
        if let Some(rule) = &self.while_new {
            line.push_str(&format!("; while it is new, {} (451 package_quarantined)", rule.to_line()));
        }
        for rule in &self.shadow {
            line.push_str(&format!("; counted only, {}", rule.to_line()));
        }
        line
    }
}

impl RuleView {
    fn of(index: Option<usize>, rule: &Rule) -> Self {
        let quarantine = match rule.effect {
            Effect::Quarantine(duration) => Some(format_duration(duration)),
            Effect::Allow | Effect::Block => None,
        };
        Self {
            index,
            packages: rule.packages.as_str().to_owned(),
            action: rule.effect.as_str(),
            quarantine,
            mode: rule.mode.as_str(),
            reason: rule.reason.clone(),
        }
    }

    fn to_line(&self) -> String {
        let number = self.index.map(|index| format!("rules[{index}] ")).unwrap_or_default();
        let duration = self.quarantine.as_ref().map(|duration| format!(" {duration}")).unwrap_or_default();
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("{number}{}{duration} {}{reason}", self.action, self.packages)
    }
}
