//! A canary: tokens, good and bad, sent in every place of a request that can hold one, must come out of the gate nowhere.
//!
//! What is sent is in [`probes`], where it could come out in [`SINKS`]: a new way in or out is a new row. The gate runs as a process of its
//! own with its log at the level `trace`, so that everything it says is heard, on whatever thread; only the outage of the store, which
//! nobody can cause from outside, is played in the test's process.

mod api;
mod people;
mod probes;

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use channelgate::store::{self, Store};
use tokio::task::JoinSet;
use tracing_subscriber::fmt::MakeWriter;

use self::probes::{Canary, IMPORTED, Probe, canaries, probes};
use crate::support::client::{self, Connection};
use crate::support::faulty::{Faulty, Reply, Seen};
use crate::support::gate::Gate;
use crate::support::http2::Http2;
use crate::support::process::{Place, Process};

/// Everything that came out of a gate.
#[derive(Default)]
struct Scene {
    log: String,
    /// Pages of the admin plane.
    pages: Vec<(String, String)>,
    /// Responses as they came over the wire, by probe.
    replies: Vec<(String, String)>,
    upstream: Vec<Seen>,
    data_dir: PathBuf,
}

/// A place where something comes out, and what did.
type Sink = (&'static str, fn(&Scene) -> Vec<(String, String)>);

/// Everywhere that a token could come out. A new way out of the gate is a new row here.
const SINKS: &[Sink] = &[
    ("log", |scene| vec![("stderr".to_owned(), scene.log.clone())]),
    ("admin plane", |scene| scene.pages.clone()),
    ("response", |scene| scene.replies.clone()),
    ("upstream", |scene| {
        scene.upstream.iter().map(|seen| (seen.target.clone(), format!("{seen:?}"))).collect()
    }),
    ("file", |scene| {
        let mut files = Vec::new();
        walk(&scene.data_dir, &mut files);
        files.retain(|(name, _)| !name.ends_with("/bootstrap-token"));
        files
    }),
];

fn walk(directory: &Path, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default();
            files.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
}

/// The forms in which a value can come out without standing there as it is.
fn disguises(core: &str) -> Vec<(&'static str, String)> {
    let joined = |separator: &str, form: fn(u8) -> String| -> String {
        core.bytes().map(form).collect::<Vec<_>>().join(separator)
    };
    let mut forms = vec![
        ("plain", core.to_owned()),
        ("lower case", core.to_lowercase()),
        ("upper case", core.to_uppercase()),
        ("backwards", core.chars().rev().collect()),
        ("escaped", joined("", |byte| format!("%{byte:02x}"))),
        ("ESCAPED", joined("", |byte| format!("%{byte:02X}"))),
        ("hexadecimal", joined("", |byte| format!("{byte:02x}"))),
        ("bytes", joined(", ", |byte| byte.to_string())),
    ];
    // Three bytes make four characters: what they are depends on where the value begins, and its ends on its neighbours.
    for before in ["", "x", "xx"] {
        let encoded = BASE64_STANDARD.encode(format!("{before}{core}"));
        let first = (before.len() * 4).div_ceil(3);
        forms.push(("base64", encoded[first..encoded.len() - 4].to_owned()));
    }
    forms
}

fn assert_nowhere(scene: &Scene, canaries: &[Canary]) {
    let mut found = Vec::new();
    for (sink, read) in SINKS {
        for (place, text) in read(scene) {
            for canary in canaries {
                for (form, needle) in disguises(&canary.core) {
                    if let Some(at) = text.find(&needle) {
                        let start = text.floor_char_boundary(at.saturating_sub(200));
                        let end = text.floor_char_boundary(at + needle.len() + 60);
                        found.push(format!(
                            "{} ({form}) in {sink}, {place}: …{}…",
                            canary.name,
                            &text[start..end]
                        ));
                    }
                }
            }
        }
    }
    assert!(found.is_empty(), "{} finds, of them\n{}", found.len(), found[..found.len().min(10)].join("\n"));
}

#[test]
fn every_disguise_is_seen_through() {
    let canary = Canary::new("planted", IMPORTED);
    for (form, text) in [
        ("plain", format!("GET /t/{IMPORTED}/main")),
        ("cut", IMPORTED[3..30].to_owned()),
        ("escaped", IMPORTED.bytes().map(|byte| format!("%{byte:02X}")).collect()),
        ("base64, alone", BASE64_STANDARD.encode(IMPORTED)),
        ("base64, behind a user", BASE64_STANDARD.encode(format!("u:{IMPORTED}"))),
        ("base64, behind a longer user", BASE64_STANDARD.encode(format!("user:{IMPORTED}:x"))),
        ("Debug of its bytes", format!("{:?}", IMPORTED.as_bytes())),
    ] {
        for (sink, _) in SINKS {
            let directory = tempfile::tempdir().unwrap();
            let mut scene = Scene { data_dir: directory.path().to_owned(), ..Scene::default() };
            match *sink {
                "log" => scene.log = text.clone(),
                "admin plane" => scene.pages.push(("/metrics".into(), text.clone())),
                "response" => scene.replies.push(("probe".into(), text.clone())),
                "upstream" => scene.upstream.push(Seen {
                    connection: 0,
                    nth: 0,
                    method: "GET".into(),
                    target: text.clone(),
                    lines: Vec::new(),
                }),
                "file" => std::fs::write(directory.path().join("x"), &text).unwrap(),
                sink => panic!("nothing is planted in {sink}"),
            }
            let caught = std::panic::catch_unwind(|| assert_nowhere(&scene, std::slice::from_ref(&canary)));
            assert!(caught.is_err(), "{form} in {sink}");
        }
    }
}

/// An upstream with a fault below each name.
async fn upstream() -> Faulty {
    Faulty::start(|seen| {
        let is_index = seen.target.ends_with("/repodata.json");
        match seen.target.split('/').nth(1).unwrap_or_default() {
            "down" => Reply::new(503),
            "denied" => Reply::new(403),
            "stalls" => Reply::nothing().stall(),
            "short" => Reply::new(200).body("half").wait(Duration::from_millis(10)).announce(8).close(),
            "loops" => Reply::redirect(&seen.target),
            "leads-away" => Reply::new(200).body("{\"info\":{\"base_url\":\"https://elsewhere.test/\"}}"),
            "garbage" => Reply::new(200).body("no JSON"),
            "filtered" if is_index => Reply::new(200).header("ETag", "\"v1\"").body(FILTERED),
            "filtered" if seen.target.ends_with("/channeldata.json") => {
                Reply::new(200).body("{\"subdirs\": [\"noarch\"], \"packages\": {\"secret\": {}, \"x\": {}}}")
            }
            "filtered" => Reply::new(404),
            _ if is_index => Reply::new(200).header("ETag", "\"v1\"").body("{}"),
            _ => Reply::new(200).header("ETag", "\"v1\"").body("x"),
        }
    })
    .await
}

/// An index of which a rule hides a part.
const FILTERED: &str = r#"{"packages": {}, "packages.conda": {
    "secret-1-0.conda": {"name": "secret", "version": "1", "build": "0"},
    "x-1-0.conda": {"name": "x", "version": "1", "build": "0"}
}}"#;

