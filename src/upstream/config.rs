//! What a person says of an upstream, and the check that it can be used. All mistakes are found, not the first.
//!
//! The file's keys belong to [`crate::config`](crate); here are their meaning and defaults. No message ever repeats a URL, which
//! may hold a credential by mistake, or a secret.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;
use url::Url;

use super::directory::Directory;
use super::http::{Http, PlatformRoots};
use super::meters::Known;
use super::{Member, Meters, Upstream};
use crate::passage::FastPaths;

/// One upstream. Its kind is told by the scheme of its URL.
#[derive(Clone, Debug, Default)]
pub struct UpstreamConfig {
    /// `http(s)://host[:port]/base`, or a directory: `file:///absolute/path`, or `file:path` relative to the working directory.
    pub url: String,
    /// PEM certificates that are trusted besides the platform's. https only; none by default.
    pub ca_file: Option<PathBuf>,
    /// How the gate proves itself to it. http(s) only; by default not at all.
    pub auth: Option<Auth>,
    /// Hosts that its redirects may lead to, besides its own origin: `host`, `host:port`, `*.suffix`, an IP address, or a CIDR network.
    /// Only an address or network admits hosts that are not public. None by default.
    pub allowed_hosts: Vec<String>,
    /// Which of 401 and 403 mean that it has no such file. None by default.
    pub missing_statuses: Vec<u16>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How much to take.
    pub limits: Limits,
    /// Whether it may be asked over plain HTTP without hyper. Where it is worth it.
    pub fast_paths: FastPaths,
}

/// How long an upstream is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a TCP connection, name resolution and all addresses of the name included. 5 s.
    pub connect: Duration,
    /// For the TLS handshake. 10 s.
    pub tls_handshake: Duration,
    /// From asking until the head of the last response: a free turn, connecting and redirects included. 30 s.
    pub first_byte: Duration,
    /// Between two pieces of a body that is being waited for. 50 s: less than the 60 s after which conda gives up, so that the
    /// client hears from the gate what went wrong.
    pub idle: Duration,
    /// How long an unused connection is kept. 50 s.
    pub pooled: Duration,
}

/// How much an upstream may take and be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests to it that run at once, bodies included. 512.
    pub concurrent_requests_max: usize,
    /// Unused connections kept for each origin. 64.
    pub pooled_connections_max: usize,
    /// Bytes of a response's header fields. 64 KiB.
    pub header_bytes_max: u32,
}

/// How the gate proves itself to an upstream. Sent to the upstream's own origin only, and no longer once a redirect left it.
#[derive(Clone, Debug)]
pub enum Auth {
    /// `Authorization: Bearer <secret>`.
    Bearer(SecretSource),
    /// `Authorization: token <secret>`, as anaconda.org takes it.
    Token(SecretSource),
    /// `Authorization: Basic`.
    Basic {
        /// The user's name, without a colon.
        user: String,
        /// The password.
        password: SecretSource,
    },
    /// `/t/<secret>/` between the origin and the base path.
    Path(SecretSource),
    /// `X-API-Key: <secret>`.
    ApiKey(SecretSource),
}

/// Where a secret is kept. Never in the configuration itself.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// A file that holds nothing else; a line end is cut off.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
}

impl SecretSource {
    /// Reads the secret: one line.
    ///
    /// # Errors
    ///
    /// Why it cannot be had, as the end of a sentence that begins with its key; it never holds the secret.
    pub fn read(&self) -> Result<String, String> {
        super::http::read_secret(self)
    }
}

/// All that is wrong with the upstreams of a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; "))]
pub struct UpstreamConfigError {
    /// One or more.
    pub mistakes: Vec<Mistake>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstream {}: {key} {problem}", .upstream + 1)]
pub struct Mistake {
    /// Which upstream, counted from 0.
    pub upstream: usize,
    /// The field of [`UpstreamConfig`], or `timeouts.…`, `limits.…`.
    pub key: &'static str,
    /// What is wrong with it and what is expected; follows the key in a sentence.
    pub problem: String,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            tls_handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(50),
            pooled: Duration::from_secs(50),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrent_requests_max: 512, pooled_connections_max: 64, header_bytes_max: 64 * 1024 }
    }
}

/// Collects mistakes while one upstream is read.
pub(super) struct Findings {
    upstream: usize,
    mistakes: Vec<Mistake>,
}

impl Findings {
    pub(super) fn add(&mut self, key: &'static str, problem: impl Into<String>) {
        self.mistakes.push(Mistake { upstream: self.upstream, key, problem: problem.into() });
    }

    /// The value, or a mistake and nothing.
    pub(super) fn take<T>(&mut self, key: &'static str, value: Result<T, impl Into<String>>) -> Option<T> {
        value.map_err(|problem| self.add(key, problem)).ok()
    }
}

