//! Everything that can be said instead of a file: one closed list, whatever the reason comes from.

use std::time::Duration;

use super::admission::AdmissionError;
use super::host::HostError;
use crate::auth::CredentialError;
use crate::cache::{CacheError, FillError, Refused};
use crate::clock::Timestamp;
use crate::conda::{FileKind, PathError};
use crate::index::{IndexFault, InspectError, SupplyError};
use crate::policy::DenyReason;
use crate::upstream::FetchError;
use crate::verify::LookupError;

/// Why a request gets a problem body. `respond` gives each its status, code and sentence.
#[derive(Debug)]
pub enum Refusal {
    /// A head that is no HTTP.
    Unparsable,
    /// A head that is longer, or has more fields, than the gate reads.
    HeadTooLong,
    /// A request that does not say which host it is for.
    Host(HostError),
    /// Neither GET nor HEAD.
    Method,
    /// A path that breaks the grammar.
    Path(PathError),
    /// A request that contradicts itself.
    Credential(CredentialError),
    /// The decision.
    Denied(DenyReason),
    /// The token could not be checked.
    Lookup(LookupError),
    /// Too many wrong tokens came from the address of somebody who asks for something else than a package.
    TooManyWrong {
        /// When asking again may help.
        retry_after: Duration,
    },
    /// The upstream has no such file.
    Missing,
    /// A rule of the channel blocks the package.
    Blocked {
        /// What the configuration says of that.
        reason: Option<String>,
    },
    /// A rule of the channel holds the package back while it is new.
    Quarantined {
        /// What the configuration says of that.
        reason: Option<String>,
        /// Until then.
        until: Timestamp,
    },
    /// When the channel's packages were first seen cannot be told, because the store does not answer.
    Unsettled,
    /// The upstream did not answer as it should.
    Fetch(FetchError),
    /// It is not in the cache, and nothing goes upstream.
    Offline,
    /// The upstream's file is not the one that its index promises.
    Corrupt,
    /// The upstream's file broke off and could not be continued.
    Broken,
    /// The inspection of an index on its way into the cache refused it.
    Inspection(Refused),
    /// The upstream's index would lead clients past the gate, or cannot be read.
    Index(IndexFault),
    /// The gate could not keep an index while inspecting it.
    Spool,
    /// More requests at once than the gate takes.
    Overloaded,
}

impl From<AdmissionError> for Refusal {
    fn from(error: AdmissionError) -> Self {
        match error {
            AdmissionError::Credential(error) => Self::Credential(error),
            AdmissionError::Lookup(error) => Self::Lookup(error),
        }
    }
}

impl Refusal {
    /// Why nothing was decided about a request for a file of this kind. Clients that are refused an index by 429 ask for its next form, and
    /// send 24 requests where 503 makes them send 16.
    pub(super) fn undecided(error: AdmissionError, kind: Option<FileKind>) -> Self {
        match error {
            AdmissionError::Lookup(LookupError::TooManyWrong { retry_after })
                if kind != Some(FileKind::Package) =>
            {
                Self::TooManyWrong { retry_after }
            }
            error => error.into(),
        }
    }
}

impl From<FetchError> for Refusal {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Missing => Self::Missing,
            error => Self::Fetch(error),
        }
    }
}

impl From<InspectError> for Refusal {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::Fetch(error) => error.into(),
            InspectError::Fault(fault) => Self::Index(fault),
            InspectError::Spool { .. } => Self::Spool,
            InspectError::Busy => Self::Overloaded,
        }
    }
}

impl From<CacheError> for Refusal {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::Missing { .. } => Self::Missing,
            CacheError::Offline => Self::Offline,
            CacheError::Fill(error) => error.into(),
        }
    }
}

impl From<SupplyError> for Refusal {
    fn from(error: SupplyError) -> Self {
        match error {
            SupplyError::Cache(error) => error.into(),
            SupplyError::Blocked { reason } => Self::Blocked { reason },
            SupplyError::Quarantined { reason, until } => Self::Quarantined { reason, until },
            SupplyError::Unsettled => Self::Unsettled,
        }
    }
}

impl From<FillError> for Refusal {
    fn from(error: FillError) -> Self {
        match error {
            FillError::Fetch(error) => error.into(),
            FillError::Corrupt => Self::Corrupt,
            FillError::Refused(refused) => Self::Inspection(refused),
            FillError::Broken => Self::Broken,
            FillError::Busy => Self::Overloaded,
            FillError::Unkept(_) => Self::Spool,
        }
    }
}
