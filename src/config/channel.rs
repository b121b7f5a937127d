//! What `[[channels]]` means: channels, their upstreams, and where the upstreams' secrets are.
//!
//! Names follow [`ChannelName`]. A key that would do nothing where it stands (a `ca_file` of a directory, `orgs` of a public channel) is a
//! mistake. Secrets are looked for, so that a missing one is found now and not at the first request, but never kept. A directory that
//! is missing is no mistake but an outage of its channel alone: what is not mounted yet must not keep the others from being served.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Host, Url};

use super::Findings;
use super::mistake::announces_token;
use super::raw::{self, AuthKind};
use super::rule;
use crate::account;
use crate::conda::ChannelName;
use crate::policy::{self, Access};

/// A channel: who may read it, and where its files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its name, who may read it, and what holds for some of its packages.
    pub rules: policy::Channel,
    /// Where its files come from, in the order in which they are asked; at least one.
    pub upstreams: Vec<Source>,
    /// Where else the upstreams may lead: `host`, `host:port`, `*.suffix`, an address or a network.
    pub allowed_hosts: Vec<String>,
}

/// One upstream of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub location: Location,
    /// PEM certificates to trust besides the platform's.
    pub ca_file: Option<PathBuf>,
    /// Its statuses that mean that there is no such file, besides 404 and 410.
    pub missing_statuses: Vec<u16>,
    /// How the gate proves itself to it.
    pub auth: Option<Auth>,
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A server's `http` or `https` URL, without user, query and fragment.
    Http(Url),
    /// A directory; a relative one is relative to the working directory.
    Directory(PathBuf),
}

/// How the gate proves itself to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Where the secret goes.
    pub kind: AuthKind,
    /// The user of [`AuthKind::Basic`]; `None` for the others.
    pub user: Option<String>,
    /// Where the secret is.
    pub secret: SecretSource,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that holds nothing else.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

/// Reads all channels.
pub(super) fn read(raw: Vec<raw::Channel>, findings: &mut Findings<'_>) -> Vec<Channel> {
    let mut names = HashSet::new();
    let mut channels = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let key = format!("channels[{index}]");
        if !raw.name.is_empty() && !names.insert(raw.name.clone()) {
            findings.add(
                format!("{key}.name"),
                Some(&raw.name),
                "expected another name: a channel above has this one",
            );
        }
        channels.extend(channel(&key, raw, findings));
    }
    let secrets: HashSet<_> = channels.iter().flat_map(Channel::variables).collect();
    // The person who put a secret into a variable may have called it CHANNELGATE_SOMETHING.
    findings
        .mistakes
        .retain(|mistake| !mistake.variable.as_deref().is_some_and(|name| secrets.contains(name)));
    findings.idle_variables.retain(|name| !secrets.contains(name));
    channels
}

/// One channel; `None` where its name cannot be used. The other mistakes are found all the same.
fn channel(key: &str, raw: raw::Channel, findings: &mut Findings<'_>) -> Option<Channel> {
    let name = ChannelName::parse(&raw.name)
        .map_err(|error| findings.add(format!("{key}.name"), None, error.to_string()))
        .ok();
    for (index, organization) in raw.orgs.iter().enumerate() {
        if let Err(error) = account::check_name(organization, "an organization's name") {
            findings.add(format!("{key}.orgs[{index}]"), None, error.to_string());
        }
    }
    let access = match raw.access {
        raw::Access::Private => Access::Private { organizations: raw.orgs },
        raw::Access::Public => {
            if !raw.orgs.is_empty() {
                let problem = "expected none, as the channel is public; or access = \"private\"";
                findings.add(format!("{key}.orgs"), Some(&raw.orgs.join(", ")), problem);
            }
            Access::Public
        }
    };
    for (index, host) in raw.allowed_hosts.iter().enumerate() {
        if !is_host_pattern(host) {
            let problem =
                "expected a host, host:port, *.suffix, an IP address or a network such as \"10.0.0.0/8\"";
            findings.add(format!("{key}.allowed_hosts[{index}]"), Some(host), problem);
        }
    }
    if raw.upstreams.is_empty() {
        let problem = "expected one or more, such as [\"https://conda.anaconda.org/conda-forge\"]";
        findings.add(format!("{key}.upstreams"), Some(""), problem);
    }
    let upstreams = raw
        .upstreams
        .into_iter()
        .enumerate()
        .filter_map(|(at, source)| {
            read_source(&format!("{key}.upstreams[{at}]"), &raw.name, source, findings)
        })
        .collect();
    let rules = rule::read(key, name.as_ref(), raw.rules, findings).into();
    Some(Channel {
        rules: policy::Channel { name: name?, access, rules },
        upstreams,
        allowed_hosts: raw.allowed_hosts,
    })
}

