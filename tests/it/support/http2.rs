//! An HTTP/2 client, by prior knowledge or over TLS.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::client::Reply;

/// How long a test waits for a response or a piece of one before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection; clones share it.
#[derive(Clone)]
pub struct Http2 {
    send: SendRequest<Empty<Bytes>>,
    authority: String,
}

impl Http2 {
    /// Connects by prior knowledge.
    pub async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), &address.to_string()).await
    }

    /// Speaks HTTP/2 over what is already there.
    pub async fn over<S>(stream: S, authority: &str) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            // One stream that nobody reads must not stop the others.
            .initial_connection_window_size(i32::MAX as u32)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { send, authority: authority.to_owned() }
    }

    /// Sends a request and reads its response to the end.
    pub async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.ask_to_the_end(method, target, headers).await.0
    }

    /// The same, and what ended the body if it did not end well.
    pub async fn ask_to_the_end(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> (Reply, Option<String>) {
        let (head, mut body) = self.begin(method, target, headers).await.into_parts();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let mut reply = Reply {
            status: head.status.as_u16(),
            reason: String::new(),
            headers,
            body: Vec::new(),
            complete: true,
        };
        while let Some(frame) = tokio::time::timeout(PATIENCE, body.frame()).await.expect("a body stalled") {
            match frame {
                Ok(frame) => reply.body.extend(frame.into_data().unwrap_or_default()),
                Err(error) => {
                    reply.complete = false;
                    return (reply, Some(format!("{error:?}")));
                }
            }
        }
        (reply, None)
    }

    /// Sends a request and reads the head of its response.
    pub async fn begin(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        let mut request = Request::builder()
            .method(method)
            .version(Version::HTTP_2)
            .uri(format!("http://{}{target}", self.authority));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new()).unwrap();
        let sent = self.send.clone().send_request(request);
        tokio::time::timeout(PATIENCE, sent).await.expect("no response in time").unwrap()
    }
}

/// What a response may have on its way before somebody reads it.
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
