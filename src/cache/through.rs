//! A file that passes without being kept, from its start or from where the disk took no more.
//!
//! It is resumed and proven like any other. Nobody shares it: each reader has an upstream's body of its own, because there is nothing in
//! between that would wait for the slowest.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::attempt::{Attempt, Cut, Rest, releasable};
use super::body::{Body, BodyError};
use super::expectation::{Expectation, Wrong};
use super::filling::Head;
use super::flight::{FillError, Shared};
use super::order::{BoxFuture, Order};
use super::resume::Steady;
use super::sha256::Hashing;
use crate::semantics::Span;
use crate::upstream::{Ask, Fetched, Method};

/// A file that passes without being kept, verified like any other.
pub struct Through(Box<Begun>);

/// A file of which the head is there.
struct Begun {
    reason: Bypass,
    head: Head,
    steady: Steady,
    shared: Arc<Shared>,
    order: Arc<Order>,
}

/// Why a file is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bypass {
    /// The upstream says `no-store`.
    NoStore,
    /// There is no room for it: the disk is full, or it is larger than the cache.
    DiskFull,
    /// The disk fails.
    DiskError,
}

impl Bypass {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::NoStore, Self::DiskFull, Self::DiskError];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoStore => "no_store",
            Self::DiskFull => "disk_full",
            Self::DiskError => "disk_error",
        }
    }

    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::NoStore => "the upstream forbids it (no-store)",
            Self::DiskFull => "there is no room for it",
            Self::DiskError => "the cache's disk fails",
        }
    }
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the upstream sent to a flight that cannot keep it: for one of those who wait, the others ask for their own.
pub(super) struct Handover {
    reason: Bypass,
    fetched: Mutex<Option<Box<Fetched>>>,
}

impl Handover {
    pub(super) fn new(reason: Bypass, fetched: Box<Fetched>) -> Self {
        Self { reason, fetched: Mutex::new(Some(fetched)) }
    }

    pub(super) fn reason(&self) -> Bypass {
        self.reason
    }

