//! What is typed wrongly: exit status 64, nothing on standard output, and words that name the mistake and the way out.

use crate::support::process::Place;

const UNKNOWN_ID: &str = "00000000-0000-4000-8000-000000000000";

const COMMANDS: &[&[&str]] = &[
    &["serve"],
    &["check"],
    &["version"],
    &["org", "create", "x"],
    &["org", "list"],
    &["org", "show", "x"],
    &["org", "renew", "x", "--until", "2100-01-01"],
    &["org", "cancel", "x"],
    &["seat", "assign", "x", "y"],
    &["seat", "remove", "x", "y"],
    &["seat", "list", "x"],
    &["group", "create", "x", "y"],
    &["group", "list", "x"],
    &["group", "add", "x", "y", "z"],
    &["group", "remove", "x", "y", "z"],
    &["group", "grant", "x", "y", "z"],
    &["group", "ungrant", "x", "y", "z"],
    &["group", "unrestrict", "x", "z"],
    &["audit"],
    &["audit", "verify"],
    &["completions", "bash"],
    &["token", "issue", "x", "--site"],
    &["token", "create", "x", "--name", "x", "--scopes", "repos"],
    &["token", "sync", "x"],
    &["token", "list", "x"],
    &["token", "show", UNKNOWN_ID],
    &["token", "revoke", UNKNOWN_ID],
    &["token", "import", "x", "--name", "x", "--scopes", "repos"],
    &["token", "verify"],
    &["explain", "/x"],
    &["bench", "http://127.0.0.1:1/x"],
    &["cache", "list"],
    &["cache", "stats"],
    &["cache", "purge", "--everything"],
    &["cache", "scrub"],
    &["cache", "export", "x"],
    &["cache", "import", "x"],
    &["cache", "warm", "--lockfile", "x"],
    &["index", "show", "x"],
    &["index", "refresh", "x"],
];

/// Commands that have commands.
const GROUPS: &[&str] = &["org", "seat", "token", "group", "audit", "cache", "index"];

#[test]
fn help_of_every_command_has_an_example_or_no_arguments() {
    let place = Place::empty();
    for command in COMMANDS {
        let words: Vec<&str> =
            command.iter().copied().take(if GROUPS.contains(&command[0]) { 2 } else { 1 }).collect();
        let done = place.run(&[&words[..], &["--help"]].concat()).expect(0, command);
        assert!(done.err.is_empty() && done.out.contains("Usage: channelgate"), "{command:?}: {done:?}");
        let is_plain = ["version", "list", "show"].contains(words.last().unwrap());
        assert!(is_plain || done.out.contains("Example"), "{command:?}: {}", done.out);
        if !matches!(words[..], ["serve" | "completions"]) {
            assert!(done.out.contains("--json"), "{command:?}");
        }
        assert!(done.out.contains("--yes"), "{command:?}");
    }
    assert!(place.run(&["--version"]).expect(0, "version").out.starts_with("channelgate "));
}

#[test]
fn unknown_flag_of_every_command_is_bad_usage() {
    let place = Place::new();
    for &command in COMMANDS {
        let done = place.run(&[command, &["--nonsense"][..]].concat()).expect(64, command);
        assert!(done.err.contains("unexpected argument '--nonsense'") && done.out.is_empty(), "{done:?}");
    }
    assert!(!place.path("var").exists(), "nothing was touched");
}

