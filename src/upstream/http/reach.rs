//! Where requests may go besides the upstream's own origin: the hosts listed as allowed, and the addresses that those may have.
//!
//! Two questions, both answered here and both asked for every hop. May this URL be followed ([`AllowedHosts::allow`])? And may
//! this address be connected to ([`AllowedHosts::admit`] and [`is_public`](super::address::is_public))? A listed *name* admits public addresses only: whoever
//! controls the name's DNS must not choose a target inside the gate's network. A listed *address or network* admits itself.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use url::Host;

use super::origin::Origin;

/// Hosts that redirects of an upstream may lead to.
#[derive(Clone, Debug, Default)]
pub(super) struct AllowedHosts(Vec<AllowedHost>);

/// One entry: a host with or without a port. Without one, it means every port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AllowedHost {
    pattern: Pattern,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// Exactly this name.
    Name(String),
    /// Every name that ends so; begins with a dot.
    Below(String),
    /// Addresses, both as the host of a URL and as what a name resolved to.
    Net(IpNet),
}

impl AllowedHosts {
    pub(super) fn new(entries: Vec<AllowedHost>) -> Self {
        Self(entries)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// May a redirect lead to `target`?
    pub(super) fn allow(&self, target: &Origin) -> bool {
        self.0.iter().any(|entry| entry.allows_port(target.port) && entry.pattern.matches(&target.host))
    }

    /// Is `address` itself listed, so that it may be connected to even if it is not public?
    pub(super) fn admit(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.0.iter().any(|entry| {
            entry.allows_port(address.port())
                && matches!(entry.pattern, Pattern::Net(net) if net.contains(&ip))
        })
    }
}

impl AllowedHost {
    fn allows_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

impl Pattern {
    fn matches(&self, host: &Host) -> bool {
        let ip = match host {
            Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                return match self {
                    Self::Name(own) => own == name,
                    Self::Below(suffix) => name.len() > suffix.len() && name.ends_with(suffix.as_str()),
                    Self::Net(_) => false,
                };
            }
            Host::Ipv4(ip) => IpAddr::V4(*ip),
            Host::Ipv6(ip) => IpAddr::V6(*ip),
        };
        matches!(self, Self::Net(net) if net.contains(&ip.to_canonical()))
    }
}

/// Reads `host`, `host:port`, `*.suffix`, `*.suffix:port`, an IP address with or without a port, or a network in CIDR notation.
impl FromStr for AllowedHost {
    type Err = &'static str;

    fn from_str(entry: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "is not a host, host:port, *.suffix, IP address or CIDR network";
        let net = |net: IpNet, port| Ok(Self { pattern: Pattern::Net(net), port });
        if let Ok(network) = entry.parse::<IpNet>() {
            return net(network, None);
        }
        if let Ok(ip) = entry.parse::<IpAddr>() {
            return net(ip.to_canonical().into(), None);
        }
        if let Ok(address) = entry.parse::<SocketAddr>() {
            return net(address.ip().to_canonical().into(), Some(address.port()));
        }
        let (host, port) = match entry.rsplit_once(':') {
            // The colons of an IPv6 address stand inside its brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().map_err(|_| EXPECTED)?)),
            _ => (entry, None),
        };
        let (is_suffix, name) = match host.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, host),
        };
        match Host::parse(name).map_err(|_| EXPECTED)? {
            Host::Domain(name) if name.contains('*') => Err(EXPECTED),
            Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                let pattern = if is_suffix {
                    Pattern::Below(format!(".{name}"))
                } else {
                    Pattern::Name(name.to_owned())
                };
                Ok(Self { pattern, port })
            }
            _ if is_suffix => Err(EXPECTED),
            Host::Ipv4(ip) => net(IpAddr::V4(ip).into(), port),
            Host::Ipv6(ip) => net(IpAddr::V6(ip).to_canonical().into(), port),
        }
    }
}
