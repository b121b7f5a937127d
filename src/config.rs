//! The configuration: from a file and the environment to values that every component can be built from.
//!
//! | step | where |
//! | --- | --- |
//! | which file: `--config`, `$CHANNELGATE_CONFIG`, `config/channelgate.toml`, `/etc/channelgate/channelgate.toml` | [`locate`] |
//! | text and environment to keys, each tried alone | `config/reading.rs`, `config/leaf.rs`, `config/environment.rs` |
//! | what each key is and what holds without it | `config/raw.rs`, `config/value.rs` |
//! | what the keys mean together | this file, `config/store.rs`, `config/channel.rs`, `config/rule.rs`, `config/sign_in.rs` |
//! | back to text, for `check` | [`Config::render`] |
//!
//! Precedence: default < file < environment. All mistakes are reported at once, each with its key, its value and what is expected
//! ([`ConfigError`]). No secret is ever part of a [`Config`]: it names the files and variables that hold them. This module must know
//! nothing of how a component works; the composition root turns its sections into the components' own configurations.
//!
//! To add a key: a field with its default in `config/raw.rs`, a line in `config/channelgate.toml`, and its use.

mod channel;
mod environment;
mod leaf;
mod mistake;
mod raw;
mod reading;
mod rule;
mod sign_in;
mod store;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

pub use self::channel::{Auth, Channel, Location, SecretSource, Source};
pub use self::environment::Environment;
pub use self::mistake::{ConfigError, Mistake};
pub use self::raw::{Admin, AuthKind, Index, Limits, Network, Upstream, Verify};
pub use self::sign_in::{Oidc, SignIn};
pub use self::store::{PostgresUrl, Store, StoreUrl};
use crate::logging;
use crate::passage::FastPaths;

/// Everything that is configured. `Default` is the shipped file without its channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the store, the cache and the bootstrap token live unless named elsewhere. `var`.
    pub data_dir: PathBuf,
    /// What this gate is called among others over the same store.
    pub gate: Gate,
    /// Whether anything goes upstream.
    pub network: Network,
    /// The plane for clients.
    pub listen: Listen,
    /// The plane for operators.
    pub admin: Admin,
    /// Where organizations and tokens are kept.
    pub store: Store,
    /// How long what is known of a token holds.
    pub verify: Verify,
    /// What is kept of the channels, and for how long it is right.
    pub cache: Cache,
    /// What clients may take.
    pub limits: Limits,
    /// How upstreams are asked.
    pub upstream: Upstream,
    /// What inspecting an index may cost.
    pub index: Index,
    /// How people sign in, and what their tools get by it.
    pub sign_in: SignIn,
    /// What is logged, and how.
    pub log: logging::Config,
    /// The channels, in the order of the file.
    pub channels: Vec<Channel>,
    /// The notices that only reading the file, the environment and what they name could give rise to.
    pub(crate) found: Vec<String>,
}

/// This gate among others over the same store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// What it is called; without, as its machine.
    pub name: Option<String>,
}

/// The plane for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where it listens. `127.0.0.1:8480`.
    pub address: SocketAddr,
    /// How clients reach it, where that differs from its address.
    pub public_url: Option<Url>,
    /// Whose `X-Forwarded-For` and `Forwarded` are believed. Nobody's.
    pub trusted_proxies: Vec<IpNet>,
    /// The certificate and its key; without them it speaks plaintext.
    pub tls: Option<TlsFiles>,
    /// Whether bodies and requests may take ways that are shorter than the general one. Where it is worth it.
    pub fast_paths: FastPaths,
}

/// Two PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those between it and its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The cache's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Whether anything is kept.
    pub enabled: bool,
    /// Where. `<data_dir>/cache`.
    pub directory: PathBuf,
    /// Bytes of disk that it may take. 20 GiB.
    pub capacity_bytes: u64,
    /// How long indexes and metadata are fresh where their upstream says nothing. 60 s.
    pub revalidate_after: Duration,
    /// For how long after that they are served while they are asked for anew, where their upstream says nothing. Not at all.
    pub stale_while_revalidate: Duration,
    /// For how long after that they are served where asking fails, where their upstream says nothing. 24 h.
    pub stale_if_error: Duration,
    /// How long a file stays missing that the upstream does not have. 10 s.
    pub negative_ttl: Duration,
    /// Bytes a second of what is kept that are checked in the background; zero checks nothing. 1 MiB.
    pub scrub_bytes_per_second: u64,
}

