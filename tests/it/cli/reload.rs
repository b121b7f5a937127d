//! SIGHUP: what a reload takes up, what it leaves, and that a bad file changes nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::client;
use crate::support::process::{Place, Process, channel, fixture_url, fixtures};

const INDEX: &str = "noarch/repodata.json";

async fn status(gate: &Process, target: &str) -> u16 {
    client::ask(gate.data, "GET", target, &[]).await.status
}

/// Sends SIGHUP and waits until the gate has said `words` once more.
fn reload(gate: &mut Process, words: &str) -> String {
    let before = gate.words().matches(words).count();
    gate.signal(Signal::HUP);
    loop {
        let line = gate.wait_for(words);
        if gate.words().matches(words).count() > before {
            return gate.words().lines().rfind(|line| line.contains(words)).map_or(line, str::to_owned);
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[tokio::test]
async fn reload_takes_up_channels_and_keeps_the_old_ones_if_the_file_is_bad() {
    let place = Place::new();
    let mut gate = place.serve();
    assert_eq!(status(&gate, &format!("/new/{INDEX}")).await, 401, "no such channel yet");

    place.configure(&(fixtures() + &channel("new", "public", &fixture_url())));
    reload(&mut gate, "the configuration was reloaded");
    assert_eq!(status(&gate, &format!("/new/{INDEX}")).await, 200);

    for (name, lines, words) in [
        ("no TOML", "listen = [".to_owned(), "mistake"),
        ("mistakes", "log.level = \"loud\"\nlimits.requests_max = 0".to_owned(), "2 mistakes"),
        ("unusable", channel("new", "public", "file:config/channelgate.toml"), "this is not a directory"),
    ] {
        place.configure(&lines);
        reload(&mut gate, "the configuration was not reloaded, the old one stays");
        assert!(gate.words().contains(words), "{name}: {}", gate.words());
        assert_eq!(status(&gate, &format!("/new/{INDEX}")).await, 200, "{name}");
    }
    std::fs::remove_file(place.path("config/channelgate.toml")).unwrap();
    reload(&mut gate, "the configuration was not reloaded, the old one stays");
    assert_eq!(status(&gate, &format!("/new/{INDEX}")).await, 200, "no file");

    // Fewer channels, and an organization that does not exist.
    place.configure(&format!("{}orgs = [\"acme\"]\n", channel("main", "private", &fixture_url())));
    reload(&mut gate, "the configuration was reloaded");
    gate.wait_for("the channel names an organization that does not exist");
    assert_eq!(status(&gate, &format!("/new/{INDEX}")).await, 401);
    let token = place.bootstrap_token();
    assert_eq!(status(&gate, &format!("/t/{token}/main/{INDEX}")).await, 403);
    assert_eq!(gate.terminate().code, 0);
}

#[tokio::test]
async fn missing_directory_is_an_outage_of_its_channel_alone() {
    let place = Place::new();
    let late = || channel("late", "public", "file:mirror");
    place.configure(&(fixtures() + &late()));
    assert!(place.run(&["check"]).expect(0, "check").err.contains("channel \"late\": the directory mirror"));
    let mut gate = place.serve();
    gate.wait_for("the directory mirror cannot be read");
    let file = "noarch/x-1-0.conda";
    assert_eq!(status(&gate, &format!("/open/{INDEX}")).await, 200);
    assert_eq!(status(&gate, &format!("/late/{file}")).await, 503);

    place.configure(&(fixtures() + &late() + &channel("new", "public", &fixture_url())));
    reload(&mut gate, "the configuration was reloaded");
    assert_eq!(status(&gate, &format!("/new/{INDEX}")).await, 200);
    assert_eq!(status(&gate, &format!("/late/{file}")).await, 503);

    std::fs::create_dir_all(place.path("mirror/noarch")).unwrap();
    std::fs::write(place.path("mirror").join(file), "package").unwrap();
    assert_eq!(status(&gate, &format!("/late/{file}")).await, 200, "without a reload");
}

#[tokio::test]
async fn bad_upstream_that_holds_a_secret_is_reported_without_it() {
    let place = Place::new();
    let mut gate = place.serve();
    for url in ["https://h.example/a/T/SECRETTOK123/c", "https://h.example/c?key=SECRETTOK123"] {
        place.configure(&channel("bad", "public", url));
        let done = place.run(&["check"]).expect(64, url);
        assert!(done.err.contains("https://h.example/") && !done.err.contains("SECRET"), "{done:?}");
        reload(&mut gate, "the configuration was not reloaded, the old one stays");
    }
    assert!(!gate.words().contains("SECRET"), "{}", gate.words());
}

#[tokio::test]
async fn reload_names_what_waits_for_a_restart() {
    let place = Place::new();
    let mut gate = place.serve();
    place.configure(&format!(
        "log.level = \"debug\"\nlimits.drain_timeout = \"1s\"\nlimits.path_bytes_max = \"2 KiB\"\nverify.known_max = 7\n{}",
        fixtures()
    ));
    let line = reload(&mut gate, "read only when the gate starts");
    assert!(line.contains(": verify, limits, log;"), "{line}");
    place.configure(&format!("limits.path_bytes_max = \"1 KiB\"\n{}", fixtures()));
    let before = gate.words().matches("read only when the gate starts").count();
    reload(&mut gate, "the configuration was reloaded");
    assert_eq!(
        status(&gate, &format!("/open/noarch/{}", "x".repeat(1_100))).await,
        400,
        "this one is taken up"
    );
    assert_eq!(gate.words().matches("read only when the gate starts").count(), before, "{}", gate.words());
}

/// An authority whose leaves are written where the gate of `place` looks for them.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, place: &Place) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let leaf =
            CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        std::fs::write(place.path("leaf.pem"), leaf.pem()).unwrap();
        std::fs::write(place.path("leaf.key"), key.serialize_pem()).unwrap();
        leaf.der().clone()
    }

    /// Asks over TLS; returns the certificate that was shown and the status line.
    async fn ask(&self, address: SocketAddr, target: &str) -> (CertificateDer<'static>, String) {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.unwrap();
        (shown, String::from_utf8_lossy(&reply).lines().next().unwrap().to_owned())
    }
}

#[tokio::test]
async fn reload_takes_up_new_certificates_and_keeps_the_old_ones_if_they_are_bad() {
    let place = Place::with("listen.tls = { certificate = \"leaf.pem\", key = \"leaf.key\" }");
    let authority = Authority::new();
    let first = authority.issue(&place);
    let mut gate = place.serve();
    assert_eq!(
        gate.ready,
        format!("channelgate ready data=https://{} admin=http://{}", gate.data, gate.admin)
    );
    assert!(gate.words().contains(&format!("\"https://{}/t/$(cat ", gate.data)), "{}", gate.words());
    let target = format!("/t/{}/main/{INDEX}", place.bootstrap_token());
    assert_eq!(authority.ask(gate.data, &target).await, (first, "HTTP/1.1 200 OK".to_owned()));

    let second = authority.issue(&place);
    reload(&mut gate, "the configuration was reloaded");
    assert_eq!(authority.ask(gate.data, &target).await.0, second);

    let key = std::fs::read(place.path("leaf.key")).unwrap();
    authority.issue(&place);
    std::fs::write(place.path("leaf.key"), key).unwrap();
    reload(&mut gate, "the configuration was not reloaded, the old one stays");
    assert!(gate.words().contains("does not belong to the certificate in leaf.pem"), "{}", gate.words());
    assert_eq!(authority.ask(gate.data, &target).await.0, second);
    std::fs::write(place.path("leaf.pem"), "garbage").unwrap();
    reload(&mut gate, "the configuration was not reloaded, the old one stays");
    assert_eq!(authority.ask(gate.data, &target).await.0, second);
}
