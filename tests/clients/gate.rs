//! A running gate: the real binary with a configuration of its own, its tokens issued by its own command line.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;

use crate::anaconda::{Provider, provider_packages};
use crate::venv;

/// A gate on ports of its own choosing, serving the fixture channel as the private channels `demo` and `team/demo` and the public
/// channel `demo-public`. Ends with its last owner, and must then end well.
pub(crate) struct Gate {
    child: Child,
    directory: TempDir,
    config: PathBuf,
    /// `http://127.0.0.1:1234`: where the data plane is.
    pub(crate) origin: String,
    /// The same of the admin plane.
    pub(crate) admin: String,
    /// The certificate authority a client has to trust, of a gate with TLS.
    pub(crate) authority: Option<PathBuf>,
    /// The token that the first start wrote down.
    pub(crate) site_token: String,
    log: Arc<Mutex<String>>,
}

/// What `token create --json` prints, as far as it matters here.
#[derive(Deserialize)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(rename = "token")]
    pub(crate) value: String,
}

/// The gate without TLS that the tests share.
pub(crate) fn plaintext() -> Arc<Gate> {
    static SHARED: Mutex<Weak<Gate>> = Mutex::new(Weak::new());
    shared(&SHARED, || Gate::start(false))
}

/// The gate with TLS that the tests share.
pub(crate) fn tls() -> Arc<Gate> {
    static SHARED: Mutex<Weak<Gate>> = Mutex::new(Weak::new());
    shared(&SHARED, || Gate::start(true))
}

/// The gate that the tests with people share: an organization `acme`, the fixture channel as `repo/main`, `repo/r` and `repo/msys2`.
pub(crate) fn people() -> Arc<Gate> {
    static SHARED: Mutex<Weak<Gate>> = Mutex::new(Weak::new());
    shared(&SHARED, || Gate::with_people("", &fixtures()))
}

/// Owned by the tests that run and not by the static, for nothing drops a static and the gate would outlive the tests.
fn shared(place: &Mutex<Weak<Gate>>, start: impl FnOnce() -> Gate) -> Arc<Gate> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    place.upgrade().unwrap_or_else(|| {
        let gate = Arc::new(start());
        *place = Arc::downgrade(&gate);
        gate
    })
}

impl Gate {
    pub(crate) fn start(with_tls: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = with_tls.then(|| write_certificates(directory.path()));
        let config = directory.path().join("channelgate.toml");
        fs::write(&config, configuration(directory.path(), with_tls)).unwrap();
        Self::serve(directory, config, authority)
    }

    /// A gate without TLS whose configuration has these lines for its channels.
    pub(crate) fn with_channels(channels: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("channelgate.toml");
        let text = format!(
            "data_dir = {:?}\nlisten.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n{channels}",
            directory.path().join("var")
        );
        fs::write(&config, text).unwrap();
        Self::serve(directory, config, None)
    }

    /// A gate with TLS and an organization `acme`, with these further settings, dotted keys a line each, and this upstream for `repo/main`.
    pub(crate) fn with_people(settings: &str, main: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = write_certificates(directory.path());
        Self::of_people(directory, authority, settings, main)
    }

    /// The same where people are known by their e-mail addresses, to an OpenID provider.
    pub(crate) fn with_provider() -> (Self, Provider) {
        let directory = tempfile::tempdir().unwrap();
        let authority = write_certificates(directory.path());
        let provider = Provider::start(leaf(directory.path()));
        let settings = provider.settings(&authority, &directory.path().join("oidc-secret"));
        (Self::of_people(directory, authority, &settings, &fixtures()), provider)
    }

    fn of_people(directory: TempDir, authority: PathBuf, settings: &str, main: &str) -> Self {
        let config = directory.path().join("channelgate.toml");
        let channels = [
            ("repo/main", "private", main),
            ("repo/r", "private", &fixtures()),
            ("repo/msys2", "private", &fixtures()),
            ("open", "public", &fixtures()),
        ];
        let text = format!(
            "data_dir = {:?}\nlisten.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n{}{settings}\n{}",
            directory.path().join("var"),
            tls_setting(directory.path()),
            self::channels(&channels)
        );
        fs::write(&config, text).unwrap();
        run(&config, directory.path(), &["org", "create", "acme", "--title", "Acme Corp"], "");
        Self::serve(directory, config, Some(authority))
    }

