//! PostgreSQL clusters of the tests' own: made in a temporary directory by the `initdb` that is found, run as an unprivileged user when the tests run as root.
//!
//! A cluster is gone, its directory too, once the tests are: a keeper waits for the end of a pipe that only this process holds, so a test binary that is killed leaves
//! nothing behind. Tests that only need a database share one cluster ([`Cluster::shared`]) and get a database each ([`Cluster::database`]).
//!
//! Databases sort text as English does, not by bytes: a query that forgets to say which order it means gives itself away.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A PostgreSQL cluster: a directory, and the server that runs over it or does not.
pub struct Cluster {
    /// Before the directory: it empties it when it is dropped.
    keeper: Keeper,
    directory: TempDir,
    port: u16,
    settings: Vec<(String, String)>,
    server: Mutex<Option<Child>>,
}

impl Cluster {
    /// The cluster of all tests that do no harm to theirs.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A running cluster for one test, which may stop it.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// The same with these settings of `postgresql.conf`.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let directory = directory();
        let at = data(&directory);
        let order = ["--locale-provider=icu", "--icu-locale=en", "--locale=C", "--encoding=UTF8"];
        let cluster = ["--pgdata", &at, "--username", USER, "--auth=trust", "--no-sync", "--no-instructions"];
        run(program("initdb", directory.path()).args(cluster).args(order));
        Self::over(directory, settings)
    }

    /// A standby that follows this cluster, as up to date as it when this returns.
    pub fn standby(&self) -> Self {
        let directory = directory();
        let (port, socket) = (self.port.to_string(), self.directory.path().to_str().unwrap());
        let from = ["--host", socket, "--port", &port, "--username", USER];
        let at = data(&directory);
        let to = ["--pgdata", &at, "--write-recovery-conf", "--no-sync"];
        let how = ["--wal-method=stream", "--checkpoint=fast"];
        run(program("pg_basebackup", directory.path()).args(from).args(to).args(how));
        let standby = Self::over(directory, &[("hot_standby", "on")]);
        let followed = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()";
        wait("the standby follows", || self.sql("postgres", followed) == "1");
        standby
    }

    fn over(directory: TempDir, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let keeper = Keeper::of(directory.path());
        let cluster = Self { keeper, directory, port: free_port(), settings, server: Mutex::new(None) };
        cluster.resume();
        cluster
    }

    /// Starts the server that was stopped, at the same address.
    pub fn resume(&self) {
        let (at, socket) = (data(&self.directory), self.directory.path().to_str().unwrap());
        let mut command = program("postgres", self.directory.path());
        command.args(["-D", &at, "-k", socket, "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in SETTINGS.into_iter().chain(settings) {
            command.args(["-c", &format!("{name}={value}")]);
        }
        let log = fs::File::options().append(true).create(true).open(self.log()).unwrap();
        let mut child = command.stderr(log).spawn().unwrap();
        wait("the server starts", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the server does not start ({status}):\n{}", fs::read_to_string(self.log()).unwrap());
            }
            // The eighth line of this file says how far the start is; `pg_ctl` goes by it as well.
            let state = fs::read_to_string(self.data_directory().join("postmaster.pid")).unwrap_or_default();
            state.lines().nth(7).is_some_and(|state| matches!(state.trim(), "ready" | "standby"))
        });
        *self.server.lock().unwrap() = Some(child);
    }

    /// Ends the server at once, as a crash does: connections break, the next start recovers.
    pub fn kill(&self) {
        let Some(mut child) = self.server.lock().unwrap().take() else { return };
        kill_process(Pid::from_child(&child), Signal::QUIT).unwrap();
        child.wait().unwrap();
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", "SELECT pg_promote(true, 60)"), "t", "the standby is not promoted");
    }

    /// A new, empty database's URL.
    pub fn database(&self) -> String {
        static DATABASES: AtomicU64 = AtomicU64::new(0);
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@{}/{database}", self.address())
    }

    /// Where the server listens; also while it does not.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Where its data are, certificates and rules of access among them; what a test changes there holds from the next [`resume`](Self::resume) on.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.path().join(DATA)
    }

    /// Carries out statements in a database, whatever the store's own connections do; returns the values of the last one, separated by `|` and newlines.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let (port, socket) = (self.port.to_string(), self.directory.path().to_str().unwrap());
        let mut psql = program("psql", self.directory.path());
        psql.args(["--host", socket, "--port", &port, "--username", USER, "--dbname", database]);
        run(psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statements]))
    }

    /// Lets go of the pipe, as the end of this process does. Returns what is to be gone then.
    #[allow(dead_code, reason = "only one of the binaries that share this file ends one so")]
    pub fn abandon(&mut self) -> PathBuf {
        drop(self.keeper.0.stdin.take());
        self.directory.path().to_owned()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
        self.keeper.end();
    }
}