impl Config {
    /// Reads the configuration in `file`.
    ///
    /// # Errors
    ///
    /// Every mistake in it and in the environment, or that it cannot be read.
    pub fn load(file: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let fail = |mistakes| ConfigError { file: Some(file.to_owned()), mistakes };
        let mut text = String::new();
        File::open(file)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
            .map_err(|error| fail(vec![Mistake::new("the file", format!("it cannot be read: {error}"))]))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(fail(vec![Mistake::new("the file", "it is larger than 1 MiB")]));
        }
        Self::parse(&text, environment).map_err(fail)
    }

    /// Reads the configuration in `text`, checking also that the files it names are there; a channel's directory may be
    /// missing ([`Config::notices`]).
    ///
    /// # Errors
    ///
    /// Every mistake.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, Vec<Mistake>> {
        let reading::Reading { file, mistakes, variables, idle_variables } = reading::read(text, environment);
        let mut findings = Findings { mistakes, variables, idle_variables, ..Findings::new(environment) };
        let mut config = Self::of(file, &mut findings);
        let Findings { mistakes, idle_variables, notices, .. } = findings;
        config.found = idle_variables.iter().map(|name| idle(name)).chain(notices).collect();
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// The configuration as a file that means the same, for people to read. It holds no secret.
    pub fn render(&self) -> String {
        toml::to_string(&self.raw())
            .unwrap_or_else(|error| format!("# this cannot be written as TOML: {error}\n"))
    }

    /// What a person should know of this configuration although it is no mistake, a sentence each.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if self.network == Network::Offline {
            notices.push(
                "network is \"offline\": nothing goes upstream, and what is not in the cache is answered with 503".to_owned(),
            );
        }
        let public = self.listen.public_url.as_ref().map_or("http", Url::scheme);
        if self.listen.tls.is_none() && public == "http" && !self.listen.address.ip().is_loopback() {
            notices.push(format!(
                "listen.address {} is reachable from other machines without TLS: tokens can be read on the way",
                self.listen.address
            ));
        }
        if self.channels.is_empty() {
            notices.push("there are no channels: nothing can be read through this gate".to_owned());
        }
        notices.extend_from_slice(&self.found);
        notices
    }

    fn of(file: raw::File, findings: &mut Findings<'_>) -> Self {
        if file.data_dir.as_os_str().is_empty() {
            findings.add(
                "data_dir",
                Some(""),
                "expected a directory, such as \"var\" or \"/var/lib/channelgate\"",
            );
        }
        if file.listen.address == file.admin.address && file.admin.address.port() != 0 {
            let given = file.admin.address.to_string();
            findings.add("admin.address", Some(&given), "expected another port than that of listen.address");
        }
        if file.network == Network::Offline && !file.cache.enabled {
            let problem =
                "expected \"online\", as cache.enabled is false: offline, only what is kept can be served";
            findings.add("network", Some("offline"), problem);
        }
        check_limits(&file.limits, findings);
        check_index(&file.index, findings);
        Self {
            gate: gate(file.gate, findings),
            network: file.network,
            listen: listen(file.listen, findings),
            admin: file.admin,
            store: Store::of(file.store, &file.data_dir, findings),
            verify: file.verify,
            cache: Cache {
                enabled: file.cache.enabled,
                directory: file.cache.directory.unwrap_or_else(|| file.data_dir.join("cache")),
                capacity_bytes: file.cache.capacity,
                revalidate_after: file.cache.revalidate_after,
                stale_while_revalidate: file.cache.stale_while_revalidate,
                stale_if_error: file.cache.stale_if_error,
                negative_ttl: file.cache.negative_ttl,
                scrub_bytes_per_second: file.cache.scrub_rate,
            },
            limits: file.limits,
            upstream: file.upstream,
            index: file.index,
            sign_in: SignIn::of(file.sign_in, &file.data_dir, findings),
            log: file.log,
            channels: channel::read(file.channels, findings),
            data_dir: file.data_dir,
            found: Vec::new(),
        }
    }

    fn raw(&self) -> raw::File {
        let Self {
            data_dir,
            gate,
            network,
            listen,
            admin,
            store,
            verify,
            cache,
            limits,
            upstream,
            index,
            sign_in,
            log,
            channels,
            found: _,
        } = self;
        let tls = listen.tls.clone().map(|TlsFiles { certificate, key }| raw::Tls { certificate, key });
        raw::File {
            data_dir: data_dir.clone(),
            gate: raw::Gate { name: gate.name.clone().unwrap_or_default() },
            network: *network,
            listen: raw::Listen {
                address: listen.address,
                public_url: listen.public_url.as_ref().map(Url::to_string).unwrap_or_default(),
                trusted_proxies: listen.trusted_proxies.clone(),
                tls: tls.unwrap_or_default(),
                fast_paths: listen.fast_paths,
            },
            admin: admin.clone(),
            store: store.raw(),
            verify: verify.clone(),
            cache: raw::Cache {
                enabled: cache.enabled,
                directory: Some(cache.directory.clone()),
                capacity: cache.capacity_bytes,
                revalidate_after: cache.revalidate_after,
                stale_while_revalidate: cache.stale_while_revalidate,
                stale_if_error: cache.stale_if_error,
                negative_ttl: cache.negative_ttl,
                scrub_rate: cache.scrub_bytes_per_second,
            },
            limits: limits.clone(),
            upstream: upstream.clone(),
            index: index.clone(),
            sign_in: sign_in.raw(),
            log: log.clone(),
            channels: channels.iter().map(Channel::raw).collect(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let environment = Environment::default();
        Self::of(raw::File::default(), &mut Findings::new(&environment))
    }
}

impl Listen {
    /// The scheme that it speaks.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// How clients reach it, without a slash at the end; `local` is where it really listens, which the configuration leaves open
    /// with port 0.
    pub fn url(&self, local: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("{}://{local}", self.scheme()),
        }
    }
}

