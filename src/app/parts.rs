//! From the configuration's sections to the components' own configurations.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::{sign_in, story};
use crate::admin::Surroundings;
use crate::anaconda::people::Provider;
use crate::cache::{self, Cache, Disk, DiskConfig};
use crate::clock::Clock;
use crate::config::{self, Config, Limits, Listen, Network};
use crate::gateway::{Routes, Routing};
use crate::index::{self, Indexes, Inspector, Seen};
use crate::keys::{self, GateSecret, Keyring, KeyringError};
use crate::metrics::Metrics;
use crate::semantics::Patience;
use crate::server::{self, Tls};
use crate::store::Store;
use crate::upstream::{self, UpstreamConfig, Upstreams};
use crate::{anaconda, gateway, store, verify};

/// The configuration is well-formed, but names things that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be put to use: {} in it{}", count(.mistakes), .mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect::<String>())]
pub struct ComposeError {
    /// Everything that is wrong, a sentence each; at least one.
    pub mistakes: Vec<String>,
}

fn count(mistakes: &[String]) -> String {
    match mistakes {
        [_] => "1 mistake".to_owned(),
        mistakes => format!("{} mistakes", mistakes.len()),
    }
}

/// What is built from the configuration alone and can fail.
pub(super) struct Parts {
    /// The certificate, if there is to be one.
    pub(super) tls: Option<Tls>,
    /// The channels and their upstreams.
    pub(super) routes: Routes,
    /// Where people sign in, if not here.
    pub(super) provider: Option<Provider>,
}

/// Builds them.
///
/// # Errors
///
/// All that is wrong with certificates and upstreams.
pub(super) fn compose(
    config: &Config,
    clock: &Clock,
    meters: &upstream::Meters,
) -> Result<Parts, ComposeError> {
    let mut mistakes = Vec::new();
    let tls = config.listen.tls.as_ref().and_then(|files| {
        Tls::load(&files.certificate, &files.key)
            .map_err(|error| mistakes.push(format!("listen.tls: {}", story(&error.into()))))
            .ok()
    });
    let mut routes = Vec::new();
    for channel in &config.channels {
        let name = &channel.rules.name;
        match Upstreams::new(&upstreams(config, channel), meters.clone()) {
            Ok(upstreams) => routes.push((channel.rules.clone(), Arc::new(upstreams))),
            Err(error) => {
                mistakes.extend(error.mistakes.iter().map(|mistake| format!("channel \"{name}\": {mistake}")))
            }
        }
    }
    let provider = sign_in::provider(config, clock).map_err(|mistake| mistakes.push(mistake)).ok().flatten();
    if !mistakes.is_empty() {
        return Err(ComposeError { mistakes });
    }
    Ok(Parts { tls, routes: Routes::new(routes), provider })
}

/// Everything about channels that a reload replaces: `routes` as the configuration says that they are served. Whether files are kept is what
/// the gate was started with.
pub(super) fn routing(config: &Config, routes: Routes, indexes: &Indexes, keeps: bool) -> Routing {
    Routing {
        config: gateway::Config {
            path_bytes_max: config.limits.path_bytes_max,
            trusted_proxies: config.listen.trusted_proxies.clone(),
        },
        routes,
        inspector: Inspector::new(inspection(config)),
        indexes: indexes.under(inspection(config), rules(config)),
        keeps,
    }
}

/// What inspections of indexes may cost.
pub(super) fn inspection(config: &Config) -> index::Config {
    let limits = index::Limits {
        compressed_bytes_max: config.index.compressed_bytes_max,
        decompressed_bytes_max: config.index.decompressed_bytes_max,
        ratio_max: config.index.ratio_max,
        depth_max: config.index.depth_max,
        records_max: config.index.records_max,
        shards_max: config.index.shards_max,
        ..index::Limits::default()
    };
    index::Config {
        limits,
        inspections_max: config.index.inspections_max,
        spool_bytes_max: config.index.spool_max,
        wait: config.index.wait_timeout,
        memory_bytes_max: config.index.memory,
        ..index::Config::new(config.cache.directory.clone())
    }
}

/// The indexes in a cache. Without a store nobody knows since when there is what they name.
pub(super) fn indexes(
    config: &Config,
    cache: Cache,
    store: Option<&Store>,
    clock: &Clock,
    metrics: &Metrics,
) -> Indexes {
    let seen = store.map(|store| Seen::new(store.clone(), clock.clone()));
    Indexes::new(inspection(config), cache, seen, clock.clone(), metrics.clone())
}

