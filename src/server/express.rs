//! The short way: usual HTTP/1.1 requests, answered without hyper as long as a connection brings nothing else.
//!
//! hyper, and what has to stand around it, is much of what a small request costs. A connection begins here, and as soon as it brings a head that is not usual (`head.rs`), what has been
//! read of it goes to hyper from that head's first byte on, and hyper keeps the connection. So this never has to refuse anything; limits,
//! deadlines and the end of connections are those of [`Activity`], as on the long way. `tests/it/server` holds for both.
//!
//! | | |
//! | --- | --- |
//! | a request | one read, usually; [`Respond::express`] |
//! | while it is answered | what comes is read on, as little as may be, because a client that leaves is not answered |
//! | its response | the head with the first piece of the body in one write; further pieces as they come, each when the one before is gone |
//! | a body of unknown length | chunked (RFC 9112 section 7.1) |
//! | a body that breaks | the connection ends where it is |
//!
//! Must never look into a request beyond what framing needs. Read `connection` for who calls this.

mod head;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri};
use http_body::Body;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};

use self::head::{Head, Parsed, Wanted};
use super::activity::Activity;
use super::connection::Listener;
use super::outgoing::{Open, Outgoing};
use super::reply::Reply;
use super::wire::Transport;
use super::{BoxError, Peer, RequestBody, Respond};
use crate::clock;
use crate::passage::{Lane, is_blank};
use crate::semantics::Fields;

/// A usual request.
#[derive(Debug)]
pub struct Express<'r> {
    /// GET or HEAD.
    pub method: Method,
    /// The path. There is no query.
    pub path: &'r str,
    /// Those of its fields that the responder looks at ([`Respond::express_fields`]). There is one `Host`, and it is a plain one.
    pub fields: HeaderMap,
}

impl Express<'_> {
    /// The same as hyper would have it, but for the fields that nobody looks at.
    pub fn into_request(self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::none());
        *request.method_mut() = self.method;
        // A plain path is a URI.
        *request.uri_mut() = Uri::try_from(self.path).unwrap_or_default();
        *request.headers_mut() = self.fields;
        request
    }
}

/// How a connection's time here ended.
pub(super) enum Ending {
    /// With the connection.
    Over,
    /// With a head that is hyper's: what was read and not answered.
    Unusual(BytesMut),
}

/// A connection that brought nothing unusual so far.
pub(super) struct Connection<'c, R> {
    pub(super) listener: &'c Listener<R>,
    pub(super) activity: &'c Arc<Activity>,
    pub(super) peer: Peer,
    pub(super) lane: Option<&'c Lane>,
    pub(super) transport: &'c mut Transport,
}

