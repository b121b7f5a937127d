//! Groups: users of an organization, and what they are granted.

use std::collections::BTreeSet;
use std::str::FromStr;

use uuid::Uuid;

use crate::clock::Timestamp;

/// Some users of an organization, granted channels together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: Uuid,
    /// Its name, unique in its organization.
    pub name: String,
    /// Its users, by name.
    pub members: Vec<String>,
    /// What they are granted, by channel.
    pub grants: Vec<Grant>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A channel granted to a group. A grant only narrows: once a channel is granted to a group of an organization, it stays restricted to that
/// organization's granted groups, also after the last grant is taken away, until somebody lifts the restriction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The channel's name.
    pub channel: String,
    /// What the group may do there.
    pub permission: Permission,
    /// With which packages: globs of names (`*` is any run of characters, `?` any one); none for all.
    pub packages: Vec<String>,
    /// Under which labels, as they are written in paths; none for all. What is asked for without one is under `main`.
    pub labels: Vec<String>,
}

/// A grant that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A pattern that no package's name can match.
    #[error(
        "\"{0}\" is no glob of package names: expected letters, digits and any of _ . - * ?, at most {PATTERN_CHARS_MAX} of them"
    )]
    Pattern(String),
    /// A label that no path can name.
    #[error(
        "\"{0}\" cannot be a label: expected at most {LABEL_CHARS_MAX} characters, no leading dot, and neither slash, backslash nor percent sign"
    )]
    Label(String),
    /// Too much for every token to be remembered with.
    #[error(
        "a grant has at most {PATTERNS_MAX} globs of packages and {LABELS_MAX} labels; name fewer, or use globs"
    )]
    TooMany,
}

/// The longest pattern.
const PATTERN_CHARS_MAX: usize = 128;

/// The longest label.
const LABEL_CHARS_MAX: usize = 128;

/// Most patterns of one grant.
const PATTERNS_MAX: usize = 100;

/// Most labels of one grant.
const LABELS_MAX: usize = 32;

impl Grant {
    /// The grant of a whole channel.
    pub fn whole(channel: impl Into<String>, permission: Permission) -> Self {
        Self { channel: channel.into(), permission, packages: Vec::new(), labels: Vec::new() }
    }

    /// The grant in the form in which two that mean the same are the same: patterns in small letters, everything in order and once, and no
    /// patterns where one is `*`.
    ///
    /// # Errors
    ///
    /// A pattern or label that cannot be one, or too many of them.
    pub fn normalized(&self) -> Result<Self, GrantError> {
        let packages: BTreeSet<_> =
            self.packages.iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
        let labels: BTreeSet<_> = self.labels.iter().cloned().collect();
        if packages.len() > PATTERNS_MAX || labels.len() > LABELS_MAX {
            return Err(GrantError::TooMany);
        }
        packages.iter().try_for_each(|pattern| check_pattern(pattern))?;
        labels.iter().try_for_each(|label| check_label(label))?;
        let is_all = packages.iter().any(|pattern| pattern.bytes().all(|byte| byte == b'*'));
        Ok(Self {
            packages: if is_all { Vec::new() } else { packages.into_iter().collect() },
            labels: labels.into_iter().collect(),
            ..self.clone()
        })
    }

    /// True if it is for all packages under all labels.
    pub fn is_whole(&self) -> bool {
        self.packages.is_empty() && self.labels.is_empty()
    }
}

/// Checks a glob of package names.
///
/// # Errors
///
/// It can match none.
pub fn check_pattern(text: &str) -> Result<(), GrantError> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-*?".contains(&byte);
    let good = (1..=PATTERN_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_of_name);
    if good { Ok(()) } else { Err(GrantError::Pattern(shown(text))) }
}

/// Checks a label.
///
/// # Errors
///
/// No path can name it.
pub fn check_label(text: &str) -> Result<(), GrantError> {
    let good = (1..=LABEL_CHARS_MAX).contains(&text.chars().count())
        && !text.starts_with('.')
        && !text.chars().any(|letter| letter.is_control() || matches!(letter, '/' | '\\' | '%'));
    if good { Ok(()) } else { Err(GrantError::Label(shown(text))) }
}

/// What was given may be anything; it is shown, but not without end.
fn shown(text: &str) -> String {
    text.chars().take(LABEL_CHARS_MAX).flat_map(char::escape_debug).collect()
}

/// What a group may do in a channel; each includes the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Download.
    #[default]
    Read,
    /// Upload.
    Write,
    /// Manage.
    Admin,
}

/// A word that is no permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a permission; the permissions are read, write, admin")]
pub struct UnknownPermission(String);

impl Permission {
    /// The word that people and the store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(word: &str) -> Result<Self, UnknownPermission> {
        let all = [Self::Read, Self::Write, Self::Admin];
        all.into_iter()
            .find(|permission| permission.as_str() == word)
            .ok_or_else(|| UnknownPermission(word.to_owned()))
    }
}
