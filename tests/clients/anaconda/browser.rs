//! The pages in a real browser: headless Chromium, which `browser.py` drives with Selenium through the scenarios of `scenarios/`.
//!
//! Selenium is the reference client of WebDriver, and as wheels it costs a fresh clone five seconds; its peers in Rust would cost every clean
//! build more crates than the gate's own web server has. `SCREENSHOTS=DIRECTORY cargo test --test clients browser` keeps a picture of every
//! page.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::login::Login;
use super::person::{PASSWORD, Person, Said};
use crate::gate::{self, Gate};
use crate::venv;

/// Plays a scenario for a person at this page; further facts go along.
pub(crate) fn play(scenario: &str, person: &Person<'_>, page: &str, code: &str, more: Value) {
    for (program, package) in
        [("/usr/bin/chromium", "chromium"), ("/usr/bin/chromedriver", "chromium-driver")]
    {
        assert!(
            Path::new(program).exists(),
            "tests/clients drives Chromium; Debian: apt-get install {package}"
        );
    }
    let mut asked = json!({
        "origin": person.gate.origin, "page": page, "code": code, "user": person.name, "password": PASSWORD,
        "spki": person.gate.key_digest(),
    });
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut command = Command::new(venv::browser());
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/browser.py")).arg(scenario);
    // Chromium keeps things in the home directory, too.
    command.env("HOME", person.path(".")).env("SE_AVOID_STATS", "true").env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Said::new(output.status, text(&output.stdout), text(&output.stderr)).succeeded();
}

fn begin(person: &Person<'_>) -> Login {
    Login::begin(person, &["auth", "login"])
}

#[test]
fn browser_connects_a_device_by_its_link() {
    let gate = gate::people();
    let person = Person::seated(&gate, "mouse");
    let login = begin(&person);
    play("connect", &person, &login.page, &login.code, json!({}));
    login.end().succeeded().says("Login successful!");
}

#[test]
fn browser_connects_a_device_with_the_keyboard_alone() {
    let gate = gate::people();
    let person = Person::seated(&gate, "keyboard");
    let login = begin(&person);
    play("keyboard", &person, &login.page, &login.code, json!({}));
    login.end().succeeded().says("Login successful!");
}

#[test]
fn browser_is_told_every_mistake() {
    // A gate of its own, for who mistypes passwords has to wait, and so has everybody at their address.
    let gate = Gate::with_people("", &gate::fixtures());
    let person = Person::seated(&gate, "clumsy");
    let login = begin(&person);
    play("mistakes", &person, &login.page, &login.code, json!({}));
    login.end().failed().says("DeviceFlowDenied: User denied authorization");
}

#[test]
fn browser_that_sends_twice_connects_once() {
    let gate = gate::people();
    let person = Person::seated(&gate, "hasty");
    let login = begin(&person);
    play("double", &person, &login.page, &login.code, json!({}));
    login.end().succeeded().says("Login successful!");
    assert_eq!(person.api_keys().len(), 1);
}

#[test]
fn browser_is_told_that_a_code_has_expired() {
    // A gate of its own, for all its codes expire.
    let gate = Gate::with_people("", &gate::fixtures());
    let person = Person::seated(&gate, "slow");
    let login = begin(&person);
    gate.let_codes_expire();
    play("expired", &person, &login.page, &login.code, json!({}));
    login.end().failed().says("DeviceFlowTimeout: Device code expired");
}

#[test]
fn browser_lets_a_program_of_this_computer_in() {
    // Without an API key anaconda-client asks in the browser, and listens at 127.0.0.1:8000 for the answer.
    let gate = gate::people();
    let person = Person::seated(&gate, "local");
    person.configure_client();
    let mut running = person.start(&["org", "login"]);
    let page = person.opened(&mut running);
    play("local", &person, &page, "", json!({}));
    running.end().succeeded().says("login successful");
    person.anaconda(&["org", "whoami"]).succeeded().says("Username: local");
}
