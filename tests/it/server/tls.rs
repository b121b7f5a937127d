use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use channelgate::server::{Config, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::frames::{self, Http2};
use super::stage::{Client, Stage};

/// An authority, and the leaf it issued last, in files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, directory: TempDir::new().unwrap() }
    }

    fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    fn issue(&self) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.certificate(), leaf.pem() + &self.issuer.pem()).unwrap();
        fs::write(self.key(), key.serialize_pem()).unwrap();
        leaf.der().clone()
    }

    fn load(&self) -> Arc<Tls> {
        Arc::new(Tls::load(&self.certificate(), &self.key()).unwrap())
    }

    async fn connect(
        &self,
        stage: &Stage,
        alpn: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(stage.address).await.unwrap();
        self.connect_over(tcp, alpn, versions).await
    }

    async fn connect_over<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        tcp: S,
        alpn: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsStream<S> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
    }
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

#[tokio::test]
async fn protocol_is_negotiated() {
    let authority = Authority::new();
    authority.issue();
    let stage = Stage::start_with(Config::default(), Some(authority.load()));

    let stream = authority.connect(&stage, &[b"h2", b"http/1.1"], BOTH).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut http2 = Http2::open(Client(stream), &[]).await;
    http2.send(frames::get(1, "/peer")).await;
    assert_eq!(http2.body(1).await, Ok("127.0.0.1 true".len()));

    for (alpn, versions) in [
        (&[b"http/1.1".as_slice()][..], BOTH),
        (&[], BOTH),
        (&[], &[&version::TLS12]),
        (&[], &[&version::TLS13]),
    ] {
        let mut http1 = Client(authority.connect(&stage, alpn, versions).await);
        assert!(http1.get("/peer").await.ends_with("127.0.0.1 true"));
        assert!(http1.get("/b").await.ends_with("/b"));
    }
    // Pasted URLs are mended over TLS too.
    let mut http1 = Client(authority.connect(&stage, &[], BOTH).await);
    assert!(http1.get("/t/<TOKEN>").await.ends_with("/t/%3CTOKEN%3E"));
}

/// A connection that counts the TLS records which come over it.
struct Tap {
    tcp: TcpStream,
    records: Arc<AtomicUsize>,
    /// The head of the record that is coming, as far as it is there; and the bytes that are left of the one that has come.
    head: Vec<u8>,
    left: usize,
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buf))?;
        for &byte in &buf.filled()[before..] {
            if self.left > 0 {
                self.left -= 1;
                continue;
            }
            self.head.push(byte);
            if let [_, _, _, a, b] = self.head[..] {
                self.left = usize::from(u16::from_be_bytes([a, b]));
                self.head.clear();
                self.records.fetch_add(1, Ordering::Relaxed);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn http2_frames_go_out_in_full_records() {
    let authority = Authority::new();
    authority.issue();
    let stage = Stage::start_with(Config::default(), Some(authority.load()));
    let records = Arc::new(AtomicUsize::new(0));
    let tcp = TcpStream::connect(stage.address).await.unwrap();
    let tap = Tap { tcp, records: Arc::clone(&records), head: Vec::new(), left: 0 };
    let stream = authority.connect_over(tap, &[b"h2"], BOTH).await;
    let window = 4 << 20;
    let settings = frames::setting(frames::INITIAL_WINDOW_SIZE, window);
    let mut http2 = Http2::open(Client(stream), &settings).await;
    http2.send(frames::window_update(0, window)).await;
    http2.send(frames::get(1, "/peer")).await;
    assert!(http2.body(1).await.is_ok());

    let before = records.load(Ordering::Relaxed);
    http2.send(frames::get(3, "/piece")).await;
    assert_eq!(http2.body(3).await, Ok(1 << 20));
    let records = records.load(Ordering::Relaxed) - before;
    // A MiB is 64 frames and 64 records. Each frame for itself would be two records.
    assert!((64..100).contains(&records), "{records} records");
}

#[tokio::test]
async fn new_connections_see_a_reloaded_certificate() {
    let authority = Authority::new();
    let first = authority.issue();
    let tls = authority.load();
    let stage = Stage::start_with(Config::default(), Some(Arc::clone(&tls)));
    let shown = |stream: &TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap().first().unwrap().clone().into_owned()
    };
    let before = authority.connect(&stage, &[], BOTH).await;
    assert_eq!(shown(&before), first);

    let second = authority.issue();
    tls.reload().unwrap();
    assert_eq!(shown(&authority.connect(&stage, &[], BOTH).await), second);
    assert!(Client(before).get("/a").await.ends_with("/a"), "open connections go on");

    fs::write(authority.certificate(), "").unwrap();
    let error = tls.reload().unwrap_err();
    assert!(error.to_string().contains(path(&authority.certificate())), "{error}");
    assert_eq!(shown(&authority.connect(&stage, &[], BOTH).await), second);
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn handshake_that_does_not_come_is_cut() {
    let authority = Authority::new();
    authority.issue();
    let config = Config { tls_handshake_timeout: Duration::from_millis(150), ..Config::default() };
    let stage = Stage::start_with(config, Some(authority.load()));
    let mut client = stage.connect().await;
    let start = Instant::now();
    client.send([22, 3, 1]).await;
    client.ends_after(start, 145).await;
    assert_eq!(stage.count("channelgate_tls_failures_total", ""), 1);
}

#[tokio::test]
async fn plaintext_to_a_tls_listener_fails() {
    let authority = Authority::new();
    authority.issue();
    let stage = Stage::start_with(Config::default(), Some(authority.load()));
    let mut client = stage.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    client.ends_after(Instant::now(), 0).await;
    assert_eq!(stage.count("channelgate_tls_failures_total", ""), 1);
}

#[tokio::test]
async fn stalled_client_is_cut() {
    let authority = Authority::new();
    authority.issue();
    let config =
        Config { drain_window: Duration::from_millis(200), drain_rate_min: 320 << 10, ..Config::default() };
    let stage = Stage::start_with(config, Some(authority.load()));
    let mut client = Client(authority.connect(&stage, &[], BOTH).await);
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    client.head().await;
    stage
        .until("the cut", |stage| stage.count("channelgate_connections_ended_total", "slow_client") == 1)
        .await;
    stage.until_bodies(0).await;
}

#[tokio::test]
async fn broken_response_never_ends_cleanly() {
    let authority = Authority::new();
    authority.issue();
    let stage = Stage::start_with(Config::default(), Some(authority.load()));
    let mut client = Client(authority.connect(&stage, &[], BOTH).await);
    client.send("GET /broken HTTP/1.0\r\n\r\n").await;
    let (_, error) = client.rest().await;
    assert!(error.is_some(), "an end without close_notify is an error");
}