/// One upstream of `channel`.
fn read_source(key: &str, channel: &str, raw: raw::Source, findings: &mut Findings<'_>) -> Option<Source> {
    let location = match Location::parse(&raw.url) {
        Ok(location) => Some(location),
        Err(problem) => {
            findings.add(key, Some(&raw.url), problem);
            None
        }
    };
    if let Some(Location::Directory(directory)) = &location {
        match fs::metadata(directory) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => findings.add(key, Some(&raw.url), "this is not a directory"),
            Err(error) => findings.notices.push(format!(
                "channel {channel:?}: the directory {} cannot be read: {error}; until it can, its files are answered with 503",
                directory.display()
            )),
        }
        let http_only = [
            (raw.ca_file.is_some(), "ca_file"),
            (!raw.missing_statuses.is_empty(), "missing_statuses"),
            (raw.upstream_auth.is_some(), "upstream_auth"),
        ];
        for (_, name) in http_only.into_iter().filter(|(given, _)| *given) {
            findings.add(format!("{key}.{name}"), None, "expected none: this upstream is a directory");
        }
    }
    if let Some(file) = &raw.ca_file {
        findings.check_file(format!("{key}.ca_file"), file);
    }
    for (index, status) in raw.missing_statuses.iter().enumerate() {
        if !matches!(status, 401 | 403) {
            let problem =
                "expected 401 or 403: 404 and 410 always mean that there is no such file, others never";
            findings.add(format!("{key}.missing_statuses[{index}]"), Some(&status.to_string()), problem);
        }
    }
    let auth = raw.upstream_auth.and_then(|raw| auth(&format!("{key}.upstream_auth"), raw, findings));
    Some(Source { location: location?, ca_file: raw.ca_file, missing_statuses: raw.missing_statuses, auth })
}

fn auth(key: &str, raw: raw::UpstreamAuth, findings: &mut Findings<'_>) -> Option<Auth> {
    if raw.kind.is_none() {
        let problem = "expected one of \"bearer\", \"token\", \"basic\", \"path\", \"api-key\"";
        findings.add(format!("{key}.kind"), Some(""), problem);
    }
    match (raw.kind, &raw.user) {
        (Some(AuthKind::Basic), None) => {
            findings.add(format!("{key}.user"), Some(""), "expected a user, whose password is the secret");
        }
        (Some(AuthKind::Basic), Some(user)) if user.contains(':') || user.chars().any(char::is_control) => {
            findings.add(format!("{key}.user"), None, "expected a user without colon and control characters");
        }
        (Some(AuthKind::Basic) | None, _) | (_, None) => {}
        (Some(_), Some(_)) => {
            findings.add(format!("{key}.user"), None, "expected none: only kind \"basic\" has one")
        }
    }
    let secret = match (raw.file, raw.env) {
        (Some(file), None) => SecretSource::File(file),
        (None, Some(name)) => SecretSource::Variable(name),
        (file, _) => {
            let problem =
                if file.is_some() { "not both" } else { "the name of a file or of an environment variable" };
            let problem = format!("expected either {key}.file or {key}.env, {problem}");
            findings.add(key, None, problem);
            return None;
        }
    };
    match &secret {
        SecretSource::File(file) => findings.check_file(format!("{key}.file"), file),
        SecretSource::Variable(name) if findings.environment.variable(name).is_none() => {
            findings.add(format!("{key}.env"), Some(name), "this environment variable is not set");
        }
        SecretSource::Variable(_) => {}
    }
    Some(Auth { kind: raw.kind?, user: raw.user, secret })
}

