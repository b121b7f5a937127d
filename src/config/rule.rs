//! What `[[channels.rules]]` means: which packages of a channel are blocked, let through, or held back while they are new.

use crate::conda::{ChannelName, MatchSpec};
use crate::policy::{Effect, Rule};
use crate::token::mask_values;

use super::Findings;
use super::raw::{self, Action};

/// Reads the rules of `channel`, whose own key is `key`.
pub(super) fn read(
    key: &str,
    channel: Option<&ChannelName>,
    raw: Vec<raw::Rule>,
    findings: &mut Findings<'_>,
) -> Vec<Rule> {
    let rules = raw.into_iter().enumerate();
    rules.filter_map(|(index, raw)| rule(&format!("{key}.rules[{index}]"), channel, raw, findings)).collect()
}

/// One rule; `None` where it cannot be used.
fn rule(
    key: &str,
    channel: Option<&ChannelName>,
    raw: raw::Rule,
    findings: &mut Findings<'_>,
) -> Option<Rule> {
    // What was given and could not be read is a mistake by itself, and not missing.
    let below = format!("{key}.");
    let is_half_read = findings.mistakes.iter().any(|mistake| mistake.key.starts_with(&below));
    let effect = match (raw.action, raw.quarantine) {
        (Some(Action::Allow), None) => Some(Effect::Allow),
        (Some(Action::Block), None) => Some(Effect::Block),
        (None, Some(duration)) => Some(Effect::Quarantine(duration)),
        (None, None) if is_half_read => None,
        (action, _) => {
            let problem = if action.is_some() {
                "expected either action or quarantine, not both: write a rule for each"
            } else {
                "expected action = \"block\" or \"allow\", or quarantine = \"7d\""
            };
            findings.add(key, None, problem);
            None
        }
    };
    let reason = raw.reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    if let Some(reason) = &reason {
        let is_text = !reason.chars().any(char::is_control) && reason.chars().count() <= REASON_CHARS_MAX;
        if !is_text {
            let problem = format!("expected one line of at most {REASON_CHARS_MAX} characters");
            findings.add(format!("{key}.reason"), None, problem);
        } else if mask_values(reason) != *reason {
            let problem = "this holds the value of a token, and everybody who is refused reads it";
            findings.add(format!("{key}.reason"), None, problem);
        }
    }
    if raw.packages.is_empty() && is_half_read {
        return None;
    }
    let packages = packages(&raw.packages, channel);
    let packages = packages
        .map_err(|problem| findings.add(format!("{key}.packages"), Some(&raw.packages), problem))
        .ok()?;
    Some(Rule { packages, effect: effect?, mode: raw.mode.into(), reason })
}

/// The packages that a rule is for.
fn packages(text: &str, channel: Option<&ChannelName>) -> Result<MatchSpec, String> {
    if text.trim().is_empty() {
        return Err("expected the packages, such as \"*\", \"numpy*\" or \"numpy>=1.26,<2\"".to_owned());
    }
    let spec: MatchSpec = text.parse().map_err(|error: crate::conda::MatchSpecError| error.to_string())?;
    match (&spec.channel, channel) {
        (Some(named), Some(own)) if named != own => {
            Err(format!("the rule stands below channel \"{own}\", and is for no other"))
        }
        _ => Ok(spec),
    }
}

/// A rule as it is written.
pub(super) fn raw(rule: &Rule) -> raw::Rule {
    let (action, quarantine) = match rule.effect {
        Effect::Allow => (Some(Action::Allow), None),
        Effect::Block => (Some(Action::Block), None),
        Effect::Quarantine(duration) => (None, Some(duration)),
    };
    raw::Rule {
        packages: rule.packages.as_str().to_owned(),
        action,
        quarantine,
        reason: rule.reason.clone(),
        mode: rule.mode.into(),
    }
}

/// A client prints it.
const REASON_CHARS_MAX: usize = 500;