impl<R: Respond> Connection<'_, R> {
    /// Answers its usual requests, of whose fields the responder looks at `fields`. `received` was read of it already.
    ///
    /// # Errors
    ///
    /// The connection or a body failed: the connection is to be dropped.
    pub(super) async fn run(
        mut self,
        fields: &'static [HeaderName],
        received: BytesMut,
    ) -> Result<Ending, BoxError> {
        let wanted = Wanted::new(fields);
        let mut buffer = received;
        loop {
            let head = match Head::parse(&buffer, &wanted) {
                Parsed::Whole(head) => head,
                Parsed::Partial
                    if buffer.len() < self.listener.config.header_bytes_max.min(HEAD_BYTES_MAX) =>
                {
                    if !read_more(self.transport, &mut buffer, self.activity).await? {
                        // An end within a head is for hyper to judge; one between two requests is none to speak of.
                        return if buffer.is_empty() {
                            end(self.transport).await.map(|()| Ending::Over)
                        } else {
                            Ok(Ending::Unusual(buffer))
                        };
                    }
                    continue;
                }
                Parsed::Partial | Parsed::Unusual => return Ok(Ending::Unusual(buffer)),
            };
            let path = buffer.get(head.path.clone()).and_then(|path| std::str::from_utf8(path).ok());
            let Some(path) = path.filter(|path| self.listener.respond.takes_express(path)) else {
                return Ok(Ending::Unusual(buffer));
            };
            // What comes meanwhile: nearly always nothing.
            let mut ahead = BytesMut::from(buffer.get(head.bytes..).unwrap_or_default());
            let Head { method, fields, closes, .. } = head;
            let asked = Express { method, path, fields };
            // In a box, so that a connection that waits for its next request holds no room for an answer; written where it is going to be,
            // so that its empty room is not copied.
            let answer = Box::into_pin(Box::write(Box::new_uninit(), self.answer(asked, closes, &mut ahead)));
            if !answer.await? {
                return Ok(Ending::Over);
            }
            if ahead.is_empty() {
                buffer.clear();
                if buffer.capacity() > BUFFER_BYTES_KEPT {
                    buffer = BytesMut::new();
                }
            } else {
                buffer = ahead;
                // The beginning of the next request came while this one was answered.
                self.activity.received(clock::instant);
            }
        }
    }

    /// Answers a request, behind which the client may want the connection to close; false if there is nothing more to do on it. `ahead` is
    /// what has come of the next request.
    async fn answer(
        &mut self,
        asked: Express<'_>,
        closes: bool,
        ahead: &mut BytesMut,
    ) -> Result<bool, BoxError> {
        let Self { listener, activity, peer, lane, transport } = self;
        let is_head = asked.method == Method::HEAD;
        let mut open = Open::begin(activity, false);
        let mut reply = if open.take_place(listener.config.requests_in_flight_max) {
            let mut responding = pin!(listener.respond.express(asked, *peer));
            let reply = poll_fn(|cx| match responding.as_mut().poll(cx) {
                Poll::Ready(reply) => Poll::Ready(Some(reply)),
                // Nobody is left who could be answered.
                Poll::Pending if is_gone(transport, ahead, cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            match reply.await {
                Some(reply) => reply,
                None => return Ok(false),
            }
        } else {
            listener.meters.requests_overloaded.inc();
            listener.respond.overloaded(asked.into_request(), *peer).into()
        };
        if let Some(lane) = lane {
            listener.respond.lend(&mut reply.body, lane);
        }
        let closes = closes || activity.is_closing();
        let Reply { status, fields, body } = reply;
        let body = Outgoing::new(body, open, None, true);
        send(transport, ahead, (status, fields), body, (is_head, closes)).await?;
        if closes {
            end(transport).await?;
        }
        Ok(!closes)
    }
}

/// Ends our side, in peace.
async fn end(transport: &mut Transport) -> Result<(), BoxError> {
    poll_fn(|cx| Pin::new(&mut *transport).poll_shutdown(cx)).await.map_err(BoxError::from)
}

/// Waits for more of a head; false at the client's end, or if the connection was told to end and nothing is under way.
async fn read_more(
    transport: &mut Transport,
    buffer: &mut BytesMut,
    activity: &Activity,
) -> Result<bool, BoxError> {
    buffer.reserve(READ_BYTES);
    let read = {
        let mut reading = pin!(transport.read_buf(buffer));
        poll_fn(|cx| match reading.as_mut().poll(cx) {
            Poll::Pending if activity.is_closing_idly() => Poll::Ready(Ok(0)),
            read => read,
        })
        .await?
    };
    if read > 0 {
        activity.received(clock::instant);
    }
    Ok(read > 0)
}

/// Whether the client is gone, as far as what it sends can tell. Reads on as little as may be: what comes is the next request's.
fn is_gone(transport: &mut Transport, ahead: &mut BytesMut, cx: &mut Context<'_>) -> bool {
    while ahead.len() < AHEAD_BYTES_MAX {
        let mut room = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut read = ReadBuf::uninit(&mut room);
        match Pin::new(&mut *transport).poll_read(cx, &mut read) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) if !read.filled().is_empty() => ahead.extend_from_slice(read.filled()),
            Poll::Ready(_) => return true,
        }
    }
    false
}

/// What is to be written: a thread's responses use one buffer in turn, and one of their own while another has it.
struct Pending(Vec<u8>);

impl Default for Pending {
    fn default() -> Self {
        Self(SPARE.take())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.clear();
        if self.0.capacity() <= PENDING_BYTES_KEPT {
            SPARE.set(std::mem::take(&mut self.0));
        }
    }
}

/// Sends a response.
async fn send<B>(
    transport: &mut Transport,
    ahead: &mut BytesMut,
    (status, fields): (StatusCode, Fields),
    body: Outgoing<B>,
    (is_head, closes): (bool, bool),
) -> Result<(), BoxError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let length = body.size_hint().exact();
    let mut body = pin!(Some(body));
    let bodyless = is_head || matches!(status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT);
    let framing = match length {
        _ if bodyless => Framing::Told,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    };
    let mut left = if bodyless { Some(0) } else { length };
    let mut pending = Pending::default();
    let pending = &mut pending.0;
    write_head(pending, status, &fields, framing, closes);
    drop(fields);
    let mut piece = Bytes::new();
    while left != Some(0) {
        // The head waits for the first piece, but not for a piece that is not there.
        let next = poll_fn(|cx| match body.as_mut().as_pin_mut().map(|body| body.poll_frame(cx)) {
            Some(Poll::Ready(frame)) => Poll::Ready(Some(frame)),
            None => Poll::Ready(Some(None)),
            Some(Poll::Pending) if !pending.is_empty() => Poll::Ready(None),
            Some(Poll::Pending) if is_gone(transport, ahead, cx) => {
                Poll::Ready(Some(Some(Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()))))
            }
            Some(Poll::Pending) => Poll::Pending,
        });
        let Some(frame) = next.await else {
            write(transport, pending, &mut piece).await?;
            flush(transport).await?;
            continue;
        };
        match frame.transpose()?.map(|frame| frame.into_data()) {
            Some(Ok(data)) if data.is_empty() => continue,
            Some(Ok(data)) => piece = data,
            // Trailers are not for clients.
            Some(Err(_)) => continue,
            None if left.is_some() => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            None => break,
        }
        match &mut left {
            Some(left) => {
                *left = left
                    .checked_sub(piece.len() as u64)
                    .ok_or_else(|| io::Error::other("the body is longer than announced"))?;
            }
            None => pending.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes()),
        }
        if left == Some(0) {
            // Its source is free, however long the client takes.
            body.set(None);
        }
        if piece.len() <= COPIED_BYTES_MAX && !is_blank(&piece) {
            // One slice is less for the system to look at than two.
            pending.extend_from_slice(&piece);
            piece.clear();
        }
        if left != Some(0) || !piece.is_empty() {
            write(transport, pending, &mut piece).await?;
        }
        if left.is_none() {
            pending.extend_from_slice(b"\r\n");
        }
    }
    body.set(None);
    if left.is_none() {
        pending.extend_from_slice(b"0\r\n\r\n");
    }
    write(transport, pending, &mut piece).await?;
    flush(transport).await
}

