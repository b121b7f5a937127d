//! Connecting, TLS, and what becomes of pooled connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use channelgate::upstream::{FetchError, Limits, Outcome, Timeouts, Unavailable, UpstreamConfig};
use http_body_util::BodyExt as _;

use super::{FILE, Subject, always, config, read};
use crate::support::faulty::{Faulty, Reply, refusing_address};

fn unavailable(reason: Unavailable) -> Option<FetchError> {
    Some(FetchError::Unavailable(reason))
}

fn trusting(server: &Faulty) -> UpstreamConfig {
    UpstreamConfig { ca_file: Some(server.ca_file().to_owned()), ..config(&server.url("/chan")) }
}

/// Lets the pool take a connection back, which happens in a task of its own.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn refused_connection_is_unavailable() {
    let subject = Subject::new(&[config(&format!("http://{}/chan", refusing_address()))]);
    assert_eq!(subject.get(FILE).await.err(), unavailable(Unavailable::Connect));
    subject.assert_counted(&[Outcome::ConnectFailed]);
}

#[tokio::test]
async fn name_that_does_not_resolve_is_unavailable() {
    let subject = Subject::new(&[config("http://does-not-exist.invalid/chan")]);
    assert_eq!(subject.get(FILE).await.err(), unavailable(Unavailable::Connect));
}

#[tokio::test]
async fn second_address_of_a_name_is_tried() {
    // localhost is ::1 and 127.0.0.1 on most machines, and the server listens on the latter only.
    let server = always(Reply::new(200)).await;
    let subject = Subject::new(&[config(&format!("http://localhost:{}/chan", server.address().port()))]);
    assert!(subject.get(FILE).await.is_ok());
}

#[tokio::test]
async fn connection_that_is_not_accepted_times_out() {
    // A full accept queue makes the kernel drop further SYNs.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        fillers.push(filler);
    }
    let timeouts = Timeouts { connect: Duration::from_millis(100), ..Timeouts::default() };
    let subject = Subject::new(&[UpstreamConfig { timeouts, ..config(&format!("http://{address}/chan")) }]);
    let began = Instant::now();
    assert_eq!(subject.get(FILE).await.err(), unavailable(Unavailable::Connect));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn tls_with_the_ca_file_is_trusted_and_without_it_is_not() {
    let server = Faulty::start_tls(|_| Reply::new(200).body("secure")).await;
    assert_eq!(Subject::new(&[trusting(&server)]).download().await.unwrap(), b"secure");
    let other = Faulty::start_tls(|_| Reply::new(200)).await;
    let ca_file = Some(other.ca_file().to_owned());
    let subject = Subject::new(&[UpstreamConfig { ca_file, ..config(&server.url("/chan")) }]);
    assert_eq!(subject.get(FILE).await.err(), unavailable(Unavailable::Handshake));
    subject.assert_counted(&[Outcome::ConnectFailed]);
}

