//! Lists, page by page.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use utoipa::IntoParams;

/// How many things a page has at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(u32);

impl Limit {
    const MAX: u32 = 1_000;

    /// One more than the page has, to see whether there is another one.
    pub(super) fn and_one(self) -> u32 {
        self.0 + 1
    }

    /// Cuts what [`Limit::and_one`] asked for down to the page. True if there is more.
    pub(super) fn cut<T>(self, things: &mut Vec<T>) -> bool {
        let max = usize::try_from(self.0).unwrap_or(usize::MAX);
        let is_more = things.len() > max;
        things.truncate(max);
        is_more
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = u32::deserialize(deserializer)?;
        if (1..=Self::MAX).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(D::Error::custom(format!("limit has to be from 1 to {}", Self::MAX)))
        }
    }
}

/// Which page of a list in the order of names.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageByName {
    /// How many things at most, from 1 to 1000; 100 unless said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    pub(super) limit: Limit,
    /// Only what comes behind this name; the header Link has it for the next page.
    pub(super) after: Option<String>,
}
