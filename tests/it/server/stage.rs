//! A listener with a responder whose answers are chosen by the path, and a raw client.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use channelgate::passage::FastPaths;
use channelgate::server::{
    Bound, BoxError, Config, Drained, Meters, Peer, RequestBody, Respond, Shutdown, Tls, serve,
};
use http::{HeaderName, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep, timeout};

/// A running listener.
pub(super) struct Stage {
    pub(super) address: SocketAddr,
    pub(super) script: Arc<Script>,
    pub(super) registry: Registry,
    pub(super) shutdown: Shutdown,
    served: JoinHandle<Drained>,
}

impl Stage {
    pub(super) fn start(config: Config) -> Self {
        Self::start_with(config, None)
    }

    pub(super) fn start_with(config: Config, tls: Option<Arc<Tls>>) -> Self {
        let bound = Bound::bind("127.0.0.1:0".parse().unwrap(), &config).unwrap();
        let address = bound.local_addr();
        let script = Arc::new(Script::default());
        let registry = Registry::new();
        let meters = Meters::register(&registry, "test").unwrap();
        let shutdown = Shutdown::new();
        // What holds of a listener holds whichever way requests take.
        let config = match crate::support::gate::fast_paths().next() {
            Some((_, value)) if value == "off" => Config { fast_paths: FastPaths::Off, ..config },
            _ => config,
        };
        let served = tokio::spawn(serve(bound, tls, config, Arc::clone(&script), meters, shutdown.clone()));
        Self { address, script, registry, shutdown, served }
    }

    pub(super) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// A client whose kernel takes little that its program has not read.
    pub(super) async fn connect_small(&self) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Client(socket.connect(self.address).await.unwrap())
    }

    /// What the listener counted under `name`, all labels together but those that lack `label`.
    pub(super) fn count(&self, name: &str, label: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let matching = family
            .get_metric()
            .iter()
            .filter(|metric| label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label));
        matching
            .map(|metric| (metric.get_counter().get_value() + metric.get_gauge().get_value()) as u64)
            .sum()
    }

    /// Waits until `condition` holds, [`PATIENCE`] at most.
    pub(super) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < deadline, "never came: {what}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    pub(super) async fn until_bodies(&self, open: usize) {
        self.until("response bodies", |stage| stage.script.bodies.load(Ordering::SeqCst) == open).await;
    }

    pub(super) async fn drained(&mut self) -> Drained {
        timeout(PATIENCE, &mut self.served).await.unwrap().unwrap()
    }
}

/// Answers by path. What the tests want to know of its responses is counted.
#[derive(Default)]
pub(super) struct Script {
    /// Response bodies that live.
    pub(super) bodies: Arc<AtomicUsize>,
    /// Requests that came to `respond`.
    pub(super) requests: AtomicUsize,
    /// Lets one `/wait` go on.
    pub(super) go_on: Notify,
}

impl Respond for Script {
    type Body = Answer;

    fn express_fields(&self) -> Option<&'static [HeaderName]> {
        Some(&[])
    }

    fn takes_express(&self, _: &str) -> bool {
        true
    }

    async fn respond(&self, request: Request<RequestBody>, peer: Peer) -> Response<Answer> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let path = request.uri().path().to_owned();
        match path.as_str() {
            // Reads the body and tells its length, or why it could not.
            "/read" => match request.into_body().collect().await {
                Ok(body) => self.text(format!("{} bytes", body.to_bytes().len())),
                Err(error) => self.text(error.to_string()),
            },
            "/wait" => {
                self.go_on.notified().await;
                self.text("waited".to_owned())
            }
            "/never" => std::future::pending().await,
            "/peer" => self.text(format!("{} {}", peer.address.ip(), peer.tls)),
            // More than any buffer on the way holds.
            "/large" => self.answer(Kind::Repeat { frame_bytes: 64 << 10, left: 64 << 20 }),
            // One piece that fits into hyper and the kernel only in part.
            "/piece" => self.answer(Kind::Repeat { frame_bytes: 1 << 20, left: 1 << 20 }),
            // A source that gives one byte now and then.
            "/trickle" => {
                self.answer(Kind::Trickle { left: 8, every: Duration::from_millis(60), timer: None })
            }
            "/broken" => self.answer(Kind::Broken { declared: None, left: 3, timer: None }),
            "/broken-length" => self.answer(Kind::Broken { declared: Some(1 << 20), left: 3, timer: None }),
            path => self.text(path.to_owned()),
        }
    }

    fn overloaded(&self, _: Request<RequestBody>, _: Peer) -> Response<Answer> {
        let mut response = self.text("overloaded".to_owned());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    }

    fn malformed(&self, status: StatusCode, _: Peer) -> Response<Answer> {
        let mut response = self.text("malformed".to_owned());
        *response.status_mut() = status;
        response
    }
}

