//! The program as people run it: the real binary in a place of its own, its commands and its gates.
//!
//! Every process is ended by its own id. A gate that a test forgets is killed when it is dropped.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::gate::fixture_channel;

/// A working directory with `config/channelgate.toml`, where the program finds it by itself.
pub struct Place {
    directory: tempfile::TempDir,
}

/// What came of a command.
#[derive(Debug)]
pub struct Done {
    /// The exit status; of a process that a signal ended, 128 and the signal's number.
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A running gate.
pub struct Process {
    child: Child,
    words: Arc<Mutex<String>>,
    /// `channelgate ready …`.
    pub ready: String,
    pub data: SocketAddr,
    pub admin: SocketAddr,
}

impl Place {
    /// The fixture channel, private as `main` and public as `open`.
    pub fn new() -> Self {
        Self::with("")
    }

    /// The same with further settings: dotted keys of the configuration, a line each.
    pub fn with(settings: &str) -> Self {
        let place = Self::empty();
        place.configure(&format!("{settings}\n{}", fixtures()));
        place
    }

    /// Without a configuration.
    pub fn empty() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// Writes the configuration: ports of the system's choosing, no cache unless they speak of it, and what is given.
    pub fn configure(&self, lines: &str) {
        let cache = if lines.contains("cache.enabled") { "" } else { "cache.enabled = false\n" };
        fs::create_dir_all(self.path("config")).unwrap();
        fs::write(self.path("config/channelgate.toml"), format!("{FREE_PORTS}{cache}{lines}")).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command in this place, with nothing on standard input and no setting from the environment of the tests but that of the fast paths.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_channelgate"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CHANNELGATE_") {
                command.env_remove(name);
            }
        }
        command.envs(super::gate::fast_paths());
        command.args(arguments).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments).spawn().unwrap())
    }

    /// A command with `input` on standard input.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Done {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // A command that reads less than it is given is no failure of the test.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        finish(child)
    }

    /// The standard output of a command that must succeed.
    pub fn must(&self, arguments: &[&str]) -> String {
        self.run(arguments).expect(0, arguments).out
    }

    /// The same, as JSON; `--json` is added.
    pub fn must_json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        serde_json::from_str(&self.must(&arguments)).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    /// The value and the id of a new token of the organization `default` that reads every channel.
    pub fn create_token(&self, name: &str) -> (String, String) {
        let token = self.must_json(&["token", "create", "default", "--name", name, "--scopes", "repos"]);
        (token["token"].as_str().unwrap().to_owned(), token["id"].as_str().unwrap().to_owned())
    }

    /// The token of the first start.
    pub fn bootstrap_token(&self) -> String {
        fs::read_to_string(self.path("var/bootstrap-token")).unwrap().trim_end().to_owned()
    }

    /// Starts a gate and waits until it is ready.
    pub fn serve(&self) -> Process {
        Process::start(self.command(&["serve"]))
    }
}

impl Done {
    /// The same, if it ended with this status.
    #[track_caller]
    pub fn expect(self, code: i32, what: impl std::fmt::Debug) -> Self {
        assert_eq!(self.code, code, "{what:?}: {self:?}");
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Process {
    /// Starts `channelgate serve` and waits for its ready line.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let words = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn({
            let words = Arc::clone(&words);
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    let mut words = words.lock().unwrap();
                    words.push_str(&line);
                    words.push('\n');
                }
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut process = Self { child, words, ready: String::new(), data: nowhere, admin: nowhere };
        process.ready = process.wait_for("channelgate ready ");
        let address = |key: &str| {
            let (_, url) = process.ready.split_once(key).unwrap();
            let (_, address) = url.split_whitespace().next().unwrap().split_once("://").unwrap();
            address.parse().unwrap()
        };
        (process.data, process.admin) = (address("data="), address("admin="));
        process
    }

    /// Everything it has said so far.
    pub fn words(&self) -> String {
        self.words.lock().unwrap().clone()
    }

    /// Waits for a line with `text` and returns it.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait().unwrap();
            if let Some(line) = self.words().lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(ended.is_none(), "it ended ({ended:?}) without saying {text:?}:\n{}", self.words());
            assert!(Instant::now() < deadline, "it does not say {text:?}:\n{}", self.words());
            thread::sleep(POLL);
        }
    }

    /// A figure of `/proc/<pid>/status`, in bytes: `VmRSS`, `VmHWM`, ….
    pub fn memory_bytes(&self, figure: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
        let kibibytes = line.trim_start_matches(':').trim().strip_suffix(" kB").unwrap();
        kibibytes.parse::<u64>().unwrap() * 1024
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end, which somebody else has asked for.
    #[track_caller]
    pub fn ended(mut self) -> Done {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "it does not end:\n{}", self.words()),
            }
            thread::sleep(POLL);
        };
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        // The reading thread sees the end of the pipe soon after the end of the process.
        let words = Arc::clone(&self.words);
        while Arc::strong_count(&words) > 2 {
            thread::sleep(POLL);
        }
        Done { code: code(status), out, err: self.words() }
    }

    /// Ends it as a supervisor does.
    #[track_caller]
    pub fn terminate(self) -> Done {
        self.signal(Signal::TERM);
        self.ended()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The fixture channel as configuration lines.
pub fn fixtures() -> String {
    channel("main", "private", &fixture_url()) + &channel("open", "public", &fixture_url())
}

pub fn fixture_url() -> String {
    format!("file://{}", fixture_channel().display())
}

/// One channel as configuration lines.
pub fn channel(name: &str, access: &str, upstream: &str) -> String {
    format!("[[channels]]\nname = {name:?}\naccess = {access:?}\nupstreams = [{upstream:?}]\n")
}

/// Every file below `directory`.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn finish(child: Child) -> Done {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: code(output.status), out: text(output.stdout), err: text(output.stderr) }
}

fn code(status: std::process::ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

const FREE_PORTS: &str = "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n";

/// Generous: reached only by a program that is broken, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);