/// What people sent to the wrong place reaches this one, and is not looked at: they asked for it.
async fn strays() -> Faulty {
    Faulty::start(|seen| {
        if seen.target.contains("label/") && seen.target.ends_with("/repodata.json") {
            Reply::new(200).body("{\"info\":{\"base_url\":\"https://elsewhere.test/\"}}")
        } else {
            Reply::new(404)
        }
    })
    .await
}

fn channels(upstream: &Faulty, strays: &Faulty) -> String {
    let mut lines = String::new();
    let mut add = |name: &str, access: &str, url: &str, further: &str| {
        let _ = writeln!(
            lines,
            "[[channels]]\nname = \"{name}\"\naccess = \"{access}\"\nupstreams = [\"{url}\"]\n{further}"
        );
    };
    add("main", "private", &upstream.url(""), "");
    add("team/nested", "private", &upstream.url(""), "");
    add("theirs", "private", &upstream.url(""), "orgs = [\"acme\"]");
    add("open", "public", &upstream.url(""), "");
    let rule = "[[channels.rules]]\npackages = \"secret\"\naction = \"block\"\nreason = \"hidden\"";
    add("filtered", "private", &upstream.url("/filtered"), rule);
    add("strays", "public", &strays.url(""), "");
    add("refuses", "public", &format!("http://{}", crate::support::faulty::refusing_address()), "");
    for fault in ["down", "denied", "stalls", "short", "loops", "leads-away", "garbage"] {
        add(fault, "public", &upstream.url(&format!("/{fault}")), "");
    }
    lines
}