impl Script {
    fn text(&self, text: String) -> Response<Answer> {
        self.answer(Kind::Text(Some(Bytes::from(text))))
    }

    fn answer(&self, kind: Kind) -> Response<Answer> {
        self.bodies.fetch_add(1, Ordering::SeqCst);
        Response::new(Answer { kind, bodies: Arc::clone(&self.bodies) })
    }
}

/// A response body that is counted while it lives.
pub(super) struct Answer {
    kind: Kind,
    bodies: Arc<AtomicUsize>,
}

enum Kind {
    Text(Option<Bytes>),
    Repeat { frame_bytes: usize, left: usize },
    Trickle { left: usize, every: Duration, timer: Option<Pin<Box<Sleep>>> },
    Broken { declared: Option<u64>, left: usize, timer: Option<Pin<Box<Sleep>>> },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let bytes = match &mut self.kind {
            Kind::Text(text) => text.take(),
            Kind::Repeat { frame_bytes, left } => {
                let bytes = (*frame_bytes).min(*left);
                *left -= bytes;
                (bytes > 0).then(|| Bytes::from(vec![b'x'; bytes]))
            }
            Kind::Trickle { left: 0, .. } => None,
            Kind::Trickle { left, every, timer } => {
                let running = timer.get_or_insert_with(|| Box::pin(sleep(*every)));
                std::task::ready!(running.as_mut().poll(cx));
                *timer = None;
                *left -= 1;
                Some(Bytes::from_static(b"."))
            }
            // hyper sends nothing of a response that breaks before it was flushed once.
            Kind::Broken { left: 0, timer, .. } => {
                let running = timer.get_or_insert_with(|| Box::pin(sleep(Duration::from_millis(10))));
                std::task::ready!(running.as_mut().poll(cx));
                return Poll::Ready(Some(Err(io::Error::other("the source broke off").into())));
            }
            Kind::Broken { left, .. } => {
                *left -= 1;
                Some(Bytes::from_static(b"part"))
            }
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.kind, Kind::Text(None) | Kind::Repeat { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Repeat { left, .. } => SizeHint::with_exact(*left as u64),
            Kind::Broken { declared: Some(declared), .. } => SizeHint::with_exact(*declared),
            Kind::Trickle { .. } | Kind::Broken { declared: None, .. } => SizeHint::default(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.bodies.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A raw connection. Nothing here waits longer than [`PATIENCE`].
pub(super) struct Client<S = TcpStream>(pub(super) S);

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Client<S> {
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    pub(super) async fn get(&mut self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        self.response().await
    }

    /// One response with a `Content-Length`, head and body.
    pub(super) async fn response(&mut self) -> String {
        let mut received = self.head().await;
        let length = received
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse::<usize>().unwrap());
        let mut body = vec![0; length];
        self.read_exact(&mut body).await.unwrap();
        received.push_str(&String::from_utf8(body).unwrap());
        received
    }

    /// A response's head, or whatever came before the connection ended.
    pub(super) async fn head(&mut self) -> String {
        let mut received = Vec::new();
        while !received.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.read_exact(&mut byte).await {
                Ok(()) => received.extend(byte),
                Err(_) => break,
            }
        }
        String::from_utf8(received).unwrap()
    }

    pub(super) async fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        timeout(PATIENCE, self.0.read_exact(bytes)).await.expect("nothing came").map(|_| ())
    }

    /// Everything until the end, and the error if that was not a clean one.
    pub(super) async fn rest(&mut self) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut received = Vec::new();
        let end = timeout(PATIENCE, self.0.read_to_end(&mut received)).await.expect("it never ended");
        (received, end.err().map(|error| error.kind()))
    }

    /// Asserts that the connection is ended by the other side, but not before `least_millis` from `start`.
    pub(super) async fn ends_after(&mut self, start: Instant, least_millis: u64) {
        self.rest().await;
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(least_millis), "it ended after {took:?} already");
    }
}

/// What no test waits longer for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
