//! What a reference of an index may lead to, by table and against a model. That it is asked for there is seen in `tests/it/gateway/reach.rs`.

use proptest::prelude::*;

use super::*;
use crate::upstream::{Meters, UpstreamConfig, Upstreams};

fn upstreams(url: &str, allowed_hosts: &[&str]) -> Upstreams {
    let allowed_hosts = allowed_hosts.iter().map(|&host| host.to_owned()).collect();
    let config = UpstreamConfig { url: url.to_owned(), allowed_hosts, ..UpstreamConfig::default() };
    Upstreams::new(&[config], Meters::register(&prometheus::Registry::new()).unwrap()).unwrap()
}

fn path(decoded: &str) -> UpstreamPath {
    UpstreamPath::parse(decoded).unwrap()
}

fn resolve(upstreams: &Upstreams, reference: &str) -> Result<String, Unreachable> {
    let here = upstreams.url_of(0, &path("linux-64/repodata.json")).unwrap();
    upstreams.resolve(0, &here, reference).map(|lead| lead.url().as_str().to_owned())
}

#[test]
fn references_lead_as_far_as_the_upstream_reaches() {
    let upstream =
        upstreams("https://conda.example/chan/", &["cdn.example", "*.files.example:8443", "192.0.2.7"]);
    let rows: [(&str, &str, Result<&str, Unreachable>); 26] = [
        ("nothing", "", Ok("https://conda.example/chan/linux-64/repodata.json")),
        ("here", "./", Ok("https://conda.example/chan/linux-64/")),
        ("below", "pkgs/", Ok("https://conda.example/chan/linux-64/pkgs/")),
        ("beside", "../noarch", Ok("https://conda.example/chan/noarch")),
        ("absolute path", "/elsewhere/", Ok("https://conda.example/elsewhere/")),
        ("own origin", "https://CONDA.example:443/x", Ok("https://conda.example/x")),
        ("fragment", "https://conda.example/x#sha256=00", Ok("https://conda.example/x")),
        ("allowed host", "https://cdn.example/x/", Ok("https://cdn.example/x/")),
        ("allowed host without scheme", "//cdn.example:99/x", Ok("https://cdn.example:99/x")),
        ("allowed suffix and port", "https://a.files.example:8443/", Ok("https://a.files.example:8443/")),
        ("allowed address", "https://192.0.2.7/", Ok("https://192.0.2.7/")),
        ("suffix, other port", "https://a.files.example/", Err(Unreachable::Host)),
        ("other host", "https://evil.example/", Err(Unreachable::Host)),
        ("other host in other words", "\\\\evil.example\\x", Err(Unreachable::Host)),
        ("other host behind a tab", "ht\ttps://evil.example/", Err(Unreachable::Host)),
        ("own host as a user", "https://conda.example@evil.example/", Err(Unreachable::Credential)),
        ("loopback", "https://127.0.0.1/", Err(Unreachable::Host)),
        ("plain", "http://cdn.example/x", Err(Unreachable::Downgrade)),
        ("own, plain", "http://conda.example/x", Err(Unreachable::Downgrade)),
        ("user", "https://u@cdn.example/", Err(Unreachable::Credential)),
        ("password", "https://:p@cdn.example/", Err(Unreachable::Credential)),
        ("token", "/t/abc/chan/", Err(Unreachable::Credential)),
        ("token, encoded", "/%74/abc/chan/", Err(Unreachable::Credential)),
        ("query", "/x?token=abc", Err(Unreachable::Query)),
        ("file", "file:///etc/passwd", Err(Unreachable::Malformed)),
        ("no URL", "https://[", Err(Unreachable::Malformed)),
    ];
    for (name, reference, expected) in rows {
        assert_eq!(resolve(&upstream, reference), expected.map(str::to_owned), "{name}: {reference:?}");
    }
    assert_eq!(upstream.url_of(1, &path("linux-64/x.conda")), None);
}

#[test]
fn file_of_a_directory_has_its_name_in_one_encoding() {
    let file = path("label/dev/linux-64/x-1!2+cu-0.conda");
    for base in ["https://a.example/p", "https://a.example/p/"] {
        let lead = Lead::new(0, Url::parse(base).unwrap()).file_of(&file);
        assert_eq!(lead.url().as_str(), "https://a.example/p/x-1%212%2Bcu-0.conda");
    }
    let root = Lead::new(0, Url::parse("https://a.example").unwrap()).file_of(&file);
    assert_eq!(root.url().path(), "/x-1%212%2Bcu-0.conda");
}

#[test]
fn directory_leads_inside_itself() {
    let upstream = upstreams("file:///srv/chan", &[]);
    let rows: [(&str, Result<&str, Unreachable>); 9] = [
        ("./", Ok("file:///linux-64/")),
        ("../pool/x%20y/", Ok("file:///pool/x%20y/")),
        ("file:///srv/chan/pool", Ok("file:///pool")),
        ("/srv/chan/pool", Ok("file:///pool")),
        ("/srv/channel/pool", Err(Unreachable::Outside)),
        ("../../pool", Err(Unreachable::Outside)),
        ("file://host/srv/chan/pool", Err(Unreachable::Outside)),
        ("https://a.example/", Err(Unreachable::Outside)),
        ("../t/abc/pool", Err(Unreachable::Credential)),
    ];
    for (reference, expected) in rows {
        assert_eq!(resolve(&upstream, reference), expected.map(str::to_owned), "{reference:?}");
    }
}

proptest! {
    #[test]
    fn what_is_within_reach_has_an_allowed_host_and_no_credential(
        parts in prop::collection::vec(
            prop_oneof![
                Just("..".to_owned()), Just("https:".to_owned()), Just("http:".to_owned()), Just("conda.example".to_owned()),
                Just("evil.example".to_owned()), Just("cdn.example".to_owned()), Just("t".to_owned()), Just("%54".to_owned()),
                "[/\\\\:?#%@.]{1,3}", "[a-z0-9]{1,3}", "[ \t\n\u{3002}]",
            ],
            0..8,
        ),
    ) {
        let upstream = upstreams("https://conda.example/chan", &["cdn.example"]);
        if let Ok(url) = resolve(&upstream, &parts.concat()) {
            let url = Url::parse(&url).unwrap();
            prop_assert!(matches!(url.host_str(), Some("conda.example" | "cdn.example")), "{url}");
            prop_assert_eq!((url.scheme(), url.username(), url.password(), url.query()), ("https", "", None, None));
            let mut segments = url.path_segments().unwrap();
            prop_assert!(segments.all(|segment| !matches!(segment, "t" | "T" | "%74" | "%54")), "{url}");
        }
    }
}
