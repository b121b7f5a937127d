//! Tests of the configuration: mistakes, precedence, printing. The shipped file has its own, in `tests/shipped.rs`,
//! and so have the rules of channels.

mod rules;
mod shipped;

use std::fs;

use super::*;
use crate::conda::ChannelName;
use crate::policy::Access;

fn environment<const N: usize>(variables: [(&str, &str); N]) -> Environment {
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn parse(text: &str) -> Result<Config, Vec<Mistake>> {
    Config::parse(text, &Environment::default())
}

fn mistakes(text: &str, environment: &Environment) -> Vec<String> {
    let mistakes = Config::parse(text, environment).expect_err(text);
    mistakes.iter().map(Mistake::to_string).collect()
}

/// A channel with `lines` for the rest of it.
fn channel(lines: &str) -> String {
    format!("[[channels]]\nname = \"main\"\n{lines}\n")
}

const UPSTREAM: &str = "upstreams = [\"https://conda.example.org/main\"]";

#[test]
fn nothing_configured_is_the_default() {
    let config = parse("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.store.url, StoreUrl::Sqlite("var/channelgate.db".into()));
    assert_eq!(config.cache.directory, Path::new("var/cache"));
    assert_eq!(config.listen.address.to_string(), "127.0.0.1:8480");
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:8481");
}

#[test]
fn data_dir_moves_what_is_not_named_elsewhere() {
    let config = parse("data_dir = \"/srv/gate\"\n[cache]\ndirectory = \"spool\"").unwrap();
    assert_eq!(config.store.url, StoreUrl::Sqlite("/srv/gate/channelgate.db".into()));
    assert_eq!(config.cache.directory, Path::new("spool"));
}

#[test]
fn single_mistakes_name_key_value_and_expectation() {
    let channels = |lines: &str| channel(&format!("{UPSTREAM}\n{lines}"));
    let table = |inner: &str| channel(&format!("upstreams = [{{ url = \"https://h.example/c\", {inner} }}]"));
    let cases: Vec<(&str, String, &str)> = vec![
        ("type", "data_dir = 5".into(), "data_dir = 5: expected path string"),
        ("empty data_dir", "data_dir = \"\"".into(), "data_dir = \"\": expected a directory, such as"),
        ("table", "listen = 5".into(), "listen = 5: expected a table"),
        (
            "address",
            "[listen]\naddress = \"localhost\"".into(),
            "listen.address = \"localhost\": expected an IP address and a port",
        ),
        (
            "network",
            "[listen]\ntrusted_proxies = [\"::1\", \"10.0.0.0/33\"]".into(),
            "listen.trusted_proxies[1] = \"10.0.0.0/33\": expected a network such as",
        ),
        (
            "public url",
            "[listen]\npublic_url = \"conda.example.org\"".into(),
            "listen.public_url = \"conda.example.org\": expected http(s)://host",
        ),
        (
            "public url with query",
            "[listen]\npublic_url = \"https://h/?a\"".into(),
            "listen.public_url = \"https://h/?***\": expected a URL without query",
        ),
        (
            "only certificate",
            "[listen]\ntls = { certificate = \"Cargo.toml\" }".into(),
            "listen.tls.key = \"\": expected the PEM file of the private key",
        ),
        (
            "only key",
            "[listen]\ntls = { key = \"Cargo.toml\" }".into(),
            "listen.tls.certificate = \"\": expected the PEM file of the certificate",
        ),
        (
            "missing certificate",
            "[listen]\ntls = { certificate = \"no/such.pem\", key = \"Cargo.toml\" }".into(),
            "listen.tls.certificate = \"no/such.pem\": this file cannot be read: No such file",
        ),
        (
            "directory for a key",
            "[listen]\ntls = { certificate = \"Cargo.toml\", key = \"src\" }".into(),
            "listen.tls.key = \"src\": this is not a file",
        ),
        (
            "one port for two",
            "[admin]\naddress = \"127.0.0.1:8480\"".into(),
            "admin.address = \"127.0.0.1:8480\": expected another port",
        ),
        ("store", "[store]\nurl = \"mysql:x\"".into(), "store.url = \"mysql:x\": expected sqlite:PATH"),
        (
            "store in memory",
            "[store]\nurl = \"sqlite::memory:\"".into(),
            "store.url = \"sqlite::memory:\": expected a file",
        ),
        (
            "both urls",
            "[store]\nurl = \"sqlite:a\"\nurl_file = \"b\"".into(),
            "store.url_file = \"b\": expected either this or store.url, not both",
        ),
        (
            "missing url_file",
            "[store]\nurl_file = \"no/such\"".into(),
            "store.url_file = \"no/such\": this file cannot be read",
        ),
        (
            "duration",
            "[verify]\nmax_staleness = \"10\"".into(),
            "verify.max_staleness = \"10\": expected a duration above zero",
        ),
        (
            "zero duration",
            "[upstream]\nconnect_timeout = \"0s\"".into(),
            "upstream.connect_timeout = \"0s\": expected a duration above zero",
        ),
        (
            "number for duration",
            "[limits]\nheader_timeout = 10".into(),
            "limits.header_timeout = 10: expected a duration",
        ),
        (
            "endless duration",
            "[verify]\noutage_grace = \"1000d\"".into(),
            "verify.outage_grace = \"1000d\": expected a duration of at most 365 days",
        ),
        (
            "size",
            "[cache]\ncapacity = \"lots\"".into(),
            "cache.capacity = \"lots\": expected a size above zero",
        ),
        (
            "size that may be zero",
            "[cache]\nscrub_rate = \"fast\"".into(),
            "cache.scrub_rate = \"fast\": expected a size, such as \"0 B\"",
        ),
        (
            "offline without a cache",
            "network = \"offline\"\n[cache]\nenabled = false".into(),
            "network = \"offline\": expected \"online\", as cache.enabled is false",
        ),
        ("network", "network = \"none\"".into(), "network = \"none\": expected"),
        (
            "size that does not fit",
            "[limits]\nhttp2_header_list_bytes_max = \"5 GiB\"".into(),
            "limits.http2_header_list_bytes_max = \"5 GiB\": expected a size",
        ),
        (
            "zero count",
            "[limits]\nconnections_max = 0".into(),
            "limits.connections_max = 0: expected a whole number from 1 to 9223372036854775807",
        ),
        (
            "count that does not fit",
            "[limits]\nhttp2_streams_max = 5000000000".into(),
            "limits.http2_streams_max = 5000000000: expected a whole number from 1 to 4294967295",
        ),
        (
            "small header",
            "[limits]\nheader_bytes_max = \"4 KiB\"".into(),
            "limits.header_bytes_max = \"4096 B\": expected at least \"8 KiB\"",
        ),
        ("deep indexes", "[index]\ndepth_max = 127".into(), "index.depth_max = \"127\": expected 8 to 100"),
        (
            "many records",
            "[index]\nrecords_max = 5_000_000_000".into(),
            "index.records_max = \"5000000000\": expected less than 2^32",
        ),
        (
            "long path",
            "[limits]\npath_bytes_max = \"1 MiB\"".into(),
            "limits.path_bytes_max = \"1048576 B\": expected at most limits.header_bytes_max",
        ),
        (
            "one address over all",
            "[limits]\nconnections_max = 10".into(),
            "limits.connections_per_address_max = \"1024\": expected at most limits.connections_max",
        ),
        (
            "word",
            "[log]\nlevel = \"loud\"".into(),
            "log.level = \"loud\": expected one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        ),
        ("flag", "[cache]\nenabled = \"yes\"".into(), "cache.enabled = \"yes\": expected a boolean"),
        (
            "near key",
            "[limits]\nheader_timeuot = \"1s\"".into(),
            "limits.header_timeuot: there is no such key; did you mean \"header_timeout\"?",
        ),
        (
            "near section",
            "[lisen]\naddress = \"x\"\npublic_url = \"y\"".into(),
            "lisen: there is no such key; did you mean \"listen\"?",
        ),
        (
            "far key",
            "[admin]\npassword = \"hunter2\"".into(),
            "admin.password: there is no such key; known here: address",
        ),
        ("key below itself", "[limits]\nlimits = 1".into(), "limits.limits: there is no such key"),
        ("syntax", "[listen]\naddress = hunter2".into(), "line 2: this is not TOML"),
        (
            "no name",
            format!("[[channels]]\n{UPSTREAM}"),
            "channels[0].name: \"\" cannot be a channel's name: it is empty",
        ),
        (
            "reserved name",
            format!("[[channels]]\nname = \"a/label/b\"\n{UPSTREAM}"),
            "channels[0].name: \"a/label/b\" cannot be a channel's name",
        ),
        (
            "reserved first segment",
            format!("[[channels]]\nname = \"api\"\n{UPSTREAM}"),
            "reserved for the gate itself",
        ),
        ("capital", format!("[[channels]]\nname = \"Main\"\n{UPSTREAM}"), "must match [a-z0-9_][a-z0-9_.-]*"),
        (
            "twins",
            format!("{}{}", channels(""), channels("")),
            "channels[1].name = \"main\": expected another name",
        ),
        (
            "access",
            channels("access = \"open\""),
            "channels[0].access = \"open\": expected one of \"public\", \"private\"",
        ),
        (
            "public with orgs",
            channels("access = \"public\"\norgs = [\"acme\"]"),
            "channels[0].orgs = \"acme\": expected none, as the channel is public",
        ),
        (
            "org",
            channels("orgs = [\"acme\", \"Acme Inc\"]"),
            "channels[0].orgs[1]: \"Acme Inc\" cannot be an organization's name",
        ),
        (
            "host",
            channels("allowed_hosts = [\"https://h\"]"),
            "channels[0].allowed_hosts[0] = \"https://h\": expected a host",
        ),
        ("no upstreams", channel(""), "channels[0].upstreams = \"\": expected one or more"),
        (
            "upstream of another kind",
            channel("upstreams = [5]"),
            "channels[0].upstreams[0] = 5: expected a URL or a table with url",
        ),
        (
            "scheme",
            channel("upstreams = [\"ftp://h/c\"]"),
            "channels[0].upstreams[0] = \"ftp://h/c\": expected http(s)://host/path",
        ),
        ("query", channel("upstreams = [\"https://h/c?x\"]"), "expected a URL without query and fragment"),
        (
            "file for a directory",
            channel("upstreams = [\"file:Cargo.toml\"]"),
            "channels[0].upstreams[0] = \"file:Cargo.toml\": this is not a directory",
        ),
        (
            "directory with a certificate",
            channel("upstreams = [{ url = \"file:src\", ca_file = \"Cargo.toml\" }]"),
            "channels[0].upstreams[0].ca_file: expected none: this upstream is a directory",
        ),
        (
            "near key of an upstream",
            table("cafile = \"x\""),
            "channels[0].upstreams[0].cafile: there is no such key; did you mean \"ca_file\"?",
        ),
        (
            "missing ca_file",
            table("ca_file = \"no/such\""),
            "channels[0].upstreams[0].ca_file = \"no/such\": this file cannot be read",
        ),
        (
            "status",
            table("missing_statuses = [403, 500]"),
            "channels[0].upstreams[0].missing_statuses[1] = \"500\": expected 401 or 403",
        ),
        (
            "auth without kind",
            table("upstream_auth = { file = \"Cargo.toml\" }"),
            "channels[0].upstreams[0].upstream_auth.kind = \"\": expected one of \"bearer\"",
        ),
        (
            "auth of another kind",
            table("upstream_auth = { kind = \"digest\", file = \"Cargo.toml\" }"),
            "upstream_auth.kind = \"digest\": expected one of \"bearer\", \"token\", \"basic\", \"path\", \"api-key\"",
        ),
        (
            "auth without secret",
            table("upstream_auth = { kind = \"bearer\" }"),
            "upstream_auth: expected either channels[0].upstreams[0].upstream_auth.file or",
        ),
        (
            "auth with two secrets",
            table("upstream_auth = { kind = \"bearer\", file = \"Cargo.toml\", env = \"X\" }"),
            "not both",
        ),
        (
            "auth with the secret itself",
            table("upstream_auth = { kind = \"bearer\", token = \"hunter2\" }"),
            "upstream_auth.token: there is no such key; known here: kind, user, file, env",
        ),
        (
            "basic without user",
            table("upstream_auth = { kind = \"basic\", file = \"Cargo.toml\" }"),
            "upstream_auth.user = \"\": expected a user",
        ),
        (
            "user for others",
            table("upstream_auth = { kind = \"bearer\", user = \"u\", file = \"Cargo.toml\" }"),
            "upstream_auth.user: expected none",
        ),
        (
            "missing secret file",
            table("upstream_auth = { kind = \"path\", file = \"no/such\" }"),
            "upstream_auth.file = \"no/such\": this file cannot be read",
        ),
        (
            "missing secret variable",
            table("upstream_auth = { kind = \"api-key\", env = \"NO_SUCH\" }"),
            "upstream_auth.env = \"NO_SUCH\": this environment variable is not set",
        ),
    ];
    for (name, text, expected) in cases {
        let found = mistakes(&text, &Environment::default());
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{name}: {found:#?}");
        assert!(!found.concat().contains("hunter2"), "{name}: {found:#?}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = "data_dir = 1\n[listen]\naddress = \"x\"\nadress = \"y\"\n[verify]\nmax_staleness = \"soon\"\n[limits]\n\
                connections_max = -1\n[[channels]]\nname = \"t\"\nupstreams = [\"nowhere\", { url = 1, upstream_auth = {} }]\n\
                [[channels]]\nname = \"b\"\naccess = 1\n";
    let error = ConfigError { file: Some("gate.toml".into()), mistakes: parse(text).unwrap_err() };
    let shown = error.to_string();
    let (head, lines) = shown.split_once('\n').unwrap();
    assert_eq!(head, "gate.toml: 13 mistakes", "{shown}");
    for key in [
        "data_dir = 1",
        "listen.address = \"x\"",
        "listen.adress: there is no such key; did you mean \"address\"?",
        "verify.max_staleness = \"soon\"",
        "limits.connections_max = -1",
        "channels[0].name:",
        "channels[0].upstreams[0] = \"nowhere\"",
        "channels[0].upstreams[1].url = 1",
        "channels[0].upstreams[1].upstream_auth.kind",
        "channels[0].upstreams[1].upstream_auth: expected either",
        "channels[1].access = 1",
        "channels[1].upstreams = \"\"",
    ] {
        assert!(lines.contains(&format!("  {key}")), "{key} is not in\n{shown}");
    }
}

#[test]
fn environment_wins_over_file_and_file_over_default() {
    let text = "data_dir = \"of-file\"\n[listen]\naddress = \"127.0.0.1:1\"\ntrusted_proxies = [\"::1\"]\n[limits]\nconnections_max = 2000";
    let config = Config::parse(
        text,
        &environment([
            ("CHANNELGATE_DATA_DIR", "2026"),
            ("CHANNELGATE_LISTEN__ADDRESS", "0.0.0.0:2"),
            ("CHANNELGATE_LISTEN__TRUSTED_PROXIES", "[\"10.0.0.0/8\", \"192.0.2.1\"]"),
            ("CHANNELGATE_LISTEN__TLS__CERTIFICATE", "Cargo.toml"),
            ("CHANNELGATE_LISTEN__TLS__KEY", "\"Cargo.lock\""),
            ("CHANNELGATE_LIMITS__REQUESTS_MAX", "7"),
            ("CHANNELGATE_CACHE__ENABLED", "false"),
            ("CHANNELGATE_CACHE__CAPACITY", "1000"),
            ("CHANNELGATE_LOG__FORMAT", "json"),
            ("CHANNELGATE_CONFIG", "elsewhere.toml"),
            ("CHANNELGATE_SERVICE_HOST", "10.1.2.3"),
            ("CHANNELGATE_PORT", "tcp://10.1.2.3:8480"),
            ("CHANNELGATE_PORT_8480_TCP_ADDR", "10.1.2.3"),
            ("CHANNELGATEWAY", "of somebody else"),
        ]),
    )
    .unwrap();
    assert_eq!(config.data_dir, Path::new("2026"), "a number is text where text is expected");
    assert_eq!(config.listen.address.to_string(), "0.0.0.0:2");
    assert_eq!(
        config.listen.trusted_proxies,
        ["10.0.0.0/8".parse().unwrap(), "192.0.2.1/32".parse::<IpNet>().unwrap()]
    );
    let tls = TlsFiles { certificate: "Cargo.toml".into(), key: "Cargo.lock".into() };
    assert_eq!(config.listen.tls, Some(tls));
    assert_eq!(config.limits.requests_max, 7);
    assert_eq!(config.limits.connections_max, 2_000, "of the file");
    assert_eq!(config.limits.http2_streams_max, Limits::default().http2_streams_max);
    assert_eq!((config.cache.enabled, config.cache.capacity_bytes), (false, 1_000));
    assert_eq!(config.log.format, logging::Format::Json);
}

#[test]
fn environment_replaces_a_bad_value_of_the_file() {
    let environment = environment([("CHANNELGATE_LISTEN__ADDRESS", "127.0.0.1:3")]);
    let config = Config::parse("[listen]\naddress = \"bad\"", &environment).unwrap();
    assert_eq!(config.listen.address.port(), 3);
}

#[test]
fn bad_variables_are_mistakes_that_name_the_variable() {
    for (name, value, expected) in [
        (
            "CHANNELGATE_LISTEN__ADRESS",
            "x",
            "listen.adress (from CHANNELGATE_LISTEN__ADRESS): there is no such key; did you mean",
        ),
        (
            "CHANNELGATE_LISEN__ADDRESS",
            "hunter2",
            "lisen (from CHANNELGATE_LISEN__ADDRESS): there is no such key; did you mean \"listen\"?",
        ),
        ("CHANNELGATE_LISTEN", "x", "listen = \"x\" (from CHANNELGATE_LISTEN): expected a table"),
        (
            "CHANNELGATE_LISTEN__ADDRESS",
            "x",
            "listen.address = \"x\" (from CHANNELGATE_LISTEN__ADDRESS): expected an IP address",
        ),
        (
            "CHANNELGATE_LIMITS__REQUESTS_MAX",
            "many",
            "limits.requests_max = \"many\" (from CHANNELGATE_LIMITS__REQUESTS_MAX): expected",
        ),
        (
            "CHANNELGATE_LISTEN__PUBLIC_URL",
            "x",
            "listen.public_url = \"x\" (from CHANNELGATE_LISTEN__PUBLIC_URL): expected http",
        ),
        (
            "CHANNELGATE_CHANNELS",
            "[]",
            "channels (from CHANNELGATE_CHANNELS): channels are configured in the file only",
        ),
        ("CHANNELGATE_CHANNELS__0__NAME", "x", "channels are configured in the file only"),
    ] {
        let found = mistakes("", &environment([(name, value)]));
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].contains(expected) && !found[0].contains("hunter2"), "{name}: {found:?}");
    }
}

#[test]
fn variables_that_may_be_somebody_elses_are_told_and_do_no_harm() {
    for name in ["CHANNELGATE_BIN", "CHANNELGATE_LISTEN_ADDRESS", "CHANNELGATE_"] {
        let config = Config::parse("", &environment([(name, "hunter2")])).unwrap();
        let notices = config.notices().concat();
        assert!(notices.contains(&format!("variable {name} sets nothing")), "{name}: {notices}");
        assert!(!notices.contains("hunter2"), "{name}: {notices}");
        assert!(parse(&config.render()).is_ok(), "{name}");
    }
    let set = Config::parse("", &environment([("CHANNELGATE_DATA_DIR", "x")])).unwrap();
    assert!(!set.notices().concat().contains("sets nothing"));
}

#[test]
fn variable_that_holds_an_upstreams_secret_may_have_any_name() {
    let text = channel(
        "upstreams = [{ url = \"https://h.example/c\", upstream_auth = { kind = \"bearer\", env = \"CHANNELGATE_SECRET\" } }]",
    );
    let environment = environment([("CHANNELGATE_SECRET", "hunter2")]);
    let config = Config::parse(&text, &environment).unwrap();
    let auth = config.channels[0].upstreams[0].auth.clone().unwrap();
    assert_eq!(auth.secret, SecretSource::Variable("CHANNELGATE_SECRET".into()));
    assert!(!config.render().contains("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!config.notices().concat().contains("CHANNELGATE_SECRET"));
}

#[test]
fn secrets_in_urls_are_refused_and_masked() {
    let token = format!("cg-{}", "a1".repeat(19));
    for text in [
        "[store]\nurl = \"postgres://gate:hunter2@db/gate\"".to_owned(),
        "[store]\nurl = \"postgres://gate:hun/hunter2@db/gate\"".to_owned(),
        "[listen]\npublic_url = \"https://user:hunter2@h\"".to_owned(),
        channel("upstreams = [\"https://user:hunter2@h/c\"]"),
        channel("upstreams = [{ url = \"https://hunter2@h/c\" }]"),
        channel(&format!("upstreams = [\"https://h/t/{token}/c\"]")),
        channel("upstreams = [\"https://h/t/hunter2/c\"]"),
        channel("upstreams = [\"https://h/%54/hunter2/c\"]"),
        channel("upstreams = [\"https://h/c?key=hunter2\"]"),
    ] {
        let found = mistakes(&text, &Environment::default()).concat();
        assert!(!found.contains("hunter2") && !found.contains(&token), "{found}");
        assert!(["***@", "/<TOKEN>/", "?***"].iter().any(|mask| found.contains(mask)), "{found}");
    }
}

#[test]
fn store_url_with_a_parameter_that_nobody_knows_is_a_mistake() {
    for (parameter, problem) in [
        ("sslmode=verify-ful", "has a parameter with a value that this program does not know"),
        ("sslmod=verify-full", "has a parameter that this program does not know"),
    ] {
        let text = format!("[store]\nurl = \"postgres://gate@db/gate?{parameter}\"");
        let found = mistakes(&text, &Environment::default()).concat();
        assert!(found.contains("store.url") && found.contains(problem), "{found}");
    }
    parse("[store]\nurl = \"postgres://gate@db/gate?sslmode=verify-full\"").unwrap();
}

#[test]
fn values_are_shown_without_what_may_be_secret() {
    for (given, expected) in [
        ("https://h/c", "https://h/c"),
        ("127.0.0.1:99999", "127.0.0.1:99999"),
        ("/run/gate@1/key.pem", "/run/gate@1/key.pem"),
        ("https://h/t/hunter2/a", "https://h/t/<TOKEN>/a"),
        ("https://h/a/T/hunter2", "https://h/a/T/<TOKEN>"),
        ("https://h/%74/hunter2/a", "https://h/%74/<TOKEN>/a"),
        ("https://h/t//hunter2/a", "https://h/t//<TOKEN>/a"),
        ("https://h/t/t/t/hunter2/a", "https://h/t/<TOKEN>/t/<TOKEN>/a"),
        ("https:\\\\h\\t\\hunter2\\a", "https:\\\\h\\t\\<TOKEN>\\a"),
        ("h/t/hunter2/a", "h/t/<TOKEN>/a"),
        ("https://h/a?key=hunter2", "https://h/a?***"),
        ("https://h/a?hunter2", "https://h/a?***"),
        ("https://h/a#key=hunter2", "https://h/a#***"),
        ("https://h/a#x?hunter2", "https://h/a#***"),
        ("https://h?user=me@h.example&key=hunter2", "https://***@***"),
        ("https://h/t/hunter1@hunter2/a", "https://***@***"),
        ("postgres://gate:hun?ter2/hunter2@db/gate", "postgres://***@***"),
        ("https://me:hunter2@h/t/hunter2/a?hunter2", "https://***@h/t/<TOKEN>/a?***"),
        ("https:me:hunter2@h/a", "https:***@h/a"),
        ("https:/me:hunter2@h/a", "https:***@***"),
        ("hunter2@h/a", "***@h/a"),
    ] {
        assert_eq!(mistake::shown(given), expected, "{given}");
    }
}

#[test]
fn store_url_comes_from_a_file_and_is_printed_as_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    fs::write(&file, "sqlite:///srv/gate.db\n").unwrap();
    let config = parse(&format!("[store]\nurl_file = {file:?}")).unwrap();
    assert_eq!(config.store.url, StoreUrl::Sqlite("/srv/gate.db".into()));
    assert!(!config.render().contains("gate.db"));
    assert_eq!(parse(&config.render()), Ok(config));

    fs::write(&file, "postgres://gate:hunter2@db/gate").unwrap();
    let config =
        parse(&format!("[store]\nurl_file = {file:?}\nread_url = \"postgres://gate@standby/gate\"")).unwrap();
    assert_eq!(config.store.url.with_password(), "postgres://gate:hunter2@db/gate");
    assert_eq!(config.store.url.to_string(), "postgres://gate@db/gate");
    assert!(!format!("{config:?} {}", config.render()).contains("hunter2"));
    assert_eq!(parse(&config.render()), Ok(config));

    fs::write(&file, "mysql://gate:hunter2@db/gate").unwrap();
    let found = mistakes(&format!("[store]\nurl_file = {file:?}"), &Environment::default());
    assert!(!found.concat().contains("hunter2"));
    assert!(found[0].starts_with("store.url_file: expected sqlite:PATH"), "{found:?}");
}

#[test]
fn channels_mean_what_they_say() {
    let config = parse(
        r#"
        [[channels]]
        name = "team/main"
        orgs = ["acme"]
        upstreams = [
            "https://conda.example.org/main",
            "file://tests/../src",
            { url = "http://10.0.0.1:80/c", missing_statuses = [403], upstream_auth = { kind = "basic", user = "u", file = "Cargo.toml" } },
        ]
        allowed_hosts = ["cdn.example.org", "*.s3.example.org:443", "10.0.0.0/8", "192.0.2.1:8080", "[::1]:80"]
        [[channels]]
        name = "open"
        access = "public"
        upstreams = ["file:src"]
        "#,
    )
    .unwrap();
    let [team, open] = config.channels.as_slice() else { panic!("{config:?}") };
    assert_eq!(team.rules.name, ChannelName::parse("team/main").unwrap());
    assert_eq!(team.rules.access, Access::Private { organizations: vec!["acme".into()] });
    assert_eq!(
        team.upstreams[0].location,
        Location::Http(Url::parse("https://conda.example.org/main").unwrap())
    );
    assert_eq!(team.upstreams[1].location, Location::Directory("tests/../src".into()), "as it stands");
    assert_eq!(team.upstreams[2].missing_statuses, [403]);
    let secret = SecretSource::File("Cargo.toml".into());
    assert_eq!(team.upstreams[2].auth, Some(Auth { kind: AuthKind::Basic, user: Some("u".into()), secret }));
    assert_eq!(open.rules.access, Access::Public);
    assert_eq!(open.upstreams[0].location, Location::Directory("src".into()));
    assert_eq!(parse(&config.render()), Ok(config));
}

#[test]
fn rendered_configuration_reads_back_as_itself() {
    let text = "data_dir = \"a dir/ä\"\n[listen]\naddress = \"[::1]:0\"\npublic_url = \"https://conda.example.org/x\"\n\
                trusted_proxies = [\"10.0.0.0/8\"]\ntls = { certificate = \"Cargo.toml\", key = \"Cargo.lock\" }\n[verify]\n\
                outage_grace = \"0\"\nmax_staleness = \"1500ms\"\n[limits]\nheader_bytes_max = 8193\n[log]\nformat = \"json\"\n";
    // The one number among them is a size without a unit, which is text.
    let text = text.replace("8193", "\"8193\"");
    for config in [Config::default(), parse(&text).unwrap()] {
        assert_eq!(parse(&config.render()), Ok(config.clone()), "{}", config.render());
    }
}

#[test]
fn url_is_the_public_one_or_where_it_listens() {
    let local = "127.0.0.1:4711".parse().unwrap();
    for (text, url) in [
        ("", "http://127.0.0.1:4711"),
        ("[listen]\npublic_url = \"https://conda.example.org\"", "https://conda.example.org"),
        ("[listen]\npublic_url = \"https://example.org/conda/\"", "https://example.org/conda"),
        ("[listen]\ntls = { certificate = \"Cargo.toml\", key = \"Cargo.lock\" }", "https://127.0.0.1:4711"),
    ] {
        assert_eq!(parse(text).unwrap().listen.url(local), url);
    }
}

#[test]
fn notices_say_what_is_no_mistake_but_worth_knowing() {
    let found = |text: &str| parse(text).unwrap().notices();
    let quiet = channel(UPSTREAM);
    assert_eq!(found(&quiet), Vec::<String>::new());
    assert!(found(&format!("network = \"offline\"\n{quiet}"))[0].contains("nothing goes upstream"));
    assert!(found("")[0].contains("no channels"));
    let open = "[listen]\naddress = \"0.0.0.0:8480\"\n";
    assert!(found(&format!("{open}{quiet}"))[0].contains("without TLS"));
    assert_eq!(found(&format!("{open}public_url = \"https://h\"\n{quiet}")), Vec::<String>::new());
}

#[test]
fn directory_that_is_missing_is_a_notice_and_no_mistake() {
    let place = tempfile::tempdir().unwrap();
    let mirror = place.path().join("mirror");
    let text = channel(&format!("upstreams = [\"file://{}\"]", mirror.display()));
    let config = parse(&text).unwrap();
    let notices = config.notices().concat();
    assert!(notices.contains("channel \"main\": the directory ") && notices.contains("503"), "{notices}");
    assert!(notices.contains(mirror.to_str().unwrap()), "{notices}");
    assert_eq!(parse(&config.render()), Ok(config));
    fs::write(&mirror, "").unwrap();
    assert!(mistakes(&text, &Environment::default()).concat().contains("this is not a directory"));
    fs::remove_file(&mirror).unwrap();
    fs::create_dir(&mirror).unwrap();
    assert!(!parse(&text).unwrap().notices().concat().contains("directory"));
}

#[test]
fn file_is_that_of_flag_then_variable_then_places() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("first.toml"), directory.path().join("second.toml"));
    fs::write(&second, "").unwrap();
    let places = [first.as_path(), second.as_path()];
    let variable = environment([("CHANNELGATE_CONFIG", "named.toml")]);
    let empty = environment([("CHANNELGATE_CONFIG", "")]);
    let locate = |flag: Option<&str>, environment| locate_among(flag.map(Path::new), environment, &places);
    assert_eq!(locate(Some("flag.toml"), &variable), Ok("flag.toml".into()));
    assert_eq!(locate(None, &variable), Ok("named.toml".into()));
    assert_eq!(locate(None, &empty), Ok(second.clone()));
    fs::write(&first, "").unwrap();
    assert_eq!(locate(None, &empty), Ok(first.clone()));
    fs::remove_file(&first).unwrap();
    fs::remove_file(&second).unwrap();
    let error = locate(None, &empty).unwrap_err().to_string();
    assert!(
        error.contains("first.toml") && error.contains("second.toml") && error.contains("--config"),
        "{error}"
    );
}

#[test]
fn unreadable_file_is_said_to_be() {
    let environment = Environment::default();
    for (path, expected) in [
        ("no/such.toml", "no/such.toml: 1 mistake\n  the file: it cannot be read: No such file"),
        ("src", "cannot be read"),
    ] {
        let error = Config::load(Path::new(path), &environment).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let directory = tempfile::tempdir().unwrap();
    let large = directory.path().join("large.toml");
    fs::write(&large, "#".repeat(1 << 20)).unwrap();
    assert_eq!(Config::load(&large, &environment), Ok(Config::default()));
    fs::write(&large, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(Config::load(&large, &environment).unwrap_err().to_string().contains("larger than 1 MiB"));
}
