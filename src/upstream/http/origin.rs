//! Origins: scheme, host and port, what credentials and connection pools are bound to.

use std::fmt;

use url::{Host, Url};

/// The origin of an HTTP URL (RFC 6454), with its port always known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) is_https: bool,
    pub(super) host: Host,
    pub(super) port: u16,
}

impl Origin {
    /// The origin of `url`; `None` unless it is `http` or `https` and has a host.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let is_https = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        Some(Self { is_https, host: url.host()?.to_owned(), port: url.port_or_known_default()? })
    }

    /// Host and port as they stand in a URL.
    pub(super) fn authority(&self) -> String {
        let url = self.to_string();
        url.split_once("://").map_or(url.clone(), |(_, authority)| authority.to_owned())
    }

    /// The host as it is resolved: an IPv6 address without its brackets.
    pub(super) fn bare_host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        }
    }
}

/// As it stands in a URL, without the port that goes without saying.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.is_https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}
