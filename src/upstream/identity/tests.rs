//! What makes two sets of upstreams one, and what does not.

use super::*;

fn id(urls: &[&str]) -> UpstreamsId {
    let configs: Vec<_> = urls
        .iter()
        .map(|url| UpstreamConfig { url: (*url).to_owned(), ..UpstreamConfig::default() })
        .collect();
    UpstreamsId::of(&configs)
}

#[test]
fn identity_tells_sets_of_upstreams_apart_by_where_they_are() {
    let sets: [&[&str]; 7] = [
        &["https://a.example/c"],
        &["http://a.example/c"],
        &["https://a.example/c/d"],
        &["https://a.example/c", "https://b.example/c"],
        &["https://b.example/c", "https://a.example/c"],
        &["file:///a.example/c"],
        &["file:a.example/c"],
    ];
    for (number, set) in sets.iter().enumerate() {
        for (other_number, other) in sets.iter().enumerate() {
            assert_eq!(id(set) == id(other), number == other_number, "{set:?} {other:?}");
        }
    }
}

#[test]
fn identity_does_not_depend_on_how_a_url_is_written_or_on_secrets() {
    assert_eq!(id(&["https://A.example:443/c/"]), id(&["https://a.example/c"]));
    assert_eq!(id(&["file:///srv/c/"]), id(&["file://localhost/srv/c"]));
    let with_secret = UpstreamConfig {
        url: "https://a.example/c".to_owned(),
        auth: Some(crate::upstream::Auth::ApiKey(crate::upstream::SecretSource::Environment("KEY".into()))),
        ..UpstreamConfig::default()
    };
    assert_eq!(UpstreamsId::of(&[with_secret]), id(&["https://a.example/c"]));
}

#[test]
fn identity_reads_what_it_prints_and_nothing_else() {
    let id = id(&["https://a.example/c"]);
    assert_eq!(id.to_string().parse(), Ok(id));
    for other in ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "+123456789abcdef"] {
        assert_eq!(other.parse::<UpstreamsId>(), Err(NotAnId), "{other}");
    }
}
