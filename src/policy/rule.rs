//! A channel's rules: what the configuration says of some of its packages, whoever asks.

use std::time::Duration;

use crate::conda::MatchSpec;

/// What holds for some packages of a channel, unless a rule before it holds for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The packages. A channel in the specification is of no account: a rule is one channel's.
    pub packages: MatchSpec,
    /// What it does.
    pub effect: Effect,
    /// Whether it does it.
    pub mode: Mode,
    /// Why, for the people whom it stops.
    pub reason: Option<String>,
}

/// What a rule does to the packages that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Lets them through, whatever later rules say.
    Allow,
    /// Withholds them.
    Block,
    /// Withholds those first seen less than so long ago. Older ones go on to the next rule.
    Quarantine(Duration),
}

impl Effect {
    /// The word of metrics and the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Quarantine(_) => "quarantine",
        }
    }
}

/// Whether a rule does what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// It only counts what it would have done; the next rule is looked at.
    Shadow,
}

impl Mode {
    /// The word of the configuration and of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

/// As in the configuration: `block numpy>=2`, `quarantine 7d *`, with the mode if it is not enforced.
impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.effect.as_str())?;
        if let Effect::Quarantine(duration) = self.effect {
            write!(f, " {}", crate::clock::format_duration(duration))?;
        }
        write!(f, " {}", self.packages.as_str())?;
        if self.mode == Mode::Shadow { f.write_str(" (shadow)") } else { Ok(()) }
    }
}
