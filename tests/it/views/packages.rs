//! Packages under a view: refused by name before anything is asked.

use std::time::Duration;

use super::stage::{Client, HIDING, document_of, gate, origin, put_document, set};

#[tokio::test]
async fn blocked_package_is_451_with_its_reason_and_nothing_is_asked() {
    let origin = origin().await;
    let gate = gate(&origin, HIDING).start().await;
    let client = Client::anonymous(&gate);
    let reply = client.get("noarch/secret-1-0.conda").await;
    assert_eq!(reply.verdict(), "451 package_blocked");
    assert!(reply.json()["detail"].as_str().unwrap().contains("not for you"), "{}", reply.json());
    for (path, verdict) in [
        ("noarch/secret-9-9.conda", "451 package_blocked"),
        ("noarch/SECRET-1-0.conda", "451 package_blocked"),
        ("noarch/secret%2D1-0.conda", "451 package_blocked"),
    ] {
        assert_eq!(client.verdict(path).await, verdict, "{path}");
    }
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn package_that_no_index_lists_or_that_contradicts_its_name_is_missing() {
    let origin = origin().await;
    let gate = gate(&origin, HIDING).start().await;
    let client = Client::anonymous(&gate);
    for path in ["noarch/unlisted-1-0.conda", "noarch/numpy-3-0.conda", "noarch/noname.conda"] {
        assert_eq!(client.verdict(path).await, "404 not_found", "{path}");
        assert_eq!(origin.asked(path), [] as [&str; 0], "{path}");
    }
    assert_eq!(client.verdict("noarch/numpy-2-0.conda").await, "200");
}

#[tokio::test]
async fn young_package_is_withheld_until_it_is_old_enough() {
    let origin = origin().await;
    put_document(&origin, "repodata.json", &document_of(&["numpy-1-0.tar.bz2"]));
    let rule = "[[channels.rules]]\npackages = \"*\"\nquarantine = \"7d\"\nreason = \"cool down\"";
    let gate = gate(&origin, rule).start().await;
    let client = Client::anonymous(&gate);
    // What is there at first is the baseline.
    assert_eq!(client.files("noarch/repodata.json").await, set(&["numpy-1-0.tar.bz2"]));
    assert_eq!(client.verdict("noarch/numpy-1-0.tar.bz2").await, "200");

    put_document(&origin, "repodata.json", &document_of(&["numpy-1-0.tar.bz2", "numpy-2-0.conda"]));
    let later = |seconds| gate.hands.as_ref().unwrap().advance(Duration::from_secs(seconds));
    later(61);
    assert_eq!(client.files("noarch/repodata.json").await, set(&["numpy-1-0.tar.bz2"]));
    assert_eq!(client.files_in_shards().await, set(&["numpy-1-0.tar.bz2"]));
    let withheld = client.get("noarch/numpy-2-0.conda").await;
    assert_eq!(withheld.verdict(), "451 package_quarantined");
    assert!(withheld.json()["detail"].as_str().unwrap().contains("cool down"), "{}", withheld.json());
    assert_eq!(origin.asked("noarch/numpy-2-0.conda"), [] as [&str; 0]);

    later(7 * 24 * 3_600);
    assert_eq!(client.verdict("noarch/numpy-2-0.conda").await, "200");
    let both = set(&["numpy-1-0.tar.bz2", "numpy-2-0.conda"]);
    assert_eq!(client.files("noarch/repodata.json").await, both);
    assert_eq!(client.files_in_shards().await, both);
}

#[tokio::test]
async fn matches_of_rules_are_counted_and_shadow_rules_stop_nothing() {
    let origin = origin().await;
    let shadow = "[[channels.rules]]\npackages = \"numpy\"\naction = \"block\"\nmode = \"shadow\"";
    let gate = gate(&origin, &format!("{shadow}\n{HIDING}")).start().await;
    let client = Client::anonymous(&gate);
    assert_eq!(client.verdict("noarch/numpy-2-0.conda").await, "200");
    assert_eq!(client.verdict("noarch/secret-1-0.conda").await, "451 package_blocked");
    let metrics = crate::support::client::ask(gate.admin(), "GET", "/metrics", &[]).await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        "channelgate_rule_matches_total{action=\"block\",mode=\"shadow\"} 1",
        "channelgate_rule_matches_total{action=\"block\",mode=\"enforce\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn shadow_quarantine_counts_what_it_would_have_held_back() {
    let origin = origin().await;
    put_document(&origin, "repodata.json", &document_of(&["numpy-1-0.tar.bz2"]));
    let rule = "[[channels.rules]]\npackages = \"*\"\nquarantine = \"7d\"\nmode = \"shadow\"";
    let gate = gate(&origin, rule).start().await;
    let client = Client::anonymous(&gate);
    let counted = async || {
        let metrics = crate::support::client::ask(gate.admin(), "GET", "/metrics", &[]).await;
        let metrics = String::from_utf8(metrics.body).unwrap();
        let of = "channelgate_rule_matches_total{action=\"quarantine\",mode=\"shadow\"} ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(of));
        line.map_or(0, |count| count.parse::<u32>().unwrap())
    };
    // What is there when an index is first asked for is the baseline.
    assert_eq!(client.files("noarch/repodata.json").await, set(&["numpy-1-0.tar.bz2"]));
    put_document(&origin, "repodata.json", &document_of(&["numpy-1-0.tar.bz2", "numpy-2-0.conda"]));
    let later = |seconds| gate.hands.as_ref().unwrap().advance(Duration::from_secs(seconds));
    later(61);
    assert_eq!(client.verdict("noarch/numpy-1-0.tar.bz2").await, "200");
    assert_eq!(counted().await, 0);
    assert_eq!(client.verdict("noarch/numpy-2-0.conda").await, "200");
    assert_eq!(counted().await, 1);
    later(7 * 24 * 3_600);
    assert_eq!(client.verdict("noarch/numpy-2-0.conda").await, "200");
    assert_eq!(counted().await, 1);
}