impl Channel {
    /// The organizations whose tokens may read it; none for a public channel and for one that tokens of every organization may read.
    pub fn organizations(&self) -> &[String] {
        match &self.rules.access {
            Access::Public => &[],
            Access::Private { organizations } => organizations,
        }
    }

    /// The environment variables that hold its secrets.
    fn variables(&self) -> impl Iterator<Item = String> {
        self.upstreams.iter().filter_map(|source| match &source.auth {
            Some(Auth { secret: SecretSource::Variable(name), .. }) => Some(name.clone()),
            _ => None,
        })
    }

    pub(super) fn raw(&self) -> raw::Channel {
        let (access, orgs) = match &self.rules.access {
            Access::Public => (raw::Access::Public, Vec::new()),
            Access::Private { organizations } => (raw::Access::Private, organizations.clone()),
        };
        raw::Channel {
            name: self.rules.name.to_string(),
            access,
            orgs,
            upstreams: self.upstreams.iter().map(Source::raw).collect(),
            allowed_hosts: self.allowed_hosts.clone(),
            rules: self.rules.rules.iter().map(rule::raw).collect(),
        }
    }
}

impl Source {
    fn raw(&self) -> raw::Source {
        let auth = self.auth.as_ref().map(|auth| {
            let (file, env) = match &auth.secret {
                SecretSource::File(file) => (Some(file.clone()), None),
                SecretSource::Variable(name) => (None, Some(name.clone())),
            };
            raw::UpstreamAuth { kind: Some(auth.kind), user: auth.user.clone(), file, env }
        });
        raw::Source {
            url: self.location.to_string(),
            ca_file: self.ca_file.clone(),
            missing_statuses: self.missing_statuses.clone(),
            upstream_auth: auth,
        }
    }
}

impl Location {
    /// Reads `http(s)://…`, `file:///absolute`, `file://relative` or `file:relative`. The two relative forms are no URLs by RFC 8089, but
    /// the only way to name a directory below the working directory.
    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("file:") {
            return Self::parse_directory(path.strip_prefix("//").unwrap_or(path));
        }
        let url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or("expected http(s)://host/path or file:///directory")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "expected a URL without user and password; give them by upstream_auth, which names a file or variable",
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("expected a URL without query and fragment");
        }
        if url.path_segments().into_iter().flatten().any(announces_token) {
            return Err(
                "expected a URL without /t/<token>; give the token by upstream_auth = { kind = \"path\", … }",
            );
        }
        Ok(Self::Http(url))
    }

    fn parse_directory(path: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected file:// and the path of a directory";
        if path.contains(['?', '#']) {
            return Err(
                "expected file:// and a path without query and fragment; write ? as %3F and # as %23",
            );
        }
        let path = percent_decode_str(path).decode_utf8().map_err(|_| EXPECTED)?;
        if path.is_empty() || path.contains('\0') {
            Err(EXPECTED)
        } else {
            Ok(Self::Directory(path.as_ref().into()))
        }
    }
}

/// As in the configuration: `https://…`, `file:///absolute`, `file:relative`.
impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(url) => write!(f, "{url}"),
            Self::Directory(path) if path.is_relative() => {
                write!(f, "file:{}", utf8_percent_encode(&path.to_string_lossy(), ESCAPED))
            }
            Self::Directory(path) => {
                write!(f, "file://{}", utf8_percent_encode(&path.to_string_lossy(), ESCAPED))
            }
        }
    }
}

/// What `allowed_hosts` may hold: `host`, `host:port`, `*.suffix`, an address with or without a port, a network.
fn is_host_pattern(text: &str) -> bool {
    if text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "1"));
    let name = host.strip_prefix("*.").unwrap_or(host);
    port.parse::<u16>().is_ok() && !name.contains('*') && matches!(Host::parse(name), Ok(Host::Domain(_)))
}

/// What a path keeps of itself in a URL.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
