//! From the configuration's sections to the components' own configurations.

use std::sync::Arc;

use crate::config::{self, Config};
use crate::gateway::{Routes, Routing};
use crate::index::{self, Inspector};
use crate::server::{self, Tls, TlsError};
use crate::upstream::{self, UpstreamConfig, Upstreams};
use crate::{gateway, store, verify};

/// The configuration is well-formed, but names something that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// Upstreams of channels.
    #[error("{}", .0.join("\n"))]
    Upstreams(Vec<String>),
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The certificate, if there is to be one.
pub(super) fn tls(config: &Config) -> Result<Option<Tls>, ComposeError> {
    let files = config.listen.tls.as_ref();
    Ok(files.map(|files| Tls::load(&files.certificate, &files.key)).transpose()?)
}

/// Everything about channels that a reload replaces.
pub(super) fn routing(config: &Config, meters: &upstream::Meters) -> Result<Routing, ComposeError> {
    let mut mistakes = Vec::new();
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
    if !mistakes.is_empty() {
        return Err(ComposeError::Upstreams(mistakes));
    }
    let limits = index::Limits {
        compressed_bytes_max: config.index.compressed_bytes_max,
        decompressed_bytes_max: config.index.decompressed_bytes_max,
        ..index::Limits::default()
    };
    let inspection = index::Config {
        limits,
        inspections_max: config.index.inspections_max,
        wait: config.index.wait_timeout,
        ..index::Config::new(config.cache.directory.clone())
    };
    Ok(Routing {
        config: gateway::Config {
            path_bytes_max: config.limits.path_bytes_max,
            trusted_proxies: config.listen.trusted_proxies.clone(),
        },
        routes: Routes::new(routes),
        inspector: Inspector::new(inspection),
    })
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
    };
    channel.upstreams.iter().map(source).collect()
}

fn auth(auth: &config::Auth) -> upstream::Auth {
    let secret = match &auth.secret {
        config::SecretSource::File(file) => upstream::SecretSource::File(file.clone()),
        config::SecretSource::Variable(name) => upstream::SecretSource::Environment(name.clone()),
    };
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

/// The store's configuration.
pub fn store(config: &Config) -> store::Config {
    store::Config { url: config.store.url.to_string(), ..store::Config::default() }
}

/// The verifier's configuration.
pub fn verify(config: &Config) -> verify::Config {
    verify::Config {
        known_max: config.verify.known_max,
        unknown_max: config.verify.unknown_max,
        store_queries_max: config.verify.store_queries_max,
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
    }
}
