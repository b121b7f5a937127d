//! People on the command line: who signs in, and what the start of a gate needs for it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use channelgate::store::{self, Store};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::process::{Place, Process};

const PASSWORD: &str = "four words are enough";

#[test]
fn user_is_created_shown_disabled_and_enabled() {
    let place = Place::new();
    place.must(&["org", "create", "acme"]);
    let create = ["user", "create", "alice", "--email", "alice@example.org", "--json"];
    let done = place.run_with(&create, &format!("{PASSWORD}\n")).expect(0, "create");
    assert!(done.err.contains("has no seat yet") && done.err.contains("`channelgate seat assign ORG alice`"));
    let alice = done.json();
    assert_eq!(
        (&alice["name"], &alice["email"], &alice["has_password"], &alice["state"], &alice["disabled_at"]),
        (&"alice".into(), &"alice@example.org".into(), &true.into(), &"active".into(), &Value::Null)
    );
    place.must(&["seat", "assign", "acme", "alice", "--role", "admin"]);
    place.must(&["seat", "assign", "acme", "bob"]);
    let done = place.run(&["user", "create", "bob", "--no-password"]).expect(0, "no password is asked for");
    assert!(done.err.is_empty() && done.out.contains("password  no\n"), "{done:?}");
    let shown = place.must_json(&["user", "show", "alice"]);
    assert_eq!((&shown["seats"][0]["org"], &shown["seats"][0]["role"]), (&"acme".into(), &"admin".into()));
    assert_eq!(shown["identities"], json!([]));
    assert!(place.must(&["user", "show", "alice"]).contains("acme (admin)"));
    let listed = place.must(&["user", "list"]);
    assert!(
        listed.starts_with("USER") && listed.contains("alice@example.org") && listed.contains("bob"),
        "{listed}"
    );
    let names = place.must_json(&["user", "list"]);
    assert_eq!((&names[0]["name"], &names[1]["name"]), (&"alice".into(), &"bob".into()));

    let disable = ["user", "disable", "alice"];
    let done = place.run(&disable).expect(64, "nobody can be asked");
    assert!(done.err.contains("will stop working at once") && done.err.contains("--yes"), "{done:?}");
    let disabled = place.must_json(&[&disable[..], &["--yes"]].concat());
    assert_eq!((&disabled["state"], &disabled["tokens_ended"]), (&"disabled".into(), &json!([])));
    let again = place.must_json(&disable);
    assert_eq!(again["disabled_at"], disabled["disabled_at"], "there is nothing to ask");
    let done = place.run(&["token", "issue", "acme", "--user", "alice"]).expect(1, "disabled");
    assert!(done.err.contains("`channelgate user enable alice`"), "{done:?}");
    assert_eq!(place.must_json(&["user", "enable", "alice"])["state"], "active");
    place.must(&["token", "issue", "acme", "--user", "alice"]);
    place.must(&["user", "unbind", "alice"]);

    let actions: Vec<_> = place
        .must_json(&["audit"])
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["action"].clone())
        .collect();
    let of_users: Vec<_> =
        actions.iter().filter_map(Value::as_str).filter(|action| action.starts_with("user.")).collect();
    assert_eq!(of_users, ["user.create", "user.create", "user.disable", "user.enable"]);
    assert!(place.must(&["audit", "verify"]).contains("intact"));
}

#[test]
fn passwords_are_checked_and_kept_as_hashes_only() {
    let place = Place::new();
    let token = {
        place.must(&["org", "create", "default"]);
        place.create_token("ci").0
    };
    let create = ["user", "create", "alice"];
    for (input, problem) in [
        ("", "a password is expected"),
        ("short\n", "at least 12 characters"),
        (&*format!("{}\n", "x".repeat(300)), "at most 256 characters"),
        ("with\ta tabulator\n", "control characters"),
        (&*format!("{token}\n"), "a token is no password"),
    ] {
        let done = place.run_with(&create, input).expect(64, problem);
        assert!(done.err.contains(problem) && !done.err.contains(&token), "{done:?}");
    }
    for bad in [["user", "create", "no body"], ["user", "create", "-"]] {
        place.run(&bad).expect(64, bad);
    }
    place.run(&["user", "create", "alice", "--email", "nowhere"]).expect(64, "no address");
    for unknown in [
        ["user", "show", "alice"],
        ["user", "set-password", "alice"],
        ["user", "disable", "alice"],
        ["user", "enable", "alice"],
        ["user", "unbind", "alice"],
    ] {
        let done = place.run(&unknown).expect(1, unknown);
        assert!(done.err.contains("there is no user \"alice\""), "{done:?}");
    }
    place.run_with(&create, &format!(" {PASSWORD}\r\n")).expect(0, "a password with a space before it");
    let done = place.run_with(&create, &format!("{PASSWORD}\n")).expect(1, "twice");
    assert!(done.err.contains("there is a user \"alice\" already"), "{done:?}");
    let before = stored_hash(&place);
    assert!(before.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !before.contains(PASSWORD), "{before}");
    place.run_with(&["user", "set-password", "alice"], &format!("another {PASSWORD}\n")).expect(0, "set");
    assert_ne!(stored_hash(&place), before);
    for shown in [place.must(&["user", "show", "alice"]), place.must(&["audit", "--json"])] {
        assert!(!shown.contains("argon2") && !shown.contains(PASSWORD), "{shown}");
    }
}

/// What is kept of alice's password.
fn stored_hash(place: &Place) -> String {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let url = format!("sqlite:{}", place.path("var/channelgate.db").display());
        let store = Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap();
        let (_, hash) = store.password_of("alice").await.unwrap().unwrap();
        store.close().await;
        hash.unwrap().as_str().to_owned()
    })
}

fn stop(gate: Process) {
    gate.signal(Signal::TERM);
    gate.ended().expect(0, "stop");
}

#[test]
fn gate_makes_its_secret_and_serves_channels_without_one() {
    let place = Place::new();
    let secret = place.path("var/sign-in-secret");
    let gate = place.serve();
    let first = fs::read_to_string(&secret).unwrap();
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!gate.words().contains("nobody can sign in"), "{}", gate.words());
    stop(gate);
    let gate = place.serve();
    assert_eq!(fs::read_to_string(&secret).unwrap(), first);
    stop(gate);

    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let gate = place.serve();
    let words = gate.words();
    assert!(words.contains("nobody can sign in") && words.contains("chmod 600"), "{words}");
    assert!(!words.contains(first.trim()), "{words}");
    stop(gate);

    fs::remove_file(&secret).unwrap();
    place.configure("sign_in.password = false\n");
    let gate = place.serve();
    stop(gate);
    assert!(!secret.exists(), "nobody signs in, so there is nothing to keep secret");
}