/// Sends everything and keeps what comes back, byte for byte.
async fn send_all(address: SocketAddr, canaries: &[Canary]) -> Vec<(String, String)> {
    let mut queue: Vec<Probe> = canaries.iter().flat_map(probes).collect();
    let mut sending = JoinSet::new();
    let mut replies = Vec::new();
    loop {
        while sending.len() < 16
            && let Some(probe) = queue.pop()
        {
            sending.spawn(async move { (probe.name.clone(), send(address, &probe).await) });
        }
        let Some(sent) = sending.join_next().await else { return replies };
        replies.push(sent.unwrap());
    }
}

async fn send(address: SocketAddr, probe: &Probe) -> String {
    let mut request = format!("{} {} HTTP/1.1\r\n", probe.method, probe.target);
    let has = |name: &str| probe.headers.iter().any(|(given, _)| given == name);
    if !has("Host") {
        request.push_str("Host: gate.test\r\n");
    }
    for (name, value) in &probe.headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    let mut connection = Connection::open(address).await;
    connection.send_raw(format!("{request}Connection: close\r\n\r\n")).await;
    String::from_utf8_lossy(&connection.rest().await).into_owned()
}

/// The same over HTTP/2, as far as its client lets it through.
async fn send_all_over_http2(address: SocketAddr, canaries: &[Canary]) -> Vec<(String, String)> {
    let connection = Http2::open(address).await;
    let mut replies = Vec::new();
    for probe in canaries.iter().flat_map(probes) {
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        let is_of_http1 = |name: &str| {
            ["Host", "Expect", "Content-Length", "Transfer-Encoding", "TE", "Upgrade"].contains(&name)
        };
        if !is_plain(&probe.target)
            || !probe.target.starts_with('/')
            || probe.target.contains(['<', '#'])
            || probe.target.contains("/stalls/")
            || probe.headers.iter().any(|(name, _)| is_of_http1(name))
        {
            continue;
        }
        let headers: Vec<_> =
            probe.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (reply, end) = connection.ask_to_the_end(&probe.method, &probe.target, &headers).await;
        replies.push((
            format!("{}, HTTP/2", probe.name),
            format!("{reply:?} {} {end:?}", String::from_utf8_lossy(&reply.body)),
        ));
    }
    replies
}

async fn page(admin: SocketAddr, path: &str) -> (String, String) {
    let reply = client::ask(admin, "GET", path, &[]).await;
    (path.to_owned(), format!("{reply:?} {}", String::from_utf8_lossy(&reply.body)))
}

