//! Mistakes in the configuration of upstreams: all are named, none repeats a secret.

use std::time::Duration;

use channelgate::upstream::{
    Auth, Limits, Meters, Mistake, SecretSource, Timeouts, UpstreamConfig, UpstreamConfigError, Upstreams,
};
use prometheus::Registry;

use super::config;

fn mistakes(configs: &[UpstreamConfig]) -> Vec<Mistake> {
    let meters = Meters::register(&Registry::new()).unwrap();
    match Upstreams::new(configs, meters) {
        Ok(_) => Vec::new(),
        Err(UpstreamConfigError { mistakes }) => mistakes,
    }
}

#[test]
fn bad_url_is_refused_and_not_repeated() {
    let rows = [
        ("no URL", "conda-forge", "is not a URL"),
        ("no scheme", "conda.anaconda.org/conda-forge", "is not a URL"),
        ("another scheme", "ftp://example.org/chan", "unknown scheme"),
        ("user and password", "https://user:hunter2@example.org/chan", "user name or password"),
        ("user", "http://hunter2@example.org/chan", "user name or password"),
        ("query", "http://example.org/chan?key=hunter2", "query or fragment"),
        ("fragment", "http://example.org/chan#hunter2", "query or fragment"),
        ("token in the path", "http://example.org/t/hunter2/chan", "contains a token"),
        ("file of a host", "file://example.org/chan", "names a host"),
        ("file of nothing", "file:", "names no directory"),
        ("file with a query", "file:///srv/chan?x", "query or fragment"),
        ("file with NUL", "file:///srv/%00", "contains NUL"),
    ];
    for (name, url, expected) in rows {
        let found = mistakes(&[config(url)]);
        let [Mistake { upstream: 0, key: "url", problem }] = found.as_slice() else {
            panic!("{name}: {found:?}")
        };
        assert!(problem.contains(expected), "{name}: {problem}");
        assert!(!problem.contains("hunter2"), "{name}");
    }
}

#[test]
fn good_url_is_accepted() {
    let urls = [
        "http://example.org",
        "http://example.org/",
        "http://[::1]:8080/a/b/",
        "http://EXAMPLE.org/conda-forge",
        "file:///srv/channel",
        "file://localhost/srv/channel",
        "file:/srv/my%20channel",
        "file:tests/fixtures/channel",
    ];
    for url in urls {
        assert_eq!(mistakes(&[config(url)]), [], "{url}");
    }
}

#[test]
fn all_mistakes_of_all_upstreams_are_named() {
    let secret = |path: &str| SecretSource::File(path.into());
    let bad = UpstreamConfig {
        url: "gopher://example.org".to_owned(),
        ca_file: Some("/does/not/exist.pem".into()),
        auth: Some(Auth::Bearer(secret("/does/not/exist.token"))),
        allowed_hosts: vec![
            "10.0.0.0/99".to_owned(),
            "*".to_owned(),
            "http://x/".to_owned(),
            "ok.example.org".to_owned(),
        ],
        missing_statuses: vec![403, 404],
        timeouts: Timeouts { idle: Duration::ZERO, ..Timeouts::default() },
        limits: Limits { concurrent_requests_max: 0, header_bytes_max: 1, ..Limits::default() },
        ..UpstreamConfig::default()
    };
    let directory = UpstreamConfig {
        auth: Some(Auth::ApiKey(SecretSource::Environment("PATH".to_owned()))),
        missing_statuses: vec![403],
        ..config("file:///srv/channel")
    };
    let found: Vec<(usize, &str)> =
        mistakes(&[bad, directory]).iter().map(|mistake| (mistake.upstream, mistake.key)).collect();
    let expected = [
        (0, "timeouts.idle"),
        (0, "limits.concurrent_requests_max"),
        (0, "limits.header_bytes_max"),
        (0, "url"),
        (0, "allowed_hosts"),
        (0, "allowed_hosts"),
        (0, "allowed_hosts"),
        (0, "missing_statuses"),
        (0, "auth"),
        (0, "ca_file"),
        (1, "auth"),
        (1, "missing_statuses"),
    ];
    assert_eq!(found, expected);
    assert_eq!(mistakes(&[]).len(), 1, "a channel without upstreams");
}

#[test]
fn bad_secret_is_refused_and_not_repeated() {
    let file = |text: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    };
    let long = vec![b'h'; 20 * 1024];
    let rows: [(&str, &[u8]); 4] = [
        ("empty", b"\n"),
        ("two lines", b"hunter2\nhunter2\n"),
        ("not UTF-8", b"hunter2\xff"),
        ("long", &long),
    ];
    for (name, text) in rows {
        let file = file(text);
        let auth = Some(Auth::Token(SecretSource::File(file.path().to_owned())));
        let found = mistakes(&[UpstreamConfig { auth, ..config("http://example.org/chan") }]);
        let [Mistake { key: "auth", problem, .. }] = found.as_slice() else { panic!("{name}: {found:?}") };
        assert!(!problem.contains("hunter2"), "{name}: {problem}");
    }
    let auth = Some(Auth::Token(SecretSource::Environment("CHANNELGATE_TEST_NOT_SET".to_owned())));
    assert_eq!(mistakes(&[UpstreamConfig { auth, ..config("http://example.org/chan") }]).len(), 1);
    let password = SecretSource::Environment("PATH".to_owned());
    let auth = Some(Auth::Basic { user: "a:b".to_owned(), password });
    assert_eq!(mistakes(&[UpstreamConfig { auth, ..config("http://example.org/chan") }]).len(), 1);
}

#[test]
fn ca_file_without_certificates_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "not PEM").unwrap();
    let ca_file = Some(file.path().to_owned());
    let found = mistakes(&[UpstreamConfig { ca_file, ..config("https://example.org/chan") }]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].to_string().starts_with("upstream 1: ca_file names "));
}
