//! Redirects are followed inside, and lead nowhere by surprise.

use channelgate::upstream::{Auth, FetchError, Invalid, Method, RedirectFault, SecretSource, UpstreamConfig};

use super::{FILE, Subject, always, config, read};
use crate::support::faulty::{Faulty, Reply};

fn refused(fault: RedirectFault) -> Option<FetchError> {
    Some(FetchError::Invalid(Invalid::Redirect(fault)))
}

fn allowing(server: &Faulty, hosts: &[&str]) -> UpstreamConfig {
    let allowed_hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    UpstreamConfig { allowed_hosts, ..config(&server.url("/chan")) }
}

#[tokio::test]
async fn redirect_inside_the_origin_is_followed_with_conditions_and_query() {
    for status in [301, 302, 303, 307, 308] {
        let server = Faulty::start(move |seen| match seen.target.as_str() {
            "/elsewhere?a=b" => Reply::new(200).body("here"),
            _ => Reply::new(status).header("Location", "/elsewhere?a=b#part"),
        })
        .await;
        let subject = Subject::of(&server);
        let fetched = subject.ask(Method::Get, FILE, &[("If-None-Match", "\"a\"")]).await.ok().unwrap();
        assert_eq!(read(fetched).await.unwrap(), b"here", "{status}");
        let seen = server.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1].header("If-None-Match"), Some("\"a\""));
        assert_eq!(seen[1].header("Referer"), None);
    }
}

