//! The body of a response: bytes of the gate's own, the cache's, or an upstream's, whole or in part.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::receipt::Receipt;
use crate::cache;
use crate::metrics::Source;
use crate::passage::Lane;
use crate::semantics::Span;
use crate::upstream;

/// A response's body, with the account of its request. An error aborts the client's connection: a short body never ends cleanly.
///
/// It is there from the request's beginning, empty, so that whatever becomes of the request is told when it is dropped. In a box: it passes
/// through many hands.
pub struct Body(Box<Accounted>);

struct Accounted {
    content: Content,
    receipt: Receipt,
}

/// Where a body's bytes come from.
pub(super) enum Content {
    /// There are none.
    Empty,
    /// The gate's own.
    Own(Bytes),
    /// An upstream's, as they come.
    Whole(upstream::Body),
    /// A part of an upstream's.
    Part(Slice),
    /// The cache's: a file or a part of it, whole or on its way.
    Cached(cache::Body),
}

/// A part of a body that comes whole.
pub(super) struct Slice {
    body: upstream::Body,
    skip: u64,
    left: u64,
}

impl Content {
    /// The bytes of `span` of `body`: for an upstream that does not do ranges.
    pub(super) fn part(body: upstream::Body, span: Span) -> Self {
        Self::Part(Slice { body, skip: span.start, left: span.length() })
    }

    /// All of it, for the gate itself.
    ///
    /// # Errors
    ///
    /// It breaks off, or is longer than `bytes_max`.
    pub(super) async fn collect(self, bytes_max: usize) -> io::Result<Bytes> {
        let mut collected = BytesMut::new();
        let mut content = self;
        while let Some(bytes) = std::future::poll_fn(|context| content.poll_data(context)).await {
            let bytes = bytes?;
            if collected.len().saturating_add(bytes.len()) > bytes_max {
                return Err(io::Error::other("the document is longer than the gate reads"));
            }
            collected.extend_from_slice(&bytes);
        }
        Ok(collected.freeze())
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Own(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Self::Whole(body) => next_data(body, context),
            Self::Part(slice) => slice.poll_data(context),
            Self::Cached(body) => next_data(body, context),
        }
    }

    /// How long it is, if that is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Own(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Self::Whole(body) => body.size_hint(),
            Self::Part(slice) => SizeHint::with_exact(slice.left),
            Self::Cached(body) => body.size_hint(),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Own(bytes) => bytes.is_empty(),
            Self::Whole(body) => body.is_end_stream(),
            Self::Part(slice) => slice.left == 0,
            Self::Cached(body) => body.is_end_stream(),
        }
    }

    /// Where the latest bytes came from.
    fn source(&self) -> Source {
        match self {
            Self::Empty | Self::Own(_) => Source::Gate,
            Self::Whole(_) | Self::Part(_) => Source::Upstream,
            Self::Cached(body) => match body.origin() {
                cache::Origin::Memory => Source::Memory,
                cache::Origin::Disk => Source::Disk,
                cache::Origin::Upstream => Source::Upstream,
            },
        }
    }
}

impl Body {
    /// The body of a response that is to be made, and the account that ends with it.
    pub(super) fn awaited(receipt: Receipt) -> Self {
        Self(Box::new(Accounted { content: Content::Empty, receipt }))
    }

    /// The account.
    pub(super) fn receipt(&mut self) -> &mut Receipt {
        &mut self.0.receipt
    }

    /// The same of a response that is made, of `content`.
    pub(super) fn of(mut self, content: Content) -> Self {
        if content.is_over() {
            self.0.receipt.finished();
        }
        self.0.content = content;
        self
    }

    /// Bytes that nobody here has to look at may pass along `lane` to the client.
    pub fn lend(&mut self, lane: &Lane) {
        match &mut self.0.content {
            Content::Whole(body) => body.lend(lane),
            Content::Cached(body) => body.lend(lane),
            Content::Empty | Content::Own(_) | Content::Part(_) => {}
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self.0;
        if this.receipt.is_cut(context) {
            return Poll::Ready(Some(Err(io::Error::other("the right to this download has ended"))));
        }
        let data = ready!(this.content.poll_data(context));
        match &data {
            Some(Ok(bytes)) => {
                this.receipt.sent(bytes.len(), this.content.source());
                if this.content.is_over() {
                    this.receipt.finished();
                }
            }
            Some(Err(_)) => this.receipt.broke(),
            None => this.receipt.finished(),
        }
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.content.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.content.size_hint()
    }
}

impl Slice {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        while self.left > 0 {
            let mut data = match ready!(next_data(&mut self.body, context)) {
                Some(Ok(data)) => data,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(data.len());
            data.advance(skipped);
            self.skip = self.skip.saturating_sub(skipped as u64);
            data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left = self.left.saturating_sub(data.len() as u64);
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(data)));
            }
        }
        Poll::Ready(None)
    }
}

/// The next bytes of a body; its trailers, if any, are not for clients.
fn next_data<B>(body: &mut B, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>>
where
    B: HttpBody<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Unpin,
{
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            }
        }
    }
}
