//! On a terminal, what cuts people off asks first.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::gate::fixture_channel;
use crate::support::process::Place;

/// Runs a command on a terminal of its own, and types each answer when its question has been shown.
fn dialogue(place: &Place, arguments: &[&str], answers: &[(&str, &str)]) -> (i32, String, String) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    let mut command = place.command(arguments);
    command.stdin(terminal.try_clone().unwrap()).stderr(terminal).stdout(Stdio::piped());
    let mut keyboard = File::from(keyboard);
    let child = command.spawn().unwrap();
    drop(command);
    let mut shown = String::new();
    let mut piece = [0; 1_024];
    let mut answers = answers.iter();
    let mut next = answers.next();
    while let Ok(read @ 1..) = keyboard.read(&mut piece) {
        shown.push_str(&String::from_utf8_lossy(&piece[..read]));
        if let Some((question, answer)) = next
            && shown.contains(question)
        {
            keyboard.write_all(answer.as_bytes()).unwrap();
            next = answers.next();
        }
    }
    assert!(next.is_none(), "it never asked {next:?}: {shown}");
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned(), shown)
}

#[test]
fn terminal_is_asked_twice_for_a_password_and_does_not_show_it() {
    let place = Place::new();
    let (first, again) = ("Password of user \"alice\":", "The same again:");
    let create = ["user", "create", "alice"];
    let (code, _, shown) =
        dialogue(&place, &create, &[(first, "one horse battery\n"), (again, "two horse battery\n")]);
    assert!(code == 1 && shown.contains("differ") && !shown.contains("battery"), "{shown}");
    let (code, _, shown) = dialogue(&place, &create, &[(first, "short\n")]);
    assert!(code == 64 && shown.contains("at least 12 characters") && !shown.contains("short\r"), "{shown}");
    assert!(place.must_json(&["user", "list"]).as_array().unwrap().is_empty());
    let typed = [(first, "one horse battery\n"), (again, "one horse battery\n")];
    let (code, out, shown) = dialogue(&place, &create, &typed);
    assert!(code == 0 && out.contains("alice") && !shown.contains("battery"), "{shown}");
    // Disabling cuts alice off, so it is asked for.
    let disable = ["user", "disable", "alice"];
    let (code, _, shown) = dialogue(&place, &disable, &[("Proceed?", "n\n")]);
    assert!(code == 1 && shown.contains("signed out"), "{shown}");
    assert_eq!(place.must_json(&["user", "show", "alice"])["state"], "active");
    let (code, _, _) = dialogue(&place, &disable, &[("Proceed?", "y\n")]);
    assert_eq!((code, &place.must_json(&["user", "show", "alice"])["state"]), (0, &"disabled".into()));
}

/// Runs a command on a terminal of its own, types `answer`, and returns the exit status, standard output, and what the terminal showed.
fn on_terminal(place: &Place, arguments: &[&str], answer: &str) -> (i32, String, String) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    let mut command = place.command(arguments);
    command.stdin(terminal.try_clone().unwrap()).stderr(terminal).stdout(Stdio::piped());
    let mut keyboard = File::from(keyboard);
    keyboard.write_all(answer.as_bytes()).unwrap();
    let child = command.spawn().unwrap();
    // The command holds the terminal's other end: without it, reading ends when the command has.
    drop(command);
    let mut shown = Vec::new();
    // A terminal that nobody holds any more is an error to read from, not an end.
    let _ = keyboard.read_to_end(&mut shown);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&shown))
}

#[test]
fn terminal_is_asked_before_anybody_is_cut_off() {
    let place = Place::new();
    place.must(&["org", "create", "default"]);
    let (_, id) = place.create_token("ci");
    let state = || place.must_json(&["token", "show", &id])["state"].as_str().unwrap().to_owned();
    let revoke = ["token", "revoke", &id];

    for answer in ["n\n", "\n", "what\n", "\u{4}"] {
        let (code, out, shown) = on_terminal(&place, &revoke, answer);
        assert_eq!((code, out.as_str()), (1, ""), "{answer:?}: {shown}");
        assert!(shown.contains("token \"ci\"") && shown.contains("Proceed? [y/N]"), "{shown}");
        assert!(shown.contains("nothing was changed"), "{shown}");
        assert_eq!(state(), "active", "{answer:?}");
    }
    let (code, _, shown) = on_terminal(&place, &revoke, "y\n");
    assert!(code == 0 && shown.contains("is revoked"), "{shown}");
    assert_eq!(state(), "revoked");

    let (code, first, shown) = on_terminal(&place, &["token", "issue", "default", "--site"], "");
    assert!(
        code == 0 && first.starts_with("cg-") && !shown.contains("Proceed"),
        "the first is not asked for: {shown}"
    );
    let (code, out, _) = on_terminal(&place, &["token", "issue", "default", "--site"], "n\n");
    assert_eq!((code, out.as_str()), (1, ""));
    let (code, second, shown) = on_terminal(&place, &["token", "issue", "default", "--site"], "yes\n");
    assert!(
        code == 0 && second.starts_with("cg-") && second != first && !shown.contains(second.trim()),
        "{shown}"
    );
    let (code, third, shown) = on_terminal(&place, &["token", "issue", "default", "--site", "--yes"], "");
    assert!(code == 0 && third != second && !shown.contains("Proceed"), "{shown}");
}

#[test]
fn terminal_is_told_what_to_paste() {
    let place = Place::new();
    let (code, out, shown) = on_terminal(&place, &["token", "verify"], "garbage\n");
    assert!(
        code == 0 && out.starts_with("unknown\n") && shown.contains("Paste the token's value"),
        "{shown}"
    );
}

#[test]
fn terminal_is_asked_before_another_machine_is_loaded_and_sees_how_far_it_is() {
    let place = Place::new();
    // An address for documentation; nothing is sent to it.
    let (code, out, shown) = on_terminal(&place, &["bench", "http://192.0.2.1/main"], "n\n");
    assert_eq!((code, out.as_str()), (1, ""), "{shown}");
    assert!(shown.contains("is not this machine") && shown.contains("Proceed? [y/N]"), "{shown}");
    assert!(shown.contains("nothing was sent"), "{shown}");
    let gate = place.serve();
    let url = format!("http://{}/open", gate.data);
    let bench = ["bench", &url, "--rate", "50", "--duration", "1s"];
    let (code, out, shown) = on_terminal(&place, &bench, "");
    assert!(code == 0 && out.contains("latency p99.9 "), "{out} {shown}");
    assert!(shown.contains("requests, ") && shown.contains("p99 ") && !shown.contains("Proceed"), "{shown}");
}

#[test]
fn terminal_sees_a_bar_and_a_pipe_sees_lines() {
    let place = Place::new();
    let enabled = std::fs::read_to_string(place.path("config/channelgate.toml")).unwrap();
    let enabled =
        enabled.replace("cache.enabled = false", "listen.public_url = \"https://conda.example.org\"");
    std::fs::write(place.path("config/channelgate.toml"), enabled).unwrap();
    let lock = fixture_channel().with_file_name("pixi.lock");
    let warm = ["cache", "warm", "--json", "--lockfile", lock.to_str().unwrap()];
    let (code, out, shown) = on_terminal(&place, &warm, "");
    assert!(code == 0 && out.contains("\"fetched\": 7"), "{out} {shown}");
    assert!(shown.contains("/5 files") && !shown.contains("fetched main/"), "{shown}");
    place.must(&["cache", "purge", "*.conda"]);
    let piped = place.run(&warm).expect(0, "warm");
    assert!(piped.err.contains("fetched main/") && !piped.err.contains("/5 files"), "{piped:?}");
}
