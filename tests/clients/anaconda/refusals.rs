//! What people read when they are refused: the exact words, as the tools show them.

use std::process::Command;

use super::login::Login;
use super::person::{PASSWORD, Person};
use super::token_install::{listed, status};
use super::visitor::Page;
use crate::gate::{self, Gate};

const INSTALL: [&str; 5] = ["token", "install", "-y", "-o", "acme"];

#[test]
fn person_without_a_seat_is_told_so_before_anything_is_given() {
    let gate = gate::people();
    let person = Person::known(&gate, "seatless");
    let login = Login::begin(&person, &["auth", "login"]);
    let page = person.sign_in(&mut person.visitor(), &login.page);
    assert_eq!(page.status, 403);
    assert!(page.text().contains("You have no seat"), "{}", page.text());
}

#[test]
fn person_whose_seat_is_taken_away_is_told_so() {
    let gate = gate::people();
    let person = Person::seated(&gate, "leaver");
    person.log_in();
    person.anaconda(&INSTALL).succeeded();
    let token = listed(&person);
    gate.run(&["seat", "remove", "acme", "leaver", "--yes"]);
    person
        .anaconda(&INSTALL)
        .failed()
        .says("InvalidAuthentication: Your provided API Key or login token is invalid");
    assert_eq!(status(&person, &token), 401);
}

#[test]
fn organization_that_a_person_does_not_belong_to_is_refused_by_name() {
    let gate = gate::people();
    let person = Person::seated(&gate, "elsewhere");
    person.log_in();
    let said = person.anaconda(&["token", "install", "-y", "-o", "nosuch"]).failed();
    said.says("HTTPError: 403 Client Error: ").says("nosuch").says("seat").says_no("ValidationError");
}

#[test]
fn organization_whose_subscription_is_over_is_refused() {
    let gate = Gate::with_people("", &gate::fixtures());
    let person = Person::seated(&gate, "late");
    gate.run(&["org", "create", "over", "--title", "Over and Out"]);
    gate.run(&["seat", "assign", "over", "late"]);
    person.log_in();
    gate.run(&["org", "cancel", "over", "--yes"]);
    let said = person.anaconda(&["token", "install", "-y", "-o", "over"]).failed();
    said.says("HTTPError: 403 Client Error: ").says("subscription").says("over").says_no("ValidationError");
}

#[test]
fn unreachable_upstream_is_refused_before_the_old_token_dies() {
    // Nobody listens at port 1.
    let gate = Gate::with_people("", "http://127.0.0.1:1/main");
    let person = Person::seated(&gate, "unlucky");
    person.log_in();
    let old = String::from_utf8(gate.run(&["token", "issue", "acme", "--user", "unlucky"])).unwrap();
    let old = old.trim();
    let said = person.anaconda(&INSTALL).failed();
    said.says("HTTPError: 503 Server Error: ").says("repo/main").says_no("ValidationError");
    let reads = |channel: &str| {
        let url = format!("{}/t/{old}/{channel}/noarch/repodata.json", gate.origin);
        person.visitor().ask("GET", &url.parse().unwrap(), None).status
    };
    assert_eq!((reads("repo/r"), reads("repo/main")), (200, 503), "the old token lives on");
}

#[test]
fn channel_that_a_person_may_not_read_is_refused_before_the_old_token_dies() {
    let gate = Gate::with_people("", &gate::fixtures());
    let person = Person::seated(&gate, "outsider");
    person.log_in();
    person.anaconda(&INSTALL).succeeded();
    let old = listed(&person);
    // From now on only a group reads it, which the person is not in.
    gate.run(&["group", "create", "acme", "readers"]);
    gate.run(&["group", "grant", "acme", "readers", "repo/main"]);
    let said = person.anaconda(&INSTALL).failed();
    said.says("HTTPError: 403 Client Error: ").says("repo/main").says_no("ValidationError");
    let url = format!("{}/t/{old}/repo/r/noarch/repodata.json", gate.origin);
    assert_eq!(
        person.visitor().ask("GET", &url.parse().unwrap(), None).status,
        200,
        "the old token lives on"
    );
}

