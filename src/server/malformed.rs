//! The listener's own answers to heads that hyper cannot parse, in place of hyper's bare ones.
//!
//! hyper answers such a head with a status line, `connection: close`, `content-length: 0` and the date, and closes. It
//! has no hook for that, so the bytes are recognised on their way out, and only where nothing else can be: no request
//! is open and all that was ever written for one is flushed. What is not recognised goes out as hyper wrote it. Pure
//! but for the polling of a body. Read `wire` next, which does the exchange.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{Response, StatusCode};
use http_body::Body;

/// The status of hyper's bare answer to a malformed head. `None` if `written` is anything else.
pub(super) fn recognise(written: &[u8]) -> Option<StatusCode> {
    let head = written.strip_suffix(b"\r\n\r\n")?;
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let status = lines.next()?.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    let status = StatusCode::from_bytes(status).ok()?;
    let refuses = matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    (refuses && lines.any(|line| line == b"content-length: 0")).then_some(status)
}

/// The bytes of `response` on a connection that ends with it. The date is that of hyper's answer `bare`.
///
/// The body has to be there: what it does not yield at once is not sent.
pub(super) fn render<B: Body<Data = Bytes>>(bare: &[u8], response: Response<B>) -> Bytes {
    let (parts, body) = response.into_parts();
    let body = at_once(body);
    let status = parts.status;
    let mut rendered = BytesMut::with_capacity(1024 + body.len());
    let mut line = |pieces: &[&[u8]]| {
        pieces.iter().for_each(|piece| rendered.extend_from_slice(piece));
        rendered.extend_from_slice(b"\r\n");
    };
    let reason = status.canonical_reason().unwrap_or_default();
    line(&[b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", reason.as_bytes()]);
    for (name, value) in &parts.headers {
        if ![CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING].contains(name) {
            line(&[name.as_str().as_bytes(), b": ", value.as_bytes()]);
        }
    }
    line(&[b"connection: close"]);
    line(&[b"content-length: ", body.len().to_string().as_bytes()]);
    let mut lines = bare.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    if let Some(date) = lines.find(|line| line.starts_with(b"date: ")) {
        line(&[date]);
    }
    line(&[]);
    rendered.extend_from_slice(&body);
    rendered.freeze()
}

fn at_once<B: Body<Data = Bytes>>(body: B) -> Bytes {
    let mut body = pin!(body);
    let mut whole = BytesMut::new();
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut context) {
        if let Ok(data) = frame.into_data() {
            whole.extend_from_slice(data.chunk());
        }
    }
    whole.freeze()
}

#[cfg(test)]
mod tests;
