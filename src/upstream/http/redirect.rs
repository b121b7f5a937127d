//! Following redirects: which URL comes next, and whether it may.
//!
//! Pure. The rules are those of the gate, not of a browser: nowhere but the upstream's own origin and the allowed hosts, never
//! from https to http, never with credentials in the URL, no URL twice, and no more than [`HOPS_MAX`]. Nor is a redirect followed that
//! only adds a slash to the path: servers say so that the path is a directory, and would send a listing, which is no file. That the *address* behind
//! an allowed name is an allowed one can only be known when it is connected to: see [`super::connect`].

use http::StatusCode;
use http::header::LOCATION;
use percent_encoding::percent_decode_str;
use url::Url;

use super::origin::Origin;
use super::reach::AllowedHosts;
use crate::semantics::Fields;
use crate::upstream::error::RedirectFault;

/// How many redirects are followed for one request.
const HOPS_MAX: usize = 5;

/// Does this status send us elsewhere (RFC 9110 section 15.4)? 300 leaves a choice that nobody here can make, 304 is no redirect.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// A redirect that is not followed.
pub(super) enum Refused {
    /// It breaks a rule. Where it leads, if anybody can tell: the origin only, for the log.
    Fault { fault: RedirectFault, target: Option<Origin> },
    /// What was asked for is a directory.
    Directory,
}

/// The URLs that one request has been to; the last is where it is.
pub(super) struct Trail {
    visited: Vec<Url>,
}

impl Trail {
    pub(super) fn new(start: Url) -> Self {
        Self { visited: vec![start] }
    }

    /// The URL and origin that a redirect with these headers leads to, if it may be followed.
    pub(super) fn next(
        &mut self,
        headers: &Fields,
        own: &Origin,
        allowed: &AllowedHosts,
    ) -> Result<(&Url, Origin), Refused> {
        let (next, origin) = self.resolve(headers)?;
        if self.only_adds_slash(&next) {
            return Err(Refused::Directory);
        }
        match self.check(&next, &origin, own, allowed) {
            Ok(()) => {
                self.visited.push(next);
                let next = self.visited.last().ok_or(RedirectFault::Malformed)?;
                Ok((next, origin))
            }
            Err(fault) => Err(Refused::Fault { fault, target: Some(origin) }),
        }
    }

    /// True if `next` is where the request is, but for a slash at the end of the path, whichever way the two are encoded.
    fn only_adds_slash(&self, next: &Url) -> bool {
        self.visited.last().is_some_and(|here| {
            let with_slash = percent_decode_str(here.path()).chain([b'/']);
            here.origin() == next.origin() && percent_decode_str(next.path()).eq(with_slash)
        })
    }

    /// The URL that `Location` means, seen from where the request is.
    fn resolve(&self, headers: &Fields) -> Result<(Url, Origin), RedirectFault> {
        let here = self.visited.last().ok_or(RedirectFault::Malformed)?;
        let mut locations = headers.get_all(&LOCATION);
        let (Some(location), None) = (locations.next(), locations.next()) else {
            return Err(RedirectFault::Malformed);
        };
        let location = std::str::from_utf8(location.as_bytes()).map_err(|_| RedirectFault::Malformed)?;
        let mut next = here.join(location).map_err(|_| RedirectFault::Malformed)?;
        next.set_fragment(None);
        let origin = Origin::of(&next).ok_or(RedirectFault::Malformed)?;
        Ok((next, origin))
    }

    fn check(
        &self,
        next: &Url,
        origin: &Origin,
        own: &Origin,
        allowed: &AllowedHosts,
    ) -> Result<(), RedirectFault> {
        let is_from_https = self.visited.last().is_some_and(|here| here.scheme() == "https");
        if self.visited.len() > HOPS_MAX {
            Err(RedirectFault::TooMany)
        } else if !next.username().is_empty() || next.password().is_some() {
            Err(RedirectFault::Userinfo)
        } else if is_from_https && !origin.is_https {
            Err(RedirectFault::Downgrade)
        } else if origin != own && !allowed.allow(origin) {
            Err(RedirectFault::Host)
        } else if self.visited.contains(next) {
            Err(RedirectFault::Loop)
        } else {
            Ok(())
        }
    }
}

impl From<RedirectFault> for Refused {
    fn from(fault: RedirectFault) -> Self {
        Self::Fault { fault, target: None }
    }
}
