//! `network = "offline"`: nothing goes upstream, whatever is asked for.

use std::time::Duration;

use super::origin::Origin;
use crate::support::gate::{Gate, fixture_channel};

#[tokio::test]
async fn offline_gate_serves_what_it_holds_and_says_why_it_does_not_serve_the_rest() {
    let origin = Origin::of(&fixture_channel()).await;
    let gate = Gate::builder().public_channel("main", &origin.url()).manual_clock().start().await;
    let (package, index) = ("/main/noarch/hello-noarch-1.0-0.conda", "/main/noarch/repodata.json.zst");
    let bodies = [gate.get(package).await.body, gate.get(index).await.body];

    gate.reload("network = \"offline\"\n", "");
    let asked = origin.count();
    for (passed, aged) in [(0, "channelgate; hit"), (365 * 24 * 3_600, "channelgate; hit; detail=offline")] {
        gate.hands.as_ref().unwrap().advance(Duration::from_secs(passed));
        for (target, body, status) in [(package, &bodies[0], "channelgate; hit"), (index, &bodies[1], aged)] {
            let reply = gate.get(target).await;
            assert_eq!((reply.status, &reply.body), (200, body), "{target}");
            assert_eq!(reply.header("cache-status"), Some(status), "{target}");
            assert_eq!(gate.head(target).await.status, 200, "{target}");
        }
    }
    for target in
        ["/main/noarch/absent-1.0-0.conda", "/main/linux-64/repodata.json", "/main/channeldata.json"]
    {
        for method in ["GET", "HEAD"] {
            let reply = gate.ask(method, target, &[]).await;
            assert_eq!(reply.status, 503, "{method} {target}");
            assert!(reply.header("retry-after").is_some(), "{method} {target}");
            if method == "GET" {
                assert_eq!(reply.code(), "upstream_unavailable", "{target}");
                let detail = reply.json()["detail"].as_str().unwrap().to_owned();
                assert!(detail.contains("network = \"offline\"") && detail.contains("warm"), "{detail}");
            }
        }
    }
    let shards = gate.get("/main/noarch/repodata_shards.msgpack.zst").await;
    assert_eq!(shards.verdict(), "200", "they are made of the index that is held");
    assert_eq!(origin.count(), asked, "nothing went upstream");

    gate.reload("", "");
    assert_eq!(gate.get("/main/noarch/absent-1.0-0.conda").await.verdict(), "404 not_found");
    assert_eq!(origin.asked("noarch/absent-1.0-0.conda"), ["GET"], "online again");
}
