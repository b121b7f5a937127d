//! The admin API beside its own description: schemathesis asks all that the description allows and much that it does not, and checks every
//! answer against it.
//!
//! What it holds: no answer is the server's fault; statuses, types, headers and bodies are those described; what the description allows is
//! accepted and what it does not is refused; every operation asks for a token; what was made is there and what was removed is gone.

use std::path::Path;
use std::process::Command;

use crate::gate::Gate;
use crate::venv;

#[test]
fn api_is_what_its_description_says() {
    let gate = Gate::start(false);
    for command in [
        "org create acme --subscription-ends 2100-01-01",
        "seat assign acme alice",
        "group create acme dev",
        "group add acme dev alice",
        "group grant acme dev demo --yes",
        "token issue acme --site",
        "token issue acme --user alice",
    ] {
        gate.run(&command.split(' ').collect::<Vec<_>>());
    }
    // Of another organization, so that whatever is done to this one leaves it alone.
    let operator = gate.create_operator_token("schemathesis");
    let directory = tempfile::tempdir().unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/schemathesis.toml");
    let output = Command::new(venv::schemathesis())
        .arg("--config-file")
        .arg(config)
        .args(["run", &format!("{}/api/v1/openapi.json", gate.admin)])
        .args(["--header", &format!("Authorization: Bearer {}", operator.value)])
        .args(["--generation-deterministic", "--workers", "1", "--max-examples", EXAMPLES, "--no-color"])
        .current_dir(directory.path())
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let log = gate.log();
    let troubles: Vec<_> = log.lines().filter(|line| !line.contains(" INFO ")).collect();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{words}\nthe gate: {troubles:#?}", output.status);
    assert!(!said.contains(&operator.value) && !log.contains(&operator.value), "a token was printed");

    // It was let in until the end, and did something.
    let audit: Vec<serde_json::Value> = gate.command(&["audit", "--json"]);
    let actor = format!("token:{}", operator.id);
    for action in ["org.create", "seat.assign", "token.create", "token.issue", "group.grant"] {
        let by_it = |record: &&serde_json::Value| record["actor"] == *actor && record["action"] == action;
        assert!(audit.iter().any(|record| by_it(&record)), "it never came to {action}");
    }
    let shown: serde_json::Value = gate.command(&["token", "show", &operator.id, "--json"]);
    assert_eq!(shown["state"], "active");
}

/// Of each operation; the whole run is to take some 30 s.
const EXAMPLES: &str = "20";
