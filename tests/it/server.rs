//! The listener, driven over real sockets: framing, limits, timeouts, slow clients, TLS and the drain.

mod accept;
mod drain;
mod frames;
mod http1;
mod http2;
mod limits;
mod shutdown;
mod stage;
mod tls;
