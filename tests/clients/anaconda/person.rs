//! A person: a user of the gate, and a machine of their own with the real tools on it.
//!
//! The machine is a home directory and an environment that names nothing but this home and this gate. Whatever the tools would send
//! elsewhere goes to a proxy that keeps the name and hangs up: [`Person`] fails its test when it is dropped if there was any.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::outside::Outside;
use super::terminal;
use crate::gate::Gate;
use crate::venv;

pub(crate) struct Person<'g> {
    pub(crate) gate: &'g Gate,
    pub(crate) name: String,
    home: TempDir,
    outside: Outside,
}

/// What a tool said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A tool that runs.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl<'g> Person<'g> {
    /// A user with [`PASSWORD`] and a seat in the organization `acme`.
    pub(crate) fn seated(gate: &'g Gate, name: &str) -> Self {
        let person = Self::known(gate, name);
        gate.run(&["seat", "assign", "acme", name]);
        person
    }

    /// A user with [`PASSWORD`] who belongs to no organization.
    pub(crate) fn known(gate: &'g Gate, name: &str) -> Self {
        gate.run_with(&["user", "create", name, "--email", &format!("{name}@example.org")], PASSWORD);
        Self::stranger(gate, name)
    }

    /// Somebody of whom the gate knows nothing.
    pub(crate) fn stranger(gate: &'g Gate, name: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let person = Self { gate, name: name.to_owned(), home, outside: Outside::watch() };
        person.write_browser();
        person
    }

    /// Runs `anaconda`, with nothing on its standard input.
    pub(crate) fn anaconda(&self, arguments: &[&str]) -> Said {
        self.anaconda_with(&[], arguments)
    }

    /// The same with further variables in its environment.
    pub(crate) fn anaconda_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Said {
        let mut command = self.command("anaconda", arguments);
        command.envs(variables.iter().copied());
        Running::start(command, self.home.path(), "").end()
    }

    /// Starts `anaconda`, which will wait for something.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command("anaconda", arguments), self.home.path(), "")
    }

    /// Runs `anaconda` at a terminal: waits for each text in turn and types the answer to it.
    pub(crate) fn at_a_terminal(&self, arguments: &[&str], dialogue: &[(&str, &str)]) -> Said {
        let mut command = self.command("anaconda", arguments);
        terminal::run(command.env("TERM", "dumb"), false, dialogue)
    }

    /// The same with a tool that draws menus, and reads keys in them.
    pub(crate) fn at_a_menu(&self, arguments: &[&str], dialogue: &[(&str, &str)]) -> Said {
        let mut command = self.command("anaconda", arguments);
        terminal::run(command.env("TERM", "xterm"), true, dialogue)
    }

    /// Runs a Python program of `tests/clients/` beside the tools, with `input` on its standard input.
    pub(crate) fn python(&self, program: &str, input: &str) -> Said {
        let program = format!("{}/tests/clients/{program}", env!("CARGO_MANIFEST_DIR"));
        Running::start(self.command("python", &[&program]), self.home.path(), input).end()
    }

    /// Tells anaconda-client where the gate is.
    pub(crate) fn configure_client(&self) {
        let authority = self.gate.authority.as_ref().unwrap().to_str().unwrap();
        for (key, value) in [("url", self.gate.origin.as_str()), ("ssl_verify", authority)] {
            self.anaconda(&["org", "config", "--set", key, value]).succeeded();
        }
    }

    /// The URL that a tool opens in a browser, once.
    pub(crate) fn opened(&self, running: &mut Running) -> String {
        let whole = || fs::read_to_string(self.path(OPENED)).ok().filter(|url| url.ends_with('\n'));
        let opened = running.wait_until("open a browser", whole);
        fs::remove_file(self.path(OPENED)).unwrap();
        opened.trim_end().to_owned()
    }

    /// A file of this home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The files of this home that hold `text`.
    pub(crate) fn files_with(&self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        collect(self.home.path(), &mut |file| {
            if String::from_utf8_lossy(&fs::read(file).unwrap()).contains(text) {
                found.push(file.strip_prefix(self.home.path()).unwrap().to_str().unwrap().to_owned());
            }
        });
        found.sort();
        found
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let programs = venv::anaconda();
        let home = self.home.path();
        let authority = self.gate.authority.as_ref().expect("the tools speak TLS only");
        let domain = self.gate.origin.strip_prefix("https://").unwrap();
        let mut command = Command::new(programs.join(program));
        command.args(arguments).env_clear().current_dir(home);
        command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        command.envs([("HOME", home.to_owned()), ("BROWSER", home.join("browser"))]);
        // anaconda-client calls its token after the account and the machine.
        command.env("USER", &self.name);
        command.envs(
            ["CONFIG", "DATA", "CACHE", "STATE"]
                .map(|kind| (format!("XDG_{kind}_HOME"), home.join(format!(".{}", kind.to_lowercase())))),
        );
        // One line a sentence, without colours, as it comes.
        command.envs([("COLUMNS", "400"), ("TERM", "dumb"), ("LANG", "C.UTF-8"), ("PYTHONUNBUFFERED", "1")]);
        command.envs([("OTEL_SDK_DISABLED", "true"), ("PYTHONDONTWRITEBYTECODE", "1"), ("TZ", "UTC")]);
        command.env("ANACONDA_AUTH_DOMAIN", domain);
        command.env("CONDA_TOKEN_REPO_URL", format!("{}/repo/", self.gate.origin));
        command.envs(
            ["ANACONDA_AUTH_SSL_VERIFY", "CONDA_SSL_VERIFY", "REQUESTS_CA_BUNDLE"]
                .map(|key| (key, authority)),
        );
        command.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/conda_shim"));
        for proxy in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env(proxy, self.outside.url()).env(proxy.to_uppercase(), self.outside.url());
        }
        command.env("no_proxy", "127.0.0.1,localhost").env("NO_PROXY", "127.0.0.1,localhost");
        command
    }

    /// The person's browser: a program that keeps the URLs it is given.
    fn write_browser(&self) {
        let browser = self.path("browser");
        fs::write(&browser, format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >> \"$HOME/{OPENED}\"\n")).unwrap();
        fs::set_permissions(browser, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for Person<'_> {
    fn drop(&mut self) {
        let asked = self.outside.asked();
        if !thread::panicking() {
            assert!(asked.is_empty(), "the tools spoke to others than the gate: {asked:?}");
        }
    }
}

