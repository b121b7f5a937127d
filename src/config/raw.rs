//! The configuration file, key for key: what may stand in it and what holds where a key is absent.
//!
//! Every struct mirrors a table, refuses keys that it does not know, and can be read from any subset of its keys: `config/reading.rs`
//! tries each key alone to find every mistake. Keys whose meaning is their value ([`Limits`], [`Verify`], …) have their type here;
//! those that need others to be understood ([`Listen`], [`Store`], [`Channel`], …) stand as written, and [`crate::config`] and its
//! submodules give them meaning. Each default is in one of the `Default` implementations below and, annotated, in
//! `config/channelgate.toml`; a test holds the two together. Nothing here does I/O.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value;
use crate::passage::FastPaths;
use crate::{logging, policy};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) data_dir: PathBuf,
    pub(super) gate: Gate,
    pub(super) network: Network,
    pub(super) listen: Listen,
    pub(super) admin: Admin,
    pub(super) store: Store,
    pub(super) verify: Verify,
    pub(super) cache: Cache,
    pub(super) limits: Limits,
    pub(super) upstream: Upstream,
    pub(super) index: Index,
    pub(super) sign_in: SignIn,
    pub(super) log: logging::Config,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) channels: Vec<Channel>,
}

/// `[gate]`: what it is called.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct Gate {
    pub(super) name: String,
}

/// `[listen]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct Listen {
    #[serde(with = "value::address")]
    pub(super) address: SocketAddr,
    pub(super) public_url: String,
    #[serde(with = "value::networks")]
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) tls: Tls,
    pub(super) fast_paths: FastPaths,
}

/// `listen.tls`: both files, or neither.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table with certificate and key")]
pub(super) struct Tls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// `[admin]`: the plane for operators.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct Admin {
    /// Where it listens, in plaintext. `127.0.0.1:8481`.
    #[serde(with = "value::address")]
    pub address: SocketAddr,
}

/// `[store]`: the URL, or a file that holds it; the same of a standby.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct Store {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read_url_file: Option<PathBuf>,
}

/// `[verify]`: what is remembered of tokens between questions to the store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct Verify {
    /// While the store is reachable, no verdict on a token is older. 10 s.
    #[serde(with = "value::duration")]
    pub max_staleness: Duration,
    /// While it is not, known tokens go on for this long; zero refuses them at once. 5 min.
    #[serde(with = "value::duration_or_zero")]
    pub outage_grace: Duration,
    /// Tokens remembered. 100,000.
    #[serde(with = "value::count")]
    pub known_max: usize,
    /// Unknown credentials remembered, apart from the known so that garbage never displaces them. 100,000.
    #[serde(with = "value::count")]
    pub unknown_max: usize,
    /// Questions to the store at once; beyond it the answer is 503. 32.
    #[serde(with = "value::count")]
    pub store_queries_max: usize,
    /// Unknown tokens that the store is asked about for each network (an IPv4 address, a /64 of IPv6) and second, with two seconds of that
    /// saved up; beyond it it is not asked, and the answer is 429 for a package and 503 for other files. 0: no limit. 100.
    pub wrong_per_second_max: u32,
    /// Running downloads end when the right to them does, within the same bounds; else they finish. False.
    pub cut_streams: bool,
}

/// `[cache]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct Cache {
    pub(super) enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) directory: Option<PathBuf>,
    #[serde(with = "value::size")]
    pub(super) capacity: u64,
    #[serde(with = "value::duration_or_zero")]
    pub(super) revalidate_after: Duration,
    #[serde(with = "value::duration_or_zero")]
    pub(super) stale_while_revalidate: Duration,
    #[serde(with = "value::duration_or_zero")]
    pub(super) stale_if_error: Duration,
    #[serde(with = "value::duration_or_zero")]
    pub(super) negative_ttl: Duration,
    #[serde(with = "value::size_or_zero")]
    pub(super) scrub_rate: u64,
}

/// `network`: whether anything goes upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// What is not in the cache is fetched.
    #[default]
    Online,
    /// What is not in the cache is not there.
    Offline,
}

