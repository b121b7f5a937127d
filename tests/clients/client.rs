//! One attempt of the real client to install something, and what came of it. `install.py` is its other half.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use crate::gate::Gate;
use crate::venv;

/// How the client carries its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Not at all.
    None,
    /// In the channel's URL, as typed by a person: `/t/<TOKEN>/demo`.
    Path,
    /// From the client's store, as rattler's kind `CondaToken`: the client puts it into the path.
    CondaToken,
    /// From the client's store, as `Authorization: Bearer`.
    BearerToken,
    /// From the client's store, as the password of `Authorization: Basic`.
    BasicHttp,
}

/// What to install from where. The rest is [`Attempt::default`].
pub(crate) struct Attempt<'a> {
    /// `http://127.0.0.1:1234`.
    pub(crate) origin: &'a str,
    /// The certificate authority to trust, for a server with TLS.
    pub(crate) authority: Option<&'a Path>,
    /// The channel's path below the origin.
    pub(crate) channel: &'a str,
    pub(crate) carrier: Carrier,
    pub(crate) token: &'a str,
    pub(crate) shards: bool,
    pub(crate) platform: &'a str,
    pub(crate) specs: &'a [&'a str],
    /// As of a lock file: the packages are found in the channel of this path, which needs no token, and then fetched from `channel`.
    pub(crate) locked_at: Option<&'a str>,
    /// The file of the channel that is asked for plainly when the client was refused.
    pub(crate) ask: &'a str,
}

/// What the client printed, and where it worked.
pub(crate) struct Outcome {
    directory: TempDir,
    printed: Printed,
    status: ExitStatus,
}

#[derive(Deserialize)]
struct Printed {
    #[serde(default)]
    installed: Vec<Package>,
    error: Option<String>,
    answer: Option<Answer>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

/// The server's answer to one plain GET of the file that the client was refused.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) body: String,
}

impl<'a> Attempt<'a> {
    /// An attempt to install everything there is from the private channel of `gate`.
    pub(crate) fn at(gate: &'a Gate) -> Self {
        Self {
            origin: &gate.origin,
            authority: gate.authority.as_deref(),
            channel: "demo",
            carrier: Carrier::None,
            token: "",
            shards: true,
            platform: "linux-64",
            specs: &["tinyapp", "plus", "epoch"],
            locked_at: None,
            ask: "noarch/repodata.json",
        }
    }

    /// Runs the client to its end.
    pub(crate) fn run(&self) -> Outcome {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let store = match self.carrier {
            Carrier::None | Carrier::Path => json!({}),
            Carrier::CondaToken => json!({"127.0.0.1": {"CondaToken": self.token}}),
            Carrier::BearerToken => json!({"127.0.0.1": {"BearerToken": self.token}}),
            Carrier::BasicHttp => {
                json!({"127.0.0.1": {"BasicHTTP": {"username": "anyone", "password": self.token}}})
            }
        };
        fs::write(place("store.json"), store.to_string()).unwrap();

        let mut command = Command::new(venv::python());
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/install.py"))
            .args(["--channel", &self.url(), "--platform", self.platform])
            .args(["--ask", &format!("{}/{}", self.url(), self.ask)])
            .arg("--prefix")
            .arg(place("prefix"))
            .arg("--cache")
            .arg(place("cache"))
            .args(if self.shards { None } else { Some("--no-shards") })
            .args(self.locked_at.map(|channel| format!("--solve-at={}/{channel}", self.origin)))
            .args(self.specs)
            // No proxy, no netrc, no keyring, no configuration of whoever runs the tests.
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", directory.path())
            .env("RATTLER_AUTH_FILE", place("store.json"))
            .envs(self.authority.map(|file| ("SSL_CERT_FILE", file)))
            .stdin(Stdio::null())
            .stdout(File::create(place("stdout")).unwrap())
            .stderr(File::create(place("stderr")).unwrap());
        let status = finish(&mut command);
        let stdout = fs::read_to_string(place("stdout")).unwrap();
        let printed = serde_json::from_str(&stdout).unwrap_or_else(|error| {
            let stderr = fs::read_to_string(place("stderr")).unwrap();
            panic!("the client ended with {status} and printed no outcome ({error}):\n{stdout}\n{stderr}");
        });
        Outcome { directory, printed, status }
    }

    fn url(&self) -> String {
        match self.carrier {
            Carrier::Path => format!("{}/t/{}/{}", self.origin, self.token, self.channel),
            _ => format!("{}/{}", self.origin, self.channel),
        }
    }
}

impl Outcome {
    /// The installed packages as `name=version`, sorted.
    ///
    /// # Panics
    ///
    /// If the client failed.
    pub(crate) fn installed(&self) -> Vec<String> {
        assert!(
            self.status.success(),
            "the client failed: {:?} {:?}",
            self.printed.error,
            self.printed.answer
        );
        let mut installed: Vec<_> = self
            .printed
            .installed
            .iter()
            .map(|package| format!("{}={}", package.name, package.version))
            .collect();
        installed.sort();
        installed
    }

    /// The content of a file of the new environment.
    pub(crate) fn file(&self, path: &str) -> String {
        fs::read_to_string(self.directory.path().join("prefix").join(path)).unwrap()
    }

    /// What the client shows to the person, and what the server answers to the same credential asked plainly.
    ///
    /// # Panics
    ///
    /// If the client succeeded.
    pub(crate) fn refused(&self) -> (&str, &Answer) {
        let installed: Vec<_> = self.printed.installed.iter().map(|package| &package.name).collect();
        assert!(!self.status.success(), "the client should be refused, but installed {installed:?}");
        (self.printed.error.as_deref().unwrap(), self.printed.answer.as_ref().unwrap())
    }

    /// The files that the client wrote and that hold `text`: of its environment and of its caches, not of its own store.
    pub(crate) fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut directories = vec![self.directory.path().join("prefix"), self.directory.path().join("cache")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if fs::read(&path).is_ok_and(|content| contains(&content, text.as_bytes())) {
                    found.push(path);
                }
            }
        }
        found
    }
}

fn contains(content: &[u8], text: &[u8]) -> bool {
    content.windows(text.len()).any(|window| window == text)
}

/// Waits for the client, but not for ever.
fn finish(command: &mut Command) -> ExitStatus {
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + FINISHED_WITHIN;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the client did not finish within {FINISHED_WITHIN:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

// An attempt takes a third of a second; only a server that hangs takes this long.
const FINISHED_WITHIN: Duration = Duration::from_secs(120);
