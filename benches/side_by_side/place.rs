//! What everybody works on: a channel of four files, 100,000 tokens, a certificate, and configurations made of the templates beside this file.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use channelgate::cache::Sha256;
use channelgate::clock::Clock;
use channelgate::token::Minted;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

/// A file of the channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum File {
    /// 1 KiB: what a shard, a 304 or a small index costs is mostly the request.
    S,
    /// 30 KiB: a small package.
    M,
    /// 5 MiB: an average package, and a compressed index.
    R,
    /// 100 MiB: a large package.
    L,
}

impl File {
    pub(crate) const ALL: [Self; 4] = [Self::S, Self::M, Self::R, Self::L];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S => "s-1.0-0.conda",
            Self::M => "m-1.0-0.conda",
            Self::R => "r-1.0-0.conda",
            Self::L => "l-1.0-0.conda",
        }
    }

    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::S => 1 << 10,
            Self::M => 30 << 10,
            Self::R => 5 << 20,
            Self::L => 100 << 20,
        }
    }
}

/// The name of one of [`FILLS`] further files, all of which are as [`File::R`].
pub(crate) fn fill_name(number: usize) -> String {
    format!("fill{number}-1.0-0.conda")
}

/// A directory with all of it, which is gone when this is dropped.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    /// Those in the store, in the order they are used.
    pub(crate) tokens: Vec<String>,
    digests: Vec<(File, Sha256)>,
}

impl Place {
    /// Made with the help of a gate, whose store the tokens are in.
    pub(crate) async fn make(gate: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix("side-by-side-").tempdir().unwrap();
        let path = directory.path();
        // nginx takes anything for its temporary files, but the directory must be there.
        fs::create_dir(path.join("temp")).unwrap();
        let digests = make_channel(path);
        make_certificate(path);
        let minted: Vec<_> = (0..TOKENS).map(|_| Minted::random().unwrap()).collect();
        fill_store(gate, path, &minted).await;
        let tokens: Vec<_> = minted.iter().map(|token| token.expose().to_owned()).collect();
        let listed = |behind: &str| tokens.iter().fold(String::new(), |list, token| list + token + behind);
        fs::write(path.join("tokens.nginx"), listed(" 1;\n")).unwrap();
        fs::write(path.join("tokens.haproxy"), listed(" 1\n")).unwrap();
        fs::write(path.join("tokens.txt"), listed("\n")).unwrap();
        Self { directory, tokens, digests }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn digest(&self, file: File) -> Sha256 {
        self.digests.iter().find(|(other, _)| *other == file).unwrap().1
    }

    pub(crate) fn certificate(&self) -> Vec<u8> {
        fs::read(self.path().join("certificate.pem")).unwrap()
    }

    /// A store of its own for a gate of this name.
    pub(crate) fn copy_store(&self, gate: &str) {
        let data = self.path().join(gate);
        fs::create_dir(&data).unwrap();
        fs::copy(self.path().join(STORE).join(DATABASE), data.join(DATABASE)).unwrap();
    }

    /// Writes a configuration: a template, in which `@NAME@` stands for what is to be filled in.
    pub(crate) fn configure(&self, name: &str, template: &str, values: &[(&str, String)]) -> PathBuf {
        // Workers of nginx give up the rights of root, with which the files here were written.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let mut text = template.replace("@PLACE@", self.path().to_str().unwrap()).replace("@USER@", user);
        for (key, value) in values {
            text = text.replace(&format!("@{key}@"), value);
        }
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

/// An address of the loopback that nobody listens at, and another one each time.
pub(crate) fn free_address() -> SocketAddr {
    static GIVEN: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap();
    loop {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        if !given.contains(&address) {
            given.push(address);
            return address;
        }
    }
}

/// The upstream: packages, and the index that names their digests.
fn make_channel(place: &Path) -> Vec<(File, Sha256)> {
    let subdir = place.join("upstream/bench/linux-64");
    fs::create_dir_all(&subdir).unwrap();
    let mut digests = Vec::new();
    let mut records = Vec::new();
    for file in File::ALL {
        let bytes = noise(file);
        let digest = Sha256::of(&bytes);
        fs::write(subdir.join(file.name()), bytes).unwrap();
        records.push(record(file.name(), digest, file.bytes()));
        digests.push((file, digest));
        if file == File::R {
            for name in (0..FILLS).map(fill_name) {
                fs::hard_link(subdir.join(file.name()), subdir.join(&name)).unwrap();
                records.push(record(&name, digest, file.bytes()));
            }
        }
    }
    let records = records.join(",");
    let index =
        format!(r#"{{"info":{{"subdir":"linux-64"}},"packages":{{}},"packages.conda":{{{records}}}}}"#);
    fs::write(subdir.join("repodata.json"), index).unwrap();
    digests
}

fn record(name: &str, digest: Sha256, size: u64) -> String {
    let stem = name.split('-').next().unwrap();
    format!(
        r#""{name}":{{"name":"{stem}","version":"1.0","build":"0","build_number":0,"depends":[],"subdir":"linux-64","sha256":"{digest}","size":{size}}}"#
    )
}

/// Bytes that do not compress, other ones for each file.
fn noise(file: File) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ file.bytes();
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..file.bytes() / 8).flat_map(|_| next()).collect()
}

/// Of the kind that public authorities issue by default: ECDSA on P-256.
fn make_certificate(place: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(place.join("certificate.pem"), &certificate).unwrap();
    fs::write(place.join("key.pem"), &key).unwrap();
    fs::write(place.join("haproxy.pem"), certificate + &key).unwrap();
}

/// The store is made by the program; its tokens are then written in one transaction, which takes seconds instead of minutes.
async fn fill_store(gate: &Path, place: &Path, minted: &[Minted]) {
    let config = place.join("store.toml");
    fs::write(&config, format!("data_dir = \"{}/{STORE}\"\n", place.display())).unwrap();
    let mut command = Command::new(gate);
    command.arg("--config").arg(config).args(["org", "create", "acme"]);
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", gate.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let now = Clock::system().now();
    let mut raw =
        SqliteConnectOptions::new().filename(place.join(STORE).join(DATABASE)).connect().await.unwrap();
    let mut all = raw.begin().await.unwrap();
    let ends_at = now.plus(Duration::from_secs(365 * 24 * 3_600)).as_millis();
    for (number, token) in minted.iter().enumerate() {
        let id = (number as u128) << 96 | 7;
        sqlx::query(
            "INSERT INTO tokens (id, digest, kind, organization_id, name, scopes, created_at, expires_at) \
             SELECT ?, ?, 'scoped', id, ?, 'conda:download', ?, ? FROM organizations WHERE name = 'acme'",
        )
        .bind(id.to_be_bytes().to_vec())
        .bind(token.digest().as_bytes().to_vec())
        .bind(format!("token {number}"))
        .bind(now.as_millis())
        .bind(ends_at)
        .execute(&mut *all)
        .await
        .unwrap();
    }
    all.commit().await.unwrap();
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
}

/// As many as the map of nginx holds.
const TOKENS: usize = 100_000;
/// Files that each can be the first time.
pub(crate) const FILLS: usize = 240;
const STORE: &str = "store";
const DATABASE: &str = "channelgate.db";
