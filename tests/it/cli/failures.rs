//! What the machine refuses: one sentence that names the thing, exit status 1, nothing lost.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::process::Stdio;

use crate::support::process::{Done, Place};

/// What `serve` and a command say, which must be the same refusal.
fn refused(place: &Place, words: &[&str]) {
    for command in [&["serve"][..], &["org", "list"]] {
        let Done { out, err, .. } = place.run(command).expect(1, command);
        for word in words {
            assert!(err.contains(word), "{command:?}: {word:?} is not in {err:?}");
        }
        let last_cause = err.trim_end().rsplit(": ").next().unwrap();
        assert_eq!(err.matches(last_cause).count(), 1, "said twice: {err:?}");
        assert!(out.is_empty() && !err.contains("panicked"), "{command:?}: {err}");
    }
}

#[test]
fn data_directory_that_cannot_be_made_is_named() {
    let place = Place::with("data_dir = \"file/var\"");
    fs::write(place.path("file"), "").unwrap();
    refused(&place, &["file/var", "cannot be made", "Not a directory"]);

    // The store elsewhere, so that only the token has no place.
    let place = Place::with("data_dir = \"/proc/channelgate\"\nstore.url = \"sqlite:store/gate.db\"");
    let done = place.run(&["serve"]).expect(1, "a directory that cannot be made");
    assert!(
        done.err.contains("the data directory /proc/channelgate cannot be made; name another one"),
        "{done:?}"
    );
}

#[test]
fn damaged_store_is_refused_and_left_as_it_is() {
    let whole = {
        let place = Place::new();
        place.must(&["org", "create", "acme"]);
        for number in 0..20 {
            place.must(&["token", "create", "acme", "--name", &format!("t{number}"), "--scopes", "repos"]);
        }
        fs::read(place.path("var/channelgate.db")).unwrap()
    };
    let mut scribbled = whole.clone();
    scribbled[..16].copy_from_slice(b"not SQLite at al");
    for (name, content, word) in [
        ("garbage", vec![b'x'; 10_000], "damaged"),
        ("truncated", whole[..whole.len() / 2].to_vec(), "damaged"),
        ("empty", Vec::new(), "damaged"),
        ("scribbled on", scribbled, "damaged"),
    ] {
        let place = Place::new();
        fs::create_dir(place.path("var")).unwrap();
        let file = place.path("var/channelgate.db");
        fs::write(&file, &content).unwrap();
        refused(&place, &[file.to_str().unwrap(), word, "restore it from a backup"]);
        assert_eq!(fs::read(&file).unwrap(), content, "{name}: it was changed");
    }
}

#[test]
fn store_that_is_no_file_or_not_ours_is_refused() {
    let place = Place::new();
    fs::create_dir_all(place.path("var/channelgate.db")).unwrap();
    refused(&place, &["var/channelgate.db", "is not a file"]);
    let place = Place::with("store.url = \"sqlite:/dev/null\"");
    refused(&place, &["/dev/null", "is not a file"]);
}

#[test]
fn port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for key in ["CHANNELGATE_LISTEN__ADDRESS", "CHANNELGATE_ADMIN__ADDRESS"] {
        let place = Place::new();
        let output = place.command(&["serve"]).env(key, &address).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.contains(&address) && words.contains("in use"), "{words}");
        assert!(!words.contains("channelgate ready"), "{words}");
    }
}

#[test]
fn reader_that_leaves_is_no_failure_but_a_lost_token_is() {
    let place = Place::new();
    place.must(&["org", "create", "default"]);
    let without_reader = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place.command(arguments).stdout(writer).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for arguments in [
        &["version"][..],
        &["check"],
        &["org", "list"],
        &["token", "list", "default", "--json"],
        &["explain", "/main"],
    ] {
        assert_eq!(without_reader(arguments), (0, String::new()), "{arguments:?}");
    }
    let create = ["token", "create", "default", "--scopes", "repos", "--name"];
    let (code, words) = without_reader(&[&create[..], &["piped"]].concat());
    assert!(code == 1 && words.contains("is lost") && words.contains("channelgate token revoke "), "{words}");

    let full = |arguments: &[&str]| {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = place.command(arguments).stdout(Stdio::from(full)).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for arguments in [&["version"][..], &["check"], &["org", "list"]] {
        let (code, words) = full(arguments);
        assert!(
            code == 1 && words.contains("standard output cannot be written to: No space left"),
            "{words}"
        );
    }
    let (code, words) = full(&[&create[..], &["full"]].concat());
    assert!(code == 1 && words.contains("is lost") && words.contains("No space left"), "{words}");
}

#[test]
fn command_without_standard_error_still_does_its_work() {
    let place = Place::new();
    place.must(&["org", "create", "default"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = place
        .command(&["token", "import", "default", "--name", "x", "--scopes", "repos", "--channels", "none"])
        .stdin(Stdio::piped())
        .stderr(writer)
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"01234567890123456789\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(place.must_json(&["token", "list", "default"])[0]["name"], "x");
}
