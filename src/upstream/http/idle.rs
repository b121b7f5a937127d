//! Connections that are not in use, for the next request to the same origin.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::clock;

/// A connection that serves one request after the other, with the buffer that it is read into.
pub(in crate::upstream) struct Link {
    pub(in crate::upstream) tcp: TcpStream,
    pub(in crate::upstream) buffer: BytesMut,
    pub(super) alarm: Alarm,
}

/// Ends what takes too long. It has its place among the runtime's timers for as long as there is something to end now and then: a new one for each
/// request took eleven of its 140 locked instructions.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

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
    connections: VecDeque<(Duration, Link)>,
    /// A task waits for the first to become too old.
    is_watched: bool,
}

impl Alarm {
    /// What comes of `future`; `None` if nothing has by `deadline`.
    pub(super) async fn before<T>(
        &mut self,
        deadline: Instant,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let (mut future, mut is_set) = (pin!(future), false);
        poll_fn(|cx| {
            if let Poll::Ready(done) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if !std::mem::replace(&mut is_set, true) {
                sleep.as_mut().reset(deadline);
            }
            sleep.as_mut().poll(cx).map(|()| None)
        })
        .await
    }
}

impl Link {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, buffer: BytesMut::new(), alarm: Alarm::default() }
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
    pub(super) fn take(&self) -> Option<Link> {
        loop {
            let (since, link) = self.0.kept().connections.pop_back()?;
            if clock::ticked().saturating_sub(since) < self.0.idle && link.is_quiet() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection whose response was read to its end, if there is room.
    pub(in crate::upstream) fn give_back(&self, link: Link) {
        let mut kept = self.0.kept();
        if kept.connections.len() >= self.0.idle_max {
            return;
        }
        kept.connections.push_back((clock::ticked(), link));
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
