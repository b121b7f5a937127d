//! Where an index leads its clients besides its own directory, as far as the gate can go there for them.
//!
//! An index whose packages or shards are elsewhere is not served as it is: the gate keeps it, rewrites it, and fetches what it points to.
//! What it points to is kept here, for the whole document; the places of single files stand in its table (`table.rs`). All of it is resolved
//! against the URL of the index on the upstream that sent it, and within that upstream's reach ([`crate::upstream::Lead`]). What is out of reach is a
//! fault, and so is what nobody needs to rewrite: `walk.rs` knows which references may lead away at all.

use std::cell::RefCell;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

use super::fault::IndexFault;
use crate::conda::UpstreamPath;
use crate::upstream::{Lead, Upstreams};

/// Where an index leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leads {
    /// True if no client may get the document as it is: one of its references leads elsewhere, or is one that clients read differently.
    pub rewrite: bool,
    /// The directory of its packages, if that is not its own.
    pub base: Option<Lead>,
    /// The directory of its shards, if that is neither its own nor `shards/` below.
    pub shards_base: Option<Lead>,
}

/// As it is kept: one upstream sent the document, and all of it is resolved by that one's rules.
#[derive(Default, Serialize, Deserialize)]
struct Written {
    upstream: usize,
    rewrite: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shards_base: Option<String>,
}

/// A reference that may lead away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// `info.base_url`.
    Base,
    /// `info.shards_base_url`.
    Shards,
    /// `url` of a record.
    File,
}

/// Where a document came from, and where it was found to lead.
pub(super) struct Surroundings {
    upstreams: Arc<Upstreams>,
    /// The one that sent it.
    number: usize,
    /// The document's own URL.
    here: Url,
    leads: RefCell<Leads>,
}

impl Surroundings {
    /// Those of the document at `path` that the upstream of this number sent; `None` if there is no such upstream.
    pub(super) fn new(upstreams: &Arc<Upstreams>, number: usize, path: &UpstreamPath) -> Option<Self> {
        let here = upstreams.url_of(number, path)?;
        Some(Self { upstreams: Arc::clone(upstreams), number, here, leads: RefCell::default() })
    }

    /// Follows a reference that is not in place, and notes where it leads. The answer is the URL of a file.
    ///
    /// # Errors
    ///
    /// A fault, if that is out of reach or is no file's. `place` says where the reference stands.
    pub(super) fn follow(
        &self,
        role: Role,
        reference: &str,
        place: impl FnOnce() -> String,
    ) -> Result<Url, IndexFault> {
        let lead = match self.upstreams.resolve(self.number, &self.here, reference) {
            Ok(lead) => lead,
            Err(reason) => return Err(IndexFault::out_of_reach(place(), reference, reason)),
        };
        let mut leads = self.leads.borrow_mut();
        leads.rewrite = true;
        match role {
            Role::File if file_name(lead.url().path()).is_none() => {
                return Err(IndexFault::Shape { place: place(), expected: "the URL of a file" });
            }
            Role::File => return Ok(lead.url().clone()),
            Role::Base => leads.base = Some(lead.as_directory()).filter(|lead| !self.is_here(lead)),
            Role::Shards => leads.shards_base = Some(lead.as_directory()).filter(|lead| !self.is_here(lead)),
        }
        Ok(self.here.clone())
    }

    /// True for the document's own directory: its files are at their paths, and any upstream may be asked for them.
    fn is_here(&self, lead: &Lead) -> bool {
        self.upstreams.resolve(self.number, &self.here, "./").is_ok_and(|here| here == *lead)
    }

    pub(super) fn into_leads(self) -> (usize, Leads) {
        (self.number, self.leads.into_inner())
    }
}

/// The file that a URL's path names, percent-decoded: its last segment; `None` for a directory's, and for what is no name in a channel.
pub(super) fn file_name(path: &str) -> Option<String> {
    let segment = path.rsplit('/').next()?;
    let name = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
    let is_name = !name.is_empty()
        && !name.starts_with('.')
        && !name.chars().any(|char| char.is_control() || matches!(char, '/' | '\\' | '%'));
    is_name.then(|| name.into_owned())
}

/// The leads as bytes, to be kept.
pub(super) fn to_bytes(upstream: usize, leads: &Leads) -> Vec<u8> {
    let url = |lead: &Option<Lead>| lead.as_ref().map(|lead| lead.url().as_str().to_owned());
    let (base, shards_base) = (url(&leads.base), url(&leads.shards_base));
    serde_json::to_vec(&Written { upstream, rewrite: leads.rewrite, base, shards_base }).unwrap_or_default()
}

/// The leads that were kept as these bytes, and the number of the upstream whose they are.
pub(super) fn of_bytes(bytes: &[u8]) -> Option<(usize, Leads)> {
    let Written { upstream, rewrite, base, shards_base } = serde_json::from_slice(bytes).ok()?;
    let lead = |url: Option<String>| match url {
        None => Some(None),
        Some(url) => Some(Some(Lead::new(upstream, Url::parse(&url).ok()?))),
    };
    Some((upstream, Leads { rewrite, base: lead(base)?, shards_base: lead(shards_base)? }))
}