#[test]
fn mistakes_are_named_with_the_way_out() {
    let place = Place::new();
    place.must(&["org", "create", "default"]);
    place.must(&["org", "create", "acme"]);
    place.must(&["token", "create", "acme", "--name", "ci", "--scopes", "repos"]);
    let create = |rest: &[&'static str]| [&["token", "create", "acme", "--name", "new"], rest].concat();
    let import = || vec!["token", "import", "acme", "--name", "new", "--scopes", "repos"];
    let cg = "cg-00000000000000000000000000000000000000";
    for (name, arguments, input, code, words) in [
        ("nothing", vec![], "", 64, "Usage: channelgate"),
        ("half a command", vec!["token"], "", 64, "Usage: channelgate token"),
        ("no such command", vec!["tokn"], "", 64, "a similar subcommand exists: 'token'"),
        (
            "bad name",
            vec!["org", "create", "Acme!"],
            "",
            64,
            "cannot be an organization's name: it must match",
        ),
        (
            "bad date",
            vec!["org", "create", "x", "--subscription-ends", "soon"],
            "",
            64,
            "is not a date (2027-01-31)",
        ),
        ("twice", vec!["org", "create", "acme"], "", 1, "\"acme\" already; choose another name"),
        (
            "no organization",
            vec!["org", "show", "none"],
            "",
            1,
            "no organization \"none\"; `channelgate org list`",
        ),
        (
            "no organization to issue",
            vec!["token", "issue", "none", "--site"],
            "",
            1,
            "no organization \"none\"",
        ),
        ("no organization to list", vec!["token", "list", "none"], "", 1, "no organization \"none\""),
        ("issue what", vec!["token", "issue", "acme"], "", 64, "--site"),
        (
            "bad grace",
            vec!["token", "issue", "acme", "--site", "--grace", "x"],
            "",
            64,
            "is not a duration such as",
        ),
        ("no scopes", create(&[]), "", 64, "--scopes"),
        (
            "bad scope",
            create(&["--scopes", "write"]),
            "",
            64,
            "\"write\" is not a scope; the scopes are all, repos,",
        ),
        (
            "two ends",
            create(&["--scopes", "repos", "--expires-in", "1d", "--expires-at", "2100-01-01"]),
            "",
            64,
            "cannot be used with",
        ),
        (
            "past end",
            create(&["--scopes", "repos", "--expires-at", "2020-01-01"]),
            "",
            64,
            "2020-01-01T00:00:00Z, which has passed",
        ),
        (
            "bad channel",
            create(&["--scopes", "repos", "--channels", "Main"]),
            "",
            64,
            "\"Main\" cannot be a channel's name",
        ),
        (
            "no channel",
            create(&["--scopes", "repos", "--channels", ""]),
            "",
            64,
            "cannot be a channel's name: it is empty",
        ),
        (
            "bad token name",
            vec!["token", "create", "acme", "--name", " ci", "--scopes", "repos"],
            "",
            64,
            "a token's name must have",
        ),
        (
            "name taken",
            vec!["token", "create", "acme", "--name", "ci", "--scopes", "repos"],
            "",
            1,
            "living token \"ci\" already; revoke it first",
        ),
        ("no id", vec!["token", "show", "ci"], "", 64, "invalid value 'ci' for '<ID>'"),
        ("no such id", vec!["token", "show", UNKNOWN_ID], "", 1, "`channelgate token list ORG` shows them"),
        ("revoke what", vec!["token", "revoke"], "", 64, "Usage: channelgate token revoke"),
        ("revoke whose", vec!["token", "revoke", "--name", "ci"], "", 64, "--org"),
        (
            "revoke twice",
            vec!["token", "revoke", UNKNOWN_ID, "--name", "ci", "--org", "acme"],
            "",
            64,
            "cannot be used with",
        ),
        (
            "revoke unasked",
            vec!["token", "revoke", "--name", "ci", "--org", "acme"],
            "",
            64,
            "say --yes if it is",
        ),
        (
            "revoke none",
            vec!["token", "revoke", "--name", "no", "--org", "acme", "--yes"],
            "",
            1,
            "no token named \"no\"; `channelgate token list acme`",
        ),
        ("import nothing", import(), "", 64, "the token's value is expected on standard input"),
        ("import too short", import(), "0123456789", 64, "20 to 256 characters of [A-Za-z0-9-]"),
        ("import mistyped", import(), cg, 64, "it must be a token that a channelgate issued"),
        (
            "verify nothing",
            vec!["token", "verify"],
            " \n",
            64,
            "the token's value is expected on standard input",
        ),
        ("verify everything", vec!["token", "verify"], &"x".repeat(20_000), 64, "too long"),
        ("explain nothing", vec!["explain", "-"], "", 64, "the URL is expected on standard input"),
        ("explain no path", vec!["explain", "main/noarch"], "", 64, "a URL (https://gate/…) or a path"),
        ("bad header", vec!["explain", "/x", "--header", "Authorization token"], "", 64, "'Name: value'"),
        ("purge what", vec!["cache", "purge"], "", 64, "or --everything"),
        (
            "purge all and some",
            vec!["cache", "purge", "--everything", "--channel", "main"],
            "",
            64,
            "cannot be used with",
        ),
        ("warm what", vec!["cache", "warm"], "", 64, "--lockfile <FILE>"),
        (
            "warm where",
            vec!["cache", "warm", "--spec", "x", "--channel", "main"],
            "",
            64,
            "--subdir <SUBDIR>",
        ),
        (
            "warm by brackets",
            vec!["cache", "warm", "--spec", "x[build=0]"],
            "",
            64,
            "write name, version and build",
        ),
        (
            "warm nowhere",
            vec!["cache", "warm", "--spec", "x", "--subdir", "linux"],
            "",
            64,
            "expected a subdirectory such as linux-64",
        ),
        (
            "warm a cache that is off",
            vec!["cache", "warm", "--lockfile", "pixi.lock"],
            "",
            64,
            "cache.enabled is false",
        ),
        (
            "import into a cache that is off",
            vec!["cache", "import", "x.tar"],
            "",
            64,
            "cache.enabled is false",
        ),
        (
            "export a channel that there is not",
            vec!["cache", "export", "x.tar", "--channel", "mian"],
            "",
            64,
            "no channel \"mian\" in the configuration; there are: main, open",
        ),
        ("ready, but where", vec!["check", "--ready"], "", 64, "admin.address has port 0"),
    ] {
        let done = place.run_with(&arguments, input).expect(code, name);
        assert!(done.err.contains(words), "{name}: {done:?}");
        assert!(done.out.is_empty(), "{name}: {done:?}");
    }
    let tokens = place.must_json(&["token", "list", "acme"]);
    assert_eq!(tokens.as_array().unwrap().len(), 1, "nothing was changed: {tokens}");
}

#[test]
fn configuration_is_looked_for_and_its_mistakes_are_told_at_once() {
    let place = Place::empty();
    for command in [&["check"][..], &["serve"], &["org", "list"], &["explain", "/x"]] {
        let done = place.run(command).expect(64, command);
        assert!(
            done.err.contains("config/channelgate.toml") && done.err.contains("--config FILE"),
            "{done:?}"
        );
        let done = place.run(&[command, &["--config", "no.toml"]].concat()).expect(64, command);
        assert!(done.err.contains("no.toml: 1 mistake\n  the file: it cannot be read"), "{done:?}");
    }
    place.configure(
        "listen.adress = \"x\"\nverify.max_staleness = \"soon\"\n[[channels]]\nname = \"t\"\nupstreams = [\"nowhere\"]\n",
    );
    for command in [&["check"][..], &["serve"], &["token", "list", "default"]] {
        let done = place.run(command).expect(64, command);
        assert!(
            done.out.is_empty() && done.err.contains("config/channelgate.toml: 4 mistakes\n"),
            "{done:?}"
        );
        for key in ["listen.adress", "verify.max_staleness", "channels[0].name", "channels[0].upstreams[0]"] {
            assert!(done.err.contains(key), "{key}: {done:?}");
        }
    }
    // The environment is part of it.
    place.configure("");
    let output = place.command(&["check"]).env("CHANNELGATE_LIMITS__REQUESTS_MAX", "many").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("CHANNELGATE_LIMITS__REQUESTS_MAX"),
        "{output:?}"
    );
}

#[test]
fn files_that_the_configuration_names_are_looked_into() {
    let place = Place::with(
        "listen.tls = { certificate = \"leaf.pem\", key = \"leaf.key\" }\n\
         [[channels]]\nname = \"far\"\nupstreams = [{ url = \"https://conda.test/c\", ca_file = \"leaf.pem\" }]",
    );
    std::fs::write(place.path("leaf.pem"), "no certificate").unwrap();
    std::fs::write(place.path("leaf.key"), "no key").unwrap();
    for command in ["check", "serve"] {
        let done = place.run(&[command]).expect(64, command);
        assert!(done.err.contains("2 mistakes") && done.out.is_empty(), "{done:?}");
        assert!(done.err.contains("listen.tls: ") && done.err.contains("leaf.pem"), "{done:?}");
        assert!(done.err.contains("channel \"far\": "), "{done:?}");
    }
}
