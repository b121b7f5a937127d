//! What a file is held against when all of it is there, and what is done when it does not fit: the index is asked anew first, because a
//! package that was published again is not a bad one.

use std::fmt;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::facts::Proof;
use super::order::{Check, Expected};
use super::sha256::Sha256;

/// What one file is expected to be. Asked for beside the fetch, so that no byte waits for it but the last.
pub(super) struct Expectation {
    check: Check,
    asked: Asked,
    is_renewed: bool,
}

enum Asked {
    Pending(JoinHandle<Option<Expected>>),
    Known(Option<Expected>),
}

/// A file that is not what it is expected to be. What is known of the file as far as it came, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) expected: Expected,
    pub(super) found: Expected,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |f: &mut fmt::Formatter<'_>, Expected { sha256, size }: &Expected| {
            match sha256 {
                Some(sha256) => write!(f, "sha256 {sha256}")?,
                None => f.write_str("unknown sha256")?,
            }
            match size {
                Some(size) => write!(f, ", {size} bytes"),
                None => f.write_str(", unknown size"),
            }
        };
        f.write_str("expected ")?;
        side(f, &self.expected)?;
        f.write_str("; came ")?;
        side(f, &self.found)
    }
}

impl Expectation {
    /// What is known already, or begins to ask.
    pub(super) async fn of(check: &Check) -> Self {
        let asked = match check {
            Check::Digests(digests) => match digests.known().await {
                Some(expected) => Asked::Known(Some(expected)),
                None => {
                    let digests = Arc::clone(digests);
                    Asked::Pending(tokio::spawn(async move { digests.expected(false).await }))
                }
            },
            Check::Named(sha256) => Asked::Known(Some(Expected { sha256: Some(*sha256), size: None })),
            Check::Inspect(_) | Check::None => Asked::Known(None),
        };
        Self { check: check.clone(), asked, is_renewed: false }
    }

    /// True until the answer is there.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.asked, Asked::Pending(_))
    }

    /// The answer, as soon as it is there. May be given up and asked again.
    pub(super) async fn known(&mut self) -> Option<Expected> {
        if let Asked::Pending(pending) = &mut self.asked {
            self.asked = Asked::Known(pending.await.unwrap_or(None));
        }
        match self.asked {
            Asked::Known(expected) => expected,
            Asked::Pending(_) => None,
        }
    }

    /// Holds what is known of a file that is not there yet against what is known of the index: its `length`, or else how much has come.
    /// Waits only where they differ, for the index to be asked anew.
    pub(super) async fn allows(&mut self, length: Option<u64>, received: u64) -> Result<(), Wrong> {
        let Asked::Known(Some(expected)) = self.asked else { return Ok(()) };
        let fits = |expected: &Expected| {
            expected.size.is_none_or(|size| length.map_or(received <= size, |length| length == size))
        };
        if fits(&expected) {
            return Ok(());
        }
        let found = Expected { sha256: None, size: Some(length.unwrap_or(received)) };
        match self.renewed().await {
            Some(renewed) if fits(&renewed) => Ok(()),
            renewed => Err(Wrong { expected: renewed.unwrap_or(expected), found }),
        }
    }

    /// How a whole file is proven.
    pub(super) async fn prove(&mut self, sha256: Sha256, length: u64) -> Result<Proof, Wrong> {
        if let Check::Inspect(_) = self.check {
            return Ok(Proof::Inspected);
        }
        let Some(mut expected) = self.known().await else { return Ok(Proof::Unproven) };
        if !expected.fits(sha256, length) {
            expected = self.renewed().await.unwrap_or(expected);
        }
        match (&self.check, expected.sha256) {
            _ if !expected.fits(sha256, length) => {
                Err(Wrong { expected, found: Expected { sha256: Some(sha256), size: Some(length) } })
            }
            (Check::Named(_), _) => Ok(Proof::Name),
            (_, Some(_)) => Ok(Proof::Index),
            (_, None) => Ok(Proof::Unproven),
        }
    }

    /// What the index says once it was asked anew; `None` if there is nothing newer, and then what was contradicted stands.
    async fn renewed(&mut self) -> Option<Expected> {
        let Check::Digests(digests) = &self.check else { return None };
        if self.is_renewed {
            return None;
        }
        self.is_renewed = true;
        let expected = digests.expected(true).await?;
        self.asked = Asked::Known(Some(expected));
        Some(expected)
    }
}

impl Drop for Expectation {
    fn drop(&mut self) {
        if let Asked::Pending(pending) = &self.asked {
            pending.abort();
        }
    }
}
