//! What is measured: the workloads, who is beside the gate in each, and the figures that the gate is held to.

use super::place::File;
use super::stage::Server;

/// Something that clients do, done to several servers in turn.
pub(crate) struct Workload {
    /// As it is called on the command line.
    pub(crate) name: &'static str,
    /// As it is called in the table.
    pub(crate) title: &'static str,
    pub(crate) file: File,
    pub(crate) tls: bool,
    /// A new connection for each request.
    pub(crate) closes: bool,
    /// At once.
    pub(crate) connections: usize,
    /// How long one server is pressed in one round, in seconds; the command line can say otherwise.
    pub(crate) seconds: f64,
    /// Which gate.
    pub(crate) gate: Server,
    pub(crate) peers: &'static [Peer],
}

/// Somebody who is measured beside the gate.
pub(crate) struct Peer {
    pub(crate) server: Server,
    /// What the gate's CPU time over theirs must not exceed, and what it should reach. None: as information.
    pub(crate) bounds: Option<Bounds>,
}

/// Ratios.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) must: f64,
    pub(crate) goal: f64,
}

impl Workload {
    /// Everybody, the gate first.
    pub(crate) fn servers(&self) -> impl Iterator<Item = Server> {
        std::iter::once(self.gate).chain(self.peers.iter().map(|peer| peer.server))
    }

    /// Large files are counted in GB, small ones in requests.
    pub(crate) fn is_bulk(&self) -> bool {
        matches!(self.file, File::R | File::L)
    }
}

const fn held(server: Server, must: f64, goal: f64) -> Peer {
    Peer { server, bounds: Some(Bounds { must, goal }) }
}

const fn shown(server: Server) -> Peer {
    Peer { server, bounds: None }
}

const SMALL: Workload = Workload {
    name: "s",
    title: "S 1 KiB, keep-alive",
    file: File::S,
    tls: false,
    closes: false,
    connections: 64,
    seconds: 1.0,
    gate: Server::Gate,
    peers: &[held(Server::Map, 1.0, 0.85), held(Server::AuthRequest, 0.65, 0.5), shown(Server::Haproxy)],
};

const LARGE: Workload = Workload {
    name: "l",
    title: "L 100 MiB",
    file: File::L,
    connections: 4,
    seconds: 1.5,
    peers: &[held(Server::Map, 1.05, 0.6), shown(Server::AuthRequest), shown(Server::Haproxy)],
    ..SMALL
};

const HIT: Workload = Workload {
    name: "hit-m",
    title: "cache hit, M",
    file: File::M,
    gate: Server::GateCache,
    peers: &[held(Server::NginxCache, 0.85, 0.65), shown(Server::Sendfile)],
    ..SMALL
};

pub(crate) const WORKLOADS: [Workload; 12] = [
    SMALL,
    Workload { name: "m", title: "M 30 KiB, keep-alive", file: File::M, ..SMALL },
    Workload {
        name: "s-close",
        title: "S, a new connection each",
        closes: true,
        peers: &[held(Server::Map, 1.15, 1.0), shown(Server::AuthRequest), shown(Server::Haproxy)],
        ..SMALL
    },
    Workload {
        name: "r",
        title: "R 5 MiB",
        file: File::R,
        connections: 8,
        peers: &[held(Server::Map, 1.0, 0.7), shown(Server::AuthRequest), shown(Server::Haproxy)],
        ..LARGE
    },
    LARGE,
    Workload {
        name: "handshake",
        title: "TLS 1.3, S, a new connection each",
        tls: true,
        closes: true,
        peers: &[held(Server::Map, 0.6, 0.52), shown(Server::Haproxy)],
        ..SMALL
    },
    Workload {
        name: "m-tls",
        title: "TLS 1.3, M, keep-alive",
        file: File::M,
        tls: true,
        peers: &[held(Server::Map, 0.75, 0.6), shown(Server::AuthRequest), shown(Server::Haproxy)],
        ..SMALL
    },
    Workload {
        name: "l-tls",
        title: "TLS 1.3, L",
        tls: true,
        peers: &[held(Server::Map, 0.5, 0.42), shown(Server::Haproxy)],
        ..LARGE
    },
    HIT,
    Workload {
        name: "hit-l",
        title: "cache hit, L",
        file: File::L,
        connections: 4,
        seconds: 1.5,
        peers: &[held(Server::Sendfile, 2.0, 1.1), shown(Server::NginxCache)],
        ..HIT
    },
    Workload {
        name: "hit-l-tls",
        title: "TLS 1.3, cache hit, L",
        file: File::L,
        tls: true,
        connections: 4,
        seconds: 1.5,
        peers: &[held(Server::Sendfile, 0.65, 0.5), shown(Server::NginxCache)],
        ..HIT
    },
    Workload {
        name: "public",
        title: "S, with a token and without",
        peers: &[held(Server::GateOpen, 1.03, 1.01)],
        ..SMALL
    },
];
