//! Bodies: validators, conditions, ranges, freshness, and the headers around them.

use crate::support::gate::{Gate, fixture_channel};

const PACKAGE: &str = "/open/noarch/hello-noarch-1.0-0.conda";

fn package() -> Vec<u8> {
    std::fs::read(fixture_channel().join("noarch/hello-noarch-1.0-0.conda")).unwrap()
}

#[tokio::test]
async fn responses_carry_what_clients_need_and_nothing_else() {
    let gate = Gate::with_fixtures().await;
    let token = gate.bootstrap_token();
    let reply = gate.get(&format!("/t/{token}/main/noarch/hello-noarch-1.0-0.conda")).await;
    assert_eq!(reply.body, package());
    let mut names: Vec<&str> = reply.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept-ranges",
            "cache-control",
            "cache-status",
            "content-length",
            "content-security-policy",
            "content-type",
            "date",
            "etag",
            "last-modified",
            "x-content-type-options",
            "x-request-id"
        ]
    );
    assert_eq!(reply.header("content-security-policy"), Some("sandbox; default-src 'none'"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("cache-status"), Some("channelgate; fwd=miss; stored"));
    assert_eq!(reply.header("accept-ranges"), Some("bytes"));
    assert_eq!(reply.header("cache-control"), Some("private"));
    assert!(reply.header("etag").unwrap().starts_with('"'), "a strong tag");
}

#[tokio::test]
async fn conditions_and_ranges_are_answered() {
    let gate = Gate::with_fixtures().await;
    let whole = gate.get(PACKAGE).await;
    let (etag, modified) = (whole.header("etag").unwrap(), whole.header("last-modified").unwrap());
    let all = package();
    let length = all.len();
    let old = "Thu, 01 Jan 1970 00:00:00 GMT";
    let part = |from: usize, to: usize| {
        (206, all[from..to].to_vec(), Some(format!("bytes {from}-{}/{length}", to - 1)))
    };
    let none = |status| (status, Vec::new(), None);
    let full = || (200, all.clone(), None);
    for (name, headers, expected) in [
        ("etag", vec![("if-none-match", etag)], none(304)),
        ("other etag", vec![("if-none-match", "\"other\"")], full()),
        ("date", vec![("if-modified-since", modified)], none(304)),
        ("old date", vec![("if-modified-since", old)], full()),
        ("resume", vec![("range", "bytes=10-")], part(10, length)),
        ("first and last", vec![("range", "bytes=10-19")], part(10, 20)),
        ("suffix", vec![("range", "bytes=-7")], part(length - 7, length)),
        ("suffix longer than the file", vec![("range", "bytes=-65536")], part(0, length)),
        ("if-range holds", vec![("range", "bytes=0-0"), ("if-range", etag)], part(0, 1)),
        ("if-range fails", vec![("range", "bytes=0-0"), ("if-range", "\"other\"")], full()),
        ("if-range by date", vec![("range", "bytes=0-0"), ("if-range", modified)], part(0, 1)),
        ("several ranges", vec![("range", "bytes=0-0,2-3")], full()),
        ("nonsense range", vec![("range", "pages=1")], full()),
        ("304 before range", vec![("range", "bytes=0-0"), ("if-none-match", etag)], none(304)),
        (
            "behind the end",
            vec![("range", "bytes=99999999-")],
            (416, Vec::new(), Some(format!("bytes */{length}"))),
        ),
    ] {
        let reply = gate.ask("GET", PACKAGE, &headers).await;
        let seen = (reply.status, reply.body.clone(), reply.header("content-range").map(str::to_owned));
        assert_eq!(seen, expected, "{name}");
        if matches!(reply.status, 206 | 304) {
            assert_eq!(reply.header("etag"), Some(etag), "{name}");
        }
    }
}

#[tokio::test]
async fn conditions_are_looked_at_only_after_authorization() {
    let gate = Gate::with_fixtures().await;
    let token = gate.bootstrap_token();
    let etag = gate.get(&format!("/t/{token}/main/noarch/repodata.json")).await;
    let etag = etag.header("etag").unwrap();
    for header in [
        ("if-none-match", etag),
        ("if-none-match", "*"),
        ("range", "bytes=99999999-"),
        ("range", "bytes=0-0"),
    ] {
        let reply = gate.ask("GET", "/main/noarch/repodata.json", &[header]).await;
        assert_eq!(reply.verdict(), "401 token_missing", "{header:?}");
    }
}

#[tokio::test]
async fn indexes_have_different_tags_by_form_and_conditions_of_their_own() {
    let gate = Gate::with_fixtures().await;
    let mut tags = Vec::new();
    for form in ["repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst"] {
        let target = format!("/open/noarch/{form}");
        for round in ["inspected", "remembered"] {
            let reply = gate.get(&target).await;
            assert_eq!(
                reply.body,
                std::fs::read(fixture_channel().join("noarch").join(form)).unwrap(),
                "{form}, {round}"
            );
            let etag = reply.header("etag").unwrap().to_owned();
            let again = gate.ask("GET", &target, &[("if-none-match", &etag)]).await;
            assert_eq!(again.status, 304, "{form}, {round}");
            let part = gate.ask("GET", &target, &[("range", "bytes=-5")]).await;
            assert_eq!(
                (part.status, part.body.as_slice()),
                (206, &reply.body[reply.body.len() - 5..]),
                "{form}, {round}"
            );
            tags.push(etag);
        }
    }
    tags.dedup();
    assert_eq!(tags.len(), 3, "{tags:?}");
}

#[tokio::test]
async fn shards_may_be_kept_for_ever() {
    let gate = Gate::with_fixtures().await;
    let token = gate.bootstrap_token();
    let shard = std::fs::read_dir(fixture_channel().join("noarch/shards"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    let reply = gate.get(&format!("/t/{token}/main/noarch/shards/{}", shard.to_str().unwrap())).await;
    assert_eq!(reply.header("cache-control"), Some("private, max-age=31536000, immutable"));
}

#[tokio::test]
async fn no_credential_on_a_public_channel_is_not_private() {
    let gate = Gate::with_fixtures().await;
    assert_eq!(gate.get(PACKAGE).await.header("cache-control"), None);
    let token = gate.bootstrap_token();
    assert_eq!(gate.get(&format!("/t/{token}{PACKAGE}")).await.header("cache-control"), Some("private"));
}
