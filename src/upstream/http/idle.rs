//! Connections that are not in use, for the next request to the same origin.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::clock;

/// A connection between two requests, with the buffer that it is read into.
pub(in crate::upstream) struct Idle {
    pub(super) tcp: TcpStream,
    pub(super) buffer: BytesMut,
}

/// Connections that are kept. Clones are the same pool.
#[derive(Clone)]
pub(in crate::upstream) struct Pool(Arc<Shared>);

struct Shared {
    kept: Mutex<Kept>,
    idle_max: usize,
    idle: Duration,
}

#[derive(Default)]
struct Kept {
    /// The one that was used last is at the end, and used next; each with when it was ([`clock::ticked`]).
    connections: VecDeque<(Duration, Idle)>,
    /// A task waits for the first to become too old.
    is_watched: bool,
}

impl Idle {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, buffer: BytesMut::new() }
    }

    /// True if nothing has come since it was used: not the peer's end, and nothing that could be taken for the next response.
    fn is_quiet(&self) -> bool {
        let read = self.tcp.try_read(&mut [0]);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Pool {
    pub(super) fn new(idle_max: usize, idle: Duration) -> Self {
        Self(Arc::new(Shared { kept: Mutex::default(), idle_max, idle }))
    }

    /// The connection that was used last, if there is one that is still good.
    pub(super) fn take(&self) -> Option<Idle> {
        loop {
            let (since, idle) = self.0.kept().connections.pop_back()?;
            if clock::ticked().saturating_sub(since) < self.0.idle && idle.is_quiet() {
                return Some(idle);
            }
        }
    }

    /// Keeps a connection whose response was read to its end, if there is room.
    pub(in crate::upstream) fn give_back(&self, tcp: TcpStream, buffer: BytesMut) {
        let mut kept = self.0.kept();
        if kept.connections.len() >= self.0.idle_max {
            return;
        }
        kept.connections.push_back((clock::ticked(), Idle { tcp, buffer }));
        let watches = !kept.is_watched && Handle::try_current().is_ok();
        kept.is_watched |= watches;
        drop(kept);
        if watches {
            tokio::spawn(watch(Arc::downgrade(&self.0), self.0.idle));
        }
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes what is too old. How long until there is something to look for again; `None` if nothing is kept.
    fn prune(&self) -> Option<Duration> {
        let mut kept = self.kept();
        let now = clock::ticked();
        let left = |since: Duration| since.saturating_add(self.idle).saturating_sub(now);
        let old = kept.connections.iter().take_while(|(since, _)| left(*since).is_zero()).count();
        let closed: Vec<_> = kept.connections.drain(..old).collect();
        let next = kept.connections.front().map(|(since, _)| left(*since));
        kept.is_watched = next.is_some();
        drop(kept);
        drop(closed);
        next
    }
}

/// Closes connections when their time is over, for as long as there are any.
async fn watch(shared: Weak<Shared>, first: Duration) {
    let mut next = first;
    loop {
        sleep(next).await;
        let Some(shared) = shared.upgrade() else { return };
        let Some(again) = shared.prune() else { return };
        next = again;
    }
}
