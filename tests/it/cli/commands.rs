//! Every command that prints data, in both forms.

use serde_json::Value;

use crate::support::process::{Place, Process, fixture_url};

const ORGANIZATION: &[&str] =
    &["cancelled_at", "created_at", "id", "name", "subscription", "subscription_ends", "title"];
/// A token where it is asked for; where it is made, it has its value instead of its last use.
const TOKEN: &[&str] = &[
    "channels",
    "created_at",
    "ended_at",
    "expires_at",
    "generation",
    "group",
    "id",
    "kind",
    "last_refusal",
    "last_use",
    "name",
    "org",
    "reason",
    "scopes",
    "state",
    "user",
];

/// The keys of an object, or of every object of an array.
fn keys(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => {
            let every: Vec<_> = items.iter().map(keys).collect();
            assert!(every.windows(2).all(|pair| pair[0] == pair[1]), "{value}");
            every.into_iter().next().unwrap()
        }
        value => value.as_object().unwrap().keys().cloned().collect(),
    }
}

#[test]
fn data_is_printed_as_text_and_as_json() {
    let place = Place::new();
    let made: Vec<_> = TOKEN.iter().copied().filter(|key| !key.starts_with("last_")).collect();
    let mut with_value = [&made[..], &["token"]].concat();
    with_value.sort_unstable();
    let value = "xy-72b914cc-c105-4ec7-a969-ab21d23480ed";
    let create = ["token", "create", "acme", "--scopes", "repos", "--name"];
    for (name, arguments, input, expected, text, words) in [
        ("version", &["version"][..], "", &["name", "version"][..], "channelgate 0.1.0\n", ""),
        ("create an organization", &["org", "create", "acme"], "", ORGANIZATION, "", ""),
        ("list organizations", &["org", "list"], "", ORGANIZATION, "NAME", ""),
        ("show an organization", &["org", "show", "acme"], "", ORGANIZATION, "name          acme\n", ""),
        ("issue", &["token", "issue", "acme", "--site", "--yes"], "", &with_value, "cg-", "site token (id "),
        ("create", &create, "", &with_value, "cg-", "Its value is shown only now"),
        ("list tokens", &["token", "list", "acme"], "", TOKEN, "ID", ""),
        (
            "import",
            &["token", "import", "acme", "--scopes", "repos", "--name"],
            value,
            TOKEN,
            "id            ",
            "",
        ),
        ("verify", &["token", "verify"], value, TOKEN, "id            ", ""),
        (
            "verify garbage",
            &["token", "verify"],
            "garbage",
            &["detail", "state"],
            "unknown\nThis cannot be",
            "",
        ),
        (
            "revoke",
            &["token", "revoke", "--org", "acme", "--yes", "--name", "create"],
            "",
            TOKEN,
            "",
            "did not serve any more",
        ),
    ] {
        // What can be done once is done for the text form under another name.
        let named = |suffix: &str| {
            let mut arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
            if arguments.last().is_some_and(|word| word == "--name") {
                arguments.push(format!("{name}{suffix}"));
            }
            arguments
        };
        let json_form = named("");
        let json_form: Vec<&str> = json_form.iter().map(String::as_str).chain(["--json"]).collect();
        let done = place.run_with(&json_form, input).expect(0, name);
        assert_eq!(keys(&done.json()), expected, "{name}");

        let mut text_form = named("-2");
        match name {
            "create an organization" => text_form[2] = "beta".to_owned(),
            "import" => {
                let done = place
                    .run_with(&["token", "import", "acme", "--name", "again", "--scopes", "repos"], value);
                assert!(done.expect(1, name).err.contains("a token's value is used once"));
            }
            _ => {}
        }
        let text_form: Vec<&str> = text_form.iter().map(String::as_str).collect();
        let other = "xy-00000000-c105-4ec7-a969-ab21d23480ed";
        let input = if name == "import" { other } else { input };
        let done = place.run_with(&text_form, input).expect(0, name);
        assert!(
            done.out.contains(text) && serde_json::from_str::<Value>(&done.out).is_err(),
            "{name}: {done:?}"
        );
        assert!(done.err.contains(words) && (done.err.is_empty() || !words.is_empty()), "{name}: {done:?}");
    }
}

#[test]
fn new_token_is_one_object_or_the_value_alone() {
    let place = Place::new();
    place.must(&["org", "create", "acme", "--title", "Acme Inc.", "--subscription-ends", "2100-01-01"]);
    let site = place.must_json(&["token", "issue", "acme", "--site"]);
    assert_eq!(site["kind"], "site");
    assert_eq!(site["org"], "acme");
    assert_eq!(site["expires_at"], "2100-01-31T00:00:00Z", "30 days after the subscription");
    assert_eq!((&site["name"], &site["user"]), (&Value::Null, &Value::Null));
    assert_eq!(site["scopes"], serde_json::json!(["repos"]));
    assert_eq!(site["channels"], serde_json::json!([]));
    uuid::Uuid::parse_str(site["id"].as_str().unwrap()).unwrap();

    let scoped = place.must_json(&[
        "token",
        "create",
        "acme",
        "--name",
        "ci",
        "--scopes",
        "conda:download api:read",
        "--channels",
        "open, main,open",
        "--expires-at",
        "2099-12-31T23:00:00+01:00",
    ]);
    assert_eq!(scoped["kind"], "scoped");
    assert_eq!(scoped["name"], "ci");
    assert_eq!(scoped["scopes"], serde_json::json!(["conda:download", "api:read"]));
    assert_eq!(scoped["channels"], serde_json::json!(["open", "main"]), "as written, each once");
    assert_eq!(scoped["expires_at"], "2099-12-31T22:00:00Z");
    assert_eq!(scoped["state"], "active");

    let done =
        place.run(&["token", "create", "acme", "--name", "text", "--scopes", "repos"]).expect(0, "text");
    let value = done.out.strip_suffix('\n').unwrap();
    assert!(value.len() == 41 && value.starts_with("cg-") && !value.contains('\n'), "{done:?}");
    assert!(
        done.err.contains("token \"text\" (id ")
            && done.err.contains("expires on ")
            && !done.err.contains(value)
    );

    place.must(&["org", "create", "endless"]);
    let endless = place.run(&["token", "issue", "endless", "--site"]).expect(0, "no end");
    assert!(endless.err.contains("does not expire"), "{endless:?}");
    assert_eq!(place.must_json(&["token", "list", "endless"])[0]["expires_at"], Value::Null);

    place.must(&["org", "create", "lapsed", "--subscription-ends", "2020-01-01"]);
    let lapsed = place.run(&["token", "issue", "lapsed", "--site"]).expect(1, "a subscription of the past");
    assert!(lapsed.err.contains("2020-01-01T00:00:00Z, more than 30 days ago; renew it first"), "{lapsed:?}");
}

