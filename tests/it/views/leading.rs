//! Indexes that lead past the gate: rewritten, and what they lead to is served by the gate.

use serde_json::json;

use super::stage::{Client, bytes_of, document_of, gate, origin, put_document, set};
use crate::cache::origin::Origin;
use crate::support::gate::Gate;

/// A gate whose upstream says that its packages are on another server, which it may go to.
async fn leading(files: &[&str]) -> (Gate, Origin, Origin) {
    let (index, packages) = (Origin::start().await, Origin::start().await);
    let mut document = document_of(files);
    document["info"]["base_url"] = json!(format!("{}/elsewhere/", packages.url()));
    put_document(&index, "repodata.json", &document);
    for file in files {
        packages.put(&format!("elsewhere/{file}"), bytes_of(file), &[]);
    }
    let host = packages.url().trim_start_matches("http://").to_owned();
    let lines = format!(
        "access = \"public\"\nupstreams = [\"{}\"]\nallowed_hosts = [\"{host}\"]\n[[channels.rules]]\npackages = \"secret\"\naction = \"block\"",
        index.url()
    );
    let gate = Gate::builder().channel_with("main", &lines).manual_clock().start().await;
    (gate, index, packages)
}

#[tokio::test]
async fn packages_that_are_elsewhere_are_served_here() {
    for rules in [true, false] {
        let (gate, index, packages) =
            leading(&["numpy-1-0.tar.bz2", "numpy-2-0.conda", "secret-1-0.conda"]).await;
        let host = packages.url().trim_start_matches("http://").to_owned();
        let whole =
            format!("access = \"public\"\nupstreams = [\"{}\"]\nallowed_hosts = [\"{host}\"]", index.url());
        let whole = Gate::builder().channel_with("main", &whole).manual_clock().start().await;
        let client = Client::anonymous(if rules { &gate } else { &whole });
        let mut visible = set(&["numpy-1-0.tar.bz2", "numpy-2-0.conda"]);
        if !rules {
            visible.insert("secret-1-0.conda".to_owned());
        }
        for path in ["noarch/repodata.json", "noarch/repodata.json.zst"] {
            let document = client.json(path).await;
            assert!(document["info"].get("base_url").is_none_or(|base| base == ""), "{document}");
            assert_eq!(super::stage::files_in(&document), visible, "{path}");
            assert_eq!(document["x-top"], "kept");
        }
        assert_eq!(client.files_in_shards().await, visible);
        let reply = client.get("noarch/numpy-2-0.conda").await;
        assert_eq!((reply.status, reply.body), (200, bytes_of("numpy-2-0.conda")), "rules: {rules}");
        assert_eq!(packages.asked("elsewhere/numpy-2-0.conda"), ["GET"]);
        assert_eq!(client.verdict("noarch/repodata.json.bz2").await, "404 not_found");
        index.put("noarch/repodata.jlap", "", &[]);
        assert_eq!(client.verdict("noarch/repodata.jlap").await, "404 not_found");
    }
}

#[tokio::test]
async fn index_that_leads_out_of_reach_leaves_the_generation_before() {
    let origin = origin().await;
    let gate = gate(&origin, "").start().await;
    let client = Client::anonymous(&gate);
    let before = client.get("noarch/repodata.json").await.body;
    let mut document = document_of(&["numpy-1-0.tar.bz2"]);
    document["info"]["base_url"] = json!("https://elsewhere.example/");
    put_document(&origin, "repodata.json", &document);
    gate.hands.as_ref().unwrap().advance(std::time::Duration::from_secs(61));
    let after = client.get("noarch/repodata.json").await;
    assert_eq!((after.status, after.body), (200, before));
    let fresh = super::stage::gate(&origin, "").start().await;
    assert_eq!(Client::anonymous(&fresh).verdict("noarch/repodata.json").await, "502 upstream_invalid");
}