    /// A gate that the network does not reach, with what another gate's cache held of the packages of a lock file: that one's channel has the
    /// fixtures for its upstream, this one's an upstream that it never asks.
    pub(crate) fn beyond_an_air_gap(lock: &str) -> Self {
        let place = |upstream: &str, more: &str| {
            let directory = tempfile::tempdir().unwrap();
            let config = directory.path().join("channelgate.toml");
            let text = format!(
                "data_dir = {:?}\nlisten.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n\
                 listen.public_url = \"https://conda.example.org\"\n{more}\
                 [[channels]]\nname = \"main\"\nupstreams = [{upstream:?}]\n",
                directory.path().join("var")
            );
            fs::write(&config, text).unwrap();
            (directory, config)
        };
        let (connected, config) = place(&fixtures(), "");
        fs::write(connected.path().join("pixi.lock"), lock).unwrap();
        run(&config, connected.path(), &["cache", "warm", "--lockfile", "pixi.lock"], "");
        run(&config, connected.path(), &["cache", "export", "bundle.tar"], "");
        let (directory, config) = place("https://unreachable.test/channel", "network = \"offline\"\n");
        let bundle = connected.path().join("bundle.tar");
        run(&config, directory.path(), &["cache", "import", bundle.to_str().unwrap()], "");
        Self::serve(directory, config, None)
    }

    fn serve(directory: TempDir, config: PathBuf, authority: Option<PathBuf>) -> Self {
        let mut child = binary(&config, directory.path())
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (ready, announced) = channel();
        let stderr = child.stderr.take().unwrap();
        thread::spawn({
            let log = Arc::clone(&log);
            move || follow(stderr, &log, &ready)
        });
        let Ok([origin, admin]) = announced.recv_timeout(READY_WITHIN) else {
            // Nothing owns the child yet.
            let _ = child.kill();
            let _ = child.wait();
            panic!("the gate did not become ready; its log:\n{}", log.lock().unwrap());
        };
        let site_token = fs::read_to_string(directory.path().join("var/bootstrap-token")).unwrap();
        let site_token = site_token.trim_end().to_owned();
        Self { child, directory, config, origin, admin, authority, site_token, log }
    }

    /// A new token of the organization `default` that may read every channel.
    pub(crate) fn create_token(&self, name: &str) -> Token {
        self.command(&["token", "create", "default", "--name", name, "--scopes", "repos", "--json"])
    }

    /// A new token that may do everything in every organization.
    pub(crate) fn create_operator_token(&self, name: &str) -> Token {
        self.command(&[
            "token",
            "create",
            "default",
            "--name",
            name,
            "--scopes",
            "all",
            "--operator",
            "--json",
        ])
    }

    /// Revokes a token on the command line, beside the running gate, and waits until the gate knows.
    pub(crate) fn revoke(&self, token: &Token) {
        self.run(&["token", "revoke", &token.id, "--yes"]);
        let path = format!("/t/{}/demo/noarch/repodata.json", token.value);
        let deadline = Instant::now() + KNOWN_WITHIN;
        while self.status(&path) != 401 {
            assert!(
                Instant::now() < deadline,
                "the gate goes on to serve a revoked token; its log:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything the gate has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn command<T: for<'de> Deserialize<'de>>(&self, arguments: &[&str]) -> T {
        let output = self.run(arguments);
        serde_json::from_slice(&output).unwrap_or_else(|error| panic!("channelgate {arguments:?}: {error}"))
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        self.run_with(arguments, "")
    }

    /// The same, with a line on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], line: &str) -> Vec<u8> {
        run(&self.config, self.directory.path(), arguments, line)
    }

    /// As if all codes that devices wait with had come to their end.
    pub(crate) fn let_codes_expire(&self) {
        let statement = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=30); \
                         c.execute('UPDATE device_authorizations SET expires_at = 1000'); c.commit()";
        let store = self.directory.path().join("var/channelgate.db");
        let status = Command::new("python3").args(["-c", statement]).arg(store).status().unwrap();
        assert!(status.success(), "{status}");
    }

    /// The digest of the public key of the gate, as Chromium asks for it.
    pub(crate) fn key_digest(&self) -> String {
        fs::read_to_string(self.directory.path().join("leaf.digest")).unwrap()
    }

    /// The status of one plain GET. Not for a gate with TLS.
    fn status(&self, path: &str) -> u16 {
        let address = self.origin.strip_prefix("http://").expect("a gate without TLS");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(KNOWN_WITHIN)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.split(' ')
            .nth(1)
            .unwrap_or_default()
            .parse()
            .unwrap_or_else(|_| panic!("no status line: {line:?}"))
    }
}