/// Opens the package cache: what dead processes left half done is removed, what is whole is found. Where there is to be none, indexes are kept
/// all the same, for they cannot be made of anything else: in a directory of their own, as many as `index.spool_max` allows.
///
/// # Errors
///
/// Its directory cannot be used.
pub async fn cache(config: &Config, clock: &Clock, metrics: &Metrics) -> anyhow::Result<Cache> {
    let meters = cache::Meters::register(metrics.registry())?;
    let keys = if config.cache.enabled {
        DiskConfig {
            directory: config.cache.directory.clone(),
            capacity_bytes: config.cache.capacity_bytes,
            scrub_bytes_per_second: config.cache.scrub_bytes_per_second,
        }
    } else {
        DiskConfig {
            directory: config.data_dir.join(SPOOL),
            capacity_bytes: config.index.spool_max,
            scrub_bytes_per_second: 0,
        }
    };
    let (opened_clock, disk_meters) = (clock.clone(), meters.clone());
    let opened = tokio::task::spawn_blocking(move || Disk::open(keys, opened_clock, disk_meters)).await?;
    let disk = opened.context(if config.cache.enabled {
        "the cache cannot be opened; name another directory in cache.directory, or set cache.enabled = false"
    } else {
        "there is no place for indexes; name another directory in data_dir"
    })?;
    Ok(Cache::new(disk, rules(config), clock.clone(), meters))
}

/// Where indexes are kept below the data directory if there is no cache.
const SPOOL: &str = "spool";

/// For how long what is kept is right.
fn rules(config: &Config) -> cache::Rules {
    cache::Rules {
        patience: Patience {
            lifetime: config.cache.revalidate_after,
            stale_while_revalidate: config.cache.stale_while_revalidate,
            stale_if_error: config.cache.stale_if_error,
        },
        negative_ttl: config.cache.negative_ttl,
        offline: config.network == Network::Offline,
    }
}

/// What the admin plane has to know of the routing.
pub(super) fn surroundings(routing: &Routing) -> Surroundings {
    Surroundings {
        channels: routing.routes.channels().clone(),
        trusted_proxies: routing.config.trusted_proxies.clone(),
    }
}

/// What the face for the anaconda tools has to know of the configuration; `local` is where the data plane listens.
pub(super) fn tools(config: &Config, routing: &Routing, local: SocketAddr) -> anaconda::Surroundings {
    anaconda::Surroundings {
        channels: routing.routes.channels().clone(),
        trusted_proxies: routing.config.trusted_proxies.clone(),
        public_url: config.listen.url(local),
        place: sign_in::place(config),
        default_channel: config.sign_in.default_channel.clone(),
    }
}

/// What signs API keys, by what the configuration says. `None`, and a line that says why, where people cannot sign in at this gate: channels go
/// on all the same.
pub(super) async fn keyring(
    config: &Config,
    secret: Option<GateSecret>,
    store: &Store,
    clock: &Clock,
) -> Option<Keyring> {
    let issuer = config.listen.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    let defaults = keys::Config::default();
    let keyring = Keyring::new(
        store.clone(),
        secret?,
        keys::Config {
            issuer: issuer.unwrap_or(defaults.issuer),
            signing_key_life: config.sign_in.signing_key_life,
            api_key_life: config.sign_in.api_key_life,
        },
    );
    match keyring.load(clock.now()).await {
        Ok(()) => Some(keyring),
        // They are read again when one is needed.
        Err(error @ KeyringError::Store(_)) => {
            tracing::warn!("the signing keys could not be read: {}", story(&error.into()));
            Some(keyring)
        }
        Err(error) => {
            tracing::error!("nobody can sign in at this gate: {}", story(&error.into()));
            None
        }
    }
}

/// The keys in which `new` differs from what a gate was started with, of those that are read at the start only.
pub(super) fn needing_restart(started: &Config, new: &Config) -> Vec<&'static str> {
    // Named one by one, so that whoever adds a section decides whether a reload reads it.
    let Config {
        data_dir,
        gate,
        network: _,
        listen: Listen { address, tls, public_url: _, trusted_proxies: _, fast_paths },
        admin,
        store,
        verify,
        cache: config::Cache { enabled, directory, capacity_bytes, scrub_bytes_per_second, .. },
        limits,
        upstream: _,
        index: _,
        sign_in,
        log,
        channels: _,
        found: _,
    } = new;
    let limits = Limits { path_bytes_max: started.limits.path_bytes_max, ..limits.clone() };
    let keys = [
        ("data_dir", *data_dir != started.data_dir),
        ("gate", *gate != started.gate),
        ("listen.address", *address != started.listen.address),
        ("listen.tls", *tls != started.listen.tls),
        ("listen.fast_paths", *fast_paths != started.listen.fast_paths),
        ("admin", *admin != started.admin),
        ("store", *store != started.store),
        ("verify", *verify != started.verify),
        ("cache.enabled", *enabled != started.cache.enabled),
        ("cache.directory", *directory != started.cache.directory),
        ("cache.capacity", *capacity_bytes != started.cache.capacity_bytes),
        ("cache.scrub_rate", *scrub_bytes_per_second != started.cache.scrub_bytes_per_second),
        ("limits", limits != started.limits),
        ("sign_in", *sign_in != started.sign_in),
        ("log", *log != started.log),
    ];
    keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

