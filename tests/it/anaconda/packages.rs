//! `anaconda download`: a package's files, as the caller may see them, and their bytes.

use serde_json::Value;

use super::stage::{Stage, bearer};
use crate::support::client::Reply;

fn basenames(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{}", reply.json());
    let json = reply.json();
    let files = json["files"].as_array().unwrap().iter();
    files
        .map(|file| {
            assert_eq!(file["type"], "conda");
            // Without a date that it can read the client crashes.
            assert!(file["upload_time"].as_str().unwrap().ends_with('Z'), "{file}");
            file["basename"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn package_is_listed_and_downloaded_from_any_channel_and_label() {
    let stage = Stage::new().await;
    let token = stage.individual("acme", "alice").await;
    for (channel, expected) in [
        ("main", vec!["linux-64/libtiny-1.0-0.conda", "linux-64/libtiny-1.1-0.conda"]),
        ("repo/main", vec!["linux-64/libtiny-1.0-0.conda", "linux-64/libtiny-1.1-0.conda"]),
        ("repo%2Fmain", vec!["linux-64/libtiny-1.0-0.conda", "linux-64/libtiny-1.1-0.conda"]),
        ("main/label/dev", vec!["linux-64/libtiny-1.2-0.conda"]),
    ] {
        let listed = stage.get(&token, &format!("/package/{channel}/libtiny")).await;
        assert_eq!(basenames(&listed), expected, "{channel}");
        for basename in expected {
            let version = basename.split('-').nth(2).unwrap();
            let path = format!("/download/{channel}/libtiny/{version}/{basename}");
            let reply = stage.get(&token, &path).await;
            assert_eq!(reply.status, 200, "{path}");
            let plain = channel.replace("%2F", "/");
            let file = stage.gate.get(&format!("/t/{}/{plain}/{basename}", token.value)).await;
            assert!(reply.body == file.body && !file.body.is_empty(), "{path}");
            assert!(reply.header("location").is_none(), "a redirect is followed without the token");
        }
    }
    let version = stage.get(&token, "/download/main/libtiny/9.9/linux-64/libtiny-1.0-0.conda").await;
    assert_eq!(version.status, 404, "the file is of another version");
}

#[tokio::test]
async fn what_the_channel_refuses_is_refused_in_words_that_the_client_shows() {
    let stage = Stage::new().await;
    let token = stage.individual("acme", "bob").await;
    for (authorization, status) in
        [(String::new(), 401), ("token nonsense".into(), 401), (bearer(&token), 403)]
    {
        if status == 403 {
            stage.restrict("acme", "repo/main").await;
        }
        for path in
            ["/package/repo/main/libtiny", "/download/repo/main/libtiny/1.0/linux-64/libtiny-1.0-0.conda"]
        {
            let reply = stage.ask(&authorization, "GET", path, &Value::Null).await;
            assert_eq!(reply.status, status, "{path}: {}", reply.json());
            assert!(reply.json()["error"].is_string(), "{path}: {}", reply.json());
        }
    }
    for path in
        ["/package/main/none", "/package/main", "/package/", "/download/main/none/1/noarch/none-1-0.conda"]
    {
        let reply = stage.get(&token, path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.json()["error"].is_string(), "{path}");
    }
    for path in ["/package/main/../x", "/download/main/x/1/noarch/%2e%2e%2fx-1-0.conda"] {
        let reply = stage.get(&token, path).await;
        assert!([400, 404].contains(&reply.status), "{path}: {}", reply.status);
    }
}

#[tokio::test]
async fn rules_of_a_channel_hold_here_as_well() {
    let url = format!("file://{}", crate::support::gate::fixture_channel().display());
    let rules = format!(
        "upstreams = [\"{url}\"]\n[[channels.rules]]\npackages = \"libtiny 1.1\"\naction = \"block\"\nreason = \"it is broken\""
    );
    let stage = Stage::at(Stage::builder().channel_with("ruled", &rules)).await;
    let token = stage.individual("acme", "alice").await;
    let listed = stage.get(&token, "/package/ruled/libtiny").await;
    assert_eq!(basenames(&listed), ["linux-64/libtiny-1.0-0.conda"]);
    let blocked = stage.get(&token, "/download/ruled/libtiny/1.1/linux-64/libtiny-1.1-0.conda").await;
    assert_eq!(blocked.status, 451);
    assert!(blocked.json()["error"].as_str().unwrap().contains("it is broken"));
}

#[tokio::test]
async fn public_channel_needs_no_token_and_downloads_do_ranges() {
    let stage = Stage::new().await;
    let listed = stage.gate.get("/package/open/libtiny").await;
    assert_eq!(basenames(&listed).len(), 2);
    let part = stage
        .gate
        .ask("GET", "/download/open/libtiny/1.0/linux-64/libtiny-1.0-0.conda", &[("Range", "bytes=0-9")])
        .await;
    assert_eq!((part.status, part.body.len()), (206, 10));
    let head = stage.gate.head("/download/open/libtiny/1.0/linux-64/libtiny-1.0-0.conda").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}