/// Name, location, allowed hosts, and the fault.
#[tokio::test]
async fn redirect_that_breaks_a_rule_is_not_followed() {
    let other = always(Reply::new(200).body("other")).await;
    let port = other.address().port();
    type Row = (&'static str, String, &'static [&'static str], RedirectFault);
    let rows: Vec<Row> = vec![
        ("another host", "http://example.org/x".to_owned(), &[], RedirectFault::Host),
        ("another port", other.url("/x"), &[], RedirectFault::Host),
        (
            "the same port of another name",
            format!("http://localhost:{port}/x"),
            &["127.0.0.1"],
            RedirectFault::Host,
        ),
        ("a listed host at another port", other.url("/x"), &["127.0.0.1:1"], RedirectFault::Host),
        ("an address in disguise", format!("http://0x7f.1:{port}/x"), &["example.org"], RedirectFault::Host),
        ("the suffix itself", "http://example.org/".to_owned(), &["*.example.org"], RedirectFault::Host),
        ("a suffix by half", "http://anexample.org/".to_owned(), &["*.example.org"], RedirectFault::Host),
        ("userinfo", format!("http://a:b@127.0.0.1:{port}/x"), &["127.0.0.1"], RedirectFault::Userinfo),
        ("user alone", format!("http://a@127.0.0.1:{port}/x"), &["127.0.0.1"], RedirectFault::Userinfo),
        ("another scheme", "ftp://127.0.0.1/x".to_owned(), &["127.0.0.1"], RedirectFault::Malformed),
        ("a file", "file:///etc/passwd".to_owned(), &["127.0.0.1"], RedirectFault::Malformed),
        ("no URL", "http://[".to_owned(), &["127.0.0.1"], RedirectFault::Malformed),
        ("the same URL", format!("/chan/{FILE}"), &[], RedirectFault::Loop),
    ];
    for (name, location, allowed, fault) in rows {
        let server = always(Reply::redirect(&location)).await;
        let subject = Subject::new(&[allowing(&server, allowed)]);
        assert_eq!(subject.get(FILE).await.err(), refused(fault), "{name}");
        assert_eq!(server.seen().len(), 1, "{name}");
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn redirect_that_only_adds_a_slash_means_that_there_is_no_such_file() {
    for (name, location) in [
        ("path", "/chan/noarch/a+b/"),
        ("relative", "a+b/"),
        ("encoded otherwise", "/chan/noarch/a%2Bb/"),
        ("query", "/chan/noarch/a+b/?C=N;O=D"),
    ] {
        let server = Faulty::start(move |seen| match seen.target.contains("b/") {
            true => Reply::new(200).body("<html>a listing</html>"),
            false => Reply::new(301).header("Location", location),
        })
        .await;
        let fetched = Subject::of(&server).get("noarch/a+b").await;
        assert_eq!(fetched.err(), Some(FetchError::Missing), "{name}");
        assert_eq!(server.seen().len(), 1, "{name}");
    }
    // Another directory is another place.
    let server = Faulty::start(|seen| match seen.target.as_str() {
        "/other/a+b/" => Reply::new(200).body("here"),
        _ => Reply::new(301).header("Location", "/other/a+b/"),
    })
    .await;
    let fetched = Subject::of(&server).get("noarch/a+b").await.ok().unwrap();
    assert_eq!(read(fetched).await.unwrap(), b"here");
}

#[tokio::test]
async fn redirect_to_two_places_is_not_followed() {
    let server = always(Reply::redirect("/a").header("Location", "/b")).await;
    assert_eq!(Subject::of(&server).get(FILE).await.err(), refused(RedirectFault::Malformed));
}

#[tokio::test]
async fn redirect_loop_ends() {
    let circle = Faulty::start(|seen| Reply::redirect(if seen.target == "/a" { "/b" } else { "/a" })).await;
    assert_eq!(Subject::of(&circle).get(FILE).await.err(), refused(RedirectFault::Loop));
    assert_eq!(circle.seen().len(), 3);
    let endless = Faulty::start(|seen| Reply::redirect(&format!("{}x", seen.target))).await;
    assert_eq!(Subject::of(&endless).get(FILE).await.err(), refused(RedirectFault::TooMany));
    assert_eq!(endless.seen().len(), 6);
}

#[tokio::test]
async fn redirect_from_https_to_http_is_not_followed() {
    let plain = always(Reply::new(200)).await;
    let location = plain.url("/x");
    let server = Faulty::start_tls(move |_| Reply::redirect(&location)).await;
    let ca_file = Some(server.ca_file().to_owned());
    let subject = Subject::new(&[UpstreamConfig { ca_file, ..allowing(&server, &["127.0.0.1"]) }]);
    assert_eq!(subject.get(FILE).await.err(), refused(RedirectFault::Downgrade));
    assert_eq!(plain.connections(), 0);
}

#[tokio::test]
async fn redirect_from_http_to_listed_https_is_followed() {
    let secure = Faulty::start_tls(|_| Reply::new(200).body("secure")).await;
    let location = secure.url("/x");
    let server = always(Reply::redirect(&location)).await;
    let ca_file = Some(secure.ca_file().to_owned());
    let subject = Subject::new(&[UpstreamConfig { ca_file, ..allowing(&server, &["127.0.0.1"]) }]);
    assert_eq!(subject.download().await.unwrap(), b"secure");
}

/// The upstream is 127.0.0.2, so that 127.0.0.1 is not its own address. Name, URL's host, allowed hosts, and whether it is reached.
#[tokio::test]
async fn listed_name_does_not_admit_addresses_that_are_not_public() {
    let rows: [(&str, &str, &[&str], bool); 7] = [
        ("name", "localhost", &["localhost"], false),
        ("name and port", "localhost", &["localhost:PORT"], false),
        ("name and address", "localhost", &["localhost", "127.0.0.1"], true),
        ("name and network", "localhost", &["localhost", "127.0.0.0/8"], true),
        ("name and another network", "localhost", &["localhost", "10.0.0.0/8"], false),
        ("address", "127.0.0.1", &["127.0.0.1:PORT"], true),
        ("mapped address", "[::ffff:127.0.0.1]", &["127.0.0.0/8"], true),
    ];
    for (name, host, allowed, is_reached) in rows {
        let inside = always(Reply::new(200).body("inside")).await;
        let port = inside.address().port();
        let location = format!("http://{host}:{port}/x");
        let server = Faulty::start_at("127.0.0.2", move |_| Reply::redirect(&location)).await;
        let allowed: Vec<String> =
            allowed.iter().map(|entry| entry.replace("PORT", &port.to_string())).collect();
        let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
        let subject = Subject::new(&[allowing(&server, &allowed)]);
        let fetched = subject.get(FILE).await;
        if is_reached {
            assert_eq!(read(fetched.ok().unwrap()).await.unwrap(), b"inside", "{name}");
        } else {
            assert_eq!(fetched.err(), refused(RedirectFault::Address), "{name}");
            assert_eq!(inside.connections(), 0, "{name}");
        }
    }
}

#[tokio::test]
async fn address_of_the_upstream_itself_is_no_surprise() {
    let beside = always(Reply::new(200).body("beside")).await;
    let location = format!("http://localhost:{}/x", beside.address().port());
    let server = always(Reply::redirect(&location)).await;
    let subject = Subject::new(&[allowing(&server, &["localhost"])]);
    assert_eq!(subject.download().await.unwrap(), b"beside");
}

/// A connection to the upstream's own origin was made without the rule about addresses. Another upstream that redirects to the same
/// authority must not profit from it, nor may the same one after it was led away.
#[tokio::test]
async fn pooled_connection_of_the_own_origin_is_not_used_for_redirects() {
    let inside = always(Reply::new(200).body("inside")).await;
    let own = Subject::of(&inside);
    assert_eq!(own.download().await.unwrap(), b"inside");
    let location = format!("http://localhost:{}/x", inside.address().port());
    let server = Faulty::start_at("127.0.0.2", move |_| Reply::redirect(&location)).await;
    let subject = Subject::new(&[config(&inside.url("/chan")), allowing(&server, &["localhost"])]);
    assert_eq!(subject.download().await.unwrap(), b"inside");
    let other = Subject::new(&[allowing(&server, &["localhost"])]);
    assert_eq!(other.get(FILE).await.err(), refused(RedirectFault::Address));
}

#[tokio::test]
async fn credentials_stay_on_the_origin_and_do_not_come_back() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "upstream-secret\n").unwrap();
    let source = || SecretSource::File(secret.path().to_owned());
    let basic = Auth::Basic { user: "robot".to_owned(), password: source() };
    let rows = [
        ("bearer", Auth::Bearer(source()), "Authorization", "Bearer upstream-secret"),
        ("token", Auth::Token(source()), "Authorization", "token upstream-secret"),
        ("basic", basic, "Authorization", "Basic cm9ib3Q6dXBzdHJlYW0tc2VjcmV0"),
        ("api key", Auth::ApiKey(source()), "X-API-Key", "upstream-secret"),
    ];
    for (name, auth, header, value) in rows {
        // own ─▶ own ─▶ elsewhere ─▶ own
        let back = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
        let to = std::sync::Arc::clone(&back);
        let elsewhere = Faulty::start(move |_| Reply::redirect(to.get().unwrap())).await;
        let away = elsewhere.url("/away");
        let server = Faulty::start(move |seen| match seen.target.as_str() {
            "/moved" => Reply::redirect(&away),
            "/back" => Reply::new(200).body("done"),
            _ => Reply::redirect("/moved"),
        })
        .await;
        back.set(server.url("/back")).unwrap();
        let auth = Some(auth);
        let subject = Subject::new(&[UpstreamConfig { auth, ..allowing(&server, &["127.0.0.1"]) }]);
        assert_eq!(subject.download().await.unwrap(), b"done", "{name}");
        let own: Vec<_> = server.seen().iter().map(|seen| seen.header(header).map(str::to_owned)).collect();
        assert_eq!(own, [Some(value.to_owned()), Some(value.to_owned()), None], "{name}");
        let lines = format!("{:?}", elsewhere.seen());
        assert!(
            !lines.contains("upstream-secret") && !lines.to_lowercase().contains("authorization"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn token_in_the_path_stands_before_the_base_path() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "a/b-c").unwrap();
    let server = always(Reply::new(200)).await;
    let auth = Some(Auth::Path(SecretSource::File(secret.path().to_owned())));
    let subject = Subject::new(&[UpstreamConfig { auth, ..config(&server.url("/repo/main/")) }]);
    subject.get(FILE).await.ok().unwrap();
    assert_eq!(server.seen()[0].target, format!("/t/a%2Fb-c/repo/main/{FILE}"));
}

#[tokio::test]
async fn head_refused_behind_a_redirect_is_asked_as_get_from_the_start() {
    let storage = Faulty::start(|seen| {
        let signed = seen.target == "/x?signed-for=GET" && seen.method == "GET";
        if signed { Reply::new(200).body("hello") } else { Reply::new(403) }
    })
    .await;
    let location = storage.url("/x?signed-for=");
    let server = Faulty::start(move |seen| Reply::redirect(&format!("{location}{}", seen.method))).await;
    let subject = Subject::new(&[allowing(&server, &["127.0.0.1"])]);
    let fetched = subject.ask(Method::Head, FILE, &[]).await.ok().unwrap();
    assert_eq!((fetched.length, fetched.body.remaining()), (Some(5), Some(0)));
}