/// Waits until the log has come to what was answered last.
async fn log_of(gate: &Process) -> String {
    let last = client::ask(gate.data, "GET", "/", &[]).await;
    let id = last.header("x-request-id").unwrap().to_owned();
    let start = Instant::now();
    loop {
        let log = gate.words();
        if log.contains(&id) {
            return log;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "the log stands still");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn tokens_come_out_nowhere(format: &str, over_http2: bool) {
    let (upstream, strays) = (upstream().await, strays().await);
    let place = Place::empty();
    place.configure(&format!(
        "log = {{ level = \"trace\", format = \"{format}\" }}\n\
         upstream.first_byte_timeout = \"150ms\"\n\
         listen.trusted_proxies = [\"127.0.0.0/8\"]\n{}",
        channels(&upstream, &strays)
    ));
    let gate = place.serve();
    let url = format!("sqlite:{}", place.path("var/channelgate.db").display());
    let store = Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap();
    let canaries = canaries(&place.bootstrap_token(), &store).await;
    let mut replies = if over_http2 {
        send_all_over_http2(gate.data, &canaries).await
    } else {
        send_all(gate.data, &canaries).await
    };
    let mut pages = Vec::new();
    for path in ["/healthz", "/readyz", "/metrics"] {
        pages.push(page(gate.admin, path).await);
    }
    for canary in &canaries {
        pages.push(page(gate.admin, &format!("/{}?{}", canary.value, canary.value)).await);
    }
    let (of_api, made) = api::drive(gate.admin, &store, &canaries).await;
    let api_replies = of_api.len();
    assert!(
        of_api.iter().filter(|(_, reply)| reply.contains("HTTP/1.1 422")).count() > 500,
        "the bodies were read"
    );
    replies.extend(of_api);
    let canaries = [canaries, made].concat();
    replies.push(("the connections".into(), format!("{} replies", replies.len())));
    let log = log_of(&gate).await;
    // A sink that is empty proves nothing.
    let answered = log.matches("request_id").count();
    assert!(answered + 400 > replies.len() && replies.len() > 1_000, "{answered} lines of {}", replies.len());
    assert!(log.contains("/t/<TOKEN>/main/noarch/repodata.json") && log.contains("<unparsable>"));
    assert!(api_replies > 2_000 && log.contains("/api/v1/organizations/{org}/seats/{user}"));
    for code in [
        "token_missing",
        "token_unknown",
        "token_revoked",
        "path_invalid",
        "upstream_invalid",
        "upstream_unavailable",
        "channel_forbidden",
    ] {
        assert!(log.contains(code), "no probe ended as {code}");
    }
    assert!(upstream.seen().len() > 50, "{}", upstream.seen().len());
    let scene = Scene { log, pages, replies, upstream: upstream.seen(), data_dir: place.path("var") };
    assert_nowhere(&scene, &canaries);
}

#[tokio::test]
async fn tokens_come_out_nowhere_and_the_log_is_for_people() {
    tokens_come_out_nowhere("human", false).await;
}

#[tokio::test]
async fn tokens_come_out_nowhere_and_the_log_is_for_machines() {
    tokens_come_out_nowhere("json", true).await;
}

/// There is no room for a second request while the first one waits for its upstream.
#[tokio::test]
async fn tokens_come_out_nowhere_of_a_gate_without_room() {
    let (upstream, strays) = (upstream().await, strays().await);
    let place = Place::empty();
    place.configure(&format!(
        "log.level = \"trace\"\nlimits.requests_max = 1\n{}",
        channels(&upstream, &strays)
    ));
    let gate = place.serve();
    let url = format!("sqlite:{}", place.path("var/channelgate.db").display());
    let store = Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap();
    let canaries = canaries(&place.bootstrap_token(), &store).await;
    let mut first = Connection::open(gate.data).await;
    first.send("GET", "/stalls/noarch/x.conda", &[]).await;
    let start = Instant::now();
    while upstream.seen().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let replies = send_all(gate.data, &canaries[..4]).await;
    let overloaded = replies.iter().filter(|(_, reply)| reply.contains("\"overloaded\"")).count();
    assert!(overloaded > 300, "{overloaded}");
    let log = log_of(&gate).await;
    let scene =
        Scene { log, replies, upstream: upstream.seen(), data_dir: place.path("var"), ..Scene::default() };
    assert_nowhere(&scene, &canaries);
}

/// What this thread logs.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn tokens_come_out_nowhere_while_the_store_is_down() {
    let (upstream, strays) = (upstream().await, strays().await);
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .with_ansi(false)
        .finish();
    // A test runs on one thread, and so does everything of this gate but the calls that block.
    let _listening = tracing::subscriber::set_default(subscriber);
    let gate = Gate::builder()
        .settings(&format!("upstream.first_byte_timeout = \"150ms\"\n{}", channels(&upstream, &strays)))
        .start()
        .await;
    let canaries = canaries(&gate.bootstrap_token(), gate.store()).await;
    gate.store().close().await;
    let replies = send_all(gate.data(), &canaries[..4]).await;
    let unavailable = replies.iter().filter(|(_, reply)| reply.contains("\"store_unavailable\"")).count();
    assert!(unavailable > 50, "{unavailable}");
    let log = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    assert!(log.contains("store_unavailable"));
    // Everything of every dependency is in this log, the frames that a library decodes included; what the gate logs is its own.
    let own: Vec<&str> = log.lines().filter(|line| is_logged(line)).collect();
    let mut pages = Vec::new();
    for path in ["/readyz", "/metrics"] {
        pages.push(page(gate.admin(), path).await);
    }
    let data_dir = gate.directory.path().join("var");
    let scene = Scene { log: own.join("\n"), pages, replies, upstream: upstream.seen(), data_dir };
    assert_nowhere(&scene, &canaries);
}

/// As `logging` has it: the gate's own events, and of other crates what is a warning at least.
fn is_logged(line: &str) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let (level, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    matches!(level, "WARN" | "ERROR") || target.starts_with("channelgate") || target.starts_with("access")
}