/// `[limits]`: what clients may take, for each plane. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct Limits {
    /// For a TLS handshake. 10 s.
    #[serde(with = "value::duration")]
    pub tls_handshake_timeout: Duration,
    /// For the head of a request, from the opening of the connection or from the first byte of a further request. 15 s.
    #[serde(with = "value::duration")]
    pub header_timeout: Duration,
    /// For the next request on an idle connection. 75 s.
    #[serde(with = "value::duration")]
    pub keep_alive_timeout: Duration,
    /// For the body of a request, read by the admin API and discarded by the data plane. 30 s.
    #[serde(with = "value::duration")]
    pub request_body_timeout: Duration,
    /// Bytes a second that a client must take of what is ready for it. 1 KiB.
    #[serde(with = "value::size")]
    pub drain_rate_min: u64,
    /// How far behind that rate it may fall: for a client that takes nothing, the time until it is cut. 30 s.
    #[serde(with = "value::duration")]
    pub drain_window: Duration,
    /// At shutdown, how long running responses may go on. 30 s.
    #[serde(with = "value::duration")]
    pub drain_timeout: Duration,
    /// Bytes of a request's line and header fields. 32 KiB.
    #[serde(with = "value::size")]
    pub header_bytes_max: usize,
    /// Bytes of a request's path. 4 KiB.
    #[serde(with = "value::size")]
    pub path_bytes_max: usize,
    /// Bytes of a request's body, which are discarded. 64 KiB.
    #[serde(with = "value::size")]
    pub request_body_bytes_max: u64,
    /// Open connections. 10,000.
    #[serde(with = "value::count")]
    pub connections_max: usize,
    /// Open connections from one address (IPv6: from one /64). 1,024.
    #[serde(with = "value::count")]
    pub connections_per_address_max: usize,
    /// Requests whose response is not over. 4,096.
    #[serde(with = "value::count")]
    pub requests_max: usize,
    /// Streams at once on one HTTP/2 connection. 256.
    #[serde(with = "value::count")]
    pub http2_streams_max: u32,
    /// Bytes of the header list of one HTTP/2 request. 32 KiB.
    #[serde(with = "value::size")]
    pub http2_header_list_bytes_max: u32,
    /// Streams that a client resets before the gate came to them (rapid reset), after which its HTTP/2 connection ends. 20.
    #[serde(with = "value::count")]
    pub http2_resets_max: usize,
    /// Streams that the gate resets for a client's errors, after which its HTTP/2 connection ends. 256.
    #[serde(with = "value::count")]
    pub http2_error_resets_max: usize,
    /// Requests that a client cancels before they are answered, after which its HTTP/2 connection ends if they are most of its
    /// requests. 512.
    #[serde(with = "value::count")]
    pub http2_cancelled_requests_max: u32,
    /// How often an HTTP/2 client is pinged. 20 s.
    #[serde(with = "value::duration")]
    pub http2_keep_alive_interval: Duration,
    /// How long its answer may take. 20 s.
    #[serde(with = "value::duration")]
    pub http2_keep_alive_timeout: Duration,
}

/// `[upstream]`: how long each upstream is waited for and how much it is asked. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct Upstream {
    /// For a connection, name resolution and all addresses of the name included. 5 s.
    #[serde(with = "value::duration")]
    pub connect_timeout: Duration,
    /// For the TLS handshake. 10 s.
    #[serde(with = "value::duration")]
    pub tls_handshake_timeout: Duration,
    /// From asking to the head of the answer, connecting and redirects included. 30 s.
    #[serde(with = "value::duration")]
    pub first_byte_timeout: Duration,
    /// Between two pieces of a body. 50 s: conda gives up after 60.
    #[serde(with = "value::duration")]
    pub idle_timeout: Duration,
    /// How long an unused connection is kept. 50 s.
    #[serde(with = "value::duration")]
    pub pooled_timeout: Duration,
    /// Requests to one upstream at once, bodies included. 512.
    #[serde(with = "value::count")]
    pub requests_max: usize,
    /// Unused connections kept for each origin. 64.
    #[serde(with = "value::count")]
    pub pooled_connections_max: usize,
    /// Bytes of a response's header fields. 64 KiB.
    #[serde(with = "value::size")]
    pub header_bytes_max: u32,
}