fn upstreams(config: &Config, channel: &config::Channel) -> Vec<UpstreamConfig> {
    let keys = &config.upstream;
    let timeouts = upstream::Timeouts {
        connect: keys.connect_timeout,
        tls_handshake: keys.tls_handshake_timeout,
        first_byte: keys.first_byte_timeout,
        idle: keys.idle_timeout,
        pooled: keys.pooled_timeout,
    };
    let limits = upstream::Limits {
        concurrent_requests_max: keys.requests_max,
        pooled_connections_max: keys.pooled_connections_max,
        header_bytes_max: keys.header_bytes_max,
    };
    let source = |source: &config::Source| UpstreamConfig {
        url: source.location.to_string(),
        ca_file: source.ca_file.clone(),
        auth: source.auth.as_ref().map(auth),
        allowed_hosts: channel.allowed_hosts.clone(),
        missing_statuses: source.missing_statuses.clone(),
        timeouts,
        limits,
        fast_paths: config.listen.fast_paths,
    };
    channel.upstreams.iter().map(source).collect()
}

fn auth(auth: &config::Auth) -> upstream::Auth {
    let secret = secret(&auth.secret);
    match auth.kind {
        config::AuthKind::Bearer => upstream::Auth::Bearer(secret),
        config::AuthKind::Token => upstream::Auth::Token(secret),
        config::AuthKind::Basic => {
            upstream::Auth::Basic { user: auth.user.clone().unwrap_or_default(), password: secret }
        }
        config::AuthKind::Path => upstream::Auth::Path(secret),
        config::AuthKind::ApiKey => upstream::Auth::ApiKey(secret),
    }
}

/// Where a secret is.
pub(super) fn secret(source: &config::SecretSource) -> upstream::SecretSource {
    match source {
        config::SecretSource::File(file) => upstream::SecretSource::File(file.clone()),
        config::SecretSource::Variable(name) => upstream::SecretSource::Environment(name.clone()),
    }
}

/// The store's configuration.
///
/// A file's changes wait for its disk, on which a machine that starts or installs something writes for seconds: twice as long as a server has,
/// and still less than half of the default of `verify.max_staleness`, so that a disk that hangs is noticed in time.
pub fn store(config: &Config) -> store::Config {
    let patience = if matches!(config.store.url, config::StoreUrl::Sqlite(_)) { 2 } else { 1 };
    let default = store::Config::default();
    store::Config {
        query_timeout: default.query_timeout * patience,
        busy_timeout: default.busy_timeout * patience,
        url: config.store.url.with_password(),
        read_url: config.store.read_url.as_ref().map(config::StoreUrl::with_password),
        // Several looks at the feed fit into what a verdict may be late.
        heartbeat: (config.verify.max_staleness / 4).min(Duration::from_secs(1)),
        ..default
    }
}

/// The verifier's configuration.
pub fn verify(config: &Config) -> verify::Config {
    verify::Config {
        known_max: config.verify.known_max,
        unknown_max: config.verify.unknown_max,
        store_queries_max: config.verify.store_queries_max,
        wrong_per_second_max: config.verify.wrong_per_second_max,
        max_staleness: config.verify.max_staleness,
        outage_grace: config.verify.outage_grace,
        ..verify::Config::default()
    }
}

/// The limits of both listeners.
pub(super) fn server(config: &Config) -> server::Config {
    let limits = &config.limits;
    server::Config {
        tls_handshake_timeout: limits.tls_handshake_timeout,
        header_read_timeout: limits.header_timeout,
        keep_alive_timeout: limits.keep_alive_timeout,
        header_bytes_max: limits.header_bytes_max,
        request_body_max: limits.request_body_bytes_max,
        request_body_timeout: limits.request_body_timeout,
        connections_max: limits.connections_max,
        connections_per_address_max: limits.connections_per_address_max,
        requests_in_flight_max: limits.requests_max,
        http2_streams_max: limits.http2_streams_max,
        http2_header_list_bytes_max: limits.http2_header_list_bytes_max,
        http2_pending_resets_max: limits.http2_resets_max,
        http2_error_resets_max: limits.http2_error_resets_max,
        http2_cancelled_requests_max: limits.http2_cancelled_requests_max,
        http2_keep_alive_interval: limits.http2_keep_alive_interval,
        http2_keep_alive_timeout: limits.http2_keep_alive_timeout,
        drain_rate_min: limits.drain_rate_min,
        drain_window: limits.drain_window,
        drain_timeout: limits.drain_timeout,
        fast_paths: config.listen.fast_paths,
    }
}