/// The configuration file to read: that of `flag`, else of `$CHANNELGATE_CONFIG`, else `config/channelgate.toml` below the working
/// directory, else `/etc/channelgate/channelgate.toml`.
///
/// # Errors
///
/// None of them is there.
pub fn locate(flag: Option<&Path>, environment: &Environment) -> Result<PathBuf, ConfigError> {
    locate_among(flag, environment, &[Path::new(BELOW_WORKING_DIRECTORY), Path::new(BELOW_ETC)])
}

fn locate_among(
    flag: Option<&Path>,
    environment: &Environment,
    places: &[&Path],
) -> Result<PathBuf, ConfigError> {
    let named = environment.variable(environment::CONFIG).map(Path::new);
    if let Some(file) = flag.or(named) {
        return Ok(file.to_owned());
    }
    places.iter().find(|place| place.is_file()).map(|place| (*place).to_owned()).ok_or_else(|| {
        let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        let problem = format!(
            "there is none at {}; name one by --config FILE or in $CHANNELGATE_CONFIG",
            places.join(" nor at ")
        );
        ConfigError { file: None, mistakes: vec![Mistake::new("the file", problem)] }
    })
}

fn idle(name: &str) -> String {
    format!(
        "the environment variable {name} sets nothing: keys of sections are set by CHANNELGATE_<SECTION>__<KEY>"
    )
}

/// The mistakes so far, what is none but worth knowing, and what finding more of them needs.
struct Findings<'e> {
    mistakes: Vec<Mistake>,
    notices: Vec<String>,
    /// Which keys the environment has set, and by which variable.
    variables: BTreeMap<String, String>,
    /// Variables that set nothing, though their names begin as if they did.
    idle_variables: Vec<String>,
    environment: &'e Environment,
}

impl<'e> Findings<'e> {
    /// None yet.
    fn new(environment: &'e Environment) -> Self {
        Self {
            mistakes: Vec::new(),
            notices: Vec::new(),
            variables: BTreeMap::new(),
            idle_variables: Vec::new(),
            environment,
        }
    }

    /// A mistake about the value `given` of `key`; `None` for what must not be shown.
    fn add(&mut self, key: impl Into<String>, given: Option<&str>, problem: impl Into<String>) {
        let mistake = Mistake::new(key, problem);
        let variable = self.variables.get(&mistake.key).cloned();
        let mistake = Mistake { variable, ..mistake };
        self.mistakes.push(match given {
            Some(given) => mistake.with_given(given),
            None => mistake,
        });
    }

