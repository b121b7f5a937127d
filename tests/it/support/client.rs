//! A client that sends exactly the bytes it is told to: real libraries refuse half of what the gate must withstand.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a test waits for an answer before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A response as it came over the wire.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// What follows the status in its line.
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// True if the body ended as its framing promised.
    pub complete: bool,
}

impl Reply {
    /// The only value of a header; `None` where it is absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        let first = values.next();
        assert!(values.next().is_none(), "{name} occurs twice: {:?}", self.headers);
        first.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of a problem body.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Status and code: `401 token_missing`; only the status where there is no problem body.
    pub fn verdict(&self) -> String {
        match self.header("content-type") {
            Some("application/problem+json") if !self.body.is_empty() => {
                format!("{} {}", self.status, self.code())
            }
            _ => self.status.to_string(),
        }
    }
}

/// Sends one request on a connection of its own.
pub async fn ask(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
    let mut connection = Connection::open(address).await;
    connection.ask(method, target, headers).await
}

/// A keep-alive connection.
pub struct Connection<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
    /// It ended, and not by a clean end of stream.
    broke: bool,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection over what is already there.
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), broke: false }
    }

    /// Sends a request and reads its response to the end.
    pub async fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(method, target, headers).await;
        self.answer(method).await
    }

    /// Sends a request's head.
    pub async fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: gate.test\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.stream.write_all(head.as_bytes()).await.unwrap();
    }

    /// Sends these bytes, whatever they are.
    pub async fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads the response to a request that was sent with `method`.
    pub async fn answer(&mut self, method: &str) -> Reply {
        tokio::time::timeout(PATIENCE, self.read(method)).await.expect("no response in time")
    }

    /// Everything that comes until the connection ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        let reading = async { while self.more().await.is_some() {} };
        tokio::time::timeout(PATIENCE, reading).await.expect("the connection did not end in time");
        std::mem::take(&mut self.buffer)
    }

    /// Reads what has come, or `None` at the end of the connection.
    async fn more(&mut self) -> Option<usize> {
        let mut chunk = vec![0; 64 * 1024];
        match self.stream.read(&mut chunk).await {
            Ok(0) => None,
            Err(_) => {
                self.broke = true;
                None
            }
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Some(count)
            }
        }
    }

    /// Reads a response's head, leaving what follows in the buffer.
    pub async fn read_head(&mut self) -> Reply {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            assert!(self.more().await.is_some(), "the connection ended before a response: {:?}", self.buffer);
        };
        let head = String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let mut line = lines.next().unwrap().splitn(3, ' ').skip(1);
        let status = line.next().unwrap().parse().unwrap();
        let reason = line.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Reply { status, reason, headers, body: Vec::new(), complete: false }
    }

    async fn read(&mut self, method: &str) -> Reply {
        let mut reply = self.read_head().await;
        if method == "HEAD" || reply.status == 304 {
            reply.complete = true;
        } else if reply.header("transfer-encoding") == Some("chunked") {
            reply.complete = self.read_chunks(&mut reply.body).await;
        } else if reply.header("content-length").is_none() {
            // To HTTP/1.0: the connection's end is the body's.
            reply.body = self.rest().await;
            reply.complete = !self.broke;
        } else {
            let length: usize = reply.header("content-length").unwrap().parse().unwrap();
            while self.buffer.len() < length && self.more().await.is_some() {}
            reply.complete = self.buffer.len() >= length;
            reply.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        }
        reply
    }

    async fn read_chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let end = loop {
                if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                    break end;
                }
                if self.more().await.is_none() {
                    return false;
                }
            };
            let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).unwrap();
            while self.buffer.len() < size + 2 {
                if self.more().await.is_none() {
                    body.append(&mut self.buffer);
                    return false;
                }
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
            if size == 0 {
                return true;
            }
        }
    }
}
