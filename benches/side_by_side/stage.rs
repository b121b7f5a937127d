//! Everybody who is measured, running: the upstream, gates, nginx with its auth service, HAProxy.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_rustls::TlsConnector;

use super::load::Goal;
use super::place::{Place, free_address};
use super::process::Process;

/// Who is asked for files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Server {
    /// The gate, which keeps no files.
    Gate,
    /// The same, at its public channel, without a token.
    GateOpen,
    /// The gate with its cache.
    GateCache,
    /// nginx with the tokens in a map.
    Map,
    /// nginx that asks a service about each request, and the service.
    AuthRequest,
    /// nginx with the tokens in a map, files out of its cache.
    NginxCache,
    /// nginx with the tokens in a map, files out of a directory.
    Sendfile,
    /// HAProxy with the tokens in a map.
    Haproxy,
}

impl Server {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gate | Self::GateCache => "gate",
            Self::GateOpen => "gate, public channel",
            Self::Map => "nginx map",
            Self::AuthRequest => "nginx auth_request",
            Self::NginxCache => "nginx proxy_cache",
            Self::Sendfile => "nginx sendfile",
            Self::Haproxy => "HAProxy map",
        }
    }

    /// The processes that do its work.
    fn processes(self, tls: bool) -> &'static [&'static str] {
        match (self, tls) {
            (Self::Gate | Self::GateOpen, false) => &["gate"],
            (Self::Gate | Self::GateOpen, true) => &["gate-tls"],
            (Self::GateCache, false) => &["gate-cache"],
            (Self::GateCache, true) => &["gate-cache-tls"],
            (Self::Map | Self::NginxCache | Self::Sendfile, _) => &["nginx"],
            (Self::AuthRequest, _) => &["nginx", "auth-service"],
            (Self::Haproxy, _) => &["haproxy"],
        }
    }

    /// Who listens where it is asked.
    fn listener(self) -> Self {
        if self == Self::GateOpen { Self::Gate } else { self }
    }

    /// A whole request for a file.
    pub(crate) fn request(self, token: &str, name: &str, closes: bool) -> Vec<u8> {
        let path = match self {
            Self::GateOpen => format!("/open/linux-64/{name}"),
            _ => format!("/t/{token}/bench/linux-64/{name}"),
        };
        let connection = if closes { "close" } else { "keep-alive" };
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: conda/25.9.1 requests/2.32.5 CPython/3.13.7\r\n\
             Accept-Encoding: gzip, deflate, br, zstd\r\nAccept: */*\r\nConnection: {connection}\r\n\r\n"
        )
        .into_bytes()
    }
}

/// Which CPUs are whose.
pub(crate) struct Cpus {
    /// Of everybody who is measured.
    pub(crate) servers: Vec<usize>,
    /// Of the load and of the upstream.
    pub(crate) load: Vec<usize>,
}

/// All of them.
pub(crate) struct Stage {
    pub(crate) place: Place,
    processes: HashMap<&'static str, Process>,
    addresses: HashMap<(Server, bool), SocketAddr>,
    connector: TlsConnector,
    upstream: SocketAddr,
    /// The program that is measured.
    gate: PathBuf,
}

impl Stage {
    /// Starts those that are wanted, with TLS or without, and nobody else: who idles takes time, too.
    pub(crate) async fn set(gate: &Path, wanted: &[Server], tls: bool, cpus: &Cpus) -> Self {
        let place = Place::make(gate).await;
        let connector = connector(&place);
        let upstream = free_address();
        let (processes, addresses) = (HashMap::new(), HashMap::new());
        let mut stage = Self { place, processes, addresses, connector, upstream, gate: gate.to_owned() };
        stage.start_upstream(cpus);
        for server in wanted {
            for name in server.processes(tls) {
                if !stage.processes.contains_key(name) {
                    stage.start(name, *server, tls, cpus);
                }
            }
        }
        stage
    }

    /// Where requests to it go.
    pub(crate) fn goal(&self, server: Server, tls: bool) -> Goal {
        let address = self.addresses[&(server.listener(), tls)];
        Goal { name: server.name(), address, tls: tls.then(|| self.connector.clone()) }
    }

    /// The processes that do its work.
    pub(crate) fn processes(&self, server: Server, tls: bool) -> Vec<&Process> {
        server.processes(tls).iter().map(|name| &self.processes[name]).collect()
    }

    /// So that a line of log for each request does not fill the disk.
    pub(crate) fn empty_logs(&self) {
        self.processes.values().for_each(Process::empty_log);
    }

    fn start(&mut self, name: &'static str, server: Server, tls: bool, cpus: &Cpus) {
        match name {
            "nginx" => self.start_nginx(cpus),
            "haproxy" => self.start_haproxy(cpus),
            "auth-service" => {}
            gate => self.start_gate(gate, server.listener(), tls, cpus),
        }
    }

    fn start_upstream(&mut self, cpus: &Cpus) {
        let values = [("UPSTREAM", self.upstream.to_string())];
        let config = self.place.configure("upstream.conf", include_str!("upstream.conf"), &values);
        self.run("upstream", nginx(&config), &cpus.load, &[self.upstream]);
    }

    fn start_gate(&mut self, name: &'static str, server: Server, tls: bool, cpus: &Cpus) {
        self.place.copy_store(name);
        let address = free_address();
        let at = self.place.path().display();
        let files = format!("tls = {{ certificate = \"{at}/certificate.pem\", key = \"{at}/key.pem\" }}");
        let values = [
            ("GATE", name.to_owned()),
            ("LISTEN", address.to_string()),
            ("TLS", if tls { files } else { String::new() }),
            ("CACHE", (server == Server::GateCache).to_string()),
            ("UPSTREAM", self.upstream.to_string()),
        ];
        let config = self.place.configure(&format!("{name}.toml"), include_str!("gate.toml"), &values);
        let mut command = Command::new(&self.gate);
        command.arg("--config").arg(config).arg("serve").current_dir(self.place.path());
        self.run(name, command, &cpus.servers, &[address]);
        self.addresses.insert((server, tls), address);
    }

    /// nginx with all its roles, and the service that one of them asks.
    fn start_nginx(&mut self, cpus: &Cpus) {
        let service = free_address();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(AUTH_SERVICE).arg(service.to_string()).arg(self.place.path().join("tokens.txt"));
        self.run("auth-service", command, &cpus.servers, &[service]);
        let mut values = vec![
            ("UPSTREAM", self.upstream.to_string()),
            ("AUTH_SERVICE", service.to_string()),
            ("WORKERS", cpus.servers.len().to_string()),
        ];
        for (key, server, tls) in NGINX_LISTENERS {
            let address = free_address();
            values.push((key, address.to_string()));
            self.addresses.insert((server, tls), address);
        }
        let config = self.place.configure("nginx.conf", include_str!("nginx.conf"), &values);
        let addresses = NGINX_LISTENERS.map(|(_, server, tls)| self.addresses[&(server, tls)]);
        self.run("nginx", nginx(&config), &cpus.servers, &addresses);
    }

    fn start_haproxy(&mut self, cpus: &Cpus) {
        let addresses = [free_address(), free_address()];
        let values = [
            ("UPSTREAM", self.upstream.to_string()),
            ("HAPROXY", addresses[0].to_string()),
            ("HAPROXY_TLS", addresses[1].to_string()),
            ("WORKERS", cpus.servers.len().to_string()),
        ];
        let config = self.place.configure("haproxy.cfg", include_str!("haproxy.cfg"), &values);
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(config);
        self.run("haproxy", command, &cpus.servers, &addresses);
        self.addresses
            .extend([((Server::Haproxy, false), addresses[0]), ((Server::Haproxy, true), addresses[1])]);
    }

    fn run(&mut self, name: &'static str, command: Command, cpus: &[usize], addresses: &[SocketAddr]) {
        let mut process = Process::start(name, command, cpus, self.place.path());
        process.accepts(addresses);
        self.processes.insert(name, process);
    }
}

fn nginx(config: &Path) -> Command {
    let mut command = Command::new("nginx");
    command.arg("-c").arg(config);
    command
}

/// A client as conda's: TLS 1.3, X25519, the order of ciphers of OpenSSL. It resumes no session, so that each handshake is a whole one.
fn connector(place: &Place) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&place.certificate()).unwrap()).unwrap();
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

/// The word that makes this program the auth service.
pub(crate) const AUTH_SERVICE: &str = "auth-service";

const NGINX_LISTENERS: [(&str, Server, bool); 8] = [
    ("MAP", Server::Map, false),
    ("MAP_TLS", Server::Map, true),
    ("ASKING", Server::AuthRequest, false),
    ("ASKING_TLS", Server::AuthRequest, true),
    ("CACHE", Server::NginxCache, false),
    ("CACHE_TLS", Server::NginxCache, true),
    ("SENDFILE", Server::Sendfile, false),
    ("SENDFILE_TLS", Server::Sendfile, true),
];
