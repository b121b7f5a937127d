//! Where an index points to, as the upstream that sent it reaches it.
//!
//! An index may say that its packages or shards are elsewhere. The gate fetches them for its clients, and the rules are those of redirects:
//! nowhere but the upstream's own origin and its `allowed_hosts`, never from https to http, never with a credential in the URL; for a
//! directory, nowhere but inside of it. They are held twice: when an index is read ([`super::Upstreams::resolve`]), so that one that leads
//! out of reach is refused whole, and again when a file is asked for, because what was remembered may be older than the configuration, and
//! because an address is known only then.
//!
//! A reference is resolved against the index's own URL as browsers resolve it, and by nobody else: clients never see it.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::conda::UpstreamPath;

/// A file, or a directory of files, that an index points to. Holds no credential.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Lead {
    upstream: usize,
    url: Url,
}

/// Why what an index points to is not fetched. The sentences follow "leads to X, ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unreachable {
    /// No URL.
    #[error("which is no URL that this gate can follow")]
    Malformed,
    /// A user, a password or a token.
    #[error("with a credential in the URL, which an index must not hand out")]
    Credential,
    /// A query, which may hold one, and which clients treat each in its own way.
    #[error("with a query in the URL, which this gate does not pass on")]
    Query,
    /// From https to http.
    #[error("which is not https, as the upstream is")]
    Downgrade,
    /// Neither the upstream's own origin nor in `allowed_hosts`.
    #[error(
        "which is neither the upstream's own origin nor in its allowed_hosts: list the host there if the gate may fetch from it"
    )]
    Host,
    /// For an upstream that is a directory: not a place inside of it.
    #[error("which is not inside the upstream's directory")]
    Outside,
}

impl Lead {
    /// What was remembered of a lead: the number of the upstream, counted from 0, and the URL.
    pub fn new(upstream: usize, url: Url) -> Self {
        Self { upstream, url }
    }

    /// Which upstream's index points there, counted from 0: nobody else is asked for it.
    pub fn upstream(&self) -> usize {
        self.upstream
    }

    /// Where it is. Of an upstream that is a directory a `file:` URL whose path is that below the directory.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The same as a directory: with a slash at its end, as clients take a base URL (CEP 15).
    #[must_use]
    pub fn as_directory(mut self) -> Self {
        if !self.url.path().ends_with('/') {
            let path = format!("{}/", self.url.path());
            self.url.set_path(&path);
        }
        self
    }

    /// The file in this directory that has the name of the one at `path`.
    #[must_use]
    pub fn file_of(&self, path: &UpstreamPath) -> Self {
        let encoded = path.encoded();
        let name = encoded.rsplit('/').next().unwrap_or_default();
        let mut lead = self.clone().as_directory();
        let path = format!("{}{name}", lead.url.path());
        lead.url.set_path(&path);
        lead
    }
}

/// Its origin, for people.
impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lead({} of upstream {})", self.url.origin().ascii_serialization(), self.upstream)
    }
}

/// Refuses what no upstream may lead to, wherever it is.
pub(super) fn check_no_credential(url: &Url) -> Result<(), Unreachable> {
    let is_token =
        |segment: &str| percent_decode_str(segment).map(|byte| byte.to_ascii_lowercase()).eq([b't']);
    let is_user = !url.username().is_empty() || url.password().is_some();
    if is_user || url.path_segments().into_iter().flatten().any(is_token) {
        Err(Unreachable::Credential)
    } else if url.query().is_some() {
        Err(Unreachable::Query)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
