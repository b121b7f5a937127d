//! `anaconda token install` in all its variants, `token list`, `token uninstall`; and the audit's one trail.

use serde_json::Value;

use super::person::{Person, Said};
use crate::gate::{self, Gate};

/// What conda reads afterwards, as `anaconda token install` writes it.
fn default_channels(person: &Person<'_>) -> Vec<String> {
    let condarc = std::fs::read_to_string(person.path(".condarc")).unwrap_or_default();
    condarc.lines().filter_map(|line| line.strip_prefix("- ")).map(str::to_owned).collect()
}

/// The token that the machine keeps for `acme`, as `anaconda token list` prints it.
pub(crate) fn listed(person: &Person<'_>) -> String {
    let said = person.anaconda(&["token", "list"]).succeeded();
    let row = said.out.lines().find(|line| line.contains("│ acme")).unwrap_or_else(|| panic!("{said}"));
    row.split('│').map(str::trim).rfind(|cell| !cell.is_empty()).unwrap().to_owned()
}

/// What the gate says of a token's value.
fn verdict(gate: &Gate, value: &str) -> Value {
    serde_json::from_slice(&gate.run_with(&["token", "verify", "--json"], value)).unwrap()
}

/// The status of the HEAD by which the tool tries a token.
pub(crate) fn status(person: &Person<'_>, token: &str) -> u16 {
    let url = format!("{}/t/{token}/repo/main/noarch/repodata.json", person.gate.origin);
    person.visitor().ask("HEAD", &url.parse().unwrap(), None).status
}

fn installs(said: &Said) {
    said.says("Your conda token has been installed and expires 9999-12-31 00:00:00+00:00.");
    said.says("Success! Your token has been installed and validated");
}

#[test]
fn token_is_installed_for_the_only_organization_and_configures_conda() {
    let gate = gate::people();
    let person = Person::seated(&gate, "installs");
    person.log_in();
    let said = person.anaconda(&["token", "install", "-y"]).succeeded();
    said.says("Only one organization found, automatically selecting: acme")
        .says("and conda has been configured");
    installs(&said);
    let channels = ["main", "r", "msys2"].map(|name| format!("{}/repo/{name}", gate.origin));
    assert_eq!(default_channels(&person), channels);

    let token = listed(&person);
    assert_eq!(status(&person, &token), 200);
    assert!(!gate.log().contains(&token), "the gate's log holds a token");
    let record = verdict(&gate, &token);
    assert_eq!((&record["kind"], &record["user"]), (&"individual".into(), &"installs".into()), "{record}");
    // One trail: what the command line would have written, but for who did it.
    let audit: Vec<Value> = gate.command(&["audit", "--org", "acme", "--json"]);
    let issued = audit.iter().find(|entry| entry["target"] == record["id"]).unwrap();
    assert_eq!(
        (&issued["action"], &issued["actor"]),
        (&"token.issue".into(), &"user:installs".into()),
        "{issued}"
    );
}

#[test]
fn organization_that_is_named_is_not_asked_for() {
    let gate = gate::people();
    let person = Person::seated(&gate, "names");
    person.log_in();
    let said =
        person.anaconda(&["token", "install", "-y", "-o", "acme", "--no-set-default-channels"]).succeeded();
    said.says_no("automatically selecting");
    installs(&said);
    assert_eq!(default_channels(&person), Vec::<String>::new());
    assert_eq!(status(&person, &listed(&person)), 200);
}

#[test]
fn person_in_two_organizations_chooses_one() {
    let gate = Gate::with_people("", &gate::fixtures());
    gate.run(&["org", "create", "other", "--title", "Another Org"]);
    let person = Person::seated(&gate, "chooses");
    gate.run(&["seat", "assign", "other", "chooses"]);
    person.log_in();
    // The list begins with either; the first is taken.
    let install = ["token", "install", "-y"];
    let said = person.at_a_menu(&install, &[("Please select an organization:", "")]);
    said.succeeded().says("Success! Your token has been installed and validated");
    let listed = person.anaconda(&["token", "list"]).succeeded();
    assert!(listed.out.contains("│ acme") != listed.out.contains("│ other"), "{listed}");
}

#[test]
fn token_that_is_given_is_only_tried() {
    let gate = gate::people();
    let person = Person::stranger(&gate, "given");
    gate.run(&["seat", "assign", "acme", "given"]);
    let token = gate.run(&["token", "issue", "acme", "--user", "given"]);
    let token = String::from_utf8(token).unwrap().trim().to_owned();
    // Neither needs to be logged in for that, nor known to the gate as a user.
    let said = person.anaconda(&["token", "install", &token, "-o", "acme", "-y"]).succeeded();
    said.says("Success!").says_no("expires");
    assert_eq!(listed(&person), token);
    assert_eq!(verdict(&gate, &token)["state"], "active", "it was not issued again");

    let unknown = "cg-0000000000000000000000000000000000canary";
    person.anaconda(&["token", "install", unknown, "-o", "acme", "-y"]).failed().says("Aborted.");
    assert_eq!(listed(&person), token, "the one before is still there");
}

#[test]
fn reissue_is_asked_for_and_done_only_on_yes() {
    let gate = gate::people();
    let person = Person::seated(&gate, "reissues");
    person.log_in();
    person.anaconda(&["token", "install", "-y", "-o", "acme"]).succeeded();
    let first = listed(&person);

    let install = ["token", "install", "-o", "acme"];
    let said = person.at_a_terminal(&install, &[("Proceed? [y/n]", "n")]).failed();
    said.says("An existing token already exists for the organization acme.").says("Aborted.");
    assert_eq!(listed(&person), first);
    assert_eq!(status(&person, &first), 200, "nothing was revoked");

    let said = person.at_a_terminal(&install, &[("Proceed? [y/n]", "y")]).succeeded();
    installs(&said);
    let second = listed(&person);
    assert_ne!(second, first);
    assert_eq!((status(&person, &first), status(&person, &second)), (401, 200));
    assert_eq!(verdict(&gate, &first)["state"], "replaced");
}

#[test]
fn token_is_uninstalled_on_the_machine_alone() {
    let gate = gate::people();
    let person = Person::seated(&gate, "leaves");
    person.log_in();
    person.anaconda(&["token", "install", "-y", "-o", "acme"]).succeeded();
    let token = listed(&person);
    person
        .anaconda(&["token", "uninstall", "-o", "acme"])
        .succeeded()
        .says("Successfully deleted token for organization: acme");
    person.anaconda(&["token", "list"]).failed().says("No repo tokens are installed.");
    assert_eq!(status(&person, &token), 200, "the gate was not told");
}
