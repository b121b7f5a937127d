//! Reads a file while it grows.
//!
//! What is written and may be given out is read from the draft; then it is waited for. If the attempt fails before this reader has got a
//! byte, it rides on with the next one, provided that the next has the same head: the response has that already. If the disk takes no
//! more, the rest is had past it ([`super::through`]).

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::attempt::{Attempt, State};
use super::body::{BodyError, Origin};
use super::crowd::Interest;
use super::filling::next;
use super::flight::{Flight, Shared};
use super::order::BoxFuture;
use super::through::Passing;
use crate::reading::Reader;
use crate::semantics::Span;

/// One reader of a file that grows.
pub(super) struct Follow {
    shared: Arc<Shared>,
    flight: Arc<Flight>,
    attempt: Arc<Attempt>,
    interest: Interest,
    start: u64,
    /// The byte after the last that is wanted; `None` is the end of the file.
    end: Option<u64>,
    reader: Reader,
    waiting: Option<Waiting>,
    passing: Option<Box<Passing>>,
}

/// What is waited for.
enum Waiting {
    Progress(BoxFuture<'static, ()>),
    Next(BoxFuture<'static, Option<Arc<Attempt>>>),
    Passing(BoxFuture<'static, io::Result<Passing>>),
}

impl Follow {
    pub(super) fn new(
        shared: Arc<Shared>,
        flight: Arc<Flight>,
        attempt: Arc<Attempt>,
        interest: Interest,
        span: Option<Span>,
    ) -> Self {
        let start = span.map_or(0, |span| span.start);
        let end = span.map(|span| span.end).or(attempt.head().length);
        let reader = Reader::new(Arc::clone(attempt.file()), start, None);
        Self { shared, flight, attempt, interest, start, end, reader, waiting: None, passing: None }
    }

    /// How many bytes are to come, if that is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_sub(self.start))
    }

    /// Where the latest bytes came from.
    pub(super) fn origin(&self) -> Origin {
        match &self.passing {
            Some(_) => Origin::Upstream,
            None => Origin::of(&self.reader),
        }
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let polled = ready!(self.poll_bytes(context));
        if let Some(Ok(_)) = &polled {
            self.interest.feed();
        }
        Poll::Ready(polled)
    }

    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if let Some(passing) = &mut self.passing {
                return passing.poll_chunk(context);
            }
            if let Some(waiting) = &mut self.waiting {
                let waited = match waiting {
                    Waiting::Progress(progress) => {
                        ready!(progress.as_mut().poll(context));
                        Ok(())
                    }
                    Waiting::Next(next) => {
                        let next = ready!(next.as_mut().poll(context));
                        self.ride_on(next)
                    }
                    Waiting::Passing(passing) => match ready!(passing.as_mut().poll(context)) {
                        Ok(passing) => {
                            self.passing = Some(Box::new(passing));
                            Ok(())
                        }
                        Err(error) => Err(BodyError::File(error)),
                    },
                };
                self.waiting = None;
                if let Err(error) = waited {
                    return Poll::Ready(Some(Err(error)));
                }
                continue;
            }
            // Before the progress is looked at, so that nothing is missed between.
            let mut watch = self.attempt.watch();
            let progress = watch.borrow_and_update().clone();
            let limit = self.attempt.limit(&progress, self.end);
            let offset = self.reader.offset();
            if offset < limit {
                let piece = ready!(self.reader.poll_piece(limit - offset, context));
                return Poll::Ready(Some(match piece {
                    Some(Ok(piece)) => Ok(piece),
                    Some(Err(error)) => Err(BodyError::File(error)),
                    None => Err(BodyError::File(io::ErrorKind::UnexpectedEof.into())),
                }));
            }
            // An empty file has no byte that could be held back until it is proven.
            let is_proven = matches!(progress.state, State::Whole(_) | State::Passed(_));
            if self.end.is_some_and(|end| offset >= end && (end > 0 || is_proven)) {
                return Poll::Ready(None);
            }
            self.waiting = Some(match progress.state {
                State::Running => Waiting::Progress(Box::pin(async move {
                    // An error means that nobody writes any more; what is there says how it ended.
                    let _ = watch.changed().await;
                })),
                State::Whole(_) | State::Passed(_) if self.end.is_none() => return Poll::Ready(None),
                // Its length is proven, so this cannot be; but a body that ends short must never end cleanly.
                State::Whole(_) | State::Passed(_) => return Poll::Ready(Some(Err(BodyError::Broken))),
                State::Failed(fault) if self.interest.is_fed() => {
                    return Poll::Ready(Some(Err(fault.into())));
                }
                State::Failed(_) => {
                    let (flight, failed) = (Arc::clone(&self.flight), Arc::clone(&self.attempt));
                    Waiting::Next(Box::pin(async move { next(&flight, &failed).await.ok() }))
                }
                State::Cut(cut) => {
                    let (shared, order) = (Arc::clone(&self.shared), Arc::clone(self.flight.order()));
                    let attempt = Arc::clone(&self.attempt);
                    let wanted = (offset, self.end);
                    Waiting::Passing(Box::pin(async move {
                        Passing::after(&cut, shared, &order, &attempt, wanted).await
                    }))
                }
            });
        }
    }

    /// Goes on with the next attempt, from the start.
    fn ride_on(&mut self, next: Option<Arc<Attempt>>) -> Result<(), BodyError> {
        let fault = match self.attempt.progress().state {
            State::Failed(fault) => fault.into(),
            _ => BodyError::Broken,
        };
        let Some(next) = next else { return Err(fault) };
        if !next.head().is_of_the_same(self.attempt.head()) {
            return Err(fault);
        }
        self.reader = Reader::new(Arc::clone(next.file()), self.start, None);
        self.attempt = next;
        Ok(())
    }
}