#[test]
fn tools_without_a_login_are_told_to_log_in() {
    let gate = gate::people();
    let person = Person::seated(&gate, "unknown");
    let said = person.anaconda(&INSTALL).failed();
    said.says("AuthenticationMissingError: Login is required to complete this action.");
    person.configure_client();
    let listed = person.anaconda(&["org", "auth", "--list"]).failed();
    listed.says("Unauthorized: ('");
}

#[test]
fn disabled_user_is_out_at_once() {
    let gate = gate::people();
    let person = Person::seated(&gate, "gone");
    person.log_in();
    let login = Login::begin(&person, &["auth", "login", "--force"]);
    let mut visitor = person.visitor();
    let page = person.sign_in(&mut visitor, &login.page);
    let approve = page.form("Approve");
    gate.run(&["user", "disable", "gone", "--yes"]);
    person
        .anaconda(&INSTALL)
        .failed()
        .says("InvalidAuthentication: Your provided API Key or login token is invalid");
    // The session is over, and so is the approval that was about to be given.
    let page = visitor.press(&approve, "Approve", &[]);
    let page = visitor.press(&page.form("Sign in"), "Sign in", &[("user", "gone"), ("password", PASSWORD)]);
    assert!(page.text().contains("There is a problem"), "{}", page.text());
    drop(login);
    gate.run(&["user", "enable", "gone"]);
    person.anaconda(&INSTALL).failed();
}

fn problem(page: &Page) -> String {
    let text = page.text();
    let (_, problem) = text.split_once("There is a problem").unwrap_or_else(|| panic!("{text}"));
    problem.to_owned()
}

#[test]
fn wrong_password_and_unknown_user_are_told_alike() {
    let gate = Gate::with_people("", &gate::fixtures());
    let person = Person::seated(&gate, "forgetful");
    let mut visitor = person.visitor();
    let mut answers = Vec::new();
    for user in ["forgetful", "nobody"] {
        let form = visitor.open(&format!("{}/sign-in", gate.origin)).form("Sign in");
        let page = visitor.press(&form, "Sign in", &[("user", user), ("password", "not this one at all")]);
        answers.push((page.status, problem(&page).replace(user, "USER")));
        assert!(!page.body.contains("not this one at all"), "the page holds the password");
    }
    assert_eq!(answers[0], answers[1]);
    assert!(!gate.log().contains("not this one at all"), "the gate's log holds a password");
}

#[test]
fn forms_of_another_site_are_refused() {
    let gate = gate::people();
    let person = Person::seated(&gate, "victim");
    let login = Login::begin(&person, &["auth", "login"]);
    let mut visitor = person.visitor();
    let approve = person.sign_in(&mut visitor, &login.page).form("Approve");

    // Without the proof, with a proof of another browser's, and from another origin.
    let mut without = approve.clone();
    without.fields.retain(|(name, _)| name != "proof");
    let mut others = approve.clone();
    let mut other = person.visitor();
    let proof = person.sign_in(&mut other, &login.page).form("Approve").value("proof").to_owned();
    others.fields.iter_mut().find(|(name, _)| name == "proof").unwrap().1 = proof;
    for form in [&without, &others] {
        assert_eq!(visitor.press_once(form, "Approve", &[]).status, 403);
    }
    visitor.headers = vec![("Origin", "https://evil.example".to_owned())];
    assert_eq!(visitor.press_once(&approve, "Approve", &[]).status, 403);
    visitor.headers = vec![("Sec-Fetch-Site", "cross-site".to_owned())];
    assert_eq!(visitor.press_once(&approve, "Approve", &[]).status, 403);
    visitor.headers.clear();

    let page = visitor.press(&approve, "Approve", &[]);
    assert!(page.text().contains("The device is connected"), "none of them answered it: {}", page.text());
    login.end().succeeded();
}

/// So that the tests of certificates do not pass for another reason.
#[test]
fn certificate_that_is_not_trusted_is_refused_by_the_tools() {
    let gate = gate::people();
    let person = Person::stranger(&gate, "careful");
    let nothing = person.path("nothing.pem");
    Command::new("cp").arg(gate::tls().authority.as_ref().unwrap()).arg(&nothing).status().unwrap();
    let other = nothing.to_str().unwrap();
    let variables = [("ANACONDA_AUTH_SSL_VERIFY", other), ("REQUESTS_CA_BUNDLE", other)];
    person.anaconda_with(&variables, &["auth", "login"]).failed().says("certificate verify failed");
}
