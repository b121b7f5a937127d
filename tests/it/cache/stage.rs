//! A cache in a directory of its own, with clients that want files and an index that knows digests.

use std::future::ready;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use channelgate::cache::{
    Body, BodyError, BoxFuture, Check, Digests, Disk, DiskConfig, Expected, FillError, Flights, Key, Landed,
    Meters, Object, Order, Sha256,
};
use channelgate::clock::{Clock, ManualClock, Timestamp};
use channelgate::conda::{ChannelName, Location, UpstreamPath};
use channelgate::semantics::{ByteRange, Span};
use channelgate::upstream::{self, Timeouts, UpstreamConfig, Upstreams};
use http_body_util::BodyExt as _;
use prometheus::Registry;

use crate::support::faulty::{Faulty, Reply, Seen};

/// What most tests ask for.
pub const FILE: &str = "linux-64/x-1.0-0.conda";

/// More than what is held back, and no multiple of anything.
pub const LENGTH: usize = 300_001;

/// No test waits longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Stage {
    _directory: tempfile::TempDir,
    pub disk: Disk,
    pub flights: Flights,
    pub meters: Meters,
    pub hands: ManualClock,
}

/// What a client got.
#[derive(Debug, PartialEq)]
pub enum Got {
    /// A body to its end.
    Whole(Vec<u8>),
    /// A body that broke off after so many bytes.
    Aborted(usize),
    /// No byte, but a reason.
    Refused(String),
}

/// The file as version `version` has it.
pub fn body(length: usize, version: u8) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ version).collect()
}

/// An honest server's answer: the whole, or the part that was asked for if `If-Range` holds.
pub fn honest(seen: &Seen, body: &[u8], etag: &str) -> Reply {
    let range = seen.header("Range").and_then(|range| range.parse::<ByteRange>().ok());
    let is_same = seen.header("If-Range").is_none_or(|tag| tag == etag);
    let reply = |status| Reply::new(status).header("ETag", etag);
    if seen.header("If-None-Match") == Some(etag) {
        return reply(304);
    }
    match range.filter(|_| is_same).and_then(|range| range.of(body.len() as u64)) {
        Some(span) => part(reply(206), body, span),
        None => reply(200).body(body),
    }
}

/// A part of `body`.
pub fn part(reply: Reply, body: &[u8], span: Span) -> Reply {
    reply
        .header("Content-Range", &span.content_range(Some(body.len() as u64)))
        .body(&body[span.start as usize..span.end as usize])
}

impl Stage {
    pub fn new() -> Self {
        Self::with_capacity(1 << 30)
    }