#[test]
fn text_is_a_line_for_each_property_and_moves_no_cursor() {
    let place = Place::new();
    place.must(&["org", "create", "acme", "--title", "\u{1b}[2JAcme\nInc."]);
    let shown = place.must(&["org", "show", "acme"]);
    assert!(shown.contains("title         \u{fffd}[2JAcme\u{fffd}Inc.\n"), "{shown:?}");
    assert!(shown.contains("subscription  active, no end\n"), "{shown:?}");
    let (value, id) = {
        let token = place.must_json(&["token", "create", "acme", "--name", "ci", "--scopes", "repos"]);
        (token["token"].as_str().unwrap().to_owned(), token["id"].as_str().unwrap().to_owned())
    };
    place.must(&["token", "revoke", &id, "--yes", "--reason", "in a log"]);
    let shown = place.run_with(&["token", "verify"], &format!("  {value}\r\n")).expect(0, "verify").out;
    assert!(shown.contains(&id) && shown.contains("state         revoked since 2"), "{shown}");
    assert!(shown.contains("(in a log)\n") && !shown.contains(&value), "{shown}");
    assert_eq!(place.must(&["token", "show", &id]), shown);
    assert_eq!(place.must_json(&["token", "show", &id])["reason"], "in a log");
}

#[test]
fn check_prints_a_configuration_that_means_the_same() {
    let place = Place::with("log.format = \"json\"\nlimits.drain_timeout = \"7s\"");
    let done = place.run(&["check"]).expect(0, "check");
    assert_eq!(done.err, "");
    assert!(
        done.out.starts_with("# config/channelgate.toml with the defaults and the environment applied\n")
    );
    std::fs::write(place.path("printed.toml"), &done.out).unwrap();
    let again = place.must(&["check", "--config", "printed.toml"]);
    assert_eq!(again.split_once('\n').unwrap().1, done.out.split_once('\n').unwrap().1);

    let json = place.must_json(&["check"]);
    assert_eq!(json["limits"]["drain_timeout"], "7s");
    assert_eq!(json["channels"][0]["name"], "main");
    assert_eq!(json["channels"][0]["upstreams"][0], fixture_url());

    let mut with_environment = place.command(&["check", "--json"]);
    with_environment
        .env("CHANNELGATE_LISTEN__ADDRESS", "127.0.0.1:4711")
        .env("CHANNELGATE_CONFIG", "printed.toml");
    let output = with_environment.output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["listen"]["address"], &json["log"]["format"]),
        (&"127.0.0.1:4711".into(), &"json".into())
    );

    place.configure("listen.public_url = \"http://gate.test\"\nadmin.address = \"127.0.0.1:0\"");
    let done = place.run(&["check"]);
    assert_eq!(done.code, 64, "a key twice is a mistake: {done:?}");
    place.configure("");
    let done = place.run(&["check"]).expect(0, "no channels");
    assert!(done.err.contains("there are no channels"), "{done:?}");
}

#[test]
fn check_tells_whether_the_gate_is_ready() {
    let place = Place::new();
    let mut serve = place.command(&["serve"]);
    // Where no other test listens once this gate has gone.
    serve.env("CHANNELGATE_ADMIN__ADDRESS", "127.8.4.82:0");
    let gate = Process::start(serve);
    let mut config = std::fs::read_to_string(place.path("config/channelgate.toml")).unwrap();
    config =
        config.replace("admin.address = \"127.0.0.1:0\"", &format!("admin.address = \"{}\"", gate.admin));
    std::fs::write(place.path("known.toml"), &config).unwrap();
    let ready = ["check", "--ready", "--config", "known.toml"];
    assert_eq!(place.must(&ready), "ready\n");
    assert_eq!(place.must_json(&ready)["ready"], true);

    config = config.replace(&gate.admin.to_string(), &gate.data.to_string());
    config = config.replace("listen.address = \"127.0.0.1:0\"", "listen.address = \"127.0.0.1:1\"");
    std::fs::write(place.path("wrong.toml"), config).unwrap();
    let done = place.run(&["check", "--ready", "--config", "wrong.toml"]).expect(1, "the data plane");
    assert!(done.err.contains("is it a channelgate's admin plane?") && done.out.is_empty(), "{done:?}");

    let address = gate.admin.to_string();
    gate.terminate();
    let done = place.run(&ready).expect(1, "nobody listens");
    assert!(done.err.contains(&address) && done.err.contains("refused"), "{done:?}");
}
