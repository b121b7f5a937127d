//! The tools alone: that they are the ones that are meant, and that a machine of these tests is one of its own.

use super::person::Person;
use crate::gate;

#[test]
fn tools_are_those_that_are_pinned() {
    let gate = gate::tls();
    let person = Person::stranger(&gate, "nobody");
    person.anaconda(&["auth", "--version"]).succeeded().says("anaconda-auth, version 0.15.3");
}

#[test]
fn machine_without_a_token_has_none() {
    let gate = gate::tls();
    let person = Person::stranger(&gate, "nobody");
    person
        .anaconda(&["token", "list"])
        .failed()
        .says("No repo tokens are installed. Run anaconda token install.");
    person.anaconda(&["org", "whoami"]).succeeded().says("Anonymous User");
}