impl Drop for Gate {
    /// Asks the gate to end and checks that it does, with nothing left to drain, as the contract says: exit 0.
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + ENDED_WITHIN;
        let ended = loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
                Ok(Some(status)) => break Some(status),
                Ok(None) | Err(_) => break None,
            }
        };
        if ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if !thread::panicking() {
            let ended = ended.expect("the gate should end on SIGTERM");
            assert!(ended.success(), "the gate ended with {ended}; its log:\n{}", self.log());
        }
    }
}

/// The standard output of a command that must succeed.
fn run(config: &Path, directory: &Path, arguments: &[&str], line: &str) -> Vec<u8> {
    let mut command = binary(config, directory);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads nothing may have ended.
    let _ = writeln!(child.stdin.take().unwrap(), "{line}");
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "channelgate {arguments:?}: {}\n{words}", output.status);
    output.stdout
}

/// Fetches what the clients and the provider are made of, once, and has it written to the disk: a gate that ran meanwhile would wait for
/// that with its own little writes, longer than it lets anybody wait.
fn make_everything() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        venv::python();
        venv::schemathesis();
        venv::anaconda();
        venv::browser();
        provider_packages();
        rustix::fs::sync();
    });
}

fn binary(config: &Path, directory: &Path) -> Command {
    make_everything();
    let mut command = Command::new(env!("CARGO_BIN_EXE_channelgate"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHANNELGATE_")) {
        command.env_remove(name);
    }
    command.arg("--config").arg(config).current_dir(directory).stdin(Stdio::null());
    command
}

/// The fixture channel, as an upstream.
pub(crate) fn fixtures() -> String {
    format!("file://{}/tests/fixtures/channel", env!("CARGO_MANIFEST_DIR"))
}

fn configuration(directory: &Path, with_tls: bool) -> String {
    let data = directory.join("var");
    let tls = if with_tls { tls_setting(directory) } else { String::new() };
    let upstream = fixtures();
    let channels = [("demo", "private"), ("demo-public", "public"), ("team/demo", "private")]
        .map(|(name, access)| (name, access, upstream.as_str()));
    format!(
        "data_dir = {data:?}\nlisten.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n{tls}{}",
        self::channels(&channels)
    )
}

fn tls_setting(directory: &Path) -> String {
    let [certificate, key] = leaf(directory);
    format!("listen.tls = {{ certificate = {certificate:?}, key = {key:?} }}\n")
}

fn leaf(directory: &Path) -> [PathBuf; 2] {
    ["leaf.pem", "leaf.key"].map(|name| directory.join(name))
}

/// Channels as lines of configuration: names, access, upstreams.
fn channels(channels: &[(&str, &str, &str)]) -> String {
    let lines = channels.iter().map(|(name, access, upstream)| {
        format!("[[channels]]\nname = {name:?}\naccess = {access:?}\nupstreams = [{upstream:?}]\n")
    });
    lines.collect()
}

/// Writes an authority's certificate and a leaf signed by it, for rustls takes no authority's certificate for a server's own. Both say all that
/// Python's strict checks ask for.
fn write_certificates(directory: &Path) -> PathBuf {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    // OpenSSL takes a certificate whose issuer bears its own name for one that signed itself.
    params.distinguished_name.push(DnType::CommonName, "authority of the tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let authority = directory.join("authority.pem");
    fs::write(&authority, params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);

    let leaf_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1", "localhost"].map(str::to_owned)).unwrap();
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let [certificate, key] = leaf(directory);
    fs::write(certificate, params.signed_by(&leaf_key, &issuer).unwrap().pem()).unwrap();
    fs::write(key, leaf_key.serialize_pem()).unwrap();
    let key_digest = digest(&SHA256, &leaf_key.subject_public_key_info());
    fs::write(directory.join("leaf.digest"), STANDARD.encode(key_digest)).unwrap();
    authority
}

/// Keeps what the gate says and tells when it is ready, and where.
fn follow(stderr: impl Read, log: &Mutex<String>, ready: &Sender<[String; 2]>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some(places) = line.strip_prefix("channelgate ready data=") {
            let (data, admin) = places.split_once(" admin=").unwrap();
            // Nobody listens any more only if the time was up.
            let _ = ready.send([data, admin].map(str::to_owned));
        }
        if line.contains(" ERROR ") {
            // Seen beside whatever fails because of it.
            eprintln!("the gate says: {line}");
        }
        let mut log = log.lock().unwrap();
        log.push_str(&line);
        log.push('\n');
    }
}

// Generous: reached only by a gate that is broken, on however slow a machine.
const READY_WITHIN: Duration = Duration::from_secs(60);
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
const ENDED_WITHIN: Duration = Duration::from_secs(60);