/// Ends the server and empties the directory when this process ends, however that happens.
struct Keeper(Child);

impl Keeper {
    fn of(directory: &Path) -> Self {
        let mut shell = program_at(Path::new("/bin/sh"), directory);
        shell.args(["-c", KEEPING, "keeper"]).arg(directory).stdin(Stdio::piped());
        // The pipe closes with this process: no other child has its writing end.
        Self(shell.spawn().unwrap())
    }

    fn end(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// An empty directory that the unprivileged user owns.
fn directory() -> TempDir {
    let only_its_owner = fs::Permissions::from_mode(0o700);
    let mut builder = tempfile::Builder::new();
    let directory = builder.prefix("channelgate-pg-").permissions(only_its_owner).tempdir().unwrap();
    if let Some(user) = unprivileged() {
        chown(directory.path(), Some(user.uid), Some(user.gid)).unwrap();
    }
    directory
}

fn data(directory: &TempDir) -> String {
    directory.path().join(DATA).to_str().unwrap().to_owned()
}

/// A program of PostgreSQL in this directory, by its user, untouched by the environment of the tests, in a group of its own: an interrupt from the terminal ends the
/// tests, and these by the keeper.
fn program(name: &str, directory: &Path) -> Command {
    program_at(&installed().join(name), directory)
}

fn program_at(path: &Path, directory: &Path) -> Command {
    let mut command = Command::new(path);
    command.current_dir(directory).process_group(0);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(user) = unprivileged() {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// Where the newest PostgreSQL of this machine has its programs.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let has_all = |directory: &PathBuf| PROGRAMS.iter().all(|name| directory.join(name).is_file());
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut versions: Vec<_> = versions.map(|entry| entry.path().join("bin")).filter(has_all).collect();
        versions.sort_by_key(|bin| version(bin));
        let path = std::env::var_os("PATH").unwrap_or_default();
        versions.pop().or_else(|| std::env::split_paths(&path).find(has_all)).unwrap_or_else(|| {
            panic!(
                "these tests need PostgreSQL 15 or newer: install its server and client programs \
                 (Debian and Ubuntu: apt-get install postgresql; macOS: brew install postgresql; conda: postgresql); \
                 {PROGRAMS:?} are neither in one directory of PATH nor in /usr/lib/postgresql/*/bin"
            )
        })
    })
}

/// The version in `/usr/lib/postgresql/<version>/bin`.
fn version(bin: &Path) -> u32 {
    let directory = bin.parent().and_then(Path::file_name).unwrap_or_default();
    directory.to_string_lossy().parse().unwrap_or(0)
}

#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

/// Who runs the servers: `postgres`, else `nobody`, where the tests run as root, as whom PostgreSQL refuses to run.
fn unprivileged() -> Option<User> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(|id| id.parse().unwrap());
        Some(User { uid: ids.next()?, gid: ids.next()? })
    };
    Some(user("postgres").or_else(|| user("nobody")).expect("the user `postgres` or `nobody`"))
}

/// The standard output of a program that must succeed, without the newline at its end.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.trim_end().to_owned()
}

/// Waits until `is_so`.
#[track_caller]
pub fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A port that is free now. Between now and its use another process may take it: the start fails then and says so.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// What is called here.
const PROGRAMS: [&str; 4] = ["initdb", "postgres", "pg_basebackup", "psql"];

/// The data directory in a cluster's own one, which has the socket and the log as well.
const DATA: &str = "data";

/// The superuser of every cluster; nobody is asked for a password.
const USER: &str = "postgres";

/// What the servers are started with. What they lose when the machine fails is of no interest; what they lose when they are killed is, and that is nothing.
const SETTINGS: [(&str, &str); 5] = [
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("max_connections", "300"),
    ("shared_buffers", "32MB"),
    ("log_min_messages", "warning"),
];

/// Waits for the end of the pipe, then ends the server that runs there, and empties the place.
const KEEPING: &str = r#"
cat > /dev/null
if read -r server < "$1/data/postmaster.pid"; then
    kill -QUIT "$server"
    while [ -e "$1/data/postmaster.pid" ] && kill -0 "$server"; do sleep 0.02; done
fi
rm -rf "$1"
"#;

/// Generous: reached only where something is broken, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(60);