#[tokio::test]
async fn tls_that_stalls_times_out() {
    let silent = always(Reply::new(200)).await;
    let ca = Faulty::start_tls(|_| Reply::new(200)).await;
    let timeouts = Timeouts { tls_handshake: Duration::from_millis(100), ..Timeouts::default() };
    let url = format!("https://{}/chan", silent.address());
    let subject = Subject::new(&[UpstreamConfig { timeouts, url, ..trusting(&ca) }]);
    let began = Instant::now();
    assert_eq!(subject.get(FILE).await.err(), unavailable(Unavailable::Handshake));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn connection_is_used_again() {
    let server = always(Reply::new(200).body("hello")).await;
    let subject = Subject::of(&server);
    for _ in 0..3 {
        subject.download().await.unwrap();
        settle().await;
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn unused_connection_is_closed_in_time() {
    let server = always(Reply::new(200).body("hello")).await;
    let timeouts = Timeouts { pooled: Duration::from_millis(50), ..Timeouts::default() };
    let subject = Subject::new(&[UpstreamConfig { timeouts, ..config(&server.url("/chan")) }]);
    subject.download().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    subject.download().await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn pooled_connection_that_died_is_replaced_once_without_notice() {
    let server = Faulty::start(|seen| match seen.nth {
        0 => Reply::new(200).body("hello"),
        _ => Reply::nothing().close(),
    })
    .await;
    let subject = Subject::of(&server);
    for _ in 0..2 {
        assert_eq!(subject.download().await.unwrap(), b"hello");
        settle().await;
    }
    assert_eq!((server.connections(), server.seen().len()), (2, 3));
    subject.assert_counted(&[Outcome::Ok, Outcome::Ok]);
}

#[tokio::test]
async fn request_is_repeated_once_only() {
    let server = Faulty::start(|seen| match (seen.connection, seen.nth) {
        (0, 0) => Reply::new(200).body("hello"),
        _ => Reply::nothing().close(),
    })
    .await;
    let subject = Subject::of(&server);
    subject.download().await.unwrap();
    settle().await;
    assert_eq!(subject.get(FILE).await.err(), unavailable(Unavailable::Closed));
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn garbage_on_a_pooled_connection_is_not_asked_for_again() {
    let server = Faulty::start(|seen| match seen.nth {
        0 => Reply::new(200).body("hello"),
        _ => Reply::nothing().body("garbage\r\n\r\n"),
    })
    .await;
    let subject = Subject::of(&server);
    subject.download().await.unwrap();
    settle().await;
    assert!(matches!(subject.get(FILE).await.err(), Some(FetchError::Invalid(_))));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn unused_connections_beyond_the_limit_are_closed() {
    let server = always(Reply::new(200).body("hello")).await;
    let limits = Limits { pooled_connections_max: 1, ..Limits::default() };
    let subject = Subject::new(&[UpstreamConfig { limits, ..config(&server.url("/chan")) }]);
    let two_at_once = async || {
        let (first, second) = tokio::join!(subject.get(FILE), subject.get(FILE));
        read(first.ok().unwrap()).await.unwrap();
        read(second.ok().unwrap()).await.unwrap();
        settle().await;
    };
    two_at_once().await;
    assert_eq!(server.connections(), 2);
    two_at_once().await;
    assert_eq!(server.connections(), 3);
}

/// An HTTP/2 server for 127.0.0.1 that answers `/chan/noarch/x.conda` with 5 bytes and everything else with 4 MiB.
async fn h2_server() -> (std::net::SocketAddr, tempfile::NamedTempFile, tokio::task::JoinHandle<()>) {
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let ca_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca_file.path(), own.cert.pem()).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let large = bytes::Bytes::from(vec![b'h'; 4 << 20]);
    let serving = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let stream = acceptor.accept(tcp).await.unwrap();
            let large = large.clone();
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                assert_eq!(request.version(), http::Version::HTTP_2);
                let is_small = request.uri().path().ends_with("/x.conda");
                let body = if is_small { large.slice(..5) } else { large.clone() };
                std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(
                    http_body_util::Full::new(body),
                )))
            });
            let connection = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    (address, ca_file, serving)
}

#[tokio::test]
async fn http2_is_negotiated_and_slow_readers_do_not_stop_others() {
    let (address, ca_file, serving) = h2_server().await;
    let ca_file = Some(ca_file.path().to_owned());
    let subject = Subject::new(&[UpstreamConfig { ca_file, ..config(&format!("https://{address}/chan")) }]);
    // Several times the default window of a connection (5 MiB) stays unread.
    let mut stuck = Vec::new();
    for _ in 0..20 {
        let mut body = subject.get("noarch/large.conda").await.ok().unwrap().body;
        body.frame().await.unwrap().unwrap();
        stuck.push(body);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let fetched = subject.get("noarch/x.conda").await.ok().unwrap();
    assert_eq!(fetched.length, Some(5));
    assert_eq!(read(fetched).await.unwrap(), b"hhhhh");
    serving.abort();
}

/// The gate runs fetches in tasks that move between threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_runs_in_a_task() {
    let server = always(Reply::new(200).body("hello")).await;
    let subject = Arc::new(Subject::of(&server));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let subject = Arc::clone(&subject);
            tokio::spawn(async move { subject.download().await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), b"hello");
    }
}
