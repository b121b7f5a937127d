//! Grants of packages and labels: what is not granted is not there.

use std::time::Duration;

use channelgate::account::{Grant, Permission};
use channelgate::store::{Actor, ActsAs, NewToken, Purpose};
use channelgate::token::Minted;

use super::stage::{Client, bytes_of, document_of, origin, set};
use crate::cache::origin::Origin;
use crate::support::gate::Gate;

/// A gate whose channel is private, and a token of a group that is granted this.
async fn granted(origin: &Origin, packages: &[&str], labels: &[&str]) -> (Gate, String) {
    let gate = Gate::builder().channel("main", &origin.url()).manual_clock().start().await;
    let token = grant(&gate, "some", packages, labels).await;
    (gate, token)
}

/// Grants a new group this, and gives a token of it.
async fn grant(gate: &Gate, group: &str, packages: &[&str], labels: &[&str]) -> String {
    let (store, now, by) = (gate.store(), gate.app.clock().now(), Actor::gate());
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let grant = Grant {
        packages: texts(packages),
        labels: texts(labels),
        ..Grant::whole("main".to_owned(), Permission::Read)
    };
    store.create_group("default", group, &by, now).await.unwrap();
    store.grant("default", group, &grant, &by, now).await.unwrap();
    let minted = Minted::random().unwrap();
    let token = NewToken {
        organization: "default".into(),
        purpose: Purpose::Scoped { name: group.into(), acts_as: Some(ActsAs::Group(group.into())) },
        scopes: "conda:download".parse().unwrap(),
        channels: None,
        expires_at: None,
        imported: false,
        api_key: None,
        replaces_namesake: false,
    };
    store.insert_token(&token, &minted.digest(), &by, now, Duration::ZERO).await.unwrap();
    gate.app.verifier().catch_up().await.unwrap();
    minted.expose().to_owned()
}

#[tokio::test]
async fn package_that_is_not_granted_is_as_one_that_is_not_there() {
    let origin = origin().await;
    let (gate, token) = granted(&origin, &["numpy", "sci*"], &[]).await;
    let client = Client::with_token(&gate, &token);
    let visible = set(&["numpy-1-0.tar.bz2", "numpy-2-0.conda", "scipy-1-0.tar.bz2"]);
    assert_eq!(client.files("noarch/repodata.json").await, visible);
    assert_eq!(client.files("noarch/repodata.json.zst").await, visible);
    assert_eq!(client.files_in_shards().await, visible);
    assert_eq!(client.fetched().await, visible);
    let (hidden, missing) =
        (client.get("noarch/secret-1-0.conda").await, client.get("noarch/secret-0-9.conda").await);
    assert_eq!((hidden.status, missing.status), (404, 404));
    let told = |reply: &crate::support::client::Reply| {
        let mut problem = reply.json();
        problem["request_id"].take();
        problem
    };
    assert_eq!(told(&hidden), told(&missing));
    assert_eq!(origin.asked("noarch/secret-1-0.conda"), [] as [&str; 0]);
    for path in
        ["noarch/repodata.json", "noarch/repodata.json.zst", "channeldata.json", "noarch/run_exports.json"]
    {
        let text = String::from_utf8(client.bytes(path).await).unwrap();
        assert!(!text.contains("secret") && !text.contains(&token), "{path}: {text}");
    }
}

#[tokio::test]
async fn equal_rights_share_what_is_made() {
    let origin = origin().await;
    let (gate, one) = granted(&origin, &["numpy"], &[]).await;
    let other = grant(&gate, "other", &["numpy"], &[]).await;
    let first = Client::with_token(&gate, &one).get("noarch/repodata.json").await;
    let count = origin.count();
    let second = Client::with_token(&gate, &other).get("noarch/repodata.json").await;
    assert_eq!((first.header("etag"), &first.body), (second.header("etag"), &second.body));
    assert_eq!(origin.count(), count);
    let metrics = crate::support::client::ask(gate.admin(), "GET", "/metrics", &[]).await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        "channelgate_index_made_total{kind=\"document\",outcome=\"made\"} 1",
        "channelgate_index_made_total{kind=\"document\",outcome=\"kept\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn label_that_is_not_granted_is_forbidden_whether_it_exists_or_not() {
    let origin = origin().await;
    for label in ["dev", "other"] {
        let document = document_of(&["numpy-1-0.tar.bz2", "secret-1-0.conda"]).to_string();
        origin.put(&format!("label/{label}/noarch/repodata.json"), document, &[]);
        origin.put(&format!("label/{label}/noarch/numpy-1-0.tar.bz2"), bytes_of("numpy-1-0.tar.bz2"), &[]);
    }
    let (gate, token) = granted(&origin, &["numpy"], &["dev"]).await;
    let client = Client::with_token(&gate, &token);
    assert_eq!(client.files("label/dev/noarch/repodata.json").await, set(&["numpy-1-0.tar.bz2"]));
    assert_eq!(client.verdict("label/dev/noarch/numpy-1-0.tar.bz2").await, "200");
    assert_eq!(client.verdict("label/dev/noarch/secret-1-0.conda").await, "404 not_found");
    for path in [
        "noarch/repodata.json",
        "noarch/numpy-1-0.tar.bz2",
        "label/other/noarch/repodata.json",
        "label/none/noarch/repodata.json",
    ] {
        assert_eq!(client.verdict(path).await, "403 channel_forbidden", "{path}");
    }
}
