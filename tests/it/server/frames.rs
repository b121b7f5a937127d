//! HTTP/2 frames by hand (RFC 9113 section 6), so that tests can send what no client library would.

use std::collections::HashMap;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::stage::{Client, Stage};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) const NO_ERROR: u32 = 0;
pub(super) const INTERNAL_ERROR: u32 = 2;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a RST_STREAM or GOAWAY.
    pub(super) fn code(&self) -> u32 {
        let start = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[start..start + 4].try_into().unwrap())
    }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The header block of a GET, without dynamic table or Huffman code (RFC 7541).
pub(super) fn block(path: &str) -> Vec<u8> {
    // `:method: GET`, `:scheme: http`, `:authority: x`, then `:path` as a literal.
    let mut block = vec![0x82, 0x86, 0x01, 1, b'x', 0x04, path.len() as u8];
    block.extend(path.as_bytes());
    block
}

/// A header field as a literal that is not indexed.
pub(super) fn field(name: &str, value_bytes: usize) -> Vec<u8> {
    assert!((127..127 + 128).contains(&value_bytes), "one continuation byte is enough");
    let mut field = vec![0x00, name.len() as u8];
    field.extend(name.as_bytes());
    field.extend([127, (value_bytes - 127) as u8]);
    field.extend(vec![b'v'; value_bytes]);
    field
}

pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(path))
}

pub(super) fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

pub(super) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

pub(super) fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut payload = id.to_be_bytes().to_vec();
    payload.extend(value.to_be_bytes());
    payload
}

/// An HTTP/2 connection by prior knowledge, or over whatever stream it is given.
pub(super) struct Http2<S = TcpStream> {
    client: Client<S>,
    answer_pings: bool,
    /// Header blocks of responses by stream.
    statuses: HashMap<u32, Vec<u8>>,
}

impl Http2 {
    pub(super) async fn start(stage: &Stage) -> Self {
        Self::start_with(stage, &[]).await
    }

    pub(super) async fn start_with(stage: &Stage, settings: &[u8]) -> Self {
        Self::open(stage.connect().await, settings).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http2<S> {
    pub(super) async fn open(mut client: Client<S>, settings: &[u8]) -> Self {
        client.send(PREFACE).await;
        client.send(frame(SETTINGS, 0, 0, settings)).await;
        Self { client, answer_pings: true, statuses: HashMap::new() }
    }

    pub(super) fn leave_pings(&mut self) {
        self.answer_pings = false;
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.send(bytes).await;
    }

    /// Sends what the server may have stopped reading.
    pub(super) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        use tokio::io::AsyncWriteExt;
        self.client.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// The next frame that is not a matter of course; `None` at the end of the connection.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            self.client.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.client.read_exact(&mut payload).await.ok()?;
            let frame = Frame { kind, flags, stream: u32::from_be_bytes(stream), payload };
            match kind {
                SETTINGS if flags & ACK == 0 => {
                    self.try_send(self::frame(SETTINGS, ACK, 0, &[])).await;
                }
                PING if flags & ACK == 0 && self.answer_pings => {
                    self.try_send(self::frame(PING, ACK, 0, &frame.payload)).await;
                }
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => return Some(frame),
            }
        }
    }

    pub(super) async fn frame(&mut self) -> Frame {
        self.next().await.expect("the connection ended")
    }

    /// Reads until `stream` ends: the length of its body, or the code it was reset with. Frames of other streams
    /// are passed over.
    pub(super) async fn body(&mut self, stream: u32) -> Result<usize, u32> {
        let mut bytes = 0;
        loop {
            let frame = self.frame().await;
            if frame.kind == GOAWAY {
                panic!("GOAWAY with code {}", frame.code());
            }
            if frame.kind == HEADERS {
                self.statuses.insert(frame.stream, frame.payload.clone());
            }
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                RST_STREAM => return Err(frame.code()),
                DATA => bytes += frame.payload.len(),
                _ => {}
            }
            if frame.flags & END_STREAM != 0 {
                return Ok(bytes);
            }
        }
    }

    /// Whether the response on `stream` began with status 200.
    pub(super) fn is_ok(&self, stream: u32) -> bool {
        self.statuses.get(&stream).is_some_and(|block| block.first() == Some(&0x88))
    }

    /// Reads to the end of the connection: the codes of the GOAWAY frames on the way.
    pub(super) async fn goaways(&mut self) -> Vec<u32> {
        let mut codes = Vec::new();
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                codes.push(frame.code());
            }
        }
        codes
    }
}