/// Builds every upstream, or says all that is wrong.
pub(super) fn build(configs: &[UpstreamConfig], meters: &Meters) -> Result<Vec<Member>, UpstreamConfigError> {
    let roots = PlatformRoots::default();
    let mut mistakes = Vec::new();
    let mut members = Vec::with_capacity(configs.len());
    for (upstream, config) in configs.iter().enumerate() {
        let mut findings = Findings { upstream, mistakes: Vec::new() };
        members.extend(member(config, &roots, meters, &mut findings));
        mistakes.append(&mut findings.mistakes);
    }
    if configs.is_empty() {
        mistakes.push(Mistake {
            upstream: 0,
            key: "url",
            problem: "is missing: a channel needs one".to_owned(),
        });
    }
    if mistakes.is_empty() { Ok(members) } else { Err(UpstreamConfigError { mistakes }) }
}

fn member(
    config: &UpstreamConfig,
    roots: &PlatformRoots,
    meters: &Meters,
    findings: &mut Findings,
) -> Option<Member> {
    check_numbers(config, findings);
    let (name, kind) = if config.url.starts_with("file:") {
        check_directory_has_no_http_keys(config, findings);
        let root = findings.take("url", directory_path(&config.url))?;
        let name = format!("file:{}", root.display());
        let directory = Directory::new(root).map_err(|error| {
            format!("names a directory, and this system cannot open files safely below one (openat2, Linux 5.6): {error}")
        });
        (name, Upstream::Directory(findings.take("url", directory)?))
    } else {
        let http = Http::new(config, roots, findings)?;
        (http.name(), Upstream::Http(Box::new(http)))
    };
    let turns = config.limits.concurrent_requests_max.min(Semaphore::MAX_PERMITS);
    Some(Member {
        known: Arc::new(Known { meters: meters.clone(), name }),
        kind,
        turns: Arc::new(Semaphore::new(turns)),
        timeouts: config.timeouts,
    })
}

fn check_numbers(config: &UpstreamConfig, findings: &mut Findings) {
    let Timeouts { connect, tls_handshake, first_byte, idle, pooled } = config.timeouts;
    for (key, timeout) in [
        ("timeouts.connect", connect),
        ("timeouts.tls_handshake", tls_handshake),
        ("timeouts.first_byte", first_byte),
        ("timeouts.idle", idle),
        ("timeouts.pooled", pooled),
    ] {
        // A day is longer than anybody waits, and keeps deadlines far from the end of representable time.
        if timeout.is_zero() || timeout > Duration::from_secs(24 * 60 * 60) {
            findings.add(key, "must be more than zero and at most a day");
        }
    }
    if config.limits.concurrent_requests_max == 0 {
        findings.add("limits.concurrent_requests_max", "must be at least 1");
    }
    if config.limits.header_bytes_max < 1024 {
        findings.add("limits.header_bytes_max", "must be at least 1024");
    }
}

fn check_directory_has_no_http_keys(config: &UpstreamConfig, findings: &mut Findings) {
    const PROBLEM: &str = "is for http and https upstreams, and this one is a directory";
    if config.ca_file.is_some() {
        findings.add("ca_file", PROBLEM);
    }
    if config.auth.is_some() {
        findings.add("auth", PROBLEM);
    }
    if !config.missing_statuses.is_empty() {
        findings.add("missing_statuses", PROBLEM);
    }
}

/// The directory that a `file:` URL names. RFC 8089, and relative paths, which a URL cannot say: `file:path`.
fn directory_path(url: &str) -> Result<PathBuf, &'static str> {
    let path = url.strip_prefix("file:").unwrap_or(url);
    let path = match path.strip_prefix("//") {
        Some(path) => path.strip_prefix("localhost").unwrap_or(path),
        None => path,
    };
    if path.is_empty() {
        return Err("names no directory; expected file:///absolute/path or file:relative/path");
    }
    if url.starts_with("file://") && !path.starts_with('/') {
        return Err("names a host; expected file:///absolute/path or file:relative/path");
    }
    if path.contains(['?', '#']) {
        return Err("has a query or fragment; write ? as %3F and # as %23");
    }
    let path = percent_decode_str(path).decode_utf8().map_err(|_| "is not UTF-8 once decoded")?;
    if path.contains('\0') { Err("contains NUL") } else { Ok(PathBuf::from(path.into_owned())) }
}

/// Where the upstream of a usable URL is, in one spelling: without what may be written in several ways.
pub(super) fn identity(url: &str) -> String {
    let place = if url.starts_with("file:") {
        directory_path(url).map(|path| format!("file:{}", path.display()))
    } else {
        http_url(url).map(String::from)
    };
    place.map_or_else(|_| url.to_owned(), |place| place.trim_end_matches('/').to_owned())
}

/// The URL of an HTTP upstream.
pub(super) fn http_url(url: &str) -> Result<Url, &'static str> {
    let parsed = Url::parse(url).map_err(|_| "is not a URL; expected http(s)://host/path or file:///path")?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err("has an unknown scheme; expected http, https or file");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("contains a user name or password; give it by auth, from a file or the environment");
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err("has a query or fragment");
    }
    let mut segments = parsed.path_segments().into_iter().flatten();
    if segments.any(|segment| segment.eq_ignore_ascii_case("t")) {
        return Err("contains a token (/t/<token>); give it by auth, from a file or the environment");
    }
    Ok(parsed)
}
