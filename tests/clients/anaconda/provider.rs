//! An OpenID provider for the gate to send people to: `oidc-provider` of npm, a certified one, which `oidc/provider.mjs` starts.
//!
//! Its packages are fetched once for each `package-lock.json` and kept below `target/`. It calls itself `localhost`, which to a browser is
//! another site than the gate's `127.0.0.1`, as a real provider is.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

/// A running provider. Ends when it is dropped.
pub(crate) struct Provider {
    child: Child,
    said: BufReader<ChildStdout>,
    input: ChildStdin,
    /// `https://localhost:1234`.
    pub(crate) issuer: String,
}

impl Provider {
    /// Starts one with this certificate and its key.
    pub(crate) fn start([certificate, key]: [PathBuf; 2]) -> Self {
        let mut child = Command::new("node")
            .arg(packages().join("provider.mjs"))
            .args([certificate, key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("node: {error}\n{HOW_TO_INSTALL}"));
        let input = child.stdin.take().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let issuer = line(&mut said);
        Self { child, said, input, issuer }
    }

    /// Tells it about the gate, and whom it knows: claims by name. Without `strict` claims are in the ID token, too.
    pub(crate) fn know(&mut self, gate: &str, strict: bool, accounts: &Value) {
        let told = json!({
            "redirect_uri": format!("{gate}/sign-in/oidc/callback"),
            "claims_in_id_token": !strict,
            "accounts": accounts,
        });
        writeln!(self.input, "{told}").unwrap();
        assert_eq!(line(&mut self.said), "ready");
    }

    /// The lines of configuration that make a gate trust it; the secret is written to this file.
    pub(crate) fn settings(&self, authority: &Path, secret: &Path) -> String {
        fs::write(secret, "a secret of the tests\n").unwrap();
        fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
        format!(
            "sign_in.oidc.issuer = {:?}\nsign_in.oidc.client_id = \"channelgate\"\nsign_in.oidc.ca_file = {authority:?}\n\
             sign_in.oidc.client_secret = {{ file = {secret:?} }}\nsign_in.oidc.title = \"Example Corp\"\n",
            self.issuer
        )
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(said: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "the provider ended");
    line.trim().to_owned()
}

/// The directory with the packages and the program.
pub(crate) fn packages() -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/oidc");
    let files = ["package.json", "package-lock.json", "provider.mjs"]
        .map(|name| (name, fs::read(sources.join(name)).unwrap()));
    let all: Vec<u8> = files.iter().flat_map(|(_, content)| content.clone()).collect();
    let key: String =
        digest(&SHA256, &all).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("clients-oidc-{key}"));
    fs::create_dir_all(&place).unwrap();
    let lock = File::create(place.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !place.join("whole").exists() {
        for (name, content) in files {
            fs::write(place.join(name), content).unwrap();
        }
        let install =
            ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit-lockfile-registry-resolved"];
        let output = Command::new("npm").args(install).current_dir(&place).output();
        let output = output.unwrap_or_else(|error| panic!("npm: {error}\n{HOW_TO_INSTALL}"));
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "npm ci: {}\n{words}\n{HOW_TO_INSTALL}", output.status);
        fs::write(place.join("whole"), "").unwrap();
    }
    place
}

const HOW_TO_INSTALL: &str = "\
tests/clients signs people in at a real OpenID provider, which needs Node.js 20 or newer with npm and, the first time, npm's registry or a mirror \
that npm is configured for. Debian 13 or newer and Ubuntu 25.04 or newer: apt-get install nodejs npm. macOS: brew install node.";
