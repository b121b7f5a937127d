//! Path rules: what is read, what is refused, and what an upstream then sees.

use crate::support::gate::{Gate, fixture_channel};

#[tokio::test]
async fn paths_are_read_or_refused_by_their_rules() {
    let gate = Gate::with_fixtures().await;
    let token = gate.bootstrap_token();
    let digest = std::fs::read_dir(fixture_channel().join("noarch/shards"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    let shard = format!("/t/{token}/main/noarch/shards/{}", digest.to_str().unwrap());
    for (name, target, expected) in [
        ("root", "/".to_owned(), "200"),
        ("index", format!("/t/{token}/main/noarch/repodata.json"), "200"),
        ("package", format!("/t/{token}/main/noarch/hello-noarch-1.0-0.conda"), "200"),
        ("plus, raw", format!("/t/{token}/main/noarch/plus-1.0+cu118-0.conda"), "200"),
        ("plus, encoded", format!("/t/{token}/main/noarch/plus-1.0%2Bcu118-0.conda"), "200"),
        ("epoch, raw", format!("/t/{token}/main/noarch/epoch-1!2.0-0.conda"), "200"),
        ("epoch, encoded", format!("/t/{token}/main/noarch/epoch-1%212.0-0.conda"), "200"),
        ("shard", shard, "200"),
        ("label", format!("/t/{token}/main/label/dev/noarch/repodata.json"), "200"),
        ("label's own package", format!("/t/{token}/main/label/dev/noarch/hello-noarch-1.1-0.conda"), "200"),
        ("channel file", format!("/t/{token}/main/channeldata.json"), "200"),
        ("notices", format!("/t/{token}/main/notices.json"), "200"),
        ("nested channel", format!("/t/{token}/team/nested/linux-64/repodata.json"), "200"),
        ("query is ignored", format!("/t/{token}/main/noarch/repodata.json?x=/../y&t=1"), "200"),
        ("absolute form", format!("http://elsewhere.example/t/{token}/main/noarch/repodata.json"), "200"),
        ("no such file", format!("/t/{token}/main/noarch/nothing-1.0-0.conda"), "404 not_found"),
        ("no such label", format!("/t/{token}/main/label/none/noarch/repodata.json"), "404 not_found"),
        (
            "swapped by conda",
            format!("/t/{token}/main/label/dev/repodata_shards.msgpack.zst/linux-64"),
            "404 not_found",
        ),
        ("directory", format!("/t/{token}/main/noarch"), "404 not_found"),
        ("too deep", format!("/t/{token}/main/noarch/a/b/c"), "404 not_found"),
        ("dot segment", format!("/t/{token}/main/noarch/../noarch/repodata.json"), "400 path_invalid"),
        ("encoded dot segment", format!("/t/{token}/main/%2e%2e/x"), "400 path_invalid"),
        ("dotfile", format!("/t/{token}/main/noarch/.cache"), "400 path_invalid"),
        ("empty segment", format!("/t/{token}/main//noarch/repodata.json"), "400 path_invalid"),
        ("trailing slash", format!("/t/{token}/main/noarch/"), "400 path_invalid"),
        ("backslash", format!("/t/{token}/main/noarch\\repodata.json"), "400 path_invalid"),
        ("encoded slash", format!("/t/{token}/main/noarch%2frepodata.json"), "400 path_invalid"),
        ("double encoding", format!("/t/{token}/main/noarch/%252e%252e"), "400 path_invalid"),
        ("NUL", format!("/t/{token}/main/noarch/a%00b"), "400 path_invalid"),
        ("line feed", format!("/t/{token}/main/noarch/a%0ab"), "400 path_invalid"),
        ("not UTF-8", format!("/t/{token}/main/noarch/%ff"), "400 path_invalid"),
        ("bad escape", format!("/t/{token}/main/noarch/%zz"), "400 path_invalid"),
        ("second token", format!("/t/{token}/t/{token}/main/noarch/repodata.json"), "400 path_invalid"),
        ("too long", format!("/t/{token}/main/noarch/{}", "a".repeat(5_000)), "400 path_invalid"),
    ] {
        let reply = gate.get(&target).await;
        assert_eq!(reply.verdict(), expected, "{name}");
        let head = gate.head(&target).await;
        assert_eq!(head.status, reply.status, "HEAD, {name}");
        assert!(head.body.is_empty(), "HEAD, {name}");
        for header in
            ["content-length", "etag", "last-modified", "content-type", "cache-control", "accept-ranges"]
        {
            // A problem body tells its request's id, whose length may differ.
            if header != "content-length" || reply.status < 400 {
                assert_eq!(head.header(header), reply.header(header), "HEAD, {name}, {header}");
            }
        }
    }
}

#[tokio::test]
async fn raw_and_encoded_names_are_one_file() {
    let gate = Gate::with_fixtures().await;
    let raw = gate.get("/open/noarch/plus-1.0+cu118-0.conda").await;
    let encoded = gate.get("/open/noarch/plus-1.0%2bcu118-0.conda").await;
    assert_eq!(raw.body, encoded.body);
    assert_eq!(raw.header("etag"), encoded.header("etag"));
    assert_eq!(raw.body, std::fs::read(fixture_channel().join("noarch/plus-1.0+cu118-0.conda")).unwrap());
}

#[tokio::test]
async fn only_get_and_head_are_served() {
    let gate = Gate::with_fixtures().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"] {
        let reply = gate.ask(method, "/open/noarch/repodata.json", &[("content-length", "0")]).await;
        assert_eq!(reply.verdict(), "405 method_not_allowed", "{method}");
        assert_eq!(reply.header("allow"), Some("GET, HEAD"), "{method}");
    }
}
