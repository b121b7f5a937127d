//! anaconda-client: `anaconda auth --create/--list/--remove/--info/--list-scopes`, `anaconda org login|whoami|logout`, `anaconda download`.

use std::fs;

use serde_json::Value;

use super::person::{PASSWORD, Person};
use super::token_install::status;
use crate::gate::{self, Gate};

/// A person who is logged in, whose anaconda-client knows the gate.
fn ready<'g>(gate: &'g Gate, name: &str) -> Person<'g> {
    let person = Person::seated(gate, name);
    person.log_in();
    person.configure_client();
    person
}

/// The token that is printed with nothing behind it.
fn printed(out: &str) -> String {
    let token = out.lines().last().unwrap();
    assert!(token.starts_with("cg-") && out.ends_with(token), "{out:?}");
    token.to_owned()
}

fn record(gate: &Gate, value: &str) -> Value {
    serde_json::from_slice(&gate.run_with(&["token", "verify", "--json"], value)).unwrap()
}

#[test]
fn token_is_created_listed_described_and_removed() {
    let gate = gate::people();
    let person = ready(&gate, "creates");
    let scopes = ["--scopes", "repos conda:download", "--max-age", "864000"];
    let create = |name: &str| person.anaconda(&[&["auth", "--create", "--name", name], &scopes[..]].concat());
    let token = printed(&create("a b:c@d/e").succeeded().out);
    assert_eq!(status(&person, &token), 200);
    let made = record(&gate, &token);
    assert_eq!((&made["user"], &made["org"]), (&"creates".into(), &"acme".into()), "{made}");
    assert_eq!(made["scopes"], serde_json::json!(["repos", "conda:download"]));
    assert!(!gate.log().contains(&token), "the gate's log holds a token");

    create("a b:c@d/e").failed().says("UserError: ('").says("a b:c@d/e").says_no(&token);

    let as_token = [("ANACONDA_API_TOKEN", token.as_str())];
    let listed = person.anaconda_with(&as_token, &["auth", "--list"]).succeeded();
    listed.says("a b:c@d/e").says("9 days").says("conda:download").says_no(&token);
    let described = person.anaconda_with(&as_token, &["auth", "--info"]).succeeded();
    described.says("Name: a b:c@d/e").says(made["id"].as_str().unwrap());

    person
        .anaconda_with(&as_token, &["auth", "--remove", "no such"])
        .failed()
        .says("NotFound: ('")
        .says("no such");
    let removed = person.anaconda_with(&as_token, &["auth", "--remove", "a b:c@d/e"]).succeeded();
    removed.says("Removed token a b:c@d/e");
    assert_eq!(status(&person, &token), 401, "at once");
    person.anaconda_with(&as_token, &["auth", "--list"]).failed().says("Unauthorized: ('").says("revoked");
}

#[test]
fn token_for_an_organization_goes_into_a_file() {
    let gate = gate::people();
    let person = ready(&gate, "files");
    let create =
        ["org", "auth", "--create", "--name", "ci", "-o", "acme", "--scopes", "repos", "--out", "token.txt"];
    person.anaconda(&create).succeeded();
    let token = fs::read_to_string(person.path("token.txt")).unwrap();
    assert_eq!(status(&person, &token), 200);
    let remove = ["org", "auth", "--remove", "ci", "-o", "acme"];
    person.anaconda_with(&[("ANACONDA_API_TOKEN", &token)], &remove).succeeded();
    assert_eq!(status(&person, &token), 401);
}

#[test]
fn rights_that_a_person_lacks_are_not_given() {
    let gate = gate::people();
    let person = ready(&gate, "wants");
    for scope in ["api:write", "all"] {
        let said =
            person.anaconda(&["org", "auth", "--create", "--name", "more", "--scopes", scope]).failed();
        said.says("', 403)").says(scope);
    }
    person
        .anaconda(&["org", "auth", "--create", "--name", "odd", "--scopes", "nosuch"])
        .failed()
        .says("', 422)")
        .says("nosuch");
    let said = person
        .anaconda(&["org", "auth", "--create", "--name", "x", "-o", "nosuch", "--scopes", "repos"])
        .failed();
    said.says("', 403)").says("nosuch");
}