    /// A mistake if `path` is no file that can be opened for reading.
    fn check_file(&mut self, key: impl Into<String>, path: &Path) {
        let problem = match File::open(path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => return,
            Ok(_) => "this is not a file".to_owned(),
            Err(error) => format!("this file cannot be read: {error}"),
        };
        self.add(key, path.to_str(), problem);
    }
}

fn gate(raw: raw::Gate, findings: &mut Findings<'_>) -> Gate {
    let is_shown_well = raw.name.len() <= GATE_NAME_BYTES_MAX && !raw.name.contains(char::is_control);
    if !is_shown_well || raw.name.trim() != raw.name {
        let problem = "expected a name of at most 255 bytes on one line, such as \"gate-1\", or \"\" for that of the machine";
        findings.add("gate.name", Some(&raw.name), problem);
    }
    Gate { name: Some(raw.name).filter(|name| !name.is_empty()) }
}

fn listen(raw: raw::Listen, findings: &mut Findings<'_>) -> Listen {
    let public_url = match public_url(&raw.public_url) {
        Ok(url) => url,
        Err(problem) => {
            findings.add("listen.public_url", Some(&raw.public_url), problem);
            None
        }
    };
    let raw::Tls { certificate, key } = &raw.tls;
    let tls = match (certificate.as_os_str().is_empty(), key.as_os_str().is_empty()) {
        (true, true) => None,
        (false, false) => {
            findings.check_file("listen.tls.certificate", certificate);
            findings.check_file("listen.tls.key", key);
            Some(TlsFiles { certificate: certificate.clone(), key: key.clone() })
        }
        (true, false) => {
            let problem = "expected the PEM file of the certificate, as listen.tls.key is given; or neither";
            findings.add("listen.tls.certificate", Some(""), problem);
            None
        }
        (false, true) => {
            let problem =
                "expected the PEM file of the private key, as listen.tls.certificate is given; or neither";
            findings.add("listen.tls.key", Some(""), problem);
            None
        }
    };
    let raw::Listen { address, trusted_proxies, fast_paths, .. } = raw;
    Listen { address, public_url, trusted_proxies, tls, fast_paths }
}

fn public_url(text: &str) -> Result<Option<Url>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or("expected http(s)://host, such as \"https://conda.example.org\"")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected a URL without user and password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("expected a URL without query and fragment");
    }
    Ok(Some(url))
}

/// Limits that contradict each other or cannot be held.
fn check_limits(limits: &Limits, findings: &mut Findings<'_>) {
    if limits.header_bytes_max < HEADER_BYTES_LEAST {
        let given = format!("{} B", limits.header_bytes_max);
        findings.add("limits.header_bytes_max", Some(&given), "expected at least \"8 KiB\"");
    }
    if limits.path_bytes_max > limits.header_bytes_max {
        let given = format!("{} B", limits.path_bytes_max);
        findings.add(
            "limits.path_bytes_max",
            Some(&given),
            "expected at most limits.header_bytes_max, of which the path is a part",
        );
    }
    if limits.connections_per_address_max > limits.connections_max {
        let given = limits.connections_per_address_max.to_string();
        findings.add(
            "limits.connections_per_address_max",
            Some(&given),
            "expected at most limits.connections_max, of which these are a part",
        );
    }
}

/// Limits that no index could keep, or that a parser would not.
fn check_index(index: &Index, findings: &mut Findings<'_>) {
    if !(8..=100).contains(&index.depth_max) {
        let given = index.depth_max.to_string();
        findings.add("index.depth_max", Some(&given), "expected 8 to 100: records are 5 deep");
    }
    if u32::try_from(index.records_max).is_err() {
        let given = index.records_max.to_string();
        findings.add("index.records_max", Some(&given), "expected less than 2^32");
    }
}

const BELOW_WORKING_DIRECTORY: &str = "config/channelgate.toml";
const BELOW_ETC: &str = "/etc/channelgate/channelgate.toml";

/// As long as a host name may be.
const GATE_NAME_BYTES_MAX: usize = 255;

/// A file that is larger is no configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// hyper's smallest buffer for a request's head.
const HEADER_BYTES_LEAST: usize = 8 << 10;