/// Writes the head, and then the piece.
async fn write(transport: &mut Transport, head: &mut Vec<u8>, piece: &mut Bytes) -> Result<(), BoxError> {
    let mut written = 0;
    poll_fn(|cx| {
        loop {
            let rest = head.get(written..).unwrap_or_default();
            let sent = match (rest.is_empty(), piece.is_empty()) {
                (true, true) => return Poll::Ready(Ok(())),
                (false, true) => ready!(Pin::new(&mut *transport).poll_write(cx, rest)),
                (true, false) => ready!(Pin::new(&mut *transport).poll_write(cx, piece)),
                (false, false) => {
                    let slices = [IoSlice::new(rest), IoSlice::new(piece)];
                    ready!(Pin::new(&mut *transport).poll_write_vectored(cx, &slices))
                }
            };
            let sent = match sent {
                Ok(0) => return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero))),
                sent => sent?,
            };
            let of_head = sent.min(rest.len());
            written += of_head;
            piece.advance(sent - of_head);
        }
    })
    .await?;
    head.clear();
    // Its buffer is its source's again, to be filled with the next one.
    *piece = Bytes::new();
    Ok(())
}

async fn flush(transport: &mut Transport) -> Result<(), BoxError> {
    poll_fn(|cx| Pin::new(&mut *transport).poll_flush(cx)).await.map_err(BoxError::from)
}

/// How a client knows where a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// By its status or the request's method.
    Told,
    /// By its length.
    Length(u64),
    /// By the last chunk.
    Chunked,
}

fn write_head(head: &mut Vec<u8>, status: StatusCode, fields: &Fields, framing: Framing, closes: bool) {
    match status {
        StatusCode::OK => head.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        status => {
            head.extend_from_slice(b"HTTP/1.1 ");
            head.extend_from_slice(status.as_str().as_bytes());
            head.extend_from_slice(b" ");
            head.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
            head.extend_from_slice(b"\r\n");
        }
    }
    for (name, value) in fields.iter() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    match framing {
        Framing::Length(length) if !fields.contains(&CONTENT_LENGTH) => {
            head.extend_from_slice(b"content-length: ");
            head.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        Framing::Told | Framing::Length(_) => {}
        Framing::Chunked => head.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if closes {
        head.extend_from_slice(b"connection: close\r\n");
    }
    head.extend_from_slice(b"date: ");
    write_date(head);
    head.extend_from_slice(b"\r\n\r\n");
}

/// The time, which is the same for a second.
fn write_date(head: &mut Vec<u8>) {
    let second = clock::second();
    DATE.with_borrow_mut(|(shown_second, shown)| {
        if *shown_second != second || shown.is_empty() {
            *shown_second = second;
            *shown = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        }
        head.extend_from_slice(shown.as_bytes());
    });
}

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };

    /// The second of this thread's latest response, and how it is shown.
    static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// A longer head is hyper's to judge.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// What is read at once: the whole head of a request as conda, mamba and rattler send it.
const READ_BYTES: usize = 1024;

/// What a client may have sent ahead of the response that it waits for.
const AHEAD_BYTES_MAX: usize = 8 * 1024;

/// What a connection keeps that waits for a request.
const BUFFER_BYTES_KEPT: usize = 2 * 1024;

/// What a thread keeps for the next response's head, with a small body behind it.
const PENDING_BYTES_KEPT: usize = 8 * 1024;

/// A piece of so many bytes is copied behind its head.
const COPIED_BYTES_MAX: usize = 4 * 1024;

#[cfg(test)]
mod tests;