#[test]
fn scopes_are_listed_to_everybody() {
    let gate = gate::people();
    let person = Person::stranger(&gate, "asks");
    person.configure_client();
    let listed = person.anaconda(&["auth", "--list-scopes"]).succeeded();
    listed.says("conda:download").says("repos").says("api:write");
}

#[test]
fn org_login_leaves_a_token_that_conda_finds_and_logout_ends_it() {
    let gate = gate::people();
    let person = ready(&gate, "orglogin");
    person.anaconda(&["org", "login"]).succeeded().says("login successful");
    person.anaconda(&["org", "whoami"]).succeeded().says("Username: orglogin");
    let file = person.path(&format!(
        ".config/binstar/{}.token",
        gate.origin.replace("://", "%3A%2F%2F").replace(':', "%3A")
    ));
    let token = fs::read_to_string(file).unwrap();
    assert_eq!(status(&person, &token), 200);
    // With it a token is made without scopes: its own rights, which are not the admin API's.
    let said = person.anaconda(&["org", "auth", "--create", "--name", "mine"]).succeeded();
    said.says("This token will grant full access to orglogin's account");
    let full = printed(&said.out);
    assert_eq!(record(&gate, &full)["scopes"], serde_json::json!(["repos"]));

    // Again: the one before ends, and the person is asked.
    let said = person.at_a_terminal(&["org", "login"], &[("Would you like to continue", "y")]).succeeded();
    said.says("login successful");
    assert_eq!(status(&person, &token), 401);

    person.anaconda(&["org", "logout"]).succeeded().says("logout successful");
    assert_eq!(person.files_with("cg-"), Vec::<String>::new(), "no token is left on the machine");
    person.anaconda(&["org", "whoami"]).succeeded().says("Anonymous User");
    assert_eq!(status(&person, &full), 200, "only the token of this login ends");
}

#[test]
fn org_login_by_password_works_and_a_wrong_one_is_refused() {
    let gate = Gate::with_people("", &gate::fixtures());
    let person = Person::seated(&gate, "bypassword");
    person.configure_client();
    let login = |password: &str| {
        ["org", "login", "--username", "bypassword", "--password", password].map(str::to_owned)
    };
    let words = login("wrong wrong wrong");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // Asked twice more, then it gives up.
    let again = ("Password: ", "wrong again and again");
    let said = person.at_a_terminal(&words, &[again, again]).failed();
    said.says("Invalid Username password combination, please try again").says("Sorry. Please try again");

    let words = login(PASSWORD);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    person.anaconda(&words).succeeded().says("login successful");
    person.anaconda(&["org", "whoami"]).succeeded().says("Username: bypassword");
    // The same machine again: its token has to be replaced, and the person is asked.
    let said = person.at_a_terminal(&words, &[("Would you like to continue", "y")]).succeeded();
    said.says("It appears you are already logged in from host").says("login successful");
    assert!(!gate.log().contains(PASSWORD), "the gate's log holds a password");
}

#[test]
fn package_is_downloaded_as_the_channel_has_it() {
    let gate = gate::people();
    let person = ready(&gate, "downloads");
    person.anaconda(&["org", "login"]).succeeded();
    let said = person.anaconda(&["download", "repo/main/tinyapp"]).succeeded();
    said.says("repo/main/tinyapp has been downloaded as");
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/channel/linux-64");
    let name = "tinyapp-2.0-0.conda";
    let found =
        [person.path(name), person.path("linux-64").join(name)].into_iter().find(|path| path.exists());
    assert_eq!(fs::read(found.unwrap()).unwrap(), fs::read(fixtures.join(name)).unwrap());
    person.anaconda(&["download", "repo/main/nosuch"]).succeeded().says("', 404)").says("nosuch");
}
