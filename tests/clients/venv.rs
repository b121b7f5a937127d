//! The virtual environments with what the tests drive, each made once and shared by all runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};

/// A Python with the client, `requirements.txt`.
///
/// # Panics
///
/// Where there is no python3, or the requirements cannot be installed.
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| environment("requirements.txt").join("bin/python"))
}

/// The program of `requirements-schemathesis.txt`.
///
/// # Panics
///
/// Where there is no python3, or the requirements cannot be installed.
pub(crate) fn schemathesis() -> &'static Path {
    static SCHEMATHESIS: OnceLock<PathBuf> = OnceLock::new();
    SCHEMATHESIS.get_or_init(|| environment("requirements-schemathesis.txt").join("bin/schemathesis"))
}

/// The directory of the programs of `requirements-anaconda.txt`: `anaconda` and its Python.
///
/// # Panics
///
/// Where there is no python3, or the requirements cannot be installed.
pub(crate) fn anaconda() -> &'static Path {
    static ANACONDA: OnceLock<PathBuf> = OnceLock::new();
    ANACONDA.get_or_init(|| environment("requirements-anaconda.txt").join("bin"))
}

/// A Python with what drives a browser, `requirements-browser.txt`.
///
/// # Panics
///
/// Where there is no python3, or the requirements cannot be installed.
pub(crate) fn browser() -> &'static Path {
    static BROWSER: OnceLock<PathBuf> = OnceLock::new();
    BROWSER.get_or_init(|| environment("requirements-browser.txt").join("bin/python"))
}

fn environment(requirements: &str) -> PathBuf {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(requirements);
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("clients-venv-{}", key(&requirements)));
    make_once(&place, &requirements);
    place
}

/// Changes with the requirements and with the Python, whose path a virtual environment holds.
fn key(requirements: &Path) -> String {
    let version = run(Command::new("python3").args(["-c", "import sys; print(sys.executable, sys.version)"]));
    let text = format!("{version}{}", fs::read_to_string(requirements).unwrap());
    digest(&SHA256, text.as_bytes()).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A lock beside it lets one of several test runs make it; a mark inside, written last, tells that it is whole.
fn make_once(place: &Path, requirements: &Path) {
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    let lock = File::create(place.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let whole = place.join("whole");
    if whole.exists() {
        return;
    }
    if place.exists() {
        fs::remove_dir_all(place).unwrap();
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(place));
    run(Command::new(place.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(requirements));
    fs::write(whole, "").unwrap();
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}\n{HOW_TO_INSTALL}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}\n{HOW_TO_INSTALL}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8(output.stdout).unwrap()
}

const HOW_TO_INSTALL: &str = "\
tests/clients drives real clients and schemathesis, which need python3 (3.10 or newer) with its venv module and, the first time, PyPI or \
a mirror that pip is configured for. Debian and Ubuntu: apt-get install python3 python3-venv. Fedora: dnf install python3. \
macOS: brew install python3.";