    pub fn with_capacity(capacity_bytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, hands) = Clock::manual(Timestamp::from_millis(1_800_000_000_000));
        let meters = Meters::register(&Registry::new()).unwrap();
        let config = DiskConfig {
            directory: directory.path().join("cache"),
            capacity_bytes,
            scrub_bytes_per_second: 0,
        };
        let disk = Disk::open(config, clock.clone(), meters.clone()).unwrap();
        let flights = Flights::new(clock, meters.clone());
        Self { _directory: directory, disk, flights, meters, hands }
    }

    pub fn order(&self, upstreams: &Arc<Upstreams>, check: Check) -> Order {
        let path = UpstreamPath::of(&Location::parse(FILE)).unwrap();
        let key = Key::new(&ChannelName::parse("conda-forge").unwrap(), upstreams.id(), &path);
        Order { key, path, at: None, upstreams: Arc::clone(upstreams), check, held: None }
    }

    pub async fn fetch(&self, order: &Order) -> Result<Landed, FillError> {
        tokio::time::timeout(PATIENCE, self.flights.fetch(&self.disk, order.clone())).await.unwrap()
    }

    /// A client's whole request.
    pub async fn download(&self, order: &Order, range: Option<ByteRange>) -> Got {
        match self.fetch(order).await {
            Ok(landed) => consume(landed, range).await,
            Err(error) => Got::Refused(error.to_string()),
        }
    }

    /// The object, when it is whole.
    pub async fn fetch_whole(&self, order: &Order) -> Result<Object, FillError> {
        match self.fetch(order).await? {
            Landed::Filling(filling) => tokio::time::timeout(PATIENCE, filling.whole()).await.unwrap(),
            Landed::Current(object) | Landed::Whole(object) => Ok(object),
            Landed::Through(through) => Err(FillError::Unkept(through.reason())),
        }
    }

    /// Waits until nothing is under way.
    pub async fn idle(&self) {
        let start = std::time::Instant::now();
        while self.meters.flights.get() > 0 {
            assert!(start.elapsed() < PATIENCE, "a fetch never ends");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The bytes on the disk.
    pub async fn kept(&self, order: &Order) -> Option<Vec<u8>> {
        Some(bytes_of(&self.disk.peek(&order.key).await?))
    }

    /// Puts a file there by an honest upstream.
    pub async fn hold(&self, bytes: &[u8], etag: &str, order: &Order) -> Object {
        let (bytes, etag) = (bytes.to_vec(), etag.to_owned());
        let server = Faulty::start(move |seen| honest(seen, &bytes, &etag)).await;
        let before = Order { upstreams: upstreams(&[&server]), check: Check::None, ..order.clone() };
        assert!(matches!(self.download(&before, None).await, Got::Whole(_)));
        self.idle().await;
        self.disk.find(&order.key).await.unwrap()
    }
}

/// Reads what landed to its end, as a gateway would.
pub async fn consume(landed: Landed, range: Option<ByteRange>) -> Got {
    read_and_tell(landed, range, true, || {}).await
}

/// The same, and tells when the first byte is there, or else, not `is_fed`, before it waits for it.
pub async fn read_and_tell(landed: Landed, range: Option<ByteRange>, is_fed: bool, tell: impl Fn()) -> Got {
    if !is_fed {
        tell();
    }
    let span = |length: Option<u64>| range.and_then(|range| range.of(length?));
    let body = match landed {
        Landed::Current(object) | Landed::Whole(object) => {
            Body::of(&object, span(Some(object.facts().length)))
        }
        Landed::Filling(mut filling) => {
            if let Err(error) = filling.released(|head| span(head.length)).await {
                return Got::Refused(error.to_string());
            }
            filling.body(span(filling.head().length))
        }
        Landed::Through(through) => {
            let span = span(through.head().length);
            through.into_body(span)
        }
    };
    read(body, || {
        if is_fed {
            tell();
        }
    })
    .await
}

/// Reads a body to its end; calls `fed` with its first byte.
pub async fn read(mut body: Body, fed: impl Fn()) -> Got {
    let promised = http_body::Body::size_hint(&body).exact();
    let mut bytes = Vec::new();
    loop {
        match tokio::time::timeout(PATIENCE, body.frame()).await.expect("a body never ends") {
            Some(Ok(frame)) => {
                if bytes.is_empty() {
                    fed();
                }
                bytes.extend_from_slice(&frame.into_data().unwrap());
            }
            Some(Err(BodyError::Broken | BodyError::Corrupt | BodyError::File(_))) => {
                return Got::Aborted(bytes.len());
            }
            None => break,
        }
    }
    assert!(promised.is_none_or(|promised| promised == bytes.len() as u64), "a body ends short");
    Got::Whole(bytes)
}

pub fn bytes_of(object: &Object) -> Vec<u8> {
    let mut bytes = vec![0; object.facts().length as usize];
    object.file().read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(Sha256::of(&bytes), object.facts().sha256, "the digest kept is not that of the bytes kept");
    bytes
}

pub fn upstreams(servers: &[&Faulty]) -> Arc<Upstreams> {
    upstreams_with(servers, Timeouts::default())
}

/// Upstreams that are given up soon when they stall.
pub fn hasty(servers: &[&Faulty]) -> Arc<Upstreams> {
    upstreams_with(servers, Timeouts { idle: Duration::from_millis(150), ..Timeouts::default() })
}

fn upstreams_with(servers: &[&Faulty], timeouts: Timeouts) -> Arc<Upstreams> {
    let configs: Vec<_> = servers
        .iter()
        .map(|server| UpstreamConfig { url: server.url("/chan"), timeouts, ..UpstreamConfig::default() })
        .collect();
    let meters = upstream::Meters::register(&Registry::new()).unwrap();
    Arc::new(Upstreams::new(&configs, meters).unwrap())
}

/// An index that knows one file, and something else when it is asked anew.
pub struct Told {
    now: Mutex<Option<Expected>>,
    anew: Option<Expected>,
    asked_anew: AtomicUsize,
}

impl Told {
    /// The index names these bytes.
    pub fn bytes(bytes: &[u8]) -> Arc<Self> {
        Self::revised(bytes, bytes)
    }

    /// It names the first, and once asked anew the second.
    pub fn revised(before: &[u8], after: &[u8]) -> Arc<Self> {
        let of = |bytes: &[u8]| Expected { sha256: Some(Sha256::of(bytes)), size: Some(bytes.len() as u64) };
        Arc::new(Self {
            now: Mutex::new(Some(of(before))),
            anew: Some(of(after)),
            asked_anew: AtomicUsize::new(0),
        })
    }

    /// It names nothing.
    pub fn nothing() -> Arc<Self> {
        Arc::new(Self { now: Mutex::new(None), anew: None, asked_anew: AtomicUsize::new(0) })
    }

    pub fn asked_anew(&self) -> usize {
        self.asked_anew.load(Ordering::SeqCst)
    }
}

impl Digests for Told {
    fn known(&self) -> BoxFuture<'_, Option<Expected>> {
        Box::pin(ready(*self.now.lock().unwrap()))
    }

    fn expected(&self, anew: bool) -> BoxFuture<'_, Option<Expected>> {
        if anew {
            self.asked_anew.fetch_add(1, Ordering::SeqCst);
            *self.now.lock().unwrap() = self.anew;
        }
        self.known()
    }
}