/// `[index]`: what inspecting a channel's index may cost. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct Index {
    /// Bytes of an index as it comes. 1 GiB.
    #[serde(with = "value::size")]
    pub compressed_bytes_max: u64,
    /// Bytes of it once decompressed. 4 GiB.
    #[serde(with = "value::size")]
    pub decompressed_bytes_max: u64,
    /// Decompressed bytes for each compressed one, beyond the first 16 MiB. 200.
    #[serde(with = "value::count")]
    pub ratio_max: u64,
    /// Maps and arrays inside each other. 64.
    #[serde(with = "value::count")]
    pub depth_max: usize,
    /// Records of an index. 5,000,000.
    #[serde(with = "value::count")]
    pub records_max: u64,
    /// Shards that an index of shards names. 1,000,000.
    #[serde(with = "value::count")]
    pub shards_max: u64,
    /// Inspections at once. 4.
    #[serde(with = "value::count")]
    pub inspections_max: usize,
    /// How long a request waits for its inspection to begin. 30 s.
    #[serde(with = "value::duration")]
    pub wait_timeout: Duration,
    /// Bytes of disk for indexes that are inspected, kept and served. 8 GiB.
    #[serde(with = "value::size")]
    pub spool_max: u64,
    /// Bytes of memory for documents of indexes that are made into others. 1 GiB.
    #[serde(with = "value::size")]
    pub memory: u64,
}

/// `[sign_in]`: how people sign in, and what their tools get by it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct SignIn {
    pub(super) password: bool,
    #[serde(with = "value::duration")]
    pub(super) session_life: Duration,
    #[serde(with = "value::duration")]
    pub(super) api_key_life: Duration,
    #[serde(with = "value::duration")]
    pub(super) signing_key_life: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret_file: Option<PathBuf>,
    pub(super) default_channel: String,
    pub(super) oidc: Oidc,
}

/// `sign_in.oidc`: the organization's OpenID provider; none without an issuer.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct Oidc {
    pub(super) issuer: String,
    pub(super) client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_secret: Option<ClientSecret>,
    pub(super) user_claim: String,
    pub(super) scopes: String,
    pub(super) ca_file: PathBuf,
    pub(super) title: String,
}

/// `client_secret`: the file or variable that holds it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { file = \"…\" } or { env = \"…\" }")]
pub(super) struct ClientSecret {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) env: Option<String>,
}

/// One of `[[channels]]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) access: Access,
    pub(super) orgs: Vec<String>,
    pub(super) upstreams: Vec<Source>,
    pub(super) allowed_hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rules: Vec<Rule>,
}

/// One of a channel's `rules`: `action` or `quarantine`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table such as { packages = \"numpy>=2\", action = \"block\" }"
)]
pub(super) struct Rule {
    pub(super) packages: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<Action>,
    #[serde(with = "value::some_duration", skip_serializing_if = "Option::is_none")]
    pub(super) quarantine: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) mode: Mode,
}

/// `action` of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Block,
    Allow,
}

/// `mode` of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    #[default]
    Enforce,
    Shadow,
}

impl From<Mode> for policy::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Enforce => Self::Enforce,
            Mode::Shadow => Self::Shadow,
        }
    }
}

impl From<policy::Mode> for Mode {
    fn from(mode: policy::Mode) -> Self {
        match mode {
            policy::Mode::Enforce => Self::Enforce,
            policy::Mode::Shadow => Self::Shadow,
        }
    }
}

/// `access` of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Access {
    Public,
    #[default]
    Private,
}

/// One of a channel's `upstreams`: a URL, or a table where more is to be said.
///
/// `remote` keeps the derived table form apart, for the two implementations below to fall back on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(remote = "Self", default, deny_unknown_fields, expecting = "a table")]
pub(super) struct Source {
    pub(super) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) missing_statuses: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upstream_auth: Option<UpstreamAuth>,
}

