//! Whether a request says once, and legibly, which host it is for (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
//!
//! The gate serves the same channels under every name, so the name decides nothing here. But a request with none or with two is one that
//! whatever stands in front of the gate may have read as another request, and such differences are how proxies are walked past.

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Version};

use crate::semantics::is_plain_host;

/// What is wrong with a request's `Host`. The sentence fits after "The request is malformed: it ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// None, where the protocol demands one.
    #[error("has no Host header")]
    Missing,
    /// More than one.
    #[error("has more than one Host header")]
    Repeated,
    /// One that is no host with or without a port.
    #[error("has a Host header that names no host")]
    Malformed,
}

/// Checks the `Host` of a request, or for HTTP/2 the `:authority` that stands for it.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(request: &Parts) -> Result<(), HostError> {
    let mut hosts = request.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(HostError::Repeated),
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(HostError::Malformed),
        (None, _) => match request.version {
            Version::HTTP_09 | Version::HTTP_10 => Ok(()),
            Version::HTTP_2 if request.uri.authority().is_some() => Ok(()),
            _ => Err(HostError::Missing),
        },
    }
}

/// `uri-host [ ":" port ]`; the host may be empty (RFC 3986 section 3.2.2), a user may not stand before it.
fn is_host(value: &HeaderValue) -> bool {
    is_plain_host(value.as_bytes())
        || value.is_empty()
        || (!value.as_bytes().contains(&b'@') && Authority::try_from(value.as_bytes()).is_ok())
}

#[cfg(test)]
mod tests;
