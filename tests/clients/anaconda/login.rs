//! `anaconda auth login`: the device flow, approved on the real page; and what it leaves.

use serde_json::Value;

use super::person::{PASSWORD, Person, Running, Said};
use super::visitor::{Page, Visitor};
use crate::gate;

/// A tool that waits for its person to answer.
pub(crate) struct Login {
    running: Running,
    /// What the tool tells the person to type.
    pub(crate) code: String,
    /// The page that the tool opens in a browser.
    pub(crate) page: String,
}

impl Login {
    /// Starts `anaconda auth login`, or a command that comes to the same.
    pub(crate) fn begin(person: &Person<'_>, arguments: &[&str]) -> Self {
        let mut running = person.start(arguments);
        let page = person.opened(&mut running);
        let said = running.said();
        let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
        let after = |words: &str| {
            let at = lines.iter().position(|line| line.ends_with(words)).unwrap_or_else(|| panic!("{said}"));
            lines[at + 1].to_owned()
        };
        assert_eq!(after("open the following URL:"), format!("{}/device", person.gate.origin));
        Self { running, code: after("Then enter the code:"), page }
    }

    /// What the tool says after its person has answered.
    pub(crate) fn end(self) -> Said {
        self.running.end()
    }
}

impl Person<'_> {
    /// Signs in with the tools.
    pub(crate) fn log_in(&self) {
        let login = Login::begin(self, &["auth", "login"]);
        let mut visitor = self.visitor();
        let page = self.sign_in(&mut visitor, &login.page);
        let page = visitor.press(&page.form("Approve"), "Approve", &[]);
        assert!(page.text().contains("The device is connected"), "{}", page.text());
        login.end().succeeded().says("Login successful!");
    }

    /// A browser of this person's.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor::trusting(self.gate.authority.as_ref().unwrap())
    }

    /// Opens a page and signs in on the way to it.
    pub(crate) fn sign_in(&self, visitor: &mut Visitor, page: &str) -> Page {
        let page = visitor.open(page);
        visitor.press(&page.form("Sign in"), "Sign in", &[("user", &self.name), ("password", PASSWORD)])
    }

    /// What the gate keeps of this person's living API keys.
    pub(crate) fn api_keys(&self) -> Vec<Value> {
        let tokens: Vec<Value> = self.gate.command(&["token", "list", "acme", "--json"]);
        let name = format!("api-key {} ", self.name);
        tokens
            .into_iter()
            .filter(|token| token["name"].as_str().is_some_and(|own| own.starts_with(&name)))
            .collect()
    }
}

#[test]
fn person_logs_in_and_is_known() {
    let gate = gate::people();
    let person = Person::seated(&gate, "ada");
    person.log_in();

    person.anaconda(&["auth", "whoami"]).succeeded().says("\"username\": \"ada\"").says("ada@example.org");
    let key = person.anaconda(&["auth", "api-key"]).succeeded().out.trim().to_owned();
    assert_eq!(key.split('.').count(), 3, "a JWT");
    let keys = person.api_keys();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!(
        keys[0]["scopes"],
        serde_json::json!(["conda:download"]),
        "what `repo:read` means, and no more"
    );
    assert!(!gate.log().contains(&key), "the gate's log holds an API key");
}

#[test]
fn code_that_is_typed_serves_as_well_as_the_link() {
    let gate = gate::people();
    let person = Person::seated(&gate, "grace");
    let login = Login::begin(&person, &["auth", "login"]);
    let mut visitor = person.visitor();
    person.sign_in(&mut visitor, &format!("{}/sign-in", gate.origin));
    let page = visitor.open(&format!("{}/device", gate.origin));
    // As people type: small, without the hyphen.
    let typed = login.code.to_lowercase().replace('-', " ");
    let page = visitor.press(&page.form("Continue"), "Continue", &[("user_code", &typed)]);
    assert!(page.text().contains(&login.code) && page.text().contains("127.0.0.1"), "{}", page.text());
    let page = visitor.press(&page.form("Approve"), "Approve", &[]);
    assert!(page.text().contains("The device is connected"), "{}", page.text());
    login.end().succeeded();
}

#[test]
fn login_that_is_denied_says_so_and_leaves_nothing() {
    let gate = gate::people();
    let person = Person::seated(&gate, "mallory");
    let login = Login::begin(&person, &["auth", "login"]);
    let mut visitor = person.visitor();
    let page = person.sign_in(&mut visitor, &login.page);
    let page = visitor.press(&page.form("Deny"), "Deny", &[]);
    assert!(page.text().contains("The request was denied"), "{}", page.text());
    login.end().failed().says("DeviceFlowDenied: User denied authorization");
    assert!(person.api_keys().is_empty());
    person.anaconda(&["auth", "api-key"]).failed();
}

#[test]
fn second_login_replaces_the_key_on_this_machine_and_logout_forgets_it() {
    let gate = gate::people();
    let person = Person::seated(&gate, "twice");
    person.log_in();
    let key = || person.anaconda(&["auth", "api-key"]).succeeded().out;
    let first = key();
    let login = Login::begin(&person, &["auth", "login", "--force"]);
    let mut visitor = person.visitor();
    let page = person.sign_in(&mut visitor, &login.page);
    visitor.press(&page.form("Approve"), "Approve", &[]);
    login.end().succeeded();
    assert_ne!(first, key());
    person.anaconda(&["auth", "logout"]).succeeded();
    person.anaconda(&["auth", "api-key"]).failed().says("TokenNotFoundError");
}
