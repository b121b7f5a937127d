//! The bytes of a file of the cache, as a response's body.
//!
//! A body that ends has given all that it promised; else it fails, and the client's connection is to be aborted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::disk::Object;
use super::follow::Follow;
use super::through::Passing;
use crate::passage::Lane;
use crate::reading::Reader;
use crate::semantics::Span;

/// The bytes of a file, or of a part of it: from the disk, while it comes, or passing.
pub struct Body {
    source: Source,
    /// Bytes still to come, if that is known.
    left: Option<u64>,
    origin: Origin,
    /// The client's connection, if bytes may pass to it in the kernel.
    lane: Option<Lane>,
}

enum Source {
    Nothing,
    Object(Reader),
    Follow(Box<Follow>),
    Passing(Box<Passing>),
}

/// Why a body that had begun did not reach its end: the client's connection is to be aborted.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The upstream died on the way and the rest could not be had.
    #[error("the file broke off at the upstream")]
    Broken,
    /// What came is not what the index promises.
    #[error("the upstream's file is not the one that its index promises")]
    Corrupt,
    /// The file on the disk could not be read, or is shorter than it was.
    #[error("the cache's file cannot be read")]
    File(#[source] io::Error),
}

/// Where bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The page cache.
    Memory,
    /// The disk.
    Disk,
    /// The upstream, past the disk.
    Upstream,
}

impl Origin {
    /// Where the latest piece of a file came from.
    pub(super) fn of(reader: &Reader) -> Self {
        if reader.is_from_memory() { Self::Memory } else { Self::Disk }
    }
}

impl Body {
    /// The bytes of `span` of an object, or all of them. Bytes behind its end there are none.
    pub fn of(object: &Object, span: Option<Span>) -> Self {
        let length = object.facts().length;
        let span = span.unwrap_or(Span { start: 0, end: length });
        let left = span.end.min(length).saturating_sub(span.start);
        // It is in use for as long as it is read.
        let reader = Reader::new(Arc::clone(object.file()), span.start, Some(object.hold()));
        Self { source: Source::Object(reader), left: Some(left), origin: Origin::Memory, lane: None }
    }

    pub(super) fn following(follow: Follow) -> Self {
        let left = follow.length();
        Self { source: Source::Follow(Box::new(follow)), left, origin: Origin::Memory, lane: None }
    }

    pub(super) fn passing(passing: Passing) -> Self {
        let left = passing.length();
        Self { source: Source::Passing(Box::new(passing)), left, origin: Origin::Upstream, lane: None }
    }

    /// Where the latest frame came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Bytes of a whole object may pass along `lane`. Those that are still being proven or followed are looked at, and do not.
    pub fn lend(&mut self, lane: &Lane) {
        if matches!(self.source, Source::Object(_)) {
            self.lane = Some(lane.clone());
        }
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut self.source {
            Source::Nothing => Poll::Ready(None),
            Source::Object(_) if self.left == Some(0) => Poll::Ready(None),
            Source::Object(reader) => {
                let left = self.left.unwrap_or(0);
                if let Some(blank) = self.lane.as_ref().and_then(|lane| reader.pass(left, lane)) {
                    self.origin = Origin::Memory;
                    return Poll::Ready(Some(Ok(blank)));
                }
                let piece = ready!(reader.poll_piece(left, context));
                self.origin = Origin::of(reader);
                Poll::Ready(Some(match piece {
                    Some(piece) => piece.map_err(BodyError::File),
                    None => Err(BodyError::File(io::ErrorKind::UnexpectedEof.into())),
                }))
            }
            Source::Follow(follow) => {
                let chunk = ready!(follow.poll_chunk(context));
                self.origin = follow.origin();
                Poll::Ready(chunk)
            }
            Source::Passing(passing) => passing.poll_chunk(context),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let chunk = ready!(self.poll_chunk(context));
        match &chunk {
            Some(Ok(bytes)) => {
                self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
            }
            // Nobody is interested any more, and nothing is in use.
            Some(Err(_)) | None => self.source = Source::Nothing,
        }
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0) || matches!(self.source, Source::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
