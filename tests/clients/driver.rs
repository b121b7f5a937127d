//! The client and the fixtures without a gate: Python's own file server in its place.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::client::{Attempt, Carrier};
use crate::venv;

struct FileServer {
    child: Child,
    origin: String,
}

impl FileServer {
    fn start() -> Self {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut child = Command::new(venv::python())
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
            .arg(fixtures)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // "Serving HTTP on 127.0.0.1 port 1234 (http://127.0.0.1:1234/) ..."
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split(' ').nth(5).unwrap_or_else(|| panic!("the file server said {line:?}"));
        Self { origin: format!("http://127.0.0.1:{port}"), child }
    }

    fn attempt(&self) -> Attempt<'_> {
        Attempt {
            origin: &self.origin,
            authority: None,
            channel: "channel",
            carrier: Carrier::None,
            token: "",
            shards: true,
            platform: "linux-64",
            specs: &["tinyapp", "plus", "epoch"],
            locked_at: None,
            ask: "noarch/repodata.json",
        }
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn client_without_a_gate_installs_the_fixtures() {
    let server = FileServer::start();
    for shards in [true, false] {
        let outcome = Attempt { shards, ..server.attempt() }.run();
        let expected = ["epoch=1!2.0", "hello-noarch=1.0", "libtiny=1.1", "plus=1.0+cu118", "tinyapp=2.0"];
        assert_eq!(outcome.installed(), expected, "shards: {shards}");
        assert_eq!(outcome.file("share/tinyapp/version.txt"), "tinyapp 2.0\n");
    }
    let outcome =
        Attempt { channel: "channel/label/dev", specs: &["hello-noarch"], ..server.attempt() }.run();
    assert_eq!(outcome.installed(), ["hello-noarch=1.1"]);
}

#[test]
fn client_that_is_refused_says_so_without_the_token() {
    let server = FileServer::start();
    let outcome = Attempt { carrier: Carrier::Path, token: "cg-canary", ..server.attempt() }.run();
    let (words, answer) = outcome.refused();
    assert!(words.contains("404") && !words.contains("cg-canary"), "{words}");
    assert_eq!(answer.status, 404);
}