    fn take(&self) -> Option<Box<Fetched>> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Through {
    pub(super) async fn of(
        handover: &Handover,
        shared: &Arc<Shared>,
        order: Order,
    ) -> Result<Self, FillError> {
        let fetched = match handover.take() {
            Some(fetched) => fetched,
            None => {
                let ask =
                    Ask { method: Method::Get, path: &order.path, at: order.at.as_ref(), conditions: None };
                order.upstreams.fetch(&ask).await?
            }
        };
        let head = Head::of(&fetched);
        if head.length == Some(0) {
            // There will be no last byte to hold back.
            let proof = Expectation::of(&order.check).await.prove(Hashing::new().finish(), 0).await;
            proof.map_err(|wrong| shared.report(&order, wrong, FillError::Corrupt))?;
        }
        let steady = Steady::new(&order, fetched, shared.meters.clone());
        let (shared, order) = (Arc::clone(shared), Arc::new(order));
        Ok(Self(Box::new(Begun { reason: handover.reason, head, steady, shared, order })))
    }

    /// What the upstream said of it.
    pub fn head(&self) -> &Head {
        &self.0.head
    }

    /// Why it is not kept.
    pub fn reason(&self) -> Bypass {
        self.0.reason
    }

    /// The bytes of `span`, or all of them, as they come.
    pub fn into_body(self, span: Option<Span>) -> Body {
        let Begun { head, steady, shared, order, .. } = *self.0;
        let end = span.map(|span| span.end).or(head.length);
        Body::passing(Passing {
            shared,
            order,
            steady,
            unread: VecDeque::new(),
            hashing: Hashing::new(),
            position: 0,
            length: head.length,
            window: VecDeque::new(),
            given: span.map_or(0, |span| span.start),
            end,
            proving: None,
            is_proven: false,
        })
    }
}

/// The bytes of a file that passes: read, hashed, and given out as far as they may be.
pub(super) struct Passing {
    shared: Arc<Shared>,
    order: Arc<Order>,
    steady: Steady,
    /// What came before the next chunk of `steady` and was not looked at.
    unread: VecDeque<Bytes>,
    hashing: Hashing,
    /// Bytes of the file that were hashed.
    position: u64,
    length: Option<u64>,
    /// Those of them from `given` on.
    window: VecDeque<Bytes>,
    /// The next byte to give out.
    given: u64,
    /// The byte after the last that is wanted; `None` is the end of the file.
    end: Option<u64>,
    proving: Option<BoxFuture<'static, Result<(), Wrong>>>,
    is_proven: bool,
}

impl Passing {
    /// The rest of a file of which the disk took no more, for a reader that wants what is behind `offset` and before `end`.
    pub(super) async fn after(
        cut: &Cut,
        shared: Arc<Shared>,
        order: &Arc<Order>,
        attempt: &Attempt,
        (offset, end): (u64, Option<u64>),
    ) -> io::Result<Self> {
        let (file, written) = (Arc::clone(attempt.file()), cut.written);
        let reading = tokio::task::spawn_blocking(move || read_again(&file, written, offset));
        let (hashing, window) = reading.await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))?;
        let head = attempt.head();
        let Rest { chunks, steady } = cut.take_rest().unwrap_or_else(|| {
            let version = (head.validators.etag.clone(), head.length);
            let steady = Steady::rest(order, version, written, shared.meters.clone());
            Rest { chunks: VecDeque::new(), steady }
        });
        Ok(Self {
            shared,
            order: Arc::clone(order),
            steady,
            unread: chunks,
            hashing,
            position: written,
            length: head.length,
            window,
            given: offset,
            end,
            proving: None,
            is_proven: false,
        })
    }

    /// How many bytes are to come, if that is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_sub(self.given))
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if let Some(bytes) = self.releasable_bytes() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            let is_over = self.is_proven || self.end.is_some_and(|end| self.given >= end);
            if is_over {
                return Poll::Ready(None);
            }
            if let Some(proving) = &mut self.proving {
                match ready!(proving.as_mut().poll(context)) {
                    Ok(()) => {
                        self.proving = None;
                        self.is_proven = true;
                        continue;
                    }
                    Err(wrong) => {
                        let error = self.shared.report(&self.order, wrong, BodyError::Corrupt);
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
            let chunk = match self.unread.pop_front() {
                Some(chunk) => Some(Ok(chunk)),
                None => ready!(self.steady.poll_chunk(context)),
            };
            match chunk {
                Some(Ok(chunk)) => self.came(chunk),
                Some(Err(_)) => return Poll::Ready(Some(Err(BodyError::Broken))),
                None => self.prove(),
            }
        }
    }

    fn releasable_bytes(&mut self) -> Option<Bytes> {
        let there =
            if self.is_proven { self.position } else { releasable(self.position, self.length, self.end) };
        let limit = there.min(self.end.unwrap_or(u64::MAX));
        let count = limit.checked_sub(self.given).filter(|count| *count > 0)?;
        let mut front = self.window.pop_front()?;
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(front.len());
        let bytes = front.split_to(count);
        if !front.is_empty() {
            self.window.push_front(front);
        }
        self.given = self.given.saturating_add(count as u64);
        Some(bytes)
    }

    /// Hashes a chunk and keeps what of it is wanted.
    fn came(&mut self, mut chunk: Bytes) {
        self.hashing.update(&chunk);
        let begin = self.position;
        self.position = begin.saturating_add(chunk.len() as u64);
        if let Some(end) = self.end {
            chunk.truncate(usize::try_from(end.saturating_sub(begin)).unwrap_or(usize::MAX));
        }
        let before = usize::try_from(self.given.saturating_sub(begin)).unwrap_or(usize::MAX).min(chunk.len());
        let wanted = chunk.split_off(before);
        if !wanted.is_empty() {
            self.window.push_back(wanted);
        }
    }

    fn prove(&mut self) {
        let (check, sha256, length) =
            (self.order.check.clone(), self.hashing.clone().finish(), self.position);
        self.proving =
            Some(Box::pin(
                async move { Expectation::of(&check).await.prove(sha256, length).await.map(|_| ()) },
            ));
    }
}

/// Hashes the first `written` bytes and keeps those from `offset` on.
fn read_again(file: &File, written: u64, offset: u64) -> io::Result<(Hashing, VecDeque<Bytes>)> {
    let mut hashing = Hashing::new();
    let mut window = VecDeque::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0_u64;
    while at < written {
        let wanted = usize::try_from(written - at).unwrap_or(usize::MAX).min(piece.len());
        let buffer = piece.get_mut(..wanted).unwrap_or_default();
        let count = match file.read_at(buffer, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let read = buffer.get(..count).unwrap_or_default();
        hashing.update(read);
        let before = usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX);
        if let Some(rest) = read.get(before..).filter(|rest| !rest.is_empty()) {
            window.push_back(Bytes::copy_from_slice(rest));
        }
        at = at.saturating_add(count as u64);
    }
    Ok((hashing, window))
}

/// What is read at once of what is hashed again.
const PIECE_BYTES: usize = 128 * 1024;