impl Said {
    pub(crate) fn new(status: ExitStatus, out: String, err: String) -> Self {
        Self { code: status.code().unwrap_or(-1), out, err }
    }

    /// What it said, if it ended well.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    /// What it said, if it ended with a failure.
    #[track_caller]
    pub(crate) fn failed(self) -> Self {
        assert_eq!(self.code, 1, "{self}");
        self
    }

    /// Checks that the person reads this.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.out.contains(text) || self.err.contains(text), "no {text:?} in:\n{self}");
        self
    }

    /// Checks that the person reads nothing of this.
    #[track_caller]
    pub(crate) fn says_no(&self, text: &str) -> &Self {
        assert!(!self.out.contains(text) && !self.err.contains(text), "{text:?} in:\n{self}");
        self
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "exit {}\n{}{}", self.code, self.out, self.err)
    }
}

impl Running {
    fn start(mut command: Command, home: &Path, input: &str) -> Self {
        let [out, err] = ["out", "err"].map(|name| home.join(name));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Self { child, out, err }
    }

    /// What it has said on its standard output so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    /// Waits until it has done what `done` looks for.
    fn wait_until<T>(&mut self, what: &str, done: impl Fn() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait().unwrap();
            if let Some(result) = done() {
                return result;
            }
            let err = fs::read_to_string(&self.err).unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "it does not {what} ({ended:?}), it says:\n{}{err}",
                self.said()
            );
            thread::sleep(POLL);
        }
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Said {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() < deadline => thread::sleep(POLL),
                None => panic!("it does not end; it said:\n{}", fs::read_to_string(&self.out).unwrap()),
            }
        };
        let [out, err] = [&self.out, &self.err].map(|file| fs::read_to_string(file).unwrap());
        Said::new(status, out, err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(directory: &Path, seen: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, seen);
        } else {
            seen(&path);
        }
    }
}

/// Of every person here.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

const OPENED: &str = "opened";
// Generous: reached only by a tool that hangs, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);