/// `upstream_auth`: how the gate proves itself to an upstream. The secret is in the file or variable named, never here.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { kind = \"bearer\", file = \"…\" }")]
pub(super) struct UpstreamAuth {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<AuthKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) env: Option<String>,
}

/// `kind` of an `upstream_auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthKind {
    /// `Authorization: Bearer <secret>`.
    Bearer,
    /// `Authorization: token <secret>`.
    Token,
    /// `Authorization: Basic`, with a user.
    Basic,
    /// `/t/<secret>` in front of the path.
    Path,
    /// `X-API-Key: <secret>`.
    ApiKey,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = Source;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a URL or a table with url")
            }

            fn visit_str<E>(self, url: &str) -> Result<Source, E> {
                Ok(Source { url: url.to_owned(), ..Source::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
                Source::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(Form)
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == (Self { url: self.url.clone(), ..Self::default() }) {
            serializer.serialize_str(&self.url)
        } else {
            Self::serialize(self, serializer)
        }
    }
}

impl Default for File {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("var"),
            gate: Gate::default(),
            network: Network::default(),
            listen: Listen::default(),
            admin: Admin::default(),
            store: Store::default(),
            verify: Verify::default(),
            cache: Cache::default(),
            limits: Limits::default(),
            upstream: Upstream::default(),
            index: Index::default(),
            sign_in: SignIn::default(),
            log: logging::Config::default(),
            channels: Vec::new(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: loopback(8480),
            public_url: String::new(),
            trusted_proxies: Vec::new(),
            tls: Tls::default(),
            fast_paths: FastPaths::default(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: loopback(8481) }
    }
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            max_staleness: Duration::from_secs(10),
            outage_grace: Duration::from_secs(5 * 60),
            known_max: 100_000,
            unknown_max: 100_000,
            store_queries_max: 32,
            wrong_per_second_max: 100,
            cut_streams: false,
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            enabled: true,
            directory: None,
            capacity: 20 << 30,
            revalidate_after: Duration::from_secs(60),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::from_secs(24 * 3_600),
            negative_ttl: Duration::from_secs(10),
            scrub_rate: 1 << 20,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tls_handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(15),
            keep_alive_timeout: Duration::from_secs(75),
            request_body_timeout: Duration::from_secs(30),
            drain_rate_min: 1 << 10,
            drain_window: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            header_bytes_max: 32 << 10,
            path_bytes_max: 4 << 10,
            request_body_bytes_max: 64 << 10,
            connections_max: 10_000,
            connections_per_address_max: 1_024,
            requests_max: 4_096,
            http2_streams_max: 256,
            http2_header_list_bytes_max: 32 << 10,
            http2_resets_max: 20,
            http2_error_resets_max: 256,
            http2_cancelled_requests_max: 512,
            http2_keep_alive_interval: Duration::from_secs(20),
            http2_keep_alive_timeout: Duration::from_secs(20),
        }
    }
}

impl Default for SignIn {
    fn default() -> Self {
        Self {
            password: true,
            session_life: Duration::from_secs(12 * 3_600),
            api_key_life: Duration::from_secs(90 * 24 * 3_600),
            signing_key_life: Duration::from_secs(90 * 24 * 3_600),
            secret_file: None,
            default_channel: "repo/main".to_owned(),
            oidc: Oidc::default(),
        }
    }
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            client_id: String::new(),
            client_secret: None,
            user_claim: "email".to_owned(),
            scopes: "openid email profile".to_owned(),
            ca_file: PathBuf::new(),
            title: String::new(),
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            tls_handshake_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(50),
            pooled_timeout: Duration::from_secs(50),
            requests_max: 512,
            pooled_connections_max: 64,
            header_bytes_max: 64 << 10,
        }
    }
}

impl Default for Index {
    fn default() -> Self {
        Self {
            compressed_bytes_max: 1 << 30,
            decompressed_bytes_max: 4 << 30,
            ratio_max: 200,
            depth_max: 64,
            records_max: 5_000_000,
            shards_max: 1_000_000,
            inspections_max: 4,
            wait_timeout: Duration::from_secs(30),
            spool_max: 8 << 30,
            memory: 1 << 30,
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
