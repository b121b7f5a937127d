//! When tokens were last shown: written after the requests, in batches, and for known tokens only.

use std::net::{IpAddr, Ipv4Addr};

use channelgate::auth::Carrier;
use channelgate::store::{self, LastUse, Store};
use channelgate::token::EndCause;

use crate::support::gate::Gate;

const INDEX: &str = "main/noarch/repodata.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_use_and_refusals_are_kept_when_the_gate_has_stopped() {
    let gate = Gate::builder().fixtures().manual_clock().start().await;
    let reads = gate.scoped("reads", "repos", None, None).await;
    let revoked = gate.scoped("revoked", "repos", None, None).await;
    let narrow = gate.scoped("narrow", "repos", Some(&["team/nested"]), None).await;
    let unused = gate.scoped("unused", "repos", None, None).await;
    gate.end(&revoked, EndCause::Revoked).await;
    let now = gate.app.clock().now();
    assert_eq!(gate.get(&format!("/t/{}/{INDEX}", reads.value)).await.status, 200);
    let bearer = format!("Bearer {}", reads.value);
    assert_eq!(gate.ask("HEAD", &format!("/{INDEX}"), &[("Authorization", &bearer)]).await.status, 200);
    // A file that is not there was permitted none the less.
    assert_eq!(gate.get(&format!("/t/{}/main/noarch/none.conda", reads.value)).await.status, 404);
    for _ in 0..3 {
        assert_eq!(gate.get(&format!("/t/{}/{INDEX}", revoked.value)).await.status, 401);
    }
    assert_eq!(gate.get(&format!("/t/{}/{INDEX}", narrow.value)).await.status, 403);
    let rows_before = gate.store().tokens("default", None, 100).await.unwrap().len();
    for number in 0..50 {
        let garbage = format!("garbage-garbage-garbage-{number}");
        assert_eq!(gate.get(&format!("/t/{garbage}/{INDEX}")).await.status, 401);
    }
    let url = format!("sqlite:{}/var/channelgate.db", gate.directory.path().display());
    let Gate { app, directory, .. } = gate;
    app.stop().await;

    let store = Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap();
    let used = store.last_use(reads.id).await.unwrap();
    let last = used.used.unwrap();
    assert_eq!((last.at, last.carrier, last.address), (now, Carrier::Path, IpAddr::V4(Ipv4Addr::LOCALHOST)));
    assert_eq!(used.refused, None);
    for (token, code, count) in [(&revoked, "token_revoked", 3), (&narrow, "channel_forbidden", 1)] {
        let LastUse { used: None, refused: Some(refused) } = store.last_use(token.id).await.unwrap() else {
            panic!("{code}")
        };
        assert_eq!((refused.at, refused.code.as_str(), refused.count), (now, code, count));
    }
    assert_eq!(store.last_use(unused.id).await.unwrap(), LastUse::default());
    let listed = store.tokens("default", None, 100).await.unwrap();
    assert_eq!(listed.len(), rows_before);
    assert_eq!(listed.iter().filter(|listed| listed.last_use != LastUse::default()).count(), 3);
    drop(directory);
}
